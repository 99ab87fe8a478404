"""Contract: whatever is changed in a study's log, or after its lock in its data, is found.

The guards of the database would refuse these changes; they are taken away, as by somebody who has
the database and means it.
"""

import datetime
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Column,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from rating.storage.database import Database, sqlite_url
from rating.storage.events import (
    FIRST_HASH,
    LOCKED_COLUMNS,
    record_event,
    root_hash,
    verify_events,
    verify_root,
)
from rating.storage.guards import drop_guards
from rating.storage.models import Base, Event, Study, UtcDateTime
from rating.study.desk import RatingDesk
from rating.study.lookup import find_study
from rating.study.studies import Studies
from tests.rating_database import unguarded
from tests.rating_play import ANSWERING, sent
from tests.rating_study import ARMS, TITLE, enrol, invite, write_study

# Columns that may differ after the lock, each for a reason; all others are covered.
NOT_COVERED = {
    ("study", "status"): "without it there is nothing to verify",
    ("study", "is_paused"): "the database keeps it false once locked",
    ("study", "locked_at"): "compared with the event of the lock",
    ("study", "root_hash"): "what all is compared with",
    ("rater", "link_sha256"): "a link can be made void at any time",
    ("rater", "revoked_at"): "a link can be made void at any time",
}
TABLES_NOT_COVERED = {"event", "sign_in", "audit_report"}
PARENTS = {"answer_id", "assignment_id", "assignment_slot_id", "rater_id"}
NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
COVERED = [(name, column) for name, listed in LOCKED_COLUMNS.items() for column in listed.split()]
LOG_CHANGES = (
    "UPDATE event SET kind = 'nothing' WHERE sequence = 1",
    "UPDATE event SET details = '[]' WHERE sequence = 2",
    "UPDATE event SET actor = 'somebody' WHERE sequence = 0",
    "UPDATE event SET at = '2026-01-01 00:00:00.000000' WHERE sequence = 1",
    "UPDATE event SET at = '2026-01-01 00:00:00.000000' WHERE kind = 'locked'",
    "UPDATE event SET previous_hash = hash WHERE sequence = 1",
    "UPDATE event SET hash = previous_hash WHERE sequence = 1",
    "UPDATE event SET study_id = study_id + 1 WHERE sequence = 3",
    "UPDATE event SET sequence = sequence + 100 WHERE sequence = 1",
    "UPDATE study SET locked_at = opened_at",
    "UPDATE study SET code = 'another'",
    "DELETE FROM event WHERE sequence = 0",
    "DELETE FROM event WHERE sequence = 2",
    "DELETE FROM event WHERE kind = 'locked'",
    "DELETE FROM event",
)


def play_everything(database: Database, code: str) -> None:
    """Plays a rater with tags, marks, remarks, a revision and a closing remark."""
    rater_id = enrol(database, invite(database, code)[0][1])
    desk = RatingDesk(database, "0")
    state = desk.state(rater_id)
    extras = {
        "tags": [{"slot": 0, "tag": "anatomy"}],
        "marks": [{"slot": 0, "x": 0.25, "y": 0.75, "tag": None}],
        "remark": "blurred",
    }
    while state["phase"] in ANSWERING:
        item = state["item"]
        state = desk.answer(rater_id, sent(item, 3, **extras)).state
    desk.revise(rater_id, sent(desk.item(rater_id, item["token"]), 4, **extras))
    desk.closing(rater_id, "Thank you")


def locked_study(database: Database) -> str:
    code = write_study(database, 2, 4, 2, 1)
    play_everything(database, code)
    Studies(database).lock(code, TITLE, actor="test")
    return code


def verified(session: Session) -> list[str]:
    study = session.query(Study).populate_existing().one()
    return verify_events(session, study) + verify_root(session, study)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with a locked study and without guards; tests leave it as it is."""
    opened = Database.open(sqlite_url(tmp_path_factory.mktemp("locked")))
    locked_study(opened)
    with opened.write() as session:
        drop_guards(session.connection())
    yield opened
    with opened.read() as session:
        assert verified(session) == []
    opened.close()


@pytest.fixture
def tampering(locked: Database) -> Iterator[Session]:
    """A transaction in which nothing keeps rows from being changed; rolled back at the end."""
    with pytest.raises(InterruptedError), locked.write() as session:
        for pragma in ("ignore_check_constraints = ON", "defer_foreign_keys = ON"):
            session.execute(text(f"PRAGMA {pragma}"))
        yield session
        session.execute(text("PRAGMA ignore_check_constraints = OFF"))
        raise InterruptedError


def test_a_locked_study_stays_whole(database: Database):
    locked_study(database)
    with database.read() as session:
        assert verified(session) == []
        events = session.query(Event).order_by(Event.sequence).all()
        study = session.query(Study).one()
    assert events[0].previous_hash == FIRST_HASH and events[0].kind == "created"
    assert events[-1].kind == "locked" and study.root_hash in events[-1].details
    assert events[-1].at == study.locked_at
    assert all(b.previous_hash == a.hash for a, b in itertools.pairwise(events))
    told = " ".join(event.details for event in events)
    assert not any(arm in told for arm in ARMS)


def test_events_after_the_lock_leave_the_root_hash_as_it_is(database: Database):
    code = locked_study(database)
    with database.write() as session:
        study = find_study(session, code)
        record_event(session, study, "looked_at", "test", {"why": "ü"})
    with database.read() as session:
        assert verified(session) == []


def test_every_column_is_covered_or_left_out_for_a_reason():
    there = {
        (name, column.name)
        for name, table in Base.metadata.tables.items()
        if name not in TABLES_NOT_COVERED
        for column in table.columns
    }
    assert set(COVERED) | set(NOT_COVERED) == there
    assert set(COVERED).isdisjoint(NOT_COVERED) and len(COVERED) == len(set(COVERED))


def changed(value: Any, column: Column[Any]) -> Any:
    """Returns another value for a column."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, bytes):
        return value + b"!"
    if isinstance(column.type, UtcDateTime):
        return (value or NOON) + datetime.timedelta(microseconds=1)
    if isinstance(column.type, JSON):
        return {"changed": True}
    if column.type.python_type in {int, float}:
        return (value or 0) + 100_003
    return True if column.type.python_type is bool else f"{value}!"


def departs(session: Session) -> bool:
    return bool(verify_root(session, session.query(Study).populate_existing().one()))


def any_row(session: Session, table: Table, seed: int = 0) -> Any:
    rows = session.execute(table.select().order_by(*table.primary_key)).all()
    return random.Random(seed).choice(rows)


def by_key(table: Table, row: Any) -> list[Any]:
    return [column == getattr(row, column.name) for column in table.primary_key]


@pytest.mark.parametrize(("name", "column"), COVERED, ids=lambda each: each)
def test_a_value_changed_after_the_lock_is_found(tampering: Session, name: str, column: str):
    table = Base.metadata.tables[name]
    row = any_row(tampering, table)
    value = changed(getattr(row, column), table.c[column])
    done = tampering.execute(table.update().where(*by_key(table, row)).values({column: value}))
    assert done.rowcount == 1
    assert departs(tampering)


@pytest.mark.parametrize("name", list(LOCKED_COLUMNS)[1:])
def test_a_row_removed_after_the_lock_is_found(tampering: Session, name: str):
    table = Base.metadata.tables[name]
    row = any_row(tampering, table)
    tampering.execute(table.delete().where(*by_key(table, row)))
    assert departs(tampering)


@pytest.mark.parametrize("name", list(LOCKED_COLUMNS)[1:])
def test_a_row_put_in_after_the_lock_is_found(tampering: Session, name: str):
    table = Base.metadata.tables[name]
    values = dict(any_row(tampering, table)._mapping)
    if name == "stimulus_image":  # a stimulus has one; the new one takes its place
        tampering.execute(table.delete().where(table.c.stimulus_id == values["stimulus_id"]))
        values["png"] += b"!"
    else:
        unique = {
            column.name
            for constraint in table.constraints
            if isinstance(constraint, (PrimaryKeyConstraint, UniqueConstraint))
            for column in constraint.columns
            if column.name != "study_id" and column.name not in PARENTS
        }
        values |= {key: changed(values[key], table.c[key]) for key in unique}
    tampering.execute(table.insert().values(values))
    assert departs(tampering)


@pytest.mark.parametrize("change", LOG_CHANGES)
def test_a_change_of_the_log_is_found(tampering: Session, change: str):
    assert tampering.execute(text(change)).rowcount > 0  # else nothing was tried
    study = tampering.query(Study).populate_existing().one()
    assert verify_events(tampering, study) != []


def test_a_chain_that_was_forged_to_its_end_still_departs_from_the_deposited_root(
    locked: Database, tampering: Session
):
    from rating.storage.events import event_hash

    study = tampering.query(Study).populate_existing().one()
    deposited = study.root_hash
    events = tampering.query(Event).order_by(Event.sequence).all()
    events[0].details = json.dumps({"kind": "pilot"})
    for before, event in itertools.pairwise([None, *events]):
        event.previous_hash = before.hash if before else FIRST_HASH
        event.hash = event_hash(study, event)
    tampering.flush()
    assert verify_events(tampering, study) == []  # as a chain it is whole
    assert root_hash(tampering, study) != deposited


def test_an_event_cannot_be_written_twice_at_once(database: Database):
    code = write_study(database, 2, 4, 2, 1)
    with pytest.raises(IntegrityError), database.write() as session:
        study = find_study(session, code)
        event = record_event(session, study, "noted", "test")
        values = {key: getattr(event, key) for key in Event.__table__.columns.keys() if key != "id"}
        session.add(Event(**values))
        session.flush()


def test_a_study_that_is_not_locked_has_no_root_hash(database: Database):
    write_study(database, 2, 4, 2, 1)
    with database.read() as session:
        (told,) = verify_root(session, session.query(Study).one())
    assert "not locked" in told


def test_changes_by_hand_are_told_by_the_studies(database: Database, tmp_path: Path):
    code = locked_study(database)
    with unguarded(database) as session:
        session.execute(text("UPDATE answer SET value = 2 WHERE value = 3"))
    assert Studies(database).verify(code)
