"""Training of the evaluator on real images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from msdm_core.evaluation.evaluator import attributes_of, balanced_accuracy, read_images
from msdm_core.training.image_store import to_tensor, to_uint8
from msdm_core.training.loop import Losses
from msdm_core.training.randomness import StepRandom, step_random
from msdm_core.training.sheet import write_sheet


@dataclass(frozen=True, slots=True)
class EvaluatorOptions:
    """How images are varied in training.

    Attributes:
        batch_size: Images a step.
        zoom: Largest relative change of size.
        shift: Largest shift as a share of the side.
        colour: Largest relative change of brightness, contrast and each colour channel.
        blur_probability: Share of images blurred, so that sharpness alone decides nothing.
        may_mirror: Whether half of them are flipped left to right.
    """

    batch_size: int = 32
    zoom: float = 0.12
    shift: float = 0.06
    colour: float = 0.15
    blur_probability: float = 0.3
    may_mirror: bool = True


class EvaluatorTask:
    """Trains an evaluator to read its attributes."""

    name = "evaluator"

    def __init__(
        self,
        model: Any,
        images: np.ndarray,
        truth: np.ndarray,
        validation: np.ndarray,
        validation_truth: np.ndarray,
        options: EvaluatorOptions,
    ) -> None:
        """Take a network and its data.

        Args:
            model: From `build_evaluator`.
            images: (N, 256, 256, 3) uint8.
            truth: (N, K) of 1, 0 and nan.
            validation: (M, 256, 256, 3) uint8, never trained on.
            validation_truth: (M, K).
            options: How images are varied.
        """
        # Convolutions over many pixels and few channels run faster so on a CPU.
        self.model, self.options = model.to(memory_format=torch.channels_last), options
        self.images, self.truth = images, truth
        self.validation, self.validation_truth = validation, validation_truth
        self.parts: dict[str, nn.Module] = {"evaluator": model}
        share = np.nanmean(truth, axis=0).clip(0.01, 0.99)
        self.positive_weight = torch.from_numpy((1 - share) / share).float()

    def config(self) -> dict[str, Any]:
        """Return the attributes, the network and the options."""
        return {
            "attributes": list(attributes_of(self.model)),
            "hidden_sizes": self.model.config.hidden_sizes, "depths": self.model.config.depths,
            "images": len(self.images), **asdict(self.options),
        }  # fmt: skip

    def _varied(self, random: StepRandom) -> tuple[torch.Tensor, torch.Tensor]:
        """Return varied images (B, 3, 256, 256) in [-1, 1] and their truth (B, K)."""
        options, count = self.options, self.options.batch_size
        picked = random.numpy.integers(0, len(self.images), count)
        images = to_tensor(self.images[np.sort(picked)])
        truth = torch.from_numpy(self.truth[np.sort(picked)])

        def uniform(*shape: int) -> torch.Tensor:
            return torch.rand(count, *shape, generator=random.torch) * 2 - 1

        affine = torch.zeros(count, 2, 3)
        zoom = 1 + options.zoom * uniform()
        affine[:, 0, 0] = zoom * (torch.sign(uniform()) if options.may_mirror else 1)
        affine[:, 1, 1] = zoom
        affine[:, :, 2] = 2 * options.shift * uniform(2)
        grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
        images = functional.grid_sample(images + 1, grid, align_corners=False) - 1
        gain = 1 + options.colour * (uniform(3, 1, 1) + uniform(1, 1, 1)) / 1.5
        images = ((images + 1) * gain - 1).clamp(-1, 1)
        blurred = functional.avg_pool2d(images, 3, 1, 1)
        is_blurred = torch.rand(count, 1, 1, 1, generator=random.torch) < options.blur_probability
        return torch.where(is_blurred, blurred, images), truth

    def losses(self, parts: dict[str, nn.Module], random: StepRandom) -> Losses:
        """Yield the class-balanced cross-entropy of the known attributes."""
        model = parts["evaluator"]
        device = next(model.parameters()).device
        images, truth = self._varied(random)
        known = ~torch.isnan(truth)
        logits = model(images.to(device)).logits
        loss = functional.binary_cross_entropy_with_logits(
            logits, torch.nan_to_num(truth).to(device), reduction="none",
            pos_weight=self.positive_weight.to(device),
        )
        yield "evaluator", loss[known.to(device)].mean(), {}

    def validate(self) -> dict[str, float]:
        """Return the balanced accuracy on unseen images, attribute by attribute."""
        reading = read_images(self.model, self.validation)
        return balanced_accuracy(
            reading.probabilities, self.validation_truth, attributes_of(self.model)
        )

    def write_sheet(self, path: Path) -> None:
        """Write a batch as the network sees it."""
        images, _ = self._varied(step_random(0, 0))
        write_sheet(path, [to_uint8(images[:8]), to_uint8(images[8:16])])

    def export(self, folder: Path) -> None:
        """Write the network as a transformers folder."""
        self.model.save_pretrained(folder)
