"""The images with the best and the worst mean scores of each arm."""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from PIL import Image

from ..statistics.finding import Scale, Settings
from ..statistics.tables import main_answers
from .lettering import HEADING, SMALL, line_mm
from .naming import arm_names, marks, name_notes, signed, told_names, told_pilot
from .sheet import COLUMN_ROOM_MM, PNG_DPI, Drawn, Sheet, heading_lines, message
from .theme import Theme

TITLE: Final = "Best and worst images of each arm"
WITHHELD: Final = ("real image,", "withheld by", "its licence")
NOT_GIVEN: Final = ("image", "not given")
UNREADABLE: Final = ("image", "not readable")
EACH: Final = 2
_GAP_MM: Final = 1.6
_MIDDLE_MM: Final = 4.4
_SIDE_MM: Final = (COLUMN_ROOM_MM - _MIDDLE_MM - 2 * _GAP_MM) / 4
_TOLD_MM: Final = 2 * line_mm(SMALL) + 0.6
_BLOCK_GAP_MM: Final = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class ScoredImage:
    """An image with its mean score.

    Args:
        stimulus_id: Of the tables.
        mean:        Of its answers.
        n:           How many they are.
    """

    stimulus_id: int
    mean: float
    n: int


@dataclasses.dataclass(frozen=True, slots=True)
class Extremes:
    """The best and worst images of an arm, each from the end inwards; none is in both."""

    arm: str
    is_real: bool
    best: tuple[ScoredImage, ...]
    worst: tuple[ScoredImage, ...]


def scored_question(settings: Settings) -> Scale | None:
    """Return the question that ranks images: the primary one, else the first labelled scale.

    None where pictures stand side by side or no labelled scale is asked.
    """
    if settings.display != "single":
        return None
    scales = [scale for scale in settings.scales if scale.kind == "scale"]
    scales.sort(key=lambda scale: scale.code != settings.primary_question)
    return scales[0] if scales else None


def extremes(ratings: pd.DataFrame, settings: Settings) -> tuple[Extremes, ...]:
    """Return the images of each arm at either end, of arms that have answers.

    Images with less than half as many answers as the arm's median image do not take part: a mean
    of few is extreme by chance. Of the real-or-synthetic question the best are those taken for
    real. Ties go to the lower number.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Of the analysis.
    """
    scale = scored_question(settings)
    if scale is None:
        return ()
    answers = main_answers(ratings, settings, scale.code)
    sign = 1 if scale.code == settings.origin_question else -1
    found = []
    for arm in settings.arms:
        values = answers[(answers["arm"] == arm.code) & answers["stimulus_id"].notna()]
        if values.empty:
            continue
        scored = values.groupby("stimulus_id")["value"].agg(["mean", "size"]).reset_index()
        images = [
            ScoredImage(int(number), float(mean), int(n))
            for number, mean, n in scored.itertuples(index=False)
        ]
        least = float(np.median([image.n for image in images])) / 2
        images = [image for image in images if image.n >= least]
        images.sort(key=lambda image: (sign * image.mean, image.stimulus_id))
        best = images[: min(EACH, (len(images) + 1) // 2)]
        worst = images[len(best) :][::-1][:EACH]
        found.append(Extremes(arm.code, arm.is_real, tuple(best), tuple(worst)))
    return tuple(found)


def draw(
    ratings: pd.DataFrame, settings: Settings, theme: Theme, images: Mapping[int, bytes] | None,
) -> Drawn:  # fmt: skip
    """Return the contact sheet; a sentence in its place where there are no scores.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Of the analysis.
        theme:    Colours.
        images:   Number of the stimulus -> PNG; a frame stands for those that are not there;
                  None: for all.
    """
    found, scale = extremes(ratings, settings), scored_question(settings)
    if scale is None or not found:
        return message(theme, TITLE, "There are no scores of single images.", settings)
    names = arm_names(settings)
    headings = [heading_lines(names[one.arm], COLUMN_ROOM_MM) for one in found]
    heights = [len(lines) * line_mm(HEADING) + 0.8 + _SIDE_MM + _TOLD_MM for lines in headings]
    body = line_mm(SMALL) + 1 + sum(heights) + _BLOCK_GAP_MM * (len(found) - 1)
    sheet = Sheet(
        theme, body, TITLE, subtitle=f"By their mean {scale.code}",
        marks=marks(settings), notes=(*_notes(scale, settings), *name_notes(settings)),
    )  # fmt: skip
    right = COLUMN_ROOM_MM / 2 + _MIDDLE_MM / 2
    for x, label in ((0.0, "BEST"), (right, "WORST")):
        sheet.lines(x, 0, (label,), size=SMALL, is_bold=True, colour=theme.soft)
    y = line_mm(SMALL) + 1
    for one, heading, high in zip(found, headings, heights, strict=True):
        below = sheet.lines(0, y, heading, size=HEADING, is_bold=True) + 0.8
        for start, row in ((0.0, one.best), (right, one.worst)):
            for index, image in enumerate(row):
                x = start + index * (_SIDE_MM + _GAP_MM)
                png = None if images is None else images.get(image.stimulus_id)
                is_withheld = one.is_real and images is not None
                _draw_image(sheet, image, png, WITHHELD if is_withheld else NOT_GIVEN, x, below)
        y += high + _BLOCK_GAP_MM
    return Drawn(sheet, TITLE, told_pilot(settings, _alt_text(found, scale, told_names(settings))))


def _draw_image(
    sheet: Sheet, image: ScoredImage, png: bytes | None, absent: tuple[str, ...], x: float,
    y: float,
) -> None:  # fmt: skip
    pixels = None if png is None else _pixels(png)
    told = absent if png is None else UNREADABLE
    if pixels is None:
        sheet.box(x, y, _SIDE_MM, _SIDE_MM, fill=sheet.theme.frame, edge=sheet.theme.edge)
        top = y + (_SIDE_MM - len(told) * line_mm(SMALL)) / 2
        sheet.lines(x + _SIDE_MM / 2, top, told, size=SMALL, across="center")
    else:
        high, wide = pixels.shape[:2]
        fit = _SIDE_MM / max(high, wide)
        left, top = x + (_SIDE_MM - wide * fit) / 2, y + (_SIDE_MM - high * fit) / 2
        axes = sheet.axes(left, top, wide * fit, high * fit)
        axes.imshow(pixels, aspect="auto", interpolation="none", extent=(0, 1, 0, 1))
        axes.set(xlim=(0, 1), ylim=(0, 1))
    middle = x + _SIDE_MM / 2
    below = y + _SIDE_MM + 0.5
    below = sheet.lines(
        middle, below, (f"{signed(image.mean)} (n {image.n})",), size=SMALL, across="center"
    )
    sheet.lines(
        middle, below, (f"no. {image.stimulus_id}",), size=SMALL, across="center",
        colour=sheet.theme.soft,
    )  # fmt: skip


def _pixels(png: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None":
    """Return an image no larger than it is printed, (H, W, 3); None where it cannot be read."""
    try:
        with Image.open(io.BytesIO(png)) as image:
            most = round(_SIDE_MM / 25.4 * PNG_DPI)
            shown = image.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None
    shown.thumbnail((most, most), Image.Resampling.LANCZOS)
    return np.asarray(shown)


def _notes(scale: Scale, settings: Settings) -> tuple[str, ...]:
    is_origin = scale.code == settings.origin_question
    best = "lowest, taken for real" if is_origin else "highest"
    return (
        f"Mean score on {scale.minimum} to {scale.maximum}, best is {best}; n: answers; no.: of "
        "the stimulus in the tables.",
        "Images with less than half the usual number of answers are left out. The ends of a "
        "ranking are partly chance.",
    )


def _alt_text(found: Sequence[Extremes], scale: Scale, names: Mapping[str, str]) -> str:
    told = [f"{TITLE} by mean {scale.code} ({scale.minimum} to {scale.maximum})."]
    for one in found:
        parts = []
        for label, images in (("best", one.best), ("worst", one.worst)):
            if images:
                scores = " and ".join(
                    f"{signed(image.mean)} (n {image.n}, no. {image.stimulus_id})"
                    for image in images
                )
                parts.append(f"{label} {scores}")
        told.append(f"{names[one.arm]}: {'; '.join(parts)}.")
    return " ".join(told)
