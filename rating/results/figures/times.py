"""How long items were in sight: along a rater's order, and for each rater."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..statistics.finding import Settings
from ..statistics.formatting import counted
from ..statistics.tables import is_submitted
from .lettering import HEADING, SMALL, line_mm, width_mm, wrapped
from .naming import marks, told_pilot
from .sheet import Drawn, Sheet, message
from .theme import Theme

TITLE: Final = "Time per item"
_MOST_BINS: Final = 20
_LEAST_IN_BIN: Final = 5
_ALONG_MM: Final = 34.0
_LEFT_MM: Final = 11.0
_CODE_MM: Final = 16.0
_TICKS_S: Final = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000,
)  # fmt: skip

Numbers = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class _Bin:
    """Items at neighbouring places: their mean place and the quartiles of their times."""

    place: float
    quartiles: tuple[float, float, float]


def item_times(ratings: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return the time that each main item was in sight, one row a showing.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Its excluded raters are left out.

    Returns:
        Columns rater_code, position (from 1) and seconds, without those of no known time.
    """
    if "visible_ms" not in ratings.columns or "position" not in ratings.columns:
        return pd.DataFrame({"rater_code": [], "position": [], "seconds": []})
    kept = is_submitted(ratings) & (ratings["item_kind"] == "main")
    kept &= ~ratings["rater_code"].isin(list(settings.excluded_raters))
    shown = ratings[kept].drop_duplicates("assignment_id")
    shown = shown[shown["visible_ms"].notna() & (shown["visible_ms"].fillna(0) > 0)]
    times = pd.DataFrame(
        {
            "rater_code": shown["rater_code"].astype(str).to_numpy(),
            "position": shown["position"].to_numpy(np.int64) + 1,
            "seconds": shown["visible_ms"].to_numpy(float) / 1000,
        }
    )
    return times.sort_values(["rater_code", "position"], kind="stable").reset_index(drop=True)


def draw(ratings: pd.DataFrame, settings: Settings, theme: Theme) -> Drawn:
    """Return the figure; a sentence in its place where no time is known.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Of the analysis.
        theme:    Colours.
    """
    times = item_times(ratings, settings)
    if times.empty:
        return message(theme, TITLE, "There are no times of main items to draw.", settings)
    bins = _bins(times)
    codes = sorted(set(times["rater_code"]))
    row = 3.6 if len(codes) <= 30 else 2.7
    head = line_mm(HEADING) + 1.5
    along = head + _ALONG_MM + 12 if len(bins) > 1 else 0.0
    body = along + head + row * len(codes) + 9
    median = float(times["seconds"].median())
    sheet = Sheet(
        theme, body, TITLE,
        subtitle=f"Median {told_time(median)} over {counted(len(times), 'item')} of "
        f"{counted(len(codes), 'rater')}",
        marks=marks(settings), notes=_notes(bins),
    )  # fmt: skip
    limits = _limits(times, bins)
    if along:
        sheet.lines(0, 0, ("Along the order of items",), size=HEADING, is_bold=True)
        _draw_along(sheet, bins, head)
    sheet.lines(0, along, ("Each rater",), size=HEADING, is_bold=True)
    _draw_raters(sheet, times, codes, along + head, row, limits)
    return Drawn(sheet, TITLE, told_pilot(settings, _alt_text(times, bins)))


def _bins(times: pd.DataFrame) -> tuple[_Bin, ...]:
    """Return places in at most 20 parts of about as many items; () where there are too few."""
    places = times["position"].to_numpy(float)
    count = min(_MOST_BINS, len(np.unique(places)), len(places) // _LEAST_IN_BIN)
    if count < 2:
        return ()
    edges = np.unique(np.quantile(places, np.linspace(0, 1, count + 1)[1:-1]))
    part = np.searchsorted(edges, places, side="left")
    found = []
    for index in np.unique(part):
        seconds = times["seconds"].to_numpy(float)[part == index]
        low, middle, high = (float(value) for value in np.quantile(seconds, (0.25, 0.5, 0.75)))
        found.append(_Bin(float(places[part == index].mean()), (low, middle, high)))
    return tuple(found)


def _draw_along(sheet: Sheet, bins: Sequence[_Bin], y: float) -> None:
    axes = sheet.axes(_LEFT_MM, y, sheet.width - _LEFT_MM - 1, _ALONG_MM)
    places = [one.place for one in bins]
    low, middle, high = (
        [math.log10(one.quartiles[index]) for one in bins] for index in range(3)
    )
    bottom, top = min(low), max(high)
    air = max(0.05, 0.08 * (top - bottom))
    bottom, top = bottom - air, top + air
    ends = (places[0], places[-1])
    axes.set(xlim=(ends[0] - 0.02 * (ends[1] - ends[0]), ends[1] + 0.02 * (ends[1] - ends[0])))
    axes.set(ylim=(bottom, top))
    axes.fill_between(places, low, high, color=sheet.theme.band, linewidth=0, zorder=1)
    for quartile in (low, high):
        axes.plot(
            places, quartile, color=sheet.theme.soft, linewidth=0.6, linestyle=(0, (3, 2)), zorder=2
        )
    axes.plot(
        places, middle, color=sheet.theme.accent, linewidth=1.4, linestyle="-", marker="o",
        markersize=3, zorder=3,
    )  # fmt: skip
    seconds = time_ticks(10**bottom, 10**top, 6)
    sheet.ticks(axes.yaxis, [math.log10(one) for one in seconds], [told_time(s) for s in seconds])
    step = max(1, round((ends[1] - ends[0]) / 5))
    step = next((one for one in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500) if one >= step), step)
    first = math.ceil(ends[0] / step) * step
    marked = list(range(first, math.floor(ends[1]) + 1, step))
    sheet.ticks(axes.xaxis, marked, [str(place) for place in marked])
    sheet.text(
        (_LEFT_MM + sheet.width) / 2, y + _ALONG_MM + 6, "place in the rater's order", size=SMALL,
        across="center", colour=sheet.theme.soft,
    )  # fmt: skip


def _draw_raters(
    sheet: Sheet, times: pd.DataFrame, codes: Sequence[str], y: float, row: float,
    limits: tuple[float, float],
) -> None:  # fmt: skip
    shown = [wrapped(code, _CODE_MM, SMALL, most_lines=1)[0] for code in codes]
    left = max(width_mm(code, SMALL) for code in shown) + 2
    right = sheet.width - 8
    low, high = (math.log10(limit) for limit in limits)

    def place(seconds: float) -> float:
        return left + (math.log10(seconds) - low) / (high - low) * (right - left)

    bottom = y + row * len(codes)
    seconds = time_ticks(*limits, 6)
    for mark in seconds:
        x = place(mark)
        sheet.line([x, x], [y, bottom], colour=sheet.theme.grid, line_pt=0.4, order=1)
        sheet.line([x, x], [bottom, bottom + 0.8], colour=sheet.theme.soft)
        sheet.text(x, bottom + 2.6, told_time(mark), size=SMALL, across="center")
    sheet.line([left, right], [bottom, bottom], colour=sheet.theme.soft)
    sheet.text(
        sheet.width, y - 1.5, "n", size=SMALL, across="right", colour=sheet.theme.soft
    )
    for index, code in enumerate(codes):
        middle = y + (index + 0.5) * row
        own = times["seconds"].to_numpy(float)[(times["rater_code"] == code).to_numpy()]
        sheet.text(0, middle, shown[index], size=SMALL)
        sheet.text(sheet.width, middle, str(len(own)), size=SMALL, across="right")
        ends = [place(float(q)) for q in np.quantile(own, (0.05, 0.25, 0.5, 0.75, 0.95))]
        sheet.line([ends[0], ends[4]], [middle, middle], colour=sheet.theme.soft, line_pt=0.7)
        sheet.line([ends[1], ends[3]], [middle, middle], colour=sheet.theme.accent, line_pt=3.2)
        sheet.point(
            ends[2], middle, marker="o", size_pt=3.6, fill=sheet.theme.ground,
            edge=sheet.theme.ink,
        )  # fmt: skip
    sheet.text(
        (left + right) / 2, bottom + 6, "time in sight", size=SMALL, across="center",
        colour=sheet.theme.soft,
    )  # fmt: skip


def _limits(times: pd.DataFrame, bins: Sequence[_Bin]) -> tuple[float, float]:
    """Return the ends of the axis of raters: 5 to 95 % of each rater's times."""
    found = times.groupby("rater_code")["seconds"].quantile(np.array([0.05, 0.95])).to_numpy(float)
    return float(found.min()) / 1.15, float(found.max()) * 1.15


def time_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Return round times within limits in seconds, at most `most` of them, never none."""
    within = [one for one in _TICKS_S if low <= one <= high]
    if not within:
        return (float(f"{math.sqrt(low * high):.2g}"),)
    step = math.ceil(len(within) / most)
    return tuple(within[::step])


def told_time(seconds: float) -> str:
    """Return a time in few words: "0.4 s", "12 s", "1.5 min", "2 h"."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.2g} {name}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _notes(bins: Sequence[_Bin]) -> tuple[str, ...]:
    along = "Line: median; shaded: middle half of the times at these places." if bins else ""
    return (
        *((along,) if along else ()),
        "Circles: median of a rater; thick: middle half; thin: 5 to 95 %.",
        "How long the picture was in sight on the rater's screen; axes of times are logarithmic.",
    )


def _alt_text(times: pd.DataFrame, bins: Sequence[_Bin]) -> str:
    medians = times.groupby("rater_code")["seconds"].median()
    told = (
        f"{TITLE}: median {told_time(float(times['seconds'].median()))} over "
        f"{counted(len(times), 'item')}; medians of {counted(len(medians), 'rater')} from "
        f"{told_time(float(medians.min()))} to {told_time(float(medians.max()))}."
    )
    if len(bins) < 2:
        return told
    first, last = bins[0].quartiles[1], bins[-1].quartiles[1]
    return f"{told} Median at the first places {told_time(first)}, at the last {told_time(last)}."
