"""What a rater's browser sends for one step of an item, read strictly: types, ranges, lengths."""

import dataclasses
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from rating.errors import AnswerError

MOST_REMARK_CHARACTERS: Final = 2_000
MOST_MARKS: Final = 20
MOST_TAGS: Final = 50
MOST_QUESTIONS: Final = 50
MOST_VISIBLE_MS: Final = 24 * 3600 * 1000
_MOST_PX: Final = 100_000
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_CODE: Final = re.compile(r"\w{1,40}")
_KNOWN: Final = frozenset(
    {"item", "step", "key", "answers", "cannot_judge", "is_seen_before", "tags", "marks", "remark",
     "visible_ms", "viewport", "device_pixel_ratio"}
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class SlotTag:
    """A defect tag on the picture of a slot."""

    slot: int
    tag: str


@dataclasses.dataclass(frozen=True, slots=True)
class SlotMark:
    """A point on the picture of a slot; x and y are shares of width and height, 0 to 1."""

    slot: int
    x: float
    y: float
    tag: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class StepSubmission:
    """One step of an item as a browser sends it; `key` names the request, however often sent.

    Args:
        item:               Token of the assignment.
        step:               1 or 2.
        key:                Chosen by the browser, new for each act of the rater.
        answers:            Question code -> value.
        cannot_judge:       Codes of questions that the rater cannot judge.
        is_seen_before:     Whether the rater has seen this image before.
        tags, marks:        On the pictures.
        remark:             In the rater's words, "" for none.
        visible_ms:         How long the picture was in sight in this step.
        viewport_width_px:  Of the window, None where unknown; the two that follow likewise.
    """

    item: str
    step: int
    key: str
    answers: Mapping[str, int]
    cannot_judge: frozenset[str]
    is_seen_before: bool = False
    tags: tuple[SlotTag, ...] = ()
    marks: tuple[SlotMark, ...] = ()
    remark: str = ""
    visible_ms: int = 0
    viewport_width_px: int | None = None
    viewport_height_px: int | None = None
    device_pixel_ratio: float | None = None


class _Reader:
    """Takes fields out of JSON values and gathers what is wrong with them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.faults: dict[str, str] = {}

    def fault(self, name: str, said: str) -> None:
        self.faults.setdefault(name, said)

    def text(self, name: str, pattern: re.Pattern[str]) -> str:
        value = self._values.get(name)
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        self.fault(name, "is missing or no such name")
        return ""

    def whole(self, name: str, least: int, most: int, default: int | None = None) -> int:
        value = self._values.get(name, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.fault(name, f"need a whole number from {least} to {most}")
        return least

    def flag(self, name: str) -> bool:
        value = self._values.get(name, False)
        if isinstance(value, bool):
            return value
        self.fault(name, "need true or false")
        return False

    def listed(self, name: str, most: int) -> list[Any]:
        value = self._values.get(name, [])
        if isinstance(value, list) and len(value) <= most:
            return value
        self.fault(name, f"need a list of at most {most}")
        return []


def read_submission(values: object) -> StepSubmission:
    """Return the submission that JSON values hold.

    Raises:
        AnswerError: with everything that is wrong, by field.
    """
    if not isinstance(values, dict):
        raise AnswerError("The answer is no JSON object.", {"answers": "need a JSON object"})
    reader = _Reader(values)
    for name in values:
        if name not in _KNOWN:
            reader.fault(_shown(str(name)), "is not known")
    width, height = _viewport(reader)
    submission = StepSubmission(
        item=reader.text("item", _TOKEN),
        step=reader.whole("step", 1, 9),
        key=reader.text("key", _KEY),
        answers=_answers(reader),
        cannot_judge=frozenset(_codes(reader)),
        is_seen_before=reader.flag("is_seen_before"),
        tags=_tags(reader),
        marks=_marks(reader),
        remark=_remark(reader),
        visible_ms=_visible_ms(reader),
        viewport_width_px=width,
        viewport_height_px=height,
        device_pixel_ratio=_pixel_ratio(reader),
    )
    for code in set(submission.answers) & submission.cannot_judge:
        reader.fault(code, "has a value and cannot be judged at once")
    if reader.faults:
        told = "; ".join(f"{name}: {said}" for name, said in reader.faults.items())
        raise AnswerError(f"The answer cannot be read: {told[:500]}.", reader.faults)
    return submission


def is_token(text: str) -> bool:
    """Return whether a text can be a token at all; what cannot be is not looked up."""
    return _TOKEN.fullmatch(text) is not None


def clean_text(text: str, most: int) -> str:
    """Return a text without control characters (line breaks stay), trimmed.

    Raises:
        AnswerError: it is longer than `most` characters, or holds a NUL, which no keyboard types.
    """
    if "\0" in text:
        raise AnswerError(
            "The remark holds a NUL character, which cannot be kept. Please take it out.",
            {"remark": "holds a NUL character; take it out"},
        )
    kept = "".join(
        sign for sign in text.replace("\r\n", "\n").replace("\r", "\n")
        if sign == "\n" or unicodedata.category(sign) not in {"Cc", "Cs", "Co", "Cn"}
    ).strip()  # fmt: skip
    if len(kept) > most:
        raise AnswerError(
            f"The remark has {len(kept)} characters; at most {most} are kept.",
            {"remark": f"at most {most} characters"},
        )
    return kept


def _answers(reader: _Reader) -> dict[str, int]:
    found = reader._values.get("answers", {})
    if not isinstance(found, dict) or len(found) > MOST_QUESTIONS:
        reader.fault("answers", "need an object of question codes and values")
        return {}
    answers = {}
    for code, value in found.items():
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            reader.fault("answers", "has a name that is no question")
        elif not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1000:
            reader.fault(code, "need one of the points offered")
        else:
            answers[code] = value
    return answers


def _codes(reader: _Reader) -> list[str]:
    codes = reader.listed("cannot_judge", MOST_QUESTIONS)
    if all(isinstance(code, str) and _CODE.fullmatch(code) for code in codes):
        return codes
    reader.fault("cannot_judge", "need a list of question codes")
    return []


def _tags(reader: _Reader) -> tuple[SlotTag, ...]:
    tags = []
    for each in reader.listed("tags", MOST_TAGS):
        slot, tag = (each.get("slot"), each.get("tag")) if isinstance(each, dict) else (None, None)
        if not _is_slot(slot) or not isinstance(tag, str) or not 0 < len(tag) <= 40:
            reader.fault("tags", "need slot and tag of each")
            return ()
        tags.append(SlotTag(slot, tag))
    return tuple(dict.fromkeys(tags))


def _marks(reader: _Reader) -> tuple[SlotMark, ...]:
    marks = []
    for each in reader.listed("marks", MOST_MARKS):
        values = each if isinstance(each, dict) else {}
        x, y, tag = values.get("x"), values.get("y"), values.get("tag")
        is_tag = tag is None or (isinstance(tag, str) and 0 < len(tag) <= 40)
        if not (_is_slot(values.get("slot")) and _is_share(x) and _is_share(y) and is_tag):
            reader.fault("marks", "need slot, x and y of each, x and y from 0 to 1")
            return ()
        marks.append(SlotMark(values["slot"], float(values["x"]), float(values["y"]), tag))
    return tuple(marks)


def _remark(reader: _Reader) -> str:
    text = reader._values.get("remark", "")
    if not isinstance(text, str):
        reader.fault("remark", "need a text")
        return ""
    try:
        return clean_text(text, MOST_REMARK_CHARACTERS)
    except AnswerError as error:
        reader.fault("remark", error.fields["remark"])
        return ""


def _visible_ms(reader: _Reader) -> int:
    value = reader._values.get("visible_ms", 0)
    if not _is_number(value) or value < 0:
        reader.fault("visible_ms", "need a number from 0")
        return 0
    # A page left open over a weekend is no mistake of the rater.
    return min(int(value), MOST_VISIBLE_MS)


def _viewport(reader: _Reader) -> tuple[int | None, int | None]:
    value = reader._values.get("viewport")
    if value is None:
        return None, None
    if isinstance(value, list) and len(value) == 2:
        if all(_is_number(side) and 0 < side <= _MOST_PX for side in value):
            return max(1, int(value[0])), max(1, int(value[1]))
    reader.fault("viewport", "need width and height in pixels")
    return None, None


def _pixel_ratio(reader: _Reader) -> float | None:
    value = reader._values.get("device_pixel_ratio")
    if value is None:
        return None
    if _is_number(value) and 0 < value <= 100:
        return float(value)
    reader.fault("device_pixel_ratio", "need a number")
    return None


def _shown(name: str) -> str:
    """Return a name as it can be told in an answer: short, and of characters that can be sent."""
    return name[:40].encode("utf-8", "replace").decode("utf-8")


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, int):
        return not isinstance(value, bool)
    return isinstance(value, float) and math.isfinite(value)


def _is_slot(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 26


def _is_share(value: object) -> TypeGuard[int | float]:
    return _is_number(value) and 0 <= value <= 1
