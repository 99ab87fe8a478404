"""The tables of `generation.sqlite`, and how a file of an older version becomes one of today's.

One row a job, one row a model of it, one row an image. `PRAGMA user_version` holds the version.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.schema import CreateIndex, CreateTable

from msdm_core.errors import WorkspaceError

VERSION = 2
BUSY_TIMEOUT_S = 10


class Base(DeclarativeBase):
    """Tables of the generation history."""


class JobRow(Base):
    """One comparison."""

    __tablename__ = "job"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(unique=True)
    owner: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[str]
    finished_at: Mapped[str | None]
    status: Mapped[str] = mapped_column(index=True)
    message: Mapped[str] = mapped_column(default="")
    prompt: Mapped[str] = mapped_column(index=True)
    seed: Mapped[int]
    image_count: Mapped[int]
    size_px: Mapped[int]
    steps: Mapped[int | None]
    guidance: Mapped[float | None]
    columns: Mapped[list["ColumnRow"]] = relationship(
        order_by="ColumnRow.position", cascade="all, delete-orphan"
    )
    images: Mapped[list["ImageRow"]] = relationship(
        order_by="ImageRow.position", cascade="all, delete-orphan"
    )


class ColumnRow(Base):
    """One model of a job, at its place from the left."""

    __tablename__ = "job_column"
    __table_args__ = (UniqueConstraint("job_number", "model_id"),)

    job_number: Mapped[int] = mapped_column(ForeignKey("job.number"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[str]
    status: Mapped[str]
    message: Mapped[str] = mapped_column(default="")


class ImageRow(Base):
    """One image of a job; `position` is its row, `provenance` a JSON object with its cost."""

    __tablename__ = "image"
    __table_args__ = (UniqueConstraint("job_number", "model_id", "position"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    job_number: Mapped[int] = mapped_column(ForeignKey("job.number"), index=True)
    model_id: Mapped[str] = mapped_column(index=True)
    position: Mapped[int]
    seed: Mapped[int]
    file_name: Mapped[str]
    created_at: Mapped[str]
    provenance: Mapped[str]


def prepare_file(path: Path) -> None:
    """Makes `path` a database of today's version; an older one is first copied beside itself.

    All of it happens or nothing: a program killed in between leaves the file as it was.

    Raises:
        WorkspaceError: the file is no database of ours, cannot be written, or a newer version of
            this software has written it.
    """
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as file:
            _prepare(file, path)
    except (sqlite3.Error, OSError) as error:
        raise WorkspaceError(
            f"The history {path} cannot be opened: {error}. "
            "Move the file away to start a new history."
        ) from error


def backup_path(path: Path, version: int) -> Path:
    """Returns where the copy of a file of an older version is kept."""
    return path.with_name(f"{path.stem}.version{version}.backup{path.suffix}")


def _prepare(file: sqlite3.Connection, path: Path) -> None:
    found = _version(file)
    if found == VERSION:
        return
    if found > VERSION:
        raise WorkspaceError(
            f"The history {path} has version {found}; this software reads up to {VERSION}. "
            "Update the software, or choose another folder with --home FOLDER or MSDM_HOME."
        )
    if found:
        _back_up(file, backup_path(path, found))
    # Tables are rebuilt in here; only outside of a transaction can this be switched off.
    file.execute("PRAGMA foreign_keys=OFF")
    file.execute("PRAGMA legacy_alter_table=ON")
    file.execute("BEGIN EXCLUSIVE")
    try:
        if _version(file) == found:  # else another program has just done it
            if found:
                _set_aside_version_1(file)
            _create_tables(file)
            if found:
                _take_over_version_1(file)
            file.execute(f"PRAGMA user_version={VERSION}")
        file.execute("COMMIT")
    except BaseException:
        file.execute("ROLLBACK")
        raise


def _version(file: sqlite3.Connection) -> int:
    """Returns the version of a database, 0 when it is empty; version 1 wrote no number."""
    version = int(file.execute("PRAGMA user_version").fetchone()[0])
    tables = file.execute("SELECT count(*) FROM sqlite_master WHERE type='table'").fetchone()[0]
    return version or (1 if tables else 0)


def _back_up(file: sqlite3.Connection, path: Path) -> None:
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(unfinished)) as copy:
        file.backup(copy)
    unfinished.replace(path)


def _create_tables(file: sqlite3.Connection) -> None:
    for table in Base.metadata.sorted_tables:
        file.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            file.execute(str(CreateIndex(index).compile(dialect=sqlite.dialect())))


def _set_aside_version_1(file: sqlite3.Connection) -> None:
    """Renames the tables, whose indexes hold names that the new ones need."""
    named = "SELECT name FROM sqlite_master WHERE type='index' AND sql IS NOT NULL"
    for (index,) in file.execute(named).fetchall():
        file.execute(f'DROP INDEX "{index}"')
    for table in ("image", "job"):
        file.execute(f"ALTER TABLE {table} RENAME TO {table}_version1")


def _take_over_version_1(file: sqlite3.Connection) -> None:
    """Copies jobs of one model each, in which every image is of that model."""
    file.execute(
        "INSERT INTO job (number, id, owner, created_at, finished_at, status, message, prompt, "
        "seed, image_count, size_px, steps, guidance) SELECT number, id, owner, created_at, "
        "finished_at, status, message, prompt, seed, image_count, size_px, steps, guidance "
        "FROM job_version1"
    )
    file.execute(
        "INSERT INTO job_column (job_number, position, model_id, status, message) "
        "SELECT number, 0, model_id, status, "
        "CASE WHEN status = 'failed' THEN message ELSE '' END FROM job_version1"
    )
    file.execute(
        "INSERT INTO image (id, job_number, model_id, position, seed, file_name, created_at, "
        "provenance) SELECT image.id, job_number, job.model_id, position, image.seed, file_name, "
        "image.created_at, provenance FROM image_version1 AS image "
        "JOIN job_version1 AS job ON job.number = image.job_number"
    )
    file.execute("DROP TABLE image_version1")
    file.execute("DROP TABLE job_version1")
