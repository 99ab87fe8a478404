"""Splits a radiology text into mentions of concepts and the small words between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from data.radiology.facts import OLDEST_YEARS
from data.radiology.terms import CAPITALS_ONLY, COMPOUNDS, CONCEPTS, GRAMMAR, SPELLING_PARTS
from data.tokens import JOINERS, MAX_WORD_CHARS, TOKEN, Token

_PUNCTUATION: Final = {".": "stop", ";": "stop", "\n": "stop", "!": "stop", "?": "stop"} | {
    ",": "comma", "(": "comma", ")": "comma", ":": "comma",
}  # fmt: skip


class Item(NamedTuple):
    """A mention or a steering word: prompt[start:end].

    kind is "concept", "age" (concepts then hold the years), "unknown", a key of GRAMMAR, or a kind
    of punctuation.
    """

    kind: str
    concepts: tuple[str, ...]
    start: int
    end: int


class _Phrase(NamedTuple):
    words: tuple[str, ...]
    kind: str
    concepts: tuple[str, ...]


def _normalise(word: str) -> str:
    word = word.lower().replace("\u2019", "'").removesuffix("'s")
    for british, american in SPELLING_PARTS:
        word = word.replace(british, american)
    return word


def _tokens(text: str) -> list[Token]:
    return [
        Token(*match.span(), _normalise(match.group()[: MAX_WORD_CHARS + 1]))
        for match in TOKEN.finditer(text)
    ]


def _build_phrases() -> dict[str, tuple[_Phrase, ...]]:
    phrases: dict[tuple[str, ...], _Phrase] = {}

    def add(text: str, kind: str, concepts: tuple[str, ...]) -> None:
        words = tuple(token.word for token in _tokens(text) if token.word not in JOINERS)
        phrases.setdefault(words, _Phrase(words, kind, concepts))
        if kind == "concept" and len(words[-1]) > 2 and not words[-1].endswith("s"):
            ending = f"{words[-1][:-1]}ies" if words[-1].endswith("y") else f"{words[-1]}s"
            many = (*words[:-1], ending)
            phrases.setdefault(many, _Phrase(many, kind, concepts))

    for text, concepts in COMPOUNDS.items():
        add(text, "concept", concepts)
    add("masses", "concept", ("finding:mass",))
    for concept, wordings in CONCEPTS.items():
        for wording in wordings:
            add(wording, "concept", (concept,))
    for kind, wordings in GRAMMAR.items():
        for wording in wordings:
            add(wording, kind, ())
    by_first: dict[str, list[_Phrase]] = {}
    for phrase in phrases.values():
        by_first.setdefault(phrase.words[0], []).append(phrase)
    return {
        first: tuple(sorted(group, key=lambda phrase: -len(phrase.words)))
        for first, group in by_first.items()
    }


_PHRASES: Final = _build_phrases()


def read_items(prompt: str) -> list[Item]:
    """Return the mentions and steering words of a prompt in order, in linear time."""
    tokens = _tokens(prompt)
    items: list[Item] = []
    at = 0
    while at < len(tokens):
        item, at = _read_one(prompt, tokens, at, items)
        if item is not None:
            items.append(item)
    return items


def _read_one(
    prompt: str, tokens: Sequence[Token], at: int, items: Sequence[Item]
) -> tuple[Item | None, int]:
    token = tokens[at]
    if token.is_number():
        return _read_number(tokens, at, items)
    found = _longest_phrase(prompt, tokens, at)
    if found is not None:
        phrase, after = found
        end = tokens[after - 1].end
        return Item(phrase.kind, phrase.concepts, token.start, end), after
    kind = _PUNCTUATION.get(token.word)
    if kind is None and not token.word[0].isalpha():
        return None, at + 1
    return Item(kind or "unknown", (), token.start, token.end), at + 1


def _longest_phrase(prompt: str, tokens: Sequence[Token], at: int) -> tuple[_Phrase, int] | None:
    first = tokens[at]
    if first.word in CAPITALS_ONLY and not prompt[first.start : first.end].isupper():
        return None
    for phrase in _PHRASES.get(first.word, ()):
        after = _match(phrase.words, tokens, at)
        if after is not None:
            return phrase, after
    return None


def _match(words: Sequence[str], tokens: Sequence[Token], at: int) -> int | None:
    """Return the place behind the words, hyphens and slashes between them skipped."""
    for number, word in enumerate(words):
        if number and at < len(tokens) and tokens[at].word in JOINERS:
            at += 1
        if at >= len(tokens) or tokens[at].word != word:
            return None
        at += 1
    return at


def _read_number(
    tokens: Sequence[Token], at: int, items: Sequence[Item]
) -> tuple[Item | None, int]:
    """Return an age, "52-year-old" or "aged 52"; other numbers are passed over."""
    token = tokens[at]
    following = at + 1 + (at + 1 < len(tokens) and tokens[at + 1].word in JOINERS)
    after = None
    for phrase in _PHRASES.get(tokens[following].word, ()) if following < len(tokens) else ():
        if phrase.kind == "age":
            after = _match(phrase.words, tokens, following)
            if after is not None:
                break
    if after is None and items and items[-1].kind == "aged":
        after = at + 1
    if after is None or not token.word.isdigit() or int(token.word) > OLDEST_YEARS:
        return None, at + 1
    return Item("age", (token.word,), token.start, tokens[after - 1].end), after
