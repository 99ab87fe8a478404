"""Contract: a model is loaded once and stays in memory within a measured budget; the least recently
used goes first, one that fits alone is always loaded, and weights that changed are loaded anew.
"""

import pytest

from msdm_core.generation.adapters import Adapter
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.memory import GIB, read_memory
from msdm_core.generation.model_cache import (
    AUTOMATIC_SHARE,
    ModelCache,
    ProcessMeter,
    is_out_of_memory,
)
from tests.brush import MODELS, entry


class Machine:
    """Models of given sizes, and a memory in which the loaded ones are counted."""

    def __init__(self, sizes: dict[str, int], budget: int, needed: int = 0) -> None:
        self.sizes = sizes
        self.budget: tuple[int, ...] = (budget,)
        self.limit = 10**9
        self.least = needed
        self.loads: list[str] = []
        self.unloads: list[str] = []
        self.extra = 50  # what the process takes without any model
        self.current = True
        entries = Catalogue({name: entry(name) for name in sizes})
        self.cache = ModelCache(entries, self.adapter, lambda: self)

    def used(self) -> tuple[int, ...]:
        loaded = [name for name in self.loads if self.loads.count(name) > 0]
        there = {name for name in loaded if self.loads.count(name) > self.unloads.count(name)}
        return (self.extra + sum(self.sizes[name] for name in there),)

    def needed(self, _model: ModelEntry) -> tuple[int, ...]:
        return (self.least,)

    def adapter(self, model: ModelEntry) -> Adapter:
        return Model(self, model.id)  # type: ignore[return-value]


class Model:
    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.name, self.is_loaded = machine, name, False

    def load(self) -> None:
        if self.machine.used()[0] + self.machine.sizes[self.name] > self.machine.limit:
            raise MemoryError
        self.machine.loads.append(self.name)
        self.is_loaded = True

    def is_current(self) -> bool:
        return self.machine.current

    def unload(self) -> None:
        if self.is_loaded:
            self.machine.unloads.append(self.name)
        self.is_loaded = False


def test_a_model_is_loaded_once_and_says_how_long_it_took():
    machine = Machine({"tiny": 100}, budget=1_000)
    first, first_s = machine.cache.loaded("tiny")
    again, again_s = machine.cache.loaded("tiny")
    assert first is again
    assert first_s > 0
    assert again_s == 0
    assert machine.loads == ["tiny"]


def test_the_least_recently_used_model_goes_first():
    machine = Machine(dict.fromkeys(MODELS, 100), budget=250)
    for name in ("tiny", "other", "tiny", "third"):
        machine.cache.loaded(name)
    assert machine.unloads == ["other"]
    assert machine.cache.resident == ("tiny", "third")


def test_room_is_made_before_a_model_is_loaded_whose_need_is_known():
    machine = Machine(dict.fromkeys(MODELS, 100), budget=250, needed=200)
    machine.limit = machine.extra + 250
    machine.cache.loaded("tiny")
    machine.cache.loaded("other")
    assert machine.unloads == ["tiny"]
    # It was measured meanwhile, so that both fit now.
    machine.cache.loaded("tiny")
    assert machine.cache.resident == ("other", "tiny")


def test_a_model_larger_than_the_budget_is_loaded_alone():
    machine = Machine({"tiny": 100, "other": 900}, budget=250)
    machine.cache.loaded("tiny")
    machine.cache.loaded("other")
    assert machine.cache.resident == ("other",)
    machine.cache.loaded("other")
    assert machine.loads == ["tiny", "other"]


def test_what_a_model_grows_by_when_it_draws_counts_as_its_own():
    machine = Machine({"tiny": 100, "other": 100}, budget=250)
    machine.cache.loaded("tiny")
    machine.cache.loaded("other")
    machine.extra += 100
    machine.cache.settle("other")
    assert machine.cache.resident == ("other",)
    machine.cache.settle("gone")


def test_a_model_that_does_not_fit_beside_others_is_loaded_without_them():
    machine = Machine({"tiny": 100, "other": 100}, budget=10_000)
    machine.limit = machine.extra + 150
    machine.cache.loaded("tiny")
    machine.cache.loaded("other")
    assert machine.cache.resident == ("other",)
    machine.limit = machine.extra + 50
    machine.cache.clear()
    with pytest.raises(MemoryError):
        machine.cache.loaded("tiny")
    assert machine.cache.resident == ()


def test_weights_that_changed_are_loaded_anew():
    machine = Machine({"tiny": 100}, budget=1_000)
    machine.cache.loaded("tiny")
    machine.current = False
    machine.cache.loaded("tiny")
    assert machine.loads == ["tiny", "tiny"]
    assert machine.unloads == ["tiny"]


def test_the_budget_is_what_is_set_else_a_share_of_what_is_free():
    assert ProcessMeter(1.5).budget == (int(1.5 * GIB),)
    (automatic,) = ProcessMeter().budget
    free = read_memory().available_bytes
    assert free is not None
    # Other programs take and give back memory between the two readings.
    assert automatic == pytest.approx(AUTOMATIC_SHARE * free, rel=0.3)
    meter = ProcessMeter(1.5)
    (before,) = meter.used()
    content = b"\1" * (64 * 2**20)
    (after,) = meter.used()
    assert after - before > 0.8 * len(content)


def test_a_shortage_of_memory_is_known_whatever_reports_it():
    shortage = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")
    wrapped = ValueError("The model gave no picture.")
    wrapped.__cause__ = MemoryError()
    of_torch = type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory")
    assert all(map(is_out_of_memory, (MemoryError(), shortage, wrapped, of_torch)))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
