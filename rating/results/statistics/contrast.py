"""What a contrast of two arms says, and the main table of a study."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from .finding import Finding, Settings, Table
from .formatting import NONE, arm_label, counted, interval, interval_of, number, p_value, percent

FIXED_RATERS: Final = (
    "Fewer than five raters: the interval holds for these raters and does not generalise to other "
    "raters."
)
NO_PLAN: Final = (
    "No analysis plan was fixed before the study opened: everything here is exploratory."
)
PILOT: Final = "This is a pilot: its figures serve to plan a study and are no result of one."


@dataclasses.dataclass(frozen=True, slots=True)
class Equivalence:
    """Two one-sided tests of a difference against a margin.

    Args:
        margin:        In points; both -margin and margin are tested.
        low90:         Lower end of the interval of level 1 - 2 alpha (90 % where alpha is 0.05).
        high90:        Upper end.
        p_tost:        The larger of both p values, not adjusted.
        is_equivalent: Whether it is below alpha, which is to say, the interval within the margin.

    Source: Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680.
    """

    margin: float
    low90: float
    high90: float
    p_tost: float
    is_equivalent: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Contrast:
    """The difference of an arm and the reference arm in the mean score of a question.

    Args:
        question:        Code.
        arm:             Code.
        reference:       Code of the arm that is subtracted.
        finding:         The difference with its interval, in points, not adjusted.
        p:               Two-sided, not adjusted; None where there is no interval.
        p_holm:          After Holm's correction over the family; None outside it.
        is_in_family:    Whether the question is one of the planned family.
        equivalence:     None where no margin was planned for the question, or without interval.
        standard_error:  None where there is no interval.
        df:              Degrees of freedom, likewise.
        is_fixed_raters: Whether it holds for these raters only.
        is_paired:       Within rater and prompt; else within rater alone.
        components:      Variance components, in squared points: of a paired contrast those of
                         the plan of studies, else what can be told apart. As estimated, so that
                         they can be negative.
    """

    question: str
    arm: str
    reference: str
    finding: Finding
    p: float | None = None
    p_holm: float | None = None
    is_in_family: bool = False
    equivalence: Equivalence | None = None
    standard_error: float | None = None
    df: float | None = None
    is_fixed_raters: bool = False
    is_paired: bool = True
    components: Mapping[str, float] = dataclasses.field(default_factory=dict)


def contrast_table(contrasts: Sequence[Contrast], settings: Settings) -> Table:
    """Return the main table: every contrast with its interval, p values and equivalence.

    Args:
        contrasts: See `comparison.contrasts`.
        settings:  Of the analysis.
    """
    level, narrow = percent(1 - settings.alpha), percent(1 - 2 * settings.alpha)
    margin = settings.equivalence_margin
    columns = [
        "Question", "Contrast", "Difference", f"{level} interval", "SE", "df", "p", "p (Holm)"
    ]  # fmt: skip
    if margin is not None:
        columns += [f"{narrow} interval", "p (equivalence)", f"Within {margin:g}"]
    rows = []
    for one in contrasts:
        row = [
            one.question,
            _name(one, settings),
            number(one.finding.value),
            interval_of(one.finding),
            number(one.standard_error),
            number(one.df, 1),
            p_value(one.p),
            p_value(one.p_holm),
        ]
        if margin is not None:
            row += _equivalence_cells(one.equivalence)
        rows.append((*row, one.finding.n or NONE))
    title = "Differences of mean scores between arms"
    notes = _notes(contrasts, settings)
    return Table("main", title, (*columns, "Based on"), tuple(rows), notes)


def _equivalence_cells(equivalence: Equivalence | None) -> list[str]:
    if equivalence is None:
        return [NONE] * 3
    told = "yes" if equivalence.is_equivalent else "not shown"
    return [interval(equivalence.low90, equivalence.high90), p_value(equivalence.p_tost), told]


def _name(one: Contrast, settings: Settings) -> str:
    return f"{arm_label(settings, one.arm)} - {arm_label(settings, one.reference)}"


def _notes(contrasts: Sequence[Contrast], settings: Settings) -> tuple[str, ...]:
    notes = []
    if not contrasts:
        is_scored = settings.display == "single"
        notes.append(
            "No question gives each image a score, or there is no second arm."
            if is_scored
            else "Side by side no image has a score of its own: preferences compare the arms."
        )
    for one in contrasts:
        if own := one.finding.note.replace(FIXED_RATERS, "").strip():
            notes.append(f"{one.question}, {_name(one, settings)}: {own}")
    if any(one.is_fixed_raters for one in contrasts):
        notes.append(FIXED_RATERS)
    methods = dict.fromkeys(one.finding.method for one in contrasts if one.finding.method)
    notes.extend(f"{method}." for method in methods)
    family = [one for one in contrasts if one.is_in_family]
    if family:
        codes = ", ".join(dict.fromkeys(one.question for one in family))
        notes.append(
            f"p (Holm) is corrected over the family of {counted(len(family), 'contrast')} of "
            f"{codes}; other p values and all intervals are not adjusted."
        )
    if any(one.equivalence for one in contrasts):
        notes.append(
            f"Equivalence: two one-sided tests against {settings.equivalence_margin:g} points, "
            f"each at {settings.alpha:g}, not adjusted for several contrasts; it is shown where "
            f"the {percent(1 - 2 * settings.alpha)} interval lies within the margin."
        )
    return (*notes, *marks_of(settings))


def marks_of(settings: Settings) -> tuple[str, ...]:
    """Return the sentences that mark every result of a pilot, or of a study without a plan."""
    marks = [PILOT] if settings.is_pilot else []
    return (*marks, *([] if settings.has_plan else [NO_PLAN]))
