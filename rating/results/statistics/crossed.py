"""Means and differences of scores that crossed raters and prompts gave, and how sure they are.

A score is a sum of independent random effects of its rater, its prompt and what is left (rater x
prompt and error in one, with one cell for each). Raters and prompts are samples, and what is said
is meant for others like them. Where every rater judged every prompt, all of this is the two-way
analysis of variance; where raters saw different prompts, the method of moments gives the same
components from sums of squares of fitted constants (Henderson's method 3), and reduces to it.

Arrays may have leading axes: many studies of one layout are then analysed at once.
"""

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse, special  # type: ignore[import-untyped]
from scipy.sparse import csgraph  # type: ignore[import-untyped]

Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

# Sums of squares below this share of the total, or this small for each value, are rounding errors.
ROUNDING: Final = 1e-12
SMALLEST: Final = 1e-18
MOST_DF: Final = 1e6  # where nothing varies


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which rater judged which prompt: one entry a cell, no cell twice.

    Args:
        raters:  Index of the rater of each cell, 0 to rater_count - 1; each has a cell.
        prompts: Likewise of the prompt.
    """

    raters: Indices
    prompts: Indices

    @property
    def rater_count(self) -> int:
        """Number of raters."""
        return int(self.raters.max()) + 1

    @property
    def prompt_count(self) -> int:
        """Number of prompts."""
        return int(self.prompts.max()) + 1

    @property
    def cell_count(self) -> int:
        """Number of cells."""
        return len(self.raters)

    @property
    def is_complete(self) -> bool:
        """Whether every rater judged every prompt."""
        return self.cell_count == self.rater_count * self.prompt_count

    def incidence(self) -> Numbers:
        """Return a matrix of raters x prompts, 1 where there is a cell."""
        matrix = np.zeros((self.rater_count, self.prompt_count))
        matrix[self.raters, self.prompts] = 1
        return matrix

    def part_count(self) -> int:
        """Return into how many parts the layout falls that share neither rater nor prompt."""
        count = self.rater_count + self.prompt_count
        links = sparse.coo_array(
            (np.ones(self.cell_count), (self.raters, self.prompts + self.rater_count)),
            shape=(count, count),
        )
        return int(csgraph.connected_components(links, directed=False)[0])


@dataclasses.dataclass(frozen=True)
class MeanSquares:
    """Mean squares of a two-way table, each with its degrees of freedom.

    Args:
        rater:       Of raters, prompts fitted.
        prompt:      Of prompts, raters fitted.
        residual:    Of what is left; 0 where it has no degrees of freedom.
        rater_df:    Degrees of freedom.
        prompt_df:   Degrees of freedom.
        residual_df: Degrees of freedom.
        rater_size:  Expected `rater` is residual + rater_size * component of raters.
        prompt_size: Likewise of prompts.
    """

    rater: Numbers
    prompt: Numbers
    residual: Numbers
    rater_df: int
    prompt_df: int
    residual_df: int
    rater_size: float
    prompt_size: float

    @property
    def rater_component(self) -> Numbers:
        """Variance of the effects of raters, as estimated; it can be negative."""
        return (self.rater - self.residual) / self.rater_size

    @property
    def prompt_component(self) -> Numbers:
        """Variance of the effects of prompts, as estimated; it can be negative."""
        return (self.prompt - self.residual) / self.prompt_size


def mean_squares(layout: Layout, values: Numbers) -> MeanSquares:
    """Return the mean squares of raters, of prompts and of the residual.

    Args:
        layout: Which cells there are.
        values: (..., cells), in the order of the layout.

    Source: Henderson (1953), Biometrics 9, 226-252, method 3 (reductions of sums of squares by
    fitting constants); Searle, Casella & McCulloch (1992), Variance Components, section 5.5.
    """
    incidence = layout.incidence()  # (raters, prompts)
    of_rater, of_prompt = incidence.sum(axis=1), incidence.sum(axis=0)
    values = values - values.mean(axis=-1, keepdims=True)
    rater_sum = sums(values, layout.raters, layout.rater_count)
    prompt_sum = sums(values, layout.prompts, layout.prompt_count)
    by_rater = np.sum(rater_sum**2 / of_rater, axis=-1)
    by_prompt = np.sum(prompt_sum**2 / of_prompt, axis=-1)
    share = incidence / of_prompt
    fitted = np.diag(of_rater) - share @ incidence.T  # (raters, raters), singular
    left = rater_sum - prompt_sum @ share.T
    inverse = np.linalg.pinv(fitted, hermitian=True)
    rater_after_prompt = np.einsum("...i,ij,...j->...", left, inverse, left)
    prompt_after_rater = by_prompt + rater_after_prompt - by_rater
    residual = np.sum(values**2, axis=-1) - by_prompt - rater_after_prompt
    parts, cells = layout.part_count(), layout.cell_count
    raters, prompts = layout.rater_count, layout.prompt_count
    dfs = (raters - parts, prompts - parts, cells - raters - prompts + parts)
    nothing = np.maximum(ROUNDING * np.sum(values**2, axis=-1), SMALLEST * cells)
    squares = [
        np.where(sum_ > nothing, sum_, 0.0) / df if df else np.zeros_like(sum_)
        for sum_, df in zip((rater_after_prompt, prompt_after_rater, residual), dfs, strict=True)
    ]
    sizes = [
        (cells - others) / df if df else 1.0
        for others, df in ((prompts, dfs[0]), (raters, dfs[1]))
    ]
    return MeanSquares(squares[0], squares[1], squares[2], *dfs, *sizes)


def sums(values: Numbers, groups: Indices, count: int) -> Numbers:
    """Return the sum of each group: (..., cells) -> (..., count)."""
    member = sparse.csr_array(
        (np.ones(len(groups)), (np.arange(len(groups)), groups)), shape=(len(groups), count)
    )
    flat = values.reshape(-1, values.shape[-1])
    summed: Numbers = (member.T @ flat.T).T
    return summed.reshape(*values.shape[:-1], count)


@dataclasses.dataclass(frozen=True)
class Side:
    """Cells whose mean is added (sign 1) or subtracted (sign -1).

    Args:
        layout: Which cells there are; the raters are those of the other side.
        values: (..., cells).
        sign:   1 or -1.
    """

    layout: Layout
    values: Numbers
    sign: int = 1


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean or a difference of means.

    Args:
        value:    The estimate.
        variance: Of the estimate; 0 where nothing varies.
        df:       Degrees of freedom of the variance; 0 where it cannot be estimated.
        rater:    Component of raters (of a difference: of their differences), as estimated: it can
                  be negative. Not a number with one rater.
    """

    value: Numbers
    variance: Numbers
    df: Numbers
    rater: Numbers

    def interval(self, level: float = 0.95) -> tuple[Numbers, Numbers]:
        """Return both ends of the two-sided interval by Student's t."""
        half = special.stdtrit(self.df, (1 + level) / 2) * np.sqrt(self.variance)
        return self.value - half, self.value + half

    def p_above(self, bound: float = 0.0) -> Numbers:
        """Return the p value of the one-sided test that the truth is above a bound."""
        ratio = (self.value - bound) / np.sqrt(self.variance)
        p: Numbers = special.stdtr(self.df, -ratio)
        return p

    def p_below(self, bound: float = 0.0) -> Numbers:
        """Return the p value of the one-sided test that the truth is below a bound."""
        ratio = (self.value - bound) / np.sqrt(self.variance)
        p: Numbers = special.stdtr(self.df, ratio)
        return p

    def p_two_sided(self) -> Numbers:
        """Return the p value of the two-sided test that the truth is 0."""
        return 2 * np.minimum(self.p_above(), self.p_below())



def rater_weights(layouts: Sequence[Layout]) -> Numbers:
    """Return the weight of each rater in a difference: (raters,), of sum 1.

    It is as 1 over the sum of 1 / cells of each side: of one side the share of the cells, and of
    two such that a rater with few cells on either side counts little.
    """
    weights = 1 / np.sum([1 / np.bincount(layout.raters) for layout in layouts], axis=0)
    scaled: Numbers = weights / weights.sum()
    return scaled


def estimate(sides: Sequence[Side], *, is_fixed: bool = False) -> Estimate:
    """Return the mean of one side, or the difference of two, within raters.

    With raters random its variance is a sum of a term of raters, with raters - 1 degrees of
    freedom, and one of the prompts of each side, with their own; negative components count as 0.
    Of one complete side it is [MS(rater) + MS(prompt) - MS(residual)] / cells. With raters fixed
    only prompts and residual count; of one complete side it is the t test of means of prompts.

    Args:
        sides:    One or two, with the same raters. A difference paired within rater and prompt is
                  one side, of differences.
        is_fixed: Whether nothing is concluded for raters other than these.

    Returns:
        The estimate, for every study of the leading axes.

    Source: Obuchowski & Rockette (1995), Communications in Statistics B 24, 285-308, for the
    variance; Hillis (2007), Statistics in Medicine 26, 596-619, for degrees of freedom in the
    manner of Satterthwaite (1946), with the term of prompts kept; Henderson (1953), Biometrics 9,
    226-252, for expected sums of squares of incomplete layouts.
    """
    weights = rater_weights([side.layout for side in sides])
    parts = [_part(side, weights, is_fixed=is_fixed) for side in sides]
    differences = np.sum([part.rater_means for part in parts], axis=0)  # (..., raters)
    value: Numbers = differences @ weights
    noise = np.sum([part.noise for part in parts], axis=0)
    rater, rater_term = np.full_like(value, np.nan), np.zeros_like(value)
    terms = [(part.prompt_term, part.prompt_df) for part in parts]
    if len(weights) > 1:
        spread = np.sum(weights * (differences - value[..., None]) ** 2, axis=-1)
        spread = np.where(spread > SMALLEST, spread, 0.0)
        expected = np.sum([part.expected_spread for part in parts], axis=0)
        squared = float(np.sum(weights**2))
        rater = (spread - expected) / (1 - squared)
        rater_term = noise + squared * np.maximum(rater, 0.0)
    if is_fixed:
        terms = [(part.prompt_term + part.noise, part.prompt_df) for part in parts]
    else:
        terms.append((rater_term, len(weights) - 1))
    variance, df = _satterthwaite(terms)
    return Estimate(value, variance, df, rater)


@dataclasses.dataclass(frozen=True)
class _Part:
    """What a side adds: signed means of raters, and variance by its source."""

    rater_means: Numbers
    noise: Numbers
    prompt_term: Numbers
    prompt_df: int
    expected_spread: Numbers  # of the means of raters about their mean, were raters all alike


def _part(side: Side, weights: Numbers, *, is_fixed: bool) -> _Part:
    layout = side.layout
    squares = mean_squares(layout, side.values)
    counts = np.bincount(layout.raters)
    cells = (weights / counts)[layout.raters]
    of_cells = float(np.sum(cells**2))
    of_prompts = float(np.sum(np.bincount(layout.prompts, cells) ** 2))
    of_raters = float(np.sum(weights / counts))
    component = squares.prompt_component
    # With fixed raters and all cells the sum with the residual is a mean square, never negative.
    is_kept = is_fixed and layout.is_complete
    counted = component if is_kept else np.maximum(component, 0.0)
    return _Part(
        rater_means=side.sign * sums(side.values, layout.raters, len(counts)) / counts,
        noise=squares.residual * of_cells,
        prompt_term=counted * of_prompts,
        prompt_df=squares.prompt_df,
        expected_spread=component * (of_raters - of_prompts)
        + squares.residual * (of_raters - of_cells),
    )


def _satterthwaite(terms: Sequence[tuple[Numbers, int]]) -> tuple[Numbers, Numbers]:
    """Return the sum of variances and its degrees of freedom; 0 where one of them has none."""
    variance: Numbers = np.sum([term for term, _ in terms], axis=0)
    if any(df == 0 for _, df in terms):
        return variance, np.zeros_like(variance)
    spread = np.sum([term**2 / df for term, df in terms], axis=0)
    df = np.divide(variance**2, spread, out=np.full_like(variance, MOST_DF), where=spread > 0)
    return variance, df
