"""A CSV file that grows row by row and is whole at every moment, also after a kill."""

import csv
import io
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import IO

from data.whole_file import write_whole


class RowFile:
    """A CSV file in UTF-8: written anew as a whole, then grown by whole rows.

    Each row is one line, so that a row cut short by a kill or a lost disk is the last line without
    its end, and `whole_lines` leaves just that out.
    """

    def __init__(self, path: pathlib.Path, columns: Sequence[str]) -> None:
        """Names the file and its columns; nothing is written yet."""
        self._path = path
        self._columns = tuple(columns)
        self._file: IO[bytes] | None = None

    def rewrite(self, rows: Iterable[Sequence[str]]) -> None:
        """Replaces the file by the header and these rows, all of it or nothing.

        Raises:
            OSError: The file cannot be written; the one before is untouched.
        """
        self.close()  # Windows replaces no open file
        write_whole(self._path, b"".join(map(csv_line, (self._columns, *rows))))

    def append(self, row: Sequence[str]) -> None:
        """Adds one row, which is on the disk when this returns.

        Raises:
            OSError: The row cannot be written; the file is as it was before.
        """
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
        length_bytes = self._file.seek(0, os.SEEK_END)
        try:
            content = csv_line(row)
            if self._file.write(content) != len(content):  # what a full disk does at first
                raise OSError(28, os.strerror(28), str(self._path))
            os.fsync(self._file.fileno())
        except BaseException:
            self._file.truncate(length_bytes)
            raise

    def close(self) -> None:
        """Gives the file back; a later `append` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


def csv_line(fields: Sequence[str]) -> bytes:
    """Returns fields as one line of CSV; line breaks inside a field become spaces."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([" ".join(f.splitlines()) for f in fields])
    return buffer.getvalue().encode("utf-8", errors="replace")


def whole_lines(content: bytes) -> bytes:
    """Returns the content without a last line that lacks its end."""
    return content[: content.rfind(b"\n") + 1]
