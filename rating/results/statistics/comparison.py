"""The primary analysis: differences of mean scores between arms, for raters and prompts like these.

Two arms that the same raters judged for the same prompts are compared within rater and prompt; arms
with prompts of their own, as real images have, within rater. Fewer than five raters are taken as
they are: the interval then says nothing of other raters.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from .components import cell_layout, cell_means, pair_components
from .contrast import FIXED_RATERS, Contrast, Equivalence
from .contrast import contrast_table as contrast_table
from .crossed import Estimate, Side, estimate
from .finding import Finding, Settings
from .formatting import arm_label, counted
from .tables import asked, main_answers

LEAST_RATERS: Final = 5
LEAST_SHARED: Final = 0.5
_ANALYSIS: Final = "crossed rater x prompt analysis of variance, Satterthwaite-Hillis df"
PAIRED: Final = f"Difference of means paired within rater and prompt; {_ANALYSIS}"
UNPAIRED: Final = (
    f"Difference of means paired within rater, prompts of each arm its own; {_ANALYSIS}"
)
PAIRED_FIXED: Final = (
    "Difference of means paired within rater and prompt; prompts random, raters fixed, t of the "
    "means of prompts"
)
UNPAIRED_FIXED: Final = (
    "Difference of means paired within rater, prompts of each arm its own; prompts random, raters "
    "fixed, Satterthwaite df"
)


def contrasts(ratings: pd.DataFrame, settings: Settings) -> tuple[Contrast, ...]:
    """Return the planned contrasts of every scale question, those of the primary question first.

    Side by side a question about all pictures at once says nothing of an arm: there are none, and
    preferences compare the arms.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Of the analysis.
    """
    if settings.display == "side_by_side":
        return ()
    scales = [scale for scale in settings.scales if scale.kind == "scale"]
    scales.sort(key=lambda scale: scale.code != settings.primary_question)
    found = []
    for scale in scales:
        shown = asked(ratings, settings, scale.code)
        answers = main_answers(ratings, settings, scale.code)
        for arm in settings.contrast_arms:
            pair = (arm, settings.reference_arm)
            found.append(contrast(shown, answers, settings, scale.code, pair))
    return _corrected(found, settings.alpha)


def _corrected(found: Sequence[Contrast], alpha: float) -> tuple[Contrast, ...]:
    """Return contrasts with Holm's correction over the whole planned family.

    A planned contrast that could not be tested keeps its place in the family, with a p value of 1.
    """
    # Takes longer to load than all else here.
    from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

    family = [1.0 if one.p is None else one.p for one in found if one.is_in_family]
    adjusted = iter(multipletests(family, alpha=alpha, method="holm")[1] if family else ())
    corrected = []
    for one in found:
        p_holm = float(next(adjusted)) if one.is_in_family else None
        corrected.append(dataclasses.replace(one, p_holm=None if one.p is None else p_holm))
    return tuple(corrected)


def contrast(
    shown: pd.DataFrame,
    answers: pd.DataFrame,
    settings: Settings,
    question: str,
    pair: tuple[str, str],
) -> Contrast:
    """Return the contrast of two arms in one question, without Holm's correction.

    Args:
        shown:    See `tables.asked`.
        answers:  See `tables.main_answers`.
        settings: Of the analysis.
        question: Code.
        pair:     Codes of the arm and of the reference, which is subtracted.
    """
    blank = Contrast(
        question, *pair, Finding.missing(""),
        is_in_family=question in settings.holm_family, is_paired=is_paired(shown, *pair),
    )  # fmt: skip
    if why := why_no_answers(shown, answers, settings, pair):
        return dataclasses.replace(blank, finding=Finding.missing(why))
    both = answers[answers["arm"].isin(pair)]
    if blank.is_paired:
        return _paired(both, blank, settings)
    return _unpaired(both, blank, settings)


def why_no_answers(
    shown: pd.DataFrame, answers: pd.DataFrame, settings: Settings, arms: Sequence[str]
) -> str:
    """Return why an arm has no score; "" where each of them has one.

    Args:
        shown:    See `tables.asked`.
        answers:  See `tables.main_answers`.
        settings: Of the analysis.
        arms:     Codes.
    """
    for arm in arms:
        if (answers["arm"] == arm).any():
            continue
        if count := int((shown["arm"] == arm).sum()):
            about = f"{counted(count, 'answer')} about {arm_label(settings, arm)}"
            return f"All {about} are 'cannot judge'."
        return f"There are no answers about {arm_label(settings, arm)}."
    return ""


def is_paired(shown: pd.DataFrame, arm: str, reference: str) -> bool:
    """Return whether two arms are compared within rater and prompt.

    They are where raters were shown, for at least half of the cells of rater and prompt of each
    arm, the other arm as well. Where fewer are shared, leaving the others out would cost more than
    pairing gains. What was answered decides nothing.

    Args:
        shown:     See `tables.asked`.
        arm:       Code.
        reference: Code.
    """
    cells = [
        set(zip(part["rater_code"], part["prompt_id"], strict=True))
        for part in (shown[shown["arm"] == code] for code in (arm, reference))
    ]
    shared = len(cells[0] & cells[1])
    return all(shared >= LEAST_SHARED * max(len(one), 1) for one in cells)


def _paired(both: pd.DataFrame, blank: Contrast, settings: Settings) -> Contrast:
    pairs = cell_means(both).dropna()
    if pairs.empty:
        return dataclasses.replace(
            blank, finding=Finding.missing("No rater has judged both arms for the same prompt.")
        )
    first, second = (pairs["mean", code].to_numpy(float) for code in (blank.arm, blank.reference))
    counts = pairs["count"].to_numpy(float)
    layout = cell_layout(pairs.index)
    answers = int(counts.sum())
    left_out = len(both) - answers
    n = _counts(layout.rater_count, f"{counted(layout.prompt_count, 'prompt')}", answers)
    note = ""
    if left_out:
        note = f"Left out, as the other arm has no answer there: {counted(left_out, 'answer')}."
    components = pair_components(layout, first, second, 1 / float(np.mean(1 / counts)))
    return _concluded([Side(layout, first - second)], blank, settings, n, note, components)


def _unpaired(both: pd.DataFrame, blank: Contrast, settings: Settings) -> Contrast:
    of_arm = {code: both[both["arm"] == code] for code in (blank.arm, blank.reference)}
    raters = set.intersection(*(set(part["rater_code"]) for part in of_arm.values()))
    if not raters:
        return dataclasses.replace(
            blank, finding=Finding.missing("No rater has judged both arms.")
        )
    sides, answers, prompts = [], 0, []
    for sign, part in zip((1, -1), of_arm.values(), strict=True):
        kept = part[part["rater_code"].isin(raters)]
        cells = kept.groupby(["rater_code", "prompt_id"])["value"].mean()
        sides.append(Side(cell_layout(cells.index), cells.to_numpy(float), sign))
        answers += len(kept)
        prompts.append(kept["prompt_id"].nunique())
    n = _counts(len(raters), f"{prompts[0]} and {prompts[1]} prompts", answers)
    note = ""
    if left_out := len(both) - answers:
        note = f"Left out, of raters who judged one arm alone: {counted(left_out, 'answer')}."
    return _concluded(sides, blank, settings, n, note, {})


def _counts(raters: int, prompts: str, answers: int) -> str:
    return f"{counted(raters, 'rater')}, {prompts}, {counted(answers, 'answer')}"


def _concluded(
    sides: Sequence[Side],
    blank: Contrast,
    settings: Settings,
    n: str,
    note: str,
    components: Mapping[str, float],
) -> Contrast:
    """Return the contrast with what can be concluded from the sides."""
    is_fixed = sides[0].layout.rater_count < LEAST_RATERS
    found = estimate(sides, is_fixed=is_fixed)
    methods = (PAIRED_FIXED, UNPAIRED_FIXED) if is_fixed else (PAIRED, UNPAIRED)
    method = methods[0] if blank.is_paired else methods[1]
    level = 1 - settings.alpha
    if why := why_no_interval(sides, found):
        note = f"{why} {note}".rstrip()
        finding = Finding(float(found.value), None, None, n, method, note, level)
        return dataclasses.replace(
            blank, finding=finding, is_fixed_raters=is_fixed, components=components
        )
    low, high = found.interval(level)
    note = f"{FIXED_RATERS if is_fixed else ''} {note}".strip()
    margin = settings.equivalence_margin if blank.question == settings.primary_question else None
    if not blank.is_paired and not math.isnan(float(found.rater)):
        components = {"rater_arm": float(found.rater) / 2}
    return dataclasses.replace(
        blank,
        finding=Finding(float(found.value), float(low), float(high), n, method, note, level),
        p=float(found.p_two_sided()),
        equivalence=None if margin is None else _equivalence(found, margin, settings.alpha),
        standard_error=math.sqrt(float(found.variance)),
        df=float(found.df),
        is_fixed_raters=is_fixed,
        components=components,
    )


def why_no_interval(sides: Sequence[Side], found: Estimate) -> str:
    """Return why an estimate has no interval; "" where it has one."""
    if any(side.layout.prompt_count < 2 for side in sides):
        return "One prompt cannot speak for others: no interval."
    if not float(found.df):
        return "Raters share too few prompts to tell prompts from raters: no interval."
    if not float(found.variance):
        return "All values agree, so that there is no spread to estimate an interval from."
    return ""


def _equivalence(found: Estimate, margin: float, alpha: float) -> Equivalence:
    low, high = found.interval(1 - 2 * alpha)
    p = max(float(found.p_above(-margin)), float(found.p_below(margin)))
    return Equivalence(margin, float(low), float(high), p, p < alpha)
