"""Where the panels of a page go: two columns of what is there, and no hole for what is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msdm_core.evaluation.figure_style import HEADING_PT, SMALL_PT, SOFT, shortened, write

PAGE_IN = 10.0
EDGE_IN = 0.38
GAP_IN = 0.25
BETWEEN_IN = 0.4  # columns
HEAD_IN = 0.42
ROOM_IN = PAGE_IN - 2 * EDGE_IN


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of a page, in inches from its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def axes(self, figure: Any, left: float, top: float, right: float, bottom: float) -> Any:
        """Return axes within the rectangle, so far from its edges, in inches."""
        width, height = figure.get_size_inches()
        inner = self.height - top - bottom
        return figure.add_axes((
            (self.x + left) / width, 1 - (self.y + top + inner) / height,
            (self.width - left - right) / width, inner / height,
        ))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of the page.

    Attributes:
        title: What it shows.
        note: How to read it, one line.
        body_in: Height without title.
        draw: Draws it into a box of that height or more.
        is_wide: Takes the whole width.
        is_elastic: May be higher than `body_in`.
    """

    title: str
    note: str
    body_in: float
    draw: Callable[[Any, Box], None]
    is_wide: bool = False
    is_elastic: bool = False


def placed(panels: Sequence[Panel], top: float) -> tuple[list[tuple[Panel, Box]], float]:
    """Return each panel with the box of its body, and where the last one ends.

    Panels that are not wide fill two columns, each the column that is shorter; one alone between
    wide ones takes the whole width. Columns that end together end at the same height.
    """
    found: list[tuple[Panel, Box]] = []
    waiting: list[Panel] = []
    for panel in (*panels, None):
        if panel is not None and not panel.is_wide:
            waiting.append(panel)
            continue
        boxes, top = _columns(waiting, top)
        found += boxes
        waiting = []
        if panel is not None:
            found.append((panel, Box(EDGE_IN, top + HEAD_IN, ROOM_IN, panel.body_in)))
            top += HEAD_IN + panel.body_in + GAP_IN
    return found, top - GAP_IN


def _columns(panels: Sequence[Panel], top: float) -> tuple[list[tuple[Panel, Box]], float]:
    if not panels:
        return [], top
    count = min(2, len(panels))
    width = (ROOM_IN - (count - 1) * BETWEEN_IN) / count
    ends = [top] * count
    last = [-1] * count
    found: list[tuple[Panel, Box]] = []
    for panel in panels:
        column = ends.index(min(ends))
        x = EDGE_IN + column * (width + BETWEEN_IN)
        last[column] = len(found)
        found.append((panel, Box(x, ends[column] + HEAD_IN, width, panel.body_in)))
        ends[column] += HEAD_IN + panel.body_in + GAP_IN
    for column, index in enumerate(last):
        panel, box = found[index]
        if panel.is_elastic:
            taller = box.height + max(ends) - ends[column]
            found[index] = panel, replace(box, height=taller)
    return found, max(ends)


def draw_panels(figure: Any, boxes: Sequence[tuple[Panel, Box]]) -> None:
    """Draw panels into their boxes, each with a letter, its title and its note above."""
    for number, (panel, box) in enumerate(boxes):
        letter = chr(ord("A") + number % 26)
        y = box.y - HEAD_IN
        write(figure, box.x, y + 0.13, letter, HEADING_PT, fontweight="bold")
        room = box.width - 0.2
        title = shortened(panel.title, room, HEADING_PT, is_bold=True)
        write(figure, box.x + 0.2, y + 0.13, title, HEADING_PT, fontweight="bold")
        note = shortened(panel.note, room, SMALL_PT)
        write(figure, box.x + 0.2, y + 0.3, note, SMALL_PT, color=SOFT)
        panel.draw(figure, box)
