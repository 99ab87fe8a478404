"""Reads the measures in prompts: polyp sizes, Paris classes and places on the grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from data.grid import ANATOMY_NOUNS, AREA_NOUNS, BAND_NOUNS, DIRECTIONS, band, cell_of, single_cell
from data.tokens import JOINERS, Token

MAX_SIZE_MM: Final = 150
_UNITS: Final = {"mm": 1.0, "cm": 10.0}
_PARIS: Final = {
    "is": "Is",
    "ip": "Ip",
    "isp": "Isp",
    "iia": "IIa",
    "iib": "IIb",
    "iic": "IIc",
    "iii": "III",
}
LESS_WORDS: Final = frozenset({"less", "smaller", "under", "below", "<"})
MORE_WORDS: Final = frozenset({"more", "larger", "greater", "bigger", "over", "above", ">"})
_CELL_OPENERS: Final = frozenset(
    "the in on at to towards toward located near within occupying and or".split()
)


def read_size(tokens: Sequence[Token], at: int) -> tuple[str, int] | None:
    """Return a polyp size class and the index after it: "<5 mm", "7 x 4 mm", "5-10 mm", "1 cm"."""
    start, comparison = at, 0
    word = tokens[at].word
    if word in LESS_WORDS or word in MORE_WORDS:
        comparison = -1 if word in LESS_WORDS else 1
        at += 2 if _word(tokens, at + 1) == "than" else 1
    elif word == "between":
        at += 1
    elif at and (tokens[at - 1].word == "than" or tokens[at - 1].word in LESS_WORDS | MORE_WORDS):
        return None  # the whole comparison was no size class: "smaller than 10 mm"
    low, at = _number(tokens, at)
    if low is None:
        return None
    low, high, scale, at = _rest_of_size(tokens, at, low, word == "between")
    if scale is None:
        is_class = (low, high) in ((5.0, 10.0), (11.0, 20.0))
        if not is_class and not (comparison and low in (5.0, 20.0)):
            return None
        scale = 1.0
    elif _is_depth(tokens, start, at):
        return None
    size = _size_class(low * scale, high * scale, comparison)
    return (size, at) if size else None


def _rest_of_size(
    tokens: Sequence[Token], at: int, low: float, is_between: bool
) -> tuple[float, float, float | None, int]:
    """Return both numbers, the millimetres per unit (None without unit) and the index after."""
    high = low
    word = _word(tokens, at)
    if word in JOINERS or word == "to" or (word == "and" and is_between):
        second, after = _number(tokens, at + 1)
        if second is not None:
            high, at = second, after
        elif _word(tokens, at + 1) in _UNITS:
            at += 1
    scale = _UNITS.get(_word(tokens, at))
    at += scale is not None
    while _word(tokens, at) in ("x", "\u00d7", "by"):
        other, after = _number(tokens, at + 1)
        if other is None:
            break
        low = high = max(high, other)
        at = after
        scale = _UNITS.get(_word(tokens, at), scale)
        at += _word(tokens, at) in _UNITS
    return low, high, scale, at


def _word(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].word if at < len(tokens) else ""


def _number(tokens: Sequence[Token], at: int) -> tuple[float | None, int]:
    if at < len(tokens) and tokens[at].is_number():
        return float(tokens[at].word.replace(",", ".")), at + 1
    return None, at


def _size_class(low_mm: float, high_mm: float, comparison: int) -> str | None:
    if comparison < 0:
        return "<5 mm" if high_mm <= 5 else None
    if comparison > 0:
        return ">20 mm" if low_mm >= 20 else None
    middle_mm = (low_mm + high_mm) / 2
    if middle_mm < 5:
        return "<5 mm"
    if middle_mm <= 10:
        return "5-10 mm"
    if middle_mm <= 20:
        return "11-20 mm"
    return ">20 mm" if middle_mm <= MAX_SIZE_MM else None


def _is_depth(tokens: Sequence[Token], start: int, after: int) -> bool:
    """Say whether a length is a depth: "the z-line at 38 cm", "15 cm from the incisors"."""
    if start > 0 and tokens[start - 1].word == "at":
        return True
    return _word(tokens, after) in ("from", "above", "below")


def read_paris(
    tokens: Sequence[Token], at: int, *, is_capital: bool, follows_class: bool
) -> tuple[str, int] | None:
    """Return a Paris class and the index after it: after "paris", after "0-", or a lone "Is".

    Args:
        tokens: tokens of the prompt.
        at: index to read at.
        is_capital: whether the token there is written "Is", inside a sentence.
        follows_class: whether the token there continues a list of Paris classes.
    """
    if tokens[at].word == "paris":
        at += 1
        while at < len(tokens) and tokens[at].word in ("type", "class", "classification", ":", "-"):
            at += 1
    elif tokens[at].word == "is":
        if not is_capital and not follows_class:
            return None
    if at + 2 < len(tokens) and tokens[at].word == "0" and tokens[at + 1].word in JOINERS:
        at += 2
    if at >= len(tokens) or tokens[at].word not in _PARIS:
        return None
    return _PARIS[tokens[at].word], at + 1


def read_cells(tokens: Sequence[Token], at: int) -> tuple[tuple[str, ...], int] | None:
    """Return the cells that direction words name, and the index after them."""
    first, after = DIRECTIONS[tokens[at].word], at + 1
    if after < len(tokens) and tokens[after].word == "most":
        after += 1
    second_at = after + 1 if after < len(tokens) and tokens[after].word in JOINERS else after
    second = DIRECTIONS.get(tokens[second_at].word) if second_at < len(tokens) else None
    if second is not None and _starts_corner(tokens, second_at, first):
        second = None
    cell = cell_of(first, second) if second is not None else None
    if cell is not None:
        after = second_at + 1
        if after < len(tokens) and tokens[after].word in AREA_NOUNS:
            after += 1
        return (cell,), after
    following = tokens[after].word if after < len(tokens) else ","
    if following in JOINERS and after + 1 < len(tokens):
        following = tokens[after + 1].word
    if following in ANATOMY_NOUNS:
        return None
    if following in BAND_NOUNS:
        return band(first), after + 1
    if following in AREA_NOUNS:
        return (single_cell(first),), after + 1
    before = tokens[at - 1].word if at else ","
    is_listed = following in ("and", "or") or not following.isalpha()
    if before in _CELL_OPENERS or (before in ",.;:(" and is_listed):
        return (single_cell(first),), after
    return None


def _starts_corner(tokens: Sequence[Token], at: int, first: str) -> bool:
    if first != "center" or at + 1 >= len(tokens):
        return False
    third_at = at + 2 if tokens[at + 1].word in JOINERS and at + 2 < len(tokens) else at + 1
    third = DIRECTIONS.get(tokens[third_at].word)
    second = DIRECTIONS[tokens[at].word]
    return third is not None and second in ("upper", "lower") and third in ("left", "right")
