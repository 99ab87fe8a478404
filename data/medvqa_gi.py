"""Reader of the MedVQA-GI layout: prompt-gt.csv with several prompts an image."""

import pathlib
from typing import Final, Literal

from data.errors import DatasetTableError, MissingImagesError
from data.records import ImageRecord, find_image, image_id_of
from data.splits import SPLIT_FILE, read_split_csv
from data.tables import read_table

PROMPT_FILE: Final = "prompt-gt.csv"
PROMPT_COLUMNS: Final = ("Prompt", "Filename")
SEPARATOR: Final = ";"
SOURCE: Final = "MedVQA-GI"

MissingPolicy = Literal["error", "skip"]


def is_medvqa_gi(folder: pathlib.Path) -> bool:
    """Return whether the folder has the table of this layout."""
    return (folder / PROMPT_FILE).is_file()


def image_folders(folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """Return where images are looked for: images/ first, then beside the table."""
    return (folder / "images", folder)


def read_medvqa_gi(folder: pathlib.Path, *, missing: MissingPolicy = "error") -> list[ImageRecord]:
    """Return one record an image, in the order of the table, with prompts as they are spelt.

    Args:
        folder:  Has prompt-gt.csv (`Prompt;Filename`), the images in images/ or beside it,
                 and where the split is given split.csv (`Filename,Split`, optional `Group`).
        missing: Whether a prompt whose image is absent is an error or left out.

    Raises:
        DatasetTableError:  If a table cannot be read.
        MissingImagesError: If images are absent and missing is "error".
    """
    captions, filenames = _prompts(folder)
    splits = folder / SPLIT_FILE
    assigned = read_split_csv(splits) if splits.is_file() else {}
    paths = {name: find_image(image_folders(folder), filenames[name]) for name in captions}
    absent = [filenames[name] for name, path in paths.items() if path is None]
    if missing == "error":
        raise_if_missing(folder, absent, len(captions))
    records = []
    for image_id, path in paths.items():
        if path is not None:
            split, group = assigned.get(image_id, (None, None))
            prompts_of = tuple(captions[image_id])
            records.append(ImageRecord(image_id, path, prompts_of, split, group, SOURCE))
    return records


def raise_if_missing(folder: pathlib.Path, absent: list[str], total: int) -> None:
    """Raise MissingImagesError that names the first absent files, if there are any."""
    if absent:
        shown = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        raise MissingImagesError(
            f"{len(absent)} of {total} images of {folder} are absent: {shown}. Complete the "
            f"folder, or read it with missing='skip'. List: python -m data validate {folder}"
        )


def _prompts(folder: pathlib.Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the prompts and the file name of each image_id."""
    table = folder / PROMPT_FILE
    captions: dict[str, list[str]] = {}
    filenames: dict[str, str] = {}
    for row in read_table(table, PROMPT_COLUMNS, separator=SEPARATOR):
        filename, prompt = row.values["Filename"].strip(), row.values["Prompt"]
        image_id = image_id_of(filename)
        if not image_id or not prompt.strip():
            raise DatasetTableError(
                f"{table}, line {row.line}: the {'file name' if not image_id else 'prompt'} is "
                f"empty. See everything with: python -m data validate {folder}"
            )
        if filenames.setdefault(image_id, filename) != filename:
            raise DatasetTableError(
                f"{table}, line {row.line}: {filename!r} and {filenames[image_id]!r} share the "
                f"name {image_id!r}. Rename one of the images."
            )
        prompts = captions.setdefault(image_id, [])
        if prompt not in prompts:
            prompts.append(prompt)
    return captions, filenames
