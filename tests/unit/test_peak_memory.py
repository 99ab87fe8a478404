"""Contract: what is told is the memory a block really took at its highest point, or nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from msdm_core.generation import peak_memory
from msdm_core.generation.peak_memory import PeakMemory

MIB = 2**20
linux = pytest.mark.skipif(sys.platform != "linux", reason="the mark can be reset on Linux only")


def take(mib: int) -> None:
    """Takes memory, touches it and gives it back."""
    block = bytearray(mib * MIB)
    block[::4096] = b"x" * len(block[::4096])


@linux
def test_memory_that_was_given_back_inside_the_block_counts() -> None:
    with PeakMemory() as memory:
        take(80)
    assert memory.growth_bytes is not None
    assert 75 * MIB <= memory.growth_bytes <= 110 * MIB


@linux
def test_what_was_taken_before_does_not_count() -> None:
    take(200)
    before = bytearray(100 * MIB)
    with PeakMemory() as memory:
        take(20)
    assert len(before) == 100 * MIB
    assert memory.growth_bytes is not None
    assert memory.growth_bytes <= 40 * MIB


@linux
def test_a_block_is_measured_each_time_anew() -> None:
    grown = []
    for _ in range(2):
        with PeakMemory() as memory:
            take(60)
        assert memory.growth_bytes is not None
        grown.append(memory.growth_bytes)
    assert abs(grown[0] - grown[1]) <= 15 * MIB


def test_an_error_inside_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), PeakMemory():
        _ = 1 / 0


def test_without_a_mark_that_can_be_reset_only_a_raised_one_tells(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on macOS and in sandboxes that have no such file."""
    monkeypatch.setattr(peak_memory, "_STATUS", tmp_path / "absent")
    monkeypatch.setattr(peak_memory, "_CLEAR_REFS", tmp_path / "absent" / "absent")
    with PeakMemory() as memory:
        pass
    assert memory.growth_bytes is None
    before = peak_memory.lifetime_peak_bytes()
    if before is None:
        pytest.skip("this system tells no peak")
    with PeakMemory() as memory:
        take(before // MIB + 50)
    assert memory.growth_bytes is not None and memory.growth_bytes >= 30 * MIB
