"""Agreement of every two raters: kappa below the diagonal, how much both judged above it."""

import statistics
from collections.abc import Sequence
from typing import Final

from ..statistics.agreement import Agreement, PairAgreement
from ..statistics.finding import Settings
from ..statistics.formatting import counted, number
from .lettering import SMALL, drawable, width_mm, wrapped
from .naming import marks, signed, told_pilot
from .sheet import COLUMN_MM, COLUMN_ROOM_MM, PAGE_MM, Drawn, Sheet, message
from .theme import Theme, heat_colour, on

TITLE: Final = "Agreement of every two raters"
_MOST_IN_COLUMN: Final = 10
_LARGEST_CELL_MM: Final = 9.0
_CODE_MM: Final = 16.0
_NUMBER_MM: Final = 6.0  # a cell this wide holds "0.52"
_KEY_MM: Final = 8.0
_BELOW: Final = "////"


def draw(agreement: Agreement, settings: Settings, theme: Theme) -> Drawn:
    """Return the heat map of the primary question; a sentence where there are no pairs.

    Args:
        agreement: See `agreement.agreement_findings`.
        settings:  Of the analysis.
        theme:     Colours.
    """
    question = settings.primary_question
    pairs = [pair for pair in agreement.pairs if pair.question == question]
    known = [pair.finding.value for pair in pairs if pair.finding.value is not None]
    if not known:
        reasons = " ".join(dict.fromkeys(pair.finding.note for pair in pairs))
        told = reasons or "No two raters have judged the same."
        return message(theme, TITLE, f"There is no kappa of two raters. {told}".strip(), settings)
    codes = sorted({code for pair in pairs for code in (pair.first, pair.second)})
    is_wide = len(codes) > _MOST_IN_COLUMN
    shown = [wrapped(code, _CODE_MM, SMALL, most_lines=1)[0] for code in codes]
    left = max(width_mm(code, SMALL) for code in shown) + 1.5
    room = (PAGE_MM - COLUMN_MM if is_wide else 0.0) + COLUMN_ROOM_MM - left
    cell = min(room / len(codes), _LARGEST_CELL_MM)
    median = statistics.median(known)
    method = next(pair.finding.method for pair in pairs if pair.finding.value is not None)
    told = (
        f"{question}: median {signed(median)} ({signed(min(known))} to {signed(max(known))}) of "
        f"{counted(len(known), 'pair')}"
    )
    sheet = Sheet(
        theme, left + cell * len(codes) + 4 + _KEY_MM, TITLE, subtitle=drawable(told),
        marks=marks(settings), notes=_notes(pairs, method, cell),
        width_mm=PAGE_MM if is_wide else COLUMN_MM,
    )  # fmt: skip
    _draw_codes(sheet, shown, left, cell)
    _draw_cells(sheet, pairs, codes, left, cell)
    _draw_key(sheet, left + cell * len(codes) + 4)
    return Drawn(sheet, TITLE, told_pilot(settings, _alt_text(question, pairs, known)))


def _draw_codes(sheet: Sheet, codes: Sequence[str], left: float, cell: float) -> None:
    step = 1 if cell >= 2.4 else int(2.4 / cell) + 1
    for index, code in enumerate(codes):
        if index % step == 0:
            middle = left + (index + 0.5) * cell
            sheet.text(left - 1, middle, code, size=SMALL, across="right")
            sheet.text(middle, left - 1, code, size=SMALL, angle=90)


def _draw_cells(
    sheet: Sheet, pairs: Sequence[PairAgreement], codes: Sequence[str], left: float, cell: float
) -> None:
    place = {code: index for index, code in enumerate(codes)}
    has_numbers = cell >= _NUMBER_MM
    for index in range(len(codes)):
        corner = left + index * cell
        sheet.box(corner, corner, cell, cell, fill=sheet.theme.grid)
    for pair in pairs:
        first, second = sorted((place[pair.first], place[pair.second]))
        x, y = left + first * cell, left + second * cell
        value = pair.finding.value
        fill = "none" if value is None else heat_colour(value)
        is_below = value is not None and value < 0
        sheet.box(
            x, y, cell, cell, fill=fill, edge=sheet.theme.grid, line_pt=0.4,
            hatch=_BELOW if is_below and not has_numbers else "",
        )  # fmt: skip
        if has_numbers:
            told = "-" if value is None else signed(value)
            colour = sheet.theme.soft if value is None else on(fill)
            sheet.text(
                x + cell / 2, y + cell / 2, told, size=SMALL, across="center", colour=colour
            )
            sheet.text(
                y + cell / 2, x + cell / 2, pair.finding.n, size=SMALL, across="center",
                colour=sheet.theme.soft,
            )  # fmt: skip


def _draw_key(sheet: Sheet, y: float) -> None:
    """Draw what colours mean, from 0 and below to 1."""
    wide = 4.6
    for index in range(11):
        share = index / 10
        sheet.box(
            index * wide, y, wide, 2.6, fill=heat_colour(share), edge=sheet.theme.edge, line_pt=0.3
        )
        if index % 2 == 0:
            label = "\N{LESS-THAN OR EQUAL TO} 0" if not index else number(share, 1)
            sheet.text((index + 0.5) * wide, y + 4.6, label, size=SMALL, across="center")
    sheet.text(11 * wide + 1.5, y + 1.3, "kappa", size=SMALL, colour=sheet.theme.soft)


def _shared(pairs: Sequence[PairAgreement]) -> str:
    """Return how much two raters have both judged: "60" or "12 to 60"."""
    counts = sorted({int(pair.finding.n) for pair in pairs if pair.finding.n.isdigit()})
    if not counts:
        return "unknown"
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _notes(pairs: Sequence[PairAgreement], method: str, cell: float) -> tuple[str, ...]:
    notes = [f"{method}."]
    if cell >= _NUMBER_MM:
        notes.append("Above the diagonal: how many both have judged.")
    else:
        notes.append(f"Both have judged {_shared(pairs)}.")
        if any((pair.finding.value or 0) < 0 for pair in pairs):
            notes.append("Hatched: below 0.")
    missing = list(dict.fromkeys(p.finding.note for p in pairs if p.finding.value is None))
    if missing:
        sign = "-" if cell >= _NUMBER_MM else "Empty"
        notes.append(f"{sign}: no kappa. {' '.join(missing)}")
    return tuple(notes)


def _alt_text(
    question: str, pairs: Sequence[PairAgreement], known: Sequence[float]
) -> str:
    lowest = min(
        (pair for pair in pairs if pair.finding.value is not None),
        key=lambda pair: pair.finding.value or 0.0,
    )
    return (
        f"Heat map of kappa for {counted(len(known), 'pair')} of raters on {question}: median "
        f"{signed(statistics.median(known))}, from {signed(min(known))} ({lowest.first} and "
        f"{lowest.second}) to {signed(max(known))}; both have judged {_shared(pairs)}."
    )
