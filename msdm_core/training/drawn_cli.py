"""Options of the adversary, and of latents that a denoiser drew, for a decoder to learn from."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msdm_core.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np

    from data.records import ImageRecord

LEAST_DRAWN = 16


def add_adversary(parser: argparse.ArgumentParser) -> None:
    """Add the options of the adversary and of drawn latents."""
    add = parser.add_argument
    add("--adversarial-weight", type=float, default=0.0, metavar="W",
        help="weight of a patch adversary (0: none)")
    add("--adversary-scales", type=int, default=1, metavar="N",
        help="sizes at which the adversary looks: 1 for pixels alone, 3 for halves and quarters "
             "too (default %(default)s)")
    add("--drawn-by", metavar="MODEL",
        help="also decode latents that this model (an id or a folder) draws from training "
             "prompts, against the adversary")
    add("--drawn-count", type=int, default=512, metavar="N",
        help="how many of them (default %(default)s)")
    add("--drawn-weight", type=float, default=0.1, metavar="W",
        help="weight of the adversary on them (default %(default)s)")
    add("--keep-weight", type=float, default=2.0, metavar="W",
        help="weight of what may not change in them, squares of 8 pixels "
             "(default %(default)s)")


def adversary_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say, for `AutoencoderOptions`.

    Raises:
        TrainingError: They do not go together.
    """
    if arguments.adversary_scales not in (1, 2, 3):
        raise TrainingError(
            f"--adversary-scales is {arguments.adversary_scales}; it must be 1, 2 or 3."
        )
    if arguments.drawn_by and arguments.adversarial_weight <= 0:
        raise TrainingError(
            "--drawn-by needs an adversary: drawn pictures have no original to be compared with. "
            "Give --adversarial-weight, for example 0.05."
        )
    if arguments.drawn_by and not getattr(arguments, "freeze_encoder", True):
        raise TrainingError(
            "--drawn-by needs --freeze-encoder: the model draws latents of the encoder as it is."
        )
    if arguments.drawn_by and arguments.drawn_count < LEAST_DRAWN:
        raise TrainingError(
            f"--drawn-count is {arguments.drawn_count}; at least {LEAST_DRAWN} are needed."
        )
    return {
        "adversarial_weight": arguments.adversarial_weight,
        "adversary_scales": arguments.adversary_scales,
        "drawn_weight": arguments.drawn_weight if arguments.drawn_by else 0.0,
        "keep_weight": arguments.keep_weight,
    }


def drawn_latents(
    arguments: argparse.Namespace, autoencoder: Any, records: list[ImageRecord], size_px: int
) -> np.ndarray | None:
    """Return the latents (D, C, h, w) that ``--drawn-by`` draws, or None where none are asked for.

    Raises:
        CoreError: There is no such model, or it has another autoencoder.
    """
    if not arguments.drawn_by:
        return None
    from msdm_core.evaluation.cli import model_entry
    from msdm_core.settings import read_settings
    from msdm_core.training.drawn_latents import open_drawn_latents
    from msdm_core.training.inputs import cache_folder

    entry = model_entry(arguments.drawn_by, None, read_settings().home)
    told = [" ".join(record.captions) for record in records if record.captions]
    picked = random.Random(arguments.seed).choices(told, k=arguments.drawn_count)
    return open_drawn_latents(
        entry, autoencoder, picked, size_px=size_px, cache=Path(cache_folder(arguments)),
        threads=arguments.threads,
    )
