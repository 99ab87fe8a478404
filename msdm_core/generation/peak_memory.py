"""The most memory that a piece of work took, as the operating system or the GPU counted it."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see proc(5): resets VmHWM to the present resident size


class PeakMemory:
    """Measures the memory that the work inside its `with` block added at its highest point.

    On a CPU under Linux the kernel's high-water mark of the process is reset first, on CUDA that of
    torch's allocator. Elsewhere there is only a mark over the life of the process, which tells
    something only when the block raised it; else `growth_bytes` stays None.

    Args:
        device: cpu, cuda, cuda:N or mps.
    """

    def __init__(self, device: str = "cpu") -> None:
        """Measures nothing yet."""
        self._is_cuda = device.startswith("cuda")
        self._before: int | None = None
        self._is_reset = False
        self.growth_bytes: int | None = None

    def __enter__(self) -> PeakMemory:
        """Notes where memory stands and resets the mark."""
        if self._is_cuda:
            cuda = _cuda()
            cuda.synchronize()
            cuda.reset_peak_memory_stats()
            self._before = int(cuda.memory_allocated())
        else:
            _return_freed_memory()
            self._is_reset = _reset_mark()
            self._before = resident_bytes() if self._is_reset else lifetime_peak_bytes()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Reads the mark."""
        if self._before is None:
            return
        if self._is_cuda:
            self.growth_bytes = int(_cuda().max_memory_allocated()) - self._before
            return
        peak = _status_bytes("VmHWM") if self._is_reset else lifetime_peak_bytes()
        if peak is not None and (self._is_reset or peak > self._before):
            self.growth_bytes = max(0, peak - self._before)


def resident_bytes() -> int | None:
    """Returns the memory of this process that is in RAM now; None outside Linux."""
    return _status_bytes("VmRSS")


def lifetime_peak_bytes() -> int | None:
    """Returns the most memory this process ever had in RAM; None where it is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    # macOS counts bytes, the others KiB.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status_bytes(name: str) -> int | None:
    try:
        text = _STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _reset_mark() -> bool:
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    peak, now = _status_bytes("VmHWM"), resident_bytes()
    # Some sandboxes take the write and do nothing.
    return peak is not None and now is not None and peak <= now + (1 << 20)


def _return_freed_memory() -> None:
    """Has the allocator give back what it keeps, or a second image would seem to need nothing."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _cuda() -> Any:
    import torch

    return torch.cuda
