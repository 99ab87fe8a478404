"""How a trained checkpoint is sampled: noise told to the denoiser, default steps and guidance.

A denoiser that has not learnt all it could takes away more detail than noise. Told of a little less
noise than there is, it leaves that detail in. Stock schedulers of flow matching tell the denoiser
``sigma * num_train_timesteps``, while training always counts to 1,000; so the share that is told
is a line of the scheduler's configuration, and stock pipelines follow it.

Sources: the remedy is that of Li et al. 2023, arXiv:2305.15583 (time-shifted sampling), here as one
factor for all steps; the fault is the exposure bias of Ning et al. 2023, arXiv:2308.15321.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from msdm_core.errors import CheckpointError, RequestError

TRAINED_TIMESTEPS = 1000
LEAST_TOLD = 0.8
SCHEDULER_FILE = Path("scheduler") / "scheduler_config.json"
INDEX_FILE = "model_index.json"


def set_told_noise(folder: Path, share: float) -> None:
    """Write which share of the noise the denoiser of a checkpoint is told of.

    Args:
        folder: A pipeline's folder, or Kandinsky's with ``decoder`` in it.
        share: In [0.8, 1]; 1 tells the truth.

    Raises:
        RequestError: The share is out of range.
        CheckpointError: The folder holds no scheduler of flow matching.
    """
    if not (math.isfinite(share) and LEAST_TOLD <= share <= 1):
        raise RequestError(f"--told-noise is {share}; it must be in [{LEAST_TOLD}, 1].")
    path = _pipeline_folder(folder) / SCHEDULER_FILE
    config = _read(path)
    if not (config.get("use_flow_sigmas") or "FlowMatch" in str(config.get("_class_name"))):
        raise CheckpointError(
            f"{path} describes {config.get('_class_name')!r} without flow matching; what a "
            "denoiser is told can be set for flow matching only."
        )
    config["num_train_timesteps"] = round(TRAINED_TIMESTEPS * share)
    _write(path, config)


def set_defaults(
    folder: Path,
    steps: int | None = None,
    guidance: float | None = None,
    guide_scale: float | None = None,
) -> None:
    """Write the defaults of an MSDM checkpoint; None leaves one as it is.

    Args:
        folder: Of the pipeline.
        steps: Sampling steps.
        guidance: Scale of classifier-free guidance, 1 for none.
        guide_scale: How many times as far from the guide, 1 for none.

    Raises:
        RequestError: A value is not allowed.
        CheckpointError: The folder holds no `MSDMPipeline`, or no guide to go away from.
    """
    if steps is not None and not 1 <= steps <= TRAINED_TIMESTEPS:
        raise RequestError(f"--steps is {steps}; allowed are 1 to {TRAINED_TIMESTEPS}.")
    for name, scale in (("guidance", guidance), ("guide-scale", guide_scale)):
        if scale is not None and not (math.isfinite(scale) and scale >= 0):
            raise RequestError(f"--{name} is {scale}; give a number of 0 or more, 1 for none.")
    path = folder / INDEX_FILE
    index = _read(path)
    if index.get("_class_name") != "MSDMPipeline":
        raise CheckpointError(
            f"{folder} holds {index.get('_class_name')!r}, which has no defaults of its own. Give "
            "default_steps and default_guidance in its entry of the catalogue."
        )
    if guide_scale not in (None, 1) and not (folder / "guide").is_dir():
        raise CheckpointError(
            f"{folder} has no guide to go away from. Train one: python -m msdm_core train guide."
        )
    index |= {} if steps is None else {"default_steps": steps}
    index |= {} if guidance is None else {"default_guidance": guidance}
    index |= {} if guide_scale is None else {"default_guide_scale": guide_scale}
    _write(path, index)


def _pipeline_folder(folder: Path) -> Path:
    decoder = folder / "decoder"
    return decoder if decoder.is_dir() and not (folder / INDEX_FILE).is_file() else folder


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}. Give the folder of a whole pipeline."
        ) from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds no table of settings.")
    return found


def _write(path: Path, table: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def add_parser(tasks: Any) -> None:
    """Add the command ``sampler``."""
    parser = tasks.add_parser("sampler", help="how a trained checkpoint is sampled")
    parser.add_argument("--model", required=True, metavar="FOLDER", help="the checkpoint to change")
    parser.add_argument("--told-noise", type=float, metavar="SHARE",
                        help="share of the noise that the denoiser is told of, 0.8 to 1")
    parser.add_argument("--steps", type=int, metavar="N", help="default steps, of MSDM")
    parser.add_argument("--guidance", type=float, metavar="G", help="default guidance, of MSDM")
    parser.add_argument("--guide-scale", type=float, metavar="G",
                        help="how many times as far from the guide, of an MSDM that has one")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        Exit status 0.

    Raises:
        CoreError: Nothing is asked for, or something that is not possible.
    """
    folder = Path(arguments.model)
    defaults = (arguments.steps, arguments.guidance, arguments.guide_scale)
    if (arguments.told_noise, *defaults) == (None,) * 4:
        raise RequestError("Give what to set: --told-noise, --steps, --guidance or --guide-scale.")
    if defaults != (None,) * 3:
        set_defaults(folder, *defaults)
    if arguments.told_noise is not None:
        set_told_noise(folder, arguments.told_noise)
    return 0
