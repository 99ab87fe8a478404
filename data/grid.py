"""The 3x3 grid in which prompts say where something lies."""

from __future__ import annotations

from typing import Final

ROWS: Final = ("upper", "center", "lower")
COLUMNS: Final = ("left", "center", "right")

CELLS: Final[tuple[str, ...]] = (
    "upper-left",
    "upper-center",
    "upper-right",
    "center-left",
    "center",
    "center-right",
    "lower-left",
    "lower-center",
    "lower-right",
)

DIRECTIONS: Final[dict[str, str]] = {
    "upper": "upper",
    "top": "upper",
    "superior": "upper",
    "lower": "lower",
    "bottom": "lower",
    "inferior": "lower",
    "center": "center",
    "central": "center",
    "centrally": "center",
    "middle": "center",
    "mid": "center",
    "left": "left",
    "lefthand": "left",
    "right": "right",
    "righthand": "right",
}
"""Direction words, in the spelling that the lexer normalises to."""

AREA_NOUNS: Final = frozenset(
    "quadrant corner area region part portion edge margin zone border segment sector".split()
)
BAND_NOUNS: Final = frozenset("half side third row column".split())
ANATOMY_NOUNS: Final = frozenset(
    "colon sided colitis hemicolon flexure body lobe esophagus esophageal gi gastrointestinal "
    "rectum stomach sphincter endoscopy tract limit quality".split()
)
"""After one of these a direction word names a place in the body, not in the picture."""


def cell_of(first: str, second: str) -> str | None:
    """Return the cell that two directions name, in either order.

    Args:
        first: "upper", "lower", "center", "left" or "right".
        second: the same.

    Returns:
        A name out of CELLS, or None where the two do not make a cell (upper and lower).
    """
    for row, column in ((first, second), (second, first)):
        if row in ROWS and column in COLUMNS:
            if row == column:
                return "center"
            return f"{row}-{column}"
    return None


def single_cell(direction: str) -> str:
    """Return the one cell that a lone direction names: "left" is the middle cell of the left."""
    if direction == "center":
        return "center"
    return f"{direction}-center" if direction in ROWS else f"center-{direction}"


def band(direction: str) -> tuple[str, ...]:
    """Return the three cells of a half or side of the picture: "upper half", "left side"."""
    if direction == "center":
        return ("center",)
    return tuple(cell for cell in CELLS if direction in cell.split("-"))
