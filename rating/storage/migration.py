"""Brings a database to the newest revision: checked, backed up, and in one transaction."""

import datetime
import re
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from rating.errors import DatabaseError, NewerDatabaseError
from rating.storage.backup import copy_sqlite
from rating.storage.database import BACKUP_FOLDER, describe
from rating.storage.guards import drop_guards, set_guards
from rating.storage.models import Base

SCRIPTS: Final = Path(__file__).with_name("migrations")
_VERSION_TABLE: Final = "alembic_version"
_ADVISORY_LOCK: Final = 0x6D73646D  # any number that all processes of this software agree on
_REVISION: Final = re.compile(r'^revision(?:: str)? = "(\w+)"', re.MULTILINE)
_DOWN: Final = re.compile(r'^down_revision(?:: [^=]+)? = "(\w+)"', re.MULTILINE)


def revisions() -> tuple[str, ...]:
    """Return all revisions, the earliest first, read off the scripts without importing them."""
    after: dict[str, str] = {}
    for path in SCRIPTS.joinpath("versions").glob("*.py"):
        script = path.read_text(encoding="utf-8")
        if named := _REVISION.search(script):
            before = _DOWN.search(script)
            after[before.group(1) if before else ""] = named.group(1)
    ordered, last = [], ""
    while last in after:
        last = after[last]
        ordered.append(last)
    return tuple(ordered)


def migrate(engine: Engine, backup_folder: Path | None, *, target: str = "head") -> None:
    """Bring the database to a revision; two processes at once do it once.

    Args:
        engine:        Of `Database.open`.
        backup_folder: Where a SQLite file is copied first; None: `backups` beside it.
        target:        A revision, by default the newest.

    Raises:
        NewerDatabaseError: its revision is unknown here.
        DatabaseError: it cannot be reached, is none of ours, or a migration failed; it is then as
            it was.
    """
    try:
        with engine.connect() as connection:
            revision = _revision_of(connection, engine)
        known = revisions()
        _check_known(revision, known, engine)
        wanted = known[-1] if target == "head" else target
        if revision == wanted:
            return
        _upgrade(engine, wanted, known, backup_folder)
    except SQLAlchemyError as error:
        shown = engine.url.render_as_string(hide_password=True)
        raise DatabaseError(f"The database {shown} cannot be used: {describe(error)}.") from error


def _upgrade(
    engine: Engine, target: str, known: tuple[str, ...], backup_folder: Path | None
) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    worker = engine.execution_options(is_writing=True)
    with _without_foreign_keys(worker) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        # Another process may have come first while this one waited.
        revision = _revision_of(connection, engine)
        _check_known(revision, known, engine)
        if revision == target:
            return
        if engine.dialect.name == "sqlite" and revision:
            # What is copied is exactly what is migrated: nobody else can write meanwhile.
            _back_up(engine, backup_folder, revision)
        config.attributes["connection"] = connection
        drop_guards(connection)
        command.upgrade(config, target)
        if target == known[-1]:
            set_guards(connection)
        if engine.dialect.name == "sqlite":
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise DatabaseError(
                    f"The migration to {target} would leave {len(broken)} rows that point nowhere; "
                    "the database is as it was."
                )


def _without_foreign_keys(engine: Engine) -> Connection:
    """Return a connection on which SQLite tables can be rebuilt; all is checked afterwards."""
    connection = engine.connect()
    if engine.dialect.name == "sqlite":
        raw: Any = connection.connection.dbapi_connection
        raw.execute("PRAGMA foreign_keys = OFF").close()
        connection.detach()  # it must not come back from the pool without foreign keys
    return connection


def _revision_of(connection: Connection, engine: Engine) -> str:
    """Return the revision, empty for a database without tables."""
    names = set(inspect(connection).get_table_names())
    if _VERSION_TABLE not in names:
        if names & set(Base.metadata.tables):
            shown = engine.url.render_as_string(hide_password=True)
            raise DatabaseError(
                f"{shown} holds tables of studies without a revision; it was not made by this "
                "software, or is damaged. Give another database."
            )
        return ""
    found = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()
    return str(found or "")


def _check_known(revision: str, known: tuple[str, ...], engine: Engine) -> None:
    if revision and revision not in known:
        shown = engine.url.render_as_string(hide_password=True)
        raise NewerDatabaseError(
            f"{shown} has the revision {revision!r}, which a newer version of this software made; "
            f"known here is up to {known[-1]!r}. Update this software, or give another database."
        )


def _back_up(engine: Engine, folder: Path | None, revision: str) -> None:
    source = Path(str(engine.url.database)).absolute()
    folder = folder or source.parent / BACKUP_FOLDER
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%f")
    copy_sqlite(source, folder / f"studies-{moment}-{revision}.sqlite3")
