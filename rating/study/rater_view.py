"""What a rater's browser is told: the phase, the present item, progress. Nothing that unblinds.

Main items, repeats and checks look the same here. The prompt is told once the first step is final.
"""

import dataclasses
import hashlib
import math
import statistics
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from rating.errors import StudyStateError
from rating.storage.models import (
    Answer,
    Assignment,
    AssignmentSlot,
    DefectTag,
    Item,
    Mark,
    Prompt,
    Question,
    Rater,
    Stimulus,
    Study,
)
from rating.study.lookup import current_protocol, utc_now
from rating.study.protocol import Protocol

CANNOT_JUDGE: Final = "cannot judge"
FIRST_GUESS_S: Final = 20.0  # an item, before this rater has done any
_RECENT: Final = 25
_LONGEST_ITEM_S: Final = 300.0  # what took longer was a pause


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """How many items a rater was assigned and has submitted, practice apart."""

    done: int
    total: int
    practice_done: int
    practice_total: int

    @property
    def is_complete(self) -> bool:
        """Whether everything is submitted."""
        return self.done == self.total and self.practice_done == self.practice_total


def image_url(slot_token: str) -> str:
    """Return the address of a picture."""
    return f"/rate/image/{slot_token}.png"


def consent_sha256(protocol: Protocol) -> str:
    """Return the SHA-256 of the text that raters agree to."""
    return hashlib.sha256(protocol.consent.text.encode("utf-8")).hexdigest()


def current_assignment(session: Session, rater: Rater) -> Assignment | None:
    """Return the item to be judged now: the lowest position that is not submitted."""
    return session.scalar(
        select(Assignment)
        .where(Assignment.rater_id == rater.id, Assignment.submitted_at.is_(None))
        .order_by(Assignment.position)
        .limit(1)
    )


def counts_of(session: Session, rater: Rater) -> Counts:
    """Return how far a rater is."""
    counts = dict.fromkeys(((True, True), (True, False), (False, True), (False, False)), 0)
    is_practice = Item.kind == "practice"
    is_done = Assignment.submitted_at.is_not(None)
    rows = session.execute(
        select(is_practice, is_done, func.count())
        .join(Item, Item.id == Assignment.item_id)
        .where(Assignment.rater_id == rater.id)
        .group_by(is_practice, is_done)
    )
    for practice, done, count in rows:
        counts[bool(practice), bool(done)] = count
    return Counts(
        done=counts[False, True],
        total=counts[False, True] + counts[False, False],
        practice_done=counts[True, True],
        practice_total=counts[True, True] + counts[True, False],
    )


def phase_of(study: Study, rater: Rater, current: Assignment | None) -> str:
    """Return where a rater is; see the documented values of "phase"."""
    if rater.withdrawn_at is not None or rater.erased_at is not None:
        return "withdrawn"
    if rater.enrolled_at is not None and current is None and rater.closing_remark is not None:
        return "done"
    if study.status == "locked":
        return "locked"
    if study.status != "open":
        raise StudyStateError("This study is not open.")
    if study.is_paused:
        return "paused"
    if rater.consented_at is None:
        return "consent"
    if rater.enrolled_at is None:
        return "profile"
    if current is None:
        return "closing"
    return "practice" if current.item.kind == "practice" else "rating"


def state_of(session: Session, study: Study, rater: Rater) -> dict[str, Any]:
    """Return the whole state as JSON values; the present item counts as shown from now on."""
    protocol = current_protocol(session, study)
    current = current_assignment(session, rater)
    phase = phase_of(study, rater, current)
    counts = counts_of(session, rater)
    state: dict[str, Any] = {
        "phase": phase,
        "study": {
            "title": study.title,
            "instructions": protocol.instructions,
            "contact": protocol.consent.contact,
            "ethics_approval": protocol.consent.ethics_approval,
        },
        "rater": rater.code,
        "progress": _progress(session, protocol, rater, counts, phase, current),
        "protocol": {
            "session_items": protocol.session_items,
            "smallest_display_px": protocol.smallest_display_px,
            "step_count": protocol.step_count,
            "display": protocol.display,
        },
    }
    if phase == "consent":
        state["consent"] = {
            "text": protocol.consent.text,
            "sha256": consent_sha256(protocol),
            "ethics_approval": protocol.consent.ethics_approval,
            "contact": protocol.consent.contact,
        }
    elif phase == "profile":
        state["profile"] = {"specialties": list(protocol.specialties)}
    elif current is not None and phase in {"practice", "rating"}:
        if current.shown_at is None:
            current.shown_at = utc_now()
        state["item"] = item_view(session, protocol, current, counts)
        state["next_images"] = _next_images(session, rater, current)
    return state


def item_view(
    session: Session,
    protocol: Protocol,
    assignment: Assignment,
    counts: Counts,
    *,
    is_revision: bool = False,
) -> dict[str, Any]:
    """Return one item as JSON values, at the step that comes next, or at its last to be revised."""
    step_count = protocol.step_count
    step = step_count if is_revision else assignment.steps_done + 1
    questions = session.scalars(
        select(Question)
        .where(Question.study_id == assignment.study_id)
        .order_by(Question.position)
    ).all()
    answers = {
        answer.question_id: answer
        for answer in session.scalars(select(Answer).where(Answer.assignment_id == assignment.id))
    }
    is_practice = assignment.item.kind == "practice"
    number = counts.practice_done if is_practice else counts.done
    if is_revision:
        number = assignment.position - (0 if is_practice else counts.practice_total)
    is_prompt_told = step > 1 or step_count == 1
    return {
        "token": assignment.token,
        "number": number + 1,
        "is_practice": is_practice,
        "display": assignment.item.display,
        "step": step,
        "step_count": step_count,
        "images": _images(session, assignment),
        "prompt": _prompt(session, assignment) if is_prompt_told else None,
        "questions": [_question(question) for question in questions if question.step == step],
        "answered": [
            {"code": each.code, "text": each.text, "label": _label(each, answers[each.id])}
            for each in questions
            if each.step < step and each.id in answers
        ],
        "tags": list(protocol.defect_tags),
        "previous": _previous(session, protocol, assignment),
        "can_revise": protocol.can_revise,
        "saved": _saved(session, assignment, questions, answers, step if is_revision else 0),
    }


def _progress(
    session: Session,
    protocol: Protocol,
    rater: Rater,
    counts: Counts,
    phase: str,
    current: Assignment | None,
) -> dict[str, Any]:
    left = counts.total - counts.done + counts.practice_total - counts.practice_done
    is_between = phase == "rating" and current is not None and current.steps_done == 0
    is_due = counts.done > 0 and counts.done % protocol.session_items == 0
    seconds = left * _seconds_per_item(session, rater) if left else 0.0
    return {
        "done": counts.done,
        "total": counts.total,
        "left_min": math.ceil(seconds / 60),
        "practice_done": counts.practice_done,
        "practice_total": counts.practice_total,
        "is_pause_offered": is_between and is_due and counts.done < counts.total,
    }


def _seconds_per_item(session: Session, rater: Rater) -> float:
    """Return the median time from showing an item to submitting it, of the last ones."""
    rows = session.execute(
        select(Assignment.shown_at, Assignment.submitted_at)
        .where(Assignment.rater_id == rater.id, Assignment.submitted_at.is_not(None))
        .order_by(Assignment.position.desc())
        .limit(_RECENT)
    ).all()
    times = [
        min((submitted - shown).total_seconds(), _LONGEST_ITEM_S)
        for shown, submitted in rows
        if shown is not None and submitted is not None
    ]
    return statistics.median(times) if len(times) >= 3 else FIRST_GUESS_S


def _images(session: Session, assignment: Assignment) -> list[dict[str, Any]]:
    rows = session.execute(
        select(AssignmentSlot.slot, AssignmentSlot.token, Stimulus.width_px, Stimulus.height_px)
        .join(Stimulus, Stimulus.id == AssignmentSlot.stimulus_id)
        .where(AssignmentSlot.assignment_id == assignment.id)
        .order_by(AssignmentSlot.slot)
    )
    return [
        {"slot": slot, "url": image_url(token), "width_px": width, "height_px": height}
        for slot, token, width, height in rows
    ]


def _next_images(session: Session, rater: Rater, current: Assignment) -> list[str]:
    following = (
        select(Assignment.id)
        .where(
            Assignment.rater_id == rater.id,
            Assignment.submitted_at.is_(None),
            Assignment.position > current.position,
        )
        .order_by(Assignment.position)
        .limit(1)
        .scalar_subquery()
    )
    tokens = session.scalars(
        select(AssignmentSlot.token)
        .where(AssignmentSlot.assignment_id == following)
        .order_by(AssignmentSlot.slot)
    )
    return [image_url(token) for token in tokens]


def _prompt(session: Session, assignment: Assignment) -> str:
    return session.scalars(
        select(Prompt.text)
        .join(Item, Item.prompt_id == Prompt.id)
        .where(Item.id == assignment.item_id)
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


def _previous(session: Session, protocol: Protocol, assignment: Assignment) -> str | None:
    """Return the token of the item before, where it may be revised; practice ends at its end."""
    if not protocol.can_revise or assignment.position == 0:
        return None
    found = session.execute(
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


def _saved(
    session: Session,
    assignment: Assignment,
    questions: Any,
    answers: dict[int, Answer],
    step: int,
) -> dict[str, Any]:
    """Return what is kept of an item so far; `step` 0 leaves its answers out."""
    tags = session.execute(
        select(AssignmentSlot.slot, DefectTag.tag)
        .join(AssignmentSlot, AssignmentSlot.id == DefectTag.assignment_slot_id)
        .where(AssignmentSlot.assignment_id == assignment.id)
        .order_by(DefectTag.id)
    )
    marks = session.execute(
        select(AssignmentSlot.slot, Mark.x, Mark.y, Mark.tag)
        .join(AssignmentSlot, AssignmentSlot.id == Mark.assignment_slot_id)
        .where(AssignmentSlot.assignment_id == assignment.id)
        .order_by(Mark.number)
    )
    own = [each for each in questions if each.step == step and each.id in answers]
    return {
        "answers": {
            each.code: answers[each.id].value
            for each in own
            if answers[each.id].value is not None
        },
        "cannot_judge": [each.code for each in own if answers[each.id].value is None],
        "is_seen_before": assignment.is_seen_before,
        "tags": [{"slot": slot, "tag": tag} for slot, tag in tags],
        "marks": [{"slot": slot, "x": x, "y": y, "tag": tag} for slot, x, y, tag in marks],
        "remark": assignment.remark or "",
    }
