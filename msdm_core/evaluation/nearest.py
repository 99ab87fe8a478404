"""How near images are to the training images: are patients reproduced?

Nearness is measured twice: by the cosine of features, and by pixels. What is usual is set by the
training images themselves: how near each is to the nearest other one of another group (patient,
or set of near-duplicates).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from msdm_core.evaluation.distribution import distances, unit_length

THUMBNAIL_PX = 32
NEAR_PERCENTILE = 1.0


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest training image of each of N images.

    Attributes:
        index: (N,) of the training images.
        distance: (N,) float64.
    """

    index: np.ndarray
    distance: np.ndarray


def nearest(images: np.ndarray, training: np.ndarray) -> Nearest:
    """Return the nearest of (M, D) training vectors to each of (N, D) vectors."""
    between = distances(images, training)
    index = between.argmin(axis=1)
    return Nearest(index, between[np.arange(len(between)), index])


def nearest_of_another_group(training: np.ndarray, groups: Sequence[str]) -> Nearest:
    """Return the nearest other training vector of another group to each training vector.

    Args:
        training: (M, D).
        groups:   M names; images of one group are of one patient or near-duplicates.
    """
    between = distances(training, training)
    names = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    between[names[:, None] == names[None, :]] = np.inf
    index = between.argmin(axis=1)
    return Nearest(index, between[np.arange(len(between)), index])


def feature_vectors(features: np.ndarray) -> np.ndarray:
    """Return vectors whose Euclidean distance grows with the angle of the (N, D) features."""
    return unit_length(features.astype(np.float64))


def pixel_vectors(images: np.ndarray) -> np.ndarray:
    """Return (N, 3072) thumbnails of (N, S, S, 3) uint8 images, each with mean 0 and length 1.

    Brightness and contrast do not count. S is a multiple of 32.
    """
    edge = images.shape[1] // THUMBNAIL_PX
    shape = (len(images), THUMBNAIL_PX, edge, THUMBNAIL_PX, edge, 3)
    small = images.reshape(shape).mean(axis=(2, 4), dtype=np.float64).reshape(len(images), -1)
    return unit_length(small - small.mean(axis=1, keepdims=True))


def near_threshold(usual: np.ndarray) -> float:
    """Return the distance that 1 % of training images are below, to others of another group."""
    return float(np.percentile(usual, NEAR_PERCENTILE))


def percentile_among(distance: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return, for each distance, the percentage of `usual` distances that are smaller; 0 to 100."""
    return 100 * np.searchsorted(np.sort(usual), distance, side="left") / len(usual)
