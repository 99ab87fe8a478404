"""What happened to a study, as a chain of hashes, and the hash over everything at its lock.

An event's hash covers the hash of the event before it, so that none can be changed, removed or put
in between without every later hash changing. The root hash covers the chain, the protocols, the
stimuli and every saved answer; whoever keeps it elsewhere can prove later that nothing changed.
"""

import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from rating.storage.models import Base, Event, Study

FIRST_HASH: Final = "0" * 64
ROOT_FORMAT: Final = 1
# What the root hash covers. This never changes, or studies locked before could not be verified:
# columns that a later revision adds belong to a next format, kept beside this one.
LOCKED_COLUMNS: Final = {
    "study": "id code title kind seed draft_protocol harmonisation identifiers_attested_by "
    "identifiers_attested_at created_at opened_at",
    "protocol_version": "id study_id version content sha256 reason created_at",
    "question": "id study_id position code kind step text minimum maximum labels has_cannot_judge",
    "arm": "id study_id code label is_real",
    "prompt": "id study_id code text",
    "stimulus": "id study_id role arm_id prompt_id png_sha256 pixel_sha256 width_px height_px "
    "colour_mode provenance harmonisation selection_rule candidate_count source_name expected "
    "added_at",
    "stimulus_image": "stimulus_id png",
    "item": "id study_id kind display prompt_id repeat_of_id",
    "item_stimulus": "study_id item_id stimulus_id",
    "rater": "id study_id code is_audit invited_at consented_at consent_sha256 is_independent "
    "specialty years_experience enrolment_index enrolled_at completed_at withdrawn_at erased_at "
    "closing_remark",
    "assignment": "id study_id rater_id item_id position token protocol_version steps_done "
    "shown_at judged_at submitted_at visible_ms is_seen_before remark viewport_width_px "
    "viewport_height_px device_pixel_ratio app_version",
    "assignment_slot": "id study_id assignment_id slot stimulus_id token",
    "submission": "id assignment_id step key received_at",
    "answer": "id study_id assignment_id question_id value is_cannot_judge revision saved_at",
    "answer_version": "id answer_id revision value is_cannot_judge saved_at",
    "defect_tag": "id assignment_slot_id tag",
    "mark": "id assignment_slot_id number x y tag",
}


def record_event(
    session: Session,
    study: Study,
    kind: str,
    actor: str,
    details: Mapping[str, Any] | None = None,
) -> Event:
    """Append an event to a study's chain and return it; the caller holds `lock_study`.

    Args:
        session: Of a write transaction.
        study:   Held exclusively.
        kind:    What happened, in one word or two joined by an underscore.
        actor:   "coordinator", "command line", "audit", or the code of a rater.
        details: JSON values; never an answer, an arm, a name of a person or a token.
    """
    last = session.execute(
        select(Event.sequence, Event.hash)
        .where(Event.study_id == study.id)
        .order_by(Event.sequence.desc())
        .limit(1)
    ).first()
    event = Event(
        study_id=study.id,
        sequence=last.sequence + 1 if last else 0,
        at=datetime.datetime.now(datetime.UTC),
        kind=kind,
        actor=actor,
        details=_canonical(dict(details or {})),
        previous_hash=last.hash if last else FIRST_HASH,
        hash="",
    )
    event.hash = event_hash(study, event)
    session.add(event)
    session.flush()
    return event


def event_hash(study: Study, event: Event) -> str:
    """Return the SHA-256 over everything an event says and the hash of the one before."""
    return _sha256(
        _canonical(
            {
                "study": study.code,
                "sequence": event.sequence,
                "at": _moment(event.at),
                "kind": event.kind,
                "actor": event.actor,
                "details": event.details,
                "previous_hash": event.previous_hash,
            }
        )
    )


def verify_events(session: Session, study: Study) -> list[str]:
    """Return every broken link of a study's chain in words; none when it is whole."""
    broken = []
    previous, expected = FIRST_HASH, 0
    for event in session.scalars(
        select(Event).where(Event.study_id == study.id).order_by(Event.sequence)
    ):
        if event.sequence != expected:
            broken.append(f"Event {expected} is missing.")
        if event.previous_hash != previous:
            broken.append(f"Event {event.sequence} does not follow the one before it.")
        if event.hash != event_hash(study, event):
            broken.append(f"Event {event.sequence} ({event.kind}) was changed.")
        previous, expected = event.hash, event.sequence + 1
    if study.status == "locked":
        moments = session.scalars(
            select(Event.at).where(Event.study_id == study.id, Event.kind == "locked")
        ).all()
        if not moments:
            broken.append("The event of the lock is missing.")
        elif list(moments) != [study.locked_at]:
            broken.append("The moment of the lock is not the one that was logged.")
    return broken


def root_hash(session: Session, study: Study) -> str:
    """Return the SHA-256 over everything that a study's results stand on.

    Hashed is, line by line, canonical JSON: the number of this format; every row of the tables of
    `LOCKED_COLUMNS` that belongs to the study, table by table in that order and by primary key,
    as the table's name and the values of those columns (moments in UTC with microseconds, pictures
    as the SHA-256 of their bytes); at last the number and the hash of the last event before the
    lock. Each line ends with a line feed.
    """
    digest = hashlib.sha256()
    for line in locked_lines(session, study):
        digest.update(line.encode("utf-8"))
        digest.update(b"\n")
    return digest.hexdigest()


def locked_lines(session: Session, study: Study) -> Iterator[str]:
    """Yield the lines that `root_hash` hashes, without their line feeds."""
    for line in _lines(session, study):
        yield _canonical(line)


def verify_root(session: Session, study: Study) -> list[str]:
    """Return in words how a locked study departs from its root hash; nothing when it does not."""
    if study.status != "locked":
        return [f"The study {study.code} is not locked; it has no root hash yet."]
    if root_hash(session, study) == study.root_hash:
        return []
    return [
        "What is in the database is not what was locked: the root hash differs. Compare it with "
        "a backup, and the root hash with the one that was deposited."
    ]


def _lines(session: Session, study: Study) -> Iterator[list[Any]]:
    yield ["format", ROOT_FORMAT]
    for name, columns in LOCKED_COLUMNS.items():
        for row in _rows(session, study.id, name, columns.split()):
            yield [name, *map(_plain, row)]
    last = session.execute(
        select(Event.sequence, Event.hash)
        .where(Event.study_id == study.id, Event.sequence < _sequence_of_lock(session, study))
        .order_by(Event.sequence.desc())
        .limit(1)
    ).first()
    yield ["event", last.sequence, last.hash] if last else ["event", None, None]


def _rows(
    session: Session, study_id: int, name: str, columns: Sequence[str]
) -> Iterator[Row[Any]]:
    """Give the rows of a table that belong to a study, a few at a time."""
    table = Base.metadata.tables[name]
    query = select(*(table.c[column] for column in columns)).order_by(*table.primary_key)
    if name == "study":
        query = query.where(table.c.id == study_id)
    elif "study_id" in table.c:
        query = query.where(table.c.study_id == study_id)
    else:
        (parent,) = {key.column.table for key in table.foreign_keys}
        query = query.join(parent).where(parent.c.study_id == study_id)
    rows_at_once = 20 if name == "stimulus_image" else 1000
    yield from session.execute(query.execution_options(yield_per=rows_at_once))


def _sequence_of_lock(session: Session, study: Study) -> int:
    """Return the number of the event that locks; that of the next one where none has."""
    found = session.scalar(
        select(Event.sequence).where(Event.study_id == study.id, Event.kind == "locked")
    )
    if found is not None:
        return found
    last = session.scalar(select(func.max(Event.sequence)).where(Event.study_id == study.id))
    return 0 if last is None else last + 1


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return _moment(value) if isinstance(value, datetime.datetime) else value


def _moment(value: datetime.datetime | None) -> str | None:
    return value.astimezone(datetime.UTC).isoformat(timespec="microseconds") if value else None


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
