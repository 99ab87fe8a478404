"""Command line of what lies beside the evaluator: ``train polyp-locator | nearness-index``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msdm_core.evaluation.material import RealImages


def add_parsers(tasks: Any) -> None:
    """Add the commands to the parts that can be trained."""
    locator = tasks.add_parser(
        "polyp-locator", help="the evaluator's reader of where a polyp lies, fitted in a minute",
        description="Fits a linear reader of the evaluator's features on the training images whose "
        "captions say where a polyp is, and writes it beside the evaluator.",
    )
    index = tasks.add_parser(
        "nearness-index", help="features of the training images, to warn of images that copy one",
        description="Writes an index of the evaluator's features of the training images beside the "
        "evaluator, and what distances are usual. No image is in it.",
    )
    for parser, run in ((locator, fit_locator), (index, make_index)):
        add = parser.add_argument
        add("--data", required=True, metavar="FOLDER", help="real images with captions and splits")
        add("--evaluator", required=True, metavar="FOLDER",
            help="the evaluator; what is made goes there")
        add("--fit", choices=("pad", "crop", "stretch"), default="pad",
            help="how images are made square (default %(default)s)")
        add("--cache", default="runs/cache", metavar="FOLDER",
            help="for images (default %(default)s)")
        parser.set_defaults(run=run)


def _read(arguments: argparse.Namespace) -> tuple[Any, RealImages]:
    from msdm_core.evaluation.evaluator import IMAGE_PX, load_evaluator
    from msdm_core.evaluation.material import read_real

    evaluator = load_evaluator(Path(arguments.evaluator))
    return evaluator, read_real(
        Path(arguments.data), size_px=IMAGE_PX, fit=arguments.fit, cache=Path(arguments.cache)
    )


def make_index(arguments: argparse.Namespace) -> int:
    """Make and save the index; returns exit status 0.

    Raises:
        CoreError: Something a person can mend.
        DataError: The images cannot be read.
    """
    from msdm_core.evaluation.nearness import NearnessIndex

    index = NearnessIndex.build(*_read(arguments))
    index.save(Path(arguments.evaluator))
    print(f"An index of {len(index.vectors)} training images; {len(index.unseen)} unseen ones say "
          "what is usual.")
    return 0


def fit_locator(arguments: argparse.Namespace) -> int:
    """Fit and save the reader; returns exit status 0.

    Raises:
        CoreError: Something a person can mend.
        DataError: The images cannot be read.
    """
    from data.attributes import read_attributes
    from msdm_core.evaluation.position import asked_cells, fit_polyp_locator, position_figures

    evaluator, real = _read(arguments)
    stated = [read_attributes(record.captions) for record in real.reference]
    locator = fit_polyp_locator(evaluator, real.reference_images, stated)
    locator.save(Path(arguments.evaluator))
    asked = asked_cells([read_attributes(record.captions) for record in real.held_out])
    found = position_figures(locator.logits(evaluator, real.held_out_images), asked)
    print(f"{found['images']} unseen images with a polyp: its likeliest cell is right in "
          f"{found['hit_rate']:.2f}, by chance {found['chance']:.2f}.")
    return 0
