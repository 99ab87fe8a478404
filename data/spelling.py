"""Puts the slips of the MedVQA-GI prompts into correct English without changing what they say."""

from __future__ import annotations

import re
from typing import Final

from data.lexer import tokenize

_CORRECTIONS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), correct)
    for pattern, correct in (
        (r"\ban an\b", "an"),
        (r"\brigth\b", "right"),
        (r"\bcolors ink\b", "colors pink"),
        (r"\bcolor (\w+)/(\w+)", r"colors \1 and \2"),
        (r"\bwith pink findings\b", "with pink findings"),
        (r"\bcontaining barretts\b", "containing Barrett's oesophagus"),
        (r"\bcontaining (tube|polyp snare|metal clip)\b", r"containing a \1"),
        (r"\bcontaining injection needle\b", "containing an injection needle"),
        (r"\band (tube|polyp snare|metal clip)\b", r"and a \1"),
        (r"([<>]) (?=[0-9])", r"\1"),
        (r"(?<=[0-9])mm\b", " mm"),
    )
)
_PARIS: Final = re.compile(r"\bparis (is|ip|isp|iia|iib|iic|iii)\b", re.IGNORECASE)
_PARIS_SPELLINGS: Final = {
    name.lower(): name for name in ("Is", "Ip", "Isp", "IIa", "IIb", "IIc", "III")
}


def correct_spelling(prompt: str) -> str:
    """Return the prompt in correct English: "lower-rigth" becomes "lower-right", and so on.

    Words run together by "and" come apart, articles are added, sizes and Paris classes get their
    usual spelling. A prompt without such slips is returned as it is.
    """
    text = _unglued(prompt)
    for pattern, correct in _CORRECTIONS:
        text = pattern.sub(correct, text)
    return _PARIS.sub(lambda match: f"Paris {_PARIS_SPELLINGS[match.group(1).lower()]}", text)


def _unglued(prompt: str) -> str:
    """Return the prompt with a space around each "and" that was written into a word."""
    pieces = []
    last = 0
    tokens = tokenize(prompt)
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        is_glued = before.end == token.start and token.end == after.start
        if token.word == "and" and is_glued and token.start < token.end:
            pieces.append(f"{prompt[last : token.start]} {prompt[token.start : token.end]} ")
            last = token.end
    return "".join([*pieces, prompt[last:]])
