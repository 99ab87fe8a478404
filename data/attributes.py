"""Structured attributes of endoscopy prompts: reads one prompt, or all prompts of one image."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Final

from data.domain import (
    ABSENT_NAMES,
    COLOURS,
    FINDINGS,
    INSTRUMENTS,
    LANDMARKS,
    PARIS_TYPES,
    POLYP_SIZES,
    PROCEDURES,
    TARGET_NAMES,
)
from data.facts import Attributes, AttributeValueError
from data.reading import COUNTED, Said, read_prompt

__all__ = [
    "COLOURS",
    "FINDINGS",
    "INSTRUMENTS",
    "LANDMARKS",
    "PARIS_TYPES",
    "POLYP_SIZES",
    "PROCEDURES",
    "TARGET_NAMES",
    "AttributeValueError",
    "Attributes",
    "names_side",
    "read_attributes",
]

MAX_CACHED_CHARS: Final = 400
_SIDE = re.compile(
    r"(?<![a-z])(?:upper|lower|cent(?:er|re)|top|bottom|mid|middle)?(?:left|right|rigth)", re.I
)


class _Ledger:
    """Collects what the nouns of one or many prompts say; what is there outweighs what is not."""

    def __init__(self) -> None:
        self.present: set[str] = set()
        self.absent: set[str] = set()
        self.counts: dict[str, int] = {}
        self.several: set[str] = set()
        self.cells: dict[str, set[str]] = {"finding": set(), "instrument": set(), "landmark": set()}

    def add(self, said: Said) -> None:
        self.present.update(said.qualifiers)
        for noun in said.nouns:
            if noun.polarity is None:
                continue
            if not noun.polarity:
                self.absent.add(noun.concept)
                continue
            self.present.add(noun.concept)
            kind = COUNTED.get(noun.concept)
            if kind and noun.is_several:
                self.several.add(kind)
            head = noun.concept.partition(":")[0]
            if head in self.cells:
                self.cells[head].update(noun.cells)
        for kind, count in said.counts.items():
            self.counts[kind] = max(count, self.counts.get(kind, 0))

    def _values(self, head: str) -> tuple[str, ...]:
        return tuple(c[len(head) + 1 :] for c in self.present if c.startswith(head + ":"))

    def _flag(self, concept: str) -> bool | None:
        if concept in self.present:
            return True
        return False if concept in self.absent else None

    def _count(self, kind: str, concept: str) -> int | None:
        if kind in self.counts:
            return self.counts[kind]
        is_denied = concept in self.absent or (kind == "finding" and "normal" in self.present)
        return 0 if is_denied else None

    def attributes(self) -> Attributes:
        """Return the attributes, in which nothing contradicts anything else."""
        procedures = self._values("procedure")
        return Attributes(
            procedure=procedures[0] if len(procedures) == 1 else None,
            findings=self._values("finding"),
            has_finding="finding" in self.present,
            finding_count=self._count("finding", "finding"),
            polyp_count=self._count("polyp", "finding:polyp"),
            instrument_count=self._count("instrument", "instrument"),
            several=tuple(self.several),
            finding_cells=tuple(self.cells["finding"]),
            colours=self._values("colour"),
            polyp_sizes=self._values("size"),
            paris_types=self._values("paris"),
            instruments=self._values("instrument"),
            has_instrument="instrument" in self.present,
            instrument_cells=tuple(self.cells["instrument"]),
            landmarks=self._values("landmark"),
            has_landmark="landmark" in self.present,
            landmark_cells=tuple(self.cells["landmark"]),
            has_text=self._flag("text"),
            has_box=self._flag("box"),
            absent=tuple(name for name in self.absent if name in ABSENT_NAMES),
        ).resolved()


_read_short_prompt = functools.lru_cache(maxsize=8192)(read_prompt)


@functools.lru_cache(maxsize=8192)
def _read_alone(prompt: str) -> Attributes:
    ledger = _Ledger()
    ledger.add(read_prompt(prompt))
    return ledger.attributes()


def read_attributes(prompts: str | Iterable[str]) -> Attributes:
    """Return what a prompt, or all the prompts of one image together, say.

    Where prompts contradict each other, what is there outweighs what is said to be absent, and the
    larger of two numbers holds.

    Args:
        prompts: one prompt of any length, or several prompts about the same image.
    """
    if isinstance(prompts, str):
        if len(prompts) <= MAX_CACHED_CHARS:
            return _read_alone(prompts)
        prompts = (prompts,)
    ledger = _Ledger()
    for prompt in prompts:
        is_short = len(prompt) <= MAX_CACHED_CHARS
        ledger.add(_read_short_prompt(prompt) if is_short else read_prompt(prompt))
    return ledger.attributes()


def names_side(prompt: str) -> bool:
    """Return whether a prompt names left or right, so that a mirrored image would belie it."""
    return _SIDE.search(prompt) is not None
