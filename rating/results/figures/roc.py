"""Real or synthetic: the curve of each synthetic arm against the real images."""

import dataclasses
from collections.abc import Sequence
from typing import Final

import pandas as pd

from ..statistics.detection import POOLED, Detections, roc_points
from ..statistics.finding import Finding, Settings
from ..statistics.formatting import counted, percent
from .lettering import BODY, SMALL, line_mm, wrapped
from .naming import (
    THESE_RATERS,
    arm_names,
    between,
    marks,
    name_notes,
    signed,
    told_names,
    told_pilot,
)
from .sheet import COLUMN_MM, COLUMN_ROOM_MM, PAGE_MM, Drawn, Sheet, message
from .theme import Theme

TITLE: Final = "Real or synthetic, each arm against real"
_LEFT_MM: Final = 9.0
_GAP_MM: Final = 5.0
_SIDE_MM: Final = (COLUMN_ROOM_MM - _LEFT_MM - _GAP_MM - 1) / 2
_MOST_IN_COLUMN: Final = 4
_ONLY_MM: Final = 52.0
_BELOW_MM: Final = 8.0
_TICKS: Final = (0.0, 0.5, 1.0)

Points = tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Curve:
    """The curves of an arm.

    Args:
        name:   Of the arm, within what the font can draw.
        label:  Of the arm, in descriptions.
        area:   Under the curve, mean of the raters.
        pooled: Mean of the raters' false and true positive rates, from (0, 0) on.
        raters: Those of each rater.
    """

    name: str
    label: str
    area: Finding
    pooled: Points
    raters: tuple[Points, ...]


def draw(
    detection: Detections | None, ratings: pd.DataFrame, settings: Settings, theme: Theme
) -> Drawn:
    """Return the figure; a sentence in its place where there are no curves.

    Args:
        detection: See `detection.detections`.
        ratings:   See `tables.read_ratings`.
        settings:  Of the analysis.
        theme:     Colours.
    """
    detection = detection or Detections()
    curves = _curves(detection, ratings, settings)
    if not curves:
        return message(theme, TITLE, _why_none(detection), settings)
    is_fixed = any(one.is_fixed_raters for one in detection.pooled)
    side = _ONLY_MM if len(curves) == 1 else _SIDE_MM
    abreast = 2 if len(curves) <= _MOST_IN_COLUMN else 4
    rows = [curves[index : index + abreast] for index in range(0, len(curves), abreast)]
    names = [
        [wrapped(one.name, side, BODY, is_bold=True, most_lines=4) for one in row] for row in rows
    ]
    heads = [
        max(len(lines) for lines in row) * line_mm(BODY) + 2 * line_mm(SMALL) + 1 for row in names
    ]
    sheet = Sheet(
        theme, sum(heads) + len(rows) * (side + _BELOW_MM) + 2, TITLE,
        width_mm=COLUMN_MM if abreast == 2 else PAGE_MM,
        marks=marks(settings, *((THESE_RATERS,) if is_fixed else ())),
        notes=(*_notes(settings), _missing(detection, settings, curves), *name_notes(settings)),
    )  # fmt: skip
    y = 0.0
    for row, titles, head in zip(rows, names, heads, strict=True):
        for index, (one, lines) in enumerate(zip(row, titles, strict=True)):
            x = _LEFT_MM + index * (_SIDE_MM + _GAP_MM)
            below = head - len(lines) * line_mm(BODY) - 2 * line_mm(SMALL) - 1
            below = sheet.lines(x, y + below, lines, is_bold=True)
            sheet.lines(x, below, _told(one.area), size=SMALL)
            _draw_curves(sheet, one, x, y + head, side, has_left=not index)
        y += head + side + _BELOW_MM
    last = side + (len(rows[-1]) - 1) * (_SIDE_MM + _GAP_MM)
    sheet.text(
        _LEFT_MM + last / 2, y - 1.6, "real images called synthetic", size=SMALL, across="center",
        colour=theme.soft,
    )  # fmt: skip
    return Drawn(sheet, TITLE, told_pilot(settings, _alt_text(curves)))


def _draw_curves(
    sheet: Sheet, one: _Curve, x: float, y: float, side: float, *, has_left: bool
) -> None:
    axes = sheet.axes(x, y, side, side)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    theme = sheet.theme
    sheet.ticks(axes.xaxis, _TICKS, ["0", "0.5", "1"])
    sheet.ticks(axes.yaxis, _TICKS, ["0", "0.5", "1"] if has_left else ["", "", ""])
    axes.plot([0, 1], [0, 1], color=theme.soft, linewidth=0.6, linestyle=(0, (3, 2)), zorder=2)
    for points in one.raters:
        axes.plot(
            [at[0] for at in points], [at[1] for at in points], color=theme.soft, linewidth=0.5,
            linestyle="-", alpha=0.6, zorder=2,
        )  # fmt: skip
    axes.plot(
        [at[0] for at in one.pooled], [at[1] for at in one.pooled], color=theme.accent,
        linewidth=1.8, linestyle="-", marker="o", markersize=3, zorder=4, clip_on=False,
    )  # fmt: skip
    if has_left:
        sheet.text(
            x - 6.2, y + side / 2, "synthetic called synthetic", size=SMALL, across="center",
            angle=90, colour=theme.soft,
        )  # fmt: skip


def _curves(
    detection: Detections, ratings: pd.DataFrame, settings: Settings
) -> tuple[_Curve, ...]:
    names, labels = arm_names(settings), told_names(settings)
    pooled = {one.arm: one.area for one in detection.pooled}
    points = roc_points(ratings, settings)
    found = []
    for arm in settings.arms:
        own = points[points["arm"] == arm.code]
        curves: dict[str, Points] = {
            str(code): tuple(
                zip(part["false_positive_rate"], part["true_positive_rate"], strict=True)
            )
            for code, part in own.groupby("rater_code")
        }
        if POOLED in curves and arm.code in pooled:
            mean = curves.pop(POOLED)
            thin = tuple(curves.values())
            found.append(
                _Curve(names[arm.code], labels[arm.code], pooled[arm.code], mean, thin)
            )
    return tuple(found)


def _why_none(detection: Detections) -> str:
    """Return why there is no curve at all."""
    notes = [detection.note, *(one.area.note for one in detection.pooled)]
    known = " ".join(dict.fromkeys(note for note in notes if note))
    return known or "There are no answers about both real and synthetic images."


def _missing(detection: Detections, settings: Settings, curves: Sequence[_Curve]) -> str:
    """Return the sentence on arms without a curve; "" where all have one."""
    labels = {one.label for one in curves}
    names = arm_names(settings)
    absent = [
        names[arm.code] for arm in settings.arms
        if not arm.is_real and told_names(settings)[arm.code] not in labels
    ]  # fmt: skip
    return f"Too few images for a curve: {', '.join(absent)}." if absent else ""


def _told(area: Finding) -> tuple[str, str]:
    """Return the two lines of the legend."""
    if area.value is None:
        return ("no area estimated", "")
    return (f"AUC {signed(area.value)}", between(area.low, area.high))


def _notes(settings: Settings) -> tuple[str, ...]:
    return (
        "Thick: mean of the raters; thin: each rater; dashed: chance.",
        f"AUC: area under the curve with its {percent(1 - settings.alpha)} interval; 0.5 is "
        "chance, below it synthetic images are taken for real more often than real ones.",
    )


def _alt_text(curves: Sequence[_Curve]) -> str:
    told = [f"{TITLE}, as curves of true over false positive rates."]
    for one in curves:
        if one.area.value is None:
            told.append(f"{one.label}: {one.area.note}")
        else:
            interval = between(one.area.low, one.area.high)
            told.append(
                f"{one.label}: area {signed(one.area.value)} ({interval}), "
                f"{counted(len(one.raters), 'rater')}."
            )
    return " ".join(told)
