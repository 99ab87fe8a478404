"""Contract: the results of a study are what the statistics say of its exported tables; they are
computed once, a pilot's never older than its last answer; exclusions need a rater and a reason and
are told everywhere; before its lock a main study gives nothing but progress; and nothing heavy is
loaded, nor left on the disk.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rating.errors import RaterError, ResultsError, StudyNotFoundError, UnblindingError
from rating.results.export import export_study
from rating.results.planned import exclusions_of
from rating.results.result_files import (
    methods_markdown,
    named_tables,
    results_markdown,
    table_csv,
)
from rating.results.results import Results
from rating.storage.database import Database, sqlite_url
from rating.study.studies import Studies
from tests.rating_study import ARMS, write_draft, write_study
from tests.results_study import answer_study, write_answered_study

ROOT = Path(__file__).parents[2]
SMALL = (3, 2, 3, 3)  # raters, arms, prompts, real images
REASON = {"R02": "answered | too fast, \"all\" of them"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database.open(sqlite_url(tmp_path_factory.mktemp("results")))
    yield database
    database.close()


@pytest.fixture(scope="module")
def locked(shared: Database) -> str:
    return write_answered_study(shared, *SMALL)


@pytest.fixture(scope="module")
def results(shared: Database) -> Results:
    return Results(shared, software_version="9.9.9")


def test_settings_are_those_of_the_plan(results: Results, locked: str):
    settings = results.settings(locked)
    assert settings.has_plan and not settings.is_pilot
    assert settings.primary_question == "realism"
    assert settings.reference_arm == ARMS[0]
    assert set(settings.contrast_arms) == {ARMS[1], "real"}
    assert settings.holm_family == ("realism",)
    assert settings.origin_question == "origin"
    assert [arm.code for arm in settings.arms][-1] == "real"
    assert settings.scale("origin").maximum == len(settings.scale("origin").labels) == 6


def test_a_pilot_without_a_plan_compares_with_the_real_arm(sqlite_database: Database):
    code = write_study(sqlite_database, kind="pilot", plan=None)
    settings = Results(sqlite_database).settings(code)
    assert settings.is_pilot and not settings.has_plan
    assert (settings.primary_question, settings.reference_arm) == ("realism", "real")
    assert settings.contrast_arms == tuple(sorted(ARMS[:3]))


def test_side_by_side_the_preference_decides_against_a_synthetic_arm(sqlite_database: Database):
    code = write_study(sqlite_database, kind="pilot", display="side_by_side", plan=None)
    settings = Results(sqlite_database).settings(code)
    assert settings.primary_question == "preference"
    assert settings.reference_arm == min(ARMS[:3])
    assert settings.scale("preference").maximum == 3
    assert settings.origin_question == ""


def test_results_are_those_of_the_exported_tables(
    shared: Database, results: Results, locked: str, tmp_path: Path
):
    from rating.results.statistics.analysis import analyse, analysis_text
    from rating.results.statistics.tables import read_assignments, read_ratings

    export_study(shared, locked, tmp_path / "data", variant="public", has_excel=False)
    ratings = read_ratings(tmp_path / "data" / "ratings_long.csv")
    assignments = read_assignments(tmp_path / "data" / "assignments.csv")
    expected = analysis_text(analyse(ratings, assignments, results.settings(locked)))
    assert results.computed(locked).text == f"{expected.rstrip()}\n"


def test_who_asks_at_the_same_time_gets_the_same_computation(
    shared: Database, locked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    results = Results(shared)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: results.computed(locked), range(4)))
    assert all(each is found[0] for each in found)
    assert list(tmp_path.iterdir()) == []


def test_another_exclusion_is_another_computation(results: Results, locked: str):
    everybody, without = results.computed(locked), results.computed(locked, {"r02": "too fast"})
    assert everybody is not without
    assert results.computed(locked, {"R02 ": " too  fast"}) is without
    assert everybody.tables[0].rows != without.tables[0].rows


def test_a_pilot_is_never_older_than_its_last_answer(sqlite_database: Database):
    code = write_answered_study(sqlite_database, *SMALL, kind="pilot", is_locked=False)
    results = Results(sqlite_database)
    first = results.computed(code)
    assert results.computed(code) is first
    answer_study(sqlite_database, code, 1, items=4)
    second = results.computed(code)
    assert second is not first
    assert "4 raters" in second.data_used
    Studies(sqlite_database).withdraw(code, "R04", is_erasing=True)
    assert results.computed(code).text == first.text


def test_an_exclusion_is_told_in_every_text_and_table(results: Results, locked: str):
    computed = results.computed(locked, REASON)
    told = " ".join(REASON["R02"].split())
    assert told in computed.text
    assert "R02" in methods_markdown(computed) and "too fast" in methods_markdown(computed)
    assert told in results_markdown(computed)
    for name, table in named_tables(computed).items():
        lines = table_csv(table, computed.settings).splitlines()
        assert lines[0].endswith(",Study,Kind,Excluded raters"), name
        assert all('R02 (answered | too fast, ""all"" of them)' in line for line in lines[1:])


def test_every_table_of_a_pilot_says_so(sqlite_database: Database):
    code = write_answered_study(sqlite_database, *SMALL, kind="pilot", is_locked=False)
    results = Results(sqlite_database)
    computed = results.computed(code)
    for table in computed.tables:
        assert ",pilot,none" in table_csv(table, computed.settings)
    assert "pilot" in computed.text
    assert results.file_name(code, "x.csv") == f"PILOT-study-{code}-x.csv"


@pytest.mark.parametrize(
    ("excluded", "error", "words"),
    [({"R99": "late"}, RaterError, "no rater 'R99'"),
     ({"R02": "  "}, ResultsError, "reason for excluding R02 has 0 characters"),
     ({"R02": "x" * 301}, ResultsError, "has 301 characters"),
     ({f"R0{n}": "all" for n in range(1, 4)}, ResultsError, "All 3 raters")],
)  # fmt: skip
def test_an_exclusion_needs_a_rater_and_a_reason(
    results: Results, locked: str, excluded: dict[str, str], error: type[Exception], words: str
):
    with pytest.raises(error, match=words):
        results.computed(locked, excluded)
    with pytest.raises(error, match=words):
        results.figures(locked, excluded)


@pytest.mark.parametrize("pair", ["R02", "R02=", "=late", "R02=  "])
def test_an_exclusion_is_written_as_a_rater_and_a_reason(pair: str):
    with pytest.raises(ResultsError, match="give a rater and why"):
        exclusions_of([pair])


def test_a_rater_is_excluded_once():
    assert exclusions_of(["r01 = a = b", "R02=c"]) == {"R01": "a = b", "R02": "c"}
    with pytest.raises(ResultsError, match="excluded twice"):
        exclusions_of(["R01=a", "r01=b"])


@pytest.mark.parametrize("is_draft", [False, True])
def test_before_the_lock_nothing_but_progress_is_told(
    sqlite_database: Database, tmp_path: Path, is_draft: bool
):
    code = (
        write_draft(sqlite_database) if is_draft
        else write_answered_study(sqlite_database, *SMALL, is_locked=False)
    )  # fmt: skip
    results, folder = Results(sqlite_database), tmp_path / "out"
    folder.mkdir()
    for ask in (
        lambda: results.settings(code),
        lambda: results.computed(code),
        lambda: results.figures(code),
        lambda: results.is_computed(code),
        lambda: results.export(code, folder / "data"),
        lambda: results.export_zip(code, folder / "data.zip"),
        lambda: results.capsule(code, folder / "capsule.zip"),
    ):
        with pytest.raises(UnblindingError):
            ask()
    assert list(folder.iterdir()) == []
    assert ("Lock it" in results.why_blinded(code)) != is_draft
    progress = results.export_progress(code, folder / "progress").read_text(encoding="utf-8")
    for arm in (*ARMS[:2], "real"):
        assert arm not in progress


def test_drafts_are_in_no_list_of_results(sqlite_database: Database):
    write_draft(sqlite_database)
    code = write_study(sqlite_database)
    assert [each.code for each in Results(sqlite_database).overview()] == [code]


def test_an_unknown_study_is_told_as_such(results: Results):
    with pytest.raises(StudyNotFoundError, match="nosuch"):
        results.computed("nosuch")


def test_figures_come_light_and_dark(results: Results, locked: str):
    light, dark = results.figures(locked), results.figures(locked, theme="dark")
    assert [each.name for each in light] == [each.name for each in dark]
    assert {"forest", "likert"} <= {each.name for each in light}
    for figure, other in zip(light, dark, strict=True):
        assert figure.png.startswith(b"\x89PNG") and b"<svg" in figure.svg
        assert figure.alt_text and figure.svg != other.svg
    assert results.figures(locked) is light
    with pytest.raises(ResultsError, match="'sepia'"):
        results.figures(locked, theme="sepia")  # type: ignore[arg-type]


def test_nothing_heavy_is_loaded_before_results_are_asked_for():
    code = (
        "import sys, rating.__main__, rating.routes, rating.results_board.board;"
        "print(sorted({'pandas', 'scipy', 'statsmodels', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
