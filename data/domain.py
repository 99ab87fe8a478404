"""The values that attributes can take, and the yes/no concepts that models are trained on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from data.grid import CELLS

PROCEDURES: Final = ("colonoscopy", "gastroscopy")
FINDINGS: Final = ("polyp", "ulcerative colitis", "oesophagitis", "Barrett's oesophagus")
INSTRUMENTS: Final = ("polyp snare", "tube", "biopsy forceps", "metal clip", "injection needle")
LANDMARKS: Final = ("z-line", "cecum", "ileum", "pylorus")
COLOURS: Final = (
    "pink",
    "red",
    "white",
    "yellow",
    "orange",
    "brown",
    "grey",
    "black",
    "blue",
    "green",
    "purple",
)
POLYP_SIZES: Final = ("<5 mm", "5-10 mm", "11-20 mm", ">20 mm")
PARIS_TYPES: Final = ("Is", "Ip", "IIa", "Isp", "IIb", "IIc", "III")
TRAINED_PARIS_TYPES: Final = ("Is", "Ip", "IIa")
SEVERAL: Final = ("finding", "polyp", "instrument")

PROCEDURE_OF: Final[dict[str, str]] = {
    "finding:ulcerative colitis": "colonoscopy",
    "finding:oesophagitis": "gastroscopy",
    "finding:Barrett's oesophagus": "gastroscopy",
    "landmark:z-line": "gastroscopy",
    "landmark:pylorus": "gastroscopy",
    "landmark:cecum": "colonoscopy",
    "landmark:ileum": "colonoscopy",
}
"""Concepts that occur in one procedure only."""


def names(prefix: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return the target names of the values of one kind: "colour:red", ..."""
    return tuple(f"{prefix}:{value}" for value in values)


COUNTS: Final = ("1", "2+")
FINDING_NAMES: Final = names("finding", FINDINGS)
COLOUR_NAMES: Final = names("colour", COLOURS)
POLYP_NAMES: Final = (
    *names("polyp count", COUNTS),
    *names("size", POLYP_SIZES),
    *names("paris", TRAINED_PARIS_TYPES),
)
INSTRUMENT_NAMES: Final = names("instrument", INSTRUMENTS)
LANDMARK_NAMES: Final = names("landmark", LANDMARKS)
CELL_NAMES: Final = {
    subject: names(f"{subject} cell", CELLS) for subject in ("finding", "instrument", "landmark")
}

TARGET_NAMES: Final[tuple[str, ...]] = (
    *names("procedure", PROCEDURES),
    "finding",
    *FINDING_NAMES,
    *names("finding count", COUNTS),
    *POLYP_NAMES,
    *COLOUR_NAMES,
    *CELL_NAMES["finding"],
    "instrument",
    *INSTRUMENT_NAMES,
    *names("instrument count", COUNTS),
    *CELL_NAMES["instrument"],
    "landmark",
    *LANDMARK_NAMES,
    *CELL_NAMES["landmark"],
    "text",
    "box",
)
"""The yes/no concepts, in a fixed order: models may store outputs by position."""

ABSENT_NAMES: Final = (*FINDING_NAMES[1:], *INSTRUMENT_NAMES, "landmark", *LANDMARK_NAMES)
