"""The command `cost`: what one image of each model costs, in one table."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msdm_core.errors import CostError, RequestError
from msdm_core.generation.architecture import PAPER, architecture_of, full_architecture
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.request import ImageRequest
from msdm_core.generation.sampling import Sampling, resolve_sampling
from msdm_core.settings import Settings, add_settings, read_settings

if TYPE_CHECKING:
    from msdm_core.generation.cost import PartCost

DEFAULT_SIZE_PX = 256
PROMPT = "a polyp in the lower right of the image"
MEASURED_IMAGES = 3
_PAPER_LABEL = "MSDM paper"


@dataclass(frozen=True, slots=True)
class Row:
    """One model of the table; what is not known is None, and `note` says why."""

    model_id: str
    label: str
    size_px: int
    parameters: int | None = None
    flops: int | None = None
    steps: int | None = None
    prior_steps: int | None = None
    guidance: float | None = None
    parts: tuple[PartCost, ...] = ()
    load_s: float | None = None
    image_s: float | None = None
    peak_memory_bytes: int | None = None
    device: str = ""
    note: str = ""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `cost`."""
    parser = commands.add_parser(
        "cost",
        help="count what one image of each model costs, without weights",
        description="Count parameters and floating-point operations of one image, at each model's "
        "default steps and guidance, from shapes alone: the large models need not be here. "
        "--measure also draws with those that are ready, each in a process of its own.",
    )
    parser.add_argument(
        "--models", nargs="+", metavar="ID",
        help=f"models of `python -m msdm_core models`, or {PAPER} [default: all]",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=int, default=DEFAULT_SIZE_PX, metavar="PX",
        help=f"width and height in pixels [default: {DEFAULT_SIZE_PX}]",
    )  # fmt: skip
    parser.add_argument(
        "--measure", action="store_true", help="also measure time and memory of those ready here"
    )
    parser.add_argument(
        "--parts", action="store_true", help="one line for each network of a model as well"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, with every part")
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    add_settings(parser, ["home", "device", "threads"])
    parser.set_defaults(run=show_costs)


def show_costs(options: argparse.Namespace) -> int:
    """Prints the table.

    Raises:
        CoreError: a model is not known or the size cannot be counted.
    """
    if options.size < 64 or options.size % 64:
        raise RequestError(f"Size {options.size} px cannot be counted: give a multiple of 64.")
    settings = read_settings(options)
    entries = _chosen(Catalogue.read(settings.home), options.models)
    # Before anything is counted, or the libraries would be loaded and loading seem faster.
    measured = _measured(entries, settings, options.size) if options.measure else {}
    rows = [
        dataclasses.replace(_row(entry, model_id, options.size), **measured.get(model_id, {}))
        for model_id, entry in entries
    ]
    if options.json:
        print(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
    else:
        print("\n".join(_table(rows, is_markdown=options.markdown, has_parts=options.parts)))
    return 0


_Chosen = list[tuple[str, ModelEntry | None]]


def _chosen(catalogue: Catalogue, names: Sequence[str] | None) -> _Chosen:
    """Returns the models to count; the published MSDM has no entry, for want of weights."""
    if names:
        return [(name, None if name == PAPER else catalogue[name]) for name in names]
    entries: _Chosen = [(entry.id, entry) for entry in catalogue]
    last = max((i for i, (_, e) in enumerate(entries) if e and e.family == "msdm"), default=-1)
    return [*entries[: last + 1], (PAPER, None), *entries[last + 1 :]]


def _row(entry: ModelEntry | None, model_id: str, size_px: int) -> Row:
    from msdm_core.generation.cost import part_costs

    label = entry.label if entry else _PAPER_LABEL
    try:
        if entry is None:
            architecture, sampling = full_architecture(model_id), _paper_sampling(size_px)
        else:
            architecture = architecture_of(entry)
            sampling = resolve_sampling(entry, ImageRequest(model_id, PROMPT, 0, size_px))
        parts = part_costs(architecture, sampling)
    except CostError as error:
        return Row(model_id, label, size_px, note=str(error))
    return Row(
        model_id,
        label,
        size_px,
        parameters=sum(part.parameters for part in parts),
        flops=sum(part.flops for part in parts),
        steps=sampling.steps,
        prior_steps=sampling.prior_steps or None,
        guidance=sampling.guidance,
        parts=parts,
    )


def _paper_sampling(size_px: int) -> Sampling:
    from msdm_core.msdm.presets import PRESETS

    preset = PRESETS["paper"]
    return Sampling(size_px, preset.default_steps, preset.default_guidance)


def _measured(entries: _Chosen, settings: Settings, size_px: int) -> dict[str, dict[str, Any]]:
    """Returns time and memory by model, of those that are ready here."""
    ready = [
        entry
        for _, entry in entries
        if entry is not None
        and size_px in entry.sizes_px
        and entry.availability(settings.device).is_ready
    ]
    if len(entries) == 1:
        return {entry.id: _measure(entry, settings, size_px) for entry in ready}
    found = {}
    for entry in ready:
        print(f"Measuring {entry.label}", file=sys.stderr, flush=True)
        found[entry.id] = _measure_apart(entry, settings, size_px)
    return found


def _measure(entry: ModelEntry, settings: Settings, size_px: int) -> dict[str, Any]:
    """Returns time and memory of images drawn in this process, the first not counted."""
    from msdm_core.generation.adapters import make_adapter

    adapter = make_adapter(entry, settings.device, settings.threads)
    adapter.load()
    costs, device = [], ""
    for seed in range(MEASURED_IMAGES + 1):
        request = ImageRequest(entry.id, PROMPT, seed, size_px)
        provenance = adapter.generate(request, lambda *_: None).provenance
        costs.append(provenance.extra["cost"])
        device = provenance.device
    peaks = [cost["peak_memory_bytes"] for cost in costs if cost["peak_memory_bytes"] is not None]
    return {
        "load_s": costs[0]["load_s"],
        "image_s": statistics.median(cost["duration_s"] for cost in costs[1:]),
        "peak_memory_bytes": max(peaks, default=None),
        "device": device,
    }


def _measure_apart(entry: ModelEntry, settings: Settings, size_px: int) -> dict[str, Any]:
    """Returns the same from a fresh process, so that no model profits from or suffers another."""
    command = [
        sys.executable, "-m", "msdm_core", "cost", "--models", entry.id, "--measure", "--json",
        "--size", str(size_px), "--home", str(settings.home), "--device", settings.device,
        "--threads", str(settings.threads),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return {"note": f"It could not be measured: {lines[-1]}"}
    [row] = json.loads(done.stdout)
    return {key: row[key] for key in ("load_s", "image_s", "peak_memory_bytes", "device")}


def _table(rows: Sequence[Row], *, is_markdown: bool, has_parts: bool) -> list[str]:
    """Returns the lines of the table and below them what could not be known, and why."""
    is_measured = any(row.image_s is not None for row in rows)
    head = ["model", "parameters", "steps", "TFLOP an image"]
    head += ["s an image", "load s", "peak MiB", "device"] if is_measured else []
    cells = [head]
    for row in rows:
        cells.append([row.label, _count(row.parameters), _steps(row), _tflop(row.flops)])
        if is_measured:
            peak = row.peak_memory_bytes
            cells[-1] += [
                _decimal(row.image_s), _decimal(row.load_s),
                "" if peak is None else f"{peak / 2**20:,.0f}", row.device,
            ]  # fmt: skip
        for part in row.parts if has_parts else ():
            values = [_count(part.parameters), f"{part.forwards}", _tflop(part.flops)]
            cells.append([f"- {part.name}", *values, *[""] * (len(head) - 4)])
    sizes = {row.size_px for row in rows}
    lines = [f"Cost of one {max(sizes)} px image", ""] if not is_markdown else []
    lines += _aligned(cells, is_markdown)
    notes = [f"{row.label}: {row.note}" for row in rows if row.note]
    return [*lines, *(["", *notes] if notes else [])]


def _aligned(cells: Sequence[Sequence[str]], is_markdown: bool) -> list[str]:
    if is_markdown:
        ruler = ["---", *["--:"] * (len(cells[0]) - 1)]
        return [f"| {' | '.join(row)} |" for row in (cells[0], ruler, *cells[1:])]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _count(number: int | None) -> str:
    if number is None:
        return "unknown"
    return f"{number / 1e9:.2f} B" if number >= 1e9 else f"{number / 1e6:.2f} M"


def _tflop(flops: int | None) -> str:
    if flops is None:
        return "unknown"
    tflop = flops / 1e12
    return f"{tflop:.3f}" if tflop < 1 else f"{tflop:,.1f}"


def _steps(row: Row) -> str:
    if row.steps is None:
        return ""
    return f"{row.prior_steps} + {row.steps}" if row.prior_steps else str(row.steps)


def _decimal(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"
