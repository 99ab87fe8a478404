"""Command line of evaluation: ``python -m msdm_core evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msdm_core.errors import CheckpointError, RequestError
from msdm_core.settings import add_settings, read_settings

if TYPE_CHECKING:
    from msdm_core.generation.catalogue import ModelEntry

ROOT = Path(__file__).resolve().parents[2]
EVALUATOR = ROOT / "data" / "checkpoints" / "evaluator"

EXAMPLE = """example:
  python -m msdm_core evaluate --model flux-compact-gi --data DATA --count 297 --out evaluation
"""


def add_parser(subparsers: Any) -> None:
    """Add the ``evaluate`` command to an argparse subparsers object."""
    parser = subparsers.add_parser(
        "evaluate", help="make images for the prompts of unseen real ones, and measure both",
        description="Makes images for the prompts of the validation split and measures what the "
        "evaluator reads in them, and their power spectrum, beside the real images.",
        epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", required=True, metavar="MODEL",
        help="a model of `python -m msdm_core models`, or a checkpoint folder")
    add("--checkpoint", metavar="FOLDER", help="weights to use in place of the model's own")
    add("--data", required=True, metavar="FOLDER", help="real images and captions")
    add("--out", required=True, metavar="FOLDER", help="images and figures; a later call goes on")
    add("--count", type=int, default=297, metavar="N", help="images to make (default %(default)s)")
    add("--prompts", choices=("full", "single"), default="full",
        help="all that is known of a real image, or one of its captions (default %(default)s)")
    add("--steps", type=int, metavar="N", help="default: the model's")
    add("--guidance", type=float, metavar="G", help="default: the model's")
    add("--evaluator", default=str(EVALUATOR), metavar="FOLDER", help="default: the shipped one")
    add("--fit", choices=("pad", "crop", "stretch"), default="pad",
        help="how real images are made square (default %(default)s)")
    add("--threads", type=int, default=0, metavar="N", help="CPU threads (default: all)")
    add_settings(parser, ["home"])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the evaluation; returns exit status 0.

    Raises:
        CoreError: Something a person can mend.
    """
    import torch

    from data.folders import read_folder
    from msdm_core.evaluation.evaluate import (
        generate_images,
        markdown,
        measure,
        prompt_cases,
        write_report,
    )
    from msdm_core.evaluation.evaluator import IMAGE_PX, load_evaluator
    from msdm_core.evaluation.spectrum_figure import write_spectrum_figure
    from msdm_core.generation.adapters import make_adapter
    from msdm_core.generation.request import check_image_request
    from msdm_core.training.image_store import open_images
    from msdm_core.training.sheet import write_sheet

    if arguments.count < 2:
        raise RequestError(f"--count is {arguments.count}; at least 2 images are needed.")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    out = Path(arguments.out)
    records = [r for r in read_folder(Path(arguments.data)) if r.split == "val"]
    if not records:
        raise RequestError(f"{arguments.data} has no validation split; see `python -m data split`.")
    evaluator = load_evaluator(Path(arguments.evaluator))
    entry = model_entry(arguments.model, arguments.checkpoint, read_settings(arguments).home)
    entry.require_ready()
    cases = prompt_cases(records, arguments.count, arguments.prompts)
    requests = [check_image_request(entry, case.prompt, seed=case.seed, steps=arguments.steps,
                                    guidance=arguments.guidance) for case in cases]
    adapter = make_adapter(entry, threads=arguments.threads)
    generated = generate_images(adapter, requests, out / "images")
    real = open_images(records, size_px=IMAGE_PX, fit=arguments.fit, cache=out / "cache")
    figures = measure(evaluator, generated, cases, real, records,
                      closed_world=arguments.prompts == "full")
    steps, guidance = entry.resolved_defaults()
    figures |= {
        "prompts": arguments.prompts,
        "steps": arguments.steps or steps,
        "guidance": guidance if arguments.guidance is None else arguments.guidance,
        "evaluator": Path(arguments.evaluator).name,
        "model": entry.id,
        "weights_sha256": entry.weights_sha256(),
    }
    write_report(out, figures)
    write_spectrum_figure(out / "spectrum.png", real, generated, entry.id)
    shown = range(0, min(len(real), len(generated), 64), 8)
    rows = [row for i in shown for row in (real[i : i + 8], generated[i : i + 8])]
    labels = [text for i in shown for text in (f"real {i} to {i + 7}", "generated, same prompts")]
    write_sheet(out / "real_beside_generated.jpg", rows, labels)
    write_sheet(out / "generated.jpg", [generated[i : i + 8] for i in shown])
    print(markdown(figures))
    return 0


def model_entry(model: str, checkpoint: str | None, home: Path) -> ModelEntry:
    """Return the catalogue's entry of a model, or one for a folder after its family's first entry.

    Args:
        model: Id of the catalogue, or a checkpoint folder.
        checkpoint: Folder whose weights are used in place of the entry's own.
        home: The workspace, whose catalogue extends the shipped one.

    Raises:
        CoreError: No model is called so, or the folder is of no family.
    """
    from dataclasses import replace

    from msdm_core.generation.availability import PIPELINE_CLASSES
    from msdm_core.generation.catalogue import Catalogue
    from msdm_core.generation.checkpoint import read_model_index
    from msdm_core.generation.weights import WeightsSource

    catalogue = Catalogue.read(home)
    if not Path(model).is_dir():
        entry = catalogue[model]
    else:
        index = read_model_index(Path(model)) or read_model_index(Path(model) / "decoder")
        found = index.get("_class_name")
        families = [family for family, roles in PIPELINE_CLASSES.items()
                    if any(found in names for names in roles.values())]
        if not families:
            raise CheckpointError(
                f"{model} holds no pipeline of a known family (found {found!r}). Give the folder "
                "that has model_index.json in it, of Kandinsky the one with prior and decoder."
            )
        first = next(entry for entry in catalogue if entry.family == families[0])
        entry, checkpoint = replace(first, id=Path(model).name), checkpoint or model
    if checkpoint is None:
        return entry
    source = WeightsSource(path=str(Path(checkpoint).absolute()))
    return replace(entry, weights=source, prior=None)
