"""Real images of a dataset, drawn at random: the control arm."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from data.errors import DataError
from data.folders import read_folder
from data.images import load_rgb
from data.records import ImageRecord
from rating.errors import StimulusError
from rating.study.offered import REAL_ARM, OfferedImage, raise_faults, rank, unreadable


def from_dataset(
    folder: Path, count: int, seed: int = 0, split: str | None = "val"
) -> list[OfferedImage]:
    """Return real images of a dataset, drawn at random, as the control arm.

    At most one image of a group (patient, case, sequence) is taken while there are others, and of
    several captions of an image one is drawn.

    Args:
        folder: In the layout of MedVQA-GI or ROCOv2.
        count:  How many images, 1 or more.
        seed:   The same one draws the same images, in whatever order the tables stand.
        split:  "train", "val" or "test"; None takes all. Images that models were trained on are a
                weaker control, so it is "val" unless asked otherwise.

    Raises:
        StimulusError: The folder cannot be read, or has too few such images.
    """
    if count < 1:
        raise StimulusError(f"count is {count}; ask for 1 or more real images.")
    try:
        records = read_folder(folder, missing="skip")
    except DataError as error:
        raise StimulusError(f"No image was taken: {error}") from error
    eligible = [record for record in records if split is None or record.split == split]
    if len(eligible) < count:
        there = sorted({str(record.split) for record in records if record.split is not None})
        of_split = "" if split is None else f" of the split {split!r}"
        raise StimulusError(
            f"No image was taken from {folder}: it has {len(eligible)} images{of_split}, asked for "
            f"are {count}. Ask for fewer, or another split ({', '.join(there) or 'it has none'})."
        )
    chosen = _drawn(eligible, count, seed)
    offered = [_of_dataset(record, len(eligible), seed) for record in chosen]
    raise_faults(str(folder), unreadable(offered))
    return offered


def _drawn(eligible: Sequence[ImageRecord], count: int, seed: int) -> list[ImageRecord]:
    """Return `count` records in a drawn order, those of new groups before others."""
    ranked = sorted(eligible, key=lambda record: rank(seed, record.image_id))
    groups: set[str] = set()
    first: list[ImageRecord] = []
    others: list[ImageRecord] = []
    for record in ranked:
        is_new = record.group is None or record.group not in groups
        (first if is_new else others).append(record)
        if record.group is not None:
            groups.add(record.group)
    return (first + others)[:count]


def _of_dataset(record: ImageRecord, eligible: int, seed: int) -> OfferedImage:
    captions = sorted(record.captions, key=lambda text: rank(seed, f"{record.image_id}\n{text}"))
    values: dict[str, Any] = {
        "dataset": record.source,
        "image_id": record.image_id,
        "drawn_with_seed": seed,
    }
    values |= {"split": record.split} if record.split else {}
    values |= {"group": record.group} if record.group else {}
    return OfferedImage(
        read=partial(load_rgb, record.path),
        arm=REAL_ARM,
        is_real=True,
        prompt_id="",
        prompt=captions[0].strip(),
        selection_rule="random",
        candidate_count=eligible,
        provenance=values,
        source_name=record.path.name,
    )
