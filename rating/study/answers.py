"""Answers taken: one step of the present item, or a change to an earlier one.

A step is taken once. The same request again changes nothing; another request for a step that is
done already, from another tab or device, is refused and nothing of it is kept.
"""

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from rating.errors import AccessError, AnswerError, StaleError
from rating.storage.events import record_event
from rating.storage.models import (
    Answer,
    AnswerVersion,
    Assignment,
    AssignmentSlot,
    DefectTag,
    Mark,
    Question,
    Rater,
    Study,
    Submission,
)
from rating.study.lookup import current_protocol, utc_now
from rating.study.protocol import Protocol
from rating.study.rater_view import current_assignment
from rating.study.submission import StepSubmission, read_submission

__all__ = ["find_assignment", "is_repeated", "read_submission", "revise_item", "take_step"]

_DONE_BEFORE = (
    "This item was answered already, in another window or on another device. "
    "Nothing is lost; you continue where you are."
)


def find_assignment(session: Session, rater: Rater, token: str) -> Assignment:
    """Return an assignment of this rater by its token, held until the transaction ends.

    Raises:
        AccessError: this rater has none of that name.
    """
    found = session.scalar(
        select(Assignment)
        .where(Assignment.token == token, Assignment.rater_id == rater.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise AccessError("There is no such item.", 404)
    return found


def is_repeated(session: Session, assignment: Assignment, key: str) -> bool:
    """Return whether a request of this key was carried out before."""
    found = session.scalar(
        select(Submission.id).where(
            Submission.assignment_id == assignment.id, Submission.key == key
        )
    )
    return found is not None


def take_step(
    session: Session,
    study: Study,
    rater: Rater,
    assignment: Assignment,
    sent: StepSubmission,
    app_version: str,
) -> None:
    """Take one step of the present item.

    Raises:
        StaleError: "already_answered" or "not_current".
        AnswerError: an answer is missing, unknown or out of range.
    """
    protocol = current_protocol(session, study)
    if assignment.submitted_at is not None or sent.step <= assignment.steps_done:
        raise StaleError(_DONE_BEFORE, "already_answered")
    current = current_assignment(session, rater)
    if current is None or current.id != assignment.id or sent.step != assignment.steps_done + 1:
        raise StaleError("This is not the item that comes next; here is the one that does.",
                         "not_current")  # fmt: skip
    questions = _questions(session, study, sent.step)
    _check(sent, questions)
    now = utc_now()
    session.add(
        Submission(assignment_id=assignment.id, step=sent.step, key=sent.key, received_at=now)
    )
    for question in questions:
        _save(session, assignment, question, sent)
    _keep_extras(session, protocol, assignment, sent)
    assignment.shown_at = assignment.shown_at or now
    assignment.steps_done = sent.step
    assignment.visible_ms += sent.visible_ms
    assignment.viewport_width_px = sent.viewport_width_px
    assignment.viewport_height_px = sent.viewport_height_px
    assignment.device_pixel_ratio = sent.device_pixel_ratio
    assignment.app_version = app_version[:40]
    if sent.step == 1:
        assignment.judged_at = now
    if sent.step == protocol.step_count:
        assignment.submitted_at = now
    session.flush()
    if assignment.submitted_at is not None and current_assignment(session, rater) is None:
        rater.completed_at = now
        record_event(session, study, "completed", rater.code, {})


def is_last_request(session: Session, study: Study, rater: Rater, sent: StepSubmission) -> bool:
    """Return whether a step would complete the rater, for which the study is held exclusively."""
    if sent.step != current_protocol(session, study).step_count:
        return False
    left = session.scalar(
        select(func.count())
        .select_from(Assignment)
        .where(Assignment.rater_id == rater.id, Assignment.submitted_at.is_(None))
    )
    return left == 1


def revise_item(
    session: Session, study: Study, rater: Rater, assignment: Assignment, sent: StepSubmission
) -> None:
    """Change the answers of an earlier item's last step.

    Raises:
        StaleError: "frozen" where the protocol or the step does not allow it, "not_current" where
            the item is not submitted yet.
        AnswerError: an answer is missing, unknown or out of range.
    """
    protocol = current_protocol(session, study)
    check_revisable(protocol, rater, assignment)
    if sent.step != protocol.step_count:
        raise StaleError("The first answers to an image are final.", "frozen")
    questions = _questions(session, study, sent.step)
    _check(sent, questions)
    now = utc_now()
    earlier = session.scalar(
        select(func.min(Submission.step)).where(Submission.assignment_id == assignment.id)
    )
    number = min(earlier or 0, 0) - 1
    session.add(
        Submission(assignment_id=assignment.id, step=number, key=sent.key, received_at=now)
    )
    for question in questions:
        _save(session, assignment, question, sent)
    _keep_extras(session, protocol, assignment, sent)
    assignment.visible_ms += sent.visible_ms
    session.flush()


def check_revisable(protocol: Protocol, rater: Rater, assignment: Assignment) -> None:
    """Check that an item may be looked at again and changed.

    Raises:
        StaleError: it may not.
    """
    if assignment.submitted_at is None:
        raise StaleError("This item is not answered yet.", "not_current")
    if not protocol.can_revise or rater.closing_remark is not None:
        raise StaleError("Answers cannot be changed any more.", "frozen")


def _questions(session: Session, study: Study, step: int) -> Sequence[Question]:
    return session.scalars(
        select(Question)
        .where(Question.study_id == study.id, Question.step == step)
        .order_by(Question.position)
    ).all()


def _check(sent: StepSubmission, questions: Sequence[Question]) -> None:
    known = {question.code: question for question in questions}
    faults = {
        code: "is no question of this step"
        for code in [*sent.answers, *sorted(sent.cannot_judge)]
        if code not in known
    }
    for code, question in known.items():
        if code in sent.cannot_judge:
            if not question.has_cannot_judge:
                faults[code] = "needs an answer"
        elif code not in sent.answers:
            faults[code] = "is not answered yet"
        elif not question.minimum <= sent.answers[code] <= question.maximum:
            faults[code] = f"need a value from {question.minimum} to {question.maximum}"
    if faults:
        told = "; ".join(f"{code}: {said}" for code, said in faults.items())
        raise AnswerError(f"The answer cannot be kept: {told}.", faults)


def _save(
    session: Session, assignment: Assignment, question: Question, sent: StepSubmission
) -> None:
    """Save one answer with its history; one that says the same as before stays as it is."""
    value = None if question.code in sent.cannot_judge else sent.answers[question.code]
    now = utc_now()
    answer = session.scalar(
        select(Answer).where(
            Answer.assignment_id == assignment.id, Answer.question_id == question.id
        )
    )
    if answer is None:
        answer = Answer(
            study_id=assignment.study_id, assignment_id=assignment.id, question_id=question.id,
            value=value, is_cannot_judge=value is None, revision=1, saved_at=now,
        )  # fmt: skip
        session.add(answer)
    elif answer.value == value:
        return
    else:
        answer.value, answer.is_cannot_judge = value, value is None
        answer.revision, answer.saved_at = answer.revision + 1, now
    session.flush()
    session.add(
        AnswerVersion(
            answer_id=answer.id, revision=answer.revision, value=value,
            is_cannot_judge=value is None, saved_at=now,
        )
    )  # fmt: skip


def _keep_extras(
    session: Session, protocol: Protocol, assignment: Assignment, sent: StepSubmission
) -> None:
    """Replace tags, marks, remark and *seen before* of an item by what was sent."""
    slots = {
        slot.slot: slot.id
        for slot in session.scalars(
            select(AssignmentSlot).where(AssignmentSlot.assignment_id == assignment.id)
        )
    }
    tagged = [each.tag for each in sent.tags] + [each.tag for each in sent.marks if each.tag]
    faults = {}
    if unknown := [tag for tag in tagged if tag not in protocol.defect_tags]:
        faults["tags"] = f"{unknown[0]!r} is not offered"
    if any(each.slot not in slots for each in (*sent.tags, *sent.marks)):
        faults["marks"] = "there is no picture in that place"
    if faults:
        told = "; ".join(f"{name}: {said}" for name, said in faults.items())
        raise AnswerError(f"The answer cannot be kept: {told}.", faults)
    assignment.is_seen_before = sent.is_seen_before
    assignment.remark = sent.remark or None
    for table in (DefectTag, Mark):
        session.execute(
            delete(table).where(table.assignment_slot_id.in_(slots.values())),
            execution_options={"synchronize_session": False},
        )
    session.add_all(
        DefectTag(assignment_slot_id=slots[each.slot], tag=each.tag) for each in sent.tags
    )
    numbers = dict.fromkeys(slots, 0)
    for each in sent.marks:
        numbers[each.slot] += 1
        session.add(
            Mark(
                assignment_slot_id=slots[each.slot], number=numbers[each.slot],
                x=each.x, y=each.y, tag=each.tag,
            )
        )  # fmt: skip
