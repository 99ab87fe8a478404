"""CSV files of datasets: one scan that collects every fault, one strict reading on top."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterator, Sequence
from typing import Literal

from data.errors import DatasetTableError

TableFaultCode = Literal["unreadable-table", "encoding", "separator", "columns", "row"]

_SEPARATORS = (",", ";", "\t", "|")


@dataclasses.dataclass(frozen=True, slots=True)
class TableFault:
    """One thing wrong with a table; `line` counts from 1, None where no line is to blame."""

    code: TableFaultCode
    line: int | None
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class TableRow:
    """One row: `values` by the expected column names, `line` where it ends in the file."""

    line: int
    values: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """What could be read of a table, and what could not."""

    path: pathlib.Path
    rows: tuple[TableRow, ...]
    faults: tuple[TableFault, ...]


def scan_table(
    path: pathlib.Path,
    columns: Sequence[str],
    *,
    separator: str = ",",
    optional: Sequence[str] = (),
) -> Table:
    """Return the rows of a CSV file with a list of its faults; content never raises.

    Args:
        path:      A UTF-8 file, with or without byte order mark.
        columns:   Names that the header must have, in any order and letter case.
        separator: One character between fields.
        optional:  Further names that are read where the header has them.
    """
    faults: list[TableFault] = []
    try:
        content = path.read_bytes()
    except OSError as error:
        fault = TableFault("unreadable-table", None, f"cannot be opened: {error.strerror}")
        return Table(path, (), (fault,))
    text = _decode(content, faults)
    found = _header_separator(text, columns)
    if found is None:
        header = text.split("\n", 1)[0].strip()[:120]
        message = f"header {header!r} lacks the columns {separator.join(columns)}"
        faults.append(TableFault("columns", 1, message))
        return Table(path, (), tuple(faults))
    if found != separator:
        message = f"fields are separated by {found!r}, expected {separator!r}"
        faults.append(TableFault("separator", 1, message))
    rows = tuple(_rows(text, found, (*columns, *optional), faults))
    return Table(path, rows, tuple(faults))


def read_table(
    path: pathlib.Path,
    columns: Sequence[str],
    *,
    separator: str = ",",
    optional: Sequence[str] = (),
) -> tuple[TableRow, ...]:
    """Return the rows of a CSV file without faults; arguments as for `scan_table`.

    Raises:
        DatasetTableError: If the file has any fault.
    """
    table = scan_table(path, columns, separator=separator, optional=optional)
    if table.faults:
        fault = table.faults[0]
        line = "" if fault.line is None else f", line {fault.line}"
        raise DatasetTableError(
            f"{path}{line}: {fault.message} ({len(table.faults)} faults in this file). "
            f"See them all with: python -m data validate {path.parent}"
        )
    return table.rows


def _decode(content: bytes, faults: list[TableFault]) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        for number, line in enumerate(content.split(b"\n"), start=1):
            try:
                line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                message = f"byte 0x{line[error.start]:02x} is not UTF-8; save the file as UTF-8"
                faults.append(TableFault("encoding", number, message))
        text = content.decode("utf-8-sig", errors="replace")
    if "\0" in text:
        line_number = text[: text.index("\0")].count("\n") + 1
        message = "contains zero bytes (UTF-16?); save the file as UTF-8"
        faults.append(TableFault("encoding", line_number, message))
        text = text.replace("\0", "")
    return text


def _header_separator(text: str, columns: Sequence[str]) -> str | None:
    wanted = {column.lower() for column in columns}
    first_line = io.StringIO(text).readline()
    for separator in _SEPARATORS:
        header = next(csv.reader([first_line], delimiter=separator), [])
        if wanted <= {name.strip().lower() for name in header}:
            return separator
    return None


def _rows(
    text: str, separator: str, columns: Sequence[str], faults: list[TableFault]
) -> Iterator[TableRow]:
    # Strict: a quote left open is a fault instead of one field that swallows the rest.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header = [name.strip().lower() for name in next(reader)]
    index = {name: header.index(name.lower()) for name in columns if name.lower() in header}
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.append(TableFault("row", reader.line_num, f"cannot be read: {error}"))
            continue
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(header):
            message = f"has {len(fields)} fields, expected {len(header)}"
            faults.append(TableFault("row", reader.line_num, message))
            continue
        yield TableRow(reader.line_num, {name: fields[at] for name, at in index.items()})
