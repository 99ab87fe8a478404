"""Signal detection: how well two kinds are told apart whatever is called often, and the bias."""

from typing import Final

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from .crossed import Numbers
from .roc import Figure

CORRECTION: Final = 0.5


def corrected(counts: Numbers, totals: Numbers) -> Numbers:
    """Return rates after the log-linear correction: never 0 or 1.

    Args:
        counts: How often.
        totals: Out of how many.

    Source: Hautus (1995), Behavior Research Methods, Instruments, & Computers 27, 46-51: half a
    count is added to each cell, (x + 0.5) / (n + 1), whether or not there is a 0.
    """
    return (counts + CORRECTION) / (totals + 2 * CORRECTION)


def d_prime(hit: Numbers, false_alarm: Numbers) -> Numbers:
    """Return d', the distance of two kinds in units of their spread, z(hit) - z(false alarm).

    Source: Macmillan & Creelman (2005), Detection Theory: A User's Guide, 2nd ed., chapter 1.
    """
    distance: Numbers = special.ndtri(hit) - special.ndtri(false_alarm)
    return distance


def criterion(hit: Numbers, false_alarm: Numbers) -> Numbers:
    """Return c = -(z(hit) + z(false alarm)) / 2; below 0 for a bias towards what hits are of.

    Source: Macmillan & Creelman (2005), chapter 2.
    """
    middle: Numbers = -(special.ndtri(hit) + special.ndtri(false_alarm)) / 2
    return middle


def rate_variance(rate: Numbers, totals: Numbers) -> Numbers:
    """Return the variance of z of a rate: that of d' is the sum of those of its two rates.

    Args:
        rate:   After correction.
        totals: Out of how many images.

    Source: Gourevitch & Galanter (1967), Psychometrika 32, 25-33; Macmillan & Creelman (2005),
    chapter 13. That of c is a quarter of that of d'.
    """
    return rate * (1 - rate) / (totals * density(special.ndtri(rate)) ** 2)


def density(z: Numbers) -> Numbers:
    """Return the density of the standard normal distribution."""
    value: Numbers = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return value


def discrimination(
    hits: Figure, false_alarms: Figure, signals: Numbers, noises: Numbers
) -> tuple[Figure, Figure]:
    """Return d' and c of each rater.

    Args:
        hits:         Rates at which synthetic images are called synthetic.
        false_alarms: Rates at which real images are.
        signals:      (..., raters) synthetic images judged.
        noises:       Likewise real ones.
    """
    hit = corrected(hits.values * signals, signals)
    false_alarm = corrected(false_alarms.values * noises, noises)
    # How z moves with the uncorrected rate.
    of_hit = signals / (signals + 1) / density(special.ndtri(hit))
    of_false = noises / (noises + 1) / density(special.ndtri(false_alarm))
    (hit_share,), (false_share,) = hits.shares, false_alarms.shares
    hit_part, false_part = hit_share.times(of_hit), false_share.times(of_false)
    minus = -np.ones_like(of_hit)
    return (
        Figure(d_prime(hit, false_alarm), (hit_part, false_part.times(minus))),
        Figure(
            criterion(hit, false_alarm), (hit_part.times(minus / 2), false_part.times(minus / 2))
        ),
    )
