"""What each rater's answers say of telling synthetic from real images: areas, d', c, rates."""

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from .crossed import Indices, Numbers
from .detection_data import Trials
from .roc import Figure, area, rate
from .signal_detection import corrected, discrimination, rate_variance

LEAST_IMAGES: Final = 5
MEASURES: Final = ("area", "dprime", "criterion", "sensitivity", "specificity")


@dataclasses.dataclass(frozen=True)
class Measured:
    """The figures of all raters for some arms, by name.

    Args:
        synthetic: (raters,) synthetic images judged.
        real:      (raters,) real ones.
        figures:   By the names of `MEASURES`.
        is_one:    (raters,) whether every image was called the same.
        variances: (raters,) of d', by the rates alone; of c it is a quarter.
    """

    synthetic: Numbers
    real: Numbers
    figures: dict[str, Figure]
    is_one: npt.NDArray[np.bool_]
    variances: Numbers

    @property
    def usable(self) -> Indices:
        """Indices of the raters who judged enough images of both kinds."""
        return np.flatnonzero((self.synthetic >= LEAST_IMAGES) & (self.real >= LEAST_IMAGES))


def measured_of(trials: Trials, arms: Sequence[str]) -> Measured:
    """Return how each rater told the images of some arms, as one kind, from the real ones."""
    synthetic, real = trials.of(arms), trials.real
    points, prompts = len(trials.is_synthetic), trials.prompt_count
    hits = rate(synthetic, trials.is_synthetic, prompts)
    false_alarms = rate(real, trials.is_synthetic, prompts)
    signals, noises = (
        np.maximum(judged.is_seen.sum(axis=-1), 1).astype(float) for judged in (synthetic, real)
    )
    dprime, criterion = discrimination(hits, false_alarms, signals, noises)
    # Whoever calls every image the same tells none apart, however many there are of a kind.
    is_one = np.isin(hits.values + false_alarms.values, (0.0, 2.0))
    dprime = Figure(
        np.where(is_one, 0.0, dprime.values),
        tuple(share.times(np.where(is_one, 0.0, 1.0)) for share in dprime.shares),
    )
    variances = rate_variance(corrected(hits.values * signals, signals), signals)
    variances = variances + rate_variance(
        corrected(false_alarms.values * noises, noises), noises
    )
    figures = {
        "area": area(synthetic, real, points, prompts), "dprime": dprime, "criterion": criterion,
        "sensitivity": hits, "specificity": rate(real, trials.is_real, prompts),
    }  # fmt: skip
    counts = [judged.is_seen.sum(axis=-1).astype(float) for judged in (synthetic, real)]
    return Measured(counts[0], counts[1], figures, is_one, variances)
