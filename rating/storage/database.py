"""The database of studies: opening, transactions and row locks.

SQLite keeps its file in the workspace (write-ahead log, every commit synced to disk); PostgreSQL is
given by its URL. A write transaction of SQLite holds the whole database from its first statement,
so that what is read in it stays true until it commits; on PostgreSQL `lock_study` and row locks do
the same for what they name.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from rating.errors import DatabaseError, StudyNotFoundError
from rating.storage.models import Study

FILE_NAME: Final = "studies.sqlite3"
BACKUP_FOLDER: Final = "backups"
_BUSY_MS: Final = 10_000
_BUSY_PAUSE_S: Final = 0.01
_CONNECTIONS: Final = 24  # at once, kept
_MORE_CONNECTIONS: Final = 40  # at once, in a rush
_POSTGRESQL: Final = "postgresql+psycopg"
_POSTGRESQL_NAME: Final = "postgresql"
_STUDY_TURNS: Final = 20_505_573  # tells these advisory locks from those of other programs


def sqlite_url(home: Path) -> str:
    """Return the URL of the database in a workspace folder."""
    return URL.create("sqlite", database=str(home.absolute() / FILE_NAME)).render_as_string()


def lock_study(session: Session, study_id: int, *, is_shared: bool = False) -> Study:
    """Return a study, current, held until the transaction ends.

    Args:
        session:   Of `Database.write`.
        study_id:  Its key.
        is_shared: Whether others may hold it shared too: answers do, pausing and locking do not.

    Raises:
        StudyNotFoundError: there is none.
    """
    if session.get_bind().dialect.name == _POSTGRESQL_NAME:
        _wait_in_turn(session, study_id, is_shared)
    found = session.get(
        Study,
        study_id,
        with_for_update={"read": is_shared},
        populate_existing=True,
    )
    if found is None:
        raise StudyNotFoundError(f"There is no study with the key {study_id}.")
    return found


def _wait_in_turn(session: Session, study_id: int, is_shared: bool) -> None:
    """Wait for a study in the order of asking.

    PostgreSQL lets those who want a row shared go ahead of one who waits for it alone; with many
    raters at once, pausing and locking would wait for a moment at which none of them answers.
    """
    take = func.pg_advisory_xact_lock_shared if is_shared else func.pg_advisory_xact_lock
    session.execute(select(take(_STUDY_TURNS, study_id)))


class Database:
    """An open database at the newest revision."""

    def __init__(self, engine: Engine) -> None:
        """Use `Database.open`, which migrates first."""
        self._engine = engine
        self._turns = threading.Lock()
        self._writing = engine.execution_options(is_writing=True)
        self._reading = engine if self.is_sqlite else engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )  # fmt: skip

    @classmethod
    def open(cls, url: str, *, backup_folder: Path | None = None) -> "Database":
        """Open a database, made or migrated to the newest revision first.

        Args:
            url:           "sqlite:///FILE", "postgresql://USER:PASSWORD@HOST/NAME".
            backup_folder: Where a SQLite file is copied before it is migrated; by default
                           `backups` beside it.

        Raises:
            NewerDatabaseError: a newer version of this software wrote it.
            DatabaseError: the URL, the server or the file cannot be used.
        """
        from rating.storage.migration import migrate

        address = _checked_url(url)
        engine = _engine(address)
        try:
            migrate(engine, backup_folder)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    @property
    def url(self) -> str:
        """The URL, its password hidden."""
        return self._engine.url.render_as_string(hide_password=True)

    def address(self) -> str:
        """Return the URL with its password and an absolute file, for a process of this program."""
        url = self._engine.url
        if self.is_sqlite:
            url = url.set(database=str(Path(str(url.database)).absolute()))
        return url.render_as_string(hide_password=False)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite."""
        return self._engine.dialect.name == "sqlite"

    @property
    def engine(self) -> Engine:
        """The engine, for tests and checks of the schema."""
        return self._engine

    def __repr__(self) -> str:
        """Return the URL without its password."""
        return f"Database({self.url!r})"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session on one consistent snapshot; nothing is written."""
        with Session(self._reading, autoflush=False, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Give a session whose changes are all committed at the end, or, on any error, none."""
        with (
            self._turn(),
            Session(self._writing, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let the writers of this process into SQLite one after the other.

        Without it each of them would ask again and again until the file is free, and of many at
        once some would be unlucky for seconds. Other processes still take their turn in SQLite.
        """
        is_mine = self.is_sqlite and self._turns.acquire(timeout=_BUSY_MS / 1000)
        try:
            yield
        finally:
            if is_mine:
                self._turns.release()

    def backup(self, target: Path) -> Path:
        """Copy the database to a file while it is in use and return the file.

        Raises:
            DatabaseError: it is no SQLite, the target is there already, or cannot be written.
        """
        from rating.storage.backup import copy_sqlite

        if not self.is_sqlite:
            raise DatabaseError(
                f"{self.url} is no SQLite file. Back it up with its own tool: pg_dump."
            )
        return copy_sqlite(Path(str(self._engine.url.database)), target)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _checked_url(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError:
        # The text is not repeated: it may hold a password.
        raise DatabaseError(
            "The database URL cannot be read. Give sqlite:///FILE or "
            "postgresql://USER:PASSWORD@HOST/NAME."
        ) from None
    name = url.drivername
    if name in {"postgres", "postgresql", "postgresql+psycopg"}:
        return url.set(drivername=_POSTGRESQL)
    if name not in {"sqlite", "sqlite+pysqlite"}:
        raise DatabaseError(
            f"The database URL begins with {name!r}; supported are sqlite:///FILE and "
            "postgresql://USER:PASSWORD@HOST/NAME."
        )
    if url.database in {None, "", ":memory:"} or str(url.database).startswith("file:"):
        raise DatabaseError("Studies need a database in a file: sqlite:///FILE.")
    folder = Path(str(url.database)).parent
    if not folder.is_dir():
        raise DatabaseError(f"There is no folder {folder} for the database. Make it first.")
    return url


def _engine(url: URL) -> Engine:
    options: dict[str, Any] = {"pool_size": _CONNECTIONS, "max_overflow": _MORE_CONNECTIONS}
    try:
        if url.drivername == _POSTGRESQL:
            import psycopg  # noqa: F401  # told here when it is missing, before anything connects

            return create_engine(url, pool_pre_ping=True, **options)
        engine = create_engine(url, connect_args={"timeout": _BUSY_MS / 1000}, **options)
    except (ImportError, NoSuchModuleError) as error:
        raise DatabaseError(f"The driver of the database is not installed: {error}.") from error
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}").close()
    _log_ahead(connection)
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Turn on the write-ahead log, which a file keeps.

    Of processes that do so at the same moment with a new file, SQLite sends all but one away
    without the wait that `busy_timeout` asks for.
    """
    deadline = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_BUSY_PAUSE_S)


def _begin_sqlite(connection: Connection) -> None:
    # A write that began as a read could find at its first change that another came before it.
    is_writing = connection.get_execution_options().get("is_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def describe(error: Exception) -> str:
    """Return the first line of a database's own words, without the statement."""
    told = str(error.orig) if isinstance(error, DBAPIError) and error.orig else str(error)
    return told.strip().splitlines()[0] if told.strip() else type(error).__name__
