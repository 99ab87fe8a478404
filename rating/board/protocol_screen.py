"""The protocol of a draft as a form, every field with its help, and as a TOML file."""

import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

from rating.board.panel import render
from rating.board.view import Act, Asked, Outcome, Region, View, Workplace, note
from rating.errors import ProtocolError
from rating.study.protocol import AnalysisPlan, Display, Protocol
from rating.study.protocol_file import NOTES, from_toml, to_toml

_WHOLE: Final = (
    "items_per_rater", "washout_items", "practice_items", "check_items", "session_items",
    "smallest_display_px", "planned_raters",
)  # fmt: skip
_LINES: Final = ("specialties", "defect_tags")


class ProtocolScreen:
    """Changing the protocol of a draft."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self.acts: dict[str, Act] = {
            "save_protocol": self._save,
            "load_toml": self._load,
            "default_protocol": self._reset,
        }

    def draw(self, view: View) -> dict[Region, str]:
        """Return the regions of the screen."""
        protocol = self._place.studies.protocol(view.code)
        summary = self._place.studies.summary(view.code)
        arms = {each.arm: each.arm_label for each in self._place.studies.stimuli(view.code)}
        return {
            "main": render(
                "protocol.html",
                title=summary.title,
                kind=summary.kind,
                protocol=protocol.to_dict(),
                plan=_plan_values(protocol),
                has_plan=protocol.plan is not None,
                notes=NOTES,
                arms={code: label for code, label in arms.items() if code},
                question_codes=[question.code for question in protocol.questions],
            ),
            "extra": render("protocol_file.html", href=toml_href(protocol), code=view.code),
        }

    def _save(self, view: View, asked: Asked) -> Outcome:
        protocol = protocol_of(asked.values)
        self._place.studies.change(
            view.code, title=asked.text("title"), kind=asked.text("kind"), protocol=protocol
        )
        return Outcome(view, note("The protocol is saved."), self.draw(view))

    def _load(self, view: View, asked: Asked) -> Outcome:
        if not asked.text("toml"):
            raise ProtocolError("Choose a TOML file first.")
        self._place.studies.change(view.code, protocol=from_toml(asked.text("toml")))
        said = note("The protocol of the file is saved in this draft.")
        return Outcome(view, said, self.draw(view))

    def _reset(self, view: View, asked: Asked) -> Outcome:
        display: Display = "side_by_side" if asked.id == "side_by_side" else "single"
        self._place.studies.change(view.code, protocol=Protocol.of(display))
        words = display.replace("_", " ")
        said = note(f"The default protocol of the display {words} is saved in this draft.")
        return Outcome(view, said, self.draw(view))


def toml_href(protocol: Protocol) -> str:
    """Return an address that holds a protocol as a TOML file."""
    return f"data:application/toml;charset=utf-8,{urllib.parse.quote(to_toml(protocol))}"


def protocol_of(values: Mapping[str, Any]) -> Protocol:
    """Return the protocol that the form says.

    Args:
        values: Field -> text, true or false; "questions" -> a list of such mappings.

    Raises:
        ProtocolError: With everything that is wrong.
    """
    plain: dict[str, Any] = {"display": _text(values, "display") or "single"}
    plain["instructions"] = _text(values, "instructions")
    for name in _WHOLE:
        plain[name] = _number(_text(values, name), is_whole=True)
    plain["repeat_share"] = _number(_text(values, "repeat_share"))
    plain["can_revise"] = values.get("can_revise") is True
    for name in _LINES:
        plain[name] = _listed(_text(values, name), "\n")
    plain["consent"] = {
        name: _text(values, f"consent.{name}") for name in ("text", "ethics_approval", "contact")
    }
    asked = values.get("questions")
    questions = asked if isinstance(asked, list) else []
    plain["questions"] = [_question(each) for each in questions if isinstance(each, Mapping)]
    if values.get("has_plan") is True:
        plain["plan"] = _plan(values)
    return Protocol.from_dict(plain)


def _question(values: Mapping[str, Any]) -> dict[str, Any]:
    kind = _text(values, "kind") or "scale"
    labels = _listed(_text(values, "labels"), "\n")
    return {
        "code": _text(values, "code"),
        "text": _text(values, "text"),
        # The points of a preference are the images: what stood there belongs to a scale.
        "labels": [] if kind == "preference" else labels,
        "step": _number(_text(values, "step"), is_whole=True),
        "kind": kind,
        "has_cannot_judge": values.get("has_cannot_judge") is True,
    }


def _plan(values: Mapping[str, Any]) -> dict[str, Any]:
    plan: dict[str, Any] = {
        name: _text(values, f"plan.{name}")
        for name in (
            "primary_question", "reference_arm", "estimand", "exclusions", "cannot_judge",
            "extension_rule",
        )
    }  # fmt: skip
    for name in ("contrast_arms", "holm_family"):
        plan[name] = _listed(_text(values, f"plan.{name}"), ",")
    plan["equivalence_margin"] = _number(_text(values, "plan.equivalence_margin"))
    return plan


def _plan_values(protocol: Protocol) -> dict[str, Any]:
    """Return the plan for the form; where there is none, the usual one to start from."""
    plan = protocol.plan or _usual_plan(protocol)
    return {name: getattr(plan, name) for name in AnalysisPlan.__dataclass_fields__}


def _usual_plan(protocol: Protocol) -> AnalysisPlan:
    codes = [question.code for question in protocol.questions]
    usual = AnalysisPlan()
    if usual.primary_question in codes or not codes:
        return usual
    return AnalysisPlan(primary_question=codes[0], holm_family=(codes[0],))


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _number(text: str, *, is_whole: bool = False) -> Any:
    """Return the number that a text says; None for none; else the text, for the report."""
    if not text:
        return None
    try:
        return int(text) if is_whole else float(text.replace(",", "."))
    except ValueError:
        return text


def _listed(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]
