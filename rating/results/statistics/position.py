"""Whether the place of a picture on the screen matters to what is chosen."""

import dataclasses

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from .luce import Choices, design, fit, linked_arms
from .strengths import LEAST_CHOICES


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """What the place on the screen did to choices.

    Args:
        shown:     Choices with a picture in each place, from the first on.
        chosen:    Choices of the picture in each place.
        p:         Of all places being alike; None where that is not tested.
        statistic: Twice the logarithm of the ratio of likelihoods, chi-squared.
        df:        Its degrees of freedom.
        note:      Why it is not tested; "" where it is.
    """

    shown: tuple[int, ...]
    chosen: tuple[int, ...]
    p: float | None = None
    statistic: float | None = None
    df: int = 0
    note: str = ""


def position_of(choices: Choices, arm_count: int) -> Position:
    """Return how often each place was chosen, and the test that all are alike.

    The test takes choices as independent. Where places do not matter that holds for the place
    chosen, whatever raters and prompts have in common, since arms are put into places by a draw.

    Args:
        choices:   Choices.
        arm_count: Number of arms.
    """
    places = choices.shown.shape[1]
    shown = tuple(int(count) for count in choices.shown.sum(axis=0))
    chosen = tuple(int(count) for count in np.bincount(choices.chosen, minlength=places))
    counts = Position(shown, chosen)
    if choices.count < LEAST_CHOICES:
        note = f"The place on the screen is tested from {LEAST_CHOICES} choices on."
        return dataclasses.replace(counts, note=note)
    if 0 in chosen:
        place = chosen.index(0) + 1
        note = f"The picture in place {place} was never chosen: no finite strength of it fits."
        return dataclasses.replace(counts, note=note)
    groups = linked_arms(choices, arm_count)
    largest = np.bincount(groups[choices.winners]).argmax()
    among = choices.among(groups == largest)
    arms = [int(arm) for arm in np.flatnonzero(groups == largest)]
    plain = fit(among, design(among, arms[1:])) if len(arms) > 1 else None
    full = fit(among, design(among, arms[1:], range(1, places))) if plain else None
    if plain is None or full is None:
        note = "The place on the screen cannot be told from the arms."
        return dataclasses.replace(counts, note=note)
    statistic = max(0.0, 2 * (full.log_likelihood - plain.log_likelihood))
    p = float(stats.chi2.sf(statistic, places - 1))
    return Position(shown, chosen, p, statistic, places - 1)
