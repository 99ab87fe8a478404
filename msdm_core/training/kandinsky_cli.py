"""The commands ``train kandinsky-prior`` and ``train kandinsky-decoder``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from msdm_core.errors import TrainingError
from msdm_core.training.inputs import (
    add_common,
    cache_folder,
    chosen_domain,
    digest_of,
    open_splits,
    training_device,
)

PRIOR_DEFAULTS = {"learning_rate": 5e-4, "batch_size": 64, "warmup_steps": 200,
                  "ema_decay": 0.999}
DECODER_DEFAULTS = {"learning_rate": 5e-4, "batch_size": 16, "warmup_steps": 300,
                    "ema_decay": 0.9995}


def add_parsers(tasks: Any) -> list[argparse.ArgumentParser]:
    """Add both tasks to the subparsers of ``train`` and return their parsers."""
    prior: argparse.ArgumentParser = tasks.add_parser(
        "kandinsky-prior", help="Kandinsky at small scale: a prompt to an image embedding"
    )
    add_common(prior, PRIOR_DEFAULTS)
    prior.add_argument("--drop-text", type=float, default=0.1, metavar="P",
                       help="share of steps without text (default %(default)s)")
    prior.add_argument("--no-mirror", action="store_true", help="never flip left to right")
    decoder: argparse.ArgumentParser = tasks.add_parser(
        "kandinsky-decoder", help="Kandinsky at small scale: an image embedding to latents"
    )
    add_common(decoder, DECODER_DEFAULTS)
    decoder.add_argument("--movq", metavar="FOLDER",
                         help="export of `train movq` (needed without --init)")
    for parser, build in ((prior, build_prior_task), (decoder, build_decoder_task)):
        parser.add_argument("--clip", required=True, metavar="FOLDER",
                            help="export of `train clip`, or the prior's folder of a checkpoint")
        parser.add_argument("--init", metavar="FOLDER",
                            help="go on from this checkpoint, for more training or other images")
        parser.add_argument("--full-precision", action="store_true",
                            help="export float32 weights instead of float16")
        parser.set_defaults(build=build)
    return [prior, decoder]


def build_prior_task(arguments: argparse.Namespace) -> Any:
    """Return the prior's task.

    Raises:
        CoreError: The data or CLIP cannot be used.
    """
    from msdm_core.kandinsky.compact import build_prior, build_prior_pipeline
    from msdm_core.kandinsky.loading import load_clip, load_kandinsky_part
    from msdm_core.training.kandinsky_prior import PriorOptions, PriorTask
    from msdm_core.training.wording import wordings

    if arguments.init:
        pipeline = load_kandinsky_part(Path(arguments.init), "prior")
        pipeline.text_encoder.requires_grad_(False)
    else:
        pipeline = build_prior_pipeline(build_prior(), load_clip(Path(arguments.clip)))
    device = training_device()
    pipeline.image_encoder.to(device)
    pipeline.text_encoder.to(device)
    images, validation, training_records, validation_records = open_splits(arguments)
    options = PriorOptions(
        batch_size=arguments.batch_size, drop_text=arguments.drop_text,
        mirror=not arguments.no_mirror, export_half=not arguments.full_precision,
    )
    origin = digest_of(arguments.init) if arguments.init else "compact"
    domain = chosen_domain(arguments)
    return PriorTask(pipeline, images, wordings(training_records, domain), validation,
                     wordings(validation_records, domain), options, origin)


def build_decoder_task(arguments: argparse.Namespace) -> Any:
    """Return the decoder's task.

    Raises:
        CoreError: The data, MoVQ or CLIP cannot be used.
    """
    import numpy as np

    from msdm_core.kandinsky.compact import build_decoder, build_decoder_pipeline
    from msdm_core.kandinsky.loading import load_clip, load_kandinsky_part
    from msdm_core.msdm.loading import load_component
    from msdm_core.training.kandinsky_decoder import (
        DecoderOptions,
        DecoderTask,
        zero_image_embedding,
    )
    from msdm_core.training.kandinsky_prior import embed_all
    from msdm_core.training.latents import open_latents
    from msdm_core.training.wording import wordings

    if not (arguments.init or arguments.movq):
        raise TrainingError(
            "--movq is needed: train one with `train movq` and give its export, or go on from a "
            "whole checkpoint with --init."
        )
    pipeline: Any = None
    if arguments.init:
        pipeline = load_kandinsky_part(Path(arguments.init), "decoder")
    movq = load_component(Path(arguments.movq), "movq") if arguments.movq else pipeline.movq
    device = training_device()
    image_encoder = load_clip(Path(arguments.clip))["image_encoder"].to(device)
    movq = movq.eval().requires_grad_(False).to(device)
    images, validation, records, _ = open_splits(arguments)
    domain = chosen_domain(arguments)
    may_mirror = np.array([words.may_mirror("") for words in wordings(records, domain)])
    latents, validation_latents = (
        open_latents(movq, pictures, cache=cache_folder(arguments), device=device)
        for pictures in (images, validation)
    )
    if pipeline is None:
        channels, side = latents.shape[2], latents.shape[-1]
        pipeline = build_decoder_pipeline(build_decoder(channels, side), movq)
    else:
        pipeline.register_modules(movq=movq)
    options = DecoderOptions(batch_size=arguments.batch_size,
                             export_half=not arguments.full_precision)
    origin = digest_of(arguments.init) if arguments.init else "compact"
    return DecoderTask(
        pipeline, latents, embed_all(image_encoder, images), validation_latents,
        embed_all(image_encoder, validation), zero_image_embedding(image_encoder), may_mirror,
        options, origin,
    )
