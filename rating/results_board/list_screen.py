"""The studies that can have results, and a main study that has to be locked first."""

import hashlib
from collections.abc import Sequence
from typing import Any

from rating.results_board.panel import render
from rating.results_routes import results_url
from rating.study.summaries import StudySummary
from rating.study.watching import Progress


def list_seal(studies: Sequence[StudySummary]) -> str:
    """Return what tells whether the list would be drawn differently now."""
    return hashlib.sha256(repr(tuple(studies)).encode()).hexdigest()[:16]


def draw_list(studies: Sequence[StudySummary]) -> str:
    """Return the list of studies that were opened."""
    return render("list.html", studies=[_values(each) for each in studies])


def draw_top(study: StudySummary) -> str:
    """Return the head of a study."""
    return render("top.html", study=_values(study))


def draw_waiting(code: str, progress: Progress, why: str) -> str:
    """Return what is told of a main study before its lock: how far it is, and nothing else."""
    raters = [
        {
            "code": each.code,
            "state": each.state,
            "done": each.done,
            "total": each.total,
            "percent": 100 * each.done // each.total if each.total else 0,
            "last_at": each.last_at,
        }
        for each in progress.raters
    ]
    return render(
        "waiting.html",
        code=code,
        is_open=progress.status == "open",
        completed=progress.completed,
        planned=progress.planned_raters,
        done=sum(each.done for each in progress.raters),
        total=sum(each.total for each in progress.raters),
        raters=raters,
        why=why,
        url=results_url(code, "progress.csv"),
    )


def _values(study: StudySummary) -> dict[str, Any]:
    is_pilot = study.kind == "pilot"
    return {
        "code": study.code,
        "title": study.title,
        "is_pilot": is_pilot,
        "state": "paused" if study.is_paused and study.status == "open" else study.status,
        "raters": study.raters,
        "done": study.answers_done,
        "expected": study.answers_expected,
        "has_results": study.status == "locked" or is_pilot,
    }
