"""The panel of the figure sheet that lists what is a single number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from msdm_core.evaluation.figure_layout import BETWEEN_IN, Box, Panel
from msdm_core.evaluation.figure_style import GRID, SMALL_PT, SOFT, is_known, shortened, write
from msdm_core.evaluation.report import interval, number

Row = tuple[str, str, str]
LINE_IN = 0.185
REAL_IN = 0.65  # of the column of real images


def further_figures(figures: dict[str, Any], *, is_wide: bool) -> Panel | None:
    """Return the panel, or None where nothing of it was measured.

    Args:
        figures: Of an evaluation.
        is_wide: The table lies in two columns over the whole page.
    """
    rows = [*_of_reading(figures), *_of_sets(figures), *_of_nearness(figures)]
    if not rows:
        return None
    lines = (len(rows) + 1) // 2 if is_wide else len(rows)
    body = 0.2 + LINE_IN * lines
    return Panel("Further figures", "generated, with intervals of 95 %, beside real", body,
                 partial(_draw, rows, lines), is_wide=is_wide)  # fmt: skip


def _of_reading(figures: dict[str, Any]) -> list[Row]:
    rows = []
    if is_known(figures.get("reading_ratio")):
        low, high = figures["reading_ratio_interval"]
        ratio = f"{figures['reading_ratio']:.3f} ({low:.3f} to {high:.3f})"
        rows.append(("reading, generated over real", ratio, ""))
    if "inception_score" in figures:
        score = figures["inception_score"]
        rows.append(("Inception score", number(score["generated"]), number(score["real"])))
    if "clip_score" in figures:
        score = figures["clip_score"]
        real = number(score["real"]["value"]) if "real" in score else ""
        rows.append((f"CLIP score, {score['network']}", interval(score["generated"]), real))
    return rows


def _of_sets(figures: dict[str, Any]) -> list[Row]:
    rows = []
    distributions = figures.get("distributions", {})
    for network, found in distributions.items():
        if "diversity" in found:
            name = "diversity of features" + (f", {network}" if len(distributions) > 1 else "")
            real = found["diversity"]["held_out"]["real"]
            value, low, high = (found["diversity"][key] for key in ("value", "low", "high"))
            rows.append((name, f"{value:.3f} ({low:.3f} to {high:.3f})", f"{real:.3f}"))
    if "pixel_diversity" in figures:
        found = figures["pixel_diversity"]
        rows.append(("diversity of pixels", number(found["generated"]), number(found["real"])))
    if "paraphrases" in figures:
        found = figures["paraphrases"]
        rows += [(f"two wordings: {name}", number(found[name]), "")
                 for name in ("fidelity", "agreement", "diversity", "fbd")]  # fmt: skip
    return rows


def _of_nearness(figures: dict[str, Any]) -> list[Row]:
    rows = []
    for name, found in figures.get("memorisation", {}).items():
        value, low, high = (100 * found["made"][key] for key in ("value", "low", "high"))
        rows.append((f"near a training image, by {name}",
                     f"{value:.1f} % ({low:.1f} to {high:.1f})", f"{100 * found['real']:.1f} %"))
        rows.append((f"its median percentile, by {name}",
                     f"{found['made_percentile']:.0f}", f"{found['real_percentile']:.0f}"))
    return rows


def _draw(rows: Sequence[Row], lines: int, figure: Any, box: Box) -> None:
    """Draw the rows as columns of so many lines."""
    count = 1 if lines == len(rows) else 2
    width = (box.width - (count - 1) * BETWEEN_IN) / count
    for column in range(count):
        part = Box(box.x + column * (width + BETWEEN_IN), box.y, width, box.height)
        told = [("", "generated", "real"), *rows[column * lines : (column + 1) * lines]]
        _draw_column(told, figure, part)


def _draw_column(told: Sequence[Row], figure: Any, box: Box) -> None:
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    right = box.x + box.width
    places = ((box.x, "left"), (right - REAL_IN, "right"), (right, "right"))
    for index, row in enumerate(told):
        y = box.y + 0.12 + index * LINE_IN
        name = shortened(row[0], box.width - REAL_IN - 1.45, SMALL_PT)
        for (x, side), text in zip(places, (name, *row[1:]), strict=True):
            write(figure, x, y, text, SMALL_PT, ha=side, **({} if index else {"color": SOFT}))
        line = 1 - (y + 0.055) / height
        figure.add_artist(Line2D([box.x / width, right / width], [line, line], color=GRID,
                                 linewidth=0.6))  # fmt: skip
