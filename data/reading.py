"""Reads one endoscopy prompt into what it says of findings, instruments, landmarks and so on.

The reading is one pass over the mentions of a prompt, so its time is linear in the length of the
prompt. Negation reaches from "no", "without", ... over a list joined by "or", and ends at the end
of the sentence, at "but" or "with", and at an article, a number or a comma that opens something
new: "no instrument, one polyp" keeps the polyp.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from data.grid import CELLS
from data.lexer import Item, read_items

_LOOKAHEAD: Final = 12
_SUBJECTS: Final = frozenset({"finding", "instrument", "landmark", "text", "box"})
_QUALIFIERS: Final = frozenset({"paris", "size", "colour"})
COUNTED: Final = {"finding": "finding", "finding:polyp": "polyp", "instrument": "instrument"}


class Noun:
    """A finding, instrument, landmark, text, box or procedure that a prompt speaks of."""

    __slots__ = ("cells", "concept", "count", "is_several", "polarity", "sentence")

    def __init__(self, concept: str, polarity: bool | None, sentence: int) -> None:
        """Take the concept, whether it is there (None: not to be counted) and its sentence."""
        self.concept = concept
        self.polarity = polarity
        self.sentence = sentence
        self.count: int | None = None
        self.is_several = False
        self.cells: list[str] = []


class Said(NamedTuple):
    """What one prompt says, before prompts are merged."""

    nouns: tuple[Noun, ...]
    qualifiers: tuple[str, ...]
    counts: dict[str, int]


class _Reader:
    """State of one pass over the items of a prompt."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.nouns: list[Noun] = []
        self.loose: list[str] = []
        self.sentence_start = 0
        self.segment_start = 0
        self.is_negated = False
        self.has_negated_noun = False
        self.negates_other = False
        self.number: int | None = None
        self.is_several = False
        self.qualifiers: list[str] = []
        self.waiting_cells: list[str] = []
        self.after_colon = False

    def read(self) -> list[Noun]:
        for at, item in enumerate(self.items):
            kind = item.kind
            if kind == "concept":
                self._concept(at, item)
            elif kind == "cells":
                self._cells(at, item.concepts)
            elif kind != "neutral" and kind != "unknown" and kind != "place":
                self._steer(at, item, kind)
        self._end_sentence()
        return self.nouns

    def _concept(self, at: int, item: Item) -> None:
        concept = item.concepts[0]
        head = concept.partition(":")[0]
        if head in _QUALIFIERS:
            self._qualifier(at, concept)
        elif concept == "cells:all":
            self._cells(at, CELLS)
        else:
            self._noun(at, concept, item.is_plural)

    def _end_negation(self) -> None:
        self.is_negated = self.has_negated_noun = self.negates_other = False

    def _noun(self, at: int, concept: str, is_plural: bool) -> None:
        if concept.startswith("procedure"):
            is_meant = not self.is_negated or self.has_negated_noun
            self.nouns.append(Noun(concept, is_meant or None, self.sentence_start))
            return
        if concept.startswith("landmark") and self.has_negated_noun and at:
            if self.items[at - 1].kind == "place":
                self._end_negation()
        polarity: bool | None = not self.is_negated
        if self.is_negated:
            if self.negates_other or (self.qualifiers and not self.has_negated_noun):
                polarity = None
            self.has_negated_noun = True
        noun = Noun(concept, polarity, self.sentence_start)
        if concept in COUNTED:
            noun.count = self.number
            noun.is_several = self.is_several or (
                is_plural and concept == "finding:polyp" and self.number is None
            )
        if concept.partition(":")[0] in _SUBJECTS and self.waiting_cells:
            noun.cells.extend(self.waiting_cells)
            self.waiting_cells = []
        if not concept.startswith("finding"):
            self._drop_colours(at)
        self._keep_qualifiers()
        self.number = None
        self.is_several = False
        self.nouns.append(noun)

    def _qualifier(self, at: int, concept: str) -> None:
        if self.is_negated and self.has_negated_noun:
            if self.items[at - 1].kind == "or":
                return
            self._end_negation()
        self.qualifiers.append(concept)

    def _drop_colours(self, at: int) -> None:
        """Forget colours that stand right before what is no finding: "a white tube"."""
        if self.items[at - 1].concepts[:1] == tuple(self.qualifiers[-1:]):
            while self.qualifiers and self.qualifiers[-1].startswith("colour"):
                self.qualifiers.pop()

    def _keep_qualifiers(self) -> None:
        if not self.is_negated:
            self.loose.extend(self.qualifiers)
        self.qualifiers = []

    def _subject(self) -> Noun | None:
        for noun in reversed(self.nouns[self.sentence_start :]):
            if noun.concept.partition(":")[0] in _SUBJECTS:
                return noun
        return None

    def _is_noun(self, at: int) -> bool:
        if at >= len(self.items) or self.items[at].kind != "concept":
            return False
        return not self.items[at].concepts[0].startswith(("procedure", "cells"))

    def _cells(self, at: int, cells: Iterable[str]) -> None:
        subject = self._subject()
        opens_noun = self._is_noun(at + 1)
        if at + 1 < len(self.items) and self.items[at + 1].kind == "article":
            opens_noun = self._is_noun(at + 2)  # "the lower half a snare"
        before = self.items[at - 1].kind if at else "stop"
        is_placed = before == "place" or (
            before == "article" and at > 1 and self.items[at - 2].kind == "place"
        )
        if subject is None or (opens_noun and not is_placed):
            self.waiting_cells.extend(cells)
        else:
            subject.cells.extend(cells)

    def _steer(self, at: int, item: Item, kind: str) -> None:
        if kind == "stop":
            self._end_sentence()
        elif kind in ("comma", "colon", "but"):
            self._break(at, kind)
        elif kind == "neg":
            self._negate(at)
        elif kind == "neg after":
            self._negate_backwards()
        elif kind == "tissue":
            self._drop_colours(at)
        elif kind == "free":
            self.segment_start = max(self.segment_start, len(self.nouns) - 1)
            self._negate_backwards()
        elif kind == "with":
            if self.has_negated_noun:
                self._end_negation()
            if not self.is_negated:
                self._end_segment()
        elif kind in ("article", "number", "several"):
            if self.has_negated_noun and self.items[at - 1].kind != "or":
                self._end_negation()
            if kind == "number":
                self._number(at, int(item.concepts[0]))
            self.is_several = self.is_several or kind == "several"
        elif kind == "other" and self.is_negated and not self.has_negated_noun:
            self.negates_other = True

    def _number(self, at: int, number: int) -> None:
        is_answer = at > 0 and self.items[at - 1].kind == "colon" and not self._is_noun(at + 1)
        if number == 0:
            self._negate(at)
        elif is_answer and self.nouns:
            self.nouns[-1].count, self.nouns[-1].is_several = number, False
        else:
            self.number = number

    def _negate(self, at: int) -> None:
        self._keep_qualifiers()
        self.is_negated = True
        self.has_negated_noun = self.negates_other = False
        self.number = None
        self.after_colon = at > 0 and self.items[at - 1].kind == "colon"

    def _negate_backwards(self) -> None:
        for noun in self.nouns[self.segment_start :]:
            if not noun.concept.startswith("procedure"):
                noun.polarity = False
        self.segment_start = len(self.nouns)

    def _is_qualifier(self, at: int) -> bool:
        if not 0 <= at < len(self.items) or self.items[at].kind != "concept":
            return False
        return self.items[at].concepts[0].partition(":")[0] in _QUALIFIERS

    def _break(self, at: int, kind: str) -> None:
        if kind == "comma" and self._is_qualifier(at - 1) and self._is_qualifier(at + 1):
            return
        self._keep_qualifiers()
        if self.is_negated:
            self._close_answer()
            if kind != "comma" or not self._list_goes_on(at):
                self._end_negation()
        self.number = None
        self.is_several = False
        if kind != "colon":
            self._end_segment()

    def _close_answer(self) -> None:
        if self.after_colon and not self.has_negated_noun:
            self._negate_backwards()
        self.after_colon = False

    def _list_goes_on(self, at: int) -> bool:
        """Say whether the comma at this place joins a list under one "no": "no a, b or c"."""
        if not self.has_negated_noun:
            return True
        for item in self.items[at + 1 : at + 1 + _LOOKAHEAD]:
            if item.kind == "or":
                return True
            if item.kind not in ("concept", "comma"):
                return False
        return False

    def _end_segment(self) -> None:
        self.segment_start = len(self.nouns)

    def _end_sentence(self) -> None:
        if self.is_negated:
            self._close_answer()
        self._keep_qualifiers()
        if self.waiting_cells and self.sentence_start:
            for noun in reversed(self.nouns[: self.sentence_start]):
                if noun.concept.partition(":")[0] in _SUBJECTS:
                    noun.cells.extend(self.waiting_cells)
                    break
        self.waiting_cells = []
        self._end_negation()
        self.number = None
        self.is_several = False
        self.sentence_start = len(self.nouns)
        self._end_segment()


def read_prompt(prompt: str) -> Said:
    """Return what one prompt says."""
    reader = _Reader(read_items(prompt))
    nouns = reader.read()
    per_sentence: dict[tuple[str, int], int] = {}
    for noun in nouns:
        kind = COUNTED.get(noun.concept)
        if kind and noun.count and noun.polarity:
            key = (kind, noun.sentence)
            per_sentence[key] = per_sentence.get(key, 0) + noun.count
    counts: dict[str, int] = {}
    for (kind, _), count in per_sentence.items():
        counts[kind] = max(count, counts.get(kind, 0))
    return Said(tuple(nouns), tuple(reader.loose), counts)
