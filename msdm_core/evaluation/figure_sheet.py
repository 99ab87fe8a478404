"""The figure sheet of an evaluation: one page that shows everything that was measured.

It is drawn from ``evaluation.json`` alone, so an older evaluation can be drawn again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msdm_core.errors import RequestError
from msdm_core.evaluation.figure_layout import EDGE_IN, PAGE_IN, ROOM_IN, draw_panels, placed
from msdm_core.evaluation.figure_panels import panels_of
from msdm_core.evaluation.figure_style import (
    BODY_PT,
    GENERATED,
    LINE_IN,
    REAL,
    SMALL_PT,
    SOFT,
    TITLE_PT,
    save,
    shortened,
    text_width_in,
    wrapped,
    write,
)

FILE_NAMES = ("figures.png", "figures.svg")
HASH_LETTERS = 12


def write_figure_sheet(folder: Path, figures: dict[str, Any]) -> None:
    """Write the sheet as ``figures.png`` and ``figures.svg``.

    Args:
        folder: Where they go.
        figures: Of an evaluation, as `report.write_report` takes them.
    """
    drawn = figure_sheet(figures)
    for name in FILE_NAMES:
        save(drawn, folder / name, _title(figures))


def draw_again(folder: Path) -> None:
    """Write the sheet of an evaluation that was made before.

    Args:
        folder: With its ``evaluation.json``; the sheet goes there.

    Raises:
        RequestError: There is none, or it is not of an evaluation.
    """
    path = folder / "evaluation.json"
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(
            f"--draw {folder}: {path} cannot be read ({error}). Give the folder that an earlier "
            "`evaluate --out` wrote."
        ) from error
    if not isinstance(figures, dict) or "octave_power_ratio" not in figures:
        raise RequestError(
            f"--draw {folder}: {path} holds no figures of an evaluation. Give the folder that an "
            "earlier `evaluate --out` wrote."
        )
    write_figure_sheet(folder, figures)


def figure_sheet(figures: dict[str, Any]) -> Any:
    """Return the sheet as a matplotlib figure, 10 inches wide and as high as its panels need.

    Args:
        figures: Of an evaluation. What was not measured has no panel.
    """
    from matplotlib.figure import Figure

    told = wrapped(_facts(figures), ROOM_IN, BODY_PT, " \N{MIDDLE DOT} ")
    top = EDGE_IN + TITLE_PT / 72 + 0.07 + len(told) * BODY_PT * LINE_IN + 0.5
    panels = panels_of(figures)
    boxes, end = placed(panels, top)
    notes = wrapped(_notes(figures), ROOM_IN, SMALL_PT)
    height = end + 0.22 + len(notes) * SMALL_PT * LINE_IN + 0.25
    figure = Figure(figsize=(PAGE_IN, height))
    y = EDGE_IN + 0.75 * TITLE_PT / 72
    title = shortened(_title(figures), ROOM_IN, TITLE_PT, is_bold=True)
    write(figure, EDGE_IN, y, title, TITLE_PT, fontweight="bold")
    y += 0.07
    for line in told:
        y += BODY_PT * LINE_IN
        write(figure, EDGE_IN, y, line, BODY_PT, color=SOFT)
    _legend(figure, y + 0.27)
    draw_panels(figure, boxes)
    y = end + 0.14
    for line in notes:
        y += SMALL_PT * LINE_IN
        write(figure, EDGE_IN, y, line, SMALL_PT, color=SOFT)
    return figure


def _title(figures: dict[str, Any]) -> str:
    return f"{figures.get('model', 'Generated images')} beside real images"


def _facts(figures: dict[str, Any]) -> list[str]:
    """Return what the title goes on to say, in parts that stay together."""
    facts = []
    if figures.get("weights_sha256"):
        facts.append(f"weights {figures['weights_sha256'][:HASH_LETTERS]}")
    made = f"{figures['images']:,} generated images"
    facts.append(made + (f" ({figures['prompts']} prompts)" if figures.get("prompts") else ""))
    if figures.get("steps"):
        facts.append(f"{figures['steps']} steps, guidance {figures['guidance']:g}")
    facts.append(f"{figures['real_images']:,} held-out real images")
    if figures.get("reference_images"):
        facts.append(f"{figures['reference_images']:,} real images as reference")
    networks = list(figures.get("distributions", {}))
    if networks:
        facts.append(f"features of {', '.join(networks)}")
    return facts


def _notes(figures: dict[str, Any]) -> list[str]:
    """Return the words of the foot of the page."""
    told = ["Bars are intervals of 95 %, where one is known:"]
    kinds = []
    if "reading_ratio_interval" in figures:
        kinds.append("of what the evaluator reads by bootstrap over real images")
    if figures.get("distributions"):
        kinds.append("of distances, precision and recall by delete-half jackknife")
    if "position" in figures:
        kinds.append("of places after Wilson")
    told.append(f"{'; '.join(kinds)}." if kinds else "")
    if figures.get("distributions"):
        told.append(
            "Frechet distance, MIFID, precision and recall depend on the number of images: "
            "compare generated with real in the same row, and never across feature networks."
        )
    return " ".join(told if kinds else told[2:]).split()


def _legend(figure: Any, y: float) -> None:
    """Draw what stands for generated and for real, once for the whole page."""
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    x = EDGE_IN
    for name, colour, marker, face, dash_pt in (
        ("generated", GENERATED, "o", GENERATED, ()),
        ("real images in their place", REAL, "D", "white", (4, 2)),
    ):
        figure.add_artist(Line2D(
            [x / width, (x + 0.2) / width, (x + 0.4) / width], [1 - (y - 0.04) / height] * 3,
            color=colour, marker=marker, markevery=[1], markersize=6, markerfacecolor=face,
            markeredgecolor=colour, dashes=dash_pt or (None, None), linewidth=1.4,
        ))  # fmt: skip
        write(figure, x + 0.5, y, name, BODY_PT)
        x += 0.5 + text_width_in(name) + 0.35
