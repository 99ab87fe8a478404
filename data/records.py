"""The record that every reader returns, and how a file name of a table becomes a path."""

import dataclasses
import pathlib
from typing import Literal, get_args

from data.errors import DataValueError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif")

_SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}


@dataclasses.dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image with everything a dataset says about it.

    Args:
        image_id: Unique within a dataset; the file name without its extension.
        path:     Where the image file is.
        captions: One or more, in the order and spelling of the table, without exact repeats.
        split:    The part of the dataset it belongs to, None where the dataset does not say.
        group:    Patient, case or sequence that must stay in one split, None where unknown.
        source:   Name of the collection the image comes from.
    """

    image_id: str
    path: pathlib.Path
    captions: tuple[str, ...]
    split: Split | None
    group: str | None
    source: str


def parse_split(name: str) -> Split | None:
    """Return the split that a table's word means, None for an empty word.

    Raises:
        DataValueError: If the word is none of the known ones.
    """
    word = name.strip().lower()
    if not word:
        return None
    if word not in _SPLIT_NAMES:
        raise DataValueError(
            f"Unknown split {name!r}; allowed are {', '.join(_SPLIT_NAMES)} or nothing."
        )
    return _SPLIT_NAMES[word]


def image_id_of(filename: str) -> str:
    """Return the identifier of a file name: the name without folder and image extension."""
    name = filename.strip().replace("\\", "/").rsplit("/", 1)[-1]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name


def find_image(folders: tuple[pathlib.Path, ...], filename: str) -> pathlib.Path | None:
    """Return the file that a table's name means, None if there is none.

    The name is looked for in each folder as it is and then with each image extension;
    a name that leads out of the folder is never followed.
    """
    name = filename.strip().replace("\\", "/")
    if not name or "\0" in name:
        return None
    bare = pathlib.PurePosixPath(name)
    if bare.is_absolute() or ".." in bare.parts:
        return None
    if bare.suffix.lower() in IMAGE_SUFFIXES:
        candidates = [name]
    else:
        candidates = [name + suffix for suffix in IMAGE_SUFFIXES]
    for folder in folders:
        for candidate in candidates:
            path = folder / candidate
            try:
                if path.is_file():
                    return path
            except OSError:  # e.g. a caption in the place of the name: too long for the system
                continue
    return None
