"""What a protocol must satisfy to be carried out, whatever its study."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # the protocol checks itself with these rules
    from rating.study.protocol import AnalysisPlan, Protocol, QuestionText

_LIMITS: Final[dict[str, tuple[float, float, str]]] = {
    "items_per_rater": (1, 10_000, "items"),
    "repeat_share": (0, 0.5, "of the main items"),
    "washout_items": (0, 1_000, "items"),
    "practice_items": (0, 50, "items"),
    "check_items": (0, 10, "items"),
    "session_items": (1, 1_000, "items"),
    "smallest_display_px": (200, 2_000, "px"),
    "planned_raters": (1, 1_000, "raters"),
}
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
MOST_POINTS: Final = 11
MOST_CHARACTERS: Final = 20_000


def problems(protocol: Protocol, arms: Sequence[str] | None = None) -> list[str]:
    """Return every reason why a protocol cannot be carried out, one line each; [] when it can.

    Args:
        protocol: With fields of the right types.
        arms:     Codes of the study's arms; None where they are not known yet, and then nothing is
                  said of the arms that the plan names.
    """
    found: list[str] = []
    for name, (least, most, unit) in _LIMITS.items():
        value = getattr(protocol, name)
        if value is not None and not least <= value <= most:
            found.append(f"{name}: {value} is not from {least} to {most} {unit}.")
    found.extend(_text_problems(protocol))
    found.extend(_question_problems(protocol))
    if protocol.plan is not None:
        found.extend(_plan_problems(protocol.plan, protocol.questions))
        if arms is not None:
            found.extend(_arm_problems(protocol.plan, arms))
    return found


def _text_problems(protocol: Protocol) -> Iterator[str]:
    for name, text in (
        ("instructions", protocol.instructions),
        ("consent.text", protocol.consent.text),
    ):
        if not text.strip() or len(text) > MOST_CHARACTERS:
            yield f"{name}: needs text of 1 to {MOST_CHARACTERS} characters, has {len(text)}."
    for name, text in (
        ("consent.ethics_approval", protocol.consent.ethics_approval),
        ("consent.contact", protocol.consent.contact),
    ):
        if len(text) > 500:
            yield f"{name}: has {len(text)} characters, allowed are 500."
    for name, offered, most in (
        ("specialties", protocol.specialties, 100),
        ("defect_tags", protocol.defect_tags, 40),
    ):
        if any(not text.strip() or len(text) > most for text in offered):
            yield f"{name}: each needs 1 to {most} characters."
        if len(set(offered)) != len(offered):
            yield f"{name}: one is listed twice."
    if not protocol.specialties:
        yield "specialties: raters need at least one to choose from."


def _question_problems(protocol: Protocol) -> Iterator[str]:
    codes = [question.code for question in protocol.questions]
    for code in sorted({code for code in codes if codes.count(code) > 1}):
        yield f"questions: the code {code!r} is there twice."
    if 1 not in {question.step for question in protocol.questions}:
        yield "questions: at least one must be asked in step 1."
    is_side_by_side = protocol.display == "side_by_side"
    if is_side_by_side and all(question.kind != "preference" for question in protocol.questions):
        yield 'questions: the display "side_by_side" needs one of the kind "preference".'
    if is_side_by_side and protocol.check_items:
        yield "check_items: attention checks are single images; give 0 side by side."
    for number, question in enumerate(protocol.questions, start=1):
        where = f"questions[{number}] ({question.code})"
        if not _CODE.fullmatch(question.code):
            yield f"{where}: the code needs 1 to 40 letters, digits, underscores; a letter first."
        if not question.text.strip() or len(question.text) > 500:
            yield f"{where}: the text needs 1 to 500 characters, has {len(question.text)}."
        if question.step not in (1, 2):
            yield f"{where}: the step is {question.step}, allowed are 1 and 2."
        if question.kind == "preference":
            if question.labels:
                yield f"{where}: a preference has no labels; its points are the images."
            if not is_side_by_side:
                yield f'{where}: a preference needs the display "side_by_side".'
            continue
        if not 2 <= len(question.labels) <= MOST_POINTS:
            yield f"{where}: needs 2 to {MOST_POINTS} labels, has {len(question.labels)}."
        if any(not label.strip() or len(label) > 80 for label in question.labels):
            yield f"{where}: every point needs a label of 1 to 80 characters."
        if len(set(question.labels)) != len(question.labels):
            yield f"{where}: two points have the same label."


def _plan_problems(plan: AnalysisPlan, questions: Sequence[QuestionText]) -> Iterator[str]:
    points = {question.code: len(question.labels) for question in questions}
    asked = f"asked are {', '.join(points)}"
    if plan.primary_question not in points:
        yield f"plan.primary_question: {plan.primary_question!r} is not asked; {asked}."
    if not plan.holm_family or len(set(plan.holm_family)) != len(plan.holm_family):
        yield "plan.holm_family: name at least one question, and each once."
    for code in plan.holm_family:
        if code not in points:
            yield f"plan.holm_family: {code!r} is not asked; {asked}."
    if plan.equivalence_margin is not None:
        widest = max(points.get(plan.primary_question, 0) - 1, 1)
        if not 0 < plan.equivalence_margin < widest:
            yield (
                f"plan.equivalence_margin: {plan.equivalence_margin:g} is not above 0 and below "
                f"{widest}, the range of {plan.primary_question!r}."
            )
    for name in ("estimand", "exclusions", "extension_rule"):
        if not getattr(plan, name).strip():
            yield f'plan.{name}: say it in words ("none" is an answer).'
    if len(set(plan.contrast_arms)) != len(plan.contrast_arms):
        yield "plan.contrast_arms: one arm is listed twice."
    if plan.reference_arm and plan.reference_arm in plan.contrast_arms:
        yield f"plan.contrast_arms: {plan.reference_arm!r} is the reference arm itself."


def _arm_problems(plan: AnalysisPlan, arms: Sequence[str]) -> Iterator[str]:
    there = f"there are {', '.join(arms) or 'none'}"
    if not plan.reference_arm:
        yield f"plan.reference_arm: name the arm to compare with; {there}."
    for name in filter(None, (plan.reference_arm, *plan.contrast_arms)):
        if name not in arms:
            yield f"plan: no arm has the code {name!r}; {there}."
