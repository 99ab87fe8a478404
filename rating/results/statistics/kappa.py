"""Kappa: of several raters who all judged everything, and of two."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from scipy import sparse, stats  # type: ignore[import-untyped]

from .crossed import Numbers
from .panel import Panel

_NONE: Final = 1e-12


@dataclasses.dataclass(frozen=True, slots=True)
class Kappa:
    """A kappa with the interval of its asymptotic standard error, the upper end at most 1."""

    value: float
    low: float
    high: float


def fleiss(counts: Numbers, level: float) -> Kappa | None:
    """Return Fleiss' kappa; None where all answers are the same.

    Args:
        counts: How often each unit got each point, (units, points); the same number of answers for
                each unit, two or more.
        level:  Coverage of the interval, by Student's t with units - 1 degrees of freedom.

    Source: Fleiss (1971), Psychological Bulletin 76, 378-382, for the estimate; its standard error
    is Gwet's (2008), British Journal of Mathematical and Statistical Psychology 61, 29-48, for
    units sampled and any kappa; that of Fleiss, Nee & Landis (1979) holds for kappa = 0 alone.
    """
    from statsmodels.stats import inter_rater  # type: ignore[import-untyped]  # slow to load

    answers = counts[0].sum()
    shares = counts.sum(axis=0) / counts.sum()
    chance = float(np.sum(shares**2))
    if 1 - chance <= _NONE or len(counts) < 2:
        return None
    value = float(inter_rater.fleiss_kappa(counts, method="fleiss"))
    agreed = np.sum(counts * (counts - 1), axis=1) / (answers * (answers - 1))
    of_unit = (agreed - chance) / (1 - chance)
    expected = counts @ shares / answers
    influence = of_unit - 2 * (1 - value) * (expected - chance) / (1 - chance)
    spread = float(np.sum((influence - value) ** 2))
    error = np.sqrt(spread / (len(counts) * (len(counts) - 1)))
    half = float(stats.t.ppf((1 + level) / 2, len(counts) - 1) * error)
    return Kappa(value, value - half, min(1.0, value + half))


def cohen(table: Numbers, level: float, *, is_weighted: bool = True) -> Kappa | None:
    """Return Cohen's kappa of two raters; None where one of them gave one answer to everything.

    Args:
        table:       How often the first gave the row's and the second the column's point.
        level:       Coverage of the interval.
        is_weighted: Whether differences count by their square; else all alike.

    Source: Cohen (1968), Psychological Bulletin 70, 213-220; Fleiss & Cohen (1973), Educational and
    Psychological Measurement 33, 613-619, for the weights; Fleiss, Cohen & Everitt (1969),
    Psychological Bulletin 72, 323-327, for the standard error.
    """
    from statsmodels.stats import inter_rater  # slow to load

    if np.count_nonzero(table.sum(axis=0)) < 2 or np.count_nonzero(table.sum(axis=1)) < 2:
        return None
    with np.errstate(invalid="ignore"):  # its variance can be a hair below zero, see `error`
        found: Any = inter_rater.cohens_kappa(table, wt="quadratic" if is_weighted else None)
    error = float(np.sqrt(max(float(found.var_kappa), 0.0)))
    half = float(stats.norm.ppf((1 + level) / 2)) * error
    value = float(found.kappa)
    return Kappa(value, value - half, min(1.0, value + half))


def pair_tables(panel: Panel) -> Iterator[tuple[int, int, Numbers]]:
    """Yield each pair of raters with the table of their answers to the units both judged.

    Yields:
        Index of the first and of the second rater, and (points, points) counts.
    """
    shape = (panel.rater_count, panel.unit_count)
    gave = []
    for point in range(len(panel.points)):
        chosen = panel.point == point
        ones = np.ones(int(chosen.sum()), np.float64)
        gave.append(
            sparse.csr_array((ones, (panel.rater[chosen], panel.unit[chosen])), shape=shape)
        )
    tables = np.empty((*shape[:1], *shape[:1], len(gave), len(gave)))
    for first, by_first in enumerate(gave):
        for second, by_second in enumerate(gave):
            tables[:, :, first, second] = (by_first @ by_second.T).toarray()
    for one in range(panel.rater_count):
        for other in range(one + 1, panel.rater_count):
            yield one, other, tables[one, other]
