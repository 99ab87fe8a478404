"""How a single rater told synthetic from real images, with intervals that hold for that rater."""

import dataclasses
from typing import Final

import numpy as np
from scipy import special, stats  # type: ignore[import-untyped]

from .detection_data import Trials
from .detection_measures import LEAST_IMAGES, MEASURES, Measured
from .finding import Finding, Settings
from .roc import Figure, covariance, logit_interval

AREA: Final = "Area under the curve (Mann-Whitney, ties half); DeLong interval on the logit scale"
DPRIME: Final = "d' with log-linear correction; Gourevitch-Galanter interval"
CRITERION: Final = "Criterion c with log-linear correction; Gourevitch-Galanter interval"
SAME: Final = "Every image was called the same: d' is 0."
WILSON: Final = "Share of images; Wilson interval"


@dataclasses.dataclass(frozen=True, slots=True)
class RaterDetection:
    """How a rater told the images of an arm from real ones.

    Args:
        rater_code:  Of the rater.
        arm:         Code.
        area:        Under the curve: how often a synthetic image seems more synthetic than a real
                     one; 0.5 by chance.
        dprime:      Distance of synthetic from real images at the middle of the scale.
        criterion:   c: below 0 for a rater inclined to call images synthetic.
        sensitivity: Share of synthetic images called synthetic.
        specificity: Share of real images called real.
    """

    rater_code: str
    arm: str
    area: Finding
    dprime: Finding
    criterion: Finding
    sensitivity: Finding
    specificity: Finding


def rater_detection(
    trials: Trials, arm: str, measured: Measured, index: int, settings: Settings
) -> RaterDetection:
    """Return how a rater told the images of an arm from the real ones.

    Args:
        trials:   Answers to the question.
        arm:      Code.
        measured: Figures of all raters for that arm.
        index:    Of the rater.
        settings: Of the analysis.
    """
    code = trials.rater_codes[index]
    counts = (int(measured.synthetic[index]), int(measured.real[index]))
    n = f"{counts[0]} synthetic and {counts[1]} real images"
    if min(counts) < LEAST_IMAGES:
        why = f"{code} judged {n}; below {LEAST_IMAGES} of either there is no figure."
        return RaterDetection(code, arm, *[Finding.missing(why, n=n)] * len(MEASURES))
    level = 1 - settings.alpha
    values = {name: float(measured.figures[name].values[index]) for name in MEASURES}
    half = special.ndtri((1 + level) / 2) * float(np.sqrt(measured.variances[index]))
    dprime, bias = values["dprime"], values["criterion"]
    is_one = bool(measured.is_one[index])
    return RaterDetection(
        code, arm,
        area=_area_of_rater(trials, measured.figures["area"], index, n, level),
        dprime=Finding(dprime, None, None, n, DPRIME, SAME, level)
        if is_one
        else Finding(dprime, dprime - half, dprime + half, n, DPRIME, "", level),
        criterion=Finding(bias, bias - half / 2, bias + half / 2, n, CRITERION, "", level),
        sensitivity=_share(values["sensitivity"], counts[0], n, level),
        specificity=_share(values["specificity"], counts[1], n, level),
    )  # fmt: skip


def _area_of_rater(
    trials: Trials, areas: Figure, index: int, n: str, level: float
) -> Finding:
    value = float(areas.values[index])
    variance = float(covariance(areas.of(np.array([index])))[0, 0])
    if variance > 1e-12 and 0 < value < 1:
        ends = logit_interval(value, variance, float("inf"), level)
        return Finding(value, *ends, n, AREA, "", level)
    why = "There is no overlap of synthetic and real images: no interval can be estimated."
    if trials.is_constant(index):
        why = f"{trials.rater_codes[index]} gave the same answer to all images."
    return Finding(value, None, None, n, AREA, why, level)


def _share(value: float, total: int, n: str, level: float) -> Finding:
    found = stats.binomtest(round(value * total), total).proportion_ci(level, method="wilson")
    return Finding(value, float(found.low), float(found.high), n, WILSON, "", level)
