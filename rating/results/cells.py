"""How values stand in the cells of the exported tables, and how they are read back."""

import datetime
import json
import re
from collections.abc import Iterable
from typing import Final

from rating.results.column import BANDS, LAST_BAND, MISSING, Variant

Row = tuple[str, ...]

_SECOND: Final = datetime.timedelta(seconds=1)
_MICROSECOND: Final = datetime.timedelta(microseconds=1)
_LIKE_MISSING: Final = re.compile(r"\\*" + MISSING)
_INNER: Final = re.compile(r"[\\;,]")


def text_or_missing(text: str | None) -> str:
    r"""Return a text of a column that can miss; one that is itself NA gets a backslash before."""
    if text is None:
        return MISSING
    return f"\\{text}" if _LIKE_MISSING.fullmatch(text) else text


def number(value: float | None) -> str:
    """Return a number with every digit that it takes to read the same number back."""
    return MISSING if value is None else repr(value)


def boolean(value: bool | None) -> str:
    """Return 0, 1 or NA."""
    return MISSING if value is None else "1" if value else "0"


def moment(value: datetime.datetime | None) -> str:
    """Return a moment in UTC, with microseconds, for example 2025-03-01T10:00:00.000000Z."""
    if value is None:
        return MISSING
    return value.astimezone(datetime.UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def seconds_since(start: datetime.datetime | None, value: datetime.datetime | None) -> str:
    """Return the seconds from one moment to another, exact to the microsecond."""
    if value is None or start is None:
        return MISSING
    microseconds = (value - start) // _MICROSECOND
    whole, rest = divmod(abs(microseconds), _SECOND // _MICROSECOND)
    return f"{'-' if microseconds < 0 else ''}{whole}.{rest:06d}"


def years(value: int | None, variant: Variant) -> str:
    """Return years of experience, in bands in the public variant."""
    if value is None or variant == "full":
        return number(value)
    return next((f"{low}-{high}" for low, high in BANDS if low <= value <= high), LAST_BAND)


def tags_text(tags: Iterable[str]) -> str:
    """Return tags joined by semicolons; empty where there are none."""
    return ";".join(map(_escaped, sorted(tags)))


def marks_text(marks: Iterable[tuple[float, float, str | None]]) -> str:
    """Return marks as x,y or x,y,tag joined by semicolons; empty where there are none."""
    return ";".join(
        f"{x!r},{y!r}" + ("" if tag is None else f",{_escaped(tag)}") for x, y, tag in marks
    )


def json_text(value: object) -> str:
    """Return JSON values as one line of JSON with sorted keys; NA for None."""
    if value is None:
        return MISSING
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _escaped(tag: str) -> str:
    return _INNER.sub(r"\\\g<0>", tag)
