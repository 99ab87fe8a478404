"""Findings count more: their share of the squared error, and how often their images are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from data.finding_boxes import FindingBox
from data.images import FitMode, load_rgb
from data.records import ImageRecord


def focus_weights(
    records: Sequence[ImageRecord],
    boxes: dict[str, tuple[FindingBox, ...]],
    *,
    side: int,
    fit: str,
    focus: float,
) -> np.ndarray:
    """Return how much each latent position of each image counts.

    A small finding is a small share of the squared error of a picture, so that a small model learns
    it last. This is the weighting of a region as in inpainting and lesion synthesis; a position
    that a box covers in part has a part of the weight.

    Args:
        records: N images, in the order of their latents.
        boxes: Of each image_id.
        side: Latent positions a side.
        fit: How pictures are made square.
        focus: Weight inside a box; 1 outside.

    Returns:
        (N, 2, 1, side, side) float16; index 1 is of the mirror image. Images without a box have 1
        everywhere.
    """
    weights = np.ones((len(records), 2, 1, side, side), np.float16)
    for index, record in enumerate(records):
        if record.image_id not in boxes:
            continue
        width, height = load_rgb(record.path).size
        covered = np.zeros((side, side))
        for box in boxes[record.image_id]:
            square = box.in_square(width, height, cast(FitMode, fit))
            across, down = (_covered(low, high, side) for low, high in (
                (square.xmin, square.xmax), (square.ymin, square.ymax)))
            covered = np.maximum(covered, np.outer(down, across))
        weights[index, 0, 0] = 1 + (focus - 1) * covered
        weights[index, 1, 0] = weights[index, 0, 0][:, ::-1]
    return weights


def oversampled(
    records: Sequence[ImageRecord], boxes: dict[str, tuple[FindingBox, ...]], times: int
) -> np.ndarray:
    """Return what to draw training images from: those with a box `times` as often as others.

    Args:
        records: N images, in the order of their latents.
        boxes: Of each image_id.
        times: At least 1.

    Returns:
        (P,) int64 indices of the records, N of them and `times` - 1 more of each image with a box.
    """
    repeats = [times if record.image_id in boxes else 1 for record in records]
    return np.repeat(np.arange(len(records)), repeats)


def _covered(low: float, high: float, side: int) -> np.ndarray:
    """Return the share of each of `side` equal parts of [0, 1] that lies between two values."""
    edges = np.arange(side + 1)
    shares = np.minimum(edges[1:], high * side) - np.maximum(edges[:-1], low * side)
    return np.clip(shares, 0.0, 1.0)
