"""Reads radiology captions into what they state plainly, and marks the terms of a prompt.

A finding counts where it is stated; denied ("no pneumothorax") it is absent; guessed at, or of the
past ("suspicious for a tumour", "after resection of a mass"), it says nothing about the picture.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from typing import Final

from data.radiology.facts import TARGET_NAMES, RadiologyFacts, age_group
from data.radiology.lexer import Item, read_items
from data.vocabulary import Span, Term, TermReport

_BEFORE_MODALITY: Final = ("region", "view", "plane", "side", "modality", "contrast", "sex")
_TRAINED: Final = frozenset(TARGET_NAMES)


class _Reader:
    """One pass over the items of a caption."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.present: set[str] = set()
        self.absent: set[str] = set()
        self.ages: set[int] = set()
        self.clause: list[str] = []
        self.is_negated = False
        self.is_guess = False

    def read(self) -> None:
        for at, item in enumerate(self.items):
            if item.kind == "concept":
                self._concept(item)
            elif item.kind == "age":
                self.ages.add(int(item.concepts[0]))
            elif item.kind == "normal alone":
                if not self.is_negated and self._is_of_the_image(at):
                    self.present.add("normal")
            else:
                self._steer(at, item.kind)

    def _concept(self, item: Item) -> None:
        for concept in item.concepts:
            if concept.startswith("finding:"):
                self.clause.append(concept)
                if not self.is_guess:
                    (self.absent if self.is_negated else self.present).add(concept)
            elif not (self.is_negated and concept.startswith(("side:", "normal"))):
                self.present.add(concept)

    def _steer(self, at: int, kind: str) -> None:
        if kind in ("stop", "with"):
            self.is_negated = self.is_guess = False
            self.clause = []
        elif kind == "neg":
            self.is_negated, self.is_guess = True, False
        elif kind == "hedge":
            self.is_guess = True
        elif kind == "neg after":
            self.present.difference_update(self.clause)
            self.absent.update(self.clause)
        elif kind == "comma":
            self.is_guess = False
            self.is_negated = self.is_negated and self._list_goes_on(at)
            if not self.is_negated:
                self.clause = []
        elif kind == "and" and self._kind(at + 1) == "article":
            self.is_negated = False

    def _list_goes_on(self, at: int) -> bool:
        """Say whether a comma in a denial stands in a list: "no effusion, nodule or mass"."""
        for item in self.items[at + 1 : at + 12]:
            if item.kind in ("stop", "with", "neg", "hedge"):
                return False
            if item.kind == "or":
                return True
        return False

    def _kind(self, at: int) -> str:
        return self.items[at].kind if 0 <= at < len(self.items) else "stop"

    def _is_of_the_image(self, at: int) -> bool:
        """Say whether "normal" is said of all of the image, not of one structure in it."""
        if self._kind(at - 1) == "copula":
            return False
        after = at + 1
        while self._kind(after) == "concept":
            concept = self.items[after].concepts[0]
            if not concept.startswith(_BEFORE_MODALITY):
                return False
            if any(name.startswith("modality") for name in self.items[after].concepts):
                return True
            after += 1
        return after == at + 1 and self._kind(after) in ("stop", "comma")


@functools.lru_cache(maxsize=8192)
def _read_one_caption(caption: str) -> _Reader:
    reader = _Reader(read_items(caption))
    reader.read()
    return reader


def read_facts(captions: str | Iterable[str]) -> RadiologyFacts:
    """Return what a caption, or all the captions of one image together, state plainly.

    Args:
        captions: one text of any length, or several about the same image; what one says to be
            there outweighs what another denies.
    """
    present: set[str] = set()
    absent: set[str] = set()
    ages: set[int] = set()
    for caption in (captions,) if isinstance(captions, str) else captions:
        reader = _read_one_caption(caption)
        present |= reader.present
        absent |= reader.absent
        ages |= reader.ages
    sexes = _values(present, "sex")
    has_contrast = "contrast" in present
    return RadiologyFacts(
        modalities=_values(present, "modality"),
        regions=_values(present, "region"),
        views=_values(present, "view"),
        planes=_values(present, "plane"),
        sides=_values(present, "side"),
        has_contrast=has_contrast if has_contrast != ("no contrast" in present) else None,
        findings=_values(present, "finding"),
        is_normal="normal" in present,
        absent=_values(absent, "finding"),
        sex=sexes[0] if len(sexes) == 1 else None,
        age_years=ages.pop() if len(ages) == 1 else None,
    )


def _values(concepts: Iterable[str], kind: str) -> tuple[str, ...]:
    return tuple(name.partition(":")[2] for name in concepts if name.startswith(f"{kind}:"))


def find_terms(prompt: str, concepts: Collection[str] | None = None) -> TermReport:
    """Return the terms of a prompt that are known, and the words that will be ignored.

    Function words and negations are neither.

    Args:
        prompt: text of any length.
        concepts: target names that the model was trained on; None is all of TARGET_NAMES.
    """
    trained = _TRAINED if concepts is None else frozenset(concepts)
    known: list[Term] = []
    ignored: list[Span] = []
    for item in read_items(prompt):
        text = prompt[item.start : item.end]
        if item.kind in ("concept", "age", "normal alone"):
            names = [name for name in map(_target_of, _named(item)) if name in trained]
            if names:
                known.append(Term(item.start, item.end, text, names[0]))
                continue
        elif item.kind != "unknown":
            continue
        ignored.append(Span(item.start, item.end, text))
    return TermReport(tuple(known), tuple(ignored))


def _named(item: Item) -> tuple[str, ...]:
    if item.kind == "age":
        return (f"age:{age_group(int(item.concepts[0]))}",)
    return item.concepts or ("normal",)


def _target_of(concept: str) -> str:
    return "contrast" if concept == "no contrast" else concept
