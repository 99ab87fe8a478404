"""The look of figures that tell how a model does: colours, lettering, files.

Generated and real differ in fill, shape and line as well as in colour, so that a figure reads the
same in grey and to the colour-blind. Only matplotlib's objects are used: `pyplot` and its settings
belong to the whole process.
"""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

GENERATED = "#0072B2"  # of Okabe and Ito's palette
REAL = "#000000"
SOFT = "#4d4d4d"
GRID = "#d9d9d9"
BAND = "#dfe6ee"
TITLE_PT, HEADING_PT, BODY_PT, SMALL_PT = 14.0, 10.0, 8.5, 8.0
DPI = 150
LINE_IN = 1.32 / 72  # of a line, for each point of its letters


def write(figure: Any, x: float, y: float, text: str, size_pt: float = BODY_PT, **more: Any) -> Any:
    """Write text on a figure, as it stands: a dollar sign starts no formula.

    Args:
        figure: A matplotlib figure.
        x: From the left, in inches.
        y: From the top, in inches.
        text: One line.
        size_pt: Of the letters.
        more: As `Figure.text` takes it.
    """
    width, height = figure.get_size_inches()
    return figure.text(
        x / width, 1 - y / height, text, fontsize=size_pt, parse_math=False,
        **{"va": "baseline", "color": REAL} | more,
    )  # fmt: skip


@functools.lru_cache(maxsize=4096)
def text_width_in(text: str, size_pt: float = BODY_PT, *, is_bold: bool = False) -> float:
    """Return how wide a line of text is, in inches."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(weight="bold" if is_bold else "normal")))
    font.set_size(size_pt, 72)
    font.set_text(text, 0.0)
    return float(font.get_width_height()[0] / 64 / 72)


def shortened(
    text: str, width_in: float, size_pt: float = BODY_PT, *, is_bold: bool = False
) -> str:
    """Return the text, cut in the middle where it is wider than `width_in`."""

    def cut(kept: int) -> str:
        return f"{text[: (kept + 1) // 2]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - kept // 2 :]}"

    if text_width_in(text, size_pt, is_bold=is_bold) <= width_in:
        return text
    fitting = bisect.bisect_right(
        range(1, len(text)), width_in,
        key=lambda kept: text_width_in(cut(kept), size_pt, is_bold=is_bold),
    )  # fmt: skip
    return cut(max(1, fitting))


def wrapped(parts: list[str], width_in: float, size_pt: float, joint: str = " ") -> list[str]:
    """Return the parts as lines of at most `width_in`; a part is broken nowhere, but cut."""
    lines: list[str] = []
    for part in parts:
        told = shortened(part, width_in, size_pt)
        joined = f"{lines[-1]}{joint}{told}" if lines else told
        if lines and text_width_in(joined, size_pt) <= width_in:
            lines[-1] = joined
        else:
            lines.append(told)
    return lines


def plain(axes: Any, grid: str = "x") -> None:
    """Take the frame off axes, set their letters, and guide the eye along one direction."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=SOFT, linewidth=0.7)
    axes.tick_params(labelsize=SMALL_PT, width=0.7, length=3, color=SOFT, pad=2)
    axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def is_known(value: Any) -> bool:
    """Return whether a figure is there and a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def dot(
    axes: Any, value: Any, y: float, *, is_real: bool, ends: Sequence[float] | None = None
) -> None:
    """Mark a value, with its interval; nothing where it is unknown."""
    if not is_known(value):
        return
    colour = REAL if is_real else GENERATED
    if ends is not None and all(map(is_known, ends)):
        axes.plot(ends, [y, y], color=colour, linewidth=1.4, solid_capstyle="butt", zorder=3)
    axes.plot([value], [y], linestyle="none", marker="D" if is_real else "o",
              markersize=5 if is_real else 6.5, markerfacecolor="white" if is_real else colour,
              markeredgecolor=colour, markeredgewidth=1.2, zorder=4)  # fmt: skip


def rows(axes: Any, count: int) -> None:
    """Set axes for `count` rows, the first above; they have no ticks across."""
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def save(figure: Any, path: Path, title: str) -> None:
    """Write a figure as PNG or SVG, the same file for the same figure."""
    import matplotlib

    told = {"Title": title} | ({"Date": None} if path.suffix == ".svg" else {})
    with matplotlib.rc_context({"svg.hashsalt": "figure", "svg.fonttype": "path"}):
        figure.savefig(path, dpi=DPI, metadata=told, facecolor="white")
