"""Protocols as TOML files: every field with a comment that tells it, and back."""

import dataclasses
import json
import pathlib
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rating.errors import ProtocolError
from rating.study.protocol import AnalysisPlan, Protocol

_WIDTH: Final = 96
_MOST_BYTES: Final = 1_000_000

NOTES: Final[Mapping[str, str]] = {
    "display": 'How an item looks: "single" (one image), or "side_by_side" (one image of each arm '
    "and a preference question; not on phones).",
    "instructions": "Shown to raters before the first item.",
    "items_per_rater": "Main items of one rater; leave it out for all of them. Whole prompt sets "
    "are drawn, so this number is never exceeded.",
    "repeat_share": "Hidden repeats, as a share of the main items: 0 to 0.5. They tell how well a "
    "rater agrees with themselves.",
    "washout_items": "At least so many other items lie between an item and its repeat.",
    "practice_items": "At most so many practice images are shown first; nothing of them counts.",
    "check_items": "Attention checks for each rater, 0 to 10; they need images of the role check.",
    "session_items": "A pause is offered after so many items.",
    "can_revise": "Whether the last step of an item may be changed until the end. The first of two "
    "steps is always final.",
    "smallest_display_px": "Raters with a narrower window are asked to widen it.",
    "planned_raters": "How many raters are meant to finish.",
    "specialties": "What raters choose their specialty from.",
    "defect_tags": "Defects that raters may tag; an empty list offers none.",
    "consent": "What raters agree to. The SHA-256 of the text is kept with each consent.",
    "consent.text": "The whole consent text.",
    "consent.ethics_approval": "Number of the ethics approval, or why none is needed.",
    "consent.contact": "Whom raters can ask. May be changed after opening.",
    "questions": "The questions, in the order asked; one block each.",
    "questions.code": "Name of the column in exports: letters, digits and underscores.",
    "questions.text": "As the rater reads it.",
    "questions.labels": "One label for each point, the first for value 1. None for a preference.",
    "questions.step": "1: the image alone. 2: after step 1 is final, with the prompt.",
    "questions.kind": '"scale", or "preference" between images side by side.',
    "questions.has_cannot_judge": 'Whether "cannot judge" may be answered.',
    "plan": "The analysis plan, fixed at opening. A main study cannot open without; a pilot can.",
    "plan.primary_question": "Code of the question that decides.",
    "plan.reference_arm": "Code of the arm that the others are compared with.",
    "plan.contrast_arms": "Codes of the arms compared with it; empty means all others.",
    "plan.estimand": "In words: of what the difference is, over which raters and prompts.",
    "plan.equivalence_margin": "In points of the primary question, where equivalence is an aim; "
    "else leave it out.",
    "plan.holm_family": "Codes of the questions whose contrasts share one Holm correction.",
    "plan.exclusions": "Whose answers are left out and why.",
    "plan.cannot_judge": '"exclude" leaves such an answer out, "worst" counts the lowest value.',
    "plan.extension_rule": "When raters may be added after opening.",
}
_EXAMPLES: Final = {"items_per_rater": "24", "plan.equivalence_margin": "0.5"}


def read_toml(path: pathlib.Path) -> Protocol:
    """Return the protocol of a TOML file; fields that it lacks take their defaults.

    Raises:
        ProtocolError: It cannot be read, or with everything that is wrong in it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ProtocolError(f"{path} has more than {_MOST_BYTES} bytes; that is no protocol.")
        return from_toml(content.decode("utf-8-sig"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ProtocolError(f"The protocol {path} cannot be opened: {reason}.") from error
    except UnicodeDecodeError as error:
        raise ProtocolError(f"The protocol {path} is not UTF-8; save it as UTF-8.") from error
    except ProtocolError as error:
        raise ProtocolError(f"{path}: {error}") from error


def from_toml(text: str) -> Protocol:
    """Return the protocol of a TOML text; see `read_toml`."""
    try:
        return Protocol.from_dict(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ProtocolError(f"This is not TOML: {error}.") from error


def write_toml(protocol: Protocol, path: pathlib.Path) -> None:
    """Write a protocol into a new file.

    Raises:
        ProtocolError: The file is there already or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(to_toml(protocol))
    except FileExistsError as error:
        raise ProtocolError(f"{path} is there already; name another file.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ProtocolError(f"{path} cannot be written: {reason}.") from error


def to_toml(protocol: Protocol) -> str:
    """Return a protocol as TOML with a comment on every field; `from_toml` gives it back."""
    values = protocol.to_dict()
    plan = values.pop("plan")
    questions = values.pop("questions")
    consent = values.pop("consent")
    lines = ["# Protocol of a study: what raters are asked, and what will be concluded from it."]
    lines += ["# Every field may be left out; it then has the value written here by default.", ""]
    lines += _fields("", values)
    lines += [*_comment("consent"), "[consent]", *_fields("consent.", consent)]
    lines += _comment("questions")
    for number, question in enumerate(questions):
        lines.append("[[questions]]")
        lines += _fields("questions.", question, has_notes=number == 0)
    lines += _comment("plan")
    template = dataclasses.asdict(AnalysisPlan(reference_arm="real"))
    block = ["[plan]", *_fields("plan.", template if plan is None else plan)]
    lines += block if plan is not None else [_commented(line) for line in block]
    return "\n".join(lines).rstrip() + "\n"


def _fields(group: str, values: Mapping[str, Any], *, has_notes: bool = True) -> Iterator[str]:
    for name, value in values.items():
        if has_notes:
            yield from _comment(f"{group}{name}")
        if value is None:
            yield f"# {name} = {_EXAMPLES[f'{group}{name}']}"
        else:
            yield f"{name} = {_toml(value)}"
        if has_notes:
            yield ""
    if not has_notes:
        yield ""


def _comment(name: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(NOTES[name], _WIDTH)]


def _commented(text: str) -> str:
    """Comment every line that is none yet."""
    return "\n".join(
        line if not line or line.startswith("#") else f"# {line}" for line in text.split("\n")
    )


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    parts = [_text(part, is_short=True) for part in value]
    line = f"[{', '.join(parts)}]"
    if len(line) <= _WIDTH - 20:
        return line
    return "\n".join(("[", *(f"    {part}," for part in parts), "]"))


def _text(text: str, *, is_short: bool = False) -> str:
    """A text in TOML: in one line, or broken at single spaces where it is long."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007F")
    if is_short or len(escaped) <= _WIDTH - 20 or text.startswith(" "):
        return f'"{escaped}"'
    lines, line = [], ""
    for word in re.split(r"(?<=[^\s\\]) (?=\S)", escaped):
        if line and len(line) + 1 + len(word) > _WIDTH - 4:
            lines.append(f"    {line} \\")
            line = word
        else:
            line = f"{line} {word}" if line else word
    return "\n".join(('"""\\', *lines, f'    {line}"""'))
