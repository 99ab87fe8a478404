"""Everything generation needs in one workspace, opened and closed together."""

import functools
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fastapi import APIRouter, Request

from data.provenance import GeneratedImage, Provenance
from data.study_inbox import SelectionRule, StudyInbox, Submission, open_png
from msdm_core.errors import JobNotFoundError, RequestError
from msdm_core.generation.catalogue import Catalogue
from msdm_core.generation.history import History, SavedImage, SavedJob
from msdm_core.generation.job_view import JobView
from msdm_core.generation.jobs import JobQueue
from msdm_core.generation.request import GenerationRequest
from msdm_core.generation.routes import make_router
from msdm_core.generation.store import ImageStore
from msdm_core.generation.worker_process import WorkerProcess, start_worker
from msdm_core.generation.workspace_lock import WorkspaceLock
from msdm_core.headers import browser_name
from msdm_core.settings import Settings, prepare_workspace


class Asking(Protocol):
    """A request as far as permission needs it: of a route, or of a Gradio handler."""

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies that came with it."""


def _everybody_may(_request: Asking) -> None:
    pass


class GenerationService:
    """The catalogue, history, images and queue of one workspace.

    On a public Space each browser sees its own jobs only; elsewhere a workspace is shared.
    """

    may_generate: Callable[[Asking], None]
    """Asked by every handler and route: raises GenerationClosedError where the browser that sent a
    request may not generate, nor see what was generated. Everybody may, unless the application
    puts its own rule here."""

    def __init__(self, settings: Settings) -> None:
        """Opens the workspace; no job runs before `start`.

        Raises:
            WorkspaceError: the folder cannot be used, or another app uses it.
            CatalogueError: a catalogue cannot be read.
        """
        self.may_generate = _everybody_may
        home = prepare_workspace(settings.home)
        self.catalogue = Catalogue.read(home)
        self.is_shared = not settings.is_space
        self._lock = WorkspaceLock(home)
        try:
            self.history = History(home / "generation.sqlite")
            self.history.mark_interrupted()
            self.store = ImageStore(home / "generated")
            self.study_inbox = StudyInbox(home / "study_inbox")
            launch = functools.partial(
                start_worker, home, settings.device, settings.threads, settings.memory_budget_gib
            )
            self._worker = WorkerProcess(launch)
            self.queue = JobQueue(
                self.catalogue, self.history, self.store, self._worker, settings.queue_limit
            )
        except BaseException:
            self._lock.release()
            raise

    def start(self) -> None:
        """Starts to work off the queue."""
        self.queue.start()

    def close(self) -> None:
        """Stops the running job, ends the process that draws and releases the workspace.

        Jobs that still wait are taken up again by the next app that opens the workspace.
        """
        self.queue.close()
        self.history.close()
        self._lock.release()

    def warm_up(self) -> None:
        """Has the process that draws started, so that the first click need not wait for it.

        Importing the libraries takes longer than drawing with a compact model. Returns at once;
        again it changes nothing.
        """
        self._worker.warm_up()

    def router(self) -> APIRouter:
        """Returns the routes for images, archives and states, guarded by `may_see`."""
        return make_router(
            self.history, self.store, self.queue.view, self.may_see,
            lambda request: self.may_generate(request),
        )  # fmt: skip

    def may_see(self, request: Request, job: SavedJob) -> bool:
        """Whether the browser that sent `request` may see `job`, where Generate is open to it."""
        return self.is_shared or job.owner == browser_name(request.cookies)

    def jobs(self, browser: str, limit: int) -> list[SavedJob]:
        """Returns the jobs a browser may see, newest first."""
        return self.history.jobs(limit, owner=None if self.is_shared else browser)

    def job(self, browser: str, job_id: str) -> JobView:
        """Returns a job a browser may see.

        Raises:
            JobNotFoundError: there is none, or it is not for this browser.
        """
        view = self.queue.view(job_id)
        if not self.is_shared and view.owner != browser:
            raise JobNotFoundError(f"No job has the id {job_id!r}.")
        return view

    def active(self, browser: str) -> list[JobView]:
        """Returns the jobs still going that a browser may see, the running one first."""
        return [view for view in self.queue.active() if self.is_shared or view.owner == browser]

    def latest(self, browser: str) -> JobView | None:
        """Returns what a browser looked at last: its job still going, else its newest."""
        own = [view for view in self.active(browser) if view.owner == browser]
        if own:
            return own[0]
        saved = self.history.jobs(1, owner=browser)
        return self.queue.view(saved[0].id) if saved else None

    def submit(self, request: GenerationRequest, browser: str) -> JobView:
        """Queues a request and returns its job.

        Raises:
            CatalogueError: there is no such model.
            CheckpointError: a model cannot run here.
            RequestError: too many jobs are waiting.
        """
        for model_id in request.model_ids:
            self.catalogue[model_id].require_ready()
        return self.queue.view(self.queue.submit(request, browser))

    def send_to_study(self, image_ids: Sequence[str], browser: str) -> int:
        """Hands images with their provenance to the study inbox; returns how many were new.

        Each is noted as picked by hand, unless every image of its comparison is sent with it.

        Raises:
            JobNotFoundError: there is no such image, or it is not for this browser.
            RequestError: no image is chosen.
            OSError: the disk is full or cannot be written; nothing is handed over then.
        """
        if not image_ids:
            raise RequestError("No image is chosen. Choose at least one to send to a study.")
        chosen: dict[str, list[SavedImage]] = defaultdict(list)
        jobs: dict[str, SavedJob] = {}
        for image_id in dict.fromkeys(image_ids):
            job, image = self.history.image(image_id)
            if not self.is_shared and job.owner != browser:
                raise JobNotFoundError(f"No image has the id {image_id!r}.")
            jobs[job.id] = job
            chosen[job.id].append(image)
        return self.study_inbox.add(
            [
                self._submission(job, image, _selection_rule(job, chosen[job.id]))
                for job in jobs.values()
                for image in chosen[job.id]
            ]
        )

    def _submission(self, job: SavedJob, image: SavedImage, rule: SelectionRule) -> Submission:
        provenance = Provenance.from_json(json.dumps(image.provenance))
        picture = open_png(self.store.read(image.file_name))
        return Submission(
            generated=GeneratedImage(picture, provenance),
            selection_rule=rule,
            candidate_count=self.history.count_images(job.request.prompt, image.model_id),
        )


def _selection_rule(job: SavedJob, chosen: Sequence[SavedImage]) -> SelectionRule:
    is_whole = {image.id for image in chosen} == {image.id for image in job.images}
    # What a failure, a cancel or a stop has left over is no whole comparison.
    count = job.request.image_count * len(job.request.model_ids)
    return "all_of_comparison" if is_whole and len(job.images) == count else "hand_picked"
