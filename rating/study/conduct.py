"""What a coordinator does while a study is open: invite, revoke, pause, resume, extend."""

import dataclasses
import hashlib
import secrets
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from rating.errors import ProtocolError, RaterError, StudyStateError
from rating.storage.database import lock_study
from rating.storage.events import record_event
from rating.storage.models import ProtocolVersion, Rater, SignIn, Study
from rating.study.lookup import current_protocol, find_rater, utc_now
from rating.study.opening import write_version
from rating.study.protocol import checked_protocol

MOST_INVITED_AT_ONCE = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Invitation:
    """A rater's way in; the token is told once and kept nowhere."""

    rater_code: str
    token: str = dataclasses.field(repr=False)

    def link(self, base_url: str) -> str:
        """Return the address to send to the rater."""
        return f"{base_url.rstrip('/')}/join/{self.token}"


def token_sha256(token: str) -> str:
    """Return the SHA-256 under which a token is known to the database."""
    return hashlib.sha256(token.encode("utf-8")).hexdigest()


def invite(session: Session, study: Study, count: int, actor: str) -> tuple[Invitation, ...]:
    """Return invitations for `count` new raters, R01, R02 and so on."""
    if not 1 <= count <= MOST_INVITED_AT_ONCE:
        raise RaterError(
            f"{count} raters cannot be invited at once; allowed are 1 to {MOST_INVITED_AT_ONCE}."
        )
    invitations = [_new_rater(session, study, "R", is_audit=False) for _ in range(count)]
    named = [invitation.rater_code for invitation in invitations]
    record_event(session, study, "invited", actor, {"raters": named})
    return tuple(invitations)


def invite_auditor(session: Session, study: Study) -> str:
    """Return the link token of a rater who plays for a blinding audit and counts nowhere.

    The audit logs itself, with what it found.
    """
    study = lock_study(session, study.id)
    return _new_rater(session, study, "A", is_audit=True).token


def _new_rater(session: Session, study: Study, letter: str, *, is_audit: bool) -> Invitation:
    codes = session.scalars(
        select(Rater.code).where(Rater.study_id == study.id, Rater.is_audit.is_(is_audit))
    )
    number = 1 + max((int(code[1:]) for code in codes), default=0)
    invitation = Invitation(f"{letter}{number:02d}", secrets.token_urlsafe(32))
    rater = Rater(
        study_id=study.id,
        code=invitation.rater_code,
        link_sha256=token_sha256(invitation.token),
        invited_at=utc_now(),
        is_audit=is_audit,
    )
    session.add(rater)
    session.flush()
    return invitation


def renew_link(session: Session, study: Study, rater_code: str, actor: str) -> Invitation:
    """Return a new link for a rater; the old one and all browsers signed in with it are void."""
    rater = find_rater(session, study, rater_code)
    if rater.withdrawn_at is not None:
        raise RaterError(f"Rater {rater.code} has withdrawn. Invite a new rater instead.")
    invitation = Invitation(rater.code, secrets.token_urlsafe(32))
    rater.link_sha256 = token_sha256(invitation.token)
    rater.revoked_at = None
    _end_sign_ins(session, rater)
    record_event(session, study, "link_renewed", actor, {"rater": rater.code})
    return invitation


def revoke(session: Session, study: Study, rater_code: str, actor: str) -> None:
    """End a rater's link and every browser signed in with it; the answers stay."""
    rater = find_rater(session, study, rater_code)
    if rater.revoked_at is not None:
        raise RaterError(f"The link of rater {rater.code} was revoked already.")
    rater.revoked_at = utc_now()
    _end_sign_ins(session, rater)
    record_event(session, study, "revoked", actor, {"rater": rater.code})


def _end_sign_ins(session: Session, rater: Rater) -> None:
    session.execute(
        update(SignIn)
        .where(SignIn.rater_id == rater.id, SignIn.ended_at.is_(None))
        .values(ended_at=utc_now())
    )


def pause(session: Session, study: Study, actor: str) -> None:
    """Let nobody rate until `resume`."""
    if study.is_paused:
        raise StudyStateError(f"Study {study.code} is paused already.")
    study.is_paused = True
    record_event(session, study, "paused", actor, {})


def resume(session: Session, study: Study, actor: str) -> None:
    """Let raters go on."""
    if not study.is_paused:
        raise StudyStateError(f"Study {study.code} is not paused.")
    study.is_paused = False
    record_event(session, study, "resumed", actor, {})


def extend(
    session: Session,
    study: Study,
    planned_raters: int | None,
    contact: str | None,
    reason: str,
    actor: str,
) -> ProtocolVersion:
    """Return a new version of the protocol with more raters planned or another contact.

    Nothing else can change after opening, so that every answer stands under the same questions.
    """
    reason = reason.strip()
    if not reason:
        raise ProtocolError("An extension needs a reason; it is kept with the new version.")
    protocol = current_protocol(session, study)
    changes: dict[str, Any] = {}
    if planned_raters is not None and planned_raters != protocol.planned_raters:
        changes["planned_raters"] = planned_raters
    if contact is not None and contact != protocol.consent.contact:
        changes["consent"] = dataclasses.replace(protocol.consent, contact=contact)
    if not changes:
        raise ProtocolError(
            f"Nothing changes: {protocol.planned_raters} raters are planned already. Give another "
            "number of raters or another contact."
        )
    extended = checked_protocol(dataclasses.replace(protocol, **changes))
    version = write_version(session, study, extended, reason)
    details = {
        "protocol_version": version.version,
        "protocol_sha256": version.sha256,
        "changed": sorted(changes),
        "planned_raters": extended.planned_raters,
        "reason": reason,
    }
    record_event(session, study, "extended", actor, details)
    return version
