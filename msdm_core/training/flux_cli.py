"""The command ``train flux``."""

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
    keep_whole,
    latent_options,
    open_splits,
    training_device,
)

DEFAULTS = {"learning_rate": 1e-3, "batch_size": 16, "warmup_steps": 300, "ema_decay": 0.9995}


def add_parser(tasks: Any) -> argparse.ArgumentParser:
    """Add the task to the subparsers of ``train`` and return its parser."""
    parser: argparse.ArgumentParser = tasks.add_parser(
        "flux", help="FLUX at small scale: noise and a prompt to latents"
    )
    add_common(parser, DEFAULTS)
    parser.add_argument("--init", metavar="FOLDER",
                        help="go on from this checkpoint, for more training or other images")
    parser.add_argument("--autoencoder", metavar="FOLDER",
                        help="exported autoencoder, or a pipeline folder with vae in it "
                             "(needed without --init)")
    parser.add_argument("--clip", metavar="FOLDER",
                        help="export of `train clip` (needed without --init)")
    add_wording(parser)
    parser.set_defaults(build=build)
    return parser


def build(arguments: argparse.Namespace) -> Any:
    """Return the task that the arguments ask for.

    Raises:
        CoreError: The data, the autoencoder or CLIP cannot be used.
    """
    from msdm_core.training.flux import FluxTask
    from msdm_core.training.latents import open_latents
    from msdm_core.training.wording import wordings

    device = training_device()
    images, validation_images, training, validation = open_splits(arguments)
    domain = chosen_domain(arguments)
    words = wordings(training, domain)
    pipeline = _pipeline(arguments, words)
    pipeline.vae.requires_grad_(False).to(device)
    pipeline.text_encoder.requires_grad_(False).to(device)
    latents, validation_latents = (
        open_latents(pipeline.vae, pictures, cache=cache_folder(arguments), device=device)
        for pictures in (images, validation_images)
    )
    options = latent_options(arguments)
    origin = digest_of(arguments.init) if arguments.init else "compact"
    return FluxTask(pipeline, latents, words, validation_latents, wordings(validation, domain),
                    options, origin)


def _pipeline(arguments: argparse.Namespace, words: Any) -> Any:
    """Return the pipeline to train: a fresh one, or the one that ``--init`` names."""
    from transformers import CLIPTextModel, CLIPTokenizer, T5Tokenizer

    from msdm_core.flux.compact import (
        build_pipeline,
        build_t5,
        build_t5_tokenizer,
        build_transformer,
    )
    from msdm_core.flux.loading import load_flux
    from msdm_core.msdm.loading import load_component
    from msdm_core.training.randomness import step_random

    if arguments.init:
        return load_flux(Path(arguments.init))
    for name, command in (("autoencoder", "autoencoder"), ("clip", "clip")):
        if not getattr(arguments, name):
            raise TrainingError(
                f"--{name} is needed: train one with `train {command}` and give its export, or go "
                "on from a whole checkpoint with --init."
            )
    vae = load_component(Path(arguments.autoencoder), "vae")
    clip_folder = Path(arguments.clip)
    try:
        clip_tokenizer = CLIPTokenizer.from_pretrained(clip_folder / "tokenizer")
        clip = CLIPTextModel.from_pretrained(clip_folder / "text_encoder", use_safetensors=True)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"No CLIP loads from {clip_folder} ({error}). Give what `train clip` exported."
        ) from error
    kept = Path(arguments.out) / "tokenizer_2"
    if not kept.is_dir():
        rng = step_random(arguments.seed, 0).python
        corpus = (entry.draw(rng, drop=0.0) for entry in words for _ in range(12))
        keep_whole(build_t5_tokenizer(corpus), kept)
    t5_tokenizer = T5Tokenizer.from_pretrained(kept)
    transformer = build_transformer(int(vae.config.latent_channels), clip.config.hidden_size)
    return build_pipeline(vae, clip_tokenizer, clip.eval(), t5_tokenizer, build_t5(t5_tokenizer),
                          transformer)
