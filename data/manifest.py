"""The manifest of generated images: one CSV row an image, from drawing to study.

A folder of generated images is `manifest.csv`, whose columns are `COLUMNS`, and `images/`, which
holds the PNG files and a `metadata.csv` for tools that read folders of images with texts.
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from data.row_file import csv_line
from data.whole_file import write_whole

MANIFEST_FILE: Final = "manifest.csv"
IMAGE_FOLDER: Final = "images"
METADATA_FILE: Final = "metadata.csv"
METADATA_COLUMNS: Final = ("file_name", "text", "prompt_id", "model_id", "seed", "licence")

Status = Literal["done", "failed"]
SelectionRule = Literal["first_seed", "all"]
Filled = Literal["always", "done", "sometimes"]
Kind = Literal["text", "whole", "number", "sha256", "time", "done or failed", "rule"]


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column: what it holds and in which rows it is filled.

    Args:
        name:    Of the column and of the field of `ManifestRow`.
        kind:    Form of the value.
        filled:  "always", "done" (in the rows of drawn images) or "sometimes".
        meaning: In words.
    """

    name: str
    kind: Kind
    filled: Filled
    meaning: str


COLUMNS: Final = tuple(
    Column(*values)
    for values in (
        ("image_id", "text", "always", "names model, prompt_id and seed, and nothing else"),
        ("file_name", "text", "done", "path of the PNG file, relative to the manifest"),
        ("prompt_id", "text", "always", "of the list of prompts, else made from the prompt"),
        ("prompt", "text", "always", "as the model got it"),
        ("model_id", "text", "always", "of the catalogue"),
        ("model_label", "text", "always", "name of the model as people read it"),
        ("arm", "text", "always", "what a study compares: the model_id"),
        ("family", "text", "always", "architecture of the model"),
        ("seed", "whole", "always", "of the noise generator"),
        ("steps", "whole", "done", "denoising steps"),
        ("guidance", "number", "sometimes", "scale of guidance, empty where there is none"),
        ("prior_steps", "whole", "sometimes", "steps of a prior, empty where there is none"),
        ("prior_guidance", "number", "sometimes", "guidance of a prior, likewise"),
        ("width_px", "whole", "always", "width of the picture"),
        ("height_px", "whole", "always", "height of the picture"),
        ("weights_sha256", "sha256", "done", "hash over the weights"),
        ("settings_sha256", "sha256", "always", "hash over all that was asked for but weights"),
        ("licence", "text", "always", "of the weights"),
        ("duration_s", "number", "done", "wall time of drawing, without loading"),
        ("parameters", "whole", "sometimes", "numbers the weights hold, where counted"),
        ("flops", "whole", "sometimes", "floating-point operations of this image, where counted"),
        ("peak_memory_bytes", "whole", "sometimes", "most memory in use, where measured"),
        ("nearness_percentile", "number", "sometimes", "share of unseen real images, in per cent, "
         "that are nearer to a training image; 0 for a copy, empty where not measured"),
        ("pixel_sha256", "sha256", "done", "hash over the pixels, whatever the encoding"),
        ("selection_rule", "rule", "always", "first_seed: the one seed given beforehand; "
         "all: every seed is listed"),
        ("candidates", "whole", "always", "images asked of this model for this prompt"),
        ("device", "text", "done", "where the model ran"),
        ("created_at", "time", "always", "ISO 8601 in UTC"),
        ("app_version", "text", "always", "of this software"),
        ("status", "done or failed", "always", "done, or failed: no image, see message"),
        ("message", "text", "sometimes", "why there is no image"),
    )
)  # fmt: skip
COLUMN_NAMES: Final = tuple(column.name for column in COLUMNS)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ManifestRow:
    """One image that was asked for; the fields are those of `COLUMNS`.

    `carried` holds the columns of the list of prompts that have no meaning here.
    """

    image_id: str
    file_name: str = ""
    prompt_id: str
    prompt: str
    model_id: str
    model_label: str
    arm: str
    family: str
    seed: int
    steps: int | None = None
    guidance: float | None = None
    prior_steps: int | None = None
    prior_guidance: float | None = None
    width_px: int
    height_px: int
    weights_sha256: str = ""
    settings_sha256: str
    licence: str
    duration_s: float | None = None
    parameters: int | None = None
    flops: int | None = None
    peak_memory_bytes: int | None = None
    nearness_percentile: float | None = None
    pixel_sha256: str = ""
    selection_rule: SelectionRule
    candidates: int
    device: str = ""
    created_at: str
    app_version: str
    status: Status
    message: str = ""
    carried: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def is_done(self) -> bool:
        """Whether there is an image."""
        return self.status == "done"


def carried_columns(rows: Iterable[ManifestRow]) -> tuple[str, ...]:
    """Return the names of all carried columns, in the order they first appear."""
    return tuple(dict.fromkeys(name for row in rows for name in row.carried))


def row_values(row: ManifestRow, carried: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the fields of a row as text, in the order of `COLUMNS`, then of `carried`."""
    known = (getattr(row, name) for name in COLUMN_NAMES)
    texts = ("" if value is None else str(value) for value in known)
    return (*texts, *(row.carried.get(name, "") for name in carried))


def write_manifest(path: pathlib.Path, rows: Sequence[ManifestRow]) -> None:
    """Write a manifest; it appears whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    carried = carried_columns(rows)
    lines = ((*COLUMN_NAMES, *carried), *(row_values(row, carried) for row in rows))
    write_whole(path, b"".join(map(csv_line, lines)))


def metadata_values(row: ManifestRow) -> tuple[str, ...]:
    """Return the fields of an image in `metadata.csv`, in the order of `METADATA_COLUMNS`."""
    name = row.file_name.removeprefix(f"{IMAGE_FOLDER}/")
    return (name, row.prompt, row.prompt_id, row.model_id, str(row.seed), row.licence)
