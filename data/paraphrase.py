"""Says Attributes in words: random paraphrases for training, one canonical prompt for display."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import Any, Final

from data.facts import Attributes
from data.spelling import correct_spelling
from data.wording import (
    PROCEDURE_WORDS,
    Part,
    Wording,
    american,
    joined,
    negative_parts,
    positive_parts,
    with_article,
)

__all__ = [
    "ALL_FACTS",
    "canonical_prompt",
    "choose_facts",
    "correct_spelling",
    "facts_of",
    "paraphrase",
    "say",
]

ALL_FACTS: Final = sys.maxsize
"""As min_facts: say everything."""

_SINGLE_FIELDS: Final = (
    "procedure",
    "finding_count",
    "polyp_count",
    "instrument_count",
    "finding_cells",
    "colours",
    "polyp_sizes",
    "paris_types",
    "instrument_cells",
    "landmark_cells",
    "has_text",
    "has_box",
)
_LISTED_FIELDS: Final = ("findings", "instruments", "landmarks", "several", "absent")


def facts_of(attributes: Attributes) -> list[tuple[str, Any]]:
    """Return the single facts: (field, value); of fields that list things, one fact each."""
    facts: list[tuple[str, Any]] = []
    for field in _SINGLE_FIELDS:
        value = getattr(attributes, field)
        if value is not None and value != ():
            facts.append((field, value))
    for field in _LISTED_FIELDS:
        facts.extend((field, value) for value in getattr(attributes, field))
    said = Attributes(**_collect(facts))
    for field in ("has_finding", "has_instrument", "has_landmark"):
        if getattr(attributes, field) and not getattr(said, field):
            facts.append((field, True))
    return facts


def choose_facts(
    attributes: Attributes,
    rng: random.Random,
    *,
    max_facts: int | None = None,
    min_facts: int = 1,
) -> Attributes:
    """Return attributes that hold a random selection of the facts.

    Args:
        attributes: what is known of the image.
        rng: source of chance.
        max_facts: most facts to keep; None is all of them.
        min_facts: fewest facts to keep, as far as there are that many; ALL_FACTS keeps all.
    """
    facts = facts_of(attributes.resolved())
    most = len(facts) if max_facts is None else min(max_facts, len(facts))
    least = min(min_facts, most)
    count = least + int(rng.random() * (most - least + 1))
    if count < len(facts):
        facts = rng.sample(facts, count)
    return Attributes(**_collect(facts))


def _collect(facts: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for field, value in facts:
        if field in _LISTED_FIELDS:
            chosen[field] = (*chosen.get(field, ()), value)
        else:
            chosen[field] = value
    return chosen


def paraphrase(
    attributes: Attributes,
    rng: random.Random,
    *,
    max_facts: int | None = None,
    min_facts: int = 1,
) -> str:
    """Return a prompt that says a random selection of the facts in random words.

    Reading it back gives exactly the facts that it says: it never adds one.

    Args:
        attributes: what is known of the image.
        rng: source of chance; the same state gives the same prompt.
        max_facts: most facts to say; None is no limit.
        min_facts: fewest facts to say, as far as there are that many; ALL_FACTS says everything.

    Returns:
        The prompt; "Endoscopic image" where nothing is known.
    """
    return say(choose_facts(attributes, rng, max_facts=max_facts, min_facts=min_facts), rng)


def say(attributes: Attributes, rng: random.Random) -> str:
    """Return a prompt that says all of the attributes, which must not contradict themselves."""
    words = Wording(rng)
    positive = positive_parts(attributes, words)
    negative = negative_parts(attributes, words)
    rng.shuffle(positive)
    rng.shuffle(negative)
    procedure = words.pick(PROCEDURE_WORDS[attributes.procedure]) if attributes.procedure else ""
    style = rng.random()
    if style < 0.3:
        text = _keywords(procedure, positive, negative, words)
    elif style < 0.6:
        text = _report(procedure, positive, negative, words)
    elif style < 0.8:
        text = _template_sentence(procedure, positive, negative, words)
    else:
        text = _separate_sentences(procedure, positive, negative, words, rng)
    return american(text) if rng.random() < 0.5 else text


def canonical_prompt(attributes: Attributes) -> str:
    """Return one prompt that says all of the attributes in the plainest wording."""
    words = Wording(None)
    said = choose_facts(attributes, random.Random(0), min_facts=ALL_FACTS)
    text = _template_sentence(
        said.procedure or "", positive_parts(said, words), negative_parts(said, words), words
    )
    return text.replace("centre", "center")  # the data set's own spelling of its cells


def _keywords(
    procedure: str, positive: Sequence[Part], negative: Sequence[Part], words: Wording
) -> str:
    groups = [part.keywords for part in (*positive, *negative)]
    if procedure:
        groups.insert(0 if words.chance(0.7) else len(groups), (procedure,))
    text = ", ".join(keyword for group in groups for keyword in group)
    if not text:
        return "endoscopic image"
    return text[0].upper() + text[1:] if words.chance(0.3) else text


def _denial(negative: Sequence[Part], words: Wording) -> str:
    nouns = [part.phrase for part in negative]
    if len(nouns) < 4 and words.chance(0.4):
        return joined([f"no {noun}" for noun in nouns])
    return f"no {joined(nouns, 'or')}"


def _report(
    procedure: str, positive: Sequence[Part], negative: Sequence[Part], words: Wording
) -> str:
    opening = procedure or words.pick(("endoscopic image", "image", "endoscopic view"))
    opening = opening[0].upper() + opening[1:]
    text = opening
    if positive:
        verb = words.pick(("showing", "with", "image showing" if procedure else "showing"))
        text += f" {verb} {joined([part.phrase for part in positive])}"
    if negative:
        seen = words.pick(("", " visible", " seen", " present"))
        text += f"{words.pick(('; ', ', ', ' with ')) if positive else ' with '}"
        text += f"{_denial(negative, words)}{seen}"
    return text + words.pick((".", ".", ""))


def _template_sentence(
    procedure: str, positive: Sequence[Part], negative: Sequence[Part], words: Wording
) -> str:
    text = words.pick(("Generate", "Generate", "Create")) + " an image"
    if procedure:
        text += f" from {with_article(procedure)} procedure"
    if positive:
        phrases = [part.phrase for part in positive]
        text += f" {words.pick(('with', 'containing', 'showing'))} {joined(phrases)}"
    if negative:
        text += f"{', ' if positive else ' '}with {_denial(negative, words)}"
    return text + "."


def _separate_sentences(
    procedure: str,
    positive: Sequence[Part],
    negative: Sequence[Part],
    words: Wording,
    rng: random.Random,
) -> str:
    sentences = []
    if procedure:
        sentences.append(
            words.pick(
                (
                    f"Generate an image from {with_article(procedure)} procedure.",
                    f"{procedure[0].upper()}{procedure[1:]} image.",
                )
            )
        )
    for part in (*positive, *negative):
        sentences.append(_sentence(part, words))
    rng.shuffle(sentences)
    return " ".join(sentences) if sentences else "Endoscopic image."


def _sentence(part: Part, words: Wording) -> str:
    phrase = part.phrase
    if part.is_negative:
        is_plural = phrase.endswith(("s", "text")) and not phrase.endswith(("itis", "us"))
        return words.pick(
            (
                f"Generate an image with no {phrase}.",
                f"No {phrase} visible.",
                f"There {'are' if is_plural else 'is'} no {phrase}.",
                f"The image is free of {phrase if is_plural else with_article(phrase)}.",
            )
        )
    verb = words.pick(("with", "containing"))
    capital = phrase[0].upper() + phrase[1:]
    return words.pick(
        (f"Generate an image {verb} {phrase}.", f"{capital}.", f"The image shows {phrase}.")
    )
