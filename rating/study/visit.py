"""A rater in one transaction: what was read of the study once and serves to its end."""

import functools
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from rating.errors import StudyStateError
from rating.storage.models import Answer, Assignment, Question, Rater, Study
from rating.study.lookup import current_protocol
from rating.study.protocol import Protocol


class Visit:
    """A rater and the study, as this transaction sees them."""

    def __init__(self, session: Session, study: Study, rater: Rater) -> None:
        """In a write transaction the caller holds the study."""
        self.session, self.study, self.rater = session, study, rater

    @functools.cached_property
    def protocol(self) -> Protocol:
        """The protocol in force."""
        return current_protocol(self.session, self.study)

    @functools.cached_property
    def questions(self) -> Sequence[Question]:
        """All questions in their order."""
        return self.session.scalars(
            select(Question)
            .where(Question.study_id == self.study.id)
            .order_by(Question.position)
        ).all()

    def questions_of(self, step: int) -> list[Question]:
        """Return the questions of a step."""
        return [question for question in self.questions if question.step == step]

    @functools.cached_property
    def current(self) -> Assignment | None:
        """The item to be judged now: the lowest position that is not submitted."""
        if self.rater.enrolled_at is None:
            return None
        return self.session.scalar(
            select(Assignment)
            .where(Assignment.rater_id == self.rater.id, Assignment.submitted_at.is_(None))
            .order_by(Assignment.position)
            .limit(1)
            .options(joinedload(Assignment.item, innerjoin=True))
        )

    def go_on(self) -> None:
        """Forget which item was the current one; it was submitted, or items were drawn."""
        self.__dict__.pop("current", None)

    @property
    def phase(self) -> str:
        """Where the rater is; see the documented values of "phase"."""
        study, rater = self.study, self.rater
        if rater.withdrawn_at is not None or rater.erased_at is not None:
            return "withdrawn"
        is_enrolled = rater.enrolled_at is not None
        if is_enrolled and rater.closing_remark is not None and self.current is None:
            return "done"
        if study.status == "locked":
            return "locked"
        if study.status != "open":
            raise StudyStateError("This study is not open.")
        if study.is_paused:
            return "paused"
        if rater.consented_at is None:
            return "consent"
        if not is_enrolled:
            return "profile"
        if self.current is None:
            return "closing"
        return "practice" if self.current.item.kind == "practice" else "rating"

    def answers_to(self, assignment: Assignment) -> dict[int, Answer]:
        """Return the answers kept of an item, by the key of their question."""
        if assignment.steps_done == 0:
            return {}
        rows = self.session.scalars(select(Answer).where(Answer.assignment_id == assignment.id))
        return {answer.question_id: answer for answer in rows}
