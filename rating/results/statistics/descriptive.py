"""What was answered: distributions, medians and mean opinion scores of each arm and question."""

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from .comparison import LEAST_RATERS, why_no_interval
from .components import cell_layout
from .contrast import FIXED_RATERS
from .crossed import Side, estimate
from .finding import Finding, Scale, Settings, Table
from .formatting import NONE, arm_label, counted, interval, interval_of, number, percent
from .rank import RankTest as RankTest
from .rank import rank_table as rank_table
from .rank import rank_tests as rank_tests
from .tables import asked, main_answers

MEAN: Final = "Mean score; crossed rater x prompt analysis of variance, Satterthwaite-Hillis df"
MEAN_FIXED: Final = "Mean score; prompts random, raters fixed, t of the means of prompts"
ALL_PICTURES: Final = "all pictures"


@dataclasses.dataclass(frozen=True, slots=True)
class Description:
    """What was answered to a question about an arm.

    Args:
        question:     Code.
        arm:          Code; "" of a question about all pictures side by side.
        counts:       Answers of each point, from the lowest, as given.
        cannot_judge: How often that was answered.
        median:       Of the scores, *cannot judge* treated as planned; None without scores.
        lower:        First quartile, with linear interpolation.
        upper:        Third quartile.
        mean:         Mean opinion score with its interval.
    """

    question: str
    arm: str
    counts: tuple[int, ...]
    cannot_judge: int
    median: float | None
    lower: float | None
    upper: float | None
    mean: Finding


def descriptives(ratings: pd.DataFrame, settings: Settings) -> tuple[Description, ...]:
    """Return what was answered, for every scale question and arm; preferences are no scores.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Of the analysis.
    """
    arms = [arm.code for arm in settings.arms] if settings.display == "single" else [""]
    found = []
    for scale in settings.scales:
        if scale.kind == "scale":
            shown = asked(ratings, settings, scale.code)
            scored = main_answers(ratings, settings, scale.code)
            found += [_description(shown, scored, settings, scale, arm) for arm in arms]
    return tuple(found)


def _description(
    shown: pd.DataFrame, scored: pd.DataFrame, settings: Settings, scale: Scale, arm: str
) -> Description:
    if arm:
        shown, scored = shown[shown["arm"] == arm], scored[scored["arm"] == arm]
    points = range(scale.minimum, scale.maximum + 1)
    values = scored["value"].to_numpy(float)
    quartiles: list[float | None] = [None] * 3
    if len(values):
        quartiles = [float(value) for value in np.quantile(values, (0.25, 0.5, 0.75))]
    return Description(
        question=scale.code,
        arm=arm,
        counts=tuple(int((shown["value"] == point).sum()) for point in points),
        cannot_judge=int(shown["cannot_judge"].sum()),
        median=quartiles[1],
        lower=quartiles[0],
        upper=quartiles[2],
        mean=mean_score(scored, settings, len(shown)),
    )


def mean_score(scored: pd.DataFrame, settings: Settings, asked_count: int = 0) -> Finding:
    """Return the mean score of answers with its interval.

    The mean is of the cells of rater and prompt, several images in a cell averaged first. It means
    to hold for raters and prompts like these; with fewer than five raters, for these raters.

    Args:
        scored:      Answers of one arm and question, see `tables.main_answers`.
        settings:    Of the analysis.
        asked_count: How often it was answered, *cannot judge* included.
    """
    if scored.empty:
        why = (
            f"All {counted(asked_count, 'answer')} are 'cannot judge'."
            if asked_count
            else "There are no answers."
        )
        return Finding.missing(why)
    cells = scored.groupby(["rater_code", "prompt_id"])["value"].mean()
    layout = cell_layout(cells.index)
    is_fixed = layout.rater_count < LEAST_RATERS
    sides = [Side(layout, cells.to_numpy(float))]
    found = estimate(sides, is_fixed=is_fixed)
    n = (
        f"{counted(layout.rater_count, 'rater')}, {counted(layout.prompt_count, 'prompt')}, "
        f"{counted(len(scored), 'answer')}"
    )
    method = MEAN_FIXED if is_fixed else MEAN
    level = 1 - settings.alpha
    if why := why_no_interval(sides, found):
        return Finding(float(found.value), None, None, n, method, why, level)
    low, high = found.interval(level)
    note = FIXED_RATERS if is_fixed else ""
    return Finding(float(found.value), float(low), float(high), n, method, note, level)


def description_table(descriptions: Sequence[Description], settings: Settings) -> Table:
    """Return the table of distributions, medians and mean opinion scores.

    Args:
        descriptions: See `descriptives`.
        settings:     Of the analysis.
    """
    most = max((len(one.counts) for one in descriptions), default=0)
    least = {scale.code: scale.minimum for scale in settings.scales}
    first = min((least[one.question] for one in descriptions), default=1)
    level = percent(1 - settings.alpha)
    columns = (
        "Question", "Arm", *(str(first + point) for point in range(most)), "Cannot judge",
        "Median", "IQR", "Mean", f"{level} interval", "Based on",
    )  # fmt: skip
    rows = []
    for one in descriptions:
        counts = [str(count) for count in one.counts] + [NONE] * (most - len(one.counts))
        rows.append((
            one.question,
            arm_label(settings, one.arm) if one.arm else ALL_PICTURES,
            *counts,
            str(one.cannot_judge),
            number(one.median, 1),
            interval(one.lower, one.upper, 1),
            number(one.mean.value),
            interval_of(one.mean),
            one.mean.n or NONE,
        ))  # fmt: skip
    title = "Distributions, medians and mean opinion scores"
    return Table("descriptive", title, columns, tuple(rows), _notes(descriptions, settings))


def _notes(descriptions: Sequence[Description], settings: Settings) -> tuple[str, ...]:
    notes = ["Numbered columns count the answers of each point of the scale as given."]
    if settings.cannot_judge == "worst":
        notes.append("Medians and means count 'cannot judge' as the worst value of the scale.")
    for one in descriptions:
        if own := one.mean.note.replace(FIXED_RATERS, "").strip():
            arm = arm_label(settings, one.arm) if one.arm else ALL_PICTURES
            notes.append(f"{one.question}, {arm}: {own}")
    if any(FIXED_RATERS in one.mean.note for one in descriptions):
        notes.append(FIXED_RATERS)
    methods = dict.fromkeys(one.mean.method for one in descriptions if one.mean.method)
    return (*notes, *(f"{method}." for method in methods))
