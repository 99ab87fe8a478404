"""Loading a FLUX checkpoint to train it further."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from msdm_core.errors import CheckpointError


def load_flux(folder: Path) -> Any:
    """Return the `FluxPipeline` of a folder, in float32.

    Raises:
        CheckpointError: It does not load.
    """
    from diffusers import FluxPipeline

    try:
        pipeline = FluxPipeline.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"The checkpoint {folder} cannot be loaded: {error} "
            "Give a folder that `train flux` exported."
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
