"""Command line of the evaluator's reader of places: ``python -m msdm_core train polyp-locator``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(tasks: Any) -> None:
    """Add the command to the parts that can be trained."""
    parser = tasks.add_parser(
        "polyp-locator", help="the evaluator's reader of where a polyp lies, fitted in a minute",
        description="Fits a linear reader of the evaluator's features on the training images whose "
        "captions say where a polyp is, and writes it beside the evaluator.",
    )
    add = parser.add_argument
    add("--data", required=True, metavar="FOLDER", help="real images with captions and splits")
    add("--evaluator", required=True, metavar="FOLDER", help="the evaluator; the reader goes there")
    add("--fit", choices=("pad", "crop", "stretch"), default="pad",
        help="how images are made square (default %(default)s)")
    add("--cache", default="runs/cache", metavar="FOLDER", help="for images (default %(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fit and save the reader; returns exit status 0.

    Raises:
        CoreError: Something a person can mend.
        DataError: The images cannot be read.
    """
    from data.attributes import read_attributes
    from msdm_core.evaluation.evaluator import IMAGE_PX, load_evaluator
    from msdm_core.evaluation.material import read_real
    from msdm_core.evaluation.position import asked_cells, fit_polyp_locator, position_figures

    folder = Path(arguments.evaluator)
    evaluator = load_evaluator(folder)
    real = read_real(Path(arguments.data), size_px=IMAGE_PX, fit=arguments.fit,
                     cache=Path(arguments.cache))
    stated = [read_attributes(record.captions) for record in real.reference]
    locator = fit_polyp_locator(evaluator, real.reference_images, stated)
    locator.save(folder)
    asked = asked_cells([read_attributes(record.captions) for record in real.held_out])
    found = position_figures(locator.logits(evaluator, real.held_out_images), asked)
    print(f"{found['images']} unseen images with a polyp: its likeliest cell is right in "
          f"{found['hit_rate']:.2f}, by chance {found['chance']:.2f}.")
    return 0
