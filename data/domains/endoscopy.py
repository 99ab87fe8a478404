"""Endoscopy of the gastrointestinal tract, in the language of MedVQA-GI."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from data.attributes import TARGET_NAMES, Attributes, names_side, read_attributes
from data.domains.base import Domain, PromptField
from data.paraphrase import ALL_FACTS, canonical_prompt, correct_spelling, paraphrase, say
from data.prompt_builder import EXAMPLES_PATH, PROMPT_CHOICES, build_prompt
from data.vocabulary import find_terms

# Facts a paraphrase states, each drawn as often; None leaves the number open. Texts that state all
# are frequent, because a short text says little about its picture and so teaches little.
FACT_COUNTS: Final = (1, 2, 3, 5, None, ALL_FACTS, ALL_FACTS, ALL_FACTS)

_LABELS: Final = {
    "finding_cells": "Where the findings are",
    "finding_count": "Number of findings",
    "polyp_count": "Number of polyps",
    "polyp_sizes": "Polyp size",
    "paris_types": "Paris type",
    "instrument_count": "Number of instruments",
    "instrument_cells": "Where the instruments are",
    "landmark_cells": "Where the landmarks are",
    "has_text": "Burned-in text",
    "has_box": "Box artefact",
}


def _restate(attributes: Attributes, rng: random.Random) -> str:
    facts = rng.choice(FACT_COUNTS)
    if facts == ALL_FACTS:
        return paraphrase(attributes, rng, min_facts=ALL_FACTS)
    return paraphrase(attributes, rng, max_facts=facts)


def _may_mirror(attributes: Attributes | None, text: str) -> bool:
    """Say whether a flip turns no side into the other, and mirrors no writing and no box."""
    if attributes is None:
        return not names_side(text)
    has_overlay = attributes.has_text is not False or attributes.has_box is not False
    return not has_overlay and not names_side(text)


def _full_prompt(captions: Sequence[str]) -> str:
    return canonical_prompt(read_attributes(captions))


ENDOSCOPY: Final = Domain(
    name="endoscopy",
    label="GI endoscopy",
    target_names=TARGET_NAMES,
    read=read_attributes,
    find_terms=find_terms,
    say=say,
    restate=_restate,
    caption_share=0.2,
    may_mirror=_may_mirror,
    full_prompt=_full_prompt,
    correct=correct_spelling,
    fields=tuple(
        PromptField(
            name,
            _LABELS.get(name, name.replace("_", " ").capitalize()),
            values,
            is_list=getattr(Attributes(), name) == (),
        )
        for name, values in PROMPT_CHOICES.items()
    ),
    build_prompt=build_prompt,
    examples=EXAMPLES_PATH,
)
