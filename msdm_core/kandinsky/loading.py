"""Loading the parts of a Kandinsky checkpoint to train them further."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from msdm_core.errors import CheckpointError


def load_clip(folder: Path) -> dict[str, Any]:
    """Return tokenizer, text_encoder and image_encoder, frozen, in float32.

    Args:
        folder: Export of ``train clip``, or the prior's folder of a checkpoint.

    Raises:
        CheckpointError: Nothing loads from there.
    """
    from transformers import (
        CLIPTextModelWithProjection,
        CLIPTokenizer,
        CLIPVisionModelWithProjection,
    )

    parts: dict[str, Any] = {}
    try:
        parts["tokenizer"] = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        for name, kind in (("text_encoder", CLIPTextModelWithProjection),
                           ("image_encoder", CLIPVisionModelWithProjection)):
            model = kind.from_pretrained(folder / name, dtype=torch.float32, use_safetensors=True)
            parts[name] = model.eval().requires_grad_(False)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"No CLIP loads from {folder} ({error}). Give what `train clip` exported, or the "
            "prior's folder of a Kandinsky checkpoint."
        ) from error
    return parts


def load_kandinsky_part(folder: Path, part: str) -> Any:
    """Return the pipeline of a checkpoint's prior or decoder, in float32.

    Args:
        folder: Folder of that pipeline, or of a checkpoint with ``prior`` and ``decoder`` in it.
        part: "prior" or "decoder".

    Raises:
        CheckpointError: It does not load.
    """
    from diffusers import KandinskyV22Pipeline, KandinskyV22PriorPipeline

    where = folder / part if (folder / part / "model_index.json").is_file() else folder
    kind = {"prior": KandinskyV22PriorPipeline, "decoder": KandinskyV22Pipeline}[part]
    try:
        pipeline = kind.from_pretrained(
            where, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"The {part} in {folder} cannot be loaded: {error} "
            f"Give a folder that `train kandinsky-{part}` exported."
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
