"""Checkpoint folders, judged from their files alone: whole or not, ours or foreign, and their hash.

Nothing in a folder is executed or unpickled to find out.
"""

import hashlib
import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from msdm_core.errors import CheckpointError

State = Literal["ready", "missing", "broken"]
STOCK_LIBRARIES = frozenset({"diffusers", "transformers"})
_HEADER_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors format itself


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a model can run here; `why` and `next_step` are empty when it can."""

    state: State
    why: str = ""
    next_step: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether the model can be used now."""
        return self.state == "ready"


def read_model_index(folder: Path) -> dict[str, Any]:
    """Returns the content of `model_index.json`, empty when there is none that can be read."""
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}


def inspect_checkpoint(folder: Path, pipeline_classes: tuple[str, ...]) -> Availability:
    """Returns whether `folder` is a whole diffusers folder of one of the `pipeline_classes`.

    Args:
        folder: a diffusers pipeline folder.
        pipeline_classes: accepted values of `_class_name` in its `model_index.json`.
    """
    if not folder.is_dir():
        return Availability(
            "missing",
            f"The folder {_shown(folder)} does not exist.",
            "Put a checkpoint there or correct the path in catalogue.toml.",
        )
    try:
        _check_folder(folder, pipeline_classes)
    except CheckpointError as error:
        return Availability("broken", str(error), "Replace the folder by a whole checkpoint.")
    return Availability("ready")


def _shown(folder: Path) -> str:
    """Returns the path as a person knows it: shipped checkpoints by their place in the project."""
    parts = folder.parts
    if "data" in parts and "checkpoints" in parts:
        return str(Path(*parts[len(parts) - parts[::-1].index("data") - 1 :]))
    return str(folder)


def _check_folder(folder: Path, pipeline_classes: tuple[str, ...]) -> None:
    index = read_model_index(folder)
    if not index:
        raise CheckpointError(f"{_shown(folder)} has no readable model_index.json.")
    found = index.get("_class_name")
    if found not in pipeline_classes:
        raise CheckpointError(
            f"{_shown(folder)} holds a {found}; this family needs {' or '.join(pipeline_classes)}."
        )
    for name, value in index.items():
        is_component = isinstance(value, list) and len(value) == 2 and not name.startswith("_")
        if is_component and value[1] is not None:
            _check_component(folder / name, library=value[0])


def _check_component(folder: Path, library: object) -> None:
    where = f"{_shown(folder.parent)}/{folder.name}"
    if library not in STOCK_LIBRARIES:
        raise CheckpointError(
            f"{where} needs code of {library!r}; only {' and '.join(sorted(STOCK_LIBRARIES))} "
            "components are loaded."
        )
    if not folder.is_dir() or not any(folder.glob("*.json")):
        raise CheckpointError(f"{where} is missing or has no configuration.")
    for index_file in folder.glob("*.safetensors.index.json"):
        for shard in _shards(index_file):
            if not (folder / shard).is_file():
                raise CheckpointError(f"{where}/{shard} is missing.")
    weights = sorted(folder.glob("*.safetensors"))
    # Only networks have a file of this name; schedulers and tokenizers have no weights.
    if (folder / "config.json").is_file() and not weights:
        raise CheckpointError(f"{where} has no .safetensors file.")
    for path in weights:
        check_safetensors(path)


def _shards(index_file: Path) -> set[str]:
    try:
        weight_map = json.loads(index_file.read_text(encoding="utf-8"))["weight_map"]
        return {str(name) for name in weight_map.values()}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{_shown(index_file)} cannot be read.") from error


def check_safetensors(path: Path) -> None:
    """Checks that a safetensors file is as long as its header says.

    Raises:
        CheckpointError: the file is truncated, is a Git LFS pointer or is of another format.
    """
    header, header_bytes = _read_header(path)
    size_bytes = path.stat().st_size
    expected = _HEADER_LENGTH_BYTES + header_bytes + _data_bytes(header, path)
    if size_bytes != expected:
        raise CheckpointError(
            f"{_shown(path)} is damaged: {size_bytes:,} bytes long, its header says {expected:,}."
        )


def parameter_count(folder: Path) -> int:
    """Returns how many numbers the safetensors files below `folder` hold.

    Raises:
        CheckpointError: a file is damaged.
    """
    headers = (_read_header(path)[0] for path in folder.rglob("*.safetensors"))
    return sum(
        math.prod(tensor["shape"])
        for header in headers
        for name, tensor in header.items()
        if name != "__metadata__"
    )


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Returns the header of a safetensors file and its length in bytes."""
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER_LENGTH_BYTES)
            if start == b"version ":
                raise CheckpointError(f"{_shown(path)} is a Git LFS pointer; run: git lfs pull")
            header_bytes = int.from_bytes(start, "little")
            if len(start) < _HEADER_LENGTH_BYTES or header_bytes > _MAX_HEADER_BYTES:
                raise CheckpointError(f"{_shown(path)} is not a whole safetensors file.")
            return json.loads(file.read(header_bytes)), header_bytes
    except OSError as error:
        raise CheckpointError(f"{_shown(path)} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise CheckpointError(f"{_shown(path)} is not a whole safetensors file.") from error


def _data_bytes(header: Mapping[str, Any], path: Path) -> int:
    try:
        ends = [
            int(tensor["data_offsets"][1])
            for name, tensor in header.items()
            if name != "__metadata__"
        ]
    except (AttributeError, KeyError, TypeError, IndexError, ValueError) as error:
        raise CheckpointError(f"{_shown(path)} is not a whole safetensors file.") from error
    return max(ends, default=0)


_hashes: dict[tuple[tuple[str, int, int], ...], str] = {}
_hashes_lock = threading.Lock()


def weights_sha256(folder: Path) -> str:
    """Returns the SHA-256 over all safetensors files below `folder`, each preceded by its name.

    The result is kept while names, sizes and modification times stay the same.
    """
    files = sorted(folder.rglob("*.safetensors"))
    stats = [(path, path.stat()) for path in files]
    key = tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats)
    with _hashes_lock:
        if key in _hashes:
            return _hashes[key]
    total = hashlib.sha256()
    for path in files:
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    with _hashes_lock:
        _hashes[key] = total.hexdigest()
    return total.hexdigest()
