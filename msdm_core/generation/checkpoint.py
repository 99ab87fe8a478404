"""Checkpoint folders, judged from their files alone: whole or not, ours or foreign, and their hash.

Nothing in a folder is executed or unpickled to find out.
"""

import hashlib
import json
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msdm_core.errors import CheckpointError, IncompleteCheckpointError

STOCK_LIBRARIES = frozenset({"diffusers", "transformers"})
# Parts a pipeline does without: a filter that blackens medical pictures, and image prompts.
UNUSED_PARTS = frozenset({"safety_checker", "feature_extractor", "image_encoder"})
_PIPELINES_WITH_UNUSED_PARTS = frozenset({"FluxPipeline", "StableDiffusionPipeline"})
_HEADER_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors format itself


def read_model_index(folder: Path) -> dict[str, Any]:
    """Returns the content of `model_index.json`, empty when there is none that can be read."""
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}


def components(index: Mapping[str, Any]) -> dict[str, str]:
    """Returns the library of each part that a pipeline loads, by the name of its folder.

    Args:
        index: what `read_model_index` returned.
    """
    unused = UNUSED_PARTS if index.get("_class_name") in _PIPELINES_WITH_UNUSED_PARTS else ()
    return {
        name: str(value[0])
        for name, value in index.items()
        if isinstance(value, list)
        and len(value) == 2
        and value[1] is not None
        and not name.startswith("_")
        and name not in unused
    }


def shown(folder: Path) -> str:
    """Returns the path as a person knows it: shipped checkpoints by their place in the project."""
    parts = folder.parts
    if "data" in parts and "checkpoints" in parts:
        return str(Path(*parts[len(parts) - parts[::-1].index("data") - 1 :]))
    return str(folder)


def check_checkpoint(folder: Path, pipeline_classes: tuple[str, ...]) -> None:
    """Checks that `folder` is a whole diffusers folder of one of the `pipeline_classes`.

    Args:
        folder: a diffusers pipeline folder.
        pipeline_classes: accepted values of `_class_name` in its `model_index.json`.

    Raises:
        IncompleteCheckpointError: a file is not there.
        CheckpointError: a file is damaged, or the folder is of another kind.
    """
    index = read_model_index(folder)
    if not index:
        raise CheckpointError(f"{shown(folder)} has no readable model_index.json.")
    found = index.get("_class_name")
    if found not in pipeline_classes:
        raise CheckpointError(
            f"{shown(folder)} holds a {found}; this family needs {' or '.join(pipeline_classes)}."
        )
    for name, library in components(index).items():
        if library not in STOCK_LIBRARIES:
            raise CheckpointError(
                f"{shown(folder / name)} needs code of {library!r}; only "
                f"{' and '.join(sorted(STOCK_LIBRARIES))} components are loaded."
            )
    if missing := missing_files(folder):
        raise IncompleteCheckpointError(f"{shown(folder)} {missing[0]}.")
    for path in weight_files(folder):
        check_safetensors(path)


def missing_files(folder: Path) -> list[str]:
    """Returns what a pipeline folder lacks, in words, empty where every part is there."""
    index = read_model_index(folder)
    if not index:
        return ["has no readable model_index.json"]
    missing: list[str] = []
    for name in components(index):
        part = folder / name
        if not part.is_dir() or not any(part.glob("*.json")):
            missing.append(f"lacks {name}, or its configuration")
            continue
        expected = _expected_weights(part)
        missing += [f"lacks {name}/{file}" for file in expected if not (part / file).is_file()]
        # Only networks have a file of this name; schedulers and tokenizers have no weights.
        if (part / "config.json").is_file() and not expected:
            missing.append(f"has no .safetensors file in {name}")
    return missing


def weight_files(folder: Path) -> list[Path]:
    """Returns the safetensors files that loading `folder` reads, sorted.

    A repository may also hold half-precision variants and the same weights in one file; those
    are left out. In a folder that is no pipeline every safetensors file counts.
    """
    index = read_model_index(folder)
    if not index:
        return sorted(folder.rglob("*.safetensors"))
    return sorted(
        folder / name / file
        for name in components(index)
        for file in _expected_weights(folder / name)
        if (folder / name / file).is_file()
    )


def _expected_weights(part: Path) -> list[str]:
    """Returns the names of the weight files of one part, whether they are there or not."""
    for index_file in sorted(part.glob("*.safetensors.index.json")):
        if is_main_file(index_file.name):
            return sorted(_shards(index_file))
    return sorted(path.name for path in part.glob("*.safetensors") if is_main_file(path.name))


def is_main_file(name: str) -> bool:
    """Whether a weight file is the one loaded by default, and no variant such as `x.fp16`."""
    stem = name.removesuffix(".index.json").removesuffix(".safetensors")
    return "." not in stem


def _shards(index_file: Path) -> set[str]:
    try:
        weight_map = json.loads(index_file.read_text(encoding="utf-8"))["weight_map"]
        return {str(name) for name in weight_map.values()}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{shown(index_file)} cannot be read.") from error


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
            f"{shown(path)} is damaged: {size_bytes:,} bytes long, its header says {expected:,}."
        )


def parameter_count(folder: Path) -> int:
    """Returns how many numbers the weights of `folder` hold.

    Raises:
        CheckpointError: a file is damaged.
    """
    headers = (_read_header(path)[0] for path in weight_files(folder))
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
                raise CheckpointError(f"{shown(path)} is a Git LFS pointer; run: git lfs pull")
            header_bytes = int.from_bytes(start, "little")
            if len(start) < _HEADER_LENGTH_BYTES or header_bytes > _MAX_HEADER_BYTES:
                raise CheckpointError(f"{shown(path)} is not a whole safetensors file.")
            return json.loads(file.read(header_bytes)), header_bytes
    except OSError as error:
        raise CheckpointError(f"{shown(path)} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise CheckpointError(f"{shown(path)} is not a whole safetensors file.") from error


def _data_bytes(header: Mapping[str, Any], path: Path) -> int:
    try:
        ends = [
            int(tensor["data_offsets"][1])
            for name, tensor in header.items()
            if name != "__metadata__"
        ]
    except (AttributeError, KeyError, TypeError, IndexError, ValueError) as error:
        raise CheckpointError(f"{shown(path)} is not a whole safetensors file.") from error
    return max(ends, default=0)


_hashes: dict[tuple[str, int, int], bytes] = {}
_hashes_lock = threading.Lock()


def weights_sha256(*folders: Path) -> str:
    """Returns the SHA-256 over the weights of `folders`, each file preceded by its name.

    A path of a single safetensors file counts as a folder with that file alone. The hash of a
    file is kept while its name, size and modification time stay the same.
    """
    total = hashlib.sha256()
    for folder in folders:
        files = [folder] if folder.is_file() else weight_files(folder)
        for path in files:
            name = path.name if folder.is_file() else path.relative_to(folder).as_posix()
            total.update(name.encode() + b"\0")
            total.update(_file_digest(path))
    return total.hexdigest()


def _file_digest(path: Path) -> bytes:
    stat = path.stat()
    key = (str(path), stat.st_size, stat.st_mtime_ns)
    with _hashes_lock:
        if key in _hashes:
            return _hashes[key]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    with _hashes_lock:
        _hashes[key] = digest
    return digest
