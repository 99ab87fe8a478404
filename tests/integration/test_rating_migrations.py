"""Contract: a database of any earlier revision comes to the newest with all it holds, or stays.

Revisions to come are played with a copy of the scripts to which two are added.
"""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from rating.errors import DatabaseError, NewerDatabaseError
from rating.storage import migration
from rating.storage.database import Database, sqlite_url
from rating.storage.guards import GUARDS, drop_guards, guards_of, set_guards
from rating.storage.models import Base
from rating.study.desk import RatingDesk
from rating.study.studies import Studies
from tests.rating_database import postgres_database
from tests.rating_play import play_items
from tests.rating_rows import FOLDER, Rows, frozen_rows, tables_of, write_rows
from tests.rating_rows import rows_of as stored_rows
from tests.rating_study import enrol, invite, write_study
from tests.server import ROOT

LATER = """
import sqlalchemy as sa
from alembic import op

revision = "{name}"
down_revision = "{before}"


def upgrade():
    with op.batch_alter_table("study") as table:
        table.add_column(sa.Column("note_{name}", sa.Text(), server_default="kept"))
    {more}
"""


def add_revision(folder: Path, name: str, before: str, more: str = "") -> None:
    script = LATER.format(name=name, before=before, more=more or "pass")
    (folder / "versions" / f"{name}.py").write_text(script, encoding="utf-8")


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the scripts that revisions can be added to."""
    copied = tmp_path / "scripts"
    shutil.copytree(migration.SCRIPTS, copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migration, "SCRIPTS", copied)
    return copied


def fill(url: str) -> str:
    opened = Database.open(url)
    code = write_study(opened, 2, 4, 2, 1)
    play_items(RatingDesk(opened, "0"), enrol(opened, invite(opened, code)[0][1]), 3)
    opened.close()
    return code


def rows_of(url: str) -> dict[str, list[tuple]]:
    """Returns all rows of all tables, columns that a later revision added left out."""
    opened = Database.open(url)
    with opened.read() as session:
        found = {
            name: [
                tuple(row) for row in session.execute(table.select().order_by(*table.primary_key))
            ]
            for name, table in Base.metadata.tables.items()
        }
    opened.close()
    return found


def test_the_scripts_make_exactly_the_tables_of_the_models(database: Database):
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_revisions_are_read_without_importing_them():
    directory = ScriptDirectory(str(migration.SCRIPTS))
    known = [script.revision for script in directory.walk_revisions()][::-1]
    assert list(migration.revisions()) == known and directory.get_current_head() == known[-1]


def _address(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


@contextmanager
def empty_database(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[str]:
    """Gives the URL of a database without any table."""
    if kind == "sqlite":
        yield sqlite_url(folder)
        return
    with postgres_database(request.getfixturevalue("postgres_server")) as url:
        yield url


def frozen_database(url: str, revision: str) -> Rows:
    """Makes a database of a revision as it was then, and returns its rows."""
    engine = create_engine(_address(url))
    migration.migrate(engine, None, target=revision)
    rows = frozen_rows(revision)
    with engine.begin() as connection:
        drop_guards(connection)  # a locked study takes no rows
        write_rows(connection, rows)
        if revision == migration.revisions()[-1]:
            set_guards(connection)
    engine.dispose()
    return rows


def lost(rows: Rows, url: str) -> list[str]:
    """Returns each value of the rows that a database does not hold any more."""
    engine = create_engine(_address(url))
    with engine.connect() as connection:
        found = stored_rows(connection)
        keys = {
            name: [column.name for column in table.primary_key]
            for name, table in tables_of(connection).items()
        }
    engine.dispose()
    told = []
    for name, listed in rows.items():
        there = {tuple(row[key] for key in keys[name]): row for row in found.get(name, [])}
        for row in listed:
            now = there.get(tuple(row[key] for key in keys[name]), {})
            told += [f"{name}.{key}" for key in row if key not in now or now[key] != row[key]]
    return told


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("revision", migration.revisions())
def test_every_earlier_revision_comes_to_the_newest_with_all_its_rows(
    request: pytest.FixtureRequest, tmp_path: Path, scripts: Path, kind: str, revision: str
):
    last = migration.revisions()[-1]
    with empty_database(request, kind, tmp_path) as url:
        rows = frozen_database(url, revision)
        assert all(rows[name] for name in rows) and not lost(rows, url)
        add_revision(scripts, "later", last)
        add_revision(scripts, "latest", "later")
        migrated = Database.open(url)
        with migrated.read() as session:
            notes = session.execute(text("SELECT note_later, note_latest FROM study")).all()
            assert {tuple(row) for row in notes} == {("kept", "kept")}
        assert lost(rows, url) == []
        _check_goes_on(migrated)
        migrated.close()


def _check_goes_on(database: Database) -> None:
    """What was locked is whole, what was open is locked, what was a draft is changed."""
    studies = Studies(database)
    by_status = {each.status: each.code for each in studies.overview()}
    assert studies.verify(by_status["locked"]) == []
    studies.lock(by_status["open"], "Open", actor="test")
    assert studies.verify(by_status["open"]) == []
    studies.change(by_status["draft"], title="Changed")
    with database.engine.connect() as connection:
        assert set(guards_of(connection)) == {guard.name for guard in GUARDS}


def test_a_revision_has_its_rows_frozen_in_every_table():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(migration.revisions())
    newest = frozen_rows(migration.revisions()[-1])
    there = {name: set(table.columns.keys()) for name, table in Base.metadata.tables.items()}
    assert {name: set(rows[0]) for name, rows in newest.items()} == there


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_constraints_and_indexes_are_those_of_the_models_too(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
):
    """Alembic compares no check constraints; the tables the models make are looked at."""
    (tmp_path / "migrated").mkdir()
    with (
        empty_database(request, kind, tmp_path / "migrated") as migrated,
        empty_database(request, kind, tmp_path) as made,
    ):
        Database.open(migrated).close()
        engine = create_engine(_address(made))
        Base.metadata.create_all(engine)
        engine.dispose()
        assert schema_of(migrated) == schema_of(made)


def schema_of(url: str) -> dict[str, Any]:
    engine = create_engine(_address(url))
    found = inspect(engine)
    told = {
        name: {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"])
                for column in found.get_columns(name)
            ],
            "key": found.get_pk_constraint(name),
            **{
                kind: sorted(map(str, getattr(found, f"get_{kind}")(name)))
                for kind in ("check_constraints", "foreign_keys", "unique_constraints", "indexes")
            },
        }
        for name in found.get_table_names()
        if name != "alembic_version"
    }
    engine.dispose()
    return told


def test_a_copy_is_made_before_a_file_is_migrated_and_only_then(tmp_path: Path, scripts: Path):
    fill(sqlite_url(tmp_path))
    before = rows_of(sqlite_url(tmp_path))
    Database.open(sqlite_url(tmp_path)).close()
    assert not (tmp_path / "backups").exists()
    add_revision(scripts, "later", migration.revisions()[-1])
    Database.open(sqlite_url(tmp_path)).close()
    (copied,) = (tmp_path / "backups").iterdir()
    with sqlite3.connect(copied) as connection:
        count = connection.execute("SELECT count(*) FROM answer").fetchone()[0]
        columns = [row[1] for row in connection.execute("PRAGMA table_info(study)")]
    connection.close()
    assert count == len(before["answer"]) and "note_later" not in columns


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_migration_that_fails_leaves_everything_as_it_was(
    request: pytest.FixtureRequest, tmp_path: Path, scripts: Path, kind: str
):
    def check(url: str) -> None:
        fill(url)
        before = rows_of(url)
        add_revision(scripts, "later", migration.revisions()[-1])
        add_revision(scripts, "broken", "later", 'op.execute("DELETE FROM nothing_of_this_name")')
        with pytest.raises(DatabaseError, match="cannot be used"):
            Database.open(url)
        for name in ("later", "broken"):
            (scripts / "versions" / f"{name}.py").unlink()
        assert rows_of(url) == before

    if kind == "sqlite":
        check(sqlite_url(tmp_path))
        return
    with postgres_database(request.getfixturevalue("postgres_server")) as url:
        check(url)


def test_a_migration_that_would_leave_rows_pointing_nowhere_is_undone(
    tmp_path: Path, scripts: Path
):
    fill(sqlite_url(tmp_path))
    before = rows_of(sqlite_url(tmp_path))
    add_revision(scripts, "losing", migration.revisions()[-1], 'op.execute("DELETE FROM item")')
    with pytest.raises(DatabaseError, match="point nowhere"):
        Database.open(sqlite_url(tmp_path))
    (scripts / "versions" / "losing.py").unlink()
    assert rows_of(sqlite_url(tmp_path)) == before


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database_url: str):
    opened = Database.open(database_url)
    with opened.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'from_tomorrow'"))
    opened.close()
    with pytest.raises(NewerDatabaseError, match=r"from_tomorrow.*newer version.*Update"):
        Database.open(database_url)


@pytest.mark.parametrize("revision", ["", migration.revisions()[-1]])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_that_start_at_once_migrate_once(
    request: pytest.FixtureRequest, tmp_path: Path, scripts: Path, kind: str, revision: str
):
    """From nothing, and from an earlier revision, of which one copy is made."""
    opening = (
        "import sys; from pathlib import Path; from rating.storage import migration; "
        "from rating.storage.database import Database; migration.SCRIPTS = Path(sys.argv[2]); "
        "Database.open(sys.argv[1]).close(); print('open')"
    )
    with empty_database(request, kind, tmp_path) as url:
        rows = frozen_database(url, revision) if revision else {}
        add_revision(scripts, "later", migration.revisions()[-1])
        started = [
            subprocess.Popen(
                [sys.executable, "-c", opening, url, str(scripts)], cwd=ROOT, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for _ in range(3)
        ]  # fmt: skip
        results = [process.communicate(timeout=120) for process in started]
        assert [out for out, _ in results] == ["open\n"] * 3, results
        assert lost(rows, url) == []
    copies = list((tmp_path / "backups").glob("*.sqlite3"))
    assert len(copies) == (1 if revision and kind == "sqlite" else 0)
