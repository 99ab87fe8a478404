"""The sheet a figure is drawn on: millimetres from its upper left corner, title above, notes below.

It uses matplotlib's objects alone and sets every font and colour itself: `pyplot` and its settings
belong to the whole process.
"""

import dataclasses
import io
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image, PngImagePlugin

from ..statistics.finding import Settings
from .lettering import BODY, HEADING, SMALL, TITLE, font, line_mm, width_mm, wrapped
from .naming import marks, told_pilot
from .theme import Theme
from .vector import svg_of

COLUMN_MM: Final = 85.0  # a column of most journals
PAGE_MM: Final = 174.0
PNG_DPI: Final = 300
_EDGE_MM: Final = 2.0
COLUMN_ROOM_MM: Final = COLUMN_MM - 2 * _EDGE_MM
_GAP_MM: Final = 1.5


@dataclasses.dataclass(frozen=True, slots=True)
class Drawn:
    """A figure drawn, and what it says in words."""

    sheet: "Sheet"
    title: str
    alt_text: str

    def png(self) -> bytes:
        """Return it as PNG."""
        return self.sheet.png(self.title, self.alt_text)

    def svg(self) -> str:
        """Return it as SVG."""
        return self.sheet.svg(self.title, self.alt_text)


class Sheet:
    """A figure whose body is `width` by `body` mm; positions count from the body's upper left."""

    def __init__(
        self, theme: Theme, body_mm: float, title: str, *, subtitle: str = "",
        marks: Sequence[str] = (), notes: Sequence[str] = (), width_mm: float = COLUMN_MM,
    ) -> None:  # fmt: skip
        """Set the title and the notes, and make room for the body.

        Args:
            theme:    Colours.
            body_mm:  Height of the body.
            title:    Above, bold.
            subtitle: Below the title, plain.
            marks:    In frames above the title, such as "PILOT".
            notes:    Sentences below the body.
            width_mm: Of the body; the sheet is a little wider.
        """
        self.theme = theme
        self.width = width_mm - 2 * _EDGE_MM
        titles = wrapped(title, self.width, TITLE, is_bold=True)
        subtitles = wrapped(subtitle, self.width, BODY)
        told = wrapped(" ".join(note for note in notes if note), self.width, SMALL)
        head = _EDGE_MM + len(titles) * line_mm(TITLE) + len(subtitles) * line_mm(BODY) + _GAP_MM
        head += line_mm(BODY) + 2 * _GAP_MM if marks else 0.0
        foot = len(told) * line_mm(SMALL) + (_GAP_MM if told else 0.0) + _EDGE_MM
        height = head + body_mm + foot
        self.canvas = Canvas(
            figsize=(width_mm / 25.4, height / 25.4), dpi=PNG_DPI,
            facecolor=theme.ground, edgecolor="none",
        )  # fmt: skip
        self.canvas.set_layout_engine("none")
        self._size = (width_mm, height)
        self.start = 0.0  # of positions across, in mm: where a column starts
        self._head = head
        self.page = self.canvas.add_axes((0, 0, 1, 1))
        self.page.set_axis_off()
        self.page.set(
            xlim=(-_EDGE_MM, width_mm - _EDGE_MM), ylim=(height - head, -head), autoscale_on=False
        )
        y = -head + _EDGE_MM
        if marks:
            self._marks(marks, y)
            y += line_mm(BODY) + 2 * _GAP_MM
        y = self.lines(0, y, titles, size=TITLE, is_bold=True)
        self.lines(0, y, subtitles, colour=theme.soft)
        self.lines(0, body_mm + _GAP_MM, told, size=SMALL, colour=theme.soft)

    def _marks(self, marks: Sequence[str], y: float) -> None:
        x = 0.25
        for mark in marks:
            wide = width_mm(mark, BODY, is_bold=True) + 2.4
            self.box(x, y, wide, line_mm(BODY) + 1, edge=self.theme.ink)
            self.text(
                x + wide / 2, y + line_mm(BODY) / 2 + 0.5, mark, is_bold=True, across="center"
            )
            x += wide + 2

    def text(
        self, x: float, y: float, text: str, *, size: float = BODY, is_bold: bool = False,
        colour: str = "", across: str = "left", down: str = "center_baseline", angle: float = 0,
    ) -> None:  # fmt: skip
        """Write one line, drawable as it is.

        Args:
            x:       In mm.
            y:       In mm.
            text:    See `lettering.drawable`.
            size:    In points.
            is_bold: Bold in place of regular.
            colour:  The ink where none is given.
            across:  "left", "center" or "right" of the text lies at x.
            down:    Which of its heights lies at y, as matplotlib names them.
            angle:   In degrees, anticlockwise.
        """
        if text:
            self.page.text(
                self.start + x, y, text, fontproperties=font(size, is_bold=is_bold), ha=across,
                va=down, color=colour or self.theme.ink, rotation=angle, rotation_mode="anchor",
                parse_math=False, clip_on=False, zorder=5,
            )  # fmt: skip

    def lines(
        self, x: float, y: float, lines: Sequence[str], *, size: float = BODY,
        is_bold: bool = False, colour: str = "", across: str = "left",
    ) -> float:  # fmt: skip
        """Write lines below y and return where the next would start."""
        for line in lines:
            y += line_mm(size)
            self.text(
                x, y - 0.27 * line_mm(size), line, size=size, is_bold=is_bold, colour=colour,
                across=across, down="baseline",
            )  # fmt: skip
        return y

    def box(
        self, x: float, y: float, wide: float, high: float, *, fill: str = "none",
        edge: str = "none", line_pt: float = 0.5, hatch: str = "",
    ) -> None:  # fmt: skip
        """Draw a rectangle from its upper left corner."""
        self.page.add_artist(
            Rectangle(
                (self.start + x, y), wide, high, facecolor=fill, edgecolor=edge, linewidth=line_pt,
                hatch=hatch or None, hatchcolor=self.theme.edge, hatch_linewidth=0.4, zorder=2,
                clip_on=False,
            )
        )  # fmt: skip

    def line(
        self, xs: Sequence[float], ys: Sequence[float], *, colour: str = "", line_pt: float = 0.5,
        dashes: Literal["-"] | tuple[float, tuple[float, ...]] = "-", order: float = 3.0,
    ) -> None:  # fmt: skip
        """Draw a line through points in mm."""
        self.page.add_artist(
            Line2D(
                [self.start + x for x in xs], ys, color=colour or self.theme.ink,
                linewidth=line_pt, linestyle=dashes, solid_capstyle="butt",
                dash_capstyle="butt", zorder=order, clip_on=False,
            )
        )  # fmt: skip

    def point(
        self, x: float, y: float, *, marker: str = "o", size_pt: float = 4.5, fill: str = "",
        edge: str = "",
    ) -> None:  # fmt: skip
        """Draw a marker."""
        self.page.add_artist(
            Line2D(
                [self.start + x], [y], linestyle="none", marker=marker, markersize=size_pt,
                zorder=4,
                markerfacecolor=fill or self.theme.accent,
                markeredgecolor=edge or self.theme.accent, markeredgewidth=0.9, clip_on=False,
            )
        )  # fmt: skip

    def axes(self, x: float, y: float, wide: float, high: float) -> Axes:
        """Return axes within a rectangle, without ticks yet."""
        width, height = self._size
        axes = self.canvas.add_axes(
            (
                (self.start + x + _EDGE_MM) / width, 1 - (y + self._head + high) / height,
                wide / width, high / height,
            ),
            facecolor="none",
        )  # fmt: skip
        axes.set_autoscale_on(False)
        for spine in axes.spines.values():
            spine.set(color=self.theme.soft, linewidth=0.5)
        axes.grid(visible=False)
        for side in (axes.xaxis, axes.yaxis):
            side.set_ticks([])
            side.set_ticks([], minor=True)
        return axes

    def ticks(self, side: Any, places: Sequence[float], labels: Sequence[str]) -> None:
        """Set the ticks of an axis (`axes.xaxis`) and their labels, with lines across."""
        side.set_ticks(list(places), labels=list(labels))
        side.set_tick_params(
            length=2, width=0.5, pad=1.5, color=self.theme.soft, direction="out", which="major"
        )
        for label in side.get_ticklabels():
            label.set(fontproperties=font(SMALL), color=self.theme.ink, parse_math=False)
        side.grid(visible=True, color=self.theme.grid, linewidth=0.4, linestyle="-")
        side.axes.set_axisbelow(True)

    def png(self, title: str, alt_text: str) -> bytes:
        """Return the sheet as PNG of `PNG_DPI`, with what it says in words."""
        self.canvas.set_dpi(PNG_DPI)
        agg: Any = FigureCanvasAgg(self.canvas)
        agg.draw()
        told = PngImagePlugin.PngInfo()
        told.add_itxt("Title", title)
        told.add_itxt("Description", alt_text)
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(agg.buffer_rgba())).convert("RGB").save(
            buffer, format="PNG", dpi=(PNG_DPI, PNG_DPI), pnginfo=told
        )
        return buffer.getvalue()

    def svg(self, title: str, alt_text: str) -> str:
        """Return the sheet as SVG."""
        return svg_of(self.canvas, title, alt_text, PNG_DPI)


def heading_lines(text: str, room_mm: float) -> tuple[str, ...]:
    """Return the heading of a part of a figure as lines."""
    return wrapped(text, room_mm, HEADING, is_bold=True, most_lines=3)


def message(theme: Theme, title: str, sentence: str, settings: Settings) -> Drawn:
    """Return a figure that says in words why there is nothing to draw."""
    lines = wrapped(sentence, COLUMN_ROOM_MM - 8, BODY)
    high = len(lines) * line_mm(BODY) + 8
    sheet = Sheet(theme, high, title, marks=marks(settings))
    sheet.box(0.2, 0, sheet.width - 0.4, high, edge=theme.grid)
    sheet.lines(4, 4, lines)
    return Drawn(sheet, title, told_pilot(settings, f"{title}. {sentence}"))
