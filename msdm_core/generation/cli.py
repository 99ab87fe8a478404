"""The command `generate`, for one prompt or a file of prompts."""

import argparse
import sys
from functools import partial
from pathlib import Path

from data.manifest import MANIFEST_FILE
from data.provenance import filename_for, png_bytes
from data.whole_file import write_whole
from msdm_core.errors import RequestError, WorkspaceError
from msdm_core.generation.adapters import make_adapter
from msdm_core.generation.batch import run_batch
from msdm_core.generation.batch_cell import Cell, plan_batch
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.model_choice import choose_models
from msdm_core.generation.progress import Progress
from msdm_core.generation.prompt_file import Prompt, parse_seeds, prompt_id, read_prompts
from msdm_core.generation.request import (
    MAX_GUIDANCE,
    MAX_PROMPT_CHARACTERS,
    MAX_SEED,
    MAX_STEPS,
    clean_prompt,
    random_seed,
)
from msdm_core.settings import Settings, add_settings, read_settings

MAX_COUNT = 10_000  # a command may draw more than a page shows; images are drawn one at a time
EXIT_SOME_FAILED = 3


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `generate`."""
    parser = commands.add_parser(
        "generate",
        help="draw images for one prompt or a file of prompts and save them as PNG",
        description="Draw images and save them as PNG files that carry how they were made. The "
        "same seed gives the same picture. With --prompts, every prompt is drawn by every model "
        "with every seed into a folder with a manifest; the same command goes on where it was "
        "ended, and draws no image twice.",
        epilog="exit status: 0 done, 1 a defect, 2 wrong input, 3 some images of a file of prompts "
        "failed, 130 stopped. Examples: "
        'python -m msdm_core generate "a polyp in the lower right" --seed 7 --count 4 '
        "--out pictures; python -m msdm_core generate --prompts prompts.csv "
        "--models msdm,flux,kandinsky --seeds 0-4 --out batch",
    )
    parser.add_argument(
        "prompt", nargs="?", help=f"what to draw, at most {MAX_PROMPT_CHARACTERS} characters"
    )
    parser.add_argument(
        "--prompts", type=Path, metavar="FILE",
        help="draw a file of prompts instead: CSV or TSV with the column prompt (and prompt_id, "
        "seeds, others), or plain text with one prompt a line",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER",
        help="folder to write to, made when missing [default: here; to be given with --prompts]",
    )  # fmt: skip
    models = parser.add_mutually_exclusive_group()
    models.add_argument(
        "--model", metavar="ID",
        help="a model of `python -m msdm_core models` [default: first ready]",
    )  # fmt: skip
    models.add_argument(
        "--models", metavar="NAMES",
        help="several, separated by commas: identifiers, families (their first ready model) or "
        "beginnings of identifiers",
    )  # fmt: skip
    _add_drawing(parser)
    add_settings(parser, ["home", "device", "threads"])
    parser.set_defaults(run=generate)


def _add_drawing(parser: argparse.ArgumentParser) -> None:
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seed", type=int, metavar="N",
        help=f"of the first image, 0 to {MAX_SEED} [default: drawn at random]",
    )  # fmt: skip
    seeds.add_argument(
        "--seeds", metavar="LIST",
        help="of all images, for example 0-4 or 1,5,9-12 [default with --prompts: 0]",
    )  # fmt: skip
    parser.add_argument(
        "--count", type=int, metavar="N",
        help=f"number of images, 1 to {MAX_COUNT}, with the seeds from --seed on [default: 1]",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=int, metavar="N", help=f"1 to {MAX_STEPS} [default: the model's]"
    )
    parser.add_argument(
        "--guidance", type=float, metavar="X",
        help=f"1 (none) to {MAX_GUIDANCE:g} [default: the model's]",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=int, metavar="PX",
        help="width and height in pixels [default: the model's; for several models the one they "
        "share]",
    )  # fmt: skip
    parser.add_argument(
        "--least-nearness", type=float, default=0.0, metavar="PERCENT",
        help="with --prompts: leave out images nearer to a training image than this share of "
        "unseen real images, 0 to 100 [default: 0, none]",
    )  # fmt: skip


def generate(options: argparse.Namespace) -> int:
    """Draws and saves the images.

    Raises:
        CoreError: the request, a model or the folder cannot be used.
    """
    _check_combination(options)
    settings = read_settings(options)
    catalogue = Catalogue.read(settings.home)
    if options.prompts:
        prompts = read_prompts(options.prompts)
        seeds = parse_seeds(options.seeds) if options.seeds is not None else (0,)
    else:
        text = clean_prompt(options.prompt)
        prompts = (Prompt(prompt_id(text), text),)
        seeds = _seeds(options)
    cells = plan_batch(
        _models(options, catalogue, settings.device),
        prompts,
        seeds,
        steps=options.steps,
        guidance=options.guidance,
        size_px=options.size,
    )
    if options.prompts:
        return _generate_batch(cells, options.out, settings, options.least_nearness)
    return _generate_here(cells, options.out or Path(), settings)


def _check_combination(options: argparse.Namespace) -> None:
    """Refuses options that contradict each other.

    Raises:
        RequestError: they do; the message says what to leave out or add.
    """
    if (options.prompt is None) == (options.prompts is None):
        raise RequestError('Give either a prompt, as "a polyp", or --prompts FILE.')
    if options.prompts and (options.seed is not None or options.count is not None):
        raise RequestError("With --prompts, give the seeds as --seeds, for example --seeds 0-4.")
    if options.prompts and options.out is None:
        raise RequestError("With --prompts, name the folder to write to: --out FOLDER.")
    if not 0 <= options.least_nearness <= 100:
        raise RequestError(
            f"--least-nearness cannot be {options.least_nearness:g}: give 0 to 100 per cent."
        )
    if options.least_nearness and not options.prompts:
        raise RequestError("--least-nearness needs --prompts: a single image shows its nearness.")
    if options.seeds is not None and options.count is not None:
        raise RequestError("Give either --seeds or --count.")


def _models(
    options: argparse.Namespace, catalogue: Catalogue, device: str
) -> tuple[ModelEntry, ...]:
    if options.models is not None:
        return choose_models(catalogue, options.models, device)
    entry = catalogue[options.model] if options.model else catalogue.first_ready()
    if not options.prompts:
        return (entry,)  # a wrong request is told before a model that is not there
    entry.require_ready(device)
    return (entry,)


def _seeds(options: argparse.Namespace) -> tuple[int, ...]:
    """Returns the seeds for one prompt.

    Raises:
        RequestError: number or seed are outside what is allowed.
    """
    if options.seeds is not None:
        return parse_seeds(options.seeds)
    count = 1 if options.count is None else options.count
    if not 1 <= count <= MAX_COUNT:
        raise RequestError(
            f"Number of images cannot be {count}: give a whole number from 1 to {MAX_COUNT:,}."
        )
    first = random_seed() if options.seed is None else options.seed
    if not 0 <= first <= MAX_SEED:
        raise RequestError(f"Seed cannot be {first}: give a whole number from 0 to {MAX_SEED:,}.")
    return tuple((first + index) % (MAX_SEED + 1) for index in range(count))


def _generate_batch(
    cells: tuple[Cell, ...], folder: Path, settings: Settings, least_nearness: float
) -> int:
    make = partial(make_adapter, device=settings.device, threads=settings.threads)
    result = run_batch(cells, folder, make, least_nearness=least_nearness)
    print(
        f"{folder / MANIFEST_FILE}: {len(cells)} images asked for, {result.drawn} drawn now, "
        f"{result.kept} there already, {result.failed} failed"
    )
    if result.failed:
        print(
            "The reasons stand in the column message. The same command tries these again.",
            file=sys.stderr,
        )
    return EXIT_SOME_FAILED if result.failed else 0


def _generate_here(cells: tuple[Cell, ...], folder: Path, settings: Settings) -> int:
    """Draws one prompt into a folder; prints the path of each image."""
    entries = {cell.entry.id: cell.entry for cell in cells}
    for entry in entries.values():
        entry.require_ready(settings.device)
    out = _writable_folder(folder)
    progress = Progress({key: len(cells) // len(entries) for key in entries})
    for entry in entries.values():
        progress.start_model(entry.id, entry.label)
        adapter = make_adapter(entry, settings.device, settings.threads)
        adapter.load()
        own = (cell for cell in cells if cell.entry is entry)
        for index, cell in enumerate(own):
            progress.start_image()
            generated = adapter.generate(cell.request, progress.step)
            path = out / filename_for(generated.provenance, index)
            write_whole(path, png_bytes(generated.image, generated.provenance))
            progress.end_image()
            print(path, flush=True)
        adapter.unload()
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
