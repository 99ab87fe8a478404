"""Reading a manifest: every fault of it and of its images at once, or its rows."""

import csv
import dataclasses
import datetime
import io
import math
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from data.errors import ImageReadError, ManifestError
from data.images import load_rgb
from data.manifest import COLUMNS, Column, ManifestRow
from data.provenance import pixel_sha256
from data.row_file import whole_lines

_HEX_64 = re.compile(r"[0-9a-f]{64}")
_WHOLE = re.compile(r"\d{1,30}")


@dataclasses.dataclass(frozen=True, slots=True)
class ManifestFault:
    """One thing wrong with a manifest; `line` counts from 1, None where no line is to blame."""

    line: int | None
    message: str

    def __str__(self) -> str:
        """Return the fault as one line of a report."""
        return self.message if self.line is None else f"line {self.line}: {self.message}"


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """What could be read of a manifest, and what is wrong with it."""

    path: pathlib.Path
    rows: tuple[ManifestRow, ...]
    faults: tuple[ManifestFault, ...]


def read_manifest(path: pathlib.Path) -> tuple[ManifestRow, ...]:
    """Return the rows of a manifest without faults; the images are not opened.

    Raises:
        ManifestError: The file has any fault; the message lists them.
    """
    manifest = scan_manifest(path)
    if manifest.faults:
        raise ManifestError(fault_report(manifest))
    return manifest.rows


def fault_report(manifest: Manifest, longest: int = 20) -> str:
    """Return all faults as text, at most `longest` of them spelled out."""
    faults = [f"  {fault}" for fault in manifest.faults[:longest]]
    if (more := len(manifest.faults) - longest) > 0:
        faults.append(f"  and {more} more")
    return "\n".join((f"The manifest {manifest.path} cannot be used:", *faults))


def scan_manifest(path: pathlib.Path, *, is_growing: bool = False) -> Manifest:
    """Return the rows of a manifest and a list of its faults; content never raises.

    Args:
        path:       The CSV file.
        is_growing: Leave out a last line without end, which whoever writes the file is about to
                    finish or was killed before it could; else it is a fault.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = f"cannot be opened: {error.strerror or error}"
        return Manifest(path, (), (ManifestFault(None, reason),))
    try:
        text = (whole_lines(content) if is_growing else content).decode("utf-8-sig")
    except UnicodeDecodeError:
        fault = ManifestFault(None, "is not UTF-8; take the file as it was written")
        return Manifest(path, (), (fault,))
    rows, faults = _parse(text)
    if not text.endswith("\n"):
        message = "ends in the middle of a row; run the command that wrote it again"
        faults.append(ManifestFault(text.count("\n") + 1, message))
    numbered = [row for _, row in rows]
    faults.extend(_conflicts(rows))
    return Manifest(path, tuple(numbered), tuple(faults))


def validate_manifest(path: pathlib.Path, *, check_images: bool = True) -> Manifest:
    """Return the rows of a manifest and everything wrong with it and its images.

    Args:
        path:         The CSV file; images lie beside it, as `file_name` says.
        check_images: Whether images are opened and their pixels compared, not only looked for.
    """
    manifest = scan_manifest(path)
    faults = list(manifest.faults)
    for row in manifest.rows:
        if row.is_done and (wrong := _image_fault(path.parent, row, check_images)):
            faults.append(ManifestFault(None, wrong))
    return dataclasses.replace(manifest, faults=tuple(faults))


def _image_fault(folder: pathlib.Path, row: ManifestRow, check_pixels: bool) -> str:
    path = folder / row.file_name
    if not path.is_file():
        return f"the image {row.file_name} is missing; draw it again with the command of before"
    if not check_pixels:
        return ""
    try:
        image = load_rgb(path)
    except ImageReadError as error:
        return str(error)
    if image.size != (row.width_px, row.height_px):
        size = f"{image.width} x {image.height} px"
        return f"the image {row.file_name} is {size}, listed as {row.width_px} x {row.height_px}"
    if pixel_sha256(image) != row.pixel_sha256:
        return f"the image {row.file_name} has other pixels than when it was drawn"
    return ""


def _parse(text: str) -> tuple[list[tuple[int, ManifestRow]], list[ManifestFault]]:
    faults: list[ManifestFault] = []
    rows: list[tuple[int, ManifestRow]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            faults.append(ManifestFault(reader.line_num, f"cannot be read: {error}"))
            continue
        if not header:
            header = fields
            if wrong := _header_fault(header):
                return [], [ManifestFault(1, wrong)]
        elif len(fields) != len(header):
            message = f"has {len(fields)} fields, expected {len(header)}"
            faults.append(ManifestFault(reader.line_num, message))
        else:
            row, wrong_values = _row(dict(zip(header, fields, strict=True)))
            faults.extend(ManifestFault(reader.line_num, wrong) for wrong in wrong_values)
            if row is not None:
                rows.append((reader.line_num, row))
    return rows, faults if header else [ManifestFault(None, "is empty")]


def _header_fault(header: Sequence[str]) -> str:
    needed = (column.name for column in COLUMNS if column.filled != "sometimes")
    if lacking := [name for name in needed if name not in header]:
        return f"lacks the columns {', '.join(lacking)}"
    twice = sorted({name for name in header if header.count(name) > 1})
    return f"has columns twice: {', '.join(twice)}" if twice else ""


def _row(texts: dict[str, str]) -> tuple[ManifestRow | None, list[str]]:
    values: dict[str, Any] = {}
    wrong: list[str] = []
    is_done = texts["status"] == "done"
    for column in COLUMNS:
        text = texts.pop(column.name, "")
        try:
            values[column.name] = _value(column, text, is_done)
        except ValueError:
            shown = text if len(text) <= 60 else f"{text[:60]}..."
            wrong.append(f"{column.name} is {shown!r}, need a value of kind {column.kind!r}")
    if is_done and not _is_inside(str(values.get("file_name"))):
        wrong.append(f"file_name is {values.get('file_name')!r}, need a path inside the folder")
    return (None, wrong) if wrong else (ManifestRow(**values, carried=texts), [])


def _value(column: Column, text: str, is_done: bool) -> object:
    """Return the value of a field; raises ValueError where it has the wrong form."""
    if not text:
        if column.filled == "always" or (column.filled == "done" and is_done):
            raise ValueError
        return None if column.kind in ("whole", "number") else ""
    if column.kind == "whole" and _WHOLE.fullmatch(text):
        return int(text)
    if column.kind == "number" and math.isfinite(number := float(text)):
        return number
    if column.kind == "time":
        is_right = datetime.datetime.fromisoformat(text).utcoffset() == datetime.timedelta(0)
    else:
        is_right = {
            "text": True,
            "sha256": bool(_HEX_64.fullmatch(text)),
            "done or failed": text in ("done", "failed"),
            "rule": text in ("first_seed", "all"),
        }.get(column.kind, False)
    if not is_right:
        raise ValueError
    return text


def _is_inside(name: str) -> bool:
    path = pathlib.PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def _conflicts(rows: Sequence[tuple[int, ManifestRow]]) -> list[ManifestFault]:
    """Return where two rows claim the same thing or contradict each other."""
    faults: list[ManifestFault] = []
    claims: dict[tuple[object, ...], int] = {}
    facts: dict[tuple[str, str], tuple[str, int]] = {}
    for line, row in rows:
        for claim in (
            ("image_id", row.image_id),
            ("model, prompt and seed", row.model_id, row.prompt_id, row.seed),
            *([("file_name", row.file_name)] if row.is_done else []),
        ):
            if (first := claims.setdefault(claim, line)) != line:
                shown = ", ".join(map(str, claim[1:]))
                faults.append(ManifestFault(line, f"{claim[0]} {shown} stands in line {first} too"))
        for what, key, fact in (
            ("prompt", row.prompt_id, row.prompt),
            *([("weights_sha256", row.model_id, row.weights_sha256)] if row.is_done else []),
        ):
            known, first = facts.setdefault((what, key), (fact, line))
            if known != fact:
                message = f"{what} of {key} is another than in line {first}"
                faults.append(ManifestFault(line, message))
    return faults
