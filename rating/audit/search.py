"""Searches a trace: words that unblind, keys that do not belong, prompts that come too early."""

import dataclasses
import hashlib
import html
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from rating.audit.secret_terms import SecretTerm
from rating.audit.trace import Exchange, Trace

_STATE: Final = {
    "phase": None,
    "study": {"title": None, "instructions": None, "contact": None, "ethics_approval": None},
    "rater": None,
    "consent": {"text": None, "sha256": None, "ethics_approval": None, "contact": None},
    "profile": {"specialties": None},
    "progress": {"done": None, "total": None, "left_min": None, "practice_done": None,
                 "practice_total": None, "is_pause_offered": None},
    "item": {
        "token": None, "number": None, "is_practice": None, "display": None, "step": None,
        "step_count": None, "prompt": None, "previous": None, "can_revise": None, "tags": None,
        "images": {"slot": None, "url": None, "width_px": None, "height_px": None},
        "questions": {"code": None, "text": None, "kind": None, "has_cannot_judge": None,
                      "points": {"value": None, "label": None}},
        "answered": {"code": None, "text": None, "label": None},
        "saved": {"answers": None, "cannot_judge": None, "is_seen_before": None, "remark": None,
                  "tags": {"slot": None, "tag": None},
                  "marks": {"slot": None, "x": None, "y": None, "tag": None}},
    },
    "next_images": None,
    "protocol": {"session_items": None, "smallest_display_px": None, "step_count": None,
                 "display": None},
}  # fmt: skip
ALLOWED_JSON: Final[Mapping[str, Any]] = {
    **_STATE,
    "result": None,
    "state": _STATE,
    "error": {"code": None, "message": None, "fields": None},
}


_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Something that unblinds, or may.

    Args:
        code:    "term", "prompt", "key", "picture", "header", "latency", "address" or "access".
        where:   The exchange or the place in the browser.
        message: What was found, in words.
    """

    code: str
    where: str
    message: str


def find_terms(
    trace: Trace, terms: Iterable[SecretTerm], known_files: frozenset[str]
) -> Iterator[Finding]:
    """Yield every secret term in an address, a header, a body or what the browser keeps.

    Args:
        trace:       What was received.
        terms:       Of the study.
        known_files: SHA-256 of files that are the same in every installation, which cannot hold
                     anything of a study; their bodies are not searched.
    """
    patterns = [(term, term.pattern()) for term in terms]
    for where, text in _searched(trace, known_files):
        for term, pattern in patterns:
            # A plain search first: it is many times faster, and finds nothing nearly always.
            if term.text.casefold() in text and pattern.search(text):
                yield Finding("term", where, f"{term.kind}: {term.text!r}")


def find_prompts(
    trace: Trace, prompts: Mapping[str, str], public: str, known_files: frozenset[str]
) -> Iterator[Finding]:
    """Yield every prompt that was received before the first answers to its image were final."""
    folded = {
        code: text.strip().casefold()
        for code, text in prompts.items()
        if len(text.strip()) > 3 and text.strip().casefold() not in public.casefold()
    }
    for exchange in trace.exchanges:
        if not _is_known(exchange, known_files):
            text = _readings(exchange)
            told = {folded[code] for code in exchange.told if code in folded}
            yield from _early(exchange.where, text, folded, told)
    for kept in trace.kept:
        told = {folded[code] for code in kept.told if code in folded}
        yield from _early(kept.where, kept.text.casefold(), folded, told)


def find_keys(trace: Trace) -> Iterator[Finding]:
    """Yield every key of our JSON answers that raters are not meant to get."""
    for exchange in trace.exchanges:
        if exchange.url.startswith("/rate/api/") and exchange.status == 200:
            values = exchange.json()
            if values is None:
                yield Finding("key", exchange.where, "is no JSON")
            else:
                for path in _unknown_keys(values, ALLOWED_JSON):
                    yield Finding("key", exchange.where, f"has the key {path!r}")


def _early(
    where: str, text: str, prompts: Mapping[str, str], told: set[str]
) -> Iterator[Finding]:
    for prompt in prompts.values():
        # A prompt may be part of a longer one that may be known.
        is_part = any(prompt in known for known in told)
        if not is_part and prompt in text:
            yield Finding("prompt", where, f"comes before its time: {prompt!r}")


def _unknown_keys(values: object, allowed: object, path: str = "") -> Iterator[str]:
    if isinstance(values, list):
        for inner in values:
            yield from _unknown_keys(inner, allowed, path)
    elif isinstance(values, dict) and isinstance(allowed, Mapping):
        for key, inner in values.items():
            name = f"{path}.{key}" if path else key
            if key not in allowed:
                yield name
            else:
                yield from _unknown_keys(inner, allowed[key], name)


def _searched(trace: Trace, known_files: frozenset[str]) -> Iterator[tuple[str, str]]:
    for exchange in trace.exchanges:
        head = "\n".join(f"{name}: {value}" for name, value in exchange.headers)
        address = urllib.parse.unquote(exchange.url)
        yield exchange.where, f"{address}\n{head}".casefold()
        if not _is_known(exchange, known_files):
            yield exchange.where, _readings(exchange)
    for kept in trace.kept:
        yield kept.where, kept.text.casefold()


def _is_known(exchange: Exchange, known_files: frozenset[str]) -> bool:
    return hashlib.sha256(exchange.body).hexdigest() in known_files


def _readings(exchange: Exchange) -> str:
    """Return the body in every form a word may hide in: as it is, and with escapes undone."""
    text = exchange.body.decode("utf-8", errors="replace")
    unescaped = _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), text)
    forms = {text, html.unescape(text), unescaped} if "\\" in text or "&" in text else {text}
    return "\n".join(forms).casefold()
