"""All figures of a study: which there are, and how they get into a folder."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from . import extremes, forest, kappa_map, likert, preference, roc, times
from .sheet import Drawn
from .theme import THEMES, Theme, ThemeName

if TYPE_CHECKING:
    from ..statistics.analysis import Analysis

Images = Mapping[int, bytes]


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """A figure in a folder.

    Args:
        name:     Of its files, without theme and ending.
        title:    One line.
        alt_text: What it shows, in words, for those who do not see it.
        png:      300 dots an inch, one or two columns of a journal wide.
        svg:      The same; its text is text.
    """

    name: str
    title: str
    alt_text: str
    png: Path
    svg: Path


_Draw = Callable[["Analysis", pd.DataFrame, Images | None, Theme], Drawn]
_DRAWN: Final[dict[str, _Draw]] = {
    "likert": lambda a, _r, _i, theme: likert.draw(a.descriptives, a.settings, theme),
    "forest": lambda a, _r, _i, theme: forest.draw(a.contrasts, a.settings, theme),
    "preference": lambda a, _r, _i, theme: preference.draw(a.preference, a.settings, theme),
    "agreement": lambda a, _r, _i, theme: kappa_map.draw(a.agreement, a.settings, theme),
    "roc": lambda a, r, _i, theme: roc.draw(a.detection, r, a.settings, theme),
    "extremes": lambda a, r, images, theme: extremes.draw(r, a.settings, theme, images),
    "times": lambda a, r, _i, theme: times.draw(r, a.settings, theme),
}
NAMES: Final = tuple(_DRAWN)


def left_out(analysis: "Analysis") -> dict[str, str]:
    """Return name -> reason of each figure that does not belong to such a study.

    Args:
        analysis: See `analysis.analyse`.
    """
    settings = analysis.settings
    reasons = {}
    if not analysis.descriptives:
        reasons["likert"] = "No question with a labelled scale is asked."
    if settings.display == "side_by_side":
        reasons["forest"] = "Side by side no score is of one arm; preferences compare the arms."
        reasons["extremes"] = "Side by side no score is of one image."
    elif extremes.scored_question(settings) is None:
        reasons["extremes"] = "No question with a labelled scale ranks the images."
    if analysis.preference is None:
        reasons["preference"] = "No preference is asked."
    if analysis.detection is None:
        reasons["roc"] = "Whether an image is real or synthetic is not asked."
    return reasons


def draw_figures(
    analysis: "Analysis",
    ratings: pd.DataFrame,
    folder: Path,
    *,
    images: Images | None = None,
    theme: ThemeName = "light",
) -> tuple[Figure, ...]:
    """Draw every figure of a study and return them; `left_out` says why others are not there.

    The same input gives the same bytes. Too few data give a figure that says so.

    Args:
        analysis: See `analysis.analyse`.
        ratings:  See `tables.read_ratings`.
        folder:   Made if it is not there; figures of the same name are replaced.
        images:   Number of the stimulus -> PNG, for the best and worst images. A real image that
                  is not there is taken to be withheld by its licence.
        theme:    "light", or "dark", whose files end in "-dark".
    """
    names = [name for name in NAMES if name not in left_out(analysis)]
    return tuple(
        draw_figure(name, analysis, ratings, folder, images=images, theme=theme) for name in names
    )


def draw_figure(
    name: str,
    analysis: "Analysis",
    ratings: pd.DataFrame,
    folder: Path,
    *,
    images: Images | None = None,
    theme: ThemeName = "light",
) -> Figure:
    """Draw one figure and return it; see `draw_figures`.

    Args:
        name:     One of `NAMES`; KeyError where it is not.
        analysis: See `analysis.analyse`.
        ratings:  See `tables.read_ratings`.
        folder:   As above.
        images:   As above.
        theme:    As above.
    """
    drawn = _DRAWN[name](analysis, ratings, images, THEMES[theme])
    folder.mkdir(parents=True, exist_ok=True)
    stem = name if theme == "light" else f"{name}-{theme}"
    figure = Figure(
        name, drawn.title, drawn.alt_text, folder / f"{stem}.png", folder / f"{stem}.svg"
    )
    figure.png.write_bytes(drawn.png())
    figure.svg.write_text(drawn.svg(), encoding="utf-8", newline="\n")
    return figure
