"""What prompts say about one endoscopy image, as a record without any words."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from data.domain import (
    ABSENT_NAMES,
    COLOURS,
    FINDINGS,
    INSTRUMENTS,
    LANDMARKS,
    PARIS_TYPES,
    POLYP_SIZES,
    PROCEDURE_OF,
    PROCEDURES,
    SEVERAL,
)
from data.errors import DataValueError
from data.grid import CELLS
from data.targets import targets_of

_ORDERS: Final[dict[str, tuple[str, ...]]] = {
    "findings": FINDINGS,
    "colours": COLOURS,
    "polyp_sizes": POLYP_SIZES,
    "paris_types": PARIS_TYPES,
    "instruments": INSTRUMENTS,
    "landmarks": LANDMARKS,
    "finding_cells": CELLS,
    "instrument_cells": CELLS,
    "landmark_cells": CELLS,
    "absent": ABSENT_NAMES,
    "several": SEVERAL,
}
_COUNT_FIELDS: Final = ("finding_count", "polyp_count", "instrument_count")


class AttributeValueError(DataValueError):
    """An attribute was given a value outside its vocabulary, or values that exclude each other."""


@functools.lru_cache(maxsize=4096)
def _ordered(field: str, values: tuple[str, ...]) -> tuple[str, ...]:
    order = _ORDERS[field]
    for value in values:
        if value not in order:
            raise AttributeValueError(
                f"{field} cannot hold {value!r}; allowed: {', '.join(order)}. "
                "Use one of these spellings."
            )
    return tuple(value for value in order if value in values)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is said about one image. What is not said is None, False or empty, never "absent".

    The record completes itself by what the words themselves mean: tuples come into the order of
    their vocabulary, a Paris class or a size makes a polyp, a polyp, a place or a colour makes a
    finding. Equal statements therefore compare equal, however they were said.

    Args:
        procedure: "colonoscopy" or "gastroscopy".
        findings: named findings that are present.
        has_finding: some abnormality is said to be present.
        finding_count: number of findings; 0 is "no findings" and "normal mucosa".
        polyp_count: number of polyps; 0 is "no polyps".
        instrument_count: number of instruments; 0 is "no instruments".
        several: of "finding", "polyp", "instrument": those said to be more than one, unnumbered.
        finding_cells: all cells of the 3x3 grid that the findings cover.
        colours: colours of the findings.
        polyp_sizes: size classes of the polyps.
        paris_types: Paris classes of the polyps.
        instruments: named instruments that are present.
        has_instrument: some instrument is said to be present.
        instrument_cells: all cells that the instruments cover.
        landmarks: named anatomical landmarks that are present.
        has_landmark: some landmark is said to be present.
        landmark_cells: all cells that the landmarks cover.
        has_text: whether text is burned into the picture.
        has_box: whether the green/black box artefact is in the picture.
        absent: target names of single findings, instruments and landmarks said to be absent.

    Raises:
        AttributeValueError: for a value outside the vocabulary of its field.
    """

    procedure: str | None = None
    findings: tuple[str, ...] = ()
    has_finding: bool = False
    finding_count: int | None = None
    polyp_count: int | None = None
    instrument_count: int | None = None
    several: tuple[str, ...] = ()
    finding_cells: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    polyp_sizes: tuple[str, ...] = ()
    paris_types: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    has_instrument: bool = False
    instrument_cells: tuple[str, ...] = ()
    landmarks: tuple[str, ...] = ()
    has_landmark: bool = False
    landmark_cells: tuple[str, ...] = ()
    has_text: bool | None = None
    has_box: bool | None = None
    absent: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the values and complete the record."""
        if self.procedure is not None and self.procedure not in PROCEDURES:
            raise AttributeValueError(
                f"procedure cannot be {self.procedure!r}; allowed: {', '.join(PROCEDURES)}, None. "
                "Use one of these."
            )
        for field in _COUNT_FIELDS:
            count = getattr(self, field)
            if count is not None and count < 0:
                raise AttributeValueError(f"{field} cannot be {count}; give 0 or more, or None.")
        self._complete()
        for field in _ORDERS:
            values = getattr(self, field)
            if values:
                object.__setattr__(self, field, _ordered(field, tuple(values)))

    def _complete(self) -> None:
        several = set(self.several)
        if len(self.polyp_sizes) > 1 or len(self.paris_types) > 1:
            several.add("polyp")
        for kind, count in (
            ("finding", self.finding_count),
            ("polyp", self.polyp_count),
            ("instrument", self.instrument_count),
        ):
            if count is not None and count > 1:
                several.discard(kind)
        if "polyp" in several or self.polyp_count or self.polyp_sizes or self.paris_types:
            object.__setattr__(self, "findings", ("polyp", *self.findings))
        object.__setattr__(self, "several", tuple(several))
        if (
            self.findings
            or self.finding_cells
            or self.colours
            or self.finding_count
            or "finding" in several
        ):
            object.__setattr__(self, "has_finding", True)
        if (
            self.instruments
            or self.instrument_cells
            or self.instrument_count
            or "instrument" in several
        ):
            object.__setattr__(self, "has_instrument", True)
        if self.landmarks or self.landmark_cells:
            object.__setattr__(self, "has_landmark", True)

    def to_dict(self) -> dict[str, Any]:
        """Return what is said as a JSON-ready mapping; fields that say nothing are left out."""
        said: dict[str, Any] = {}
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            if value != default:
                said[name] = list(value) if isinstance(value, tuple) else value
        return said

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Attributes:
        """Return the attributes that to_dict wrote.

        Raises:
            AttributeValueError: for a field or a value that does not exist.
        """
        for key in said:
            if key not in _DEFAULTS:
                raise AttributeValueError(
                    f"unknown attribute {key!r}; allowed: {', '.join(_DEFAULTS)}. "
                    "Remove it or correct its name."
                )
        values: dict[str, Any] = {}
        for key, value in said.items():
            values[key] = tuple(value) if isinstance(value, list) else value
        return cls(**values)

    def conflicts(self) -> tuple[str, ...]:
        """Return in words what contradicts itself; empty where everything can hold together."""
        return tuple(message for _, message in _conflicts(self))

    def resolved(self) -> Attributes:
        """Return the attributes without contradictions: what is there outweighs what is not.

        An absence, or a number too small, that something present belies is dropped.
        """
        changes: dict[str, Any] = {}
        for field, _ in _conflicts(self):
            changes[field] = None
        if "absent" in changes:
            there = _present_names(self)
            changes["absent"] = tuple(name for name in self.absent if name not in there)
        return replace(self, **changes).resolved() if changes else self

    def unusual(self) -> tuple[str, ...]:
        """Return in words what does not occur together in one procedure: a z-line at colonoscopy.

        Such attributes are read and said like any others, but what follows from a part of them
        ("z-line", hence gastroscopy) may contradict the rest.
        """
        there = _present_names(self)
        homes = {name: home for name, home in PROCEDURE_OF.items() if name in there}
        if self.procedure is None and len(set(homes.values())) < 2:
            return ()
        return tuple(
            f"{name.partition(':')[2]} occurs in {home} only, not in {self.procedure}"
            if self.procedure
            else f"{name.partition(':')[2]} occurs in {home} only"
            for name, home in homes.items()
            if home != self.procedure
        )

    def targets(self, closed_world: bool = False) -> dict[str, bool | None]:
        """Return for each of TARGET_NAMES whether it holds: True, False, or None (not known).

        What follows logically is filled in: a Paris type means a polyp, a polyp a finding, no
        findings no polyp; colonoscopy excludes gastroscopy and what occurs there only; named cells
        are all the cells. What is said outright is never overruled by what follows.

        Args:
            closed_world: True where all prompts of an image were read: what they never mention is
                then False. A kind of detail (cells, colours, size, type, number) of something that
                is present stays None where the prompts leave all of that kind out.
        """
        return targets_of(self, is_closed=closed_world)


_DEFAULTS: Final = {field.name: field.default for field in fields(Attributes)}


def _present_names(said: Attributes) -> set[str]:
    there = {f"finding:{name}" for name in said.findings}
    there.update(f"instrument:{name}" for name in said.instruments)
    there.update(f"landmark:{name}" for name in said.landmarks)
    if said.has_landmark:
        there.add("landmark")
    return there


def _conflicts(said: Attributes) -> list[tuple[str, str]]:
    """Return (field to drop, message) for each contradiction."""
    others = len([name for name in said.findings if name != "polyp"])
    polyps = max("polyp" in said.findings, 2 * ("polyp" in said.several))
    findings = max(
        others + max(polyps, said.polyp_count or 0),
        int(said.has_finding),
        2 * ("finding" in said.several),
    )
    instruments = max(
        len(said.instruments), int(said.has_instrument), 2 * ("instrument" in said.several)
    )
    found = []
    for field, least in (
        ("finding_count", findings),
        ("polyp_count", polyps),
        ("instrument_count", instruments),
    ):
        count = getattr(said, field)
        if count is not None and count < least:
            kind = field.removesuffix("_count")
            found.append((field, f"{count} {kind}s are stated, but at least {least} described"))
    there = _present_names(said)
    both = [name.rpartition(":")[2] for name in said.absent if name in there]
    if both:
        found.append(("absent", f"{', '.join(both)}: stated both as present and as absent"))
    return found
