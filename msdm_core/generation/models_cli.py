"""The commands `models` and `download`."""

import argparse
import json
import sys
import time
from typing import Any

from msdm_core.generation.availability import Availability, show_bytes
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.settings import add_settings, read_settings

_REFRESH_S = 0.5
_LOG_SHARE = 0.1  # a log file gets a line every tenth


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `models` and `download`."""
    models = commands.add_parser(
        "models",
        help="list the models and whether each can run here",
        description="List the models, whether each can run here, and if not, why and what "
        "changes that. The states: ready, download, memory, gated, broken, missing.",
    )
    models.add_argument("--json", action="store_true", help="print the list as JSON, for scripts")
    add_settings(models, ["home", "device"])
    models.set_defaults(run=list_models)
    download = commands.add_parser(
        "download",
        help="fetch the weights of a model from the hub, or verify those that are here",
        description="Fetch the weights of a model and its LoRA weights from the Hugging Face hub "
        "into its cache (HF_HOME). Only what the pipeline loads is fetched. A run that was "
        "interrupted goes on where it stopped; every file is checked against the hub's hash.",
        epilog="example: python -m msdm_core download kandinsky-2-2",
    )
    download.add_argument("name", metavar="NAME", help="a model of `python -m msdm_core models`")
    add_settings(download, ["home"])
    download.set_defaults(run=download_weights)


def list_models(options: argparse.Namespace) -> int:
    """Prints a table of all models, then what each that is not ready needs; or all as JSON."""
    settings = read_settings(options)
    entries = [
        (entry, entry.availability(settings.device)) for entry in Catalogue.read(settings.home)
    ]
    if options.json:
        facts = [_facts(entry, found) for entry, found in entries]
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return 0
    titles = ("MODEL", "STATE", "PARAMETERS", "DOWNLOAD", "SIZE", "DEFAULTS", "LICENCE")
    rows: list[tuple[str, ...]] = [titles]
    rows += [_row(entry, found) for entry, found in entries]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    for entry, found in entries:
        if not found.is_ready:
            print(f"\n{entry.id}: {found.state}")
            for text in (found.why, found.next_step):
                print(f"  {text}")
    return 0


def _row(entry: ModelEntry, found: Availability) -> tuple[str, ...]:
    steps, guidance = entry.resolved_defaults()
    count = entry.counted_parameters()
    shown_guidance = "" if guidance is None else f", guidance {guidance:g}"
    return (
        entry.id,
        found.state,
        _show_count(count) if count else "unknown",
        show_bytes(entry.download_bytes) if entry.download_bytes else "-",
        f"{entry.native_size_px} px",
        f"{steps} steps{shown_guidance}" if steps else "of the checkpoint",
        entry.licence,
    )


def _show_count(count: int) -> str:
    return f"{count / 1e9:.1f} B" if count >= 1e9 else f"{count / 1e6:.1f} M"


def _facts(entry: ModelEntry, found: Availability) -> dict[str, Any]:
    steps, guidance = entry.resolved_defaults()
    return {
        "id": entry.id,
        "family": entry.family,
        "label": entry.label,
        "description": entry.description,
        "state": found.state,
        "why": found.why,
        "next_step": found.next_step,
        "parameters": entry.counted_parameters(),
        "download_bytes": entry.download_bytes,
        "least_memory_gib": entry.least_memory_gib,
        "least_gpu_memory_gib": entry.least_gpu_memory_gib,
        "native_size_px": entry.native_size_px,
        "sizes_px": list(entry.sizes_px),
        "default_steps": steps,
        "default_guidance": guidance,
        "licence": entry.licence,
        "licence_url": entry.licence_url,
        "sources": {
            role: source.hub or source.path or source.checkpoint
            for role, source in entry.sources().items()
        },
        "loras": [
            {"part": lora.part, "weights": lora.source.hub or lora.source.path,
             "weight_name": lora.weight_name, "scale": lora.scale}
            for lora in entry.loras
        ],
    }  # fmt: skip


def download_weights(options: argparse.Namespace) -> int:
    """Fetches or verifies the weights of one model.

    Raises:
        CoreError: there is no such model, or it cannot be fetched.
    """
    from msdm_core.generation.download import download_model

    entry = Catalogue.read(read_settings(options).home)[options.name]
    shown = _Shown()
    try:
        download_model(entry, shown.say, shown.advance)
    finally:
        shown.clear()
    print(f"{entry.id}: {entry.folder}")
    return 0


class _Shown:
    """Progress on standard error: one line that changes on a terminal, some lines in a log."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._doing = ""
        self._started_s = 0.0
        self._start_bytes = 0
        self._shown_s = 0.0
        self._shown_share = 0.0

    def say(self, text: str) -> None:
        self.clear()
        print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def advance(self, doing: str, done: int, total: int) -> None:
        now, share = time.monotonic(), done / total if total else 1.0
        if doing != self._doing:
            self._doing, self._started_s, self._start_bytes = doing, now, done
            self._shown_s = self._shown_share = 0.0
        due = now - self._shown_s >= _REFRESH_S
        if not self._is_terminal:
            due = share - self._shown_share >= _LOG_SHARE
        if not due and done < total:
            return
        self._shown_s, self._shown_share = now, share
        line = f"{doing}: {show_bytes(done)} of {show_bytes(total)}{self._speed(now, done, total)}"
        end = "" if self._is_terminal else "\n"
        start = "\r\x1b[K" if self._is_terminal else ""
        print(f"{start}{line}", end=end, file=sys.stderr, flush=True)

    def _speed(self, now: float, done: int, total: int) -> str:
        spent_s = now - self._started_s
        fetched = done - self._start_bytes
        if spent_s < 1.0 or not fetched:
            return ""
        left_s = (total - done) * spent_s / fetched
        minutes, seconds = divmod(round(left_s), 60)
        left = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
        return f", {show_bytes(int(fetched / spent_s))}/s, {left} left"
