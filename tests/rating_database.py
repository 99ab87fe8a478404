"""The fixture `database`: an empty database of studies, on SQLite and on PostgreSQL.

PostgreSQL is that of MSDM_TEST_POSTGRES_URL, else one of this run alone, in a temporary folder.
"""

import getpass
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.orm import Session

from rating.storage.database import Database, sqlite_url
from rating.storage.guards import drop_guards, set_guards

DATABASES = ("sqlite", "postgresql")


def _postgres_folder() -> Path | None:
    """Returns the folder with initdb and pg_ctl, the newest version there is."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    if found:
        return found[-1].parent
    named = shutil.which("initdb")
    return Path(named).resolve().parent if named else None


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def _own_cluster(programs: Path) -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="rating-postgres-"))
    # PostgreSQL refuses to run as root.
    user = "postgres" if getpass.getuser() == "root" else None
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    data, port = folder / "data", _free_port()

    def run(name: str, *arguments: str) -> None:
        subprocess.run(
            [programs / name, "-D", data, *arguments],
            check=True, capture_output=True, user=user, cwd=folder, stdin=subprocess.DEVNULL,
            timeout=60,
        )  # fmt: skip

    settings = (
        f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=300"
    )
    try:
        run("initdb", "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync")
        log = folder / "log"
        run("pg_ctl", "-w", "-l", str(log), "-o", settings, "start")
        yield f"postgresql://tester@127.0.0.1:{port}/postgres"
    finally:
        if (data / "postmaster.pid").exists():
            run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL in which databases may be made; else skipped."""
    if named := os.environ.get("MSDM_TEST_POSTGRES_URL"):
        yield named
        return
    programs = _postgres_folder()
    if programs is None:
        reason = "no PostgreSQL found: install it, or set MSDM_TEST_POSTGRES_URL"
        if os.environ.get("CI"):
            pytest.fail(f"{reason} (CI is set, so this must not be skipped)")
        pytest.skip(reason)
    with _own_cluster(programs) as url:
        yield url


@contextmanager
def postgres_database(server: str, template: str = "template0") -> Iterator[str]:
    """Gives the URL of a new database, dropped afterwards."""
    name = f"rating_{secrets.token_hex(8)}"
    engine = create_engine(
        make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        engine.dispose()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """Name of a migrated database, from which others are copied in a moment."""
    with postgres_database(postgres_server) as url:
        Database.open(url).close()
        yield str(make_url(url).database)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database, on SQLite and on PostgreSQL in turn."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path)
        return
    server = request.getfixturevalue("postgres_server")
    with postgres_database(server, request.getfixturevalue("postgres_template")) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open, migrated, empty database."""
    opened = Database.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    """As `database`, SQLite only."""
    opened = Database.open(sqlite_url(tmp_path))
    yield opened
    opened.close()


@contextmanager
def unguarded(database: Database) -> Iterator[Session]:
    """Gives a write transaction without guards, as if somebody changed rows by hand."""
    with database.write() as session:
        drop_guards(session.connection())
        yield session
        session.flush()
        set_guards(session.connection())
