"""Contract: fifty raters at once, over HTTP and from other processes, lose no answer, get none
twice, and share the items evenly, on SQLite and on PostgreSQL.
"""

from pathlib import Path

import pytest

from tests.benchmarks.benchmark_rating import Load, measure


@pytest.mark.slow
def test_fifty_raters_at_once_lose_nothing(database_url: str, tmp_path: Path):
    load = Load(raters=50, seconds=120, think_s=0.2, items=6, processes=2)
    report = measure(tmp_path / "home", database_url, load)
    assert report.faults == []
    assert report.steps == report.assigned * 2
    assert report.assigned > 50 * 6
    assert (report.lost, report.unexpected) == (0, 0)
    assert report.sent_twice > 0
    assert report.exposure_spread <= 1
