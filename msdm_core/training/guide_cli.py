"""The command ``train guide``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from msdm_core.errors import TrainingError
from msdm_core.training.inputs import (
    add_common,
    add_wording,
    cache_folder,
    chosen_domain,
    digest_of,
    latent_options,
    open_splits,
    require_flow_for_shifts,
    training_device,
)

DEFAULTS = {"learning_rate": 1e-3, "batch_size": 16, "warmup_steps": 100, "ema_decay": 0.995}
DEFAULT_SCALE = 1.5


def add_parser(tasks: Any) -> argparse.ArgumentParser:
    """Add the task to the subparsers of ``train`` and return its parser."""
    parser: argparse.ArgumentParser = tasks.add_parser(
        "guide", help="a small, worse denoiser that shows a trained one where to go further",
        description="Trains a guide for an MSDM checkpoint (autoguidance, Karras et al. 2024) and "
                    "exports the checkpoint with it. Minutes are enough: a guide must be worse.",
    )
    add_common(parser, DEFAULTS)
    parser.add_argument("--model", required=True, metavar="FOLDER",
                        help="the checkpoint to guide, which stays as it is")
    parser.add_argument("--guide-scale", type=float, default=DEFAULT_SCALE, metavar="G",
                        help="of the exported checkpoint: how many times as far from the guide "
                             "(default %(default)s)")
    add_wording(parser)
    parser.set_defaults(build=build)
    return parser


def build(arguments: argparse.Namespace) -> Any:
    """Return the task that the arguments ask for.

    Raises:
        CoreError: The data or the checkpoint cannot be used.
    """
    import math

    from msdm_core.msdm.loading import load_pipeline
    from msdm_core.msdm.presets import build_guide, get_preset
    from msdm_core.training.denoiser import GuideTask
    from msdm_core.training.latents import open_latents
    from msdm_core.training.wording import wordings

    if not (math.isfinite(arguments.guide_scale) and arguments.guide_scale > 0):
        raise TrainingError(
            f"--guide-scale is {arguments.guide_scale}; it must be above 0, 1 for no effect."
        )
    preset, device = get_preset(arguments.preset), training_device()
    pipeline = load_pipeline(Path(arguments.model))
    require_flow_for_shifts(arguments, pipeline.scheduler.config.prediction_type)
    wanted, found = list(preset.denoiser["down_block_types"]), pipeline.unet.config.down_block_types
    if wanted != list(found) or pipeline.config.image_px != preset.image_px:
        raise TrainingError(
            f"{arguments.model} is not of the preset {arguments.preset!r}. Name the preset it was "
            "trained with."
        )
    pipeline.register_modules(guide=build_guide(preset, pipeline.unet))
    pipeline.register_to_config(default_guide_scale=arguments.guide_scale)
    for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        part.requires_grad_(False).to(device)
    arguments.grey = "yes" if pipeline.config.is_grey else "no"
    images, validation_images, training, validation = open_splits(arguments)
    latents, validation_latents = (
        open_latents(pipeline.vae, pictures, cache=cache_folder(arguments), device=device)
        for pictures in (images, validation_images)
    )
    domain = chosen_domain(arguments)
    return GuideTask(pipeline, latents, wordings(training, domain), validation_latents,
                     wordings(validation, domain), latent_options(arguments),
                     digest_of(arguments.model))
