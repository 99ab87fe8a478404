"""Builds a prompt from choices, for forms that offer one control per attribute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from data.domain import (
    COLOURS,
    FINDINGS,
    INSTRUMENTS,
    LANDMARKS,
    POLYP_SIZES,
    PROCEDURES,
    TRAINED_PARIS_TYPES,
)
from data.facts import Attributes, AttributeValueError
from data.grid import CELLS
from data.paraphrase import canonical_prompt

EXAMPLES_PATH: Final = Path(__file__).parent / "prompts" / "medvqa_gi_examples.txt"

PROMPT_CHOICES: Final[Mapping[str, tuple[Any, ...]]] = MappingProxyType(
    {
        "procedure": PROCEDURES,
        "findings": FINDINGS,
        "finding_count": (0, 1, 2, 3, 4, 5, 6),
        "finding_cells": CELLS,
        "colours": COLOURS,
        "polyp_count": (0, 1, 2, 3, 4, 5, 6),
        "polyp_sizes": POLYP_SIZES,
        "paris_types": TRAINED_PARIS_TYPES,
        "instruments": INSTRUMENTS,
        "instrument_count": (0, 1, 2, 3),
        "instrument_cells": CELLS,
        "landmarks": LANDMARKS,
        "landmark_cells": CELLS,
        "has_text": (True, False),
        "has_box": (True, False),
    }
)
"""Field of Attributes -> values to offer, those that the data set holds."""

_LISTED: Final = frozenset(
    name for name in PROMPT_CHOICES if getattr(Attributes(), name) == () and name != "procedure"
)


def build_prompt(**choices: Any) -> str:
    """Return the prompt that says the choices made.

    Args:
        choices: keys of PROMPT_CHOICES. None, "" and empty lists say nothing. Fields that list
            things take one value or several.

    Raises:
        AttributeValueError: for an unknown field or value, or choices that exclude each other.
    """
    return canonical_prompt(chosen_attributes(**choices))


def chosen_attributes(**choices: Any) -> Attributes:
    """Return the attributes that the choices say; arguments and errors as in build_prompt."""
    said: dict[str, Any] = {}
    for field, value in choices.items():
        if field not in PROMPT_CHOICES:
            raise AttributeValueError(
                f"unknown prompt field {field!r}; allowed: {', '.join(PROMPT_CHOICES)}. "
                "Remove it or correct its name."
            )
        if value is None or value == "":
            continue
        said[field] = _listed(field, value) if field in _LISTED else _single(field, value)
    attributes = Attributes(**said)
    conflicts = attributes.conflicts()
    if conflicts:
        raise AttributeValueError(
            f"these choices exclude each other: {'; '.join(conflicts)}. Change one of them."
        )
    return attributes


def example_prompts(path: Path = EXAMPLES_PATH) -> tuple[str, ...]:
    """Return the example prompts of a file: one a line, lines that open with # left out."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _listed(field: str, value: str | Iterable[str]) -> tuple[str, ...]:
    values = (value,) if isinstance(value, str) else tuple(value)
    return tuple(_single(field, one) for one in values)


def _single(field: str, value: Any) -> Any:
    allowed = PROMPT_CHOICES[field]
    is_flag = allowed == (True, False)
    if value not in allowed or isinstance(value, bool) != is_flag:
        raise AttributeValueError(
            f"{field} cannot be {value!r}; allowed: {', '.join(map(str, allowed))}, or nothing. "
            "Use one of these."
        )
    return value
