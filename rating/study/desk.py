"""The raters' desk: the only door through which a rater's browser reaches a study.

Every method is one transaction. The server decides which item comes next, from the database and
never from what the browser sends.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from rating.errors import AccessError, RaterError, StaleError
from rating.storage.database import Database, lock_study
from rating.storage.models import Assignment, AssignmentSlot, Rater, StimulusImage, Study
from rating.study.answers import (
    check_revisable,
    find_assignment,
    is_last_request,
    is_repeated,
    revise_item,
    take_step,
)
from rating.study.conduct import token_sha256
from rating.study.enrolment import check_profile, consent, enrol
from rating.study.lookup import current_protocol
from rating.study.rater_view import (
    counts_of,
    current_assignment,
    item_view,
    phase_of,
    state_of,
)
from rating.study.submission import StepSubmission, clean_text
from rating.study.withdrawal import withdraw

MOST_CLOSING_CHARACTERS: Final = 4_000
_NO_IMAGE: Final = "There is no such image."
_BEFORE_THE_FIRST: Final = {
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
            found = session.scalar(
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
            rater, study = _rater_and_study(session, rater_id)
            current = current_assignment(session, rater)
            is_first_look = (
                current is not None
                and current.shown_at is None
                and phase_of(study, rater, current) in {"practice", "rating"}
            )
            if not is_first_look:
                return state_of(session, study, rater)
        with self._writing(rater_id) as (session, study, rater):
            return state_of(session, study, rater)

    def consent(self, rater_id: int, text_sha256: str, is_independent: bool) -> dict[str, Any]:
        """Keep a rater's consent to the text of this hash and return the state.

        Raises:
            StaleError: the text was changed, or the study is paused, locked or left.
        """
        with self._writing(rater_id, is_shared=False) as (session, study, rater):
            if rater.consented_at is None:
                _check_open(session, study, rater)
                consent(session, study, rater, text_sha256, is_independent)
            return state_of(session, study, rater)

    def profile(self, rater_id: int, specialty: str, years_experience: int) -> dict[str, Any]:
        """Keep specialty and years, draw the rater's items, and return the state.

        Raises:
            AnswerError: the values cannot be kept.
            RaterError: consent was not given.
            StaleError: the study is paused, locked or left.
        """
        with self._writing(rater_id, is_shared=False) as (session, study, rater):
            if rater.enrolled_at is None:
                _check_open(session, study, rater)
                if rater.consented_at is None:
                    raise RaterError("Consent comes first.")
                check_profile(session, study, specialty, years_experience)
                enrol(session, study, rater, specialty, years_experience)
            return state_of(session, study, rater)

    def answer(self, rater_id: int, sent: StepSubmission) -> Saved:
        """Take one step of the present item; durable before this returns.

        Raises:
            StaleError: the page is behind: "already_answered", "not_current", "paused", "locked",
                "withdrawn".
            AnswerError: an answer is missing, unknown or out of range.
            AccessError: this rater has no such item.
        """
        with self._database.read() as session:
            rater, study = _rater_and_study(session, rater_id)
            is_last = is_last_request(session, study, rater, sent)
        # An event is appended when a rater completes, and the chain has one writer at a time.
        with self._writing(rater_id, is_shared=not is_last) as (session, study, rater):
            assignment = find_assignment(session, rater, sent.item)
            if is_repeated(session, assignment, sent.key):
                return Saved("already_saved", state_of(session, study, rater))
            _check_open(session, study, rater)
            take_step(session, study, rater, assignment, sent, self._app_version)
            session.flush()
            return Saved("saved", state_of(session, study, rater))

    def revise(self, rater_id: int, sent: StepSubmission) -> Saved:
        """Change the answers of an earlier item's last step; as `answer`, and "frozen"."""
        with self._writing(rater_id) as (session, study, rater):
            assignment = find_assignment(session, rater, sent.item)
            if is_repeated(session, assignment, sent.key):
                return Saved("already_saved", state_of(session, study, rater))
            _check_open(session, study, rater)
            revise_item(session, study, rater, assignment, sent)
            return Saved("saved", state_of(session, study, rater))

    def item(self, rater_id: int, token: str) -> dict[str, Any]:
        """Return an earlier item with its answers, to be changed.

        Raises:
            AccessError: this rater has no such item.
            StaleError: it cannot be changed.
        """
        with self._database.read() as session:
            rater, study = _rater_and_study(session, rater_id)
            assignment = session.scalar(
                select(Assignment).where(
                    Assignment.token == token, Assignment.rater_id == rater.id
                )
            )
            if assignment is None:
                raise AccessError("There is no such item.", 404)
            _check_open(session, study, rater)
            protocol = current_protocol(session, study)
            check_revisable(protocol, rater, assignment)
            counts = counts_of(session, rater)
            return item_view(session, protocol, assignment, counts, is_revision=True)

    def image(self, rater_id: int, token: str) -> bytes:
        """Return the stored PNG behind a slot's token, byte for byte.

        Raises:
            AccessError: 404 for whatever is not the present item, the next one, or one that may
                be revised, of this rater, now.
        """
        with self._database.read() as session:
            rater, study = _rater_and_study(session, rater_id)
            found = session.execute(
                select(Assignment, AssignmentSlot.stimulus_id)
                .join(AssignmentSlot, AssignmentSlot.assignment_id == Assignment.id)
                .where(AssignmentSlot.token == token, Assignment.rater_id == rater.id)
            ).first()
            if found is None or not _may_see(session, study, rater, found[0]):
                raise AccessError(_NO_IMAGE, 404)
            return session.scalars(
                select(StimulusImage.png).where(StimulusImage.stimulus_id == found[1])
            ).one()

    def closing(self, rater_id: int, remark: str) -> dict[str, Any]:
        """Keep what a rater says at the end and return the state.

        Raises:
            AnswerError: the remark is too long.
            StaleError: the items are not all answered.
        """
        kept = clean_text(remark, MOST_CLOSING_CHARACTERS)
        with self._writing(rater_id) as (session, study, rater):
            if rater.closing_remark is None:
                _check_open(session, study, rater)
                if rater.enrolled_at is None or current_assignment(session, rater) is not None:
                    raise StaleError("There are items left.", "not_current")
                rater.closing_remark = kept
            return state_of(session, study, rater)

    def withdraw(self, rater_id: int, is_erasing: bool) -> dict[str, Any]:
        """End this rater's part, erase the answers if wished, and return the state.

        Raises:
            StaleError: the study is locked.
        """
        with self._writing(rater_id, is_shared=False) as (session, study, rater):
            withdraw(session, study, rater, is_erasing=is_erasing, actor=rater.code)
            return state_of(session, study, rater)

    @contextmanager
    def _writing(
        self, rater_id: int, *, is_shared: bool = True
    ) -> Iterator[tuple[Session, Study, Rater]]:
        """Give a write transaction that holds the study, so that pause and lock cut exactly."""
        with self._database.write() as session:
            study_id = session.scalar(select(Rater.study_id).where(Rater.id == rater_id))
            if study_id is None:
                raise AccessError("There is no such rater.", 401)
            study = lock_study(session, study_id, is_shared=is_shared)
            rater, _ = _rater_and_study(session, rater_id)
            yield session, study, rater


def _rater_and_study(session: Session, rater_id: int) -> tuple[Rater, Study]:
    found = session.execute(
        select(Rater, Study)
        .join(Study, Study.id == Rater.study_id)
        .where(Rater.id == rater_id)
        .execution_options(populate_existing=True)
    ).first()
    if found is None or found[0].revoked_at is not None:
        raise AccessError(
            "This link does not work any more. Ask whoever sent it to you for a new one.", 401
        )
    return found[0], found[1]


def _check_open(session: Session, study: Study, rater: Rater) -> None:
    phase = phase_of(study, rater, current_assignment(session, rater))
    if phase in _BEFORE_THE_FIRST:
        raise StaleError(_BEFORE_THE_FIRST[phase], phase)


def _may_see(session: Session, study: Study, rater: Rater, assignment: Assignment) -> bool:
    current = current_assignment(session, rater)
    phase = phase_of(study, rater, current)
    if phase not in {"practice", "rating", "closing"}:
        return False
    if assignment.submitted_at is not None:
        return current_protocol(session, study).can_revise
    # Positions are submitted in their order, so that the next one follows the present one.
    return current is not None and assignment.position <= current.position + 1
