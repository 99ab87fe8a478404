"""Options of the command line that name images, and the images that they name."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

from data.study_inbox import StudyInbox
from rating.cli_place import home_of
from rating.errors import RatingError
from rating.study.batch_source import Choice
from rating.study.harmonisation import ColourMode, Crop, Harmonisation, Resampling
from rating.study.sources import (
    Intake,
    OfferedImage,
    folder_intake,
    from_dataset,
    from_inbox,
    from_manifest,
    zip_intake,
)

INBOX_FOLDER: Final = "study_inbox"  # where the Generate tab hands images over


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Add the sources of images and what all of them go through."""
    group = parser.add_argument_group("images (each option may be given several times)")
    for flag, metavar, text in (
        ("--manifest", "FILE", "manifest.csv of a batch of generated images"),
        ("--folder", "FOLDER", "images with a CSV of filename, arm, prompt"),
        ("--zip", "FILE", "the same as a ZIP file"),
        ("--real", "FOLDER", "real images, the control arm, with a CSV of filename, prompt"),
        ("--dataset", "FOLDER", "real images drawn from a dataset, see --dataset-count"),
        ("--practice", "FOLDER", "practice images, from outside the study"),
        ("--check", "FOLDER", "images of attention checks"),
    ):
        group.add_argument(
            flag, type=Path, action="append", default=[], metavar=metavar, help=text
        )
    group.add_argument("--inbox", action="store_true", help="all that Generate has handed over")
    group.add_argument(
        "--choose",
        choices=get_args(Choice),
        default="first_seed",
        help="which candidate of a manifest, for each prompt and arm (first_seed)",
    )
    group.add_argument(
        "--dataset-count", type=int, metavar="N", help="how many images of each dataset"
    )
    default = Harmonisation()
    looks = parser.add_argument_group("harmonisation (one for all images of a study)")
    looks.add_argument("--crop", choices=get_args(Crop), help=f"({default.crop})")
    looks.add_argument(
        "--size-px", type=int, metavar="N", help=f"side of the pictures ({default.size_px})"
    )
    looks.add_argument(
        "--resampling", choices=get_args(Resampling), help=f"({default.resampling})"
    )
    looks.add_argument(
        "--colour-mode",
        choices=get_args(ColourMode),
        help=f"RGB, or L for greyscale ({default.colour_mode})",
    )
    looks.add_argument(
        "--jpeg-quality",
        type=int,
        metavar="Q",
        help=f"all go through JPEG; 0: none do ({default.jpeg_quality or 0})",
    )


def images_of(options: argparse.Namespace) -> list[OfferedImage]:
    """Return all images that the options name; nothing is written.

    Raises:
        RatingError: A source cannot be used; the message lists what is wrong with it.
    """
    if bool(options.dataset) != (options.dataset_count is not None):
        raise RatingError("Give --dataset and --dataset-count together.")
    seed = options.seed or 0
    offered: list[OfferedImage] = []
    for path in options.manifest:
        offered += from_manifest(path, rule=options.choose, seed=seed)
    for path in options.folder:
        offered += told(folder_intake(path))
    for path in options.zip:
        offered += told(zip_intake(path))
    for path in options.real:
        offered += told(folder_intake(path, is_real=True))
    for path in options.dataset:
        offered += from_dataset(path, options.dataset_count, seed)
    for role in ("practice", "check"):
        for path in getattr(options, role):
            offered += told(folder_intake(path, role=role))
    if options.inbox:
        offered += from_inbox(StudyInbox(home_of(options) / INBOX_FOLDER))
    return offered


def told(intake: Intake) -> Sequence[OfferedImage]:
    """Print what a source says of its images and return them."""
    for note in intake.notes:
        print(f"note: {note}", file=sys.stderr)
    return intake.images


def harmonisation_of(options: argparse.Namespace) -> Harmonisation | None:
    """Return what the options say of it; None where they say nothing."""
    names = ("crop", "size_px", "resampling", "colour_mode", "jpeg_quality")
    given: dict[str, Any] = {
        name: getattr(options, name) for name in names if getattr(options, name) is not None
    }
    if given.get("jpeg_quality") == 0:
        given["jpeg_quality"] = None
    return Harmonisation(**given) if given else None
