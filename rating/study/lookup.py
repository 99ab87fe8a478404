"""Studies, raters and protocols found in the database, and what a study's state allows."""

import datetime
import functools
import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from rating.errors import RaterError, StudyNotFoundError, StudyStateError
from rating.storage.database import lock_study
from rating.storage.models import ProtocolVersion, Rater, Study
from rating.study.protocol import Protocol

_NEXT_STEP = {
    "draft": "this needs an open study and it is a draft; open it first",
    "open": "this needs a draft and it is open; its protocol and images are fixed",
    "locked": "it is locked, and nothing in it changes any more",
}


def utc_now() -> datetime.datetime:
    """Return this moment, aware and in UTC."""
    return datetime.datetime.now(datetime.UTC)


def find_study(session: Session, code: str) -> Study:
    """Return the study of a code, for reading.

    Raises:
        StudyNotFoundError: There is none.
    """
    study = session.scalar(select(Study).where(Study.code == code.strip().lower()))
    if study is None:
        raise StudyNotFoundError(
            f"There is no study {code!r}. `python -m rating list` shows the codes of all studies."
        )
    return study


def claim_study(session: Session, code: str, *statuses: str) -> Study:
    """Return the study of a code, locked for this transaction and in one of `statuses`.

    Raises:
        StudyNotFoundError: There is none.
        StudyStateError:    It is in another state.
    """
    return require_status(lock_study(session, find_study(session, code).id), *statuses)


def require_status(study: Study, *statuses: str) -> Study:
    """Return the study where it is in one of `statuses`, else raise StudyStateError."""
    if statuses and study.status not in statuses:
        raise StudyStateError(f"Study {study.code}: {_NEXT_STEP[study.status]}.")
    return study


def find_rater(session: Session, study: Study, rater_code: str) -> Rater:
    """Return a rater of a study by code, for example "R01".

    Raises:
        RaterError: There is none of this code.
    """
    rater = session.scalar(
        select(Rater).where(
            Rater.study_id == study.id,
            Rater.code == rater_code.strip().upper(),
            Rater.is_audit.is_(False),
        )
    )
    if rater is None:
        raise RaterError(
            f"Study {study.code} has no rater {rater_code!r}. "
            f"`python -m rating progress {study.code}` lists its raters."
        )
    return rater


def last_version(session: Session, study: Study) -> ProtocolVersion:
    """Return the protocol version in force of a study that was opened."""
    version = session.scalar(
        select(ProtocolVersion)
        .where(ProtocolVersion.study_id == study.id)
        .order_by(ProtocolVersion.version.desc())
        .limit(1)
    )
    if version is None:
        raise StudyStateError(f"Study {study.code} was not opened yet: no protocol is fixed.")
    return version


def current_protocol(session: Session, study: Study) -> Protocol:
    """Return the protocol in force, or of a draft the one that it has so far."""
    if study.status == "draft":
        return Protocol.from_dict(study.draft_protocol)
    return _read_protocol(last_version(session, study).content)


@functools.lru_cache(maxsize=32)
def _read_protocol(content: str) -> Protocol:
    # Read with every request of a rater, and never changed once written.
    return Protocol.from_dict(json.loads(content))
