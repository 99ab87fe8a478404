"""The panel of a feature network: how near the two sets of images are, beside their floors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from msdm_core.evaluation.figure_layout import Box, Panel
from msdm_core.evaluation.figure_style import (
    SMALL_PT,
    SOFT,
    dot,
    is_known,
    plain,
    rows,
    write,
)
from msdm_core.evaluation.report import NAMES, number

Figures = dict[str, Any]
DISTANCES = ("frechet_distance", "kernel_distance", "mifid")
SHARES = ("precision", "recall", "f1")
ROW_IN = 0.34
SETS_IN = 0.2 + 3 * ROW_IN + 0.28
MINUS = "\N{MINUS SIGN}"


def set_panel(figures: Figures, network: str, found: Figures) -> Panel | None:
    """Return the panel of one feature network, or None where it measured nothing.

    Args:
        figures: Of an evaluation.
        network: Its name.
        found: The figures of the sets by its features.
    """
    groups = [
        [name for name in group if is_known(found.get(name, {}).get("value"))]
        for group in (DISTANCES, SHARES)
    ]
    groups = [group for group in groups if group]
    if not groups:
        return None
    body = len(groups) * SETS_IN + (len(groups) - 1) * 0.12
    note = f"features of {network}; joined marks: as many generated as real images"
    return Panel("Distances between the sets of images, precision and recall", note, body,
                 partial(_draw, figures, found, groups), is_wide=True)  # fmt: skip


def _draw(
    figures: Figures, found: Figures, groups: Sequence[Sequence[str]], figure: Any, box: Box
) -> None:
    for index, names in enumerate(groups):
        top = box.y + index * (SETS_IN + 0.12)
        _draw_labels(figures["images"], found[names[0]], figure, Box(box.x, top, 1.85, SETS_IN))
        limits = _share_limits([found[name] for name in names]) if names[0] in SHARES else None
        width = (box.width - 1.85) / 3
        for column, name in enumerate(names):
            part = Box(box.x + 1.85 + column * width, top, width, SETS_IN)
            _draw_figure(found[name], NAMES[name], limits, figure, part)


def _draw_labels(count: int, found: Figures, figure: Any, box: Box) -> None:
    """Write what the rows of a group compare."""
    for row, (label, count_of_row) in enumerate((
        ("all generated images", count),
        ("beside a part of the reference", found["halves"]["count"]),
        ("beside held-out images", found["held_out"]["count"]),
    )):  # fmt: skip
        y = box.y + 0.2 + (row + 0.5) * ROW_IN
        write(figure, box.x, y - 0.02, label)
        told = f"n = {count_of_row:,}{' each' * (row > 0)}"
        write(figure, box.x, y + 0.12, told, SMALL_PT, color=SOFT)


def _draw_figure(
    found: Figures, name: str, limits: tuple[float, float] | None, figure: Any, box: Box
) -> None:
    write(figure, box.x + 0.12, box.y + 0.12, name, fontweight="bold")
    axes = box.axes(figure, 0.12, 0.2, 1.0, 0.28)
    plain(axes)
    rows(axes, 3)
    axes.locator_params(axis="x", nbins=3 if limits is None else 4)
    dot(axes, found["value"], 0, is_real=False, ends=(found["low"], found["high"]))
    told = number if limits is None else _three_places
    numbers = [(told(found["value"]), f"{told(found['low'])} to {told(found['high'])}")]
    for row, key in enumerate(("halves", "held_out"), start=1):
        made, real = found[key]["made"], found[key]["real"]
        if is_known(made) and is_known(real):
            axes.plot([made, real], [row, row], color=SOFT, linewidth=0.8, zorder=2)
        dot(axes, real, row, is_real=True)
        dot(axes, made, row, is_real=False)
        numbers.append((told(made), f"real {told(real)}"))
    if limits is None:
        low, high = axes.get_xlim()
        axes.set_xlim(min(0.0, low), high)
        axes.axvline(0, color=SOFT, linewidth=0.8)
    else:
        axes.set_xlim(*limits)
    for row, (above, below) in enumerate(numbers):
        y = box.y + 0.2 + (row + 0.5) * ROW_IN
        x = box.x + box.width - 0.92
        write(figure, x, y - 0.02, above.replace("-", MINUS), SMALL_PT)
        write(figure, x, y + 0.12, below.replace("-", MINUS), SMALL_PT, color=SOFT)


def _three_places(value: Any) -> str:
    return f"{value:.3f}" if is_known(value) else "-"


def _share_limits(found: Sequence[Figures]) -> tuple[float, float]:
    """Return limits within 0 and 1 that hold all the figures' marks and intervals."""
    values = [
        value for figure in found
        for value in (figure["low"], *(figure[part][kind] for part in ("halves", "held_out")
                                       for kind in ("made", "real")))
        if is_known(value)
    ]  # fmt: skip
    low = math.floor(10 * min([0.8, *values]) - 1e-9) / 10
    return max(0.0, low) - 0.02, 1.02
