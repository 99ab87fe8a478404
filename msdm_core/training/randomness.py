"""Random numbers that depend on the step alone, so that a resumed run repeats the unbroken one."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class StepRandom:
    """The random sources of one training step on one process.

    Attributes:
        torch: CPU generator for noise, times and crops.
        numpy: generator for choosing images.
        python: generator for wording (paraphrases).
    """

    torch: torch.Generator
    numpy: np.random.Generator
    python: random.Random


def step_random(seed: int, step: int, process: int = 0) -> StepRandom:
    """Return the random sources of a step, a pure function of seed, step and process.

    Args:
        seed: The run's seed, at least 0.
        step: Optimiser step, counted from 0.
        process: Rank of the process, so that processes draw different samples.
    """
    a, b, c = np.random.SeedSequence([seed, step, process]).generate_state(3, np.uint64)
    return StepRandom(
        torch=torch.Generator("cpu").manual_seed(int(a) >> 1),
        numpy=np.random.default_rng(int(b)),
        python=random.Random(int(c)),
    )
