"""What happened to a study, as a chain of hashes, and the hash over everything at its lock.

An event's hash covers the hash of the event before it, so that none can be changed, removed or put
in between without every later hash changing. The root hash covers the chain, the protocols, the
stimuli and every saved answer; whoever keeps it elsewhere can prove later that nothing changed.
"""

import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from rating.storage.models import (
    Answer,
    AnswerVersion,
    Arm,
    Assignment,
    AssignmentSlot,
    DefectTag,
    Event,
    Item,
    ItemStimulus,
    Mark,
    Prompt,
    ProtocolVersion,
    Question,
    Rater,
    Stimulus,
    StimulusImage,
    Study,
)

FIRST_HASH: Final = "0" * 64


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
        kinds = session.scalars(select(Event.kind).where(Event.study_id == study.id)).all()
        if "locked" not in kinds:
            broken.append("The event of the lock is missing.")
    return broken


def root_hash(session: Session, study: Study) -> str:
    """Return the SHA-256 over everything that a study's results stand on.

    In this order, one line of canonical JSON each: the study; its protocols by version; its
    questions by position; its arms, prompts and items by key; which stimuli each item shows; its
    stimuli by key, with the hash of their very bytes; its raters by
    code; its assignments by rater and position, with slots, tags, marks and remark; the saved
    versions of every answer; the last event before the lock.
    """
    digest = hashlib.sha256()
    for line in _lines(session, study):
        digest.update(_canonical(line).encode("utf-8"))
        digest.update(b"\n")
    return digest.hexdigest()


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
    key = study.id
    yield ["study", study.code, study.title, study.kind, str(study.seed), study.harmonisation]
    for protocol in session.scalars(
        select(ProtocolVersion)
        .where(ProtocolVersion.study_id == key)
        .order_by(ProtocolVersion.version)
    ):
        yield ["protocol", protocol.version, _sha256(protocol.content), protocol.sha256,
               protocol.reason, _moment(protocol.created_at)]  # fmt: skip
    for question in session.scalars(
        select(Question).where(Question.study_id == key).order_by(Question.position)
    ):
        yield ["question", question.id, question.position, question.code, question.kind,
               question.step, question.text, question.minimum, question.maximum,
               question.labels]  # fmt: skip
    yield from _item_lines(session, key)
    yield from _stimulus_lines(session, key)
    yield from _answer_lines(session, key)
    last = session.execute(
        select(Event.sequence, Event.hash)
        .where(Event.study_id == key, Event.kind != "locked")
        .where(Event.sequence < _sequence_of_lock(session, study))
        .order_by(Event.sequence.desc())
        .limit(1)
    ).first()
    yield ["event", last.sequence, last.hash] if last else ["event", None, None]


def _sequence_of_lock(session: Session, study: Study) -> int:
    """Return the number of the event that locks; that of the next one where none has."""
    found = session.scalar(
        select(Event.sequence).where(Event.study_id == study.id, Event.kind == "locked")
    )
    if found is not None:
        return found
    last = session.scalar(select(func.max(Event.sequence)).where(Event.study_id == study.id))
    return 0 if last is None else last + 1


def _item_lines(session: Session, key: int) -> Iterator[list[Any]]:
    for arm in session.scalars(select(Arm).where(Arm.study_id == key).order_by(Arm.id)):
        yield ["arm", arm.id, arm.code, arm.label, arm.is_real]
    for prompt in session.scalars(select(Prompt).where(Prompt.study_id == key).order_by(Prompt.id)):
        yield ["prompt", prompt.id, prompt.code, prompt.text]
    for item in session.scalars(select(Item).where(Item.study_id == key).order_by(Item.id)):
        yield ["item", item.id, item.kind, item.display, item.prompt_id, item.repeat_of_id]
    for shown in session.execute(
        select(ItemStimulus.item_id, ItemStimulus.stimulus_id)
        .where(ItemStimulus.study_id == key)
        .order_by(ItemStimulus.item_id, ItemStimulus.stimulus_id)
    ):
        yield ["shown", *shown]


def _stimulus_lines(session: Session, key: int) -> Iterator[list[Any]]:
    rows = session.execute(
        select(Stimulus, StimulusImage.png)
        .join(StimulusImage, StimulusImage.stimulus_id == Stimulus.id, isouter=True)
        .where(Stimulus.study_id == key)
        .order_by(Stimulus.id)
        .execution_options(yield_per=50)
    )
    for stimulus, png in rows:
        yield ["stimulus", stimulus.id, stimulus.role, stimulus.arm_id, stimulus.prompt_id,
               hashlib.sha256(png).hexdigest() if png else None, stimulus.png_sha256,
               stimulus.pixel_sha256, stimulus.provenance, stimulus.selection_rule,
               stimulus.candidate_count, stimulus.source_name]  # fmt: skip


def _answer_lines(session: Session, key: int) -> Iterator[list[Any]]:
    for rater in session.scalars(
        select(Rater).where(Rater.study_id == key).order_by(Rater.code)
    ):
        yield ["rater", rater.id, rater.code, rater.enrolment_index, rater.specialty,
               rater.years_experience, rater.is_independent, rater.consent_sha256,
               _moment(rater.consented_at), _moment(rater.completed_at),
               _moment(rater.withdrawn_at), rater.closing_remark]  # fmt: skip
    for row in session.scalars(
        select(Assignment)
        .where(Assignment.study_id == key)
        .order_by(Assignment.rater_id, Assignment.position)
        .execution_options(yield_per=500)
    ):
        yield ["assignment", row.id, row.rater_id, row.item_id, row.position,
               _moment(row.shown_at), _moment(row.judged_at), _moment(row.submitted_at),
               row.visible_ms, row.is_seen_before, row.remark]  # fmt: skip
    slots = (
        select(AssignmentSlot.id, AssignmentSlot.assignment_id, AssignmentSlot.slot,
               AssignmentSlot.stimulus_id)
        .where(AssignmentSlot.study_id == key)
        .order_by(AssignmentSlot.id)
    )  # fmt: skip
    for slot in session.execute(slots.execution_options(yield_per=500)):
        yield ["slot", *slot]
    in_study = AssignmentSlot.study_id == key
    for name, columns in (
        ("tag", (DefectTag.assignment_slot_id, DefectTag.tag)),
        ("mark", (Mark.assignment_slot_id, Mark.number, Mark.x, Mark.y, Mark.tag)),
    ):
        table: Any = DefectTag if name == "tag" else Mark
        statement = select(*columns).join(
            AssignmentSlot, AssignmentSlot.id == table.assignment_slot_id
        )
        for line in session.execute(statement.where(in_study).order_by(*columns[:2])):
            yield [name, *line]
    versions = (
        select(Answer.assignment_id, Answer.question_id, Answer.value, Answer.is_cannot_judge,
               Answer.revision, AnswerVersion.revision, AnswerVersion.value,
               AnswerVersion.is_cannot_judge, AnswerVersion.saved_at)
        .join(AnswerVersion, AnswerVersion.answer_id == Answer.id, isouter=True)
        .where(Answer.study_id == key)
        .order_by(Answer.assignment_id, Answer.question_id, AnswerVersion.revision)
    )  # fmt: skip
    for version in session.execute(versions.execution_options(yield_per=1000)):
        yield ["answer", *version[:-1], _moment(version[-1])]


def _moment(value: datetime.datetime | None) -> str | None:
    return value.astimezone(datetime.UTC).isoformat(timespec="microseconds") if value else None


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
