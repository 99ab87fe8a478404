"""English for generated text: numbers that agree with their nouns, lists, dates, quotations."""

import datetime
import re
from collections.abc import Sequence
from typing import Final

from rating import counting

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun: "1 rater", "3 raters", "no raters"."""
    return counting.counted(count, one, many) if count else f"no {many or f'{one}s'}"


def was(count: int) -> str:
    """Return "was" for one, "were" for any other number."""
    return "was" if count == 1 else "were"


def listed(parts: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"; with commas inside a part, semicolons part them."""
    if len(parts) < 2:
        return "".join(parts)
    comma = "; " if any(", " in part for part in parts) and len(parts) > 2 else ", "
    return f"{comma.join(parts[:-1])} and {parts[-1]}"


def spanned(numbers: Sequence[int], one: str, many: str = "") -> str:
    """Return "40 items", or "38 to 40 items" where numbers differ."""
    low, high = min(numbers), max(numbers)
    if low == high:
        return counted(low, one, many)
    return f"{low} to {counted(high, one, many)}"


def sentence(text: str) -> str:
    """Return a text that begins with a capital and ends with a full stop."""
    text = text.strip()
    if not text.strip("*"):
        return ""
    first = 1 if text[0] == "*" else 0  # what is emphasised begins behind the mark
    text = text[:first] + text[first].upper() + text[first + 1 :]
    # A quotation that ends as a sentence ends this one too.
    return text if text.rstrip("”").endswith((".", "?", "!")) else f"{text}."


def paragraph(heading: str, *sentences: str) -> str:
    """Return sentences in a paragraph of Markdown under a heading within the line."""
    return " ".join((f"**{heading}.**", *filter(None, map(sentence, sentences))))


def day(moment: datetime.datetime) -> str:
    """Return a date in UTC, such as "3 March 2026"."""
    at = moment.astimezone(datetime.UTC)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"


def quoted(text: str) -> str:
    """Return a text of somebody's in quotation marks, on one line, safe in Markdown."""
    return f"“{plain(text)}”"


def plain(text: str) -> str:
    """Return a text of somebody's on one line, in which Markdown finds nothing to format."""
    line = " ".join(text.split())
    line = re.sub(r"([\\`*\[\]<>|#~$])", r"\\\1", line)
    # Within a word an underscore is only itself.
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", line)


def code(text: str) -> str:
    """Return a code as Markdown shows it, such as that of a question."""
    return f"`{text}`"


def number(value: float, decimals: int = 1) -> str:
    """Return a number without needless zeros: "12", "12.5"."""
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def years(value: float) -> str:
    """Return "1 year", "12.5 years", "0 years"."""
    return f"{number(value)} {'year' if value == 1 else 'years'}"
