"""Generation as jobs: one worker, first come first served, observed and cancelled from outside.

A job outlives the page that asked for it. Each image is saved before anybody sees it, and a
failure ends its own job alone.
"""

import io
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from msdm_core.errors import JobCancelled, JobNotFoundError, RequestError
from msdm_core.generation.adapters import Adapter, make_adapter
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.history import History, JobStatus, SavedImage
from msdm_core.generation.job_view import JobView, view_of_saved
from msdm_core.generation.messages import person_message
from msdm_core.generation.request import GenerationRequest
from msdm_core.generation.store import ImageStore

logger = logging.getLogger(__name__)

PREVIEW_INTERVAL_S = 0.4
WATCHED_FOR_S = 5.0
KEPT_FINISHED_JOBS = 200
JPEG_QUALITY = 82


@dataclass(slots=True)
class _Job:
    id: str
    owner: str
    request: GenerationRequest
    status: JobStatus = JobStatus.QUEUED
    message: str = ""
    position: int = 0  # of the image being drawn
    step: int = 0
    total_steps: int = 0
    images: list[SavedImage] = field(default_factory=list)
    is_cancelled: threading.Event = field(default_factory=threading.Event)
    first_step_at: float | None = None
    steps_since_first: int = 0
    preview: bytes | None = None
    preview_made_at: float = 0.0
    watched_until: float = 0.0


class JobQueue:
    """Jobs waiting and running on one device."""

    def __init__(
        self,
        catalogue: Catalogue,
        history: History,
        store: ImageStore,
        make: Callable[[ModelEntry], Adapter] = make_adapter,
        queue_limit: int = 32,
    ) -> None:
        """Prepares the queue; nothing runs before `start`."""
        self._catalogue = catalogue
        self._history = history
        self._store = store
        self._make = make
        self._queue_limit = queue_limit
        self._waiting: deque[_Job] = deque()
        self._jobs: dict[str, _Job] = {}
        self._changed = threading.Condition()
        self._adapter: tuple[str, Adapter] | None = None
        self._is_closing = False
        self._worker = threading.Thread(target=self._work, name="generation", daemon=True)

    def start(self) -> None:
        """Starts the worker."""
        self._worker.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Stops the running job at its next step and ends the worker; queued jobs stay undone."""
        with self._changed:
            self._is_closing = True
            for job in self._jobs.values():
                job.is_cancelled.set()
            self._changed.notify_all()
        if self._worker.is_alive():
            self._worker.join(timeout_s)

    def submit(self, request: GenerationRequest, owner: str = "") -> str:
        """Puts a request at the end of the queue and returns the id of its job.

        Raises:
            RequestError: too many jobs are waiting already.
        """
        with self._changed:
            if len(self._waiting) >= self._queue_limit:
                raise RequestError(
                    f"{len(self._waiting)} jobs are waiting, which is as many as are allowed. "
                    "Wait until one is done, or cancel one."
                )
            job = _Job(self._history.add_job(request, owner), owner, request)
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
                return self._view(job)
        return view_of_saved(self._history.job(job_id))

    def active(self) -> list[JobView]:
        """Returns the running job, then the waiting ones in their order."""
        with self._changed:
            jobs = [job for job in self._jobs.values() if not job.status.is_final]
            views = [self._view(job) for job in jobs]
        return sorted(views, key=lambda view: view.queue_position)

    def preview(self, job_id: str) -> bytes | None:
        """Returns the latest preview as JPEG, and has further ones made while somebody asks."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None:
                return None
            job.watched_until = time.monotonic() + WATCHED_FOR_S
            return job.preview

    def wait(self, job_id: str, timeout_s: float) -> JobView:
        """Returns the view of a job once it is final, or when `timeout_s` has passed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over(job_id), timeout_s)
        return self.view(job_id)

    def _is_over(self, job_id: str) -> bool:
        job = self._jobs.get(job_id)
        return job is None or job.status.is_final

    def _view(self, job: _Job) -> JobView:
        queue_position = self._waiting.index(job) + 1 if job in self._waiting else 0
        return JobView(
            id=job.id,
            owner=job.owner,
            status=job.status,
            message=job.message,
            request=job.request,
            images=tuple(job.images),
            queue_position=queue_position,
            image_position=job.position,
            step=job.step,
            total_steps=job.total_steps,
            has_preview=job.preview is not None,
            is_cancelling=job.is_cancelled.is_set() and not job.status.is_final,
            left_s=_left_s(job),
        )

    def _forget_old_jobs(self) -> None:
        finished = [job.id for job in self._jobs.values() if job.status.is_final]
        for job_id in finished[:-KEPT_FINISHED_JOBS]:
            del self._jobs[job_id]

    def _work(self) -> None:
        while (job := self._next()) is not None:
            self._run(job)
        self._unload()

    def _next(self) -> _Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            return None if self._is_closing else self._waiting.popleft()

    def _run(self, job: _Job) -> None:
        try:
            self._draw(job)
        except JobCancelled:
            done, count = len(job.images), job.request.image_count
            kept = f" {done} of {count} images are kept." if done else ""
            if self._is_closing:
                message = f"The program stopped before this job was finished.{kept}"
                self._finish(job, JobStatus.INTERRUPTED, message)
            else:
                self._finish(job, JobStatus.CANCELLED, f"Cancelled.{kept}")
        except Exception as error:  # whatever a model does must not end the worker
            self._unload()
            self._finish(job, JobStatus.FAILED, person_message(error))
        else:
            self._finish(job, JobStatus.DONE, "")

    def _draw(self, job: _Job) -> None:
        self._enter(job, JobStatus.LOADING)
        adapter = self._loaded(job.request.model_id)
        for position in range(job.request.image_count):
            job.position, job.step, job.preview = position, 0, None
            self._enter(job, JobStatus.RUNNING)
            generated = adapter.generate(
                job.request.image(position),
                lambda step, total, preview: self._on_step(job, step, total, preview),
            )
            self._enter(job, JobStatus.SAVING)
            file_name = self._store.save(
                generated, job.id, position, before_commit=lambda: _stop_if_cancelled(job)
            )
            try:
                provenance = generated.provenance
                saved = self._history.add_image(
                    job.id, position, provenance.seed, file_name, provenance.to_dict()
                )
            except BaseException:
                self._store.remove(file_name)
                raise
            with self._changed:
                job.images.append(saved)

    def _on_step(
        self, job: _Job, step: int, total: int, preview: Callable[[], Image.Image]
    ) -> None:
        _stop_if_cancelled(job)
        now = time.monotonic()
        if job.first_step_at is None:
            job.first_step_at = now
        else:
            job.steps_since_first += 1
        job.step, job.total_steps = step, total
        is_due = now - job.preview_made_at >= PREVIEW_INTERVAL_S and step < total
        if is_due and now < job.watched_until:
            job.preview = _jpeg(preview())
            job.preview_made_at = time.monotonic()

    def _loaded(self, model_id: str) -> Adapter:
        """Returns the adapter of the model, loaded; one model is in memory at a time."""
        if self._adapter is not None and self._adapter[0] == model_id:
            if self._adapter[1].is_current():
                return self._adapter[1]
        self._unload()
        adapter = self._make(self._catalogue[model_id])
        adapter.load()
        self._adapter = (model_id, adapter)
        return adapter

    def _unload(self) -> None:
        if self._adapter is not None:
            adapter, self._adapter = self._adapter[1], None
            adapter.unload()

    def _enter(self, job: _Job, status: JobStatus) -> None:
        _stop_if_cancelled(job)
        with self._changed:
            job.status = status
            self._changed.notify_all()
        # Only the start matters to a later program; writing each image's stages would cost syncs.
        if status is JobStatus.LOADING:
            self._history.set_status(job.id, status)

    def _finish(self, job: _Job, status: JobStatus, message: str) -> None:
        try:
            self._history.set_status(job.id, status, message)
        except Exception:  # a full disk must not end the worker; observers still learn the state
            logger.exception("The end of job %s could not be recorded.", job.id)
        with self._changed:
            job.status, job.message, job.preview = status, message, None
            self._changed.notify_all()


def _stop_if_cancelled(job: _Job) -> None:
    if job.is_cancelled.is_set():
        raise JobCancelled


def _left_s(job: _Job) -> float | None:
    if not job.steps_since_first or job.first_step_at is None or job.status.is_final:
        return None
    step_s = (time.monotonic() - job.first_step_at) / (job.steps_since_first + 1)
    left = job.total_steps - job.step
    left += job.total_steps * (job.request.image_count - job.position - 1)
    return left * step_s


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
