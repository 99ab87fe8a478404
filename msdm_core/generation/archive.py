"""A whole comparison as one ZIP: its pictures as they were saved, and a table of them.

It is made while it is sent: at any time one picture is in memory.
"""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from data.provenance import Provenance, filename_for
from msdm_core.generation.history import SavedImage, SavedJob
from msdm_core.generation.store import ImageStore

TABLE_NAME = "comparison.csv"
COLUMNS = (
    "file", "model_id", "model_label", "row", "prompt", "seed", "steps", "guidance", "width_px",
    "height_px", "duration_s", "load_s", "peak_memory_bytes", "parameters", "flops",
    "weights_sha256", "licence", "scheduler", "device", "dtype", "created_at", "app_version",
)  # fmt: skip


def archive_name(job: SavedJob) -> str:
    """Returns the file name of the archive of a job."""
    return f"generated_{job.created_at:%Y%m%d-%H%M%S}_job{job.number}.zip"


def image_name(job: SavedJob, image: SavedImage) -> str:
    """Returns the file name of an image: prompt, model, seed, and a number unique in its job."""
    provenance = Provenance.from_json(json.dumps(image.provenance))
    column = job.request.model_ids.index(image.model_id)
    return filename_for(provenance, column * job.request.image_count + image.position)


def table(job: SavedJob) -> str:
    """Returns the CSV with one row an image; what is unknown is left empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(_table_row(job, image) for image in job.images)
    return text.getvalue()


def archive(job: SavedJob, store: ImageStore) -> Iterator[bytes]:
    """Yields the bytes of the ZIP, first the pictures row by row, then the table.

    Raises:
        JobNotFoundError: the file of an image is gone.
    """
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED) as file:
        for image in job.images:
            file.writestr(image_name(job, image), store.read(image.file_name))
            yield pieces.taken()
        # The mark at the start is how spreadsheets know the encoding.
        content = table(job).encode("utf-8-sig")
        file.writestr(TABLE_NAME, content, zipfile.ZIP_DEFLATED)
    yield pieces.taken()


def _table_row(job: SavedJob, image: SavedImage) -> dict[str, Any]:
    known = {**image.provenance, **image.cost}
    row = {name: known.get(name) for name in COLUMNS}
    return row | {
        "file": image_name(job, image),
        "row": image.position + 1,
        "model_id": image.model_id,
    }


class _Pieces(io.RawIOBase):
    """A file that hands on what is written to it and keeps none of it."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._pieces += content
        return len(content)

    def taken(self) -> bytes:
        """Returns what was written since the last call."""
        content = bytes(self._pieces)
        self._pieces.clear()
        return content
