"""Settles which yes/no concepts follow from attributes, by logic and by the domain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from data.domain import (
    CELL_NAMES,
    COLOUR_NAMES,
    COUNTS,
    FINDING_NAMES,
    INSTRUMENT_NAMES,
    LANDMARK_NAMES,
    POLYP_NAMES,
    POLYP_SIZES,
    PROCEDURE_OF,
    PROCEDURES,
    TARGET_NAMES,
    TRAINED_PARIS_TYPES,
    names,
)
from data.grid import CELLS

if TYPE_CHECKING:
    from data.facts import Attributes

Targets = dict[str, bool | None]

_UNKNOWN: Final[Targets] = dict.fromkeys(TARGET_NAMES)
_FINDING_GROUP: Final = (
    "finding",
    *FINDING_NAMES,
    *names("finding count", COUNTS),
    *POLYP_NAMES,
    *COLOUR_NAMES,
    *CELL_NAMES["finding"],
)
_INSTRUMENT_GROUP: Final = (
    "instrument",
    *INSTRUMENT_NAMES,
    *names("instrument count", COUNTS),
    *CELL_NAMES["instrument"],
)
_LANDMARK_GROUP: Final = ("landmark", *LANDMARK_NAMES, *CELL_NAMES["landmark"])

_DETAILS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("finding", names("finding count", COUNTS)),
    ("finding", COLOUR_NAMES),
    ("finding", CELL_NAMES["finding"]),
    ("finding", FINDING_NAMES),
    ("finding:polyp", names("polyp count", COUNTS)),
    ("finding:polyp", names("size", POLYP_SIZES)),
    ("finding:polyp", names("paris", TRAINED_PARIS_TYPES)),
    ("instrument", INSTRUMENT_NAMES),
    ("instrument", names("instrument count", COUNTS)),
    ("instrument", CELL_NAMES["instrument"]),
    ("landmark", LANDMARK_NAMES),
    ("landmark", CELL_NAMES["landmark"]),
)
"""Whole and details: of something present, a kind of detail never mentioned stays unknown."""

_DETAIL_NAMES: Final = frozenset(part for _, parts in _DETAILS for part in parts)
_WHOLE_NAMES: Final = tuple(
    name for name in TARGET_NAMES if name not in _DETAIL_NAMES and not name.startswith("procedure")
)


def targets_of(said: Attributes, *, is_closed: bool) -> Targets:
    """Return for each target name whether it holds; see Attributes.targets."""
    targets = _UNKNOWN.copy()
    _fill_absences(said, targets)
    _fill_presences(said, targets)
    _fill_details(said, targets)
    _fill_procedure(said.procedure, targets)
    if is_closed:
        _close(targets)
    return targets


def _deny(targets: Targets, denied: Iterable[str]) -> None:
    for name in denied:
        targets[name] = False


def _fill_absences(said: Attributes, targets: Targets) -> None:
    _deny(targets, said.absent)
    if "landmark" in said.absent:
        _deny(targets, _LANDMARK_GROUP)
    if said.finding_count == 0:
        _deny(targets, _FINDING_GROUP)
    if said.polyp_count == 0:
        _deny(targets, ("finding:polyp", *POLYP_NAMES))
    if said.instrument_count == 0:
        _deny(targets, _INSTRUMENT_GROUP)


def _fill_presences(said: Attributes, targets: Targets) -> None:
    if said.has_finding:
        targets["finding"] = True
    if said.has_instrument:
        targets["instrument"] = True
    if said.has_landmark:
        targets["landmark"] = True
    for name in said.findings:
        targets[f"finding:{name}"] = True
    for name in said.instruments:
        targets[f"instrument:{name}"] = True
    for name in said.landmarks:
        targets[f"landmark:{name}"] = True
    targets["text"] = said.has_text
    targets["box"] = said.has_box


def _fill_details(said: Attributes, targets: Targets) -> None:
    several = set(said.several)
    if "polyp" in several or (said.polyp_count or 0) > 1 or len(said.findings) > 1:
        several.add("finding")
    if len(said.instruments) > 1:
        several.add("instrument")
    for kind, count in (
        ("finding", said.finding_count),
        ("polyp", said.polyp_count),
        ("instrument", said.instrument_count),
    ):
        if count or (count is None and kind in several):
            targets[f"{kind} count:1"] = count == 1
            targets[f"{kind} count:2+"] = count != 1
    for kind, cells in (
        ("finding", said.finding_cells),
        ("instrument", said.instrument_cells),
        ("landmark", said.landmark_cells),
    ):
        if cells:
            for name, cell in zip(CELL_NAMES[kind], CELLS, strict=True):
                targets[name] = cell in cells
    for colour in said.colours:
        targets[f"colour:{colour}"] = True
    for size in said.polyp_sizes:
        targets[f"size:{size}"] = True
    for paris in said.paris_types:
        if paris in TRAINED_PARIS_TYPES:
            targets[f"paris:{paris}"] = True


def _fill_procedure(procedure: str | None, targets: Targets) -> None:
    if procedure is None:
        implied = {home for name, home in PROCEDURE_OF.items() if targets[name]}
        if len(implied) != 1:
            return
        procedure = implied.pop()
    for name in PROCEDURES:
        targets[f"procedure:{name}"] = name == procedure
    for name, home in PROCEDURE_OF.items():
        if home != procedure and targets[name] is None:
            targets[name] = False


def _close(targets: Targets) -> None:
    for whole, parts in _DETAILS:
        if targets[whole] and not any(targets[part] for part in parts):
            continue
        for part in parts:
            if targets[part] is None:
                targets[part] = False
    for name in _WHOLE_NAMES:
        if targets[name] is None:
            targets[name] = False
