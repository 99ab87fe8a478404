"""Any dataset folder to records: the layout is recognised by its tables."""

import pathlib
from typing import Literal

from data.errors import DatasetLayoutError
from data.medvqa_gi import MissingPolicy, is_medvqa_gi, read_medvqa_gi
from data.records import ImageRecord
from data.rocov2 import is_rocov2, read_rocov2

Layout = Literal["medvqa_gi", "rocov2"]

_EXPECTED = """Expected one of:
  MedVQA-GI: prompt-gt.csv (Prompt;Filename) and images/
  ROCOv2:    train_captions.csv, valid_captions.csv or test_captions.csv (ID,Caption)
             and train_images/, valid_images/, test_images/ (or train/, valid/, test/)"""


def detect_layout(path: str | pathlib.Path) -> Layout:
    """Return which layout a folder follows.

    Raises:
        DatasetLayoutError: If it follows none, or both.
    """
    folder = pathlib.Path(path)
    if not folder.is_dir():
        state = "is a file, not a folder" if folder.exists() else "does not exist"
        raise DatasetLayoutError(f"Cannot read the dataset {folder}: it {state}.\n{_EXPECTED}")
    medvqa, roco = is_medvqa_gi(folder), is_rocov2(folder)
    if medvqa and roco:
        raise DatasetLayoutError(
            f"{folder} has the tables of both layouts. Move one of them elsewhere.\n{_EXPECTED}"
        )
    if medvqa:
        return "medvqa_gi"
    if roco:
        return "rocov2"
    raise DatasetLayoutError(
        f"Cannot read the dataset {folder}: found {_summary(folder)}.\n{_EXPECTED}"
    )


def read_folder(path: str | pathlib.Path, *, missing: MissingPolicy = "error") -> list[ImageRecord]:
    """Return the records of a dataset folder in either layout.

    Args:
        path:    The folder; what it must have is told by `read_medvqa_gi` and `read_rocov2`.
        missing: Whether an image that is absent is an "error" or left out ("skip").

    Raises:
        DatasetLayoutError: If the folder follows no known layout.
        DatasetTableError:  If a table cannot be read.
        MissingImagesError: If images are absent and missing is "error".
    """
    folder = pathlib.Path(path)
    if detect_layout(folder) == "medvqa_gi":
        return read_medvqa_gi(folder, missing=missing)
    return read_rocov2(folder, missing=missing)


def _summary(folder: pathlib.Path) -> str:
    names = sorted(item.name + ("/" if item.is_dir() else "") for item in folder.iterdir())
    if not names:
        return "an empty folder"
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
