"""What every training command reads: its common options, images, wording and where a run began.

Imports nothing heavy until a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msdm_core.errors import TrainingError

if TYPE_CHECKING:
    import torch

    from data.domains import Domain
    from data.records import ImageRecord
    from msdm_core.training.latent_batches import LatentOptions


def add_common(parser: argparse.ArgumentParser, defaults: dict[str, Any]) -> None:
    """Add the options of every task, with the task's own defaults."""
    add = parser.add_argument
    add("--data", required=True, metavar="FOLDER", help="images and captions")
    add("--out", required=True, metavar="FOLDER", help="the run: made, or resumed where it is")
    add("--preset", default="compact", help="compact or paper (default %(default)s)")
    add("--seed", type=int, default=0)
    add("--batch-size", type=int, default=defaults["batch_size"], metavar="N",
        help="samples a step and process (default %(default)s)")
    add("--learning-rate", type=float, default=defaults["learning_rate"], metavar="R",
        help="peak rate of Adam (default %(default)s)")
    add("--warmup-steps", type=int, default=defaults["warmup_steps"], metavar="N")
    add("--decay-after-steps", type=int, default=0, metavar="N",
        help="then the rate falls as 1/sqrt(step) (default: never)")
    add("--ema-decay", type=float, default=defaults["ema_decay"], metavar="D",
        help="decay of the averaged weights (default %(default)s)")
    add("--max-minutes", type=float, default=0.0, metavar="MIN", help="stop after so long")
    add("--max-steps", type=int, default=0, metavar="N", help="stop at this step")
    add("--checkpoint-minutes", type=float, default=5.0, metavar="MIN")
    add("--sheet-minutes", type=float, default=15.0, metavar="MIN")
    add("--mixed-precision", choices=("no", "bf16", "fp16"), default="no", help="for a GPU")
    add("--domain", choices=("endoscopy", "radiology"),
        help="language of the captions (default: radiology for the layout of ROCOv2)")
    add("--fit", choices=("pad", "crop", "stretch"), help="how pictures are made square")
    add("--cache", metavar="FOLDER", help="decoded images and latents (default: beside the run)")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads (default: all)")


def splits(folder: str) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """Return the training and validation records of a folder."""
    from data.folders import read_folder
    from data.splits import make_splits

    records = read_folder(Path(folder))
    if not any(record.split == "val" for record in records):
        records = make_splits(records, fractions={"train": 0.95, "val": 0.05}, seed=0)
    training = [record for record in records if record.split == "train"]
    validation = [record for record in records if record.split == "val"]
    if not training or not validation:
        raise TrainingError(
            f"{folder} has {len(training)} training and {len(validation)} validation images; "
            "both are needed. `python -m data split FOLDER` writes a split."
        )
    return training, validation


def add_grey(parser: argparse.ArgumentParser) -> None:
    """Add the option that keeps grey pictures grey."""
    parser.add_argument(
        "--grey", choices=("auto", "yes", "no"), default="auto",
        help="whether the model draws pure grey: auto where all training pictures are grey, yes "
             "also makes them so (default %(default)s)")


def add_wording(parser: argparse.ArgumentParser) -> None:
    """Add the options of the tasks that learn from latents and words (see `latent_options`)."""
    parser.add_argument("--drop-text", type=float, default=0.1, metavar="P",
                        help="share of steps without text (default %(default)s)")
    parser.add_argument("--no-mirror", action="store_true", help="never flip left to right")
    parser.add_argument("--sheet-prompts", metavar="FILE", help="prompts of the sample sheet")
    parser.add_argument("--time-shifts", type=_time_shifts, metavar="S,S,...",
                        help="of flow matching: what moves the times towards noise, drawn evenly "
                             "(default: 1,3); 12 for layout and brightness")
    parser.add_argument("--full-precision", action="store_true",
                        help="export float32 weights instead of float16")


def chosen_domain(arguments: argparse.Namespace) -> Domain:
    """Return the domain whose language the captions of the training images are in."""
    from data.domains import domain_of_folder, get_domain

    return get_domain(arguments.domain) if arguments.domain else domain_of_folder(arguments.data)


def cache_folder(arguments: argparse.Namespace) -> Path:
    """Return the folder for decoded images and latents."""
    return Path(arguments.cache) if arguments.cache else Path(arguments.out) / "cache"


def open_splits(arguments: argparse.Namespace) -> tuple[Any, Any, list[Any], list[Any]]:
    """Return training and validation images, (N, S, S, 3) uint8, and the records of both."""
    from msdm_core.msdm.presets import get_preset
    from msdm_core.training.image_store import open_images

    preset = get_preset(arguments.preset)
    training, validation = splits(arguments.data)
    fit = arguments.fit or preset.fit
    is_grey = getattr(arguments, "grey", "auto") == "yes"
    pictures = [open_images(r, size_px=preset.image_px, fit=fit, cache=cache_folder(arguments),
                            is_grey=is_grey)
                for r in (training, validation)]
    return pictures[0], pictures[1], training, validation


def keep_whole(tokenizer: Any, folder: Path) -> None:
    """Write a tokenizer's folder whole or not at all; of several processes the first one wins."""
    import os
    import shutil

    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    tokenizer.save_pretrained(partial)
    try:
        partial.rename(folder)
    except OSError:
        shutil.rmtree(partial)
        if not folder.is_dir():
            raise


def sheet_prompts(path: str | None) -> tuple[str, ...]:
    """Return the prompts of a sample sheet: one a line, comments behind a hash left out."""
    if path is None:
        return ()
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def digest_of(folder: str) -> str:
    """Return a short hash of the safetensors of a folder, which names where a run began."""
    import hashlib

    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*.safetensors")):
        digest.update(path.read_bytes())
    return f"{Path(folder).name}@{digest.hexdigest()[:12]}"


def latent_options(arguments: argparse.Namespace) -> LatentOptions:
    """Return what the arguments of a task on latents and words ask for."""
    from msdm_core.training.latent_batches import LatentOptions
    from msdm_core.training.noise import TIME_SHIFTS

    return LatentOptions(
        batch_size=arguments.batch_size, drop_text=arguments.drop_text,
        mirror=not arguments.no_mirror, sheet_prompts=sheet_prompts(arguments.sheet_prompts),
        export_half=not arguments.full_precision,
        time_shifts=arguments.time_shifts or TIME_SHIFTS,
    )


def _time_shifts(text: str) -> tuple[float, ...]:
    """Return the shifts that --time-shifts names, each in [0.1, 100]."""
    try:
        shifts = tuple(float(part) for part in text.split(","))
    except ValueError:
        shifts = (math.nan,)
    if not all(0.1 <= shift <= 100 for shift in shifts):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not numbers from 0.1 to 100 with commas, as in 1,3,12"
        )
    return shifts


def require_flow_for_shifts(arguments: argparse.Namespace, prediction_type: str) -> None:
    """Refuse --time-shifts where it would do nothing.

    Raises:
        TrainingError: The denoiser does not learn by flow matching.
    """
    if arguments.time_shifts and prediction_type != "flow_prediction":
        raise TrainingError(
            f"--time-shifts is of flow matching, and this denoiser learns {prediction_type}. "
            "Leave it out."
        )


def training_device() -> torch.device:
    """Return the device that accelerate trains on, as a launch on CPUs or GPUs asks for."""
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    # The first state made decides for the whole process, so it must know of a launch on CPUs.
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).device
