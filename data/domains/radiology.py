"""Radiology, in the language of ROCOv2's captions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from data.domains.base import PROMPTS, Domain, PromptField
from data.errors import DataValueError
from data.facts import AttributeValueError
from data.radiology.facts import (
    FINDINGS,
    MODALITIES,
    PLANES,
    REGIONS,
    SEXES,
    SIDES,
    TARGET_NAMES,
    VIEWS,
    RadiologyFacts,
)
from data.radiology.reading import find_terms, read_facts
from data.radiology.wording import canonical_prompt, say, short_form

_AGES: Final = (10, 20, 30, 40, 50, 60, 70, 80, 90)
FIELDS: Final = (
    PromptField("modalities", "Modality", MODALITIES, is_list=True),
    PromptField("regions", "Region", REGIONS, is_list=True),
    PromptField("views", "View", VIEWS, is_list=True),
    PromptField("planes", "Plane", PLANES, is_list=True),
    PromptField("has_contrast", "Contrast medium", (True, False), is_list=False),
    PromptField("findings", "Findings", FINDINGS, is_list=True),
    PromptField("absent", "Findings that are absent", FINDINGS, is_list=True),
    PromptField("is_normal", "No finding", (True,), is_list=False),
    PromptField("sides", "Side", SIDES, is_list=True),
    PromptField("sex", "Sex", SEXES, is_list=False),
    PromptField("age_years", "Age in years", _AGES, is_list=False),
)
_FIELD_OF: Final[Mapping[str, PromptField]] = {field.name: field for field in FIELDS}


def build_prompt(**choices: Any) -> str:
    """Return the prompt that says the choices made.

    Args:
        choices: names of FIELDS. None, "" and empty lists say nothing. Fields that list things
            take one value or several.

    Raises:
        AttributeValueError: for an unknown field or value, or choices that exclude each other.
    """
    said: dict[str, Any] = {}
    for name, value in choices.items():
        if name not in _FIELD_OF:
            raise AttributeValueError(
                f"unknown prompt field {name!r}; allowed: {', '.join(_FIELD_OF)}. "
                "Remove it or correct its name."
            )
        if value is None or value == "" or value == []:
            continue
        said[name] = _checked(_FIELD_OF[name], value)
    _check_together(said)
    return canonical_prompt(RadiologyFacts(**said))


def _checked(field: PromptField, value: Any) -> Any:
    is_several = field.is_list and isinstance(value, Iterable) and not isinstance(value, str)
    values = tuple(value) if is_several else (value,)
    for one in values:
        if one not in field.values or isinstance(one, bool) != field.is_flag:
            allowed = ", ".join(map(str, field.values))
            raise AttributeValueError(
                f"{field.name} cannot be {one!r}; allowed: {allowed}, or nothing. Use one of these."
            )
    return values if field.is_list else value


def _check_together(said: Mapping[str, Any]) -> None:
    findings = set(said.get("findings", ()))
    both = sorted(findings.intersection(said.get("absent", ())))
    if both or (said.get("is_normal") and findings):
        what = ", ".join(both or sorted(findings))
        other = "as absent" if both else "beside 'no finding'"
        raise AttributeValueError(
            f"these choices exclude each other: {what} stated as present and {other}. "
            "Change one of them."
        )


def _never(_facts: object, _text: str) -> bool:
    """Say that no picture may be flipped: heart, liver and the markers of side would be wrong."""
    return False


def _full_prompt(captions: Sequence[str]) -> str:
    if not captions:
        raise DataValueError("An image without captions gives no prompt.")
    return " ".join(captions)


def _as_it_is(caption: str) -> str:
    return caption


RADIOLOGY: Final = Domain(
    name="radiology",
    label="radiology",
    target_names=TARGET_NAMES,
    read=read_facts,
    find_terms=find_terms,
    say=say,
    restate=short_form,
    caption_share=0.6,
    may_mirror=_never,
    full_prompt=_full_prompt,
    correct=_as_it_is,
    fields=FIELDS,
    build_prompt=build_prompt,
    examples=PROMPTS / "rocov2_examples.txt",
)
