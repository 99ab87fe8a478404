"""Files of prompts: one prompt a line, or a table with identifiers, seeds and columns of one's own.

A file is read whole before anything is drawn, and everything wrong with it is told at once.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.manifest import COLUMN_NAMES
from data.tables import scan_table
from msdm_core.errors import PromptFileError, RequestError
from msdm_core.generation.request import MAX_SEED, clean_prompt

MAX_ID_CHARACTERS = 64
MAX_SEEDS = 10_000
MAX_FAULTS_SHOWN = 30
TABLE_SEPARATORS: Mapping[str, str] = {".csv": ",", ".tsv": "\t"}
_PROMPT, _ID, _SEED, _SEEDS = "prompt", "prompt_id", "seed", "seeds"
_RANGE = re.compile(r"(\d{1,10})(?:\s*-\s*(\d{1,10}))?")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt of a list; `seeds` is empty where the list gives none, `carried` is its rest."""

    id: str
    text: str
    seeds: tuple[int, ...] = ()
    carried: Mapping[str, str] = field(default_factory=dict, hash=False)


class _Faults:
    """What is wrong with a file, by line."""

    def __init__(self) -> None:
        self._found: list[tuple[int, str]] = []

    def add(self, line: int | None, message: str) -> None:
        self._found.append((line or 0, message))

    def raise_any(self, path: Path) -> None:
        if not self._found:
            return
        lines = [f"  line {n}: {text}" if n else f"  {text}" for n, text in sorted(self._found)]
        more = len(lines) - MAX_FAULTS_SHOWN
        shown = [*lines[:MAX_FAULTS_SHOWN], *([f"  and {more} more"] if more > 0 else [])]
        raise PromptFileError(
            "\n".join((f"The prompts {path} cannot be used; nothing was drawn:", *shown))
        )


def read_prompts(path: Path) -> tuple[Prompt, ...]:
    """Returns the prompts of a file, in its order.

    Args:
        path: `.csv` or `.tsv` with a header: `prompt`, optionally `prompt_id`, `seed` or `seeds`;
            other columns are carried along. Any other name: plain text, one prompt a line, lines
            with a # at their start left out.

    Raises:
        PromptFileError: something is wrong with the file; the message lists everything.
    """
    faults = _Faults()
    if path.suffix.lower() in TABLE_SEPARATORS:
        prompts = _read_table(path, faults)
    else:
        prompts = _read_lines(path, faults)
    _find_repeats(prompts, faults)
    if not prompts:
        faults.add(None, "holds no prompt that can be drawn")
    faults.raise_any(path)
    return tuple(prompt for _, prompt in prompts)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Returns the seeds of "7", "0-4" or "1,5,9-12", in their order.

    Raises:
        RequestError: the text has another form, or a seed is repeated or outside what is allowed.
    """
    seeds: list[int] = []
    for part in re.split(r"[,;]", text):
        found = _RANGE.fullmatch(part.strip())
        first = int(found[1]) if found else 0
        last = int(found[2] or first) if found else -1
        if not first <= last <= MAX_SEED or last - first >= MAX_SEEDS:
            raise RequestError(
                f"Seeds cannot be {text!r}: give whole numbers from 0 to {MAX_SEED:,} and ranges "
                f"of at most {MAX_SEEDS:,}, for example 0-4 or 1,5,9-12."
            )
        seeds.extend(range(first, last + 1))
    if len(set(seeds)) < len(seeds) or len(seeds) > MAX_SEEDS:
        raise RequestError(
            f"Seeds cannot be {text!r}: give each seed once, at most {MAX_SEEDS:,} of them."
        )
    return tuple(seeds)


def prompt_id(text: str) -> str:
    """Returns an identifier made of the prompt alone, so that it stays when lines move."""
    return f"p{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _read_lines(path: Path, faults: _Faults) -> list[tuple[int, Prompt]]:
    prompts: list[tuple[int, Prompt]] = []
    for number, line in enumerate(_content(path, faults).split(b"\n"), start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            faults.add(number, f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8")
            continue
        if text and not text.startswith("#") and (clean := _clean(text, number, faults)):
            prompts.append((number, Prompt(prompt_id(clean), clean)))
    return prompts


def _content(path: Path, faults: _Faults) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        faults.add(None, f"cannot be opened: {error.strerror or error}")
        return b""
    if b"\0" in content:
        faults.add(None, "contains zero bytes (UTF-16, or no text at all); save it as UTF-8 text")
        return b""
    return content


def _read_table(path: Path, faults: _Faults) -> list[tuple[int, Prompt]]:
    separator = TABLE_SEPARATORS[path.suffix.lower()]
    header = _header(path)
    others = [name for name in header if name.lower() != _PROMPT]
    table = scan_table(path, [_PROMPT], separator=separator, optional=others)
    for fault in table.faults:
        faults.add(fault.line, fault.message)
    _check_header(header, faults)
    meanings = {name: name.lower() for name in others if name.lower() in (_ID, _SEED, _SEEDS)}
    prompts: list[tuple[int, Prompt]] = []
    for row in table.rows:
        known = {meaning: row.values[name].strip() for name, meaning in meanings.items()}
        text = _clean(row.values[_PROMPT], row.line, faults)
        identifier = known.get(_ID) or (prompt_id(text) if text else "")
        if known.get(_ID) == "":
            faults.add(row.line, "prompt_id is empty; fill it in every row, or leave the column")
        if len(identifier) > MAX_ID_CHARACTERS or not identifier.isprintable():
            faults.add(row.line, f"prompt_id needs 1 to {MAX_ID_CHARACTERS} printable characters")
        seeds = _row_seeds(known.get(_SEED) or known.get(_SEEDS) or "", row.line, faults)
        carried = {name: row.values[name] for name in others if name not in meanings and name}
        if text:
            prompts.append((row.line, Prompt(identifier, text, seeds, carried)))
    return prompts


def _header(path: Path) -> list[str]:
    """Returns the names of the columns, as far as the first line can be read."""
    try:
        with path.open("rb") as file:
            line = file.readline().decode("utf-8-sig", errors="replace")
    except OSError:
        return []
    for separator in (",", "\t", ";", "|"):
        names = next(csv.reader(io.StringIO(line), delimiter=separator), [])
        if _PROMPT in (name.strip().lower() for name in names):
            return [name.strip() for name in names]
    return []


def _check_header(header: Sequence[str], faults: _Faults) -> None:
    lower = [name.lower() for name in header]
    if twice := sorted({name for name in lower if lower.count(name) > 1}):
        faults.add(1, f"has columns twice: {', '.join(name or 'without name' for name in twice)}")
    if _SEED in lower and _SEEDS in lower:
        faults.add(1, "has both seed and seeds; keep one of them")
    if "" in lower and lower.count("") == 1:
        faults.add(1, "has a column without name")
    taken = sorted(set(lower) & (set(COLUMN_NAMES) - {_PROMPT, _ID, _SEED}))
    if taken:
        faults.add(1, f"has columns that the manifest fills itself: {', '.join(taken)}; rename")


def _clean(text: str, line: int, faults: _Faults) -> str:
    try:
        return clean_prompt(text)
    except RequestError as error:
        faults.add(line, str(error))
        return ""


def _row_seeds(text: str, line: int, faults: _Faults) -> tuple[int, ...]:
    try:
        return parse_seeds(text) if text else ()
    except RequestError as error:
        faults.add(line, str(error))
        return ()


def _find_repeats(prompts: Iterable[tuple[int, Prompt]], faults: _Faults) -> None:
    first: dict[str, tuple[int, Prompt]] = {}
    for line, prompt in prompts:
        earlier_line, earlier = first.setdefault(prompt.id, (line, prompt))
        if earlier_line == line:
            continue
        if prompt.id == prompt_id(prompt.text) and earlier.text == prompt.text:
            faults.add(line, f"has the prompt of line {earlier_line}; remove it, or give prompt_id")
        else:
            faults.add(line, f"prompt_id {prompt.id!r} stands in line {earlier_line} already")
