"""Whether raters tell synthetic images from real ones: each synthetic arm against all real images.

The same real images serve every arm, so that what is found of two arms hangs together; comparisons
of arms take that into account. Figures are of each rater, and means of raters that are meant for
raters and images like these; fewer than five raters are taken as they are.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from .comparison import LEAST_RATERS
from .contrast import FIXED_RATERS
from .crossed import Estimate, Indices
from .detection_data import Trials, trials_of
from .detection_measures import LEAST_IMAGES, MEASURES, Measured, measured_of
from .detection_table import detection_tables as detection_tables
from .finding import Finding, Settings
from .formatting import arm_label
from .roc import covariance, curve, logit_interval, mean_over_raters
from .single_rater import RaterDetection as RaterDetection
from .single_rater import rater_detection

ALL_ARMS: Final = ""
POOLED: Final = "pooled"
_RANDOM: Final = "Obuchowski-Rockette analysis of raters and images, Hillis df"
_FIXED: Final = "images random, raters fixed, normal distribution"
_SHARES: Final = ("area", "sensitivity", "specificity")  # told on the logit scale
_NAMES: Final = {
    "area": "Mean area under the curve", "dprime": "Mean d'", "criterion": "Mean criterion c",
    "sensitivity": "Mean sensitivity", "specificity": "Mean specificity",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class PooledDetection:
    """Means of raters, see `RaterDetection`; `arm` "" is of all synthetic arms together."""

    arm: str
    area: Finding
    dprime: Finding
    criterion: Finding
    sensitivity: Finding
    specificity: Finding
    is_fixed_raters: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class AreaDifference:
    """The difference of the mean areas of two synthetic arms against the same real images.

    Args:
        arm:     Code.
        other:   Code of the arm that is subtracted.
        finding: The difference with its interval, not adjusted.
        p:       Two-sided, not adjusted; None where there is no interval.
        p_holm:  After Holm's correction over all pairs of arms.
    """

    arm: str
    other: str
    finding: Finding
    p: float | None = None
    p_holm: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Detections:
    """What the real-or-synthetic question says.

    Args:
        raters:      Of every rater and synthetic arm.
        pooled:      Of every synthetic arm, and last of all together where there are several.
        differences: Of every two synthetic arms.
        images:      How many images of each kind were judged, in words.
        note:        Why there is nothing; "" where there is something.
    """

    raters: tuple[RaterDetection, ...] = ()
    pooled: tuple[PooledDetection, ...] = ()
    differences: tuple[AreaDifference, ...] = ()
    images: str = ""
    note: str = ""


def detections(ratings: pd.DataFrame, settings: Settings) -> Detections:
    """Return how raters told the images of each synthetic arm from the real ones.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Of the analysis.
    """
    trials = trials_of(ratings, settings)
    if isinstance(trials, str):
        return Detections(note=trials)
    arms = list(trials.synthetic)
    sets = {arm: measured_of(trials, (arm,)) for arm in arms}
    pooled = [
        _pooled(trials, arm.code, sets[arm.code], settings)
        if arm.code in sets
        else _unanswered(arm.code, settings)
        for arm in settings.arms
        if not arm.is_real
    ]
    if len(arms) > 1:
        together = measured_of(trials, arms)
        pooled.append(_pooled(trials, ALL_ARMS, together, settings))
    raters = [
        rater_detection(trials, arm, sets[arm], index, settings)
        for index in range(len(trials.rater_codes))
        for arm in arms
    ]
    differences = [
        _difference(trials, sets, pair, settings) for pair in itertools.combinations(arms, 2)
    ]
    return Detections(
        tuple(raters), tuple(pooled), _corrected(differences, settings.alpha), trials.images()
    )


def _unanswered(arm: str, settings: Settings) -> PooledDetection:
    return _missing(arm, f"There are no answers about {arm_label(settings, arm)}.")


def _missing(arm: str, why: str) -> PooledDetection:
    nothing = dict.fromkeys(MEASURES, Finding.missing(why))
    return PooledDetection(arm, **nothing, is_fixed_raters=False)


def _pooled(
    trials: Trials, arm: str, measured: Measured, settings: Settings
) -> PooledDetection:
    raters = measured.usable
    if why := _why_nothing(trials, measured, raters):
        return _missing(arm, why)
    is_fixed = len(raters) < LEAST_RATERS
    arms = list(trials.synthetic) if arm == ALL_ARMS else [arm]
    n = trials.described(arms, raters)
    left_out = [trials.rater_codes[i] for i in range(len(measured.real)) if i not in raters]
    note = FIXED_RATERS if is_fixed else ""
    if left_out:
        note += f" Left out, with fewer than {LEAST_IMAGES} images of a kind: "
        note += f"{', '.join(left_out)}."
    findings = {}
    for name in MEASURES:
        figure = measured.figures[name].of(raters)
        spread = covariance(figure)
        if name in ("dprime", "criterion"):
            floor = measured.variances[raters] / (1 if name == "dprime" else 4)
            np.fill_diagonal(spread, np.maximum(np.diag(spread), floor))
        found = mean_over_raters(figure.values, spread, is_fixed=is_fixed)
        method = f"{_NAMES[name]}; {_FIXED if is_fixed else _RANDOM}"
        findings[name] = _told(found, name, n, method, note.strip(), settings)
    return PooledDetection(arm, **findings, is_fixed_raters=is_fixed)


def _why_nothing(trials: Trials, measured: Measured, raters: Indices) -> str:
    if not len(raters):
        return (
            f"No rater has judged {LEAST_IMAGES} synthetic and {LEAST_IMAGES} real images or more: "
            "too few to tell them apart."
        )
    if all(trials.is_constant(index) for index in raters):
        return "Every rater gave the same answer to all images."
    return ""


def _told(
    found: Estimate, name: str, n: str, method: str, note: str, settings: Settings
) -> Finding:
    """Return a mean of raters with its interval, of shares on the logit scale."""
    value, level = float(found.value), 1 - settings.alpha
    if float(found.variance) == 0:
        why = "All raters agree with no spread over images: no interval can be estimated."
        return Finding(value, None, None, n, method, f"{why} {note}".rstrip(), level)
    if name in _SHARES:
        low, high = logit_interval(value, float(found.variance), float(found.df), level)
        method += ", interval on the logit scale"
    else:
        low, high = (float(end) for end in found.interval(level))
    return Finding(value, low, high, n, method, note, level)


def _difference(
    trials: Trials, sets: dict[str, Measured], pair: tuple[str, str], settings: Settings
) -> AreaDifference:
    raters = np.intersect1d(sets[pair[0]].usable, sets[pair[1]].usable)
    if not len(raters):
        why = f"No rater has judged {LEAST_IMAGES} images of both arms and as many real ones."
        return AreaDifference(*pair, Finding.missing(why))
    first, second = (sets[arm].figures["area"].of(raters) for arm in pair)
    gap = first.minus(second)
    is_fixed = len(raters) < LEAST_RATERS
    found = mean_over_raters(gap.values, covariance(gap), is_fixed=is_fixed)
    method = f"Difference of mean areas within raters; {_FIXED if is_fixed else _RANDOM}"
    note = FIXED_RATERS if is_fixed else ""
    finding = _told(found, "", trials.described(pair, raters), method, note, settings)
    p = float(found.p_two_sided()) if finding.low is not None else None
    return AreaDifference(*pair, finding, p)


def _corrected(
    differences: Sequence[AreaDifference], alpha: float
) -> tuple[AreaDifference, ...]:
    """Return differences with Holm's correction; one that could not be tested keeps its place."""
    if not differences:
        return ()
    # Takes longer to load than all else here.
    from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

    family = [1.0 if one.p is None else one.p for one in differences]
    adjusted = multipletests(family, alpha=alpha, method="holm")[1]
    return tuple(
        dataclasses.replace(one, p_holm=None if one.p is None else float(p_holm))
        for one, p_holm in zip(differences, adjusted, strict=True)
    )


def roc_points(ratings: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return the curves of each synthetic arm against the real images, strictest cut first.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Of the analysis.

    Returns:
        Columns arm, rater_code ("pooled" is the mean of the raters' rates at each cut), threshold
        (the label from which on an image counts as called synthetic, "" for none), and
        false_positive_rate and true_positive_rate, from (0, 0) to (1, 1) in each curve. Raters with
        too few images have none.
    """
    columns = ["arm", "rater_code", "threshold", "false_positive_rate", "true_positive_rate"]
    trials = trials_of(ratings, settings)
    if isinstance(trials, str):
        return pd.DataFrame({name: [] for name in columns})
    points = len(trials.is_synthetic)
    thresholds = ["", *reversed(settings.scale(settings.origin_question).labels)]
    rows = []
    for arm in trials.synthetic:
        usable = measured_of(trials, (arm,)).usable
        ours, theirs = (
            judged.counts(points)[usable] for judged in (trials.of((arm,)), trials.real)
        )
        curves = {
            trials.rater_codes[index]: np.array(curve(list(own), list(others)))
            for index, own, others in zip(usable, ours, theirs, strict=True)
        }
        if curves:
            curves[POOLED] = np.mean(list(curves.values()), axis=0)
        for code, rates in curves.items():
            rows += [
                (arm, code, name, float(x), float(y))
                for name, (x, y) in zip(thresholds, rates, strict=True)
            ]
    return pd.DataFrame(rows, columns=columns)


