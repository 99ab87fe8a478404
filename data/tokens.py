"""Words, numbers and signs of a prompt, each in the one spelling that it is matched as."""

from __future__ import annotations

import functools
import re
from typing import Final, NamedTuple

from data.concepts import SPELLING_PARTS, SPELLINGS

MAX_WORD_CHARS: Final = 64
JOINERS: Final = frozenset("-/\u2010\u2011\u2013\u2014")
"""Hyphens, dashes and slashes, which may stand between the words of one term."""

TOKEN: Final = re.compile(
    "[^\\W\\d_]+(?:['\u2019][^\\W\\d_]+)?|[0-9]{1,9}(?:[.,][0-9]{1,9})?|[^\\w\\s]|\\n"
)


class Token(NamedTuple):
    """One word, number or sign: its place in the prompt and the spelling it is matched as."""

    start: int
    end: int
    word: str

    def is_number(self) -> bool:
        """Return whether this is a number in figures."""
        return self.word[0] in "0123456789"


@functools.lru_cache(maxsize=8192)
def normalise(word: str) -> str:
    """Return the spelling that a lower-case word is matched as."""
    word = word.replace("\u2019", "'")
    if word.endswith("'s"):
        word = word[:-2] + "s"
    word = SPELLINGS.get(word, word)
    for part, plain in SPELLING_PARTS:
        word = word.replace(part, plain)
    return word


def words_of(phrase: str) -> tuple[str, ...]:
    """Return the normalised words of a wording, without hyphens and slashes."""
    found = (match.group().lower() for match in TOKEN.finditer(phrase))
    return tuple(normalise(word) for word in found if word not in JOINERS)
