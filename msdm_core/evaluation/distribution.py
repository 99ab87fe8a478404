"""How near two sets of images are, by their features: distances, precision, recall, diversity.

Figures of different feature networks do not compare, and all but KID depend on the number of
images: compare figures of as many images each, and with the floor, real against real.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

NEIGHBOURS = 3  # of improved precision and recall, as in the paper and in the field
KID_SUBSETS = 100
MOST_KID_SUBSET = 500
HALF_DRAWS = 100
FEW_HALF_DRAWS = 20  # where features are so wide that a distance takes seconds
WIDE_FEATURES = 512


class _Given(torch.nn.Identity):
    """Hands features that were computed before to a metric that would compute them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width


def _metric(kind: Any, width: int, **options: Any) -> Any:
    with warnings.catch_warnings():
        # It says that it keeps all features in memory, where they are already.
        warnings.filterwarnings("ignore", "Metric `.*` will save all extracted features")
        metric = kind(feature=_Given(width), **options)
    return metric.set_dtype(torch.float64)


def _compared(kind: Any, real: np.ndarray, made: np.ndarray, **options: Any) -> Any:
    metric = _metric(kind, real.shape[1], **options)
    metric.update(torch.from_numpy(real.astype(np.float64)), real=True)
    metric.update(torch.from_numpy(made.astype(np.float64)), real=False)
    return metric.compute()


def frechet_distance(real: np.ndarray, made: np.ndarray) -> float:
    """Return the Frechet distance of the two sets' Gaussians; 0 for equal ones.

    Args:
        real: (N, D) features, N at least 2.
        made: (M, D) features.

    Source: Heusel et al. 2017, arXiv:1706.08500, equation 6; as in torchmetrics.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    # Rounding can put the distance of a set from itself below zero.
    return max(0.0, float(_compared(FrechetInceptionDistance, real, made)))


def kernel_distance(real: np.ndarray, made: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the kernel distance (KID) and its standard deviation over subsets.

    It has no bias from the number of images; about 0 for sets of the same kind.

    Args:
        real: (N, D) features, N at least 4.
        made: (M, D) features.
        seed: Of the subsets.

    Source: Binkowski et al. 2018, arXiv:1801.01401; polynomial kernel of degree 3, as in
    torchmetrics.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(MOST_KID_SUBSET, len(real), len(made))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, deviation = _compared(
            KernelInceptionDistance, real, made, subsets=KID_SUBSETS, subset_size=size
        )
    return float(mean), float(deviation)


def memorisation_informed_distance(real: np.ndarray, made: np.ndarray) -> float:
    """Return MIFID: the Frechet distance, made larger where images copy `real` ones.

    Source: Bai et al. 2021, arXiv:2106.03062; as in torchmetrics (threshold 0.1).
    """
    from torchmetrics.image.mifid import MemorizationInformedFrechetInceptionDistance

    # torchmetrics goes from each image of its first set to the nearest of the second; the paper
    # asks for each generated image how near the nearest training image is.
    return float(_compared(MemorizationInformedFrechetInceptionDistance, made, real))


def inception_score(class_logits: np.ndarray, seed: int = 0) -> float:
    """Return the Inception score of (N, K) logits of exclusive classes; between 1 and K.

    Source: Salimans et al. 2016, arXiv:1606.03498; as in torchmetrics, in one split.
    """
    from torchmetrics.image.inception import InceptionScore

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        metric = _metric(InceptionScore, class_logits.shape[1], splits=1)
        metric.update(torch.from_numpy(class_logits.astype(np.float64)))
        with warnings.catch_warnings():
            # The spread over splits, which is not asked for, has no meaning for a single one.
            warnings.filterwarnings("ignore", r"std\(\): degrees of freedom")
            return float(metric.compute()[0])


def joint_logits(probabilities: np.ndarray) -> np.ndarray:
    """Return logits of all 2**K combinations of K attributes that are read one by one.

    Args:
        probabilities: (N, K) of independent attributes.

    Returns:
        (N, 2**K); their softmax is the product of the attributes' probabilities.
    """
    count = probabilities.shape[1]
    if count > 12:
        raise ValueError(f"{count} attributes have {2**count} combinations; 12 is the most.")
    odds = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    odds = np.log(odds / (1 - odds))
    combinations = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    return odds @ combinations.T


def precision_recall(
    real: np.ndarray, made: np.ndarray, neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """Return improved precision and recall, each in [0, 1].

    Precision is the share of made images inside the real manifold: within the distance from some
    real image to its k-th nearest real one. Recall is the same the other way round.

    Args:
        real:       (N, D) features, N above `neighbours`.
        made:       (M, D) features, M above `neighbours`.
        neighbours: k.

    Source: Kynkaanniemi et al. 2019, arXiv:1904.06991, equations 1 and 2.
    """
    between = distances(made, real)  # (M, N)
    inside_real = between <= _radii(real, neighbours)[None, :]
    inside_made = between <= _radii(made, neighbours)[:, None]
    return float(inside_real.any(axis=1).mean()), float(inside_made.any(axis=0).mean())


def _radii(features: np.ndarray, neighbours: int) -> np.ndarray:
    own = distances(features, features)
    np.fill_diagonal(own, 0.0)
    return np.partition(own, neighbours, axis=1)[:, neighbours]  # the nearest is itself


def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return (N, M) Euclidean distances of (N, D) and (M, D), in float64."""
    one, other = (torch.from_numpy(part.astype(np.float64)) for part in (first, second))
    # By matrix products it would be quicker, and wrong for images that are nearly the same.
    mode = "donot_use_mm_for_euclid_dist"
    return np.asarray(torch.cdist(one, other, compute_mode=mode).numpy())


def f1(precision: float, recall: float) -> float:
    """Return the harmonic mean of precision and recall, 0 where both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def feature_diversity(features: np.ndarray) -> float:
    """Return the mean distance of pairs of images, of features of unit length; 0 to 2.

    Source: the 2025 MEDVQA-GI evaluator's diversity, over a whole set.
    """
    if len(features) < 2:
        return float("nan")
    unit = unit_length(features)
    return float(distances(unit, unit).sum() / (len(unit) * (len(unit) - 1)))


def unit_length(features: np.ndarray) -> np.ndarray:
    """Return the (N, D) features scaled to length 1; those of length 0 stay."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths == 0, 1, lengths)


def half_sample_error(
    statistic: Callable[..., float], sets: Sequence[np.ndarray], seed: int = 0
) -> float:
    """Return the standard error of a statistic of sets of images, by delete-half jackknife.

    Halves are drawn without replacement: an image drawn twice, as in a bootstrap, would be its own
    nearest neighbour. The spread of halves about their own mean is used, so that what a statistic
    owes to the number of images alone does not count.

    Args:
        statistic: Of the sets, in order.
        sets:      (N, ...) each; halves are drawn of each.
        seed:      Of the halves.

    Source: Shao and Wu 1989, Annals of Statistics 17, 1176-1197.
    """
    rng = np.random.default_rng(seed)
    is_wide = any(part.ndim == 2 and part.shape[1] > WIDE_FEATURES for part in sets)
    values = [
        statistic(*(part[rng.permutation(len(part))[: len(part) // 2]] for part in sets))
        for _ in range(FEW_HALF_DRAWS if is_wide else HALF_DRAWS)
    ]
    return float(np.std(values))
