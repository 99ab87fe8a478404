"""Models in memory: each is loaded once and stays until another needs its place.

When a budget would be exceeded, the model that was not used for the longest time goes first. How
much a model takes is measured: what the process grew by when it was loaded and used.
"""

import ctypes
import gc
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import psutil

from msdm_core.generation.adapters import Adapter
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.memory import GIB, read_memory

logger = logging.getLogger(__name__)

AUTOMATIC_SHARE = 0.6  # of what is free at the start; the rest is for pictures and other programs
UNKNOWN_BUDGET_GIB = 4.0  # where the system does not tell what is free


class Meter(Protocol):
    """What is measured, per kind of memory."""

    @property
    def budget(self) -> tuple[int, ...]:
        """Bytes that models may take, per kind of memory."""

    def used(self) -> tuple[int, ...]:
        """Returns the bytes this process takes now, per kind of memory."""

    def needed(self, entry: ModelEntry) -> tuple[int, ...]:
        """Returns the bytes a model is said to need, 0 where nobody says."""


class ProcessMeter:
    """The memory of this process and, where models run on one, of its CUDA device."""

    def __init__(self, budget_gib: float = 0.0, has_cuda: bool = False) -> None:
        """Fixes the budget.

        Args:
            budget_gib: for models in main memory; 0 takes a share of what is available now.
            has_cuda: whether models run on a CUDA device, whose budget is a share of its memory.
        """
        self._process = psutil.Process()
        self._has_cuda = has_cuda
        host = int((budget_gib or UNKNOWN_BUDGET_GIB) * GIB)
        available = read_memory().available_bytes
        if not budget_gib and available is not None:
            host = int(AUTOMATIC_SHARE * available)
        self.budget: tuple[int, ...] = (host, self._free_on_device()) if has_cuda else (host,)

    def used(self) -> tuple[int, ...]:
        """Returns the bytes this process takes now, per kind of memory."""
        host = int(self._process.memory_info().rss)
        if not self._has_cuda:
            return (host,)
        import torch

        return host, int(torch.cuda.memory_allocated())

    def needed(self, entry: ModelEntry) -> tuple[int, ...]:
        """Returns the bytes the catalogue says a model needs, 0 where it says nothing."""
        host = int((entry.least_memory_gib or 0) * GIB)
        # With a CUDA device the weights pass through main memory, or stay there when offloaded.
        return (0, host) if self._has_cuda else (host,)

    def _free_on_device(self) -> int:
        import torch

        return int(0.9 * torch.cuda.mem_get_info()[0])


@dataclass(slots=True)
class _Resident:
    adapter: Adapter
    size: tuple[int, ...]


class ModelCache:
    """Loaded models within a budget of memory."""

    def __init__(
        self,
        catalogue: Catalogue,
        make: Callable[[ModelEntry], Adapter],
        meter: Callable[[], Meter] = ProcessMeter,
    ) -> None:
        """Loads nothing yet.

        Args:
            catalogue: the models.
            make: returns the adapter of a model, not loaded.
            meter: called before the first model is loaded.
        """
        self._catalogue = catalogue
        self._make = make
        self._make_meter = meter
        self._meter: Meter | None = None
        self._base: tuple[int, ...] = ()
        self._resident: OrderedDict[str, _Resident] = OrderedDict()
        self._sizes: dict[str, tuple[int, ...]] = {}

    @property
    def resident(self) -> tuple[str, ...]:
        """The models in memory, the least recently used first."""
        return tuple(self._resident)

    def loaded(self, model_id: str) -> tuple[Adapter, float]:
        """Returns the loaded adapter of a model, and the seconds it took to load it now.

        A model whose weights have changed on the disk is loaded anew.

        Raises:
            CatalogueError: there is no such model.
            CheckpointError: its weights cannot be loaded.
            MemoryError: it does not fit, although every other model was given up for it.
        """
        found = self._resident.get(model_id)
        if found is not None:
            if found.adapter.is_current():
                self._resident.move_to_end(model_id)
                return found.adapter, 0.0
            self.drop(model_id)
        entry = self._catalogue[model_id]
        started_s = time.monotonic()
        self._make_room(entry)
        try:
            adapter = self._load(entry)
        except Exception as error:
            if not (is_out_of_memory(error) and self._resident):
                raise
            error.__traceback__ = None  # its frames hold what was loaded so far
            logger.warning("%s did not fit beside other models; they are given up.", model_id)
            self.clear()
            adapter = self._load(entry)
        self._resident[model_id] = _Resident(adapter, self._unattributed())
        self._keep_within_budget(model_id)
        return adapter, time.monotonic() - started_s

    def settle(self, model_id: str) -> None:
        """Counts to a model what the process has grown by since it was loaded; then evicts."""
        found = self._resident.get(model_id)
        if found is None:
            return
        grown = self._unattributed()
        found.size = tuple(size + more for size, more in zip(found.size, grown, strict=True))
        self._keep_within_budget(model_id)

    def drop(self, model_id: str) -> None:
        """Gives up a model, if it is in memory."""
        if model_id in self._resident:
            self._unload(model_id)
            release_memory()

    def clear(self) -> None:
        """Gives up all models."""
        for model_id in self.resident:
            self._unload(model_id)
        release_memory()

    def _unload(self, model_id: str) -> None:
        found = self._resident.pop(model_id)
        self._sizes[model_id] = found.size
        found.adapter.unload()

    def _load(self, entry: ModelEntry) -> Adapter:
        adapter = self._make(entry)
        try:
            adapter.load()
        except BaseException:
            adapter.unload()
            release_memory()
            raise
        return adapter

    def _make_room(self, entry: ModelEntry) -> None:
        """Gives up models until one more fits by what is known of it."""
        if self._meter is None:
            self._meter = self._make_meter()
            self._base = self._meter.used()
        needed = self._sizes.get(entry.id, self._meter.needed(entry))
        while self._resident and not self._fits(needed):
            self.drop(next(iter(self._resident)))

    def _keep_within_budget(self, kept: str) -> None:
        while len(self._resident) > 1 and not self._fits(tuple(0 for _ in self._base)):
            self.drop(next(name for name in self._resident if name != kept))

    def _fits(self, more: tuple[int, ...]) -> bool:
        assert self._meter is not None
        sums = self._sum()
        return all(
            used + extra <= budget
            for used, extra, budget in zip(sums, more, self._meter.budget, strict=True)
        )

    def _sum(self) -> tuple[int, ...]:
        sizes = [resident.size for resident in self._resident.values()]
        return tuple(sum(values) for values in zip(*sizes, strict=True)) or (0,) * len(self._base)

    def _unattributed(self) -> tuple[int, ...]:
        """Returns what the process has taken since the start and no model is counted for."""
        assert self._meter is not None
        rows = zip(self._meter.used(), self._base, self._sum(), strict=True)
        return tuple(max(0, used - base - counted) for used, base, counted in rows)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what caused it, says that memory is short."""
    # torch's own error is known by name, so that torch need not be imported here.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # What torch raises when main memory, not that of a GPU, cannot be had.
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def release_memory() -> None:
    """Gives memory that nothing uses any more back to the system."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):  # another C library than glibc has no such call
            return
