"""Files with images and their table, from a folder or a ZIP, to offered images or all faults."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final

from PIL import Image

from data.errors import ImageReadError, ProvenanceError
from data.images import decode_rgb
from data.provenance import Provenance, read_provenance
from rating.counting import counted
from rating.errors import StimulusError
from rating.study.file_index import FileIndex
from rating.study.image_table import ImageRow, ImageTable, read_image_table
from rating.study.offered import REAL_ARM, Intake, OfferedImage
from rating.study.problem import named

IMAGE_SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2", ".ppm", ".pgm")
)
_JUNK_NAMES: Final = frozenset(("thumbs.db", "desktop.ini", "__macosx"))
_KNOWN_TABLES: Final = ("manifest.csv", "comparison.csv")  # as this software writes them


class _UntoldError(StimulusError):
    """Neither the table nor the file says what an image is."""


@dataclasses.dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for images of which neither table nor file says it."""

    arm: str = ""
    is_real: bool = False
    role: str = "main"


def is_junk(name: str) -> bool:
    """Return whether a file is one that systems leave behind, in a hidden place or by name."""
    parts = PurePosixPath(name).parts
    # What leads out of its place is no leftover: it is to be refused, not to be passed over.
    hidden = (part.startswith(".") and part not in (".", "..") for part in parts)
    return any(hidden) or any(part.lower() in _JUNK_NAMES for part in parts)


def is_dicom(content: bytes) -> bool:
    """Return whether the content is a DICOM file."""
    return content[128:132] == b"DICM"


def is_zip(content: bytes) -> bool:
    """Return whether the content is a ZIP file."""
    return content.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def decoded(read: Callable[[], bytes], name: str) -> Image.Image:
    """Return the picture of a file, upright, RGB and without metadata.

    Raises:
        ImageReadError: It cannot be read as one.
    """
    try:
        content = read()
    except OSError as error:
        raise ImageReadError(f"{name} cannot be opened: {error.strerror or error}.") from error
    if is_dicom(content):
        raise ImageReadError(
            f"{name} is a DICOM file, which is not read: export it to PNG with the window that "
            "raters are to see, and without what names the patient."
        )
    return decode_rgb(content, name)


def take_files(
    files: Mapping[str, Callable[[], bytes]],
    table: str | None,
    defaults: Defaults,
    faults: list[str],
) -> Intake:
    """Return what a set of files offers; all that is wrong is added to `faults`.

    Args:
        files:    Reads the content of a file, by its name with "/" between folders; no junk.
        table:    Name of the CSV among them; None for the one that is there.
        defaults: See `Defaults`.
        faults:   Grows.
    """
    tables = sorted(name for name in files if name.lower().endswith(".csv"))
    images = {name: read for name, read in files.items() if name not in tables}
    if table is None:
        try:
            table = _table_among(tables)
        except LookupError as error:
            faults.append(str(error))
            return Intake(())
    if table is None:
        return _take_without_table(images, defaults, faults)
    try:
        content = read_image_table(files[table](), table)
    except OSError as error:
        faults.append(f"{table} cannot be opened: {error.strerror or error}.")
        return Intake(())
    return take_rows(content, table, images, defaults, faults)


def take_rows(
    table: ImageTable,
    name: str,
    images: Mapping[str, Callable[[], bytes]],
    defaults: Defaults,
    faults: list[str],
) -> Intake:
    """Return the images that a table names; all that is wrong is added to `faults`."""
    faults.extend(table.faults)
    index = FileIndex(images)
    folder = str(PurePosixPath(name).parent)
    offered: list[OfferedImage] = []
    lines: dict[str, int] = {}
    respelt: list[str] = []
    for row in table.rows:
        where = f"{name}, line {row.line}"
        if not row.filename:
            continue  # told by the table's own faults
        try:
            file, is_exact = index.find(row.filename, "" if folder == "." else folder)
        except LookupError as error:
            faults.append(f"{where}: {error.args[0]}")
            continue
        if (first := lines.setdefault(file, row.line)) != row.line:
            faults.append(f"{where}: {file} stands in line {first} too; one row an image.")
            continue
        if not is_exact:
            respelt.append(f"{row.filename} is {file}")
        try:
            offered.append(_offered(file, images[file], row, defaults))
        except StimulusError as error:
            faults.append(f"{where}: {error}")
    return Intake(tuple(offered), tuple(_notes(respelt, images, set(lines), index)))


def _take_without_table(
    images: Mapping[str, Callable[[], bytes]], defaults: Defaults, faults: list[str]
) -> Intake:
    """Return the images that tell themselves what they are: those that this software made."""
    offered = []
    untold = []
    for file in sorted(images):
        if PurePosixPath(file).suffix.lower() not in IMAGE_SUFFIXES | {".dcm"}:
            continue
        try:
            offered.append(_offered(file, images[file], None, defaults))
        except _UntoldError:
            untold.append(file)
        except StimulusError as error:
            faults.append(f"{file}: {error}")
    if untold:
        faults.append(
            f"there is no CSV, and {len(untold)} of the images do not tell themselves what they "
            f"are, as those downloaded from Generate do: {named(untold)}. Put a CSV with the "
            "columns filename, arm, prompt beside them; for an attention check also expected."
        )
    if not offered and not faults:
        faults.append("there are no images; put them beside a CSV with filename, arm, prompt.")
    return Intake(tuple(offered))


def _offered(
    file: str, read: Callable[[], bytes], row: ImageRow | None, defaults: Defaults
) -> OfferedImage:
    """Return the image of a file.

    Raises:
        StimulusError: It cannot be read, or what it is is not said or contradicts itself.
    """
    try:
        decoded(read, file)
        made = read_provenance(read())
    except ProvenanceError as error:
        raise StimulusError(f"what {file} says of its making cannot be read: {error}") from error
    except (ImageReadError, OSError) as error:
        raise StimulusError(str(error)) from error
    named_arm = row.arm if row is not None else ""
    arm, is_real = _arm(file, named_arm, made, defaults)
    role = (row.role if row is not None else "") or defaults.role
    prompt = (row.prompt if row is not None else "") or (made.prompt.strip() if made else "")
    missing = []
    if role == "main" and not arm:
        missing.append('the arm (a model, or "real")')
    if not prompt:
        missing.append("the prompt (the text that raters are asked to compare it with)")
    if role == "check" and (row is None or row.expected is None):
        missing.append("the expected answers of an attention check, such as expected origin=5/6")
    if missing:
        raise _UntoldError(
            f"of {file} is not said: {'; '.join(missing)}. Say it in a CSV with the columns "
            "filename, arm, prompt."
        )
    return OfferedImage(
        read=partial(decoded, read, file),
        arm=arm,
        is_real=is_real,
        prompt_id=row.prompt_id if row is not None else "",
        prompt=prompt,
        role=role,
        selection_rule=(row.selection_rule if row is not None else "") or "unstated",
        candidate_count=(row.candidates if row is not None else None) or 1,
        provenance=_provenance(made, row),
        source_name=file,
        expected=row.expected if row is not None and role == "check" else None,
    )


def _arm(file: str, named: str, made: Provenance | None, defaults: Defaults) -> tuple[str, bool]:
    """Return the arm of an image and whether it is real; what contradicts itself raises."""
    is_named_real = named.lower() == REAL_ARM
    if defaults.is_real and named and not is_named_real and named != defaults.arm:
        raise StimulusError(
            f"{file} is said to be of the arm {named!r}, but all images here are taken as real "
            "ones. Take it out, or add these images as generated ones."
        )
    is_real = defaults.is_real or is_named_real
    if is_real and made is not None:
        raise StimulusError(
            f"{file} is said to be real, but the file says that {made.model_id} generated it. "
            "Correct the arm, or take it out."
        )
    if is_real:
        return defaults.arm if defaults.is_real and defaults.arm else REAL_ARM, True
    return named or defaults.arm or (made.model_id if made else ""), False


def _provenance(made: Provenance | None, row: ImageRow | None) -> dict[str, Any]:
    """Return what the file says of its making, then what the row says further."""
    values: dict[str, Any] = {} if made is None else made.to_dict()
    values.pop("prompt", None)
    further = {} if row is None else row.further
    known = {**further, **values}
    cleaned = _storable(known)
    assert isinstance(cleaned, dict)
    return cleaned


def _storable(value: object) -> object:
    """Return JSON values without the characters that databases refuse in texts."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", errors="replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {str(_storable(key)): _storable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(each) for each in value]
    return value


def _table_among(tables: list[str]) -> str | None:
    """Return the table to read; None where there is none.

    Raises:
        LookupError: Several could be meant.
    """
    for known in _KNOWN_TABLES:
        found = [name for name in tables if PurePosixPath(name).name.lower() == known]
        if len(found) == 1:
            return found[0]
    if len(tables) > 1:
        raise LookupError(
            f"there are {len(tables)} CSV files: {named(tables)}. Keep the one that names the "
            "images."
        )
    return tables[0] if tables else None


def _notes(
    respelt: list[str], images: Mapping[str, Callable[[], bytes]], used: set[str], index: FileIndex
) -> list[str]:
    notes = []
    if respelt:
        notes.append(f"Taken although spelt otherwise in the CSV: {named(respelt)}.")
    left = [
        name
        for name in sorted(images)
        if name not in used and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
    ]
    if left:
        count = counted(len(left), "image is", "images are")
        notes.append(f"{count} not in the CSV and left out: {named(left)}.")
    return notes
