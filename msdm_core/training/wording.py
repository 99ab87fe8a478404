"""Which words an image is trained with: its captions, and paraphrases of what they state."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.domains import ENDOSCOPY, Domain
from data.records import ImageRecord
from data.trained_terms import count_terms, write_trained_terms

DROP_PROBABILITY = 0.1  # unconditional share, for classifier-free guidance


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one image.

    Attributes:
        captions: As in the dataset, spelling corrected.
        attributes: What all captions together state; None where the captions are not in the
            language of the domain's prompts, so that only they themselves are used.
        domain: Whose language the captions are in.
    """

    captions: tuple[str, ...]
    attributes: Any
    domain: Domain = ENDOSCOPY

    @classmethod
    def of(cls, record: ImageRecord, domain: Domain = ENDOSCOPY) -> Wording:
        """Return the wording of a record."""
        facts = domain.read(record.captions)
        if facts == domain.nothing:
            return cls(record.captions, None, domain)
        return cls(tuple(domain.correct(c) for c in record.captions), facts, domain)

    def draw(self, rng: random.Random, drop: float = DROP_PROBABILITY) -> str:
        """Return a text for one training step; empty with the given probability."""
        if rng.random() < drop:
            return ""
        if self.attributes is None or rng.random() < self.domain.caption_share:
            count = min(len(self.captions), rng.choice((1, 1, 2, 3, 4)))
            return " ".join(rng.sample(self.captions, count))
        return self.domain.restate(self.attributes, rng)

    def may_mirror(self, text: str) -> bool:
        """Return whether a left-right flip keeps text and picture true to each other.

        In endoscopy a flip would turn *left* into *right*, mirror burned-in writing, and move the
        scope guide's box to a side where it never is. In radiology it would move the heart and the
        markers of side, so there is none.
        """
        return self.domain.may_mirror(self.attributes, text)

    def states_finding(self, text: str) -> bool:
        """Return whether a text states a finding that can be seen in the picture."""
        return bool(text) and bool(getattr(self.domain.read((text,)), "findings", ()))


def wordings(records: Sequence[ImageRecord], domain: Domain = ENDOSCOPY) -> list[Wording]:
    """Return the wording of each record."""
    return [Wording.of(record, domain) for record in records]


def write_terms(folder: Path, words: Sequence[Wording]) -> None:
    """Write into a checkpoint folder how often its training images stated each concept."""
    stated = [entry.attributes for entry in words if entry.attributes is not None]
    if stated:
        domain = words[0].domain
        write_trained_terms(folder, count_terms(stated, domain), domain)
