"""What the command line prints: tables that fit 80 columns, JSON, and parsers with short errors."""

import argparse
import dataclasses
import datetime
import json
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any, Final, NoReturn

WIDTH: Final = 80
LEAST_COLUMN: Final = 8


class Parser(argparse.ArgumentParser):
    """A parser that answers wrong arguments with one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and end with the status 2."""
        self.exit(2, f"error: {message} (see `{self.prog} --help`)\n")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows in columns, at most 80 wide: the widest column is cut where they do not fit."""
    cells = [[_shown(value) for value in row] for row in (header, *rows)]
    widths = [max(_width(row[column]) for row in cells) for column in range(len(header))]
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH and max(widths) > LEAST_COLUMN:
        widths[widths.index(max(widths))] -= 1
    is_number = [
        bool(rows) and all(isinstance(row[column], int | float) for row in rows)
        for column in range(len(header))
    ]
    lines = []
    for row in cells:
        parts = [
            _padded(cell, width, right)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def print_json(value: object) -> None:
    """Print a value, dataclasses and moments included, as JSON."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, default=_plain)
    print()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON.")


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime.datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M")
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _width(text: str) -> int:
    return sum(_letter_width(letter) for letter in text)


def _letter_width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _padded(text: str, width: int, is_right: bool) -> str:
    if _width(text) > width:
        while _width(text) > width - 3:
            text = text[:-1]
        text += "..."
    space = " " * (width - _width(text))
    return space + text if is_right else text + space
