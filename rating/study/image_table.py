"""The CSV that says what the images of a folder or a ZIP file are: columns, rows and faults."""

import csv
import dataclasses
import io
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from rating.study.offered import SELECTION_RULES

# Other names are those of the tables that this software writes itself.
COLUMN_NAMES: Final = {
    "filename": ("filename", "file_name", "file"),
    "arm": ("arm", "model_id"),
    "prompt": ("prompt", "text", "caption"),
    "prompt_id": ("prompt_id",),
    "role": ("role",),
    "selection_rule": ("selection_rule",),
    "candidates": ("candidates",),
    "expected": ("expected",),
}
SEPARATORS: Final = (",", ";", "\t")
ROLES: Final = ("main", "practice", "check")
MOST_BYTES: Final = 8 * 2**20
MOST_ROWS: Final = 20_000
_LONGEST: Final = {"arm": 64, "prompt": 4000, "prompt_id": 64}
_EXPECTED: Final = re.compile(r"([A-Za-z]\w{0,39})=(\d{1,2}(?:/\d{1,2})*)")


@dataclasses.dataclass(frozen=True, slots=True)
class ImageRow:
    """What one row says of one image; texts are "" and `candidates` is None where it says nothing.

    `further` holds the fields of all columns that have no meaning here, such as the seed.
    """

    line: int
    filename: str
    arm: str
    prompt: str
    prompt_id: str
    role: str
    selection_rule: str
    candidates: int | None
    expected: dict[str, list[int]] | None
    further: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class ImageTable:
    """The rows of a CSV, and everything wrong with it."""

    rows: tuple[ImageRow, ...]
    faults: tuple[str, ...]


def read_image_table(content: bytes, name: str) -> ImageTable:
    """Return the rows and faults of a CSV; content never raises.

    Args:
        content: UTF-8 with or without byte order mark; fields separated by commas, semicolons or
                 tabs; a header with `filename`, in any order and letter case.
        name:    Of the file, for messages.
    """
    if len(content) > MOST_BYTES:
        return ImageTable((), (f"{name} has {len(content)} bytes, allowed are {MOST_BYTES}.",))
    try:
        text = _decoded(content)
    except ValueError as error:
        return ImageTable((), (f"{name}{error}; save it as CSV in UTF-8.",))
    lines = io.StringIO(text, newline="")
    skipped = 0
    first_line = lines.readline()
    if re.fullmatch(r"sep=.\s*", first_line):  # how spreadsheets are told the separator
        first_line, skipped = lines.readline(), 1
    found = _header(first_line)
    if isinstance(found, str):
        return ImageTable((), (f"{name}: {found}",))
    separator, header, places = found
    reader = csv.reader(lines, delimiter=separator, strict=True)
    return _rows(reader, name, header, places, skipped + 1)


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        byte = content[error.start]
        raise ValueError(f", line {line}: byte 0x{byte:02x} is not UTF-8") from error
    if "\0" in text:
        raise ValueError(f", line {text[: text.index(chr(0))].count(chr(10)) + 1}: has zero bytes")
    return text


def _header(line: str) -> tuple[str, list[str], dict[str, int]] | str:
    """Return the separator, the names and where each known column is; or what is wrong."""
    for separator in SEPARATORS:
        try:
            fields = next(csv.reader([line], delimiter=separator, strict=True), [])
        except csv.Error:
            continue
        names = [field.strip().lower() for field in fields]
        if not set(COLUMN_NAMES["filename"]) & set(names):
            continue
        if twice := sorted({name for name in names if name and names.count(name) > 1}):
            return f"has columns twice: {', '.join(twice)}."
        places = {}
        for column, spellings in COLUMN_NAMES.items():
            spelt = next((each for each in spellings if each in names), None)
            if spelt is not None:
                places[column] = names.index(spelt)
        return separator, names, places
    shown = line.strip()[:120]
    return (
        f"its first line is {shown!r}, but it must name the columns, with at least filename, arm "
        "and prompt, separated by commas, semicolons or tabs."
    )


def _rows(
    reader: Any, name: str, header: list[str], places: Mapping[str, int], skipped: int
) -> ImageTable:
    rows: list[ImageRow] = []
    faults: list[str] = []
    is_of_manifest = "status" in header
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            faults.append(f"{name}, line {reader.line_num + skipped}: cannot be read: {error}.")
            continue
        where = f"{name}, line {reader.line_num + skipped}"
        if not any(field.strip() for field in fields):
            continue
        if len(rows) == MOST_ROWS:
            faults.append(f"{where}: has more rows than {MOST_ROWS}.")
            break
        if len(fields) != len(header):
            faults.append(
                f"{where}: has {len(fields)} fields, the first line {len(header)}; put texts that "
                "contain the separator in quotes."
            )
            continue
        if is_of_manifest and fields[header.index("status")] == "failed":
            continue
        row, wrong = _row(reader.line_num + skipped, fields, header, places)
        faults.extend(f"{where}: {each}" for each in wrong)
        rows.append(row)
    if not rows and not faults:
        faults.append(f"{name} has no rows under its first line.")
    return ImageTable(tuple(rows), tuple(faults))


def _row(
    line: int, fields: list[str], header: list[str], places: Mapping[str, int]
) -> tuple[ImageRow, list[str]]:
    texts = {column: fields[at].strip() for column, at in places.items()}
    wrong: list[str] = []
    if not texts["filename"]:
        wrong.append("the filename is empty.")
    for column, longest in _LONGEST.items():
        if (length := len(texts.get(column, ""))) > longest:
            wrong.append(f"{column} has {length} characters, allowed are {longest}.")
    values: dict[str, object] = {}
    for column, parse in _PARSERS.items():
        try:
            values[column] = parse(texts.get(column, ""))
        except ValueError as error:
            wrong.append(f"{column} is {texts[column][:60]!r}, {error}.")
            values[column] = parse("")
    taken = set(places.values())
    further = {
        column: fields[at]
        for at, column in enumerate(header)
        if column and at not in taken and fields[at].strip()
    }
    row = ImageRow(
        line=line,
        filename=texts["filename"],
        arm=texts.get("arm", ""),
        prompt=texts.get("prompt", ""),
        prompt_id=texts.get("prompt_id", ""),
        further=further,
        **values,  # type: ignore[arg-type]  # each parser returns the type of its field
    )
    return row, wrong


def _role(text: str) -> str:
    if text and text.lower() not in ROLES:
        raise ValueError(f"allowed are {', '.join(ROLES)}")
    return text.lower()


def _selection_rule(text: str) -> str:
    rule = text.lower().replace(" ", "_").replace("-", "_")
    if rule and rule not in SELECTION_RULES:
        raise ValueError(f"allowed are {', '.join(SELECTION_RULES)}")
    return rule


def _candidates(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < 1:
        raise ValueError("need a number of images, 1 or more")
    return int(text)


def _expected(text: str) -> dict[str, list[int]] | None:
    parts = text.split()
    if not parts:
        return None
    found: dict[str, list[int]] = {}
    for part in parts:
        match = _EXPECTED.fullmatch(part)
        if match is None or match[1] in found:
            raise ValueError("need accepted answers such as origin=5/6 or origin=6 realism=1")
        found[match[1]] = sorted({int(value) for value in match[2].split("/")})
    return found


_PARSERS: Final[dict[str, Callable[[str], object]]] = {
    "role": _role,
    "selection_rule": _selection_rule,
    "candidates": _candidates,
    "expected": _expected,
}
