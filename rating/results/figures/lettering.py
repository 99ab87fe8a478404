"""Text on figures: what the font can draw, how wide it gets and where it breaks into lines."""

import functools
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

POINT_MM: Final = 25.4 / 72
LEADING: Final = 1.22
SMALL, BODY, HEADING, TITLE = 6.0, 6.5, 7.0, 8.0
# Named in SVG; Verdana has the widths of DejaVu Sans, which was drawn after it.
FAMILIES: Final = "'DejaVu Sans', Verdana, Arial, sans-serif"
_NO_GLYPH: Final = "\N{WHITE SQUARE}"
_ELLIPSIS: Final = "\N{HORIZONTAL ELLIPSIS}"


def font(size: float, *, is_bold: bool = False) -> "FontProperties":
    """Return DejaVu Sans as it comes with matplotlib, whatever else is installed.

    Args:
        size:    In points.
        is_bold: Bold in place of regular.
    """
    from matplotlib.font_manager import FontProperties

    return FontProperties(
        fname=str(_font_file(is_bold)), size=size, weight="bold" if is_bold else "normal"
    )


def is_drawable(text: str) -> bool:
    """Return whether the font has every character of a text."""
    return all(ord(character) in _glyphs() for character in one_line(text))


def drawable(text: str) -> str:
    """Return a text on one line with a square for each character that the font lacks."""
    return "".join(
        character if ord(character) in _glyphs() else _NO_GLYPH for character in one_line(text)
    )


@functools.lru_cache(maxsize=8192)
def width_mm(text: str, size: float, *, is_bold: bool = False) -> float:
    """Return how wide a drawable text gets.

    Args:
        text:    On one line.
        size:    In points.
        is_bold: As drawn.
    """
    from matplotlib.textpath import text_to_path

    if not text:
        return 0.0
    width, _, _ = text_to_path.get_text_width_height_descent(
        text, font(size, is_bold=is_bold), ismath=False
    )
    return float(width) * POINT_MM


def line_mm(size: float) -> float:
    """Return the distance of two lines of text."""
    return size * LEADING * POINT_MM


def wrapped(
    text: str, room_mm: float, size: float, *, is_bold: bool = False, most_lines: int = 99
) -> tuple[str, ...]:
    """Return a text broken into lines; words too long are cut, lines too many end in an ellipsis.

    Args:
        text:       Any; made drawable.
        room_mm:    Width of a line.
        size:       In points.
        is_bold:    As drawn.
        most_lines: 1 or more.
    """
    lines: list[str] = []
    line = ""
    for word in _words(drawable(text), room_mm, size, is_bold):
        longer = f"{line} {word}" if line else word
        if line and width_mm(longer, size, is_bold=is_bold) > room_mm:
            lines.append(line)
            line = word
        else:
            line = longer
    lines = [*lines, line] if line else lines
    if len(lines) <= most_lines:
        return tuple(lines)
    last = lines[most_lines - 1]
    while last and width_mm(last + _ELLIPSIS, size, is_bold=is_bold) > room_mm:
        last = last[:-1]
    return (*lines[: most_lines - 1], last.rstrip() + _ELLIPSIS)


def _words(text: str, room_mm: float, size: float, is_bold: bool) -> list[str]:
    words = []
    for word in text.split():
        rest = word
        while width_mm(rest, size, is_bold=is_bold) > room_mm and len(rest) > 1:
            cut = len(rest) - 1
            while cut > 1 and width_mm(rest[:cut], size, is_bold=is_bold) > room_mm:
                cut -= 1
            words.append(rest[:cut])
            rest = rest[cut:]
        words.append(rest)
    return words


def one_line(text: str) -> str:
    """Return a text without line breaks and control characters, spaces single."""
    kept = (
        " " if character.isspace() or unicodedata.category(character) == "Cc" else character
        for character in text
    )
    return " ".join("".join(kept).split())


@functools.cache
def _glyphs() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    regular, bold = (FT2Font(str(_font_file(is_bold))).get_charmap() for is_bold in (False, True))
    return frozenset(regular) & frozenset(bold)


def _font_file(is_bold: bool) -> Path:
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if is_bold else "DejaVuSans.ttf"
    return Path(matplotlib.get_data_path(), "fonts", "ttf", name)
