"""Intraclass correlation of crossed raters and stimuli, also where raters saw different ones."""

import dataclasses
import math
from typing import Final

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from .crossed import Indices, Layout, Numbers, mean_squares

_NONE: Final = 1e-12


@dataclasses.dataclass(frozen=True, slots=True)
class Intraclass:
    """An intraclass correlation for absolute agreement, raters random.

    Args:
        value:       Estimate; it can be negative, down to -1.
        low:         Lower end of its interval; None where nothing is left over to estimate it.
        high:        Upper end.
        rater_count: Raters whose mean is meant: 1 for a single rater.
    """

    value: float
    low: float | None
    high: float | None
    rater_count: float


@dataclasses.dataclass(frozen=True, slots=True)
class Squares:
    """Mean squares of units, raters and residual, with the numbers that their expectations have.

    The expected mean square of units is residual + unit_size * variance of units, that of raters
    residual + rater_size * variance of raters. Where every rater judged every unit the sizes are
    the numbers of raters and of units.

    Args:
        unit:        Of units, raters fitted.
        rater:       Of raters, units fitted.
        residual:    Of what is left.
        unit_df:     Degrees of freedom.
        rater_df:    Degrees of freedom.
        residual_df: Degrees of freedom.
        unit_size:   See above.
        rater_size:  See above.
    """

    unit: float
    rater: float
    residual: float
    unit_df: int
    rater_df: int
    residual_df: int
    unit_size: float
    rater_size: float


def squares_of(rater: Indices, unit: Indices, values: Numbers) -> Squares | None:
    """Return the mean squares of answers; None where something cannot be told apart.

    Args:
        rater:  Index of the rater of each answer.
        unit:   Index of the unit of each answer; no rater twice to one unit.
        values: Answers.

    Source: Henderson (1953), Biometrics 9, 226-252, method 3. Of a complete matrix it is the
    two-way analysis of variance of Shrout & Fleiss (1979), Psychological Bulletin 86, 420-428.
    """
    layout = Layout(rater, unit)
    found = mean_squares(layout, values)
    if not (found.rater_df and found.prompt_df and found.residual_df):
        return None
    return Squares(
        unit=float(found.prompt),
        rater=float(found.rater),
        residual=float(found.residual),
        unit_df=found.prompt_df,
        rater_df=found.rater_df,
        residual_df=found.residual_df,
        unit_size=found.prompt_size,
        rater_size=found.rater_size,
    )


def intraclass(squares: Squares, rater_count: float, level: float) -> Intraclass | None:
    """Return ICC(2,1), or ICC(2,k) for the mean of k raters; None where units do not differ.

    It is unit / (unit + (rater + residual) / k) of the variance components, in McGraw & Wong's
    words ICC(A,1) and ICC(A,k). The interval is theirs, by the distribution of F with degrees of
    freedom in the manner of Satterthwaite; exact for no layout, and for incomplete ones with the
    sizes and degrees of freedom of the layout in place of the numbers of raters and units.

    Args:
        squares:     Of the answers.
        rater_count: Raters whose mean is meant, 1 or more.
        level:       Coverage of the interval.

    Source: Shrout & Fleiss (1979), Psychological Bulletin 86, 420-428, ICC(2,1) and ICC(2,k);
    McGraw & Wong (1996), Psychological Methods 1, 30-46, ICC(A,1) and ICC(A,k).
    """
    if squares.unit <= _NONE:
        return None
    size, many = squares.unit_size, squares.rater_size
    units = (squares.unit - squares.residual) / size
    noise = (squares.rater - squares.residual) / many + squares.residual
    if noise <= _NONE:
        return Intraclass(1.0, None, None, rater_count)
    value = _correlation(units / noise, rater_count)
    df = _noise_df(squares, units / noise)
    ends = []
    for share in ((1 + level) / 2, (1 - level) / 2):
        f = float(stats.f.ppf(share, squares.unit_df, df))
        ratio = many * (squares.unit - f * squares.residual)
        ratio /= f * size * (squares.rater + (many - 1) * squares.residual)
        ends.append(_correlation(ratio, rater_count))
    return Intraclass(value, ends[0], ends[1], rater_count)


def _correlation(ratio: float, rater_count: float) -> float:
    """Return the correlation of a ratio of variances, -1 where it would be below."""
    scaled = rater_count * ratio
    return scaled / (1 + scaled) if scaled > -0.5 else -1.0


def _noise_df(squares: Squares, ratio: float) -> float:
    """Return the degrees of freedom of the mean squares that those of units are held against.

    Args:
        squares: Of the answers.
        ratio:   Variance of units over that of raters and residual.
    """
    of_raters = squares.unit_size * ratio / squares.rater_size
    of_residual = 1 + squares.unit_size * ratio * (1 - 1 / squares.rater_size)
    terms = (
        (of_raters * squares.rater, squares.rater_df),
        (of_residual * squares.residual, squares.residual_df),
    )
    total = sum(term for term, _ in terms)
    return total**2 / sum(term**2 / df for term, df in terms)


def mean_rater_count(unit: Indices) -> float:
    """Return the harmonic mean of the numbers of raters of the units.

    The variance of a mean falls with 1 / raters, so that of their means that of this many.
    """
    counts = np.bincount(unit)
    return float(len(counts) / np.sum(1 / counts)) if len(counts) else math.nan
