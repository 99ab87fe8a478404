"""Answers taken: one step of the present item, or a change to an earlier one.

A step is taken once. The same request again changes nothing; another request for a step that is
done already, from another tab or device, is refused and nothing of it is kept.
"""

import datetime
from collections.abc import Sequence
from typing import Final

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
    Submission,
)
from rating.study.lookup import utc_now
from rating.study.submission import MOST_VISIBLE_MS, StepSubmission
from rating.study.visit import Visit

_DONE_BEFORE: Final = (
    "This item was answered already, in another window or on another device. "
    "Nothing is lost; you continue where you are."
)
_NOT_NEXT: Final = "This is not the item that comes next; here is the one that does."


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


def is_repeated(
    session: Session, assignment: Assignment, sent: StepSubmission, *, is_revision: bool = False
) -> bool:
    """Return whether this request was carried out before.

    Raises:
        AnswerError: its key named another request; taken for that one it would be lost.
    """
    step = session.scalar(
        select(Submission.step).where(
            Submission.assignment_id == assignment.id, Submission.key == sent.key
        )
    )
    if step is None:
        return False
    if is_revision != (step < 0) or (not is_revision and step != sent.step):
        raise AnswerError(
            "This key was used for another request; each answer needs a key of its own.",
            {"key": "was used for another request"},
        )
    return True


def take_step(
    visit: Visit, assignment: Assignment, sent: StepSubmission, app_version: str
) -> None:
    """Take one step of the present item.

    Raises:
        StaleError: "already_answered" or "not_current".
        AnswerError: an answer is missing, unknown or out of range.
    """
    if assignment.submitted_at is not None or sent.step <= assignment.steps_done:
        raise StaleError(_DONE_BEFORE, "already_answered")
    current = visit.current
    if current is None or current.id != assignment.id or sent.step != assignment.steps_done + 1:
        raise StaleError(_NOT_NEXT, "not_current")
    now = utc_now()
    _keep(visit, assignment, sent, sent.step, now)
    assignment.shown_at = assignment.shown_at or now
    assignment.steps_done = sent.step
    assignment.viewport_width_px = sent.viewport_width_px
    assignment.viewport_height_px = sent.viewport_height_px
    assignment.device_pixel_ratio = sent.device_pixel_ratio
    assignment.app_version = app_version[:40]
    if sent.step == 1:
        assignment.judged_at = now
    if sent.step == visit.protocol.step_count:
        assignment.submitted_at = now
    visit.session.flush()
    visit.go_on()
    if visit.current is None:
        visit.rater.completed_at = now
        record_event(visit.session, visit.study, "completed", visit.rater.code, {})


def revise_item(visit: Visit, assignment: Assignment, sent: StepSubmission) -> None:
    """Change the answers of an earlier item's last step.

    Raises:
        StaleError: "frozen" where the protocol or the step does not allow it, "not_current" where
            the item is not submitted yet.
        AnswerError: an answer is missing, unknown or out of range.
    """
    check_revisable(visit, assignment)
    if sent.step != visit.protocol.step_count:
        raise StaleError("The first answers to an image are final.", "frozen")
    lowest = visit.session.scalar(
        select(func.min(Submission.step)).where(Submission.assignment_id == assignment.id)
    )
    _keep(visit, assignment, sent, min(lowest or 0, 0) - 1, utc_now())
    visit.session.flush()


def check_revisable(visit: Visit, assignment: Assignment) -> None:
    """Check that an item may be looked at again and changed.

    Raises:
        StaleError: it may not.
    """
    if assignment.submitted_at is None:
        raise StaleError("This item is not answered yet.", "not_current")
    if not visit.protocol.can_revise or visit.rater.closing_remark is not None:
        raise StaleError("Answers cannot be changed any more.", "frozen")


def _keep(
    visit: Visit, assignment: Assignment, sent: StepSubmission, number: int, now: datetime.datetime
) -> None:
    """Keep a request, under its number, with everything in it."""
    questions = visit.questions_of(sent.step)
    _check(visit, sent, questions)
    visit.session.add(
        Submission(assignment_id=assignment.id, step=number, key=sent.key, received_at=now)
    )
    _save(visit, assignment, questions, sent, now)
    _keep_extras(visit.session, assignment, sent)
    assignment.visible_ms = min(assignment.visible_ms + sent.visible_ms, MOST_VISIBLE_MS)


def _check(visit: Visit, sent: StepSubmission, questions: Sequence[Question]) -> None:
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
    tagged = [each.tag for each in sent.tags] + [each.tag for each in sent.marks if each.tag]
    if unknown := [tag for tag in tagged if tag not in visit.protocol.defect_tags]:
        faults["tags"] = f"{unknown[0]!r} is not offered"
    if faults:
        raise _refused(faults)


def _refused(faults: dict[str, str]) -> AnswerError:
    told = "; ".join(f"{name}: {said}" for name, said in faults.items())
    return AnswerError(f"The answer cannot be kept: {told}.", faults)


def _save(
    visit: Visit,
    assignment: Assignment,
    questions: Sequence[Question],
    sent: StepSubmission,
    now: datetime.datetime,
) -> None:
    """Save the answers with their history; one that says the same as before stays as it is."""
    kept = visit.answers_to(assignment)
    saved = []
    for question in questions:
        value = None if question.code in sent.cannot_judge else sent.answers[question.code]
        answer = kept.get(question.id)
        if answer is None:
            answer = Answer(
                study_id=assignment.study_id, assignment_id=assignment.id,
                question_id=question.id, value=value, is_cannot_judge=value is None, revision=1,
                saved_at=now,
            )  # fmt: skip
            visit.session.add(answer)
        elif answer.value == value:
            continue
        else:
            answer.value, answer.is_cannot_judge = value, value is None
            answer.revision, answer.saved_at = answer.revision + 1, now
        saved.append(answer)
    visit.session.flush()  # gives new answers their keys
    visit.session.add_all(
        AnswerVersion(
            answer_id=each.id, revision=each.revision, value=each.value,
            is_cannot_judge=each.is_cannot_judge, saved_at=now,
        )
        for each in saved
    )  # fmt: skip


def _keep_extras(session: Session, assignment: Assignment, sent: StepSubmission) -> None:
    """Replace tags, marks, remark and *seen before* of an item by what was sent."""
    assignment.is_seen_before = sent.is_seen_before
    assignment.remark = sent.remark or None
    if assignment.steps_done == 0 and not sent.tags and not sent.marks:
        return
    rows = session.execute(
        select(AssignmentSlot.slot, AssignmentSlot.id).where(
            AssignmentSlot.assignment_id == assignment.id
        )
    )
    slots = {slot: slot_id for slot, slot_id in rows}
    if faults := {
        name: "there is no picture in that place"
        for name, points in (("tags", sent.tags), ("marks", sent.marks))
        if any(each.slot not in slots for each in points)
    }:
        raise _refused(faults)
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
