"""The raters' desk: the only door through which a rater's browser reaches a study.

Every method is one transaction. The server decides which item comes next, from the database and
never from what the browser sends.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from rating.errors import AccessError, RaterError, StaleError
from rating.storage.database import Database, lock_study
from rating.storage.models import Assignment, AssignmentSlot, Rater, StimulusImage, Study
from rating.study.answers import (
    check_revisable,
    find_assignment,
    is_repeated,
    revise_item,
    take_step,
)
from rating.study.conduct import token_sha256
from rating.study.enrolment import check_profile, consent, enrol
from rating.study.item_view import item_view
from rating.study.rater_view import counts_of, state_of
from rating.study.submission import StepSubmission, clean_text, is_token
from rating.study.visit import Visit
from rating.study.withdrawal import withdraw

MOST_CLOSING_CHARACTERS: Final = 4_000
_NO_ITEM: Final = "There is no such item."
_NO_IMAGE: Final = "There is no such image."
_NOT_TAKEN: Final = {
    "paused": "The study is paused. Your answer is kept here and can be sent when it goes on.",
    "locked": "The study is closed; no more answers are taken. Thank you for yours.",
    "withdrawn": "You have withdrawn from this study; no more answers are taken.",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Saved:
    """What became of a request, and the state after it."""

    result: Literal["saved", "already_saved"]
    state: dict[str, Any]


class RatingDesk:
    """What a rater's browser may do."""

    def __init__(self, database: Database, app_version: str) -> None:
        """Serve the studies of a database; `app_version` is kept with each answer."""
        self._database, self._app_version = database, app_version

    def rater_of_link(self, token: str) -> int:
        """Return the id of the rater of a personal link.

        Raises:
            AccessError: 404, for an unknown and a revoked link alike.
        """
        with self._database.read() as session:
            found: int | None = None if not is_token(token) else session.scalar(
                select(Rater.id)
                .join(Study, Study.id == Rater.study_id)
                .where(
                    Rater.link_sha256 == token_sha256(token),
                    Rater.revoked_at.is_(None),
                    Study.status != "draft",
                )
            )
        if found is None:
            raise AccessError(
                "This link does not work. Ask whoever sent it to you for a new one.", 404
            )
        return found

    def state(self, rater_id: int) -> dict[str, Any]:
        """Return what a rater's browser is to show now.

        Raises:
            AccessError: the rater's link was revoked.
        """
        with self._database.read() as session:
            visit = _visit(session, rater_id)
            current = visit.current
            is_first_look = (
                current is not None
                and current.shown_at is None
                and visit.phase in {"practice", "rating"}
            )
            if not is_first_look:
                return state_of(visit)
        with self._writing(rater_id) as visit:
            return state_of(visit)

    def consent(self, rater_id: int, text_sha256: str, is_independent: bool) -> dict[str, Any]:
        """Keep a rater's consent to the text of this hash and return the state.

        Raises:
            StaleError: the text was changed, or the study is paused, locked or left.
        """
        with self._writing(rater_id, is_shared=False) as visit:
            if visit.rater.consented_at is None:
                _check_open(visit)
                consent(visit, text_sha256, is_independent)
            return state_of(visit)

    def profile(self, rater_id: int, specialty: str, years_experience: int) -> dict[str, Any]:
        """Keep specialty and years, draw the rater's items, and return the state.

        Raises:
            AnswerError: the values cannot be kept.
            RaterError: consent was not given.
            StaleError: the study is paused, locked or left.
        """
        with self._writing(rater_id, is_shared=False) as visit:
            if visit.rater.enrolled_at is None:
                _check_open(visit)
                if visit.rater.consented_at is None:
                    raise RaterError("Consent comes first.")
                check_profile(visit, specialty, years_experience)
                enrol(visit, specialty, years_experience)
            return state_of(visit)

    def answer(self, rater_id: int, sent: StepSubmission) -> Saved:
        """Take one step of the present item; durable before this returns.

        Raises:
            StaleError: the page is behind: "already_answered", "not_current", "paused", "locked",
                "withdrawn".
            AnswerError: an answer is missing, unknown or out of range.
            AccessError: this rater has no such item.
        """
        with self._writing(rater_id) as visit:
            assignment = find_assignment(visit.session, visit.rater, sent.item)
            if is_repeated(visit.session, assignment, sent):
                return Saved("already_saved", state_of(visit))
            _check_open(visit)
            take_step(visit, assignment, sent, self._app_version)
            return Saved("saved", state_of(visit))

    def revise(self, rater_id: int, sent: StepSubmission) -> Saved:
        """Change the answers of an earlier item's last step; as `answer`, and "frozen"."""
        with self._writing(rater_id) as visit:
            assignment = find_assignment(visit.session, visit.rater, sent.item)
            if is_repeated(visit.session, assignment, sent, is_revision=True):
                return Saved("already_saved", state_of(visit))
            _check_open(visit)
            revise_item(visit, assignment, sent)
            return Saved("saved", state_of(visit))

    def item(self, rater_id: int, token: str) -> dict[str, Any]:
        """Return an earlier item with its answers, to be changed.

        Raises:
            AccessError: this rater has no such item.
            StaleError: it cannot be changed.
        """
        with self._database.read() as session:
            visit = _visit(session, rater_id)
            assignment = is_token(token) and session.scalar(
                select(Assignment).where(
                    Assignment.token == token, Assignment.rater_id == rater_id
                )
            )
            if not assignment:
                raise AccessError(_NO_ITEM, 404)
            _check_open(visit)
            check_revisable(visit, assignment)
            practice_total = counts_of(visit).practice_total
            return item_view(visit, assignment, practice_total, is_revision=True)

    def image(self, rater_id: int, token: str) -> bytes:
        """Return the stored PNG behind a slot's token, byte for byte.

        Raises:
            AccessError: 404 for whatever is not the present item, the next one, or one that may
                be revised, of this rater, now.
        """
        with self._database.read() as session:
            visit = _visit(session, rater_id)
            found = is_token(token) and session.execute(
                select(Assignment, AssignmentSlot.stimulus_id)
                .join(AssignmentSlot, AssignmentSlot.assignment_id == Assignment.id)
                .where(AssignmentSlot.token == token, Assignment.rater_id == rater_id)
            ).first()
            if not found or not _may_see(visit, found[0]):
                raise AccessError(_NO_IMAGE, 404)
            return session.scalars(
                select(StimulusImage.png).where(StimulusImage.stimulus_id == found[1])
            ).one()

    def closing(self, rater_id: int, remark: str) -> dict[str, Any]:
        """Keep what a rater says at the end and return the state; what was said first stays.

        Raises:
            AnswerError: the remark is too long.
            StaleError: the items are not all answered.
        """
        kept = clean_text(remark, MOST_CLOSING_CHARACTERS)
        with self._writing(rater_id, is_shared=False) as visit:
            if visit.rater.closing_remark is None:
                _check_open(visit)
                if visit.rater.enrolled_at is None or visit.current is not None:
                    raise StaleError("There are items left.", "not_current")
                visit.rater.closing_remark = kept
            return state_of(visit)

    def withdraw(self, rater_id: int, is_erasing: bool) -> dict[str, Any]:
        """End this rater's part, erase the answers if wished, and return the state.

        Raises:
            StaleError: the study is locked.
        """
        with self._writing(rater_id, is_shared=False) as visit:
            rater = visit.rater
            withdraw(visit.session, visit.study, rater, is_erasing=is_erasing, actor=rater.code)
            return state_of(visit)

    @contextmanager
    def _writing(self, rater_id: int, *, is_shared: bool = True) -> Iterator[Visit]:
        """Give a write transaction that holds the study, so that pause and lock cut exactly.

        Others may hold it too, but while the rater's last item is answered: an event is appended
        then, and the chain of events has one writer at a time.
        """
        with self._database.write() as session:
            left = (
                select(func.count())
                .where(Assignment.rater_id == rater_id, Assignment.submitted_at.is_(None))
                .scalar_subquery()
            )
            found = session.execute(
                select(Rater.study_id, left).where(Rater.id == rater_id)
            ).first()
            if found is None:
                raise AccessError("There is no such rater.", 401)
            study_id, items_left = found
            study = lock_study(session, study_id, is_shared=is_shared and items_left != 1)
            yield Visit(session, study, _checked(session.get(Rater, rater_id)))


def _visit(session: Session, rater_id: int) -> Visit:
    found = session.execute(
        select(Rater, Study).join(Study, Study.id == Rater.study_id).where(Rater.id == rater_id)
    ).first()
    rater = _checked(found[0] if found else None)
    assert found is not None
    return Visit(session, found[1], rater)


def _checked(rater: Rater | None) -> Rater:
    if rater is None or rater.revoked_at is not None:
        raise AccessError(
            "This link does not work any more. Ask whoever sent it to you for a new one.", 401
        )
    return rater


def _check_open(visit: Visit) -> None:
    phase = visit.phase
    if phase in _NOT_TAKEN:
        raise StaleError(_NOT_TAKEN[phase], phase)


def _may_see(visit: Visit, assignment: Assignment) -> bool:
    if visit.phase not in {"practice", "rating", "closing"}:
        return False
    if assignment.submitted_at is not None:
        return visit.protocol.can_revise
    # Positions are submitted in their order, so that the next one follows the present one.
    return visit.current is not None and assignment.position <= visit.current.position + 1
