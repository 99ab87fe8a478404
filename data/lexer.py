"""Splits a prompt into mentions of concepts and the small words between them, in linear time."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final, NamedTuple

from data.concepts import CONCEPTS, GRAMMAR, NUMBER_WORDS
from data.grid import DIRECTIONS
from data.measures import LESS_WORDS, MORE_WORDS, read_cells, read_paris, read_size
from data.tokens import JOINERS, MAX_WORD_CHARS, TOKEN, Token, normalise, words_of

_NOT_COUNTED: Final = frozenset({"st", "nd", "rd", "th", "mm", "cm"})
"""After one of these a number counts nothing: "2nd", "38 cm"."""
_PUNCTUATION: Final = {".": "stop", ";": "stop", "\n": "stop", "!": "stop", "?": "stop"} | {
    ",": "comma",
    ":": "colon",
    "(": "comma",
    ")": "comma",
    "&": "and",
    "+": "and",
}


class Item(NamedTuple):
    """A mention or a steering word.

    kind is "concept", "cells", "number", "unknown", a key of GRAMMAR, or a kind of punctuation.
    concepts holds concept names; for "cells" the cells; for "number" the number in decimals.
    """

    kind: str
    concepts: tuple[str, ...]
    start: int
    end: int
    is_plural: bool = False


def tokenize(prompt: str) -> list[Token]:
    """Return the tokens of a prompt; words that were glued by "and" come apart."""
    tokens = []
    for match in TOKEN.finditer(prompt):
        start, end = match.span()
        raw = match.group().lower()
        word = normalise(raw) if end - start <= MAX_WORD_CHARS else "?"
        if len(word) > 6 and "and" in word and word not in _KNOWN_WORDS:
            glued = _unglue(raw) if len(raw) == end - start else None
            if glued:
                middle = start + glued[2]
                tokens.append(Token(start, middle, glued[0]))
                tokens.append(Token(middle, middle + 3, "and"))
                tokens.append(Token(middle + 3, end, glued[1]))
                continue
        tokens.append(Token(start, end, word))
    return tokens


@functools.lru_cache(maxsize=1024)
def _unglue(raw: str) -> tuple[str, str, int] | None:
    """Return the two words that "and" glues together, normalised, and where the "and" is."""
    at = raw.find("and", 1)
    while at > 0:
        first, second = normalise(raw[:at]), normalise(raw[at + 3 :])
        if first in _CONCEPT_WORDS and second in _CONCEPT_WORDS:
            return first, second, at
        at = raw.find("and", at + 1)
    return None


def _plural(word: str) -> str:
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("x", "s")) else "s")


class _Phrase(NamedTuple):
    words: tuple[str, ...]
    kind: str
    concept: str
    is_plural: bool


def _build_phrases() -> dict[str, tuple[_Phrase, ...]]:
    phrases: dict[tuple[str, ...], _Phrase] = {}

    def add(text: str, kind: str, concept: str, has_plural: bool) -> None:
        words = words_of(text)
        phrases.setdefault(words, _Phrase(words, kind, concept, False))
        if has_plural:
            many = (*words[:-1], _plural(words[-1]))
            phrases.setdefault(many, _Phrase(many, kind, concept, True))

    for concept, wordings in CONCEPTS.items():
        nouns = concept.startswith(("finding", "instrument", "landmark", "box", "text"))
        for wording in wordings:
            add(wording, "concept", concept, nouns)
    for kind, wordings in GRAMMAR.items():
        for wording in wordings:
            add(wording, kind, "", False)
    by_first: dict[str, list[_Phrase]] = {}
    for phrase in phrases.values():
        by_first.setdefault(phrase.words[0], []).append(phrase)
    return {
        first: tuple(sorted(group, key=lambda phrase: -len(phrase.words)))
        for first, group in by_first.items()
    }


_PHRASES: Final = _build_phrases()
_KNOWN_WORDS: Final = frozenset(
    word for group in _PHRASES.values() for phrase in group for word in phrase.words
)
_CONCEPT_WORDS: Final = frozenset(
    word
    for group in _PHRASES.values()
    for phrase in group
    for word in phrase.words
    if phrase.kind == "concept"
)


def read_items(prompt: str) -> list[Item]:
    """Return the mentions and steering words of a prompt in order."""
    tokens = tokenize(prompt)
    items: list[Item] = []
    at = 0
    while at < len(tokens):
        item, after = _read_one(prompt, tokens, at, items)
        if item is not None:
            items.append(item)
        at = after
    return items


def _read_one(
    prompt: str, tokens: Sequence[Token], at: int, items: list[Item]
) -> tuple[Item | None, int]:
    token = tokens[at]
    word = token.word
    if token.is_number() or word in LESS_WORDS or word in MORE_WORDS or word == "between":
        size = read_size(tokens, at)
        if size:
            return _item("concept", f"size:{size[0]}", tokens, at, size[1]), size[1]
    if word in ("paris", "is", "0"):
        is_inside = bool(items) and items[-1].kind != "stop"
        paris = read_paris(
            tokens,
            at,
            is_capital=is_inside and prompt[token.start : token.end] == "Is",
            follows_class=_is_paris_list(tokens, at, items),
        )
        if paris:
            return _item("concept", f"paris:{paris[0]}", tokens, at, paris[1]), paris[1]
    phrase = _longest_phrase(tokens, at)
    if phrase is not None:
        found, after = phrase
        return _item(found.kind, found.concept, tokens, at, after, found.is_plural), after
    if word in DIRECTIONS:
        cells = read_cells(tokens, at)
        if cells:
            return Item("cells", cells[0], token.start, tokens[cells[1] - 1].end), cells[1]
    return _read_rest(tokens, at)


def _item(
    kind: str,
    concept: str,
    tokens: Sequence[Token],
    at: int,
    after: int,
    is_plural: bool = False,
) -> Item:
    concepts = (concept,) if concept else ()
    return Item(kind, concepts, tokens[at].start, tokens[after - 1].end, is_plural)


def _read_rest(tokens: Sequence[Token], at: int) -> tuple[Item | None, int]:
    token = tokens[at]
    word = token.word
    if token.is_number() and at + 1 < len(tokens) and tokens[at + 1].word in _NOT_COUNTED:
        return Item("unknown", (), token.start, tokens[at + 1].end), at + 2
    number = NUMBER_WORDS.get(word)
    if number is None and token.is_number() and word.isdigit():
        number = int(word)
    if number is not None:
        return Item("number", (str(number),), token.start, token.end), at + 1
    kind = _PUNCTUATION.get(word)
    if kind is None and not word[0].isalpha():
        return None, at + 1
    return Item(kind or "unknown", (), token.start, token.end), at + 1


def _longest_phrase(tokens: Sequence[Token], at: int) -> tuple[_Phrase, int] | None:
    group = _PHRASES.get(tokens[at].word)
    if group is None:
        return None
    for phrase in group:
        after = at + 1
        for word in phrase.words[1:]:
            if after < len(tokens) and tokens[after].word in JOINERS:
                after += 1
            if after >= len(tokens) or tokens[after].word != word:
                break
            after += 1
        else:
            return phrase, after
    return None


def _is_paris_list(tokens: Sequence[Token], at: int, items: list[Item]) -> bool:
    """Say whether the token continues a list of Paris classes: "Paris Ip and is", "Ip/is"."""
    if items and at and tokens[at - 1].word in JOINERS:
        return items[-1].concepts[:1] != () and items[-1].concepts[0].startswith("paris:")
    if len(items) < 2 or items[-1].kind not in ("and", "comma", "or"):
        return False
    return items[-2].kind == "concept" and items[-2].concepts[0].startswith("paris:")
