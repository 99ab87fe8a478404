"""The words that must never reach a rater's browser, read off the study itself."""

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from rating.storage.models import Arm, Prompt, Stimulus, Study
from rating.study.protocol import Protocol

# Versions and times of the software itself stand in every page and tell no arm from another.
_HARMLESS_KEYS: Final = frozenset(
    {"app_version", "created_at", "device", "format", "library_versions", "licence", "prompt"}
)
_SHORTEST_TEXT: Final = 4
_LEAST_NUMBER: Final = 1_000_000  # smaller seeds stand in any page by accident; keys find those


@dataclasses.dataclass(frozen=True, slots=True)
class SecretTerm:
    """A text that gives an image away, and what it is."""

    kind: str
    text: str

    def pattern(self) -> re.Pattern[str]:
        """Return what finds it as a word of its own, upper or lower case."""
        return re.compile(rf"(?<![\w-]){re.escape(self.text)}(?![\w-])", re.IGNORECASE)


def secret_terms(session: Session, study: Study, protocol: Protocol) -> tuple[SecretTerm, ...]:
    """Return arms, models, seeds, hashes, file names and selection rules of a study.

    What the protocol itself tells raters ("certainly real") is no secret.
    """
    public = protocol.canonical().casefold()
    found: dict[str, SecretTerm] = {}
    for kind, text in _texts(session, study):
        term = SecretTerm(kind, text.strip())
        is_long = len(term.text) >= _SHORTEST_TEXT
        if is_long and not term.pattern().search(public):
            found.setdefault(term.text.casefold(), term)
    return tuple(found.values())


def prompts_of(session: Session, study: Study) -> dict[str, str]:
    """Return the prompts by their codes."""
    rows = session.execute(select(Prompt.code, Prompt.text).where(Prompt.study_id == study.id))
    return {code: text for code, text in rows}


def _texts(session: Session, study: Study) -> Iterator[tuple[str, str]]:
    for arm in session.scalars(select(Arm).where(Arm.study_id == study.id)):
        yield "arm", arm.code
        yield "arm", arm.label
    for stimulus in session.scalars(select(Stimulus).where(Stimulus.study_id == study.id)):
        name = pathlib.PurePath(stimulus.source_name)
        yield from (("file name", part) for part in {str(name), name.name, name.stem} if part)
        yield "hash of the pixels", stimulus.pixel_sha256
        yield "hash of the file", stimulus.png_sha256
        yield "selection rule", stimulus.selection_rule
        yield from _values("provenance", stimulus.provenance)


def _values(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _HARMLESS_KEYS:
                yield from _values(f"provenance: {key}", inner)
    elif isinstance(value, str):
        yield name, value
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int | float):
        if abs(value) >= _LEAST_NUMBER:
            yield name, str(value)
    elif isinstance(value, Iterable):
        inner_values: Iterable[Any] = value
        for inner in inner_values:
            yield from _values(name, inner)
