"""The planned contrasts with their intervals, the equivalence margin shaded."""

from collections.abc import Sequence
from typing import Final

from ..statistics.contrast import Contrast
from ..statistics.finding import Settings
from ..statistics.formatting import percent
from .columns import in_columns
from .intervals import BESIDE_MM, Block, Row, draw_block
from .lettering import BODY, SMALL, drawable, wrapped
from .naming import (
    THESE_RATERS,
    arm_names,
    between,
    marks,
    name_notes,
    signed,
    told_names,
    told_p,
    told_pilot,
)
from .sheet import COLUMN_ROOM_MM, Drawn, Sheet, heading_lines, message
from .theme import Theme

TITLE: Final = "Differences of mean scores between arms"


def draw(contrasts: Sequence[Contrast], settings: Settings, theme: Theme) -> Drawn:
    """Return the figure; a sentence in its place where no difference can be estimated.

    Args:
        contrasts: See `comparison.contrasts`.
        settings:  Of the analysis.
        theme:     Colours.
    """
    if all(one.finding.value is None for one in contrasts):
        reasons = list(dict.fromkeys(one.finding.note for one in contrasts if one.finding.note))
        told = " ".join(["No difference of arms can be estimated.", *reasons[:3]])
        return message(theme, TITLE, told, settings)
    blocks = _blocks(contrasts, settings)
    is_fixed = any(one.is_fixed_raters for one in contrasts)
    places = in_columns([block.height_mm for block in blocks])
    reference = arm_names(settings)[settings.reference_arm]
    sheet = Sheet(
        theme, places.body_mm, TITLE, width_mm=places.width_mm,
        subtitle=f"Each arm minus {reference}, in points of the scale",
        marks=marks(settings, *((THESE_RATERS,) if is_fixed else ())),
        notes=(*_notes(contrasts, settings), *name_notes(settings)),
    )  # fmt: skip
    for block, (x, y) in zip(blocks, places.corners, strict=True):
        sheet.start = x
        draw_block(sheet, block, y)
    return Drawn(sheet, TITLE, told_pilot(settings, _alt_text(contrasts, settings)))


def _blocks(contrasts: Sequence[Contrast], settings: Settings) -> tuple[Block, ...]:
    blocks = []
    for code in dict.fromkeys(one.question for one in contrasts):
        asked = [one for one in contrasts if one.question == code]
        bases = dict.fromkeys(one.finding.n for one in asked if one.finding.n)
        based_on = next(iter(bases)) if len(bases) == 1 else ""
        role = " (primary)" if code == settings.primary_question else ""
        role = role if settings.has_plan else f"{role} (exploratory)"
        margins = [one.equivalence.margin for one in asked if one.equivalence]
        blocks.append(
            Block(
                heading_lines(drawable(code) + role, COLUMN_ROOM_MM),
                wrapped(based_on, COLUMN_ROOM_MM, SMALL),
                _rows(asked, settings, based_on),
                margins[0] if margins else None,
            )
        )
    return tuple(blocks)


def _rows(asked: Sequence[Contrast], settings: Settings, based_on: str) -> tuple[Row, ...]:
    notes = {one.finding.note for one in asked}
    if len(notes) == 1 and all(one.finding.value is None for one in asked):
        told = f"No difference can be estimated. {notes.pop()}"
        return (Row((), (), wrapped(told, COLUMN_ROOM_MM - 2, SMALL), None),)
    return tuple(_row(one, settings, "" if based_on else one.finding.n) for one in asked)


def _row(one: Contrast, settings: Settings, based_on: str) -> Row:
    names = arm_names(settings)
    name = f"{names[one.arm]} \N{MINUS SIGN} {names[one.reference]}"
    finding, equivalence = one.finding, one.equivalence
    room = COLUMN_ROOM_MM - 2 if finding.value is None else BESIDE_MM
    ends = None
    if finding.low is not None and finding.high is not None:
        ends = (finding.low, finding.high)
    return Row(
        wrapped(name, COLUMN_ROOM_MM, BODY, most_lines=3),
        wrapped(based_on, COLUMN_ROOM_MM, SMALL),
        tuple(line for told in _told(one) for line in wrapped(told, room, SMALL)),
        finding.value, ends,
        (equivalence.low90, equivalence.high90) if equivalence else None,
        is_full=one.is_in_family,
    )  # fmt: skip


def _told(one: Contrast) -> tuple[str, ...]:
    """Return what a contrast says: the figure, p, equivalence."""
    finding = one.finding
    if finding.value is None:
        return (finding.note,)
    lines = [f"{signed(finding.value)} ({between(finding.low, finding.high)})"]
    if one.p is not None:
        is_holm = one.is_in_family and one.p_holm is not None
        p = told_p(one.p_holm if is_holm else one.p)
        lines.append(f"{p} {'after Holm' if is_holm else 'not corrected'}")
    elif finding.note:
        lines.append(finding.note.rstrip("."))
    if one.equivalence:
        is_shown = one.equivalence.is_equivalent
        lines.append("equivalent" if is_shown else "equivalence not shown")
    return tuple(lines)


def _notes(contrasts: Sequence[Contrast], settings: Settings) -> tuple[str, ...]:
    level = percent(1 - settings.alpha)
    notes = [f"Lines: {level} intervals, not adjusted."]
    margins = [one.equivalence.margin for one in contrasts if one.equivalence]
    if margins:
        narrow = percent(1 - 2 * settings.alpha)
        notes.append(
            f"Thick: {narrow} intervals; shaded: margin of equivalence "
            f"\N{PLUS-MINUS SIGN}{margins[0]:g}."
        )
    if any(one.is_in_family for one in contrasts):
        notes.append("Squares: planned family, p after Holm's correction.")
    if any(not one.is_in_family for one in contrasts):
        notes.append("Open circles: outside the family.")
    if any(one.is_fixed_raters for one in contrasts):
        notes.append("Fewer than five raters: nothing here generalises to other raters.")
    if not settings.has_plan:
        notes.append("No analysis plan was fixed before the study opened: all is exploratory.")
    return tuple(notes)


def _alt_text(contrasts: Sequence[Contrast], settings: Settings) -> str:
    names = told_names(settings)
    told = [f"{TITLE}, with {percent(1 - settings.alpha)} intervals."]
    for one in contrasts:
        pair = f"{one.question}, {names[one.arm]} minus {names[one.reference]}"
        if one.finding.value is None:
            told.append(f"{pair}: not estimated. {one.finding.note}")
        else:
            told.append(f"{pair}: {', '.join(_told(one))}.")
    if any(one.is_fixed_raters for one in contrasts):
        told.append("These raters only: nothing here generalises to other raters.")
    return " ".join(told)
