"""What a training run logged: the lines of its ``metrics.jsonl``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msdm_core.errors import TrainingError

FILE_NAME = "metrics.jsonl"
COUNTERS = ("step", "samples", "minutes")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: the means of some training steps, or validation figures.

    Attributes:
        samples: Seen so far.
        minutes: Of training so far.
        is_validation: Or else of training steps.
        figures: By name; those that are not finite numbers are left out.
    """

    samples: float
    minutes: float
    is_validation: bool
    figures: dict[str, float]


def read_metrics(folder: Path) -> list[Entry]:
    """Return what a run logged, in the order of its samples.

    A run that was killed and resumed logged some steps twice; the later lines count. A last line
    that was cut short is left out.

    Args:
        folder: Of the run, as given to ``train --out``.

    Raises:
        TrainingError: There is no such folder, no metrics in it, or a line that is none.
    """
    path = folder / FILE_NAME
    if not folder.is_dir():
        raise TrainingError(f"There is no folder {folder}. Give the --out of a training run.")
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise TrainingError(
            f"{folder} has no {FILE_NAME} that can be read ({error}). Give the --out of a "
            "training run that has trained for a minute."
        ) from error
    steps: list[int] = []
    entries: list[Entry] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            step, entry = _entry(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if number == len(lines):
                break  # the run was killed while it wrote
            raise TrainingError(
                f"Line {number} of {path} is no line of metrics: {line[:60]!r} ({error}). Take "
                "the line out, or copy the file again."
            ) from error
        if steps and step < steps[-1]:  # resumed from a checkpoint before the kill
            while steps and steps[-1] >= step:
                steps.pop()
                entries.pop()
        steps.append(step)
        entries.append(entry)
    if not entries:
        raise TrainingError(f"{path} holds no metrics yet. Train for a minute, then draw.")
    return entries


def _entry(found: dict[str, Any]) -> tuple[int, Entry]:
    figures = {
        name: float(value) for name, value in found.items()
        if name not in COUNTERS and isinstance(value, int | float) and math.isfinite(value)
    }  # fmt: skip
    is_validation = found["kind"] == "validation"
    entry = Entry(float(found["samples"]), float(found["minutes"]), is_validation, figures)
    return int(found["step"]), entry


def joined(pieces: Sequence[Sequence[Entry]]) -> list[Entry]:
    """Return the pieces of one training as one: each goes on where the one before ended.

    Args:
        pieces: Of each run its entries; every run counts from 0.
    """
    entries: list[Entry] = []
    for piece in pieces:
        samples, minutes = (entries[-1].samples, entries[-1].minutes) if entries else (0.0, 0.0)
        entries += [
            Entry(samples + e.samples, minutes + e.minutes, e.is_validation, e.figures)
            for e in piece
        ]  # fmt: skip
    return entries
