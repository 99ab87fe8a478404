"""Whether a model can run here, and if not, why and what changes that: from files alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msdm_core.errors import CheckpointError, IncompleteCheckpointError
from msdm_core.generation.checkpoint import check_checkpoint, check_safetensors, shown
from msdm_core.generation.memory import GIB, read_memory
from msdm_core.generation.weights import WeightsSource

if TYPE_CHECKING:
    from msdm_core.generation.catalogue import ModelEntry

State = Literal["ready", "download", "memory", "gated", "broken", "missing"]
PIPELINE_CLASSES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "msdm": {"": ("MSDMPipeline",)},
    "flux": {"": ("FluxPipeline",)},
    "kandinsky": {"prior": ("KandinskyV22PriorPipeline",), "decoder": ("KandinskyV22Pipeline",)},
    "stable_diffusion": {"": ("StableDiffusionPipeline",)},
}
"""The pipeline class in `model_index.json`, by family and by the role of the folder."""

_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


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


def inspect_model(entry: ModelEntry, device: str = "auto") -> Availability:
    """Returns whether a model can run here, without torch and without hashing anything.

    What no command can change is told first: a damaged or missing folder, then memory, then a
    licence to accept, then the download.

    Args:
        entry: the model.
        device: auto, cpu, cuda or mps, as in the settings.
    """
    found = inspect_files(entry)
    if found.state in {"broken", "missing"}:
        return found
    if lack := _lacking_memory(entry, device):
        if found.state == "download":
            return Availability("memory", f"{lack.why} {found.why}", lack.next_step)
        return lack
    if found.state == "download" and entry.is_gated and not has_hub_token():
        return gated(entry)
    return found


def inspect_files(entry: ModelEntry) -> Availability:
    """Returns ready, download, broken or missing: what the files of a model alone tell."""
    found = [
        _inspect_folder(entry, source, PIPELINE_CLASSES[entry.family][role])
        for role, source in entry.sources().items()
    ]
    found += [_inspect_lora(entry, lora.source, lora.weight_name) for lora in entry.loras]
    for one in found:
        if one.state in {"broken", "missing"}:
            return one
    if waiting := [one.why for one in found if one.state == "download"]:
        size = f" ({show_bytes(entry.download_bytes)} in all)" if entry.download_bytes else ""
        why = f"{'; '.join(dict.fromkeys(waiting))}{size}."
        return Availability("download", why, f"Download it: {download_command(entry)}")
    return Availability("ready")


def gated(entry: ModelEntry) -> Availability:
    """Returns what to do where a licence must be accepted before the download."""
    page = f"https://huggingface.co/{entry.weights.hub}"
    return Availability(
        "gated",
        f"{entry.weights.hub} is not downloaded, and its owner gives it only to people who have "
        "accepted its licence and are logged in; no login of the hub is found here.",
        f"Accept the licence at {page}, log in with: hf auth login (or set HF_TOKEN), then: "
        f"{download_command(entry)}",
    )


def download_command(entry: ModelEntry) -> str:
    """Returns the one command that fetches the model."""
    return f"python -m msdm_core download {entry.id}"


def has_hub_token() -> bool:
    """Whether a login of the hub is found: a variable of the environment or the saved token."""
    if any(os.environ.get(name, "").strip() for name in _TOKEN_VARIABLES):
        return True
    from huggingface_hub import constants

    try:
        return bool(Path(constants.HF_TOKEN_PATH).read_text(encoding="utf-8").strip())
    except OSError:
        return False


def _inspect_folder(
    entry: ModelEntry, source: WeightsSource, classes: tuple[str, ...]
) -> Availability:
    place = source.place
    if place is None:
        return Availability("download", f"{source.hub} is not downloaded")
    if not place.is_dir():
        return _missing(source, place)
    error = _checked(place, classes)
    if error is None:
        return Availability("ready")
    is_incomplete = isinstance(error, IncompleteCheckpointError)
    if source.hub and (is_incomplete or not (place / "model_index.json").is_file()):
        return Availability("download", f"{source.hub} is downloaded only in part")
    return _broken(entry, source, error)


_Signature = tuple[tuple[str, int, int], ...]
_checks: dict[tuple[Path, tuple[str, ...]], tuple[_Signature, CheckpointError | None]] = {}


def _checked(place: Path, classes: tuple[str, ...]) -> CheckpointError | None:
    """Returns what is wrong with a folder, looked at again only when its files have changed."""
    signature = tuple(_files(place))
    known = _checks.get((place, classes))
    if known is not None and known[0] == signature:
        return known[1]
    found: CheckpointError | None = None
    try:
        check_checkpoint(place, classes)
    except CheckpointError as error:
        found = error.with_traceback(None)
    _checks[place, classes] = signature, found
    return found


def _files(folder: Path, depth: int = 1) -> Iterator[tuple[str, int, int]]:
    """Yields path, size and time of the files of a folder and of the folders in it."""
    try:
        entries = sorted(os.scandir(folder), key=lambda item: item.name)
    except OSError:
        return
    for item in entries:
        if item.is_dir():
            if depth:
                yield from _files(Path(item.path), depth - 1)
            continue
        try:
            stat = item.stat()
        except OSError:  # a link to nothing, as an interrupted download may leave
            continue
        yield item.path, stat.st_size, stat.st_mtime_ns


def _inspect_lora(entry: ModelEntry, source: WeightsSource, name: str) -> Availability:
    place = source.place
    if place is None or (source.hub and not (place / name).is_file()):
        return Availability("download", f"the LoRA weights {source.hub} are not downloaded")
    path = place / name
    if not path.is_file():
        return Availability(
            "missing",
            f"The LoRA file {shown(path)} does not exist.",
            "Put it there, or correct path and weight_name of the LoRA in catalogue.toml.",
        )
    try:
        check_safetensors(path)
    except CheckpointError as error:
        return _broken(entry, source, error)
    return Availability("ready")


def _missing(source: WeightsSource, place: Path) -> Availability:
    if source.checkpoint:
        step = _restore(source)
        return Availability("missing", f"The folder {shown(place)} does not exist.", step)
    return Availability(
        "missing",
        f"The folder {shown(place)} does not exist.",
        "Put a checkpoint there or correct the path in catalogue.toml.",
    )


def _broken(entry: ModelEntry, source: WeightsSource, error: CheckpointError) -> Availability:
    if source.checkpoint:
        step = _restore(source)
    elif source.hub:
        step = f"Check and repair the download: {download_command(entry)}"
    else:
        step = "Replace the folder by a whole checkpoint."
    return Availability("broken", str(error), step)


def _restore(source: WeightsSource) -> str:
    return f"Restore it: git checkout -- data/checkpoints/{source.checkpoint}"


def _lacking_memory(entry: ModelEntry, device: str) -> Availability | None:
    """Returns why the memory of this machine is not enough, None where it is."""
    memory = read_memory()
    gpus = memory.gpus if device in {"auto", "cuda"} else ()
    largest = max(gpus, key=lambda gpu: gpu.total_bytes, default=None)
    has_host_memory = memory.total_bytes >= (entry.least_memory_gib or 0) * GIB
    gpu_gib = entry.least_gpu_memory_gib
    is_within_gpu = bool(largest and gpu_gib and largest.total_bytes >= gpu_gib * GIB)
    # What does not fit a GPU waits in main memory, unless the entry forbids it.
    has_way = has_host_memory and (entry.offload != "none" or not gpu_gib)
    if is_within_gpu or (has_host_memory and not entry.needs_gpu) or (largest and has_way):
        return None
    found = f"a GPU with {largest.total_bytes / GIB:.1f} GiB" if largest else "no NVIDIA GPU"
    return Availability(
        "memory",
        f"It needs {_asked_memory(entry)}; found: "
        f"{memory.total_bytes / GIB:.1f} GiB of main memory, {found}.",
        "Use a larger machine, or list the model in a catalogue.toml of your own with "
        'offload = "sequential" or with quantise, and with the memory that is then enough.',
    )


def _asked_memory(entry: ModelEntry) -> str:
    gpu_gib, host_gib = entry.least_gpu_memory_gib, entry.least_memory_gib
    card = f"a GPU with {gpu_gib:g} GiB" if gpu_gib else "a GPU"
    if not host_gib:
        return card
    host = f"{host_gib:g} GiB of main memory"
    if entry.needs_gpu:
        return f"{card} or {host} beside a smaller one" if gpu_gib else f"{card} and {host}"
    return f"{card} or {host}" if gpu_gib else host


def show_bytes(size_bytes: int) -> str:
    """Returns a size as a person reads it, in powers of 1000, as hubs and disks count."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= factor:
            value = size_bytes / factor
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{size_bytes} bytes"
