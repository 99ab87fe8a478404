"""What was preferred side by side: the ability of each arm with its interval."""

from typing import Final

from ..statistics.finding import Settings
from ..statistics.formatting import number, percent
from ..statistics.preference import ArmPreference, Preference, Preferences
from ..statistics.strengths import FEW_BOTH, FEW_PROMPTS, FEW_RATERS
from .columns import in_columns
from .intervals import BESIDE_MM, Block, Row, draw_block
from .lettering import BODY, SMALL, drawable, wrapped
from .naming import (
    THESE_PROMPTS,
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

TITLE: Final = "Preference by arm"


def draw(found: Preferences | None, settings: Settings, theme: Theme) -> Drawn:
    """Return the figure; a sentence in its place where no ability can be estimated.

    Args:
        found:    See `preference.preferences`.
        settings: Of the analysis.
        theme:    Colours.
    """
    questions = () if found is None else found.questions
    if all(arm.ability.value is None for one in questions for arm in one.arms):
        reasons = list(dict.fromkeys(arm.ability.note for one in questions for arm in one.arms))
        told = " ".join(["No preference can be estimated.", *reasons[:2]])
        return message(theme, TITLE, told.strip(), settings)
    blocks = [_block(one, settings) for one in questions if one.arms]
    places = in_columns([block.height_mm for block in blocks])
    reference = arm_names(settings)[settings.reference_arm]
    sheet = Sheet(
        theme, places.body_mm, TITLE, width_mm=places.width_mm,
        subtitle=f"Ability (log strength) of each arm against {reference}",
        marks=marks(settings, *_limits(questions)),
        notes=(*_notes(questions, settings), *name_notes(settings)),
    )  # fmt: skip
    for block, (x, y) in zip(blocks, places.corners, strict=True):
        sheet.start = x
        draw_block(sheet, block, y)
    return Drawn(sheet, TITLE, told_pilot(settings, _alt_text(questions, settings)))


def _limits(questions: tuple[Preference, ...]) -> tuple[str, ...]:
    """Return what the intervals do not generalise beyond."""
    told = {one.note for one in questions}
    return (
        *((THESE_RATERS,) if told & {FEW_RATERS, FEW_BOTH} else ()),
        *((THESE_PROMPTS,) if told & {FEW_PROMPTS, FEW_BOTH} else ()),
    )


def _block(one: Preference, settings: Settings) -> Block:
    based_on = one.n
    if one.no_preference:
        based_on += f"; {one.no_preference} without preference, left out"
    return Block(
        heading_lines(drawable(one.question), COLUMN_ROOM_MM),
        wrapped(based_on, COLUMN_ROOM_MM, SMALL),
        tuple(_row(arm, one, settings) for arm in one.arms),
        ends=("\N{LEFTWARDS ARROW} less preferred", "more preferred \N{RIGHTWARDS ARROW}"),
    )


def _row(arm: ArmPreference, one: Preference, settings: Settings) -> Row:
    name = arm_names(settings)[arm.arm]
    ability = arm.ability
    is_reference = arm.arm == one.reference_arm
    room = COLUMN_ROOM_MM - 2 if ability.value is None else BESIDE_MM
    ends = None
    if ability.low is not None and ability.high is not None and not is_reference:
        ends = (ability.low, ability.high)
    lines = _told(arm, is_reference=is_reference)
    return Row(
        wrapped(name, COLUMN_ROOM_MM, BODY, most_lines=3), (),
        tuple(part for line in lines for part in wrapped(line, room, SMALL)),
        ability.value, ends, is_full=not is_reference,
    )  # fmt: skip


def _told(arm: ArmPreference, *, is_reference: bool) -> tuple[str, ...]:
    """Return what stands beside the ability of an arm."""
    chosen = f"chosen {arm.chosen} of {arm.shown}"
    if arm.ability.value is None:
        return (arm.ability.note, chosen)
    if is_reference:
        return ("reference", chosen)
    lines = [f"{signed(arm.ability.value)} ({between(arm.ability.low, arm.ability.high)})"]
    if arm.p is not None:
        is_holm = arm.p_holm is not None
        p = told_p(arm.p_holm if is_holm else arm.p)
        lines.append(f"{p} {'after Holm' if is_holm else 'not corrected'}")
    return (*lines, chosen)


def _notes(questions: tuple[Preference, ...], settings: Settings) -> tuple[str, ...]:
    methods = dict.fromkeys(one.method for one in questions if one.method)
    caveats = dict.fromkeys(one.note for one in questions if one.note)
    plan = () if settings.has_plan else ("No analysis plan was fixed: all is exploratory.",)
    return (
        f"Lines: {percent(1 - settings.alpha)} intervals, not adjusted.",
        *(f"{method.rstrip('.')}." for method in methods), *caveats, *plan,
    )  # fmt: skip


def _alt_text(questions: tuple[Preference, ...], settings: Settings) -> str:
    names = told_names(settings)
    told = [f"{TITLE}, as abilities against {names[settings.reference_arm]} with intervals."]
    for one in questions:
        for arm in one.arms:
            parts = ", ".join(_told(arm, is_reference=arm.arm == one.reference_arm))
            chance = arm.probability.value
            share = "" if chance is None else f", preferred with chance {number(chance)}"
            told.append(f"{one.question}, {names[arm.arm]}: {parts}{share}.")
    told += dict.fromkeys(one.note for one in questions if one.note)
    return " ".join(told)
