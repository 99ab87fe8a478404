"""Writing a table: the exact file (RFC 4180, LF), and beside it the copy for Excel."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Final

from rating.results.cells import Row
from rating.results.column import Column
from rating.results.spreadsheet import ENCODING, SpreadsheetWriter

EXCEL_FOLDER: Final = "excel"
_ROWS_AT_ONCE: Final = 500

Write = Callable[[Iterable[Row]], None]


class _LineFeeds:
    """Takes the lines of a CSV writer that end with CR LF and ends them with LF.

    Only with CR LF as the end of its lines does `csv` quote every text that holds a CR.
    """

    def __init__(self, file: IO[str]) -> None:
        self._write = file.write

    def write(self, line: str) -> None:
        self._write(f"{line[:-2]}\n")


@contextmanager
def table_file(
    folder: Path, name: str, columns: Sequence[Column], *, has_excel: bool
) -> Iterator[Write]:
    """Give a function that appends rows to a new table; at the end it is on disk.

    Args:
        folder:    With a folder `excel` in it where `has_excel`.
        name:      Of the file.
        columns:   The header.
        has_excel: Whether a copy for Excel is written.
    """
    with ExitStack() as stack:
        file = stack.enter_context(_on_disk(folder / name, "utf-8"))
        writer = csv.writer(_LineFeeds(file), lineterminator="\r\n")
        writer.writerow([column.name for column in columns])
        spreadsheet = None
        if has_excel:
            copy = stack.enter_context(_on_disk(folder / EXCEL_FOLDER / name, ENCODING))
            spreadsheet = SpreadsheetWriter(copy, columns)

        def write(rows: Iterable[Row]) -> None:
            remaining = iter(rows)
            while chunk := list(islice(remaining, _ROWS_AT_ONCE)):
                writer.writerows(chunk)
                if spreadsheet is not None:
                    spreadsheet.write(chunk)

        yield write


@contextmanager
def _on_disk(path: Path, encoding: str) -> Iterator[IO[str]]:
    with path.open("w", encoding=encoding, newline="") as file:
        yield file
        # A full disk may be told only when the file is synced.
        file.flush()
        os.fsync(file.fileno())
