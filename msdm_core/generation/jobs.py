"""Generation as jobs: one at a time on one device, fair between browsers, seen from outside.

A job outlives the page that asked for it, and one that only waits outlives the app. Each image is
saved before anybody sees it. A failure ends one model's column of its job; the other columns and
the other jobs go on.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from msdm_core.errors import CoreError, JobCancelled, JobNotFoundError, RequestError
from msdm_core.generation.catalogue import Catalogue
from msdm_core.generation.history import STOPPED, History, JobStatus, SavedJob, kept_message
from msdm_core.generation.job_state import Column, Job
from msdm_core.generation.job_view import JobView, view_of_saved
from msdm_core.generation.messages import person_message
from msdm_core.generation.pace import Pace
from msdm_core.generation.request import GenerationRequest, ImageRequest
from msdm_core.generation.store import ImageStore
from msdm_core.generation.turns import Turns
from msdm_core.generation.worker_process import DrawnImage, OnEvent

logger = logging.getLogger(__name__)

KEPT_FINISHED_JOBS = 200
KEPT_SHARE = 4  # one place in so many is kept for browsers that have no job waiting


class Painter(Protocol):
    """What draws the pictures, as `WorkerProcess` does."""

    @property
    def resident(self) -> tuple[str, ...]:
        """The models in memory."""

    def draw(
        self, request: ImageRequest, on_event: OnEvent, is_cancelled: Callable[[], bool]
    ) -> DrawnImage:
        """Returns the image of a request."""

    def watch(self) -> None:
        """Has previews made for the next few seconds."""

    def close(self) -> None:
        """Ends a drawing under way, and everything else."""


class JobQueue:
    """Jobs waiting and running on one device."""

    def __init__(
        self,
        catalogue: Catalogue,
        history: History,
        store: ImageStore,
        painter: Painter,
        queue_limit: int = 32,
    ) -> None:
        """Takes up again what waited when the app ended; nothing runs before `start`."""
        self._catalogue = catalogue
        self._history = history
        self._store = store
        self._painter = painter
        self._queue_limit = queue_limit
        self._waiting: list[Job] = []
        self._running: Job | None = None
        self._jobs: dict[str, Job] = {}
        self._turns = Turns()
        self._pace = Pace()
        self._pace.learn_from(reversed(history.latest_images()))
        self._changed = threading.Condition()
        self._is_closing = False
        self._worker = threading.Thread(target=self._work, name="generation", daemon=True)
        self._take_up(history.queued())

    def start(self) -> None:
        """Starts to work off the queue."""
        self._worker.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Stops the running job and ends the worker; waiting jobs are taken up at the next start.

        Twice changes nothing.
        """
        with self._changed:
            self._is_closing = True
            if self._running is not None:
                self._running.is_cancelled.set()
            self._changed.notify_all()
        self._painter.close()
        if self._worker.is_alive():
            self._worker.join(timeout_s)

    def submit(self, request: GenerationRequest, owner: str = "") -> str:
        """Puts a request into the queue and returns the id of its job.

        Raises:
            RequestError: too many jobs are waiting already.
        """
        with self._changed:
            self._require_place(owner)
            job = Job.of(self._history.add_job(request, owner), owner, request)
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._forget_old_jobs()
            self._changed.notify_all()
        return job.id

    def cancel(self, job_id: str, owner: str | None = None) -> None:
        """Cancels a job: at once while it waits, else at its next step. Twice changes nothing.

        Raises:
            JobNotFoundError: there is no such job, or it belongs to another browser than `owner`.
        """
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or (owner is not None and job.owner != owner):
                self._history.job(job_id)
                if job is None:
                    return
                raise JobNotFoundError(f"Job {job_id!r} belongs to another browser.")
            job.is_cancelled.set()
            if job not in self._waiting:
                return
            self._waiting.remove(job)
        self._finish(job, JobStatus.CANCELLED, "Cancelled before it started.")

    def view(self, job_id: str) -> JobView:
        """Returns where a job stands.

        Raises:
            JobNotFoundError: there is no such job.
        """
        with self._changed:
            job = self._jobs.get(job_id)
            if job is not None:
                return self._views([job])[0]
        return view_of_saved(self._history.job(job_id))

    def active(self) -> list[JobView]:
        """Returns the running job, then the waiting ones in the order they will run."""
        with self._changed:
            running = [] if self._running is None else [self._running]
            return self._views([*running, *self._turns.order(self._waiting)])

    def preview(self, job_id: str, model_id: str) -> bytes | None:
        """Returns the latest preview as JPEG, and has further ones made while somebody asks."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.status.is_final:
                return None
            is_running = job is self._running
            found = next((c.preview for c in job.columns if c.model_id == model_id), None)
        if is_running:
            self._painter.watch()
        return found

    def wait(self, job_id: str, timeout_s: float) -> JobView:
        """Returns the view of a job once it is final, or when `timeout_s` has passed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over(job_id), timeout_s)
        return self.view(job_id)

    def _is_over(self, job_id: str) -> bool:
        job = self._jobs.get(job_id)
        return job is None or job.status.is_final

    def _take_up(self, jobs: Iterable[SavedJob]) -> None:
        for saved in jobs:
            job = Job.of(saved.id, saved.owner, saved.request)
            self._jobs[job.id] = job
            self._waiting.append(job)

    def _require_place(self, owner: str) -> None:
        waiting = len(self._waiting)
        kept = self._queue_limit // KEPT_SHARE
        has_waiting = any(job.owner == owner for job in self._waiting)
        if waiting < (self._queue_limit - kept if has_waiting else self._queue_limit):
            return
        raise RequestError(
            f"{waiting} jobs are waiting, which is as many as are allowed. "
            "Wait until one is done, or cancel one."
        )

    def _views(self, jobs: Iterable[Job]) -> list[JobView]:
        """Returns views with the queue as it stands now; the caller holds the lock."""
        resident = self._painter.resident
        order = self._turns.order(self._waiting)
        left_s = None if self._running is None else self._running.left_s(self._pace, resident)
        lefts = {} if self._running is None else {self._running.id: left_s}
        before_s = 0.0 if self._running is None else left_s
        for job in order:
            own_s = job.left_s(self._pace, resident)
            before_s = None if before_s is None or own_s is None else before_s + own_s
            lefts[job.id] = before_s
        places = {job.id: place for place, job in enumerate(order, start=1)}
        return [
            job.view(places.get(job.id, 0), lefts.get(job.id), self._pace, resident) for job in jobs
        ]

    def _forget_old_jobs(self) -> None:
        finished = [job.id for job in self._jobs.values() if job.status.is_final]
        for job_id in finished[:-KEPT_FINISHED_JOBS]:
            del self._jobs[job_id]

    def _work(self) -> None:
        while (job := self._next()) is not None:
            self._run(job)
            with self._changed:
                self._running = None

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            if self._is_closing:
                return None
            job = self._turns.order(self._waiting)[0]
            self._waiting.remove(job)
            self._turns.take(job.owner)
            self._running = job
            return job

    def _run(self, job: Job) -> None:
        try:
            # Only the start matters to a later program; writing each stage would cost syncs.
            self._history.set_status(job.id, JobStatus.LOADING)
            while (cell := job.next_cell(self._painter.resident)) is not None:
                self._draw_cell(job, *cell)
        except JobCancelled:
            kept = _kept(job)
            if self._is_closing:
                self._finish(job, JobStatus.INTERRUPTED, STOPPED + kept)
            else:
                self._finish(job, JobStatus.CANCELLED, f"Cancelled.{kept}")
        except Exception as error:  # whatever happens must not end the worker
            message = person_message(error)
            for column in job.columns:
                self._end_column(job, column, JobStatus.FAILED, message)
            self._finish(job, *self._outcome(job))
        else:
            self._finish(job, *self._outcome(job))

    def _draw_cell(self, job: Job, column: Column, row: int) -> None:
        try:
            self._draw(job, column, row)
        except JobCancelled:
            raise
        except Exception as error:  # ends this model's column alone
            if self._is_closing:
                raise JobCancelled from error
            self._end_column(job, column, JobStatus.FAILED, person_message(error))
            if not self._painter.resident:  # a fresh process says nothing about what fits
                job.loaded.clear()
        else:
            if len(column.images) == job.request.image_count:
                self._end_column(job, column, JobStatus.DONE, "")

    def _draw(self, job: Job, column: Column, row: int) -> None:
        request = job.request.image(column.model_id, row)
        column.begin(row)
        self._enter(job, column, JobStatus.LOADING)
        drawn = self._painter.draw(
            request,
            lambda message, content: self._on_event(job, column, message, content),
            job.is_cancelled.is_set,
        )
        self._enter(job, column, JobStatus.SAVING)
        place = job.request.model_ids.index(column.model_id)
        file_name = self._store.save(
            drawn.content, job.id, place, row, before_commit=lambda: _stop_if_cancelled(job)
        )
        try:
            saved = self._history.add_image(
                job.id, column.model_id, row, file_name, drawn.provenance.to_dict()
            )
        except BaseException:
            self._store.remove(file_name)
            raise
        with self._changed:
            self._pace.learn(request, saved)
            column.images.append(saved)
            column.preview = None
            column.status = JobStatus.QUEUED
            self._changed.notify_all()

    def _on_event(
        self, job: Job, column: Column, message: Mapping[str, Any], content: bytes
    ) -> None:
        if message["event"] == "loaded":
            with self._changed:
                job.note_loaded(message["resident"])
            self._enter(job, column, JobStatus.RUNNING)
        elif message["event"] == "step":
            with self._changed:
                column.count_step(message["step"], message["total"])
                column.preview = content or column.preview

    def _enter(self, job: Job, column: Column, status: JobStatus) -> None:
        if status is not JobStatus.RUNNING:  # while drawing, the process itself stops
            _stop_if_cancelled(job)
        with self._changed:
            job.status = column.status = status
            self._changed.notify_all()

    def _end_column(self, job: Job, column: Column, status: JobStatus, message: str) -> None:
        if column.status.is_final:
            return
        with self._changed:
            column.status, column.message, column.preview = status, message, None
            self._changed.notify_all()
        try:
            self._history.set_column(job.id, column.model_id, status, message)
        except CoreError:  # recorded with the end of the job, if its disk allows it then
            logger.exception("The end of a column of job %s could not be recorded.", job.id)

    def _outcome(self, job: Job) -> tuple[JobStatus, str]:
        """Returns how a job ended whose columns are all done or failed."""
        failed = [column for column in job.columns if column.status is JobStatus.FAILED]
        if not failed:
            return JobStatus.DONE, ""
        if len(job.columns) == 1:
            return JobStatus.FAILED, failed[0].message + _kept(job)
        named = " ".join(f"{self._label(column)} failed: {column.message}" for column in failed)
        if len(failed) < len(job.columns):
            return JobStatus.DONE, named
        return JobStatus.FAILED, named + _kept(job)

    def _label(self, column: Column) -> str:
        try:
            return self._catalogue[column.model_id].label
        except CoreError:  # a job taken up again may name a model that has left the catalogue
            return column.model_id

    def _finish(self, job: Job, status: JobStatus, message: str) -> None:
        with self._changed:
            for column in job.columns:
                if not column.status.is_final:
                    column.status = status
                column.preview = None
            ends = {column.model_id: (column.status, column.message) for column in job.columns}
        try:
            self._history.set_status(job.id, status, message, ends)
        except Exception:  # a full disk must not end the worker; observers still learn the state
            logger.exception("The end of job %s could not be recorded.", job.id)
        with self._changed:
            job.status, job.message = status, message
            if self._running is job:
                self._running = None
            self._changed.notify_all()


def _stop_if_cancelled(job: Job) -> None:
    if job.is_cancelled.is_set():
        raise JobCancelled


def _kept(job: Job) -> str:
    done = sum(len(column.images) for column in job.columns)
    return kept_message(done, job.request.image_count * len(job.columns))
