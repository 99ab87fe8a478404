"""The folder of a batch: its lock, its images and the lists that tell of them.

Order of writing: the image, then its row in the manifest, then its row in `metadata.csv`; so a
row never names an image that is not there, whenever the program ends.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from data.errors import DataError, ManifestError
from data.images import load_rgb
from data.manifest import (
    COLUMN_NAMES,
    IMAGE_FOLDER,
    MANIFEST_FILE,
    METADATA_COLUMNS,
    METADATA_FILE,
    ManifestRow,
    SelectionRule,
    metadata_values,
    row_values,
)
from data.manifest_reading import fault_report, scan_manifest
from data.provenance import GeneratedImage, png_bytes, read_provenance
from data.row_file import RowFile
from data.whole_file import write_whole
from msdm_core.errors import BatchError, WorkspaceError

LOCK_FILE = ".lock"


class BatchFolder:
    """One folder of images, held by one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Takes the lock and reads what is there; removes what a killed program left unfinished.

        Raises:
            BatchError: another process holds the folder.
            ManifestError: the manifest in it is damaged.
            WorkspaceError: the folder cannot be written.
        """
        self.path = folder
        self._images = folder / IMAGE_FOLDER
        self._carried: tuple[str, ...] = ()
        self._manifest = RowFile(folder / MANIFEST_FILE, COLUMN_NAMES)
        self._metadata = RowFile(self._images / METADATA_FILE, METADATA_COLUMNS)
        with _told(folder):
            self._images.mkdir(parents=True, exist_ok=True)
            write_whole(folder / ".write-test", b"")
            (folder / ".write-test").unlink()
        self._lock = _take_lock(folder)
        try:
            self.rows = self._read_rows()
        except BaseException:
            self.close()
            raise

    def image_path(self, image_id: str) -> Path:
        """Returns where the PNG file of an image is, or would be."""
        return self._images / f"{image_id}.png"

    def unlisted(self, image_id: str) -> GeneratedImage | None:
        """Returns an image that is there without a row, as a kill between the two leaves it.

        Raises:
            BatchError: the file there is none of ours.
        """
        path = self.image_path(image_id)
        if image_id in self.rows or not path.exists():
            return None
        try:
            provenance = read_provenance(path)
            if provenance is not None:
                return GeneratedImage(load_rgb(path), provenance)
        except DataError:
            pass
        raise BatchError(
            f"{path} is in the way: no image of this program. Move it, or choose another --out."
        )

    def open_lists(self, rows: Sequence[ManifestRow], carried: Iterable[str]) -> None:
        """Writes both lists anew with `rows`, ready to grow by rows with `carried` columns.

        Raises:
            WorkspaceError: the folder cannot be written.
        """
        self.rows = {row.image_id: row for row in rows}
        of_rows = (name for row in rows for name in row.carried)
        self._carried = tuple(dict.fromkeys((*of_rows, *carried)))
        with _told(self.path):
            self._manifest.close()
            self._manifest = RowFile(self.path / MANIFEST_FILE, (*COLUMN_NAMES, *self._carried))
            self._manifest.rewrite(row_values(row, self._carried) for row in rows)
            self._metadata.rewrite(metadata_values(row) for row in rows if row.is_done)

    def add(self, row: ManifestRow, generated: GeneratedImage | None = None) -> None:
        """Writes the image, if there is one to write, and its row.

        Raises:
            WorkspaceError: the disk is full or the folder cannot be written; nothing is left
                half-written.
        """
        with _told(self.path):
            if generated is not None:
                content = png_bytes(generated.image, generated.provenance)
                write_whole(self.image_path(row.image_id), content)
            self._manifest.append(row_values(row, self._carried))
            self.rows[row.image_id] = row
            if row.is_done:
                self._metadata.append(metadata_values(row))

    def finish(self, order: Sequence[str]) -> None:
        """Writes both lists in their final order: rows of before, then `order`, by image_id.

        Raises:
            WorkspaceError: the folder cannot be written.
        """
        place = {image_id: number for number, image_id in enumerate(order)}
        rows = sorted(self.rows.values(), key=lambda row: place.get(row.image_id, -1))
        self.open_lists(counted_candidates(rows), self._carried)

    def close(self) -> None:
        """Lets another process use the folder."""
        self._manifest.close()
        self._metadata.close()
        self._lock.close()

    def _read_rows(self) -> dict[str, ManifestRow]:
        for left_over in (*self._images.glob(".*.part"), *self.path.glob(".*.part")):
            left_over.unlink(missing_ok=True)
        path = self.path / MANIFEST_FILE
        if not path.exists():
            return {}
        manifest = scan_manifest(path, is_growing=True)
        if manifest.faults:
            raise ManifestError(
                f"{fault_report(manifest)}\nRestore the file as it was written, or choose "
                "another folder with --out."
            )
        return {row.image_id: row for row in manifest.rows}


def counted_candidates(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    """Returns the rows with the number of images that share model and prompt, and the rule."""
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        cell = (row.model_id, row.prompt_id)
        counts[cell] = counts.get(cell, 0) + 1
    counted = []
    for row in rows:
        number = counts[row.model_id, row.prompt_id]
        rule = selection_rule(number)
        counted.append(replace(row, candidates=number, selection_rule=rule))
    return counted


def selection_rule(candidates: int) -> SelectionRule:
    """Returns how the images of a prompt were selected among its candidates: not by eye."""
    return "first_seed" if candidates == 1 else "all"


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turns an error of the disk into one that says what to do; nothing is half-written then."""
    try:
        yield
    except OSError as error:
        raise WorkspaceError(
            f"The folder {folder} cannot be written: {error.strerror or error}. Free some space "
            "or choose another folder with --out. The same command goes on where this one ended."
        ) from error


def _take_lock(folder: Path) -> sqlite3.Connection:
    # A lock of SQLite works on every system and ends with the process, even a killed one.
    lock = sqlite3.connect(folder / LOCK_FILE, timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        lock.close()
        raise BatchError(
            f"The folder {folder} is being written by another process ({error}). "
            "Wait until it ends, or choose another folder with --out."
        ) from error
    return lock
