"""What was asked for and what came of it: comparisons and their images in `generation.sqlite`.

A row of an image is written only after its file lies whole on the disk.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, selectinload, sessionmaker

from msdm_core.errors import JobNotFoundError, WorkspaceError
from msdm_core.generation.history_schema import (
    BUSY_TIMEOUT_S,
    ColumnRow,
    ImageRow,
    JobRow,
    prepare_file,
)
from msdm_core.generation.request import GenerationRequest

_WHOLE_JOBS = select(JobRow).options(selectinload(JobRow.images), selectinload(JobRow.columns))
STOPPED = "The program stopped before this job was finished."


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


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image that lies whole on the disk; `file_name` is relative to the image folder.

    `position` is its row. `cost` has duration_s and steps, and where they are known load_s,
    peak_memory_bytes, parameters and flops.
    """

    id: str
    position: int
    seed: int
    file_name: str
    provenance: Mapping[str, Any]
    model_id: str
    cost: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SavedColumn:
    """One model of a job as the history knows it."""

    model_id: str
    status: JobStatus
    message: str


@dataclass(frozen=True, slots=True)
class SavedJob:
    """A job as the history knows it; `images` are row by row, each row from left to right."""

    id: str
    number: int
    owner: str
    created_at: datetime
    status: JobStatus
    message: str
    request: GenerationRequest
    columns: tuple[SavedColumn, ...]
    images: tuple[SavedImage, ...]


class History:
    """The jobs and images of one workspace."""

    def __init__(self, path: Path) -> None:
        """Opens the database `path`, creating it when it is new and renewing it when it is old.

        Raises:
            WorkspaceError: the file cannot be opened, is not a database or is of a newer version.
        """
        prepare_file(path)
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S})
        event.listen(self._engine, "connect", _configure)
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)

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
        row = JobRow(
            id=job_id,
            owner=owner,
            created_at=_now(),
            finished_at=None,
            status=JobStatus.QUEUED,
            message="",
            prompt=request.prompt,
            seed=request.seed,
            image_count=request.image_count,
            size_px=request.size_px,
            steps=request.steps,
            guidance=request.guidance,
            columns=[
                ColumnRow(position=position, model_id=model_id, status=JobStatus.QUEUED, message="")
                for position, model_id in enumerate(request.model_ids)
            ],
        )
        with self._transaction() as session:
            session.add(row)
        return job_id

    def set_status(
        self,
        job_id: str,
        status: JobStatus,
        message: str = "",
        columns: Mapping[str, tuple[JobStatus, str]] | None = None,
    ) -> None:
        """Records where the job stands, and with it status and message of `columns` by model.

        Columns that are not named follow a job into a final state unless they are final already.
        """
        finished_at = _now() if status.is_final else None
        with self._transaction() as session:
            row = _find(session, job_id)
            row.status, row.message, row.finished_at = status, message, finished_at
            for column in row.columns:
                if columns and column.model_id in columns:
                    column.status, column.message = columns[column.model_id]
                elif status.is_final and not JobStatus(column.status).is_final:
                    column.status = status

    def set_column(self, job_id: str, model_id: str, status: JobStatus, message: str = "") -> None:
        """Records where one model of a job stands."""
        with self._transaction() as session:
            session.execute(
                update(ColumnRow)
                .where(ColumnRow.job_number == _find(session, job_id).number)
                .where(ColumnRow.model_id == model_id)
                .values(status=status, message=message)
            )

    def add_image(
        self,
        job_id: str,
        model_id: str,
        position: int,
        file_name: str,
        provenance: Mapping[str, Any],
    ) -> SavedImage:
        """Adds an image whose file is already saved, and returns it.

        Args:
            job_id: the job that made it.
            model_id: the model that made it.
            position: its row, from 0.
            file_name: relative to the image folder.
            provenance: its record, with "seed".

        Raises:
            JobNotFoundError: there is no such job.
        """
        row = ImageRow(
            id=uuid.uuid4().hex,
            model_id=model_id,
            position=position,
            seed=provenance["seed"],
            file_name=file_name,
            created_at=_now(),
            provenance=json.dumps(provenance, ensure_ascii=False),
        )
        with self._transaction() as session:
            row.job_number = _find(session, job_id).number
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
        query = _WHOLE_JOBS.order_by(JobRow.number.desc()).limit(limit)
        if before is not None:
            query = query.where(JobRow.number < before)
        if owner is not None:
            query = query.where(JobRow.owner == owner)
        with self._transaction() as session:
            return [_saved_job(row) for row in session.scalars(query)]

    def queued(self) -> list[SavedJob]:
        """Returns the jobs that wait, oldest first."""
        query = _WHOLE_JOBS.where(JobRow.status == JobStatus.QUEUED).order_by(JobRow.number.asc())
        with self._transaction() as session:
            return [_saved_job(row) for row in session.scalars(query)]

    def latest_images(self, limit: int = 100) -> list[tuple[SavedJob, SavedImage]]:
        """Returns the latest images with their jobs, newest first."""
        query = select(ImageRow).order_by(ImageRow.created_at.desc()).limit(limit)
        with self._transaction() as session:
            rows = session.scalars(query).all()
            numbers = {row.job_number for row in rows}
            jobs = session.scalars(_WHOLE_JOBS.where(JobRow.number.in_(numbers)))
            saved = {job.number: _saved_job(job) for job in jobs}
            return [(saved[row.job_number], _saved_image(row)) for row in rows]

    def count_images(self, prompt: str, model_id: str) -> int:
        """Returns how many different images a model has made for a prompt in this workspace.

        The same request made again gives the same image, which counts once.
        """
        different = (
            select(ImageRow.seed, JobRow.steps, JobRow.guidance, JobRow.size_px)
            .join(JobRow, JobRow.number == ImageRow.job_number)
            .where(JobRow.prompt == prompt, ImageRow.model_id == model_id)
            .distinct()
        )
        query = select(func.count()).select_from(different.subquery())
        with self._transaction() as session:
            return session.scalar(query) or 0

    def mark_interrupted(self) -> int:
        """Marks jobs that a stopped program left half done; returns how many there were.

        Their images are kept. Jobs that were still waiting go on waiting.
        """
        begun = [JobStatus.LOADING, JobStatus.RUNNING, JobStatus.SAVING]
        with self._transaction() as session:
            rows = session.scalars(select(JobRow).where(JobRow.status.in_(begun))).all()
            for row in rows:
                count = row.image_count * len(row.columns)
                row.status = JobStatus.INTERRUPTED
                row.message = STOPPED + kept_message(len(row.images), count)
                row.finished_at = _now()
                for column in row.columns:
                    if not JobStatus(column.status).is_final:
                        column.status = JobStatus.INTERRUPTED
            return len(rows)


def kept_message(done: int, count: int) -> str:
    """Returns what to add to the message of a job that ended early."""
    return f" {done} of {count} images are kept." if done else ""


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
    provenance = json.loads(row.provenance)
    cost = {key: provenance[key] for key in ("duration_s", "steps") if key in provenance}
    measured = provenance.get("cost")
    return SavedImage(
        id=row.id,
        position=row.position,
        seed=row.seed,
        file_name=row.file_name,
        provenance=provenance,
        model_id=row.model_id,
        cost=cost | measured if isinstance(measured, dict) else cost,
    )


def _saved_job(row: JobRow) -> SavedJob:
    model_ids = tuple(column.model_id for column in row.columns)
    place = {model_id: index for index, model_id in enumerate(model_ids)}
    images = sorted(row.images, key=lambda image: (image.position, place[image.model_id]))
    return SavedJob(
        id=row.id,
        number=row.number,
        owner=row.owner,
        created_at=datetime.fromisoformat(row.created_at),
        status=JobStatus(row.status),
        message=row.message,
        request=GenerationRequest(
            model_ids=model_ids,
            prompt=row.prompt,
            seed=row.seed,
            size_px=row.size_px,
            image_count=row.image_count,
            steps=row.steps,
            guidance=row.guidance,
        ),
        columns=tuple(
            SavedColumn(column.model_id, JobStatus(column.status), column.message)
            for column in row.columns
        ),
        images=tuple(_saved_image(image) for image in images),
    )
