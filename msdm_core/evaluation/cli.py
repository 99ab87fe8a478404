"""Command line of evaluation: ``python -m msdm_core evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from msdm_core.errors import RequestError

ROOT = Path(__file__).resolve().parents[2]
EVALUATOR = ROOT / "data" / "checkpoints" / "evaluator"

EXAMPLE = """example:
  python -m msdm_core evaluate --model data/checkpoints/msdm-compact-gi \\
      --data DATA --count 297 --out evaluation
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
    add("--model", required=True, metavar="FOLDER", help="checkpoint folder of an MSDM pipeline")
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
    from msdm_core.msdm.loading import load_pipeline
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
    pipeline = load_pipeline(Path(arguments.model))
    cases = prompt_cases(records, arguments.count, arguments.prompts)
    generated = generate_images(pipeline, cases, out / "images", steps=arguments.steps,
                                guidance=arguments.guidance)
    real = open_images(records, size_px=IMAGE_PX, fit=arguments.fit, cache=out / "cache")
    figures = measure(evaluator, generated, cases, real, records,
                      closed_world=arguments.prompts == "full")
    config = pipeline.config
    figures |= {
        "prompts": arguments.prompts,
        "steps": arguments.steps or config.default_steps,
        "guidance": config.default_guidance if arguments.guidance is None else arguments.guidance,
        "evaluator": Path(arguments.evaluator).name,
        "model": Path(arguments.model).name,
    }
    write_report(out, figures)
    write_spectrum_figure(out / "spectrum.png", real, generated, Path(arguments.model).name)
    shown = range(0, min(len(real), len(generated), 64), 8)
    rows = [row for i in shown for row in (real[i : i + 8], generated[i : i + 8])]
    labels = [text for i in shown for text in (f"real {i} to {i + 7}", "generated, same prompts")]
    write_sheet(out / "real_beside_generated.jpg", rows, labels)
    write_sheet(out / "generated.jpg", [generated[i : i + 8] for i in shown])
    print(markdown(figures))
    return 0
