"""Krippendorff's alpha and the share of pairs that agree, of any number of raters and gaps.

Both depend on sums over units alone, of how often each pair of points met: the time is linear in
the answers, and a bootstrap sample of units is a weighted sum.
"""

from typing import Literal

import numpy as np

from .crossed import Numbers

Metric = Literal["nominal", "ordinal", "interval", "ratio"]


def coincidences(counts: Numbers) -> Numbers:
    """Return the coincidences of each unit, (units, points, points).

    A unit with m answers has m (m - 1) ordered pairs of them, each counted 1 / (m - 1); a unit with
    one answer has none.

    Args:
        counts: How often each unit got each point, (units, points).

    Source: Krippendorff (2011), Computing Krippendorff's Alpha-Reliability.
    """
    answers = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    weight = np.divide(1.0, answers - 1, out=np.zeros_like(answers), where=answers > 1)
    scaled: Numbers = pairs * weight[:, None, None]
    return scaled


def alpha(coincidence: Numbers, metric: Metric, points: tuple[float, ...]) -> Numbers:
    """Return Krippendorff's alpha; not a number where all answers are the same.

    Args:
        coincidence: Summed over units, (..., points, points).
        metric:      Which differences count how much.
        points:      What the points are worth, ascending; of "interval" and "ratio".

    Returns:
        (...): 1 for perfect agreement, 0 for what chance gives, negative below.

    Source: Krippendorff (2011), Computing Krippendorff's Alpha-Reliability.
    """
    margin = coincidence.sum(axis=-1)
    total = margin.sum(axis=-1)
    distance = _distance(margin, metric, np.asarray(points, float))
    observed = np.sum(coincidence * distance, axis=(-2, -1))
    expected = np.einsum("...c,...k,...ck->...", margin, margin, distance)
    ratio = np.divide(
        observed * (total - 1), expected, out=np.full_like(total, np.nan), where=expected > 0
    )
    found: Numbers = 1 - ratio
    return found


def _distance(margin: Numbers, metric: Metric, points: Numbers) -> Numbers:
    """Return the squared difference of each pair of points, (..., points, points)."""
    if metric == "nominal":
        return 1 - np.eye(len(points))
    if metric == "ordinal":
        # The answers between two points, half of those at both ends: a difference of mid-ranks.
        points = np.cumsum(margin, axis=-1) - margin / 2
    difference = points[..., :, None] - points[..., None, :]
    if metric == "ratio":
        total = points[:, None] + points[None, :]
        difference = np.divide(difference, total, out=np.zeros_like(total), where=total != 0)
    squared: Numbers = difference**2
    return squared


def pair_shares(counts: Numbers, within: int) -> tuple[Numbers, Numbers]:
    """Return for each unit the pairs of answers that differ by few points, and all pairs.

    Args:
        counts: How often each unit got each point, (units, points).
        within: Largest difference in points; 0: the same answer.

    Returns:
        Two arrays (units,), in unordered pairs.
    """
    answers = counts.sum(axis=1)
    agreeing = np.sum(counts * (counts - 1), axis=1) / 2
    for step in range(1, within + 1):
        agreeing = agreeing + np.sum(counts[:, step:] * counts[:, :-step], axis=1)
    return agreeing, answers * (answers - 1) / 2
