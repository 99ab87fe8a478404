"""A rater's part ended by the rater's wish, and all that was answered deleted if that is wished."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from rating.errors import StaleError
from rating.storage.events import record_event
from rating.storage.models import (
    Answer,
    AnswerVersion,
    Assignment,
    AssignmentSlot,
    DefectTag,
    Mark,
    Rater,
    Study,
    Submission,
)
from rating.study.lookup import utc_now


def withdraw(
    session: Session, study: Study, rater: Rater, *, is_erasing: bool, actor: str
) -> None:
    """End a rater's part; the caller holds the study exclusively. Done twice it changes nothing.

    What was drawn for the rater stays, so that the design can be understood; erasing deletes
    answers with their history, tags, marks, remarks, times, specialty and years.

    Raises:
        StaleError: the study is locked; its answers are part of a deposited result.
    """
    if study.status == "locked":
        raise StaleError(
            "The study is locked and its answers are part of the result; they cannot be taken out "
            "any more. Please write to the contact of the study.",
            "locked",
        )
    if rater.withdrawn_at is None:
        rater.withdrawn_at = utc_now()
        record_event(session, study, "withdrawn", actor, {"rater": rater.code})
    if is_erasing and rater.erased_at is None:
        _erase(session, rater)
        rater.erased_at = utc_now()
        record_event(session, study, "erased", actor, {"rater": rater.code})


def _erase(session: Session, rater: Rater) -> None:
    own = select(Assignment.id).where(Assignment.rater_id == rater.id)
    slots = select(AssignmentSlot.id).where(AssignmentSlot.assignment_id.in_(own))
    answers = select(Answer.id).where(Answer.assignment_id.in_(own))
    for statement in (
        delete(AnswerVersion).where(AnswerVersion.answer_id.in_(answers)),
        delete(Answer).where(Answer.assignment_id.in_(own)),
        delete(DefectTag).where(DefectTag.assignment_slot_id.in_(slots)),
        delete(Mark).where(Mark.assignment_slot_id.in_(slots)),
        delete(Submission).where(Submission.assignment_id.in_(own)),
    ):
        session.execute(statement, execution_options={"synchronize_session": False})
    for assignment in session.scalars(
        select(Assignment).where(Assignment.rater_id == rater.id)
    ):
        assignment.remark = None
        assignment.is_seen_before = False
        assignment.visible_ms = 0
        assignment.viewport_width_px = assignment.viewport_height_px = None
        assignment.device_pixel_ratio = None
        assignment.judged_at = assignment.submitted_at = assignment.shown_at = None
        assignment.steps_done = 0
    rater.specialty = rater.years_experience = rater.closing_remark = None
    rater.completed_at = None
    session.flush()
