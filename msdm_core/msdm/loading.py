"""Loading single components of a checkpoint folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from msdm_core.errors import CheckpointError

# Stock classes a component may be of; a folder that names another is not loaded.
AUTOENCODERS = ("AutoencoderDC", "AutoencoderKL", "AutoencoderTiny", "VQModel")


def load_component(folder: Path, name: str) -> Any:
    """Return an autoencoder in float32, from its own folder or from a pipeline's.

    Args:
        folder: A component folder with config.json, or a pipeline folder with ``name`` in it.
        name: Name of the component's folder in a pipeline.

    Raises:
        CheckpointError: Nothing loads from there.
    """
    import diffusers

    where = folder / name if (folder / name / "config.json").is_file() else folder
    try:
        class_name = json.loads((where / "config.json").read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{folder} holds no autoencoder: {where / 'config.json'} is missing or unreadable. "
            "Give a folder that `train autoencoder` exported, or a pipeline folder."
        ) from error
    if class_name not in AUTOENCODERS:
        raise CheckpointError(
            f"{where} holds a {class_name}; expected one of {', '.join(AUTOENCODERS)}."
        )
    try:
        return getattr(diffusers, class_name).from_pretrained(
            where, dtype=torch.float32, use_safetensors=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"The weights in {where} cannot be loaded: {error}") from error


def load_pipeline(folder: Path, device: str = "cpu") -> Any:
    """Return the `MSDMPipeline` of a checkpoint folder, in float32, on a device.

    Raises:
        CheckpointError: It does not load, or gives no finite weights.
    """
    from msdm_core.msdm.pipeline import MSDMPipeline

    if not folder.is_dir():
        raise CheckpointError(f"There is no checkpoint {folder}: it is not a folder.")
    try:
        pipeline = MSDMPipeline.from_pretrained(folder, use_safetensors=True)
        return pipeline.to(device)
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"The checkpoint {folder} cannot be loaded: {error} "
            "Replace the folder by a whole checkpoint, or name another."
        ) from error
