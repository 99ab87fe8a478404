"""The panels of the figure sheet, each from its part of an evaluation's figures."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from msdm_core.evaluation.figure_layout import Box, Panel
from msdm_core.evaluation.figure_sets import set_panel
from msdm_core.evaluation.figure_style import (
    BAND,
    BODY_PT,
    GENERATED,
    REAL,
    SMALL_PT,
    SOFT,
    dot,
    is_known,
    plain,
    rows,
    shortened,
    write,
)
from msdm_core.evaluation.figure_table import further_figures

Figures = dict[str, Any]
BAND_FACTOR = 1.5
ROW_IN = 0.34
AXIS_IN = 0.4
APART = 0.17  # of the two marks of a row


def panels_of(figures: Figures) -> list[Panel]:
    """Return the panels of what was measured, in the order of the page."""
    panels = [_reading(figures), _spectrum(figures)]
    for network, found in figures.get("distributions", {}).items():
        panels.append(set_panel(figures, network, found))
    halves = [panel for panel in (_nearest(figures), _places(figures)) if panel is not None]
    # Beside a panel that would stand alone the table fills the other half.
    panels += [*halves, further_figures(figures, is_wide=len(halves) != 1)]
    return [panel for panel in panels if panel is not None]


def _reading(figures: Figures) -> Panel | None:
    found = {
        name: values for name, values in figures.get("balanced_accuracy", {}).items()
        if any(is_known(value) for value in values.values())
    }  # fmt: skip
    if not found:
        return None
    note = "what the evaluator reads in the images; 0.5 is chance"
    body = 0.25 * len(found) + 0.2 + AXIS_IN
    draw = partial(_draw_reading, found, figures.get("balanced_accuracy_intervals", {}))
    return Panel("Balanced accuracy of what was asked for", note, body, draw, is_elastic=True)


def _draw_reading(found: Figures, intervals: Figures, figure: Any, box: Box) -> None:
    axes = box.axes(figure, 1.3, 0.2, 1.05, AXIS_IN)
    plain(axes)
    rows(axes, len(found))
    known = [v for values in found.values() for v in values.values() if is_known(v)]
    known += [end for both in intervals.values() for ends in both.values() for end in ends]
    low = min(0.48, min(filter(is_known, known)) - 0.03)
    axes.set_xlim(low, 1.02)
    axes.axvline(0.5, color=SOFT, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_xlabel("balanced accuracy", fontsize=BODY_PT)
    step = (box.height - 0.2 - AXIS_IN) / len(found)
    right = box.x + box.width
    for x, told in ((right - 0.55, "generated"), (right, "real")):
        write(figure, x, box.y + 0.12, told, SMALL_PT, ha="right", color=SOFT)
    for row, (name, values) in enumerate(found.items()):
        is_mean = name == "mean"
        y = box.y + 0.2 + (row + 0.5) * step + 0.04
        weight = "bold" if is_mean else "normal"
        told = shortened(name.split(":")[-1], 1.2, is_bold=is_mean)
        write(figure, box.x + 1.22, y, told, ha="right", fontweight=weight)
        ends = intervals.get(name, {})
        dot(axes, values["real"], row - APART, is_real=True, ends=ends.get("real"))
        dot(axes, values["generated"], row + APART, is_real=False, ends=ends.get("generated"))
        for x, key in ((right - 0.55, "generated"), (right, "real")):
            share = f"{values[key]:.3f}" if is_known(values[key]) else "-"
            write(figure, x, y, share, SMALL_PT, ha="right", fontweight=weight)


def _spectrum(figures: Figures) -> Panel:
    note = "shaded: 1/1.5 to 1.5; real: one half of the images over the other"
    draw = partial(_draw_spectrum, figures)
    return Panel("Power spectrum by octave", note, 2.5, draw, is_elastic=True)


def _draw_spectrum(figures: Figures, figure: Any, box: Box) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes = box.axes(figure, 0.55, 0.08, 0.1, AXIS_IN)
    plain(axes, "y")
    made, real = figures["octave_power_ratio"], figures["octave_power_ratio_real_halves"]
    places = np.arange(len(made))
    axes.axhspan(1 / BAND_FACTOR, BAND_FACTOR, color=BAND, linewidth=0, zorder=0)
    axes.axhline(1, color=SOFT, linewidth=0.8)
    axes.plot(places, [real[band] for band in made], color=REAL, linestyle=(0, (4, 2)),
              linewidth=1.2, marker="D", markersize=5, markerfacecolor="white", zorder=3)
    axes.plot(places, list(made.values()), color=GENERATED, linewidth=1.6, marker="o",
              markersize=6.5, zorder=4)  # fmt: skip
    known = [v for v in (*made.values(), *real.values()) if is_known(v) and v > 0]
    axes.set_yscale("log")
    low, high = min([0.5, *known]) / 1.15, max([2.0, *known]) * 1.15
    marks = [mark for k in range(-12, 13) if low <= (mark := 2.0**k) <= high]
    axes.yaxis.set_major_locator(FixedLocator(marks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda mark, _: f"{mark:g}"))
    axes.set_ylim(low, high)
    axes.set_xlim(-0.4, len(made) - 0.6)
    axes.set_xticks(places, [band.replace("-", "\N{EN DASH}") for band in made])
    axes.set_xlabel("cycles per image", fontsize=BODY_PT)
    axes.set_ylabel("power over that of real images", fontsize=BODY_PT)


def _nearest(figures: Figures) -> Panel | None:
    found = {
        name: part for name, part in figures.get("memorisation", {}).items()
        if "made_below" in part
    }  # fmt: skip
    if not found:
        return None
    note = "dotted: training images among one another; shaded: 1 %"
    return Panel("Distance to the nearest training image", note, 2.4, partial(_draw_nearest, found))


def _draw_nearest(found: Figures, figure: Any, box: Box) -> None:
    width = box.width / len(found)
    for column, (name, part) in enumerate(found.items()):
        # A square each, so that the dotted line is a diagonal.
        side = min(width - 0.6, box.height - 0.22 - 0.62)
        left = column * width
        axes = box.axes(figure, left + 0.55, 0.22, box.width - left - 0.5 - side,
                        box.height - 0.22 - side)  # fmt: skip
        write(figure, box.x + left + 0.55, box.y + 0.12, f"by {name}", fontweight="bold")
        plain(axes, "both")
        for scale in (axes.set_xscale, axes.set_yscale):
            scale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
        axes.set(xlim=(0, 100), ylim=(0, 100))
        axes.axvspan(0, 1, color=BAND, linewidth=0, zorder=0)
        axes.axvline(1, color=SOFT, linewidth=0.9)
        axes.plot([0, 100], [0, 100], color=SOFT, linewidth=1, linestyle=(0, (1, 1.5)))
        for key, colour, dashes, line in (("real_below", REAL, (0, (4, 2)), 1.3),
                                          ("made_below", GENERATED, "-", 1.8)):
            places = [float(place) for place in part[key]]
            axes.plot(places, [100 * share for share in part[key].values()], color=colour,
                      linestyle=dashes, linewidth=line, zorder=3)  # fmt: skip
        marks = [0, 1, 10, 25, 50, 100]
        axes.set_xticks(marks)
        axes.set_yticks(marks)
        if column == 0:
            axes.set_ylabel("nearer than that, % of images", fontsize=BODY_PT)
    write(figure, box.x + box.width / 2 + 0.2, box.y + 0.22 + side + 0.36,
          "percentile among the distances of training images to others", ha="center")


def _places(figures: Figures) -> Panel | None:
    found = figures.get("position", {})
    if not is_known(found.get("generated", {}).get("hit_rate")):
        return None
    found = {name: part for name, part in found.items() if is_known(part["hit_rate"])}
    note = "share of images whose likeliest cell of the 3 x 3 grid was asked for"
    body = 0.12 + ROW_IN * len(found) + AXIS_IN
    return Panel("Polyps in the cells asked for", note, body, partial(_draw_places, found),
                 is_elastic=True)  # fmt: skip


def _draw_places(found: Figures, figure: Any, box: Box) -> None:
    from scipy.stats import binomtest  # type: ignore[import-untyped]

    axes = box.axes(figure, 0.95, 0.12, 0.95, AXIS_IN)
    plain(axes)
    rows(axes, len(found))
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("share (upright bar: a cell at random)", fontsize=BODY_PT)
    step = (box.height - 0.12 - AXIS_IN) / len(found)
    for row, (name, part) in enumerate(found.items()):
        count = part["images"]
        ends = binomtest(round(part["hit_rate"] * count), count).proportion_ci(method="wilson")
        axes.plot([part["chance"]], [row], marker="|", markersize=13, color=SOFT,
                  markeredgewidth=1.6, linestyle="none")  # fmt: skip
        dot(axes, part["hit_rate"], row, is_real=name == "real", ends=(ends.low, ends.high))
        y = box.y + 0.12 + (row + 0.5) * step
        write(figure, box.x, y - 0.02, name)
        write(figure, box.x, y + 0.13, f"n = {count:,}", SMALL_PT, color=SOFT)
        x = box.x + box.width - 0.84
        write(figure, x, y - 0.02, f"{part['hit_rate']:.2f}", SMALL_PT)
        write(figure, x, y + 0.12, f"{ends.low:.2f} to {ends.high:.2f}", SMALL_PT, color=SOFT)
