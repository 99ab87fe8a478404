"""The planner: what to expect of a study of so many raters, prompts and arms, before it runs.

The model and its formulas are in `precision`; docs/design-of-studies.md tells how to read it all.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Final, Literal

from rating.counting import counted
from rating.errors import PlanningError
from rating.precision import (
    COMPONENT_NAMES,
    PESSIMISTIC,
    TYPICAL,
    Components,
    detectable_difference,
    equivalence_margin,
    half_width,
    real_error,
    synthetic_error,
)

Contrast = Literal["synthetic", "real"]


@dataclasses.dataclass(frozen=True, slots=True)
class PlanRow:
    """What to expect of the difference between two arms.

    Args:
        case:                  Name of the variance components.
        contrast:              "synthetic": of two synthetic arms; "real": of one and the real arm.
        raters:                Who complete.
        items_per_rater:       Main items of one rater.
        standard_error:        Of the difference, in points of the scale.
        df:                    Degrees of freedom of that error.
        half_width:            Expected half width of the interval, in points; infinite where one
                               rater, prompt or real image cannot speak for others.
        detectable_difference: True difference found with the power asked, at the first and
                               strictest step of Holm's correction.
        equivalence_margin:    Smallest margin for which equivalence is shown with that power where
                               there is no true difference, by two one-sided tests at `alpha`.
    """

    case: str
    contrast: Contrast
    raters: int
    items_per_rater: int
    standard_error: float
    df: float
    half_width: float
    detectable_difference: float
    equivalence_margin: float


def plan(
    raters: int | Sequence[int],
    prompts: int,
    arms: int = 3,
    reals: int = 0,
    replicates: int = 1,
    *,
    items_per_rater: int | None = None,
    cases: Sequence[Components] = (TYPICAL, PESSIMISTIC),
    points: int = 5,
    power: float = 0.8,
    alpha: float = 0.05,
    contrasts: int | None = None,
) -> tuple[PlanRow, ...]:
    """Return what to expect, for each case, contrast and number of raters in turn.

    Args:
        raters:          Who complete; several numbers to compare.
        prompts:         Of the synthetic arms, the same for all of them.
        arms:            Synthetic arms.
        reals:           Real images, each with a prompt of its own; 0: no real arm.
        replicates:      Images of each synthetic arm for each prompt, each judged once by a rater.
                         Only the residual shrinks with them, which is on the safe side.
        items_per_rater: Most main items of one rater; None: all.
        cases:           Variance components on a scale of 5 points.
        points:          Of the scale in use; the components are scaled to it.
        power:           Wanted of detectable differences and equivalence, above `alpha`, below 1.
        alpha:           Two-sided error of the whole family; intervals have 1 - alpha, unadjusted.
        contrasts:       Size of the Holm family; None: arms - 1, or as many as arms where real
                         images are there to compare each with.

    Raises:
        PlanningError: A number is out of its range; the message lists all that are.
    """
    numbers = (raters,) if isinstance(raters, int) else tuple(raters)
    family = family_size(arms, reals, contrasts)
    _check(numbers, prompts, arms, reals, replicates, items_per_rater, points, family)
    _check_shares(power, alpha, cases)
    whole = arms * prompts * replicates + reals
    items = min(items_per_rater or whole, whole)
    judged = items / whole
    rows = []
    for components in cases:
        scaled = components.scaled(points)
        for contrast in ("synthetic", "real"):
            if (contrast == "synthetic" and arms < 2) or (contrast == "real" and not reals):
                continue
            for count in numbers:
                if contrast == "synthetic":
                    error, df = synthetic_error(scaled, count, prompts, replicates, judged)
                else:
                    error, df = real_error(scaled, count, prompts, reals, replicates, judged)
                row = PlanRow(
                    components.name,
                    contrast,
                    count,
                    items,
                    error,
                    df,
                    half_width(error, df, alpha),
                    detectable_difference(error, df, power, alpha / family),
                    equivalence_margin(error, df, power, alpha),
                )
                rows.append(row)
    return tuple(rows)


def plan_table(
    raters: int | Sequence[int] = (2, 3, 5, 8, 12),
    prompts: int = 20,
    arms: int = 3,
    reals: int = 0,
    replicates: int = 1,
    *,
    items_per_rater: int | None = None,
    cases: Sequence[Components] = (TYPICAL, PESSIMISTIC),
    points: int = 5,
    power: float = 0.8,
    alpha: float = 0.05,
    contrasts: int | None = None,
) -> str:
    """Return the plan as a table of text, with all that it assumes.

    Args:
        raters:          As for `plan`, and so are all others.
        prompts:         Of the synthetic arms.
        arms:            Synthetic arms.
        reals:           Real images.
        replicates:      Images of each synthetic arm for each prompt.
        items_per_rater: Most main items of one rater; None: all.
        cases:           Variance components on a scale of 5 points.
        points:          Of the scale in use.
        power:           Wanted.
        alpha:           Two-sided error of the whole family.
        contrasts:       Size of the Holm family.

    Raises:
        PlanningError: A number is out of its range.
    """
    rows = plan(
        raters, prompts, arms, reals, replicates, items_per_rater=items_per_rater, cases=cases,
        points=points, power=power, alpha=alpha, contrasts=contrasts,
    )  # fmt: skip
    family = family_size(arms, reals, contrasts)
    lines = [
        f"Precision of the difference between two arms, in points of a scale of 1 to {points}",
        f"{arms} synthetic arms x {prompts} prompts x {counted(replicates, 'image')}, {reals} real "
        f"images; {rows[0].items_per_rater} items for each rater",
        "",
        f"{'case':<12} {'arms compared':<19} {'raters':>6} {'error':>7} {'df':>6} "
        f"{_percent(1 - alpha) + ' +/-':>14} {'detectable':>11} {'equivalent':>11}",
    ]
    for row in rows:
        lines.append(
            f"{row.case:<12} {CONTRAST_LABELS[row.contrast]:<19} {row.raters:>6} "
            f"{row.standard_error:>7.2f} {row.df:>6.1f} {_points(row.half_width, points):>14} "
            f"{_points(row.detectable_difference, points):>11} "
            f"{_points(row.equivalence_margin, points):>11}"
        )
    lines += [
        "",
        f"+/-         expected half width of the {_percent(1 - alpha)} interval, for raters and "
        "prompts such as these",
        f"detectable  true difference found with power {power:g}, the first of {family} in Holm's "
        "correction",
        f"equivalent  smallest margin within which arms that do not differ are shown to be, with "
        f"power {power:g}",
        "-           too few raters, prompts or real images to speak for others",
        f"> {points - 1}         beyond the scale: this study cannot show it",
        "",
        "Assumed variances on that scale, not measured; a pilot's own are better:",
    ]
    for components in cases:
        scaled = components.scaled(points)
        parts = (f"{name} {getattr(scaled, name):.2f}" for name in COMPONENT_NAMES)
        lines.append(f"  {components.name}: {', '.join(parts).replace('_', ':')}")
    return "\n".join(lines)


CONTRAST_LABELS: Final[dict[Contrast, str]] = {
    "synthetic": "two synthetic", "real": "synthetic and real"
}  # fmt: skip


def family_size(arms: int, reals: int, contrasts: int | None = None) -> int:
    """Return how many contrasts share Holm's correction, see `plan`."""
    return contrasts if contrasts is not None else max(arms if reals else arms - 1, 1)


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _points(value: float, points: int) -> str:
    """Return a difference as text; beyond the range of the scale it only says so."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.2f}" if value <= points - 1 else f"> {points - 1}"


def _check(
    raters: Sequence[int],
    prompts: int,
    arms: int,
    reals: int,
    replicates: int,
    items_per_rater: int | None,
    points: int,
    contrasts: int,
) -> None:
    """Raise PlanningError with every whole number that is out of its range."""
    ranges = [
        *(("raters", number, 1, 1000) for number in raters),
        ("prompts", prompts, 1, 100_000),
        ("arms", arms, 1, 26),
        ("reals", reals, 0, 100_000),
        ("replicates", replicates, 1, 1000),
        ("points", points, 2, 11),
        ("contrasts", contrasts, 1, 1000),
    ]
    if items_per_rater is not None:
        ranges.append(("items_per_rater", items_per_rater, 1, 10_000))
    faults = [
        f"{name} is {value}, allowed are {least} to {most}."
        for name, value, least, most in ranges
        if not least <= value <= most
    ]
    if not raters:
        faults.append("raters: name at least one number of raters.")
    if arms < 2 and not reals:
        faults.append("Nothing to compare: plan two arms, or one and real images.")
    if faults:
        raise PlanningError("The study cannot be planned:\n" + "\n".join(faults))


def _check_shares(power: float, alpha: float, cases: Sequence[Components]) -> None:
    """Raise PlanningError with every share or variance that is out of its range."""
    faults = []
    if not 0 < alpha < 0.5:
        faults.append(f"alpha is {alpha:g}, allowed is above 0 and below 0.5.")
    if not alpha < power < 1:
        faults.append(f"power is {power:g}, allowed is above alpha ({alpha:g}) and below 1.")
    for case in cases:
        for name in COMPONENT_NAMES:
            value = getattr(case, name)
            if not (math.isfinite(value) and value >= 0):
                faults.append(f"{case.name}: {name} is {value:g}, a variance is 0 or more.")
    if faults:
        raise PlanningError("The study cannot be planned:\n" + "\n".join(faults))
