"""Stacked bars of the answers to each labelled question, one bar an arm, split at the middle."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from ..statistics.descriptive import Description
from ..statistics.finding import Scale, Settings
from ..statistics.formatting import counted, number
from .columns import in_columns
from .lettering import BODY, HEADING, SMALL, line_mm, width_mm, wrapped
from .naming import arm_names, marks, name_notes, point_name, question_name, told_names, told_pilot
from .sheet import COLUMN_ROOM_MM, Drawn, Sheet, heading_lines, message
from .theme import Theme, on, scale_colours

TITLE: Final = "Answers by arm and question"
ALL_PICTURES: Final = "all pictures"
_LABEL_MM: Final = 21.0
_COUNT_MM: Final = 12.0  # of "117 + 3"
_BAR_MM: Final = 4.2
_ROW_GAP_MM: Final = 1.6
_KEY_MM: Final = 2.6


@dataclasses.dataclass(frozen=True, slots=True)
class _Row:
    """A bar: shares of the answers in percent, from the lowest point up."""

    name: str
    lines: tuple[str, ...]
    counts: tuple[int, ...]
    cannot_judge: int

    @property
    def answers(self) -> int:
        return sum(self.counts)

    @property
    def left(self) -> float:
        """How far it reaches to the left of the middle, in percent."""
        half = len(self.counts) // 2
        middle = self.counts[half] / 2 if len(self.counts) % 2 else 0.0
        return 100 * (sum(self.counts[:half]) + middle) / max(1, self.answers)

    @property
    def right(self) -> float:
        """How far to the right."""
        return 100 - self.left if self.answers else 0.0

    @property
    def above(self) -> float:
        """Share of answers above the middle of the scale, in percent."""
        return 100 * sum(self.counts[(len(self.counts) + 1) // 2 :]) / max(1, self.answers)


@dataclasses.dataclass(frozen=True, slots=True)
class _Block:
    """A question with its bars."""

    scale: Scale
    heading: tuple[str, ...]
    key: tuple[tuple[tuple[str, float], ...], ...]  # lines of names, each with its place in mm
    rows: tuple[_Row, ...]
    is_above: bool

    def row_mm(self, row: _Row) -> float:
        labels = len(row.lines) * line_mm(BODY)
        high = labels + _BAR_MM if self.is_above else max(labels, _BAR_MM)
        return high + _ROW_GAP_MM

    @property
    def height_mm(self) -> float:
        rows = sum(self.row_mm(row) for row in self.rows)
        key = len(self.key) * (_KEY_MM + 0.9)
        return len(self.heading) * line_mm(HEADING) + key + 3.2 + rows + 4.4


def draw(descriptions: Sequence[Description], settings: Settings, theme: Theme) -> Drawn:
    """Return the figure; a sentence in its place where there are no answers.

    Args:
        descriptions: See `descriptive.descriptives`.
        settings:     Of the analysis.
        theme:        Colours.
    """
    blocks = _blocks(descriptions, settings)
    if not any(row.answers for block in blocks for row in block.rows):
        told = "There are no answers to a labelled question to draw."
        return message(theme, TITLE, told, settings)
    places = in_columns([block.height_mm for block in blocks])
    sheet = Sheet(
        theme, places.body_mm, TITLE, width_mm=places.width_mm,
        marks=marks(settings), notes=(*_notes(blocks), *name_notes(settings)),
    )  # fmt: skip
    reach = _reach(blocks)
    for block, (x, y) in zip(blocks, places.corners, strict=True):
        sheet.start = x
        _draw_block(sheet, block, y, reach)
    return Drawn(sheet, TITLE, told_pilot(settings, _alt_text(blocks)))


def _blocks(descriptions: Sequence[Description], settings: Settings) -> tuple[_Block, ...]:
    names = arm_names(settings) | {"": ALL_PICTURES}
    in_words = told_names(settings) | {"": ALL_PICTURES}
    short = all(
        len(wrapped(names[one.arm], _LABEL_MM, BODY)) <= 2 for one in descriptions
    )
    blocks = []
    for scale in settings.scales:
        rows = tuple(
            _Row(
                in_words[one.arm],
                wrapped(names[one.arm], _LABEL_MM if short else COLUMN_ROOM_MM, BODY, most_lines=2),
                one.counts, one.cannot_judge,
            )
            for one in descriptions
            if one.question == scale.code
        )  # fmt: skip
        if rows:
            heading = heading_lines(question_name(scale), COLUMN_ROOM_MM)
            key = _key([point_name(scale, index) for index in range(len(rows[0].counts))])
            blocks.append(_Block(scale, heading, key, rows, is_above=not short))
    return tuple(blocks)


def _key(names: Sequence[str]) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Return the names of points in lines, each with the place where its patch starts."""
    widest = COLUMN_ROOM_MM - _KEY_MM - 3
    fitting = [wrapped(name, widest, SMALL, most_lines=1)[0] for name in names]
    found = _key_lines(fitting, COLUMN_ROOM_MM)
    room = COLUMN_ROOM_MM
    while len(narrower := _key_lines(fitting, room - 4)) == len(found) and room > 8:
        room, found = room - 4, narrower
    return found


def _key_lines(
    names: Sequence[str], room_mm: float
) -> tuple[tuple[tuple[str, float], ...], ...]:
    lines: list[list[tuple[str, float]]] = [[]]
    x = 0.0
    for name in names:
        wide = _KEY_MM + 0.8 + width_mm(name, SMALL)
        if lines[-1] and x + wide > room_mm:
            lines.append([])
            x = 0.0
        lines[-1].append((name, x))
        x += wide + 1.8
    return tuple(tuple(line) for line in lines)


def _reach(blocks: Sequence[_Block]) -> tuple[float, float]:
    """Return how far the axis goes to the left and right, in percent."""
    rows = [row for block in blocks for row in block.rows]
    return max(25.0, *(row.left for row in rows)), max(25.0, *(row.right for row in rows))


def _draw_block(
    sheet: Sheet, block: _Block, y: float, reach: tuple[float, float]
) -> None:
    y = sheet.lines(0, y, block.heading, size=HEADING, is_bold=True) + 0.6
    colours = scale_colours(len(block.rows[0].counts))
    named = iter(colours)
    for line in block.key:
        for name, x in line:
            sheet.box(x, y, _KEY_MM, _KEY_MM, fill=next(named), edge=sheet.theme.edge)
            sheet.text(x + _KEY_MM + 0.8, y + _KEY_MM / 2, name, size=SMALL)
        y += _KEY_MM + 0.9
    left = 2.5 if block.is_above else _LABEL_MM + 1.5
    room = COLUMN_ROOM_MM - left - _COUNT_MM
    unit = room / sum(reach)
    middle = left + reach[0] * unit
    sheet.text(COLUMN_ROOM_MM, y + 1.6, "n", size=SMALL, across="right", colour=sheet.theme.soft)
    y += 3.2
    for row in block.rows:
        high = block.row_mm(row) - _ROW_GAP_MM
        if block.is_above:
            bar = sheet.lines(0, y, row.lines)
        else:
            sheet.lines(0, y + (high - len(row.lines) * line_mm(BODY)) / 2, row.lines)
            bar = y + (high - _BAR_MM) / 2
        # Below the bars, so that it crosses no number.
        sheet.line([middle] * 2, [bar - 0.7, bar + _BAR_MM + 0.7], line_pt=0.7, order=1)
        _draw_bar(sheet, row, middle, bar, unit, colours)
        y += block.row_mm(row)
    _draw_axis(sheet, middle, y, reach, unit)


def _draw_bar(
    sheet: Sheet, row: _Row, middle: float, y: float, unit: float, colours: Sequence[str]
) -> None:
    if not row.answers:
        sheet.text(middle + 1, y + _BAR_MM / 2, "no answers", size=SMALL, colour=sheet.theme.soft)
    x = middle - row.left * unit
    for count, colour in zip(row.counts, colours, strict=True):
        wide = 100 * count / max(1, row.answers) * unit
        if count:
            sheet.box(x, y, wide, _BAR_MM, fill=colour, edge=sheet.theme.edge, line_pt=0.4)
        if count and width_mm(str(count), SMALL) + 0.6 <= wide:
            sheet.text(
                x + wide / 2, y + _BAR_MM / 2, str(count), size=SMALL, across="center",
                colour=on(colour),
            )  # fmt: skip
        x += wide
    told = str(row.answers) + (f" + {row.cannot_judge}" if row.cannot_judge else "")
    sheet.text(COLUMN_ROOM_MM, y + _BAR_MM / 2, told, size=SMALL, across="right")


def _draw_axis(
    sheet: Sheet, middle: float, y: float, reach: tuple[float, float], unit: float
) -> None:
    left, right = middle - reach[0] * unit, middle + reach[1] * unit
    sheet.line([left, right], [y, y], colour=sheet.theme.soft)
    step = 50 if sum(reach) > 125 else 25
    for share in range(-100, 101, step):
        if -reach[0] - 0.01 <= share <= reach[1] + 0.01:
            x = middle + share * unit
            sheet.line([x, x], [y, y + 0.8], colour=sheet.theme.soft)
            sheet.text(x, y + 2.4, str(abs(share)), size=SMALL, across="center")
    sheet.text(COLUMN_ROOM_MM, y + 2.4, "%", size=SMALL, across="right", colour=sheet.theme.soft)


def _notes(blocks: Sequence[_Block]) -> tuple[str, ...]:
    notes = [
        "Share of answers below (left) and above the middle of the scale, in percent. Numbers in "
        "bars are counts of answers, where they fit; n is their sum."
    ]
    if any(row.cannot_judge for block in blocks for row in block.rows):
        notes.append("Behind the plus sign: 'cannot judge', not drawn.")
    if any(len(row.counts) % 2 for block in blocks for row in block.rows):
        notes.append("A middle point lies half on either side.")
    return tuple(notes)


def _alt_text(blocks: Sequence[_Block]) -> str:
    told = [f"{TITLE}, as stacked bars."]
    for block in blocks:
        parts = []
        for row in block.rows:
            if not row.answers:
                parts.append(f"{row.name} no answers")
                continue
            counts = ", ".join(str(count) for count in row.counts)
            parts.append(
                f"{row.name} {number(row.above, 0)} % above the middle of the scale "
                f"({counted(row.answers, 'answer')}, from the lowest point up {counts})"
            )
        told.append(f"{block.scale.code}: {'; '.join(parts)}.")
    return " ".join(told)
