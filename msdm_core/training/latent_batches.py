"""What models of latents learn from, one step at a time: latents of images, each with a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from msdm_core.training.noise import TIME_SHIFTS
from msdm_core.training.randomness import StepRandom
from msdm_core.training.wording import Wording


@dataclass(frozen=True, slots=True)
class LatentOptions:
    """What a model of latents learns from.

    Attributes:
        batch_size: Latents a step.
        drop_text: Share of steps without text, for classifier-free guidance.
        mirror: Flip left to right where wording and overlays allow it.
        sheet_prompts: Prompts of the sample sheet.
        export_half: Export in float16.
        time_shifts: Of flow matching, see `mixed_sigmas`.
    """

    batch_size: int = 16
    drop_text: float = 0.1
    mirror: bool = True
    sheet_prompts: tuple[str, ...] = ()
    export_half: bool = True
    time_shifts: tuple[float, ...] = TIME_SHIFTS

    def recorded(self) -> dict[str, Any]:
        """Return what a run keeps of the options, and compares when it is resumed."""
        kept = asdict(self)
        kept.pop("sheet_prompts")
        if self.time_shifts == TIME_SHIFTS:
            kept.pop("time_shifts")
        else:
            kept["time_shifts"] = list(self.time_shifts)
        return kept


@dataclass(frozen=True, slots=True)
class LatentBatch:
    """What one step learns from.

    Attributes:
        latents: (B, C, h, w) float32, on the CPU.
        texts: One for each; "" for none.
        weights: (B, 1, h, w) float32, on the CPU: how much each position counts; None where all
            count alike.
    """

    latents: torch.Tensor
    texts: list[str]
    weights: torch.Tensor | None = None


def draw_batch(
    latents: np.ndarray,
    words: Sequence[Wording],
    options: LatentOptions,
    random: StepRandom,
    focus: np.ndarray | None = None,
    pool: np.ndarray | None = None,
) -> LatentBatch:
    """Return latents, a text for each, and how much their positions count.

    Args:
        latents: (N, 2, C, h, w) float16; index 1 is the mirror image.
        words: N wordings.
        options: Batch size, share of texts dropped, mirroring.
        random: Decides the images, their texts and which are mirrored.
        focus: (N, 2, 1, h, w) weights of positions; they hold where the text states a finding, so
            that a picture of which it is not asked is not drawn towards one.
        pool: (P,) indices of images to draw from, evenly; an image that stands in it twice is
            drawn twice as often. None for each image once.
    """
    texts, stack, weights = [], [], []
    pool = np.arange(len(latents)) if pool is None else pool
    for index in pool[random.numpy.integers(0, len(pool), options.batch_size)]:
        text = words[index].draw(random.python, options.drop_text)
        is_mirrored = (
            options.mirror and words[index].may_mirror(text) and random.python.random() < 0.5
        )
        texts.append(text)
        stack.append(latents[index, int(is_mirrored)])
        if focus is not None:
            weight = focus[index, int(is_mirrored)]
            weights.append(weight if words[index].states_finding(text) else np.ones_like(weight))
    return LatentBatch(
        torch.from_numpy(np.stack(stack)).float(), texts,
        torch.from_numpy(np.stack(weights)).float() if weights else None,
    )
