"""Copies of tables for Excel: a byte order mark, and no cell that becomes a formula or a date.

A spreadsheet takes a text that begins with = + - or @ as a formula and carries it out; remarks,
prompts and names come from many hands. The canonical file stays exact, so it cannot be both.
"""

import csv
import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import IO, Final

from rating.results.cells import Row
from rating.results.column import Column

ENCODING: Final = "utf-8-sig"
MOST_ROWS: Final = 1_048_576  # that Excel shows, its header included
MARK: Final = "'"

# What a spreadsheet may take for an operator: also full-width, small, raised and lowered forms.
OPERATORS: Final = (
    "=+-@"
    "\uff1d\uff0b\uff0d\uff20"
    "\ufe66\ufe62\ufe63\ufe6b"
    "\u207c\u207a\u207b\u208c\u208a\u208b\u2212\ufb29"
)
_BREAKS: Final = "\t\r\n"
# White space, control and invisible signs, which may be passed over before an operator.
_BLANK: Final = (
    r"[\s\x00-\x20\x7f-\xa0\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u205f-\u206f\ufeff"
    r"\ufff9-\ufffb]"
)
_OPERATOR: Final = f"[{re.escape(OPERATORS)}]"
# Read with semicolons as separators, as in countries with a decimal comma, a cell of ours may be
# taken apart at a semicolon or a line break within it, and its rest becomes a cell of its own.
_RISKY: Final = re.compile(
    rf"\A(?=[{_BREAKS}]|{_BLANK}*{_OPERATOR})|(?<=[;{_BREAKS}])(?={_BLANK}*[\"']*{_OPERATOR})"
)
_LIKE_DATE: Final = re.compile(
    r"\d{1,4}[-/]\d{1,2}([-/]\d{1,4})?|\d{1,2}\.\d{1,2}\.\d{2,4}", re.ASCII
)


@functools.lru_cache(maxsize=65_536)
def neutral(text: str) -> str:
    """Return a text with an apostrophe wherever it would become a formula or a date."""
    if _LIKE_DATE.fullmatch(text):
        return f"{MARK}{text}"
    return _RISKY.sub(MARK, text)


def is_operator(sign: str) -> bool:
    """Return whether a sign stands for an operator in any of its forms."""
    return unicodedata.normalize("NFKC", sign) in set("=+-@\u2212")


class SpreadsheetWriter:
    """Writes rows of a table for Excel: only texts are neutralised, numbers stay numbers."""

    def __init__(self, file: IO[str], columns: Sequence[Column]) -> None:
        """Write the header; `file` is opened with `ENCODING` and newline=""."""
        self._writer = csv.writer(file, lineterminator="\r\n")
        self._texts = tuple(
            place for place, column in enumerate(columns) if column.type == "text"
        )
        self._writer.writerow([neutral(column.name) for column in columns])

    def write(self, rows: Iterable[Row]) -> None:
        """Write rows."""
        self._writer.writerows(map(self._neutral, rows))

    def _neutral(self, row: Row) -> list[str]:
        cells = list(row)
        for place in self._texts:
            cells[place] = neutral(cells[place])
        return cells
