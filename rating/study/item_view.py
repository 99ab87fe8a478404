"""One item as a rater's browser is told of it.

Main items, repeats and checks look the same here. The prompt is told once the first step is final.
"""

from typing import Any, Final

from sqlalchemy import select

from rating.storage.models import (
    Answer,
    Assignment,
    AssignmentSlot,
    DefectTag,
    Item,
    Mark,
    Prompt,
    Question,
    Stimulus,
)
from rating.study.visit import Visit

CANNOT_JUDGE: Final = "cannot judge"


def image_url(slot_token: str) -> str:
    """Return the address of a picture."""
    return f"/rate/image/{slot_token}.png"


def item_view(
    visit: Visit, assignment: Assignment, practice_total: int, *, is_revision: bool = False
) -> dict[str, Any]:
    """Return one item as JSON values, at the step that comes next, or at its last to be revised."""
    protocol = visit.protocol
    step_count = protocol.step_count
    step = step_count if is_revision else assignment.steps_done + 1
    answers = visit.answers_to(assignment)
    is_practice = assignment.item.kind == "practice"
    is_prompt_told = step > 1 or step_count == 1
    return {
        "token": assignment.token,
        "number": assignment.position + 1 - (0 if is_practice else practice_total),
        "is_practice": is_practice,
        "display": assignment.item.display,
        "step": step,
        "step_count": step_count,
        "images": _images(visit, assignment),
        "prompt": _prompt(visit, assignment) if is_prompt_told else None,
        "questions": [_question(question) for question in visit.questions_of(step)],
        "answered": [
            {"code": each.code, "text": each.text, "label": _label(each, answers[each.id])}
            for each in visit.questions
            if each.step < step and each.id in answers
        ],
        "tags": list(protocol.defect_tags),
        "previous": _previous(visit, assignment),
        "can_revise": protocol.can_revise,
        "saved": {
            **_saved_answers(visit.questions_of(step) if is_revision else [], answers),
            "is_seen_before": assignment.is_seen_before,
            **_saved_points(visit, assignment),
            "remark": assignment.remark or "",
        },
    }


def _images(visit: Visit, assignment: Assignment) -> list[dict[str, Any]]:
    rows = visit.session.execute(
        select(AssignmentSlot.slot, AssignmentSlot.token, Stimulus.width_px, Stimulus.height_px)
        .join(Stimulus, Stimulus.id == AssignmentSlot.stimulus_id)
        .where(AssignmentSlot.assignment_id == assignment.id)
        .order_by(AssignmentSlot.slot)
    )
    return [
        {"slot": slot, "url": image_url(token), "width_px": width, "height_px": height}
        for slot, token, width, height in rows
    ]


def _prompt(visit: Visit, assignment: Assignment) -> str:
    return visit.session.scalars(
        select(Prompt.text).where(Prompt.id == assignment.item.prompt_id)
    ).one()


def _question(question: Question) -> dict[str, Any]:
    return {
        "code": question.code,
        "text": question.text,
        "kind": question.kind,
        "points": [
            {"value": question.minimum + index, "label": label}
            for index, label in enumerate(question.labels)
        ],
        "has_cannot_judge": question.has_cannot_judge,
    }


def _label(question: Question, answer: Answer) -> str:
    if answer.value is None:
        return CANNOT_JUDGE
    return str(question.labels[answer.value - question.minimum])


def _previous(visit: Visit, assignment: Assignment) -> str | None:
    """Return the token of the item before, where it may be revised; practice ends at its end."""
    if not visit.protocol.can_revise or assignment.position == 0:
        return None
    found = visit.session.execute(
        select(Assignment.token, Item.kind)
        .join(Item, Item.id == Assignment.item_id)
        .where(
            Assignment.rater_id == assignment.rater_id,
            Assignment.position == assignment.position - 1,
            Assignment.submitted_at.is_not(None),
        )
    ).first()
    if found is None or (found.kind == "practice") != (assignment.item.kind == "practice"):
        return None
    return str(found.token)


def _saved_answers(questions: list[Question], answers: dict[int, Answer]) -> dict[str, Any]:
    own = {each.code: answers[each.id].value for each in questions if each.id in answers}
    return {
        "answers": {code: value for code, value in own.items() if value is not None},
        "cannot_judge": [code for code, value in own.items() if value is None],
    }


def _saved_points(visit: Visit, assignment: Assignment) -> dict[str, Any]:
    """Return the tags and marks of an item so far; before its first step there are none."""
    if assignment.steps_done == 0:
        return {"tags": [], "marks": []}
    tags = visit.session.execute(
        select(AssignmentSlot.slot, DefectTag.tag)
        .join(AssignmentSlot, AssignmentSlot.id == DefectTag.assignment_slot_id)
        .where(AssignmentSlot.assignment_id == assignment.id)
        .order_by(DefectTag.id)
    )
    marks = visit.session.execute(
        select(AssignmentSlot.slot, Mark.x, Mark.y, Mark.tag)
        .join(AssignmentSlot, AssignmentSlot.id == Mark.assignment_slot_id)
        .where(AssignmentSlot.assignment_id == assignment.id)
        .order_by(Mark.assignment_slot_id, Mark.number)
    )
    return {
        "tags": [{"slot": slot, "tag": tag} for slot, tag in tags],
        "marks": [{"slot": slot, "x": x, "y": y, "tag": tag} for slot, x, y, tag in marks],
    }
