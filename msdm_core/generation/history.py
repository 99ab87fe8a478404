"""What was asked for and what came of it: jobs and images in `generation.sqlite`.

One row a job, one row an image with its provenance. A row of an image is written only after its
file lies whole on the disk.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import ForeignKey, create_engine, event, select, update
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    selectinload,
    sessionmaker,
)

from msdm_core.errors import JobNotFoundError, WorkspaceError
from msdm_core.generation.request import GenerationRequest

BUSY_TIMEOUT_S = 10


class JobStatus(StrEnum):
    """Where a job stands. The last four are final."""

    QUEUED = "queued"
    LOADING = "loading"
    RUNNING = "running"
    SAVING = "saving"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Whether the job will not change any more."""
        return self in _FINAL


_FINAL = {JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.INTERRUPTED}


class Base(DeclarativeBase):
    """Tables of the generation history."""


class JobRow(Base):
    """One request."""

    __tablename__ = "job"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(unique=True)
    owner: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[str]
    finished_at: Mapped[str | None]
    status: Mapped[str] = mapped_column(index=True)
    message: Mapped[str] = mapped_column(default="")
    model_id: Mapped[str]
    prompt: Mapped[str]
    seed: Mapped[int]
    image_count: Mapped[int]
    size_px: Mapped[int]
    steps: Mapped[int | None]
    guidance: Mapped[float | None]
    images: Mapped[list["ImageRow"]] = relationship(
        order_by="ImageRow.position", cascade="all, delete-orphan"
    )


class ImageRow(Base):
    """One image of a job; `provenance` is a JSON object."""

    __tablename__ = "image"

    id: Mapped[str] = mapped_column(primary_key=True)
    job_number: Mapped[int] = mapped_column(ForeignKey("job.number"), index=True)
    position: Mapped[int]
    seed: Mapped[int]
    file_name: Mapped[str]
    created_at: Mapped[str]
    provenance: Mapped[str]


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image that lies whole on the disk; `file_name` is relative to the image folder."""

    id: str
    position: int
    seed: int
    file_name: str
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SavedJob:
    """A job as the history knows it."""

    id: str
    number: int
    owner: str
    created_at: datetime
    status: JobStatus
    message: str
    request: GenerationRequest
    images: tuple[SavedImage, ...]


class History:
    """The jobs and images of one workspace."""

    def __init__(self, path: Path) -> None:
        """Opens the database `path`, creating it when it is new.

        Raises:
            WorkspaceError: the file cannot be opened or is not a database.
        """
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S})
        event.listen(self._engine, "connect", _configure)
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)
        try:
            Base.metadata.create_all(self._engine)
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise WorkspaceError(
                f"The history {path} cannot be opened: {error.__cause__ or error}. "
                "Move the file away to start a new history."
            ) from error

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        try:
            with self._sessions() as session, session.begin():
                yield session
        except OperationalError as error:
            raise WorkspaceError(
                f"The history {self._engine.url.database} cannot be used: {error.orig}. "
                "Is its disk full or read-only?"
            ) from error

    def add_job(self, request: GenerationRequest, owner: str = "") -> str:
        """Adds a queued job and returns its id, which cannot be guessed."""
        job_id = uuid.uuid4().hex
        with self._transaction() as session:
            session.add(
                JobRow(
                    id=job_id,
                    owner=owner,
                    created_at=_now(),
                    finished_at=None,
                    status=JobStatus.QUEUED,
                    message="",
                    model_id=request.model_id,
                    prompt=request.prompt,
                    seed=request.seed,
                    image_count=request.image_count,
                    size_px=request.size_px,
                    steps=request.steps,
                    guidance=request.guidance,
                )
            )
        return job_id

    def set_status(self, job_id: str, status: JobStatus, message: str = "") -> None:
        """Records where the job stands."""
        finished_at = _now() if status.is_final else None
        with self._transaction() as session:
            session.execute(
                update(JobRow)
                .where(JobRow.id == job_id)
                .values(status=status, message=message, finished_at=finished_at)
            )

    def add_image(
        self, job_id: str, position: int, seed: int, file_name: str, provenance: Mapping[str, Any]
    ) -> SavedImage:
        """Adds an image whose file is already saved, and returns it.

        Raises:
            JobNotFoundError: there is no such job.
        """
        with self._transaction() as session:
            row = ImageRow(
                id=uuid.uuid4().hex,
                job_number=_find(session, job_id).number,
                position=position,
                seed=seed,
                file_name=file_name,
                created_at=_now(),
                provenance=json.dumps(provenance, ensure_ascii=False),
            )
            session.add(row)
        return _saved_image(row)

    def job(self, job_id: str) -> SavedJob:
        """Returns one job.

        Raises:
            JobNotFoundError: there is no such job.
        """
        with self._transaction() as session:
            return _saved_job(_find(session, job_id))

    def image(self, image_id: str) -> tuple[SavedJob, SavedImage]:
        """Returns one image and its job.

        Raises:
            JobNotFoundError: there is no such image.
        """
        with self._transaction() as session:
            row = session.get(ImageRow, image_id)
            job = session.get(JobRow, row.job_number) if row else None
            if row is None or job is None:
                raise JobNotFoundError(f"No image has the id {image_id!r}.")
            return _saved_job(job), _saved_image(row)

    def jobs(
        self, limit: int = 24, before: int | None = None, owner: str | None = None
    ) -> list[SavedJob]:
        """Returns jobs, newest first.

        Args:
            limit: at most so many.
            before: only jobs with a lower number, to turn the page.
            owner: only jobs of this browser; None means all.
        """
        query = (
            select(JobRow)
            .options(selectinload(JobRow.images))
            .order_by(JobRow.number.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(JobRow.number < before)
        if owner is not None:
            query = query.where(JobRow.owner == owner)
        with self._transaction() as session:
            return [_saved_job(row) for row in session.scalars(query)]

    def mark_interrupted(self) -> int:
        """Marks jobs that a stopped program left unfinished; returns how many there were."""
        unfinished = [status for status in JobStatus if not status.is_final]
        with self._transaction() as session:
            rows = session.scalars(select(JobRow).where(JobRow.status.in_(unfinished))).all()
            for row in rows:
                row.status = JobStatus.INTERRUPTED
                row.message = "The program stopped before this job was finished."
                row.finished_at = _now()
            return len(rows)


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _find(session: Session, job_id: str) -> JobRow:
    row = session.scalars(select(JobRow).where(JobRow.id == job_id)).one_or_none()
    if row is None:
        raise JobNotFoundError(f"No job has the id {job_id!r}.")
    return row


def _saved_image(row: ImageRow) -> SavedImage:
    return SavedImage(row.id, row.position, row.seed, row.file_name, json.loads(row.provenance))


def _saved_job(row: JobRow) -> SavedJob:
    return SavedJob(
        id=row.id,
        number=row.number,
        owner=row.owner,
        created_at=datetime.fromisoformat(row.created_at),
        status=JobStatus(row.status),
        message=row.message,
        request=GenerationRequest(
            model_id=row.model_id,
            prompt=row.prompt,
            seed=row.seed,
            size_px=row.size_px,
            image_count=row.image_count,
            steps=row.steps,
            guidance=row.guidance,
        ),
        images=tuple(_saved_image(image) for image in row.images),
    )
