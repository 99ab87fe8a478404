"""Command line of training: ``python -m msdm_core train PART``.

Imports nothing heavy until a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from msdm_core.errors import TrainingError
from msdm_core.evaluation import beside_cli
from msdm_core.msdm.presets import PREDICTION_TYPES
from msdm_core.training import (
    clip_cli,
    curve_cli,
    flux_cli,
    guide_cli,
    kandinsky_cli,
    movq_cli,
    sampler,
)
from msdm_core.training.drawn_cli import add_adversary, adversary_options, drawn_latents
from msdm_core.training.inputs import (
    add_common,
    add_grey,
    add_wording,
    cache_folder,
    chosen_domain,
    digest_of,
    keep_whole,
    latent_options,
    open_splits,
    require_flow_for_shifts,
    splits,
    training_device,
)

EXAMPLES = """examples:
  python -m msdm_core train autoencoder  --data DATA --out runs/ae --max-minutes 30
  python -m msdm_core train text-encoder --data DATA --out runs/text --max-minutes 5
  python -m msdm_core train denoiser     --data DATA --out runs/msdm --max-minutes 120 \\
      --autoencoder runs/ae/export --text-encoder runs/text/export
  python -m msdm_core train guide        --data DATA --out runs/guide --max-minutes 4 \\
      --model runs/msdm/export
  accelerate launch -m msdm_core train denoiser --preset paper --mixed-precision bf16 ...

Called again with the same --out, a command resumes where it stopped or was killed.
"""

CROP_UNIT_PX = 32  # crops are halved by the autoencoder and by the wavelets of the texture loss

# Learning rate, batch size, warm-up steps, EMA decay of each task where none are given.
DEFAULTS: dict[str, dict[str, Any]] = {
    "autoencoder": {"learning_rate": 3e-4, "batch_size": 16, "warmup_steps": 100,
                    "ema_decay": 0.995},
    "text-encoder": {"learning_rate": 1e-3, "batch_size": 64, "warmup_steps": 100,
                     "ema_decay": 0.99},
    "denoiser": {"learning_rate": 5e-4, "batch_size": 16, "warmup_steps": 300,
                 "ema_decay": 0.9995},
    "evaluator": {"learning_rate": 1e-3, "batch_size": 32, "warmup_steps": 100,
                  "ema_decay": 0.9},
}


def add_parser(subparsers: Any) -> None:
    """Add the ``train`` command to an argparse subparsers object."""
    train = subparsers.add_parser(
        "train", help="train a part of MSDM on a folder of images and captions",
        description="Trains a part of MSDM on a folder that `python -m data validate` accepts.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tasks = train.add_subparsers(dest="task", required=True, metavar="PART")
    autoencoder = tasks.add_parser("autoencoder", help="pictures to latents and back")
    text_encoder = tasks.add_parser("text-encoder", help="prompts to vectors")
    denoiser = tasks.add_parser("denoiser", help="noise and a prompt to latents")
    evaluator = tasks.add_parser(
        "evaluator", help="the network that reads attributes from images, to measure models with"
    )
    for name, parser, build in (
        ("autoencoder", autoencoder, _autoencoder), ("text-encoder", text_encoder, _text_encoder),
        ("denoiser", denoiser, _denoiser), ("evaluator", evaluator, _evaluator),
    ):
        add_common(parser, DEFAULTS[name])
        parser.set_defaults(run=run, build=build)
    for part in (clip_cli, flux_cli, guide_cli, movq_cli):
        part.add_parser(tasks).set_defaults(run=run)
    beside_cli.add_parsers(tasks)
    sampler.add_parser(tasks)
    curve_cli.add_parser(tasks)
    for parser in kandinsky_cli.add_parsers(tasks):
        parser.set_defaults(run=run)
    add_grey(autoencoder)
    add_grey(denoiser)
    autoencoder.add_argument("--init", metavar="FOLDER", help="go on from this autoencoder")
    autoencoder.add_argument("--freeze-encoder", action="store_true",
                             help="train the decoder alone; latents stay as they are")
    autoencoder.add_argument("--whitening", type=float, default=None, metavar="W",
                             help="of the linear start: 1 gives all latent channels one variance, "
                                  "0 leaves principal components their own (default 0.5)")
    autoencoder.add_argument("--crop-px", type=int, default=128, help="side of training crops")
    for option, value, text in (
        ("--pixel-weight", 1.0, "weight of the mean absolute error"),
        ("--structure-weight", 0.1, "weight of 1 - SSIM"),
        ("--texture-weight", 0.5, "weight of the local energy of fine detail"),
        ("--latent-noise", 0.1, "noise on the latents before decoding"),
    ):
        autoencoder.add_argument(option, type=float, default=value, metavar="W", help=text)
    add_adversary(autoencoder)
    text_encoder.add_argument("--vocabulary-size", type=int, default=1200, metavar="N",
                              help="largest number of word pieces")
    denoiser.add_argument("--init", metavar="FOLDER",
                          help="go on from this checkpoint, for more training or other images")
    denoiser.add_argument("--autoencoder", metavar="FOLDER",
                          help="exported autoencoder, or a pipeline folder with vae in it "
                               "(needed without --init)")
    denoiser.add_argument("--text-encoder", metavar="SOURCE",
                          help="folder or hub id of a BERT-like or CLIP-like encoder; with "
                               "--init the denoiser learns to read it in place of its own "
                               "(default: the preset's, or that of --init)")
    denoiser.add_argument("--prediction-type", choices=PREDICTION_TYPES,
                          help="what the network predicts (default: the preset's)")
    denoiser.add_argument("--focus", type=float, default=1.0, metavar="W",
                          help="weight of the squared error inside the boxes of polyp_boxes.csv, "
                               "where the text states a finding (default: 1, none)")
    denoiser.add_argument("--oversample", type=int, default=1, metavar="K",
                          help="draw images that have boxes in polyp_boxes.csv K times as often "
                               "(default: 1)")
    add_wording(denoiser)



def run(arguments: argparse.Namespace) -> int:
    """Run a training command.

    Returns:
        Exit status 0.

    Raises:
        CoreError: Something a person can mend.
    """
    import torch

    from msdm_core.training.loop import LoopOptions, TrainingRun

    _check(arguments)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    options = LoopOptions(**{name: getattr(arguments, name) for name in (
        "seed", "batch_size", "learning_rate", "warmup_steps", "decay_after_steps", "ema_decay",
        "max_steps", "max_minutes", "checkpoint_minutes", "sheet_minutes", "mixed_precision")})
    TrainingRun(arguments.build(arguments), Path(arguments.out), options).train()
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that would fail later, or train nothing."""
    for name in ("batch_size", "learning_rate", "checkpoint_minutes", "sheet_minutes"):
        if getattr(arguments, name) <= 0:
            raise TrainingError(
                f"--{name.replace('_', '-')} is {getattr(arguments, name)}; it must be above 0."
            )
    for name in ("seed", "max_minutes", "max_steps", "warmup_steps", "decay_after_steps",
                 "threads"):
        if getattr(arguments, name) < 0:
            raise TrainingError(
                f"--{name.replace('_', '-')} is {getattr(arguments, name)}; it must be 0 or more."
            )
    if not 0 <= arguments.ema_decay < 1:
        raise TrainingError(f"--ema-decay is {arguments.ema_decay}; it must be in [0, 1).")
    out = Path(arguments.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise TrainingError(f"The run folder {out} cannot be written: {error}.") from error





def _whitening(arguments: argparse.Namespace) -> float:
    if arguments.whitening is None:
        return 0.5
    if arguments.init:
        raise TrainingError(
            "--whitening is of the start of a new autoencoder; it cannot be given with --init, "
            "whose latents stay as they are."
        )
    if not 0 <= arguments.whitening <= 1:
        raise TrainingError(f"--whitening is {arguments.whitening:g}; it must be from 0 to 1.")
    return float(arguments.whitening)


def _autoencoder(arguments: argparse.Namespace) -> Any:
    import diffusers

    from msdm_core.msdm.linear_autoencoder import linear_start
    from msdm_core.msdm.loading import load_component
    from msdm_core.msdm.presets import build_autoencoder, get_preset
    from msdm_core.training.autoencoder import AutoencoderOptions, AutoencoderTask
    from msdm_core.training.image_store import to_tensor

    side = get_preset(arguments.preset).image_px
    if not 0 < arguments.crop_px <= side or arguments.crop_px % CROP_UNIT_PX:
        raise TrainingError(
            f"--crop-px is {arguments.crop_px}; it must be a multiple of {CROP_UNIT_PX}, at most "
            f"{side}."
        )
    whitening = _whitening(arguments)
    images, validation, training, _ = open_splits(arguments)
    if arguments.init:
        model = load_component(Path(arguments.init), "vae")
    else:
        model = build_autoencoder(get_preset(arguments.preset))
        model.register_to_config(scaling_factor=1.0)  # set at export, from the latents themselves
        if not isinstance(model, diffusers.AutoencoderDC):
            if arguments.whitening is not None:
                raise TrainingError(
                    f"--whitening is of a linear start, which the autoencoder of the preset "
                    f"{arguments.preset!r} does not have."
                )
        else:
            some = to_tensor(images[:: max(1, len(images) // 284)])
            linear_start(model, some, whitening=whitening)
    options = AutoencoderOptions(
        batch_size=arguments.batch_size, crop_px=arguments.crop_px,
        pixel_weight=arguments.pixel_weight, structure_weight=arguments.structure_weight,
        texture_weight=arguments.texture_weight, latent_noise=arguments.latent_noise,
        is_encoder_frozen=arguments.freeze_encoder, **adversary_options(arguments),
    )
    origin = digest_of(arguments.init) if arguments.init else arguments.preset
    if arguments.whitening is not None:
        origin = f"{origin}, whitening {whitening:g}"
    drawn = drawn_latents(arguments, model, training, side)
    return AutoencoderTask(model, images, validation, options, origin, drawn=drawn)


def _text_encoder(arguments: argparse.Namespace) -> Any:
    from msdm_core.msdm.presets import get_preset
    from msdm_core.msdm.text_encoder import build_text_encoder, build_tokenizer
    from msdm_core.training.randomness import step_random
    from msdm_core.training.text_encoder import TextEncoderOptions, TextEncoderTask
    from msdm_core.training.wording import wordings

    preset = get_preset(arguments.preset)
    if isinstance(preset.text_encoder, str):
        raise TrainingError(
            f"The preset {preset.name!r} uses the pre-trained encoder {preset.text_encoder}; "
            "there is nothing to train. Give it to `train denoiser --text-encoder`."
        )
    domain = chosen_domain(arguments)
    training, validation = (wordings(records, domain) for records in splits(arguments.data))
    # The tokenizer is made once a run: wording drawn later must not change what words mean.
    kept = Path(arguments.out) / "tokenizer"
    if not kept.is_dir():
        rng = step_random(arguments.seed, 0).python
        corpus = (words.draw(rng, drop=0.0) for words in training for _ in range(12))
        tokenizer = build_tokenizer(corpus, arguments.vocabulary_size, preset.text_tokens)
        keep_whole(tokenizer, kept)
    tokenizer, encoder = build_text_encoder(preset.text_encoder, kept)
    options = TextEncoderOptions(batch_size=arguments.batch_size, max_tokens=preset.text_tokens)
    return TextEncoderTask(tokenizer, encoder, training, validation, options, preset.name)



def _denoiser(arguments: argparse.Namespace) -> Any:
    from msdm_core.training.denoiser import DenoiserTask
    from msdm_core.training.image_store import are_grey
    from msdm_core.training.latents import open_latents
    from msdm_core.training.wording import wordings

    device = training_device()
    pipeline = _pipeline(arguments)
    require_flow_for_shifts(arguments, pipeline.scheduler.config.prediction_type)
    images, validation_images, training, validation = open_splits(arguments)
    domain = chosen_domain(arguments)
    is_grey = arguments.grey == "yes" or (arguments.grey == "auto" and are_grey(images))
    pipeline.register_to_config(is_grey=is_grey)
    pipeline.vae.requires_grad_(False).to(device)
    pipeline.text_encoder.requires_grad_(False).to(device)
    latents, validation_latents = (
        open_latents(pipeline.vae, pictures, cache=cache_folder(arguments), device=device)
        for pictures in (images, validation_images)
    )
    options = latent_options(arguments)
    origin = digest_of(arguments.init) if arguments.init else arguments.preset
    return DenoiserTask(pipeline, latents, wordings(training, domain), validation_latents,
                        wordings(validation, domain), options, origin,
                        *_focus(arguments, training, latents.shape[-1]))


def _focus(arguments: argparse.Namespace, records: list[Any], side: int) -> tuple[Any, Any]:
    """Return what --focus and --oversample ask for, None where nothing is.

    Returns:
        Weights (N, 2, 1, side, side) of positions, and indices (P,) of images to draw from.
    """
    from data.finding_boxes import BOX_FILE, has_finding_boxes, read_finding_boxes
    from msdm_core.msdm.presets import get_preset
    from msdm_core.training.focus import focus_weights, oversampled

    focus, times = arguments.focus, arguments.oversample
    if not 1 <= focus <= 100:
        raise TrainingError(f"--focus is {focus:g}; it must be from 1, none, to 100.")
    if not 1 <= times <= 100:
        raise TrainingError(f"--oversample is {times}; it must be from 1, none, to 100.")
    if focus == times == 1:
        return None, None
    folder = Path(arguments.data)
    if not has_finding_boxes(folder):
        option = "--focus" if focus > 1 else "--oversample"
        raise TrainingError(
            f"{option} needs to know where findings lie: {folder} has no {BOX_FILE} "
            "(Filename,xmin,ymin,xmax,ymax in shares of width and height)."
        )
    boxes = read_finding_boxes(folder)
    fit = arguments.fit or get_preset(arguments.preset).fit
    return (
        focus_weights(records, boxes, side=side, fit=fit, focus=focus) if focus > 1 else None,
        oversampled(records, boxes, times) if times > 1 else None,
    )


def _pipeline(arguments: argparse.Namespace) -> Any:
    """Return the pipeline to train: a fresh denoiser, or the one that ``--init`` names."""
    from msdm_core.msdm.loading import load_component, load_pipeline
    from msdm_core.msdm.pipeline import MSDMPipeline
    from msdm_core.msdm.presets import build_denoiser, build_scheduler, get_preset
    from msdm_core.msdm.text_encoder import load_text_encoder, text_width

    if arguments.init:
        if arguments.prediction_type:
            raise TrainingError(
                "--init brings a denoiser that has learnt what to predict; leave "
                "--prediction-type out."
            )
        pipeline = load_pipeline(Path(arguments.init))
        if arguments.text_encoder:
            tokenizer, encoder = load_text_encoder(arguments.text_encoder)
            known, given = pipeline.unet.config.cross_attention_dim, text_width(encoder)
            if known != given:
                raise TrainingError(
                    f"The denoiser of {arguments.init} reads words of width {known}, and "
                    f"{arguments.text_encoder} writes {given}: they do not fit together."
                )
            pipeline.register_modules(tokenizer=tokenizer, text_encoder=encoder)
        if arguments.autoencoder:
            pipeline.register_modules(vae=load_component(Path(arguments.autoencoder), "vae"))
        wanted, found = get_preset(arguments.preset).image_px, pipeline.config.image_px
        if wanted != found:
            raise TrainingError(
                f"{arguments.init} draws {found} px, the preset {arguments.preset!r} {wanted} px. "
                "Name the preset it was trained with."
            )
        return pipeline
    preset = get_preset(arguments.preset)
    source = arguments.text_encoder or preset.text_encoder
    if not isinstance(source, str):
        raise TrainingError(
            f"The preset {preset.name!r} has no text encoder of its own: train one with "
            "`train text-encoder` and give it with --text-encoder."
        )
    if not arguments.autoencoder:
        raise TrainingError(
            "An autoencoder is needed: train one with `train autoencoder` and give its export "
            "with --autoencoder, or go on from a whole checkpoint with --init."
        )
    tokenizer, encoder = load_text_encoder(source)
    return MSDMPipeline(
        vae=load_component(Path(arguments.autoencoder), "vae"), text_encoder=encoder,
        tokenizer=tokenizer, unet=build_denoiser(preset, text_width(encoder)),
        scheduler=build_scheduler(preset, arguments.prediction_type),
        default_steps=preset.default_steps, default_guidance=preset.default_guidance,
        image_px=preset.image_px, text_tokens=preset.text_tokens,
    )


def _evaluator(arguments: argparse.Namespace) -> Any:
    from msdm_core.evaluation.evaluator import ATTRIBUTES, build_evaluator, truths
    from msdm_core.training.evaluator import EvaluatorOptions, EvaluatorTask

    domain = chosen_domain(arguments)
    names = ATTRIBUTES[domain.name]
    images, validation_images, training, validation = open_splits(arguments)
    truth, validation_truth = (
        truths([domain.read(record.captions) for record in records], names)
        for records in (training, validation)
    )
    # Where captions never allow it, sides are part of what is seen.
    may_mirror = domain.may_mirror(None, "")
    return EvaluatorTask(build_evaluator(names), images, truth, validation_images,
                         validation_truth,
                         EvaluatorOptions(batch_size=arguments.batch_size, may_mirror=may_mirror))
