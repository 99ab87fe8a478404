"""Bootstrap intervals of statistics that depend on sums over units alone."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from .crossed import Numbers

SAMPLES: Final = 2000
LEAST_SAMPLES: Final = 500
LEAST_UNITS: Final = 20
MOST_DRAWS: Final = 10_000_000  # of units, over all samples
_AT_ONCE: Final = 1_000_000

Statistic = Callable[[Numbers], Numbers]


def bootstrap_interval(
    sums: Numbers, statistic: Statistic, *, level: float, seed: int
) -> tuple[float, float] | None:
    """Return the bias-corrected and accelerated interval of units drawn with replacement.

    Args:
        sums:      What is summed of each unit, (units, columns).
        statistic: From sums, (..., columns), to the statistic, (...); not a number where there is
                   none.
        level:     Coverage of the interval.
        seed:      Of the draw; the same sums and seed give the same interval.

    Returns:
        Both ends; None where more than 5 % of the samples have no such statistic, or all the same.

    Source: Efron (1987), Journal of the American Statistical Association 82, 171-185, with the
    acceleration from leaving out one unit after the other (Efron & Tibshirani 1993, An Introduction
    to the Bootstrap, equations 14.10 to 14.15).
    """
    total = sums.sum(axis=0)
    value = float(statistic(total))
    drawn = np.concatenate([statistic(part) for part in resampled(sums, seed)])
    left_out = statistic(total - sums)
    usable, left_out = drawn[np.isfinite(drawn)], left_out[np.isfinite(left_out)]
    if len(usable) < 0.95 * len(drawn) or np.ptp(usable) <= 1e-12 or np.ptp(left_out) <= 1e-12:
        return None
    below = (np.mean(usable < value) + np.mean(usable <= value)) / 2
    shift = special.ndtri(np.clip(below, 1 / len(usable), 1 - 1 / len(usable)))
    pull = left_out.mean() - left_out
    acceleration = np.sum(pull**3) / (6 * np.sum(pull**2) ** 1.5)
    ends = shift + special.ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    low, high = np.quantile(usable, special.ndtr(shift + ends / (1 - acceleration * ends)))
    return float(low), float(high)


def sample_count(unit_count: int) -> int:
    """Return how many samples are drawn: fewer of very many units, so that the time is bounded."""
    return int(np.clip(MOST_DRAWS // max(unit_count, 1), LEAST_SAMPLES, SAMPLES))


def resampled(sums: Numbers, seed: int) -> Iterator[Numbers]:
    """Yield sums over units drawn with replacement, as many as there are units.

    Args:
        sums: What is summed of each unit, (units, columns).
        seed: Of the draw.

    Yields:
        (samples, columns), `sample_count(units)` samples in all.
    """
    unit_count = len(sums)
    generator = np.random.default_rng(seed)
    left = sample_count(unit_count)
    while left:
        rows = min(left, max(1, _AT_ONCE // unit_count))
        drawn = generator.integers(unit_count, size=(rows, unit_count))
        drawn += unit_count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * unit_count).reshape(rows, unit_count)
        yield times.astype(float) @ sums
        left -= rows
