"""Where the evaluator sees a polyp: a linear reader of its features, cell by cell of the 3x3 grid.

The reader is fitted on real training images alone, from the cells that their captions name; like
the evaluator it takes no part in making images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.attributes import Attributes
from data.grid import CELLS
from msdm_core.errors import CheckpointError, TrainingError
from msdm_core.training.image_store import to_tensor

STAGE = 3  # of the evaluator's hidden states: (128, 8, 8) for 256 px
RIDGE = 0.01
LEAST_IMAGES = 30
FILE_NAME = "polyp_locator.safetensors"
BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class PolypLocator:
    """A logistic regression of "the polyp covers this cell".

    Attributes:
        mean: (F,) of the cell features of the images it was fitted on.
        scale: (F,) their standard deviations.
        weight: (F,).
        bias: ().
    """

    mean: torch.Tensor
    scale: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    def logits(self, evaluator: Any, images: np.ndarray) -> np.ndarray:
        """Return (N, 9) float32 logits, cells in the order of `CELLS`.

        Args:
            evaluator: From `load_evaluator`; the one that it was fitted with.
            images: (N, 256, 256, 3) uint8.
        """
        features = cell_features(evaluator, images)
        scaled = (features - self.mean) / self.scale
        return np.asarray((scaled @ self.weight + self.bias).numpy())

    def save(self, folder: Path) -> None:
        """Write the reader beside the evaluator of the folder."""
        from safetensors.torch import save_file

        tensors = {name: getattr(self, name).contiguous() for name in self.__slots__}
        save_file(tensors, folder / FILE_NAME)

    @classmethod
    def load(cls, folder: Path) -> PolypLocator:
        """Return the reader that lies beside an evaluator.

        Raises:
            CheckpointError: There is none, or it is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = folder / FILE_NAME
        try:
            return cls(**load_file(path))
        except (OSError, SafetensorError, TypeError) as error:
            raise CheckpointError(
                f"No reader of places loads from {path}: {error}. "
                "Fit one with `python -m msdm_core train polyp-locator`."
            ) from error


@torch.no_grad()
def cell_features(evaluator: Any, images: np.ndarray) -> torch.Tensor:
    """Return (N, 9, F) float32: what each cell looks like, and how it differs from the rest.

    Args:
        evaluator: From `load_evaluator`.
        images: (N, 256, 256, 3) uint8.
    """
    found = []
    for start in range(0, len(images), BATCH_SIZE):
        batch = to_tensor(images[start : start + BATCH_SIZE])
        places = evaluator.resnet(batch, output_hidden_states=True).hidden_states[STAGE]
        count, channels, size, _ = places.shape
        # Three times as fine, so that the grid's lines fall between places.  # (N, C, 3h, 3h)
        fine = torch.nn.functional.interpolate(places, (3 * size, 3 * size), mode="bilinear")
        fine = fine.reshape(count, channels, 3, size, 3, size)
        cells = torch.cat([fine.mean((3, 5)), fine.amax((3, 5))], dim=1)  # (N, 2C, 3, 3)
        whole = cells.mean((2, 3), keepdim=True)
        which = torch.eye(9).reshape(1, 9, 3, 3).expand(count, -1, -1, -1)
        joined = torch.cat([cells - whole, cells, which], dim=1)
        found.append(joined.flatten(2).transpose(1, 2))
    return torch.cat(found)


def fit_polyp_locator(
    evaluator: Any, images: np.ndarray, attributes: Sequence[Attributes]
) -> PolypLocator:
    """Return a reader fitted by ridge-penalised logistic regression; deterministic.

    Args:
        evaluator: From `load_evaluator`.
        images: (N, 256, 256, 3) uint8, real training images.
        attributes: What their captions say; images that place no polyp do not count.

    Raises:
        TrainingError: Fewer than 30 images place a polyp.
    """
    asked = asked_cells(attributes)
    rows = np.flatnonzero(asked.any(axis=1))
    if len(rows) < LEAST_IMAGES:
        raise TrainingError(
            f"{len(rows)} images say where a polyp is; at least {LEAST_IMAGES} are needed."
        )
    features = cell_features(evaluator, images[rows]).flatten(0, 1)  # (9N, F)
    wanted = torch.from_numpy(asked[rows].reshape(-1)).float()
    mean, scale = features.mean(0), features.std(0) + 1e-6
    scaled = (features - mean) / scale
    weight = torch.zeros(features.shape[1], requires_grad=True)
    bias = torch.zeros((), requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        error = torch.nn.functional.binary_cross_entropy_with_logits(scaled @ weight + bias, wanted)
        total = error + RIDGE * weight.square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    return PolypLocator(mean, scale, weight.detach(), bias.detach())


def asked_cells(attributes: Sequence[Attributes]) -> np.ndarray:
    """Return (N, 9) bool: the cells in which a polyp is said to be; all False where none is."""
    return np.array([
        [cell in entry.finding_cells and "polyp" in entry.findings for cell in CELLS]
        for entry in attributes
    ]).reshape(len(attributes), len(CELLS))  # fmt: skip


def position_figures(logits: np.ndarray, asked: np.ndarray) -> dict[str, float]:
    """Return how well polyps lie where they were asked for.

    Args:
        logits: (N, 9) of a reader.
        asked:  (N, 9) bool; rows without a cell, or with all nine, do not count.

    Returns:
        "images" that count; "hit_rate", the share of them whose likeliest cell was asked for;
        "chance", what a cell drawn at random would reach. nan where no image counts.
    """
    counted = asked.any(axis=1) & ~asked.all(axis=1)
    if not counted.any():
        return {"images": 0, "hit_rate": float("nan"), "chance": float("nan")}
    logits, asked = logits[counted], asked[counted]
    hits = asked[np.arange(len(asked)), logits.argmax(axis=1)]
    return {
        "images": len(asked), "hit_rate": float(hits.mean()), "chance": float(asked.mean()),
    }  # fmt: skip
