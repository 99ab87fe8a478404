"""The figure of a training's course: losses and validation figures over samples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from msdm_core.evaluation.figure_style import (
    BODY_PT,
    GENERATED,
    HEADING_PT,
    REAL,
    SMALL_PT,
    SOFT,
    plain,
    shortened,
    write,
)
from msdm_core.training.metrics import Entry

LEFT_IN, COLUMN_IN, BETWEEN_IN, LEGEND_IN = 0.85, 4.6, 0.3, 2.3
TOP_IN, LABEL_IN, ROW_IN, APART_IN, FOOT_IN = 0.45, 0.35, 1.75, 0.42, 0.95
SMOOTHED_SHARE = 0.05  # of a training's lines, that a smoothed loss is the mean of
MARKERS = "oDs^vP*X<>"
# From the coarsest to the finest level, warm to cold and light to dark.
LEVELS = ("#e8a33d", "#c2703d", "#8c6d8c", "#3f6690", "#0a2447")
LOSS = "loss"
LOGGED = "#b5b5b5"
NAMES = {"psnr": "PSNR (dB)", "ssim": "SSIM", "share": "share, 0 to 1",
         "octave": "power over real, by octave"}  # fmt: skip


@dataclass(slots=True)
class Series:
    """The course of one figure, or of one loss.

    Attributes:
        name: As it was logged.
        is_validation: Or else a loss of training.
        samples: Where.
        values: What.
    """

    name: str
    is_validation: bool
    samples: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


Panels = dict[str, list[Series]]


def panels_of(entries: Sequence[Entry]) -> Panels:
    """Return the series of a training by what they have in common: name of a unit -> series.

    Losses come first, each with the validation loss where there is one; then errors by level of
    noise, then what else was measured. What only explains a loss, such as gradients, is left out.
    """
    found: dict[tuple[str, bool], Series] = {}
    for entry in entries:
        for name, value in entry.figures.items():
            if entry.is_validation or name.endswith("_loss"):
                kind = (name, entry.is_validation)
                one = found.setdefault(kind, Series(*kind))
                one.samples.append(entry.samples)
                one.values.append(value)
    losses = [name for name, is_validation in found if not is_validation]
    panels: Panels = {}
    for one in sorted(found.values(), key=lambda one: one.is_validation):
        panels.setdefault(_unit(one, losses), []).append(one)
    return panels


def _unit(one: Series, losses: Sequence[str]) -> str:
    if one.name in (*losses, "loss"):
        if len(losses) < 2:
            return LOSS
        name = losses[0] if one.name == "loss" else one.name
        return f"{LOSS} of the {name.removesuffix('_loss').replace('_', ' ')}"
    if re.match(r"with(out)?(_|$)", one.name):
        return "error on unseen images"
    stem = re.sub(r"_\d+(\.\d+)?$", "", one.name)
    if stem in NAMES:
        return NAMES[stem]
    return NAMES["share"] if all(0 <= value <= 1 for value in one.values) else one.name


def smoothed(values: Sequence[float], count: int) -> np.ndarray:
    """Return the running mean of `count` values about each one; of fewer at both ends.

    Where there are too few on one side, as few are taken on the other: a steep start stays steep.
    """
    places = np.arange(len(values))
    half = np.minimum(count // 2, np.minimum(places, len(values) - 1 - places))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray((sums[places + half + 1] - sums[places - half]) / (2 * half + 1))


def training_curve(trainings: dict[str, Sequence[Entry]]) -> Any:
    """Return the figure: a column for each training, a row for each unit, one axis of samples.

    Args:
        trainings: Label -> entries of at least one training; an empty label is not shown.
    """
    from matplotlib.figure import Figure

    columns = {label: panels_of(entries) for label, entries in trainings.items()}
    units = list(dict.fromkeys(unit for panels in columns.values() for unit in panels))
    units.sort(key=lambda unit: not unit.startswith(LOSS))
    width = LEFT_IN + len(columns) * COLUMN_IN + (len(columns) - 1) * BETWEEN_IN + LEGEND_IN
    top = TOP_IN + LABEL_IN * any(columns)
    height = top + len(units) * (ROW_IN + APART_IN) - APART_IN + FOOT_IN
    figure = Figure(figsize=(width, height))
    for column, label in enumerate(columns):
        told = shortened(label, COLUMN_IN, HEADING_PT, is_bold=True)
        write(figure, _left(column), 0.35, told, HEADING_PT, fontweight="bold")
    last = max(entry.samples for entries in trainings.values() for entry in entries) or 1.0
    for row, unit in enumerate(units):
        y = top + row * (ROW_IN + APART_IN)
        write(figure, LEFT_IN - 0.6, y - 0.1, unit, BODY_PT, fontweight="bold")
        beside: list[Any] = []
        names = dict.fromkeys(one.name for panels in columns.values()
                              for one in panels.get(unit, []) if one.is_validation)  # fmt: skip
        for column, (label, panels) in enumerate(columns.items()):
            if unit not in panels:
                continue
            place = (_left(column) / width, 1 - (y + ROW_IN) / height,
                     COLUMN_IN / width, ROW_IN / height)  # fmt: skip
            axes = figure.add_axes(place, sharey=beside[0] if beside else None)
            _draw(axes, panels[unit], list(names))
            axes.set_xlim(0, last)
            is_last = not any(below in panels for below in units[row + 1 :])
            _label_axes(axes, trainings[label], is_first=not beside, is_last=is_last)
            beside.append(axes)
        _legend(figure, beside, width - LEGEND_IN + 0.15, y)
    return figure


def _left(column: int) -> float:
    return LEFT_IN + column * (COLUMN_IN + BETWEEN_IN)


def _draw(axes: Any, panel: Sequence[Series], names: Sequence[str]) -> None:
    plain(axes, "both")
    for one in panel:
        if one.is_validation:
            axes.plot(one.samples, one.values, label=told_name(one.name), clip_on=False,
                      zorder=4, **_look(one.name, names))  # fmt: skip
        else:
            count = max(5, round(SMOOTHED_SHARE * len(one.values)))
            axes.plot(one.samples, one.values, color=LOGGED, linewidth=0.7, zorder=2,
                      label="training, as logged")  # fmt: skip
            axes.plot(one.samples, smoothed(one.values, count), color=GENERATED, linewidth=1.6,
                      zorder=3, label="training, smoothed")  # fmt: skip


def _look(name: str, names: Sequence[str]) -> dict[str, Any]:
    """Return how a validation figure is drawn: levels by colour and marker, without by holes."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    keys = list(dict.fromkeys(map(_level, names)))
    index = keys.index(_level(name))
    ramp = LinearSegmentedColormap.from_list("levels", LEVELS)
    colour = to_hex(ramp(index / (len(keys) - 1))) if len(keys) > 1 else REAL
    is_without = name.startswith("without")
    return {
        "color": colour, "marker": MARKERS[index % len(MARKERS)], "markersize": 4.5,
        "markerfacecolor": "white" if is_without else colour, "linewidth": 0.9,
        "linestyle": (0, (3, 2)) if is_without else "-",
    }  # fmt: skip


def _level(name: str) -> str:
    return re.sub(r"^with(out)?(_[a-z]+)?_?", "", name) or name


def told_name(name: str) -> str:
    """Return the name of a validation figure as a person reads it."""
    if name == "loss":
        return "on unseen images"
    found = re.match(r"(with(?:out)?(?:_[a-z]+)?)_([\d.]+)$", name)
    if found:
        return f"{found[1].replace('_', ' ')}, noise {found[2]}"
    octave = re.match(r"octave_(\d+)$", name)
    if octave:
        return f"{2 ** int(octave[1])}\N{EN DASH}{2 ** (int(octave[1]) + 1)} cycles"
    return name.split(":")[-1].replace("_", " ")


def _label_axes(axes: Any, entries: Sequence[Entry], *, is_first: bool, is_last: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(labelbottom=is_last, labelleft=is_first)
    if is_last:
        axes.set_xlabel("samples", fontsize=BODY_PT, labelpad=2)
        _hours(axes, entries)


def _hours(axes: Any, entries: Sequence[Entry]) -> None:
    """Tell below the samples how long they took: in hours, or in minutes where that is short."""
    from matplotlib.ticker import MaxNLocator

    samples = [0.0, *(entry.samples for entry in entries)]
    minutes = [0.0, *(entry.minutes for entry in entries)]
    unit, each = ("hours", 60.0) if minutes[-1] >= 60 else ("minutes", 1.0)
    times = [t for t in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0, minutes[-1] / each)
             if 0 <= t * each <= minutes[-1]]  # fmt: skip
    below = axes.secondary_xaxis(-0.44 / ROW_IN)
    below.set_xticks(np.interp([t * each for t in times], minutes, samples),
                     [f"{t:g}" for t in times])  # fmt: skip
    below.tick_params(labelsize=SMALL_PT, width=0.7, length=3, color=SOFT, pad=2)
    below.spines["bottom"].set(color=SOFT, linewidth=0.7)
    below.set_xlabel(f"{unit} of training", fontsize=BODY_PT, labelpad=2)


def _legend(figure: Any, beside: Sequence[Any], x: float, y: float) -> None:
    """Name what a row shows, at its right."""
    width, height = figure.get_size_inches()
    handles: dict[str, Any] = {}
    for axes in beside:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if len(handles) < 2:
        return  # the row's title says it
    told = [shortened(label, LEGEND_IN - 0.55, SMALL_PT) for label in handles]
    spacing = min(0.3, max(0.0, ROW_IN * 72 / len(told) / SMALL_PT - 1.25))
    legend = figure.legend(
        list(handles.values()), told, loc="upper left", frameon=False, fontsize=SMALL_PT,
        bbox_to_anchor=(x / width, 1 - (y - 0.05) / height), borderpad=0, borderaxespad=0,
        labelspacing=spacing, handlelength=2.2, handletextpad=0.5,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
