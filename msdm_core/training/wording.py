"""Which words an image is trained with: its captions, and paraphrases of what they state."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from data.attributes import Attributes, names_side, read_attributes
from data.paraphrase import ALL_FACTS, correct_spelling, paraphrase
from data.records import ImageRecord

DROP_PROBABILITY = 0.1  # unconditional share, for classifier-free guidance
CAPTION_PROBABILITY = 0.2
# Facts a paraphrase states, each drawn as often; None leaves the number open. Texts that state all
# are frequent, because a short text says little about its picture and so teaches little.
FACT_COUNTS = (1, 2, 3, 5, None, ALL_FACTS, ALL_FACTS, ALL_FACTS)


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one image.

    Attributes:
        captions: As in the dataset, spelling corrected.
        attributes: What all captions together state; None where the captions are not in the
            language of endoscopy prompts, so that only they themselves are used.
    """

    captions: tuple[str, ...]
    attributes: Attributes | None

    @classmethod
    def of(cls, record: ImageRecord) -> Wording:
        """Return the wording of a record."""
        attributes = read_attributes(record.captions)
        if attributes == Attributes():
            return cls(record.captions, None)
        return cls(tuple(correct_spelling(c) for c in record.captions), attributes)

    def draw(self, rng: random.Random, drop: float = DROP_PROBABILITY) -> str:
        """Return a text for one training step; empty with the given probability."""
        if rng.random() < drop:
            return ""
        if self.attributes is None or rng.random() < CAPTION_PROBABILITY:
            count = min(len(self.captions), rng.choice((1, 1, 2, 3, 4)))
            return " ".join(rng.sample(self.captions, count))
        facts = rng.choice(FACT_COUNTS)
        if facts == ALL_FACTS:
            return paraphrase(self.attributes, rng, min_facts=ALL_FACTS)
        return paraphrase(self.attributes, rng, max_facts=facts)

    def may_mirror(self, text: str) -> bool:
        """Return whether a left-right flip keeps text and picture true to each other.

        A flip would turn *left* into *right*, mirror burned-in writing, and move the scope
        guide's box to a side where it never is.
        """
        if self.attributes is None:
            return not names_side(text)
        has_overlay = self.attributes.has_text is not False or self.attributes.has_box is not False
        return not has_overlay and not names_side(text)


def wordings(records: Sequence[ImageRecord]) -> list[Wording]:
    """Return the wording of each record."""
    return [Wording.of(record) for record in records]
