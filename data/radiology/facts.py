"""What captions say about one radiological image, as a record without any words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

from data.facts import AttributeValueError
from data.radiology.terms import CONCEPTS


def _values(kind: str) -> tuple[str, ...]:
    return tuple(name.partition(":")[2] for name in CONCEPTS if name.startswith(f"{kind}:"))


MODALITIES: Final = _values("modality")
REGIONS: Final = _values("region")
VIEWS: Final = _values("view")
PLANES: Final = _values("plane")
SIDES: Final = _values("side")
FINDINGS: Final = _values("finding")
SEXES: Final = _values("sex")
AGE_GROUPS: Final = {"under 18": 18, "18-39": 40, "40-64": 65, "65 or over": 151}
"""Name -> first age in years that is beyond the group."""
OLDEST_YEARS: Final = 150

IMPLIED: Final = {"benign mass": "mass", "malignant mass": "mass"}
"""Finding -> the wider finding that it is a kind of."""

_LISTED: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "modalities": ("modality", MODALITIES),
    "regions": ("region", REGIONS),
    "views": ("view", VIEWS),
    "planes": ("plane", PLANES),
    "sides": ("side", SIDES),
    "findings": ("finding", FINDINGS),
}
"""Field -> kind of concept and its values."""

_EXHAUSTIVE: Final = ("modalities", "views", "planes")
"""Where one value of these is stated, the others are not there."""

TARGET_NAMES: Final[tuple[str, ...]] = (
    *(f"{kind}:{value}" for kind, values in _LISTED.values() for value in values),
    "contrast",
    "normal",
    *(f"sex:{sex}" for sex in SEXES),
    *(f"age:{group}" for group in AGE_GROUPS),
)
"""The yes/no concepts, in a fixed order: models may store outputs by position."""


@dataclass(frozen=True, slots=True)
class RadiologyFacts:
    """What is said about one image. What is not said is None, False or empty, never "absent".

    Values come into the order of their vocabulary, so that equal statements compare equal; what is
    there outweighs what is said to be absent, and "normal" beside a finding is dropped.

    Args:
        modalities: how the image was made; two for PET/CT and CT angiography.
        regions: parts of the body.
        views: directions of a radiograph.
        planes: planes of a section.
        sides: "left", "right", "bilateral", of whatever the captions place there.
        has_contrast: whether contrast medium was given.
        findings: named findings that are present.
        is_normal: no finding, or normal tissue.
        absent: named findings that are said to be absent.
        sex: "female" or "male".
        age_years: of the patient.

    Raises:
        AttributeValueError: for a value outside the vocabulary of its field.
    """

    modalities: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    planes: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()
    has_contrast: bool | None = None
    findings: tuple[str, ...] = ()
    is_normal: bool = False
    absent: tuple[str, ...] = ()
    sex: str | None = None
    age_years: int | None = None

    def __post_init__(self) -> None:
        """Check the values and complete the record."""
        for field, (_, allowed) in _LISTED.items():
            object.__setattr__(self, field, _ordered(field, getattr(self, field), allowed))
        implied = {IMPLIED[name] for name in self.findings if name in IMPLIED}
        findings = tuple(name for name in self.findings if name not in implied)
        there = implied.union(findings)
        absent = _ordered("absent", self.absent, FINDINGS)
        object.__setattr__(self, "findings", findings)
        object.__setattr__(self, "absent", tuple(name for name in absent if name not in there))
        object.__setattr__(self, "is_normal", self.is_normal and not findings)
        if self.sex is not None:
            _ordered("sex", (self.sex,), SEXES)
        if self.age_years is not None and not 0 <= self.age_years <= OLDEST_YEARS:
            raise AttributeValueError(
                f"age_years cannot be {self.age_years}; give 0 to {OLDEST_YEARS}, or None."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what is said as a JSON-ready mapping; fields that say nothing are left out."""
        said: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                said[field.name] = list(value) if isinstance(value, tuple) else value
        return said

    def targets(self, closed_world: bool = False) -> dict[str, bool | None]:
        """Return for each of TARGET_NAMES whether it holds: True, False, or None (not known).

        Args:
            closed_world: True where all captions of an image were read: regions and findings that
                they never mention are then False. Of the rest, a kind that they leave out stays
                unknown.
        """
        targets: dict[str, bool | None] = dict.fromkeys(TARGET_NAMES)
        for field, (kind, values) in _LISTED.items():
            stated = getattr(self, field)
            is_closed = field in _EXHAUSTIVE or (closed_world and field == "regions")
            for value in values:
                if value in stated:
                    targets[f"{kind}:{value}"] = True
                elif stated and is_closed:
                    targets[f"{kind}:{value}"] = False
        self._fill_findings(targets, closed_world)
        targets["contrast"] = self.has_contrast
        for name in SEXES if self.sex else ():
            targets[f"sex:{name}"] = name == self.sex
        if self.age_years is not None:
            group = age_group(self.age_years)
            for name in AGE_GROUPS:
                targets[f"age:{name}"] = name == group
        return targets

    def _fill_findings(self, targets: dict[str, bool | None], closed_world: bool) -> None:
        for name in self.findings:
            targets[f"finding:{IMPLIED.get(name, name)}"] = True
        says_so = bool(self.findings) or self.is_normal
        targets["normal"] = self.is_normal if says_so else None
        for name in FINDINGS:
            is_denied = name in self.absent or IMPLIED.get(name) in self.absent or self.is_normal
            target = f"finding:{name}"
            if targets[target] is None and (is_denied or (closed_world and says_so)):
                targets[target] = False


def age_group(age_years: int) -> str:
    """Return the group of `AGE_GROUPS` that an age lies in."""
    return next(name for name, beyond in AGE_GROUPS.items() if age_years < beyond)


def _ordered(field: str, values: Iterable[str], allowed: tuple[str, ...]) -> tuple[str, ...]:
    given = set(values)
    if unknown := sorted(given.difference(allowed)):
        raise AttributeValueError(
            f"{field} cannot hold {unknown[0]!r}; allowed: {', '.join(allowed)}. "
            "Use one of these spellings."
        )
    return tuple(value for value in allowed if value in given)
