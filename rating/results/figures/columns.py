"""Parts of a figure below each other, in a second column where one page would not hold them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from .sheet import COLUMN_MM, PAGE_MM

GAP_MM: Final = 4.0
_TALLEST_MM: Final = 210.0
_SECOND_MM: Final = PAGE_MM - COLUMN_MM


class Columns(NamedTuple):
    """Where parts stand.

    Args:
        width_mm: Of the sheet.
        body_mm:  Height of its body.
        corners:  Upper left corner of each part.
    """

    width_mm: float
    body_mm: float
    corners: tuple[tuple[float, float], ...]


def in_columns(heights_mm: Sequence[float]) -> Columns:
    """Return the places of parts: one column of a journal, or two where one gets too tall.

    Args:
        heights_mm: Of the parts; each is as wide as a column.
    """
    total = _stack(heights_mm)
    if total <= _TALLEST_MM or len(heights_mm) < 2:
        return Columns(COLUMN_MM, total, _corners(heights_mm, 0.0))
    cuts = range(1, len(heights_mm))
    cut = min(cuts, key=lambda at: max(_stack(heights_mm[:at]), _stack(heights_mm[at:])))
    first, second = heights_mm[:cut], heights_mm[cut:]
    corners = (*_corners(first, 0.0), *_corners(second, _SECOND_MM))
    return Columns(PAGE_MM, max(_stack(first), _stack(second)), corners)


def _stack(heights_mm: Sequence[float]) -> float:
    return sum(heights_mm) + GAP_MM * (len(heights_mm) - 1)


def _corners(heights_mm: Sequence[float], x: float) -> tuple[tuple[float, float], ...]:
    return tuple(
        (x, sum(heights_mm[:index]) + GAP_MM * index) for index in range(len(heights_mm))
    )
