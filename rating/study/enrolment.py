"""Consent and enrolment: the moment at which a rater's items and their order are drawn and kept."""

import secrets
from typing import Final

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from rating.errors import AnswerError, StaleError
from rating.storage.events import record_event
from rating.storage.models import Assignment, AssignmentSlot, Rater, Study
from rating.study.exposure import design_units, exposure_so_far
from rating.study.lookup import last_version, utc_now
from rating.study.order import draw_order
from rating.study.rater_view import consent_sha256
from rating.study.visit import Visit

MOST_YEARS: Final = 70
# Raters of blinding audits are numbered from here, so that they take no place in the rotation.
_FIRST_AUDIT_INDEX: Final = 1_000_000


def consent(visit: Visit, text_sha256: str, is_independent: bool) -> None:
    """Keep a rater's consent; done twice it changes nothing.

    Raises:
        StaleError: the text was changed since it was shown.
    """
    rater = visit.rater
    if rater.consented_at is not None:
        return
    shown = consent_sha256(visit.protocol)
    if text_sha256 != shown:
        raise StaleError(
            "The text of the consent was changed meanwhile. Please read it again.", "not_current"
        )
    rater.consented_at, rater.consent_sha256 = utc_now(), shown
    rater.is_independent = is_independent
    record_event(
        visit.session, visit.study, "consented", rater.code, {"consent_sha256": shown}
    )


def check_profile(visit: Visit, specialty: str, years: int) -> None:
    """Check what a rater says of their experience.

    Raises:
        AnswerError: the specialty is not on the list or the years are impossible.
    """
    faults = {}
    offered = visit.protocol.specialties
    if specialty not in offered:
        faults["specialty"] = f"choose one of {', '.join(offered)}"
    if isinstance(years, bool) or not 0 <= years <= MOST_YEARS:
        faults["years_experience"] = f"give a whole number from 0 to {MOST_YEARS}"
    if faults:
        told = "; ".join(f"{name}: {said}" for name, said in faults.items())
        raise AnswerError(f"The profile cannot be kept: {told}.", faults)


def enrol(visit: Visit, specialty: str, years: int) -> None:
    """Draw a rater's items and keep them; the caller holds the study exclusively.

    Raises:
        DesignError: no order satisfies the protocol.
    """
    session, study, rater = visit.session, visit.study, visit.rater
    units = design_units(session, study)
    index = _next_index(session, study, rater.is_audit)
    order = draw_order(
        units.sets,
        units.reals,
        units.checks,
        units.practice,
        visit.protocol,
        exposure_so_far(session, study),
        study.seed,
        index,
    )
    rater.specialty, rater.years_experience = specialty, years
    rater.enrolment_index, rater.enrolled_at = index, utc_now()
    session.flush()
    version = last_version(session, study).version
    tokens = [secrets.token_urlsafe(24) for _ in order]
    session.execute(
        insert(Assignment),
        [
            {
                "study_id": study.id, "rater_id": rater.id, "item_id": planned.item_id,
                "position": position, "token": token, "protocol_version": version,
                "steps_done": 0, "visible_ms": 0, "is_seen_before": False,
            }
            for position, (planned, token) in enumerate(zip(order, tokens, strict=True))
        ],
    )  # fmt: skip
    rows = session.execute(
        select(Assignment.position, Assignment.id).where(Assignment.rater_id == rater.id)
    )
    assignments = {position: assignment_id for position, assignment_id in rows}
    session.execute(
        insert(AssignmentSlot),
        [
            {
                "study_id": study.id, "assignment_id": assignments[position], "slot": slot,
                "stimulus_id": units.stimuli[planned.item_id][index],
                "token": secrets.token_urlsafe(24),
            }
            for position, planned in enumerate(order)
            for slot, index in enumerate(planned.slots)
        ],
    )  # fmt: skip
    details = {
        "enrolment_index": index,
        "items": len(order),
        "protocol_version": version,
    }
    record_event(session, study, "enrolled", rater.code, details)
    visit.go_on()


def _next_index(session: Session, study: Study, is_audit: bool) -> int:
    last = session.scalar(
        select(func.max(Rater.enrolment_index)).where(
            Rater.study_id == study.id, Rater.is_audit.is_(is_audit)
        )
    )
    first = _FIRST_AUDIT_INDEX if is_audit else 0
    return first if last is None else last + 1
