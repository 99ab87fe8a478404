"""Contract: the database of studies refuses what must not be, says why, and can be copied in use.

Constraints are tried in the database itself, on SQLite and on PostgreSQL.
"""

import datetime
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from rating.errors import DatabaseError, StudyNotFoundError
from rating.storage.database import Database, lock_study, sqlite_url
from rating.storage.guards import OPENED_TABLES, RATED_TABLES
from rating.storage.models import (
    Answer,
    AnswerVersion,
    Arm,
    Assignment,
    AssignmentSlot,
    Base,
    Event,
    Item,
    Mark,
    Prompt,
    ProtocolVersion,
    Rater,
    SignIn,
    Stimulus,
    Study,
    Submission,
)
from rating.storage.transfer import transfer
from rating.study.studies import Studies
from tests.rating_database import postgres_database
from tests.rating_play import play_items
from tests.rating_rows import Rows, play_studies, rows_of
from tests.rating_study import enrol, invite, write_study

NOW = datetime.datetime(2026, 5, 1, 12, 0, tzinfo=datetime.UTC)


def first(session: Session, table: Any) -> Any:
    return session.scalars(select(table).order_by(table.id).limit(1)).one()


def copy(row: Any, **changes: Any) -> Any:
    """Returns a new row like another, with changes."""
    values = {
        column.key: getattr(row, column.key)
        for column in row.__table__.columns
        if column.key != "id"
    }
    return type(row)(**{**values, **changes})


def other_study(session: Session) -> int:
    """Returns the key of a second study, so that a row can be tried to point across."""
    return session.scalars(select(Study.id).order_by(Study.id.desc()).limit(1)).one()


FORBIDDEN: dict[str, Callable[[Session], Any]] = {
    "an answer twice": lambda s: s.add(copy(first(s, Answer))),
    "an answer of value and cannot judge": lambda s: setattr(
        first(s, Answer), "is_cannot_judge", True
    ),
    "an answer without value": lambda s: setattr(first(s, Answer), "value", None),
    "an item twice for a rater": lambda s: s.add(
        copy(first(s, Assignment), position=999, token="t" * 20)
    ),
    "two items in one place": lambda s: s.add(
        copy(first(s, Assignment), item_id=unused_item(s), token="t" * 20)
    ),
    "a token twice": lambda s: s.add(copy(first(s, AssignmentSlot), slot=5)),
    "a step twice": lambda s: s.add(copy(first(s, Submission), key="other-key")),
    "a request twice": lambda s: s.add(copy(first(s, Submission), step=7)),
    "submitted but never shown": lambda s: setattr(first(s, Assignment), "shown_at", None),
    "a rater's place twice": lambda s: s.add(
        copy(first(s, Rater), code="R99", link_sha256="f" * 64)
    ),
    "enrolled without consent": lambda s: s.add(
        Rater(study_id=1, code="R98", link_sha256="e" * 64, invited_at=NOW, enrolled_at=NOW,
              enrolment_index=55)
    ),
    "a main stimulus without an arm": lambda s: setattr(
        s.scalars(select(Stimulus).where(Stimulus.role == "main").limit(1)).one(), "arm_id", None
    ),
    "a repeat of nothing": lambda s: setattr(
        s.scalars(select(Item).where(Item.kind == "repeat").limit(1)).one(), "repeat_of_id", None
    ),
    "an item of another study": lambda s: setattr(first(s, Assignment), "study_id", other_study(s)),
    "an arm of another study": lambda s: s.add(
        copy(first(s, Stimulus), study_id=other_study(s))
    ),
    "a study of no known kind": lambda s: setattr(first(s, Study), "kind", "secret"),
    "an open study never opened": lambda s: setattr(first(s, Study), "opened_at", None),
    "a lock without root hash": lambda s: setattr(first(s, Study), "status", "locked"),
    "an arm twice": lambda s: s.add(copy(first(s, Arm))),
    "a prompt twice": lambda s: s.add(copy(first(s, Prompt))),
    "a protocol version twice": lambda s: s.add(copy(first(s, ProtocolVersion))),
    "an event twice": lambda s: s.add(copy(first(s, Event))),
    "a mark outside the picture": lambda s: s.add(
        Mark(assignment_slot_id=first(s, AssignmentSlot).id, number=1, x=1.5, y=0)
    ),
    "a rater's sign-in without a rater": lambda s: s.add(
        SignIn(token_sha256="d" * 64, role="rater", created_at=NOW)
    ),
    "deleting a study with answers": lambda s: s.delete(first(s, Study)),
    "deleting an answer with history": lambda s: s.delete(first(s, Answer)),
    "deleting an item that was assigned": lambda s: s.execute(text("DELETE FROM item")),
}  # fmt: skip


def unused_item(session: Session) -> int:
    used = select(Assignment.item_id)
    return session.scalars(select(Item.id).where(Item.id.not_in(used)).limit(1)).one()


@pytest.fixture(scope="module", params=("sqlite", "postgresql"))
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A database with an open study under way and a second one; nothing in it may change."""
    def fill(url: str) -> Database:
        opened = Database.open(url)
        code = write_study(opened, 2, 4, 2, 1)
        rater_id = enrol(opened, invite(opened, code)[0][1])
        from rating.study.desk import RatingDesk

        play_items(RatingDesk(opened, "0"), rater_id, 3)
        write_study(opened, 2, 4, 2, 1, title="Another")
        return opened

    if request.param == "sqlite":
        opened = fill(sqlite_url(tmp_path_factory.mktemp("filled")))
        yield opened
        opened.close()
        return
    server = request.getfixturevalue("postgres_server")
    with postgres_database(server) as url:
        opened = fill(url)
        yield opened
        opened.close()


@pytest.mark.parametrize("act", FORBIDDEN)
def test_the_database_itself_refuses(filled: Database, act: str):
    with pytest.raises(IntegrityError), filled.write() as session:
        FORBIDDEN[act](session)
        session.flush()
    with filled.read() as session:  # nothing of it stayed, and the connection is usable
        assert session.scalars(select(Study.status)).all() == ["open", "open"]


def test_answers_and_their_history_go_together(filled: Database):
    with filled.read() as session:
        answers = session.scalars(select(Answer.id)).all()
        versions = session.scalars(select(AnswerVersion.answer_id)).all()
    assert sorted(answers) == sorted(versions) and answers


def test_an_error_leaves_nothing_of_a_transaction(database: Database):
    with pytest.raises(ZeroDivisionError), database.write() as session:
        session.add(
            Study(code="abc", title="t", kind="pilot", seed=1, draft_protocol={}, created_at=NOW)
        )
        session.flush()
        _ = 1 / 0
    with database.read() as session:
        assert session.scalars(select(Study)).all() == []


def test_moments_come_back_as_they_were_in_utc(database: Database):
    zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=zone)
    with database.write() as session:
        session.add(
            Study(code="abc", title="t", kind="pilot", seed=2**62, draft_protocol={"a": [1]},
                  created_at=moment)
        )  # fmt: skip
    with database.read() as session:
        study = session.scalars(select(Study)).one()
    assert study.created_at == moment and study.created_at.utcoffset() == datetime.timedelta(0)
    assert study.seed == 2**62 and study.draft_protocol == {"a": [1]}
    with pytest.raises(ValueError, match="time zone"), database.write() as session:
        session.add(copy(study, code="def", created_at=moment.replace(tzinfo=None)))
        try:
            session.flush()
        except Exception as error:  # SQLAlchemy wraps what the type raised
            raise (error.__cause__ or error) from None


def test_a_study_that_is_held_keeps_others_waiting(database: Database):
    code = Studies(database).create("Held", kind="pilot")
    with database.read() as session:
        study_id = session.scalars(select(Study.id).where(Study.code == code)).one()
    order: list[str] = []
    is_held = threading.Event()

    def second() -> None:
        is_held.wait()
        with database.write() as session:
            lock_study(session, study_id)
            order.append("second")

    waiting = threading.Thread(target=second)
    waiting.start()
    with database.write() as session:
        lock_study(session, study_id).title = "Changed"
        is_held.set()
        waiting.join(0.3)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
    with pytest.raises(StudyNotFoundError), database.write() as session:
        lock_study(session, 10_000)


def test_a_copy_made_in_use_holds_everything(sqlite_database: Database, tmp_path: Path):
    code = write_study(sqlite_database, 2, 4, 2, 1)
    with sqlite_database.write() as session:
        session.scalars(select(Study)).one().is_paused = True
        session.flush()
        target = sqlite_database.backup(tmp_path / "copies" / "studies.sqlite3")
    copied = Database.open(f"sqlite:///{target}")
    with copied.read() as session:
        assert session.scalars(select(Study.is_paused)).all() == [False]  # committed later
        assert session.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    assert Studies(copied).progress(code).status == "open"
    copied.close()
    with pytest.raises(DatabaseError, match="there already"):
        sqlite_database.backup(target)


def test_a_copy_that_cannot_be_written_leaves_nothing(sqlite_database: Database, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="cannot be copied"):
        sqlite_database.backup(tmp_path / "file" / "studies.sqlite3")
    assert not list(tmp_path.glob("**/*.part"))


def test_postgresql_is_backed_up_by_its_own_tool(postgres_server: str, tmp_path: Path):
    with postgres_database(postgres_server) as url:
        opened = Database.open(url)
        with pytest.raises(DatabaseError, match="pg_dump"):
            opened.backup(tmp_path / "copy")
        opened.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("not a url", "cannot be read"),
        ("mysql://root:hidden@localhost/x", "mysql"),
        ("sqlite://", "in a file"),
        ("sqlite:////nowhere/at/all/studies.sqlite3", "no folder"),
        ("postgresql://rater:hidden@127.0.0.1:1/x", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(url: str, said: str):
    with pytest.raises(DatabaseError, match=said) as refused:
        Database.open(url)
    assert "hidden" not in str(refused.value)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path):
    file = tmp_path / "studies.sqlite3"
    file.write_bytes(b"These are my holiday notes, not a database at all." * 100)
    before = file.read_bytes()
    with pytest.raises(DatabaseError, match="cannot be used"):
        Database.open(sqlite_url(tmp_path))
    assert file.read_bytes() == before


def test_a_database_of_something_else_is_refused(tmp_path: Path):
    with sqlite3.connect(tmp_path / "studies.sqlite3") as connection:
        connection.execute("CREATE TABLE study (name TEXT)")
    connection.close()
    with pytest.raises(DatabaseError, match="without a revision"):
        Database.open(sqlite_url(tmp_path))


def test_a_password_is_shown_nowhere(tmp_path: Path):
    opened = Database.open(sqlite_url(tmp_path))
    assert "studies.sqlite3" in repr(opened)
    opened.close()
    assert opened.is_sqlite and (tmp_path / "studies.sqlite3").is_file()


def test_a_new_file_that_another_process_writes_is_waited_for(tmp_path: Path):
    """SQLite itself does not wait before it changes the mode of a file that is being written."""
    writer = sqlite3.connect(tmp_path / "studies.sqlite3", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE").close()
    opened: list[Database] = []
    opening = threading.Thread(target=lambda: opened.append(Database.open(sqlite_url(tmp_path))))
    opening.start()
    opening.join(timeout=1)
    assert opening.is_alive()
    writer.execute("COMMIT").close()
    opening.join(timeout=60)
    assert len(opened) == 1
    opened[0].close()
    writer.close()


def test_every_commit_of_sqlite_reaches_the_disk(sqlite_database: Database):
    with sqlite_database.read() as session:
        pragmas = {
            name: session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {
        "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000
    }  # fmt: skip


def test_every_table_and_column_is_documented():
    page = " ".join(
        (Path(__file__).parents[2] / "docs" / "database.md").read_text(encoding="utf-8").split()
    )
    for table in Base.metadata.tables.values():
        told = page.partition(f"**`{table.name}`**")[2].partition("- **`")[0]
        assert told, f"{table.name} is not in docs/database.md"
        missing = [column.name for column in table.columns if f"`{column.name}`" not in told]
        assert missing == [], f"{table.name}: {missing}"


@pytest.fixture(scope="module", params=("sqlite", "postgresql"))
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A database with a locked, an open and a draft study; nothing in it may change."""
    if request.param == "sqlite":
        opened = Database.open(sqlite_url(tmp_path_factory.mktemp("played")))
        play_studies(opened)
        yield opened
        opened.close()
        return
    with postgres_database(request.getfixturevalue("postgres_server")) as url:
        opened = Database.open(url)
        play_studies(opened)
        yield opened
        opened.close()


STUDY_OF = {
    "stimulus_image": "stimulus_id IN (SELECT id FROM stimulus WHERE study_id = {0})",
    "answer_version": "answer_id IN (SELECT id FROM answer WHERE study_id = {0})",
    "submission": "assignment_id IN (SELECT id FROM assignment WHERE study_id = {0})",
    "defect_tag": "assignment_slot_id IN (SELECT id FROM assignment_slot WHERE study_id = {0})",
    "mark": "assignment_slot_id IN (SELECT id FROM assignment_slot WHERE study_id = {0})",
    "study": "id = {0}",
}
OPEN_REFUSES = (
    *((act, name) for act in ("INSERT", "UPDATE", "DELETE") for name in OPENED_TABLES),
    ("UPDATE", "event"), ("DELETE", "event"), ("UPDATE", "protocol_version"),
    ("DELETE", "protocol_version"), ("UPDATE", "answer_version"), ("DELETE", "study"),
)  # fmt: skip
LOCK_REFUSES = (
    *OPEN_REFUSES,
    *((act, name) for act in ("INSERT", "UPDATE", "DELETE") for name in (*RATED_TABLES, "rater")),
    ("INSERT", "protocol_version"), ("INSERT", "answer_version"), ("DELETE", "answer_version"),
    ("UPDATE", "study"),
)  # fmt: skip


def attempt(act: str, name: str, study_id: int) -> str:
    """Returns a statement that touches rows of a study and changes no value."""
    columns = [each.name for each in Base.metadata.tables[name].columns]
    own = STUDY_OF.get(name, "study_id = {0}").format(study_id)
    if act == "INSERT":
        return f"INSERT INTO {name} SELECT {', '.join(columns)} FROM {name} WHERE {own} LIMIT 1"
    if act == "DELETE":
        return f"DELETE FROM {name} WHERE {own}"
    column = columns[-1] if name != "rater" else "specialty"
    return f"UPDATE {name} SET {column} = {column} WHERE {own}"


@pytest.mark.parametrize(
    ("title", "act", "name"),
    [("Open", *each) for each in OPEN_REFUSES] + [("Test study", *each) for each in LOCK_REFUSES],
)
def test_what_was_opened_or_locked_or_logged_is_guarded(
    played: Database, title: str, act: str, name: str
):
    with played.read() as session:
        study_id = session.scalars(select(Study.id).where(Study.title == title)).one()
    with pytest.raises(IntegrityError, match=f"{act} of {name} refused"), played.write() as session:
        session.execute(text(attempt(act, name, study_id)))


@pytest.mark.parametrize(
    ("title", "change", "is_refused"),
    [
        ("Open", "UPDATE study SET status = 'draft', opened_at = NULL WHERE id = {0}", True),
        ("Open", "UPDATE study SET title = 'Other' WHERE id = {0}", True),
        ("Open", "UPDATE study SET seed = 5 WHERE id = {0}", True),
        ("Open", "UPDATE study SET is_paused = (1 = 1) WHERE id = {0}", False),
        ("Open", "UPDATE answer SET value = 99 WHERE study_id = {0}", True),
        ("Open", "UPDATE answer SET value = 2 WHERE study_id = {0}", False),
        ("Draft", "UPDATE study SET title = 'Other', seed = 5 WHERE id = {0}", False),
        ("Draft", "UPDATE prompt SET text = 'Other' WHERE study_id = {0}", False),
        ("Draft", "DELETE FROM event WHERE study_id = {0}", False),
        ("Test study", "UPDATE rater SET link_sha256 = 'x' WHERE study_id = {0}", False),
    ],
)
def test_guards_let_through_what_the_work_needs(
    played: Database, title: str, change: str, is_refused: bool
):
    with played.read() as session:
        study_id = session.scalars(select(Study.id).where(Study.title == title)).one()
    expected = IntegrityError if is_refused else InterruptedError
    with pytest.raises(expected), played.write() as session:
        assert session.execute(text(change.format(study_id))).rowcount > 0
        raise InterruptedError


def test_studies_move_to_postgresql_and_back_whole(postgres_server: str, tmp_path: Path):
    source = Database.open(sqlite_url(tmp_path))
    play_studies(source)
    (tmp_path / "back").mkdir()
    with postgres_database(postgres_server) as url:
        moved, back = Database.open(url), Database.open(sqlite_url(tmp_path / "back"))
        copied = transfer(source, moved)
        assert transfer(moved, back) == copied and copied["answer"]
        with pytest.raises(DatabaseError, match="holds studies already"):
            transfer(source, moved)
        for each in (moved, back):
            assert contents(each) == contents(source)
            studies = Studies(each)
            codes = {summary.status: summary.code for summary in studies.overview()}
            assert studies.verify(codes["locked"]) == []
            studies.invite(codes["open"])  # new rows are numbered after the old ones
            studies.lock(codes["open"], "Open")
            with pytest.raises(IntegrityError, match="refused"), each.write() as session:
                session.execute(text("DELETE FROM answer_version"))
        moved.close()
        back.close()
    source.close()


def contents(database: Database) -> Rows:
    with database.engine.connect() as connection:
        return rows_of(connection)
