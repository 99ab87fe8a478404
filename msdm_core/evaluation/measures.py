"""All figures of a set of images beside real ones, each with its interval and its floor.

The floor of a figure is what real images score in the place of generated ones. Two are given: half
of the reference against the other half, and held-out real images against the reference; the
generated images are compared with as many real ones, since all but KID depend on how many there
are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from msdm_core.evaluation import distribution as sets
from msdm_core.evaluation.nearest import (
    Nearest,
    feature_vectors,
    near_threshold,
    nearest,
    nearest_of_another_group,
    percentile_among,
    pixel_vectors,
)

SPLITS = 5  # random halves and subsets that floors are averaged over
Z = 1.96
Figure = dict[str, Any]
STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "frechet_distance": sets.frechet_distance,
    "kernel_distance": lambda real, made: sets.kernel_distance(real, made)[0],
    "mifid": sets.memorisation_informed_distance,
    "precision": lambda real, made: sets.precision_recall(real, made)[0],
    "recall": lambda real, made: sets.precision_recall(real, made)[1],
    "f1": lambda real, made: sets.f1(*sets.precision_recall(real, made)),
}
SHARES = ("precision", "recall", "f1")
# Where the distribution of nearness is kept, in per cent; finer at the end where copies are.
PERCENTILES = (0, 0.2, 0.5, 1, 2, 3, 4, 5, 7.5, *range(10, 100, 5), 98, 99, 100)


def with_interval(value: float, error: float, low: float = -np.inf, high: float = np.inf) -> Figure:
    """Return a figure with its 95 % interval, kept inside the figure's own range."""
    return {
        "value": value,
        "low": float(max(low, value - Z * error)),
        "high": float(min(high, value + Z * error)),
    }


def set_figures(reference: np.ndarray, made: np.ndarray, held_out: np.ndarray) -> dict[str, Figure]:
    """Return the figures of a set of images by their features.

    Args:
        reference: (R, D) features of real images, such as the training images.
        made:      (N, D) features of generated images.
        held_out:  (V, D) features of real images that are not in the reference.

    Returns:
        Name -> {"value", "low", "high"} of all images against the reference, and with as many real
        images in their place: "halves" {"real", "made", "count"} against one half of the
        reference, "held_out" alike against the reference.
    """
    figures: dict[str, Figure] = {}
    rest, parts, made_parts = _halves(reference, made)
    count = min(len(held_out), len(made))
    real_subsets, made_subsets = _subsets(held_out, count), _subsets(made, count)
    for name, statistic in STATISTICS.items():
        low, high = (0.0, 1.0) if name in SHARES else (-np.inf, np.inf)
        error = sets.half_sample_error(statistic, (reference, made))
        figure = with_interval(statistic(reference, made), error, low, high)
        figure["halves"] = {
            "real": _mean(statistic(r, p) for r, p in zip(rest, parts, strict=True)),
            "made": _mean(statistic(r, p) for r, p in zip(rest, made_parts, strict=True)),
            "count": len(parts[0]),
        }
        figure["held_out"] = {
            "real": _mean(statistic(reference, part) for part in real_subsets),
            "made": _mean(statistic(reference, part) for part in made_subsets),
            "count": count,
        }
        figures[name] = figure
    error = sets.half_sample_error(sets.feature_diversity, (made,))
    figures["diversity"] = with_interval(sets.feature_diversity(made), error, 0.0, 2.0) | {
        "held_out": {"real": sets.feature_diversity(held_out), "count": len(held_out)},
    }
    return figures


def _halves(
    reference: np.ndarray, made: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Return, for each random split, the rest of the reference, a part of it, and made images."""
    count = min(len(made), len(reference) // 2)
    rng = np.random.default_rng(0)
    rests, parts, made_parts = [], [], []
    for _ in range(SPLITS):
        order = rng.permutation(len(reference))
        rests.append(reference[order[count:]])
        parts.append(reference[order[:count]])
        made_parts.append(made[rng.permutation(len(made))[:count]])
    return rests, parts, made_parts


def _subsets(features: np.ndarray, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    if count == len(features):
        return [features]
    return [features[rng.permutation(len(features))[:count]] for _ in range(SPLITS)]


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))


def memorisation_figures(
    training: np.ndarray,
    groups: Sequence[str],
    made: np.ndarray,
    held_out: np.ndarray,
) -> tuple[Figure, Nearest]:
    """Return how often images are nearer to a training image than real ones of others are.

    Args:
        training: (T, D) vectors of training images.
        groups:   T names; images of one group are of one patient or near-duplicates.
        made:     (N, D) vectors of generated images.
        held_out: (V, D) vectors of unseen real images.

    Returns:
        The figure, and the nearest training image of each generated one. "threshold" is the
        distance that 1 % of training images are below to the nearest of another group; "made" and
        "real" the share of images below it, "made_percentile" and "real_percentile" the median
        percentile of an image's distance among those of training images; "made_below" and
        "real_below" the share of images below each of `PERCENTILES` of those distances.
    """
    usual = nearest_of_another_group(training, groups).distance
    threshold = near_threshold(usual)
    of_made, of_real = nearest(made, training), nearest(held_out, training)
    is_near = (of_made.distance < threshold).astype(float)
    error = float(is_near.std() / np.sqrt(len(is_near)))
    return {
        "threshold": threshold,
        "made": with_interval(float(is_near.mean()), error, 0.0, 1.0),
        "real": float((of_real.distance < threshold).mean()),
        "made_percentile": float(np.median(percentile_among(of_made.distance, usual))),
        "real_percentile": float(np.median(percentile_among(of_real.distance, usual))),
        "made_below": _shares_below(of_made.distance, usual),
        "real_below": _shares_below(of_real.distance, usual),
    }, of_made


def _shares_below(distance: np.ndarray, usual: np.ndarray) -> dict[str, float]:
    limits = np.percentile(usual, PERCENTILES)
    shares = (distance[:, None] < limits).mean(axis=0)
    return {f"{place:g}": float(share) for place, share in zip(PERCENTILES, shares, strict=True)}


def memorisation(
    training: tuple[np.ndarray, np.ndarray],
    groups: Sequence[str],
    made: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
) -> tuple[dict[str, Figure], Nearest]:
    """Return `memorisation_figures` by features and by pixels, and the nearest by features.

    Args:
        training: (T, D) features and (T, S, S, 3) uint8 images.
        groups:   As for `memorisation_figures`.
        made:     Features and images of generated images.
        held_out: Features and images of unseen real images.
    """
    by_features, of_made = memorisation_figures(
        *(feature_vectors(training[0]), groups),
        *(feature_vectors(part[0]) for part in (made, held_out)),
    )
    by_pixels, _ = memorisation_figures(
        *(pixel_vectors(training[1]), groups),
        *(pixel_vectors(part[1]) for part in (made, held_out)),
    )
    return {"features": by_features, "pixels": by_pixels}, of_made
