"""How near one image is to its nearest training image: does it show a patient of the data?

What ships is an index of features, no image: the evaluator's features of the training images, and
the distances that are usual, of training images to those of other groups and of unseen real images.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.images import fit_square
from msdm_core.errors import CheckpointError
from msdm_core.evaluation.evaluator import IMAGE_PX, load_evaluator, read_images
from msdm_core.evaluation.material import RealImages
from msdm_core.evaluation.nearest import (
    feature_vectors,
    near_threshold,
    nearest,
    nearest_of_another_group,
    percentile_among,
)

FILE_NAME = "nearness_index.safetensors"
FORMAT = "1"


@functools.lru_cache(maxsize=4)
def nearness_index(folder: str) -> NearnessIndex:
    """Return the index of a folder, kept in memory once for all models that share it.

    Raises:
        CheckpointError: The evaluator or the index does not load.
    """
    return NearnessIndex.load(Path(folder))


@dataclass(frozen=True, slots=True)
class Nearness:
    """How near an image is to its nearest training image.

    Attributes:
        distance: Between unit features, 0 to 2.
        percentile: Share of unseen real images, in per cent, that are nearer to theirs; 0 for a
            copy, about 50 for a new image of the kind.
        is_near: Whether it is nearer than 99 % of training images are to those of other patients.
    """

    distance: float
    percentile: float
    is_near: bool

    def to_dict(self) -> dict[str, Any]:
        """Return what is kept with an image."""
        return {
            "distance": round(self.distance, 5), "percentile": round(self.percentile, 1),
            "is_near": self.is_near,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class NearnessIndex:
    """The training images' features and the usual distances.

    Attributes:
        vectors: (T, D) float32, of unit length.
        usual: (T,) float32, sorted: of training images to the nearest of another group.
        unseen: (V,) float32, sorted: of unseen real images to the nearest training image.
        evaluator: The network whose features they are.
    """

    vectors: np.ndarray
    usual: np.ndarray
    unseen: np.ndarray
    evaluator: Any

    @classmethod
    def build(cls, evaluator: Any, real: RealImages) -> NearnessIndex:
        """Return the index of real images in two parts.

        Args:
            evaluator: From `load_evaluator`.
            real: The reference holds the training images.
        """
        training, unseen = (
            feature_vectors(read_images(evaluator, images).features)
            for images in (real.reference_images, real.held_out_images)
        )
        usual = nearest_of_another_group(training, real.groups).distance
        of_unseen = nearest(unseen, training).distance
        return cls(
            training.astype(np.float32), np.sort(usual).astype(np.float32),
            np.sort(of_unseen).astype(np.float32), evaluator,
        )  # fmt: skip

    def of(self, image: Image.Image) -> Nearness:
        """Return how near an image is, of any size."""
        picture = np.asarray(fit_square(image.convert("RGB"), IMAGE_PX))
        vector = feature_vectors(read_images(self.evaluator, picture[None]).features)
        distance = float(nearest(vector, self.vectors).distance[0])
        percentile = float(percentile_among(np.array([distance]), self.unseen)[0])
        return Nearness(distance, percentile, distance < near_threshold(self.usual))

    def save(self, folder: Path) -> None:
        """Write the index beside the evaluator of the folder; vectors in half precision."""
        from safetensors.numpy import save_file

        tensors = {
            "vectors": self.vectors.astype(np.float16), "usual": self.usual, "unseen": self.unseen
        }
        save_file(tensors, folder / FILE_NAME, metadata={"format": FORMAT})

    @classmethod
    def load(cls, folder: Path) -> NearnessIndex:
        """Return the index that lies beside an evaluator.

        Raises:
            CheckpointError: The evaluator or the index does not load.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = folder / FILE_NAME
        try:
            found = load_file(path)
            vectors, usual, unseen = (found[name] for name in ("vectors", "usual", "unseen"))
        except (OSError, SafetensorError, KeyError) as error:
            raise CheckpointError(
                f"No index of training images loads from {path}: {error}. "
                "Make one with `python -m msdm_core train nearness-index`."
            ) from error
        return cls(vectors.astype(np.float32), usual, unseen, load_evaluator(folder))
