"""The commands `generate` and `models`."""

import argparse
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from data.provenance import filename_for, png_bytes
from msdm_core.errors import RequestError, WorkspaceError
from msdm_core.generation.adapters import make_adapter
from msdm_core.generation.catalogue import Catalogue
from msdm_core.generation.panel import show_duration
from msdm_core.generation.request import (
    MAX_GUIDANCE,
    MAX_IMAGES,
    MAX_PROMPT_CHARACTERS,
    MAX_SEED,
    MAX_STEPS,
    check_request,
)
from msdm_core.generation.store import write_whole
from msdm_core.settings import add_settings, read_settings

MAX_COUNT = 10_000  # a command may draw more than a page shows; images are drawn one at a time


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `generate` and `models`."""
    _add_generate(commands)
    models = commands.add_parser(
        "models", help="list the models and whether each can run here",
        description="List the models and whether each can run here.",
    )  # fmt: skip
    add_settings(models, ["home"])
    models.set_defaults(run=list_models)


def _add_generate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "generate",
        help="draw images for a prompt and save them as PNG",
        description="Draw images for a prompt and save them as PNG files that carry how they "
        "were made. Image i uses the seed SEED + i; the same seed gives the same picture.",
        epilog='example: python -m msdm_core generate "a polyp in the lower right" --seed 7 '
        "--count 4 --out pictures",
    )
    parser.add_argument("prompt", help=f"what to draw, at most {MAX_PROMPT_CHARACTERS} characters")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="folder for the PNG files, made when missing [default: here]",
    )
    parser.add_argument(
        "--model",
        metavar="ID",
        help="a model of `python -m msdm_core models` [default: first ready]",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help=f"0 to {MAX_SEED} [default: drawn at random]"
    )
    parser.add_argument(
        "--count",
        type=int,
        default=1,
        metavar="N",
        help=f"number of images, 1 to {MAX_COUNT} [default: 1]",
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help=f"1 to {MAX_STEPS} [default: the model's]"
    )
    parser.add_argument(
        "--guidance",
        type=float,
        metavar="X",
        help=f"1 (none) to {MAX_GUIDANCE:g} [default: the model's]",
    )
    parser.add_argument(
        "--size", type=int, metavar="PX", help="width and height in pixels [default: the model's]"
    )
    add_settings(parser, ["home", "device", "threads"])
    parser.set_defaults(run=generate)  # fmt: skip


def generate(options: argparse.Namespace) -> int:
    """Draws and saves the images; prints the path of each.

    Raises:
        CoreError: the request, the model or the folder cannot be used.
    """
    settings = read_settings(options)
    catalogue = Catalogue.read(settings.home)
    entry = catalogue[options.model] if options.model else catalogue.first_ready()
    count = options.count
    if not 1 <= count <= MAX_COUNT:
        raise RequestError(
            f"Number of images cannot be {count}: give a whole number from 1 to {MAX_COUNT:,}."
        )
    request = check_request(
        entry,
        options.prompt,
        seed=options.seed,
        image_count=min(count, MAX_IMAGES),
        steps=options.steps,
        guidance=options.guidance,
        size_px=options.size,
    )
    entry.require_ready()
    out = _writable_folder(options.out)
    adapter = make_adapter(entry, settings.device, settings.threads)
    progress = _Progress(count)
    progress.say(f"Loading {entry.label}")
    adapter.load()
    for index in range(count):
        progress.start(index)
        generated = adapter.generate(request.image(index), progress.step)
        path = out / filename_for(generated.provenance, index)
        write_whole(path, png_bytes(generated.image, generated.provenance))
        progress.end()
        print(path, flush=True)
    return 0


def _writable_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / ".msdm-write-test", b"")
        (folder / ".msdm-write-test").unlink()
    except OSError as error:
        raise WorkspaceError(
            f"The folder {folder} cannot be written: {error.strerror}. Choose another with --out."
        ) from error
    return folder


class _Progress:
    """One line on standard error that tells step, image and time left."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._index = 0
        self._first_step_at: float | None = None
        self._steps_since_first = 0
        self._is_terminal = sys.stderr.isatty()

    def say(self, text: str) -> None:
        if self._is_terminal:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def start(self, index: int) -> None:
        self._index = index

    def end(self) -> None:
        if self._is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def step(self, step: int, total: int, _preview: Callable[[], Image.Image]) -> None:
        now = time.monotonic()
        left = ""
        if self._first_step_at is None:
            self._first_step_at = now
        else:
            self._steps_since_first += 1
            step_s = (now - self._first_step_at) / self._steps_since_first
            steps_left = total - step + total * (self._count - self._index - 1)
            left = f", {show_duration(steps_left * step_s)} left"
        # A log file gets one line an image, a terminal every step.
        if self._is_terminal or step == total:
            self.say(f"Image {self._index + 1} of {self._count}, step {step} of {total}{left}")


def list_models(options: argparse.Namespace) -> int:
    """Prints one block a model: id, state, what it is, and what it needs when it is not ready."""
    for entry in Catalogue.read(read_settings(options).home):
        availability = entry.availability()
        steps, guidance = entry.resolved_defaults()
        facts: dict[str, Any] = {
            "label": entry.label,
            "family": entry.family,
            "parameters": f"{count:,}" if (count := entry.counted_parameters()) else "unknown",
            "size": ", ".join(f"{size} x {size} px" for size in entry.sizes_px),
            "defaults": f"{steps or 'unknown'} steps, guidance "
            f"{'unknown' if guidance is None else f'{guidance:g}'}",
            "memory": f"{entry.least_memory_gib} GiB" if entry.least_memory_gib else "unknown",
            "licence": entry.licence,
            "why": availability.why,
            "next step": availability.next_step,
        }
        print(f"{entry.id}  [{availability.state}]")
        for name, value in facts.items():
            if value:
                text = f"{name:<11}{value}"
                print(textwrap.indent(text, "  "))
    return 0
