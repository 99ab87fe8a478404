"""Reader of the ROCOv2 layout: one captions table and one folder of images a split."""

import pathlib
from typing import Final

from data.errors import DatasetTableError
from data.medvqa_gi import MissingPolicy, raise_if_missing
from data.records import ImageRecord, Split, find_image, image_id_of
from data.splits import SPLIT_FILE, read_split_csv
from data.tables import read_table

SPLIT_FOLDERS: Final[dict[str, Split]] = {"train": "train", "valid": "val", "test": "test"}
CAPTION_COLUMNS: Final = ("ID", "Caption")
CONCEPT_COLUMNS: Final = ("ID", "CUIs")
SOURCE_COLUMNS: Final = ("ID",)
SOURCE_OPTIONAL: Final = ("Source", "Group")
SOURCE: Final = "ROCOv2"


def caption_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return the caption tables that the folder has, by the dataset's name of the split."""
    paths = {name: folder / f"{name}_captions.csv" for name in SPLIT_FOLDERS}
    return {name: path for name, path in paths.items() if path.is_file()}


def is_rocov2(folder: pathlib.Path) -> bool:
    """Return whether the folder has at least one table of this layout."""
    return bool(caption_files(folder))


def image_folders(folder: pathlib.Path, name: str) -> tuple[pathlib.Path, ...]:
    """Return where images of a split are looked for: {split}_images/, older copies {split}/."""
    return (folder / f"{name}_images", folder / name)


def read_rocov2(folder: pathlib.Path, *, missing: MissingPolicy = "error") -> list[ImageRecord]:
    """Return one record an image, in the order of the tables train, valid, test.

    Args:
        folder:  Has {train,valid,test}_captions.csv (`ID,Caption`), at least one of them, the
                 images at {split}_images/ID.jpg or {split}/ID.jpg, optionally
                 {split}_sources.csv (`ID,Source,Group`) and a split.csv that overrides the
                 published split.
        missing: Whether a caption whose image is absent is an error or left out.

    Raises:
        DatasetTableError:  If a table cannot be read, or an ID appears twice.
        MissingImagesError: If images are absent and missing is "error".
    """
    override = folder / SPLIT_FILE
    assigned = read_split_csv(override) if override.is_file() else {}
    records: dict[str, ImageRecord] = {}
    absent: dict[str, None] = {}
    for name, table in caption_files(folder).items():
        sources = _sources(folder / f"{name}_sources.csv")
        for row in read_table(table, CAPTION_COLUMNS):
            image_id, caption = image_id_of(row.values["ID"]), row.values["Caption"]
            _check_row(table, row.line, image_id, caption, records, absent)
            path = find_image(image_folders(folder, name), row.values["ID"])
            if path is None:
                absent[image_id] = None
                continue
            source, group = sources.get(image_id, (SOURCE, None))
            split, new_group = assigned.get(image_id, (SPLIT_FOLDERS[name], None))
            records[image_id] = ImageRecord(
                image_id, path, (caption,), split, group or new_group, source
            )
    if missing == "error":
        raise_if_missing(folder, list(absent), len(records) + len(absent))
    return list(records.values())


def read_concepts(folder: pathlib.Path) -> dict[str, tuple[str, ...]]:
    """Return the UMLS concept identifiers of each image, empty where there are no tables."""
    concepts: dict[str, tuple[str, ...]] = {}
    for name in SPLIT_FOLDERS:
        table = folder / f"{name}_concepts.csv"
        if table.is_file():
            for row in read_table(table, CONCEPT_COLUMNS):
                concepts[image_id_of(row.values["ID"])] = concept_list(row.values["CUIs"])
    return concepts


def concept_list(cell: str) -> tuple[str, ...]:
    """Return the identifiers in a cell of CUIs, which ";" or "," separates."""
    return tuple(cui.strip() for cui in cell.replace(",", ";").split(";") if cui.strip())


def _sources(table: pathlib.Path) -> dict[str, tuple[str, str | None]]:
    if not table.is_file():
        return {}
    rows = read_table(table, SOURCE_COLUMNS, optional=SOURCE_OPTIONAL)
    return {
        image_id_of(row.values["ID"]): (
            row.values.get("Source", "").strip() or SOURCE,
            row.values.get("Group", "").strip() or None,
        )
        for row in rows
    }


def _check_row(
    table: pathlib.Path,
    line: int,
    image_id: str,
    caption: str,
    records: dict[str, ImageRecord],
    absent: dict[str, None],
) -> None:
    if not image_id or not caption.strip():
        what = "ID" if not image_id else "caption"
        fault = f"the {what} is empty"
    elif image_id in records and records[image_id].captions != (caption,):
        fault = f"the ID {image_id!r} appeared before with another caption"
    elif image_id in records or image_id in absent:
        fault = f"the ID {image_id!r} appeared before"
    else:
        return
    raise DatasetTableError(
        f"{table}, line {line}: {fault}. "
        f"See everything with: python -m data validate {table.parent}"
    )
