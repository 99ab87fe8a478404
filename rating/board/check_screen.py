"""Before opening: all problems at once, the attestation, the planner, and the opening itself."""

import math
from collections.abc import Sequence
from typing import Any

from rating.board.panel import render
from rating.board.view import Act, Asked, Outcome, Region, View, Workplace, message_of, note
from rating.errors import PlanningError, StudyStateError
from rating.study.lookup import find_study
from rating.study.problem import Problem
from rating.study.protocol import Protocol
from rating.study.summaries import StimulusView


class CheckScreen:
    """What keeps a draft from opening, and how precise the study would be."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self.acts: dict[str, Act] = {
            "check": self._check,
            "attest": self._attest,
            "plan": self._plan,
            "open": self._open,
        }

    def draw(self, view: View) -> dict[Region, str]:
        """Return the regions of the screen."""
        views = self._place.studies.stimuli(view.code)
        numbers = planned_numbers(self._place.studies.protocol(view.code), views)
        return {"main": self._draw_problems(view.code), "extra": _draw_plan(numbers)}

    def _draw_problems(self, code: str) -> str:
        found = self._place.studies.problems(code)
        with self._place.database.read() as session:
            study = find_study(session, code)
            attested = (study.identifiers_attested_by, study.identifiers_attested_at)
        return render(
            "check.html",
            stops=_problem_values([each for each in found if not each.is_warning]),
            warnings=_problem_values([each for each in found if each.is_warning]),
            attested_by=attested[0],
            attested_at=attested[1],
            has_images=bool(self._place.studies.stimuli(code)),
            kind=self._place.studies.summary(code).kind,
        )

    def _check(self, view: View, asked: Asked) -> Outcome:
        return Outcome(view, None, {"main": self._draw_problems(view.code)})

    def _attest(self, view: View, asked: Asked) -> Outcome:
        if not asked.is_ticked("has_looked"):
            raise StudyStateError("Tick that you looked at the images; then type your name.")
        self._place.studies.attest_identifiers(view.code, asked.text("name"))
        return Outcome(view, note("Attested."), {"main": self._draw_problems(view.code)})

    def _plan(self, view: View, asked: Asked) -> Outcome:
        numbers = {
            "raters": asked.needed("raters", "Raters"),
            "prompts": asked.needed("prompts", "Prompts"),
            "arms": asked.needed("arms", "Synthetic arms"),
            "reals": asked.needed("reals", "Real images"),
            "replicates": asked.needed("replicates", "Images of a prompt in an arm"),
            "items_per_rater": asked.whole("items_per_rater", "Items of a rater"),
        }
        return Outcome(view, None, {"extra": _draw_plan(numbers)})

    def _open(self, view: View, asked: Asked) -> Outcome:
        self._place.studies.open(view.code)
        title = self._place.studies.summary(view.code).title
        return Outcome(
            View("watch", view.code),
            note(f"{title} is open: its protocol and its images are fixed. Now invite raters."),
        )


def planned_numbers(protocol: Protocol, views: Sequence[StimulusView]) -> dict[str, int | None]:
    """Return what the planner starts from: the numbers of a draft."""
    main = [view for view in views if view.role == "main"]
    synthetic = [view for view in main if not view.is_real]
    arms = {view.arm for view in synthetic}
    prompts = {view.prompt_code for view in synthetic}
    sets = len(arms) * len(prompts)
    return {
        "raters": protocol.planned_raters,
        "prompts": len(prompts) or 10,
        "arms": len(arms) or 3,
        "reals": len(main) - len(synthetic),
        "replicates": max(1, round(len(synthetic) / sets)) if sets else 1,
        "items_per_rater": protocol.items_per_rater,
    }


def _draw_plan(numbers: dict[str, int | None]) -> str:
    from rating.planner import CONTRAST_LABELS, plan  # numpy and scipy take a while

    values: dict[str, Any] = dict(numbers)
    rows: list[dict[str, str]] = []
    fault = None
    try:
        rows = [
            {
                "case": row.case,
                "contrast": CONTRAST_LABELS[row.contrast],
                "half_width": _points(row.half_width),
                "detectable": _points(row.detectable_difference),
                "equivalence": _points(row.equivalence_margin),
            }
            for row in plan(**values)
        ]
    except PlanningError as error:
        fault = message_of(str(error))
    return render("planner.html", numbers=numbers, rows=rows, fault=fault)


def _points(value: float) -> str:
    """Return points of a scale of 1 to 5; what no such scale can show is not put in digits."""
    if not math.isfinite(value):
        return "\N{EN DASH}"
    return f"{value:.2f}" if value <= 4 else "> 4"


def _problem_values(problems: Sequence[Problem]) -> list[dict[str, str]]:
    return [{"where": each.where, "message": each.message} for each in problems]
