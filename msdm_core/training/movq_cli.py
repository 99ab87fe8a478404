"""The command ``train movq``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from msdm_core.errors import TrainingError
from msdm_core.training.drawn_cli import add_adversary, adversary_options, drawn_latents
from msdm_core.training.inputs import add_common, cache_folder, digest_of, keep_whole, open_splits

DEFAULTS = {"learning_rate": 1e-3, "batch_size": 8, "warmup_steps": 100, "ema_decay": 0.995}
START_IMAGES = 284


def add_parser(tasks: Any) -> argparse.ArgumentParser:
    """Add the task to the subparsers of ``train`` and return its parser."""
    parser: argparse.ArgumentParser = tasks.add_parser(
        "movq", help="the decoder from latents to pictures that Kandinsky ends with",
        description="Sets the encoder to principal components, once, and trains the decoder. "
                    "Latents are final from the start: RUN/start holds the encoder.",
    )
    add_common(parser, DEFAULTS)
    parser.add_argument("--init", metavar="FOLDER",
                        help="go on from this VQModel; its encoder stays as it is")
    parser.add_argument("--crop-px", type=int, default=128,
                        help="side of training crops (default %(default)s)")
    for option, value, text in (
        ("--pixel-weight", 1.0, "weight of the mean absolute error"),
        ("--structure-weight", 0.1, "weight of 1 - SSIM"),
        ("--texture-weight", 0.5, "weight of the local energy of fine detail"),
        ("--latent-noise", 0.1, "noise on the latents before decoding"),
    ):
        parser.add_argument(option, type=float, default=value, metavar="W", help=text)
    add_adversary(parser)
    parser.set_defaults(build=build)
    return parser


def build(arguments: argparse.Namespace) -> Any:
    """Return the task that the arguments ask for.

    Raises:
        CoreError: The data or the model to go on from cannot be used.
    """
    import torch

    from msdm_core.kandinsky.linear_movq import finders
    from msdm_core.msdm.presets import get_preset
    from msdm_core.training.autoencoder import AutoencoderOptions, AutoencoderTask
    from msdm_core.training.latents import open_latents

    _check_crop(arguments.crop_px, get_preset(arguments.preset).image_px)
    images, validation, training, _ = open_splits(arguments)
    # A checkpoint keeps what is trained; the encoder is not, so the run keeps it beside them.
    kept = Path(arguments.out) / "start"
    if not kept.is_dir():
        keep_whole(_started(arguments, images), kept)
    model = _load(kept)
    latents = open_latents(
        model, images, cache=cache_folder(arguments), device=torch.device("cpu")
    )
    options = AutoencoderOptions(
        batch_size=arguments.batch_size, crop_px=arguments.crop_px,
        pixel_weight=arguments.pixel_weight, structure_weight=arguments.structure_weight,
        texture_weight=arguments.texture_weight, latent_noise=arguments.latent_noise,
        is_encoder_frozen=True, **adversary_options(arguments),
    )
    return AutoencoderTask(model, images, validation, options, digest_of(str(kept)), latents,
                           finders(model),
                           drawn_latents(arguments, model, training, images.shape[1]))


def _check_crop(crop_px: int, side_px: int) -> None:
    unit = 32  # twice the side of a latent, which the wavelets of the texture loss divide too
    if not 0 < crop_px <= side_px or crop_px % unit:
        raise TrainingError(
            f"--crop-px is {crop_px}; it must be a multiple of {unit}, at most {side_px}."
        )


def _load(folder: Path) -> Any:
    from msdm_core.msdm.loading import load_component

    model = load_component(folder, "movq")
    if type(model).__name__ != "VQModel":
        raise TrainingError(
            f"{folder} holds a {type(model).__name__}; Kandinsky needs a VQModel. Give a folder "
            "that `train movq` exported."
        )
    return model


def _started(arguments: argparse.Namespace, images: Any) -> Any:
    """Return the model to begin with: one to go on from as it is, or a fresh start.

    A fresh start is exact in half precision, so that a checkpoint in half precision encodes to
    the very latents that were trained on.
    """
    from msdm_core.kandinsky.linear_movq import linear_start
    from msdm_core.kandinsky.presets import MOVQS, build_movq
    from msdm_core.training.image_store import to_tensor

    if arguments.init:
        return _load(Path(arguments.init))
    if arguments.preset not in MOVQS:
        raise TrainingError(
            f"There is no movq of the size {arguments.preset!r}; there are {', '.join(MOVQS)}."
        )
    model = build_movq(arguments.preset)
    linear_start(model, to_tensor(images[:: max(1, len(images) // START_IMAGES)]))
    return model.half().float()
