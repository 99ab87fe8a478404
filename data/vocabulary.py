"""Says which words of a prompt are concepts that a model was trained on, and which it ignores."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from data.concepts import CONCEPTS
from data.domain import TARGET_NAMES
from data.grid import CELLS
from data.lexer import Item, read_items

_TRAINED: Final = frozenset(TARGET_NAMES)
_CELL_SUBJECTS: Final = ("finding", "instrument", "landmark")


class Span(NamedTuple):
    """A stretch of the prompt, prompt[start:end]."""

    start: int
    end: int
    text: str


class Term(NamedTuple):
    """A stretch of the prompt that names a concept."""

    start: int
    end: int
    text: str
    concept: str


class TermReport(NamedTuple):
    """What of a prompt is trained vocabulary (known) and what has no effect (ignored)."""

    known: tuple[Term, ...]
    ignored: tuple[Span, ...]


def find_terms(prompt: str, concepts: Collection[str] | None = None) -> TermReport:
    """Return the terms of a prompt that are known, and the words that will be ignored.

    Function words (generate, an, image, of, ...) and negations are neither.

    Args:
        prompt: text of any length.
        concepts: target names that the model was trained on; None is all of TARGET_NAMES.
    """
    trained = _TRAINED if concepts is None else frozenset(concepts)
    known: list[Term] = []
    ignored: list[Span] = []
    for item in read_items(prompt):
        text = prompt[item.start : item.end]
        if item.kind in ("concept", "cells"):
            concept = _concept_name(item)
            if _is_trained(item, concept, trained):
                known.append(Term(item.start, item.end, text, concept))
            else:
                ignored.append(Span(item.start, item.end, text))
        elif item.kind == "unknown":
            ignored.append(Span(item.start, item.end, text))
    return TermReport(tuple(known), tuple(ignored))


def wordings(concept: str) -> tuple[str, ...]:
    """Return the wordings of a concept, the canonical one first; empty for an unknown concept."""
    return CONCEPTS.get(concept, ())


def _concept_name(item: Item) -> str:
    if item.kind == "concept":
        return item.concepts[0]
    return f"cell:{item.concepts[0]}" if len(item.concepts) == 1 else "cells"


def _is_trained(item: Item, concept: str, trained: frozenset[str]) -> bool:
    if concept == "normal":
        return "finding" in trained
    if concept.startswith("cell"):
        cells = item.concepts if item.kind == "cells" else CELLS
        return any(f"{head} cell:{cell}" in trained for head in _CELL_SUBJECTS for cell in cells)
    return concept in trained
