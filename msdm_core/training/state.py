"""Checkpoints of a training run: written whole or not at all, safetensors and JSON only."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from msdm_core.errors import CheckpointError

KEPT_CHECKPOINTS = 2


def flatten_optimizer(state: dict[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Split an optimiser's ``state_dict`` into tensors and the JSON that describes the rest."""
    tensors = {
        f"{index}.{name}": value.detach().cpu().contiguous()
        for index, entry in state["state"].items()
        for name, value in entry.items()
    }
    return tensors, {"param_groups": state["param_groups"]}


def unflatten_optimizer(tensors: dict[str, torch.Tensor], rest: dict[str, Any]) -> dict[str, Any]:
    """Rebuild the ``state_dict`` that `flatten_optimizer` took apart."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    return {"state": state, "param_groups": rest["param_groups"]}


def fsync_folder(folder: Path) -> None:
    """Flush every file of a folder, and the folder itself, to the disk."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def save_checkpoint(
    runs_folder: Path, step: int, tensors: dict[str, dict[str, torch.Tensor]], state: dict[str, Any]
) -> Path:
    """Write ``step-NNNNNNNN`` under a run and drop all but the newest few.

    The folder is filled under a temporary name, flushed, and only then renamed, so that a kill at
    any moment leaves either the old checkpoints or the new one as well.

    Args:
        runs_folder: The ``checkpoints`` folder of a run.
        step: Steps done.
        tensors: File stem -> name -> tensor.
        state: Whatever else must come back, JSON-serialisable.

    Returns:
        The folder written.
    """
    runs_folder.mkdir(parents=True, exist_ok=True)
    final = runs_folder / f"step-{step:08d}"
    partial = runs_folder / f".partial-{step:08d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for stem, entries in tensors.items():
        contiguous = {name: value.detach().cpu().contiguous() for name, value in entries.items()}
        save_file(contiguous, partial / f"{stem}.safetensors")
    (partial / "state.json").write_text(json.dumps({"step": step, **state}), encoding="utf-8")
    fsync_folder(partial)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    for old in list_checkpoints(runs_folder)[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def list_checkpoints(runs_folder: Path) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first."""
    return sorted(p for p in runs_folder.glob("step-*") if (p / "state.json").is_file())


def load_checkpoint(folder: Path) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
    """Read a checkpoint that `save_checkpoint` wrote.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        tensors = {path.stem: load_file(path) for path in sorted(folder.glob("*.safetensors"))}
    except Exception as error:
        raise CheckpointError(
            f"The training checkpoint {folder} cannot be read ({error}). "
            "Delete that folder to go on from the one before it."
        ) from error
    return tensors, state
