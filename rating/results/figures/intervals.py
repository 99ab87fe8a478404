"""Estimates with their intervals in rows: the name above, the interval left, the figures right."""

import dataclasses
import math
from collections.abc import Callable
from typing import Final

from .lettering import BODY, HEADING, SMALL, line_mm, width_mm
from .naming import signed
from .sheet import COLUMN_ROOM_MM, Sheet

PLOT_MM: Final = 43.0
BESIDE_MM: Final = COLUMN_ROOM_MM - PLOT_MM - 3.0
_LEAST_MM: Final = 6.4
_GAP_MM: Final = 1.8
_AXIS_MM: Final = 7.4
_MOST_TICKS: Final = 6

Ends = tuple[float, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """An estimate.

    Args:
        name:     Lines above it.
        based_on: Lines below the name.
        told:     Lines beside it, or in its place where there is no value.
        value:    None where it is missing.
        ends:     Of the interval; None without one.
        inner:    Ends of a narrower interval drawn thick; None without one.
        is_full:  A filled square in place of an open circle.
    """

    name: tuple[str, ...]
    based_on: tuple[str, ...]
    told: tuple[str, ...]
    value: float | None
    ends: Ends | None = None
    inner: Ends | None = None
    is_full: bool = True

    @property
    def head_mm(self) -> float:
        """Height of the lines above the interval."""
        return len(self.name) * line_mm(BODY) + len(self.based_on) * line_mm(SMALL)

    @property
    def height_mm(self) -> float:
        """Height of it all, with the gap below."""
        beside = len(self.told) * line_mm(SMALL)
        least = 0.0 if self.value is None else _LEAST_MM
        return self.head_mm + max(least, beside) + _GAP_MM


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Estimates on one axis.

    Args:
        heading: Lines above, bold.
        told:    Lines below the heading.
        rows:    Estimates.
        margin:  Shaded from -margin to margin; None for no shade.
        ends:    What stands at the left and the right end below the axis.
    """

    heading: tuple[str, ...]
    told: tuple[str, ...]
    rows: tuple[Row, ...]
    margin: float | None = None
    ends: tuple[str, str] = ("\N{LEFTWARDS ARROW} lower", "higher \N{RIGHTWARDS ARROW}")

    @property
    def has_axis(self) -> bool:
        """Whether there is anything to draw."""
        return any(row.value is not None for row in self.rows)

    @property
    def height_mm(self) -> float:
        """Height of heading, rows and axis."""
        axis = _AXIS_MM if self.has_axis else 0.0
        head = len(self.heading) * line_mm(HEADING) + len(self.told) * line_mm(SMALL) + 1
        return head + sum(row.height_mm for row in self.rows) + axis

    def limits(self) -> Ends:
        """Return the ends of the axis: all intervals, zero and the margin, with some air."""
        values = [0.0]
        for row in self.rows:
            values += [] if row.value is None else [row.value]
            values += [*(row.ends or ()), *(row.inner or ())]
        if self.margin is not None:
            values += [-self.margin, self.margin]
        low, high = min(values), max(values)
        air = 0.08 * max(high - low, 0.5)
        return low - air, high + air


def draw_block(sheet: Sheet, block: Block, y: float) -> None:
    """Draw estimates on their axis.

    Args:
        sheet: To draw on.
        block: The estimates.
        y:     Of its upper edge, in mm.
    """
    y = sheet.lines(0, y, block.heading, size=HEADING, is_bold=True)
    y = sheet.lines(0, y, block.told, size=SMALL, colour=sheet.theme.soft) + 1
    low, high = block.limits()

    def place(value: float) -> float:
        return (value - low) * PLOT_MM / (high - low)

    for index, row in enumerate(block.rows):
        end = y + row.height_mm
        below = sheet.lines(0, y, row.name)
        sheet.lines(0, below, row.based_on, size=SMALL, colour=sheet.theme.soft)
        top = y + row.head_mm
        if row.value is None:
            sheet.lines(2, top, row.told, size=SMALL, colour=sheet.theme.soft)
        else:
            bottom = end - (0.0 if index == len(block.rows) - 1 else 1.0)
            _draw_ground(sheet, block.margin, place, top, bottom)
            middle = (top + end - _GAP_MM) / 2
            _draw_interval(sheet, row, place, middle)
            beside = middle - len(row.told) * line_mm(SMALL) / 2
            sheet.lines(COLUMN_ROOM_MM - BESIDE_MM, beside, row.told, size=SMALL)
        y = end
    if block.has_axis:
        _draw_axis(sheet, block, place, y)


def _draw_ground(
    sheet: Sheet, margin: float | None, place: Callable[[float], float], top: float, bottom: float
) -> None:
    if margin is not None:
        left, right = place(-margin), place(margin)
        sheet.box(left, top, right - left, bottom - top, fill=sheet.theme.band)
        for x in (left, right):
            sheet.line([x, x], [top, bottom], dashes=(0, (2, 2)), colour=sheet.theme.soft)
    sheet.line([place(0)] * 2, [top, bottom], line_pt=0.7)


def _draw_interval(sheet: Sheet, row: Row, place: Callable[[float], float], y: float) -> None:
    colour = sheet.theme.accent
    if row.ends:
        ends = [place(end) for end in row.ends]
        sheet.line(ends, [y, y], colour=colour, line_pt=1.0)
        for end in ends:
            sheet.line([end, end], [y - 0.8, y + 0.8], colour=colour, line_pt=1.0)
    if row.inner:
        sheet.line([place(end) for end in row.inner], [y, y], colour=colour, line_pt=2.8)
    sheet.point(
        place(row.value or 0.0), y, marker="s" if row.is_full else "o", size_pt=5,
        fill=colour if row.is_full else sheet.theme.ground, edge=colour,
    )  # fmt: skip


def _draw_axis(sheet: Sheet, block: Block, place: Callable[[float], float], y: float) -> None:
    low, high = block.limits()
    soft = sheet.theme.soft
    sheet.line([0, PLOT_MM], [y, y], colour=soft)
    step = tick_step(high - low, _MOST_TICKS)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        x, label = place(index * step), signed(index * step, decimals)
        sheet.line([x, x], [y, y + 0.8], colour=soft)
        if x >= width_mm(label, SMALL) / 2 - 1:
            sheet.text(x, y + 2.4, label, size=SMALL, across="center")
    left, right = block.ends
    sheet.text(0, y + 5.4, left, size=SMALL, colour=soft)
    sheet.text(PLOT_MM, y + 5.4, right, size=SMALL, across="right", colour=soft)


def tick_step(span: float, most: int) -> float:
    """Return a round distance of ticks: 1, 2 or 5 times a power of ten, about `most` at most."""
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * part for part in (1, 2, 5, 10) if power * part >= rough - 1e-12)
