"""How much memory this machine has for models, read without torch."""

import os
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

GIB = 2**30
GPU_QUERY_LIMIT_S = 5.0
_KEPT_S = 60.0
_CGROUP_LIMITS = ("sys/fs/cgroup", "sys/fs/cgroup/memory")
_UNLIMITED_BYTES = 2**60  # what version 1 of control groups says where there is no limit


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """One graphics card, in bytes."""

    name: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class MachineMemory:
    """The memory a process here can use, in bytes."""

    total_bytes: int
    available_bytes: int
    gpus: tuple[GpuMemory, ...] = ()


def read_memory(root: Path = Path("/")) -> MachineMemory:
    """Returns the memory of the machine, cut to the limit of the container we run in.

    Args:
        root: where `proc` and `sys` are; another folder only in tests.
    """
    host = psutil.virtual_memory()
    total, available = int(host.total), int(host.available)
    limit, used = _container_limit(root)
    if limit is not None:
        total = min(total, limit)
        available = min(available, max(limit - used, 0))
    return MachineMemory(total, available, read_gpus())


def _container_limit(root: Path) -> tuple[int | None, int]:
    """Returns the least limit of the control groups of this process, and what they use of it."""
    least: int | None = None
    used = 0
    for folder in _control_groups(root):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        if limit is None or limit >= _UNLIMITED_BYTES or (least is not None and limit >= least):
            continue
        current = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
        # Cached files count as used, but give way to whoever asks.
        cache = _statistic(folder, "inactive_file")
        least, used = limit, max((current or 0) - cache, 0)
    return least, used


def _control_groups(root: Path) -> list[Path]:
    """Returns the folders of our own control group and of those around it, outermost first."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    own = [line.split(":", 2)[2] for line in lines if line.startswith("0::") or ":memory:" in line]
    found: list[Path] = []
    for top in _CGROUP_LIMITS:
        for path in own or ["/"]:
            folder = root / top
            found.append(folder)
            for part in path.strip("/").split("/") if path.strip("/") else ():
                folder = folder / part
                found.append(folder)
    return list(dict.fromkeys(found))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent, or "max"
        return None


def _statistic(folder: Path, name: str) -> int:
    try:
        lines = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    values = (line.split() for line in lines)
    return next((int(value[1]) for value in values if len(value) == 2 and value[0] == name), 0)


_gpus: tuple[float, tuple[GpuMemory, ...]] | None = None
_gpus_lock = threading.Lock()


def read_gpus() -> tuple[GpuMemory, ...]:
    """Returns the NVIDIA cards a process here can use, as their driver tells, kept for a minute."""
    global _gpus
    with _gpus_lock:
        now = time.monotonic()
        if _gpus is None or now - _gpus[0] > _KEPT_S:
            _gpus = (now, _query_gpus())
        return _gpus[1]


def _query_gpus() -> tuple[GpuMemory, ...]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    program = shutil.which("nvidia-smi")
    if program is None or (visible is not None and visible.strip() in {"", "-1"}):
        return ()
    command = [
        program,
        "--query-gpu=index,uuid,name,memory.total,memory.free",
        "--format=csv,noheader,nounits",
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=GPU_QUERY_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()  # a driver that does not answer is a card that cannot be used
    return parse_gpus(done.stdout, visible) if done.returncode == 0 else ()


def parse_gpus(output: str, visible: str | None = None) -> tuple[GpuMemory, ...]:
    """Returns the cards in the answer of `nvidia-smi`.

    Args:
        output: lines of index, identifier, name, total and free MiB, separated by commas.
        visible: the value of CUDA_VISIBLE_DEVICES, None where it is not set.
    """
    chosen = None if visible is None else {part.strip() for part in visible.split(",")}
    cards: list[GpuMemory] = []
    for line in output.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) != 5 or not values[3].isdigit() or not values[4].isdigit():
            continue  # "[N/A]" on cards that share the memory of the machine
        index, uuid, name, total, free = values
        if chosen is None or index in chosen or any(uuid.startswith(c) for c in chosen if c):
            cards.append(GpuMemory(name, int(total) * 2**20, int(free) * 2**20))
    return tuple(cards)
