"""Areas under curves and rates of raters who judged the same images, and how sure they are.

Each figure of a rater is, near enough, a mean over synthetic images plus a mean over real ones; how
far each image stands from its mean says how much the figure would move with other images. Images of
one prompt are kept together, and raters or arms that share images move together. Raters are a
sample too: what is said of their mean is meant for others like them.

Arrays may have leading axes: many studies of one layout are then analysed at once.
"""

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special  # type: ignore[import-untyped]

from .crossed import MOST_DF, SMALLEST, Estimate, Indices, Numbers

UNSEEN: Final = -1


@dataclasses.dataclass(frozen=True)
class Judged:
    """What raters answered about the images of one kind.

    Args:
        points:  (..., raters, images) index of the point answered, UNSEEN where there is none.
        prompts: (images,) index of the prompt of each image.
    """

    points: Indices
    prompts: Indices

    @property
    def is_seen(self) -> npt.NDArray[np.bool_]:
        """Which rater answered about which image."""
        seen: npt.NDArray[np.bool_] = self.points != UNSEEN
        return seen

    def counts(self, point_count: int) -> Numbers:
        """Return how often each rater gave each point, (..., raters, points)."""
        each = [(self.points == point).sum(axis=-1) for point in range(point_count)]
        return np.stack(each, axis=-1).astype(float)


@dataclasses.dataclass(frozen=True)
class Share:
    """What the images of one kind add to a figure of each rater, about its mean.

    Args:
        sums:    (..., raters, prompts) of deviations over the images of a prompt, as a share of the
                 rater's images.
        is_seen: (..., raters, prompts) whether the rater answered about any image of the prompt.
    """

    sums: Numbers
    is_seen: npt.NDArray[np.bool_]

    def times(self, factors: Numbers) -> "Share":
        """Return the share times a factor of each rater, (..., raters)."""
        return dataclasses.replace(self, sums=self.sums * factors[..., None])


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of each rater.

    Args:
        values: (..., raters).
        shares: What it rests on.
    """

    values: Numbers
    shares: tuple[Share, ...]

    def minus(self, other: "Figure") -> "Figure":
        """Return the difference of two figures of the same raters."""
        negative = tuple(share.times(-np.ones_like(other.values)) for share in other.shares)
        return Figure(self.values - other.values, (*self.shares, *negative))

    def of(self, raters: Indices) -> "Figure":
        """Return the figure of some raters, by index."""
        shares = tuple(
            Share(share.sums[..., raters, :], share.is_seen[..., raters, :])
            for share in self.shares
        )
        return Figure(self.values[..., raters], shares)


def share_of(judged: Judged, scores: Numbers, prompt_count: int) -> Share:
    """Return what images add to the mean of a score of each rater.

    Args:
        judged:       The images.
        scores:       (..., raters, images), of any value where unseen.
        prompt_count: Number of prompts of all kinds of images.
    """
    seen = judged.is_seen
    size = np.maximum(seen.sum(axis=-1, keepdims=True), 1)
    mean = np.where(seen, scores, 0.0).sum(axis=-1, keepdims=True) / size
    off = np.where(seen, scores - mean, 0.0) / size
    member = np.zeros((len(judged.prompts), prompt_count))
    member[np.arange(len(judged.prompts)), judged.prompts] = 1
    return Share(off @ member, (seen.astype(float) @ member) > 0)


def area(synthetic: Judged, real: Judged, points: int, prompts: int) -> Figure:
    """Return the area under each rater's curve.

    It is how often, of a synthetic and a real image, the synthetic one is given the higher point,
    ties counted half.

    Args:
        synthetic: Answers about synthetic images.
        real:      Answers about real ones, of the same raters.
        points:    Number of points of the scale, higher = more certainly synthetic.
        prompts:   Number of prompts.

    Source: DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44, 837-845; with
    several images of a prompt, Obuchowski (1997), Biometrics 53, 567-578.
    """
    above = _placements(synthetic, real.counts(points))
    below = 1 - _placements(real, synthetic.counts(points))
    seen = synthetic.is_seen
    values = np.where(seen, above, 0.0).sum(axis=-1) / np.maximum(seen.sum(axis=-1), 1)
    shares = (share_of(synthetic, above, prompts), share_of(real, below, prompts))
    return Figure(values, shares)


def _placements(judged: Judged, others: Numbers) -> Numbers:
    """Return the share of others that got a lower point, those of the same counted half."""
    total = np.maximum(others.sum(axis=-1, keepdims=True), 1)
    lower = (np.cumsum(others, axis=-1) - others / 2) / total
    return np.take_along_axis(lower, np.maximum(judged.points, 0), axis=-1)


def rate(judged: Judged, is_called: npt.NDArray[np.bool_], prompts: int) -> Figure:
    """Return the share of each rater's images of which something was said.

    Args:
        judged:    The images.
        is_called: (points,) whether a point says so.
        prompts:   Number of prompts.
    """
    scores = is_called.astype(float)[np.maximum(judged.points, 0)]
    seen = judged.is_seen
    values = np.where(seen, scores, 0.0).sum(axis=-1) / np.maximum(seen.sum(axis=-1), 1)
    return Figure(values, (share_of(judged, scores, prompts),))


def covariance(figure: Figure) -> Numbers:
    """Return how the figures of every two raters vary together with the images.

    It is what DeLong and others give where all raters judged the same images.

    Args:
        figure: Of raters.

    Returns:
        (..., raters, raters), with variances on the diagonal.

    Source: DeLong, DeLong & Clarke-Pearson (1988). Deviations of raters who judged
    different images are from means of different images; with n and m prompts of which k are shared,
    their products are by a factor of 1 - 1/n - 1/m + k/(n m) too small.
    """
    parts = [_together(first, second) for first in figure.shares for second in figure.shares]
    summed: Numbers = np.sum(parts, axis=0)
    return summed


def _together(first: Share, second: Share) -> Numbers:
    products: Numbers = first.sums @ np.swapaxes(second.sums, -1, -2)
    ours, theirs = first.is_seen.astype(float), second.is_seen.astype(float)
    shared = ours @ np.swapaxes(theirs, -1, -2)
    n = np.maximum(ours.sum(axis=-1), 1)[..., :, None]
    m = np.maximum(theirs.sum(axis=-1), 1)[..., None, :]
    factor = 1 - 1 / n - 1 / m + shared / (n * m)
    usable = (shared > 0) & (factor > SMALLEST)
    corrected: Numbers = np.divide(
        products, factor, out=np.zeros_like(products), where=usable
    )
    return corrected


def mean_over_raters(values: Numbers, covariances: Numbers, *, is_fixed: bool) -> Estimate:
    """Return the mean of raters' figures, sure of it as far as raters and images allow.

    With raters random the variance is MS(rater) / raters + Cov2, with Cov2 the mean covariance of
    two raters, not below 0; degrees of freedom are Hillis's. With raters fixed it is the mean of
    all variances and covariances, and the interval a normal one. Of a difference of two figures
    within raters, MS(rater) is twice MS(test x rater), and Cov2 twice Cov2 - Cov3 of the two.

    Args:
        values:      (..., raters).
        covariances: (..., raters, raters), see `covariance`.
        is_fixed:    Whether nothing is concluded for raters other than these.

    Returns:
        The estimate, with the component of raters as estimated: it can be negative.

    Source: Obuchowski & Rockette (1995), Communications in Statistics B 24, 285-308; Hillis (2007),
    Statistics in Medicine 26, 596-619; Hillis (2014), Statistics in Medicine 33, 330-360.
    """
    raters = values.shape[-1]
    value = values.mean(axis=-1)
    variances = np.trace(covariances, axis1=-2, axis2=-1) / raters
    whole = covariances.mean(axis=(-2, -1))
    nothing = np.full_like(value, np.nan)
    if is_fixed or raters < 2:
        return Estimate(value, _cut(whole), np.full_like(value, MOST_DF), nothing)
    between = np.maximum((raters * whole - variances) / (raters - 1), 0.0)
    square = _cut(np.sum((values - value[..., None]) ** 2, axis=-1) / (raters - 1))
    variance = square / raters + between
    df = np.divide(
        variance**2 * (raters - 1), (square / raters) ** 2,
        out=np.full_like(value, MOST_DF), where=square > 0,
    )  # fmt: skip
    component = square - variances + between
    return Estimate(value, variance, np.minimum(df, MOST_DF), component)


def _cut(variance: Numbers) -> Numbers:
    """Return a variance, 0 where it is but rounding."""
    return np.where(variance > SMALLEST, variance, 0.0)


def logit_interval(
    value: float, variance: float, df: float, level: float
) -> tuple[float, float]:
    """Return the interval of a share or an area within 0 and 1, by Student's t of its logit.

    Args:
        value:    Between 0 and 1; of 0 or 1 the interval is everything.
        variance: Of the value.
        df:       Degrees of freedom of the variance.
        level:    Coverage.

    Source: Pepe (2003), The Statistical Evaluation of Medical Tests for Classification and
    Prediction, Oxford.
    """
    if not 0 < value < 1:
        return 0.0, 1.0
    half = special.stdtrit(df, (1 + level) / 2) * np.sqrt(variance) / (value * (1 - value))
    middle = special.logit(value)
    return float(special.expit(middle - half)), float(special.expit(middle + half))


def curve(synthetic: Sequence[float], real: Sequence[float]) -> list[tuple[float, float]]:
    """Return shares of real and of synthetic images at or above each point, from the highest.

    Args:
        synthetic: Answers by point, lowest first; not all 0.
        real:      Likewise.

    Returns:
        (false positive rate, true positive rate), from (0, 0) to (1, 1).
    """
    rates = [np.cumsum([0, *reversed(counts)]) / np.sum(counts) for counts in (real, synthetic)]
    return [(float(x), float(y)) for x, y in zip(*rates, strict=True)]
