"""Feature networks: what images are compared by.

The name of a network goes into every report, since figures of different networks do not compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from msdm_core.errors import CheckpointError, RequestError
from msdm_core.evaluation.evaluator import load_evaluator, read_images

BATCH_SIZE = 32
INCEPTION = "inception"
INCEPTION_PX = 299


class FeatureNetwork(Protocol):
    """Turns images into features."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return (N, D) float32 features of (N, S, S, 3) uint8 images."""


@dataclass(frozen=True, slots=True)
class EvaluatorFeatures:
    """The pooled features of the evaluator, 256 wide."""

    model: Any
    name: str = "evaluator"

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return (N, 256) float32 features."""
        return read_images(self.model, images).features


@dataclass(frozen=True, slots=True)
class ClipFeatures:
    """A network that puts images and texts into one space, such as BiomedCLIP or PubMedCLIP.

    Attributes:
        model: A transformers model with `get_image_features` and `get_text_features`.
        processor: Its image processor.
        tokenizer: Its tokenizer.
        name: Hub id or folder.
    """

    model: Any
    processor: Any
    tokenizer: Any
    name: str

    @torch.no_grad()
    def features(self, images: np.ndarray) -> np.ndarray:
        """Return (N, D) float32 image features, as the model gives them."""
        found = []
        for start in range(0, len(images), BATCH_SIZE):
            batch = self.processor(
                images=list(np.asarray(images[start : start + BATCH_SIZE])), return_tensors="pt"
            )
            found.append(_pooled(self.model.get_image_features(**batch)))
        return np.concatenate(found)

    @torch.no_grad()
    def text_features(self, texts: list[str]) -> np.ndarray:
        """Return (N, D) float32 text features; longer texts than the model reads are cut."""
        longest = getattr(self.model.config.text_config, "max_position_embeddings", None)
        found = []
        for start in range(0, len(texts), BATCH_SIZE):
            batch = self.tokenizer(
                texts[start : start + BATCH_SIZE], padding=True, truncation=True,
                max_length=longest, return_tensors="pt",
            )  # fmt: skip
            found.append(_pooled(self.model.get_text_features(**batch)))
        return np.concatenate(found)


def _pooled(output: Any) -> np.ndarray:
    tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return np.asarray(tensor.float().cpu().numpy())


@dataclass(frozen=True, slots=True)
class InceptionFeatures:
    """The pool3 features of the Inception network that published Frechet distances use."""

    model: Any
    name: str = "Inception v3 (torch-fidelity)"

    @torch.no_grad()
    def features(self, images: np.ndarray) -> np.ndarray:
        """Return (N, 2048) float32 features."""
        found = []
        for start in range(0, len(images), BATCH_SIZE):
            batch = torch.from_numpy(np.array(images[start : start + BATCH_SIZE]))
            found.append(self.model(batch.permute(0, 3, 1, 2))[0].numpy())
        return np.concatenate(found)


def load_features(name: str, evaluator: Path) -> FeatureNetwork:
    """Return a feature network, in float32 and eval mode.

    Args:
        name: "evaluator", "inception", or hub id or folder of a CLIP-like transformers model.
        evaluator: Folder of the evaluator.

    Raises:
        CheckpointError: It does not load; the message says what it needs.
    """
    if name == "evaluator":
        return EvaluatorFeatures(load_evaluator(evaluator), f"evaluator ({evaluator.name})")
    if name == INCEPTION:
        return InceptionFeatures(_inception())
    return load_clip(name)


def load_clip(name: str) -> ClipFeatures:
    """Return a CLIP-like model of a folder or of the hub.

    Raises:
        CheckpointError: It does not load, or has no image or no text features.
    """
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    try:
        model = AutoModel.from_pretrained(name, dtype=torch.float32).eval().requires_grad_(False)
        processor = AutoImageProcessor.from_pretrained(name)
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"No CLIP-like model loads from {name}: {error}. Give the folder or hub id of a "
            "transformers model with image processor and tokenizer, such as "
            "openai/clip-vit-base-patch32."
        ) from error
    for needed in ("get_image_features", "get_text_features"):
        if not hasattr(model, needed):
            raise CheckpointError(
                f"{name} is a {type(model).__name__}, which gives no features of images and texts "
                f"({needed} is missing). Give a CLIP-like model."
            )
    return ClipFeatures(model, processor, tokenizer, Path(name).name if _is_local(name) else name)


def _is_local(name: str) -> bool:
    return Path(name).is_dir()


def _inception() -> Any:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (  # type: ignore[import-not-found]
            FeatureExtractorInceptionV3,
        )
    except ImportError as error:
        raise CheckpointError(
            "Inception features need the package torch-fidelity, which brings torchvision: "
            "pip install torch-fidelity. The evaluator's features need nothing."
        ) from error
    try:
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).eval()
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"The weights of Inception could not be had: {error}") from error


def require_same_size(real: np.ndarray, made: np.ndarray) -> None:
    """Raise unless both sets hold images of one size.

    Raises:
        RequestError: They do not, or a set has fewer than 8 images.
    """
    if real.shape[1:] != made.shape[1:]:
        raise RequestError(
            f"Real images are {real.shape[2]} x {real.shape[1]}, generated ones "
            f"{made.shape[2]} x {made.shape[1]}; they must have one size."
        )
    if min(len(real), len(made)) < 8:
        raise RequestError(
            f"{len(real)} real and {len(made)} generated images; at least 8 of each are needed."
        )
