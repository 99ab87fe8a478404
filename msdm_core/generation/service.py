"""Everything generation needs in one workspace, opened and closed together."""

import functools

from fastapi import APIRouter, Request

from msdm_core.errors import JobNotFoundError
from msdm_core.generation.adapters import make_adapter
from msdm_core.generation.catalogue import Catalogue
from msdm_core.generation.history import History, SavedJob
from msdm_core.generation.job_view import JobView
from msdm_core.generation.jobs import JobQueue
from msdm_core.generation.request import GenerationRequest
from msdm_core.generation.routes import make_router
from msdm_core.generation.store import ImageStore
from msdm_core.generation.workspace_lock import WorkspaceLock
from msdm_core.headers import browser_name
from msdm_core.settings import Settings, prepare_workspace


class GenerationService:
    """The catalogue, history, images and queue of one workspace.

    On a public Space each browser sees its own jobs only; elsewhere a workspace is shared.
    """

    def __init__(self, settings: Settings) -> None:
        """Opens the workspace; no job runs before `start`.

        Raises:
            WorkspaceError: the folder cannot be used, or another app uses it.
            CatalogueError: a catalogue cannot be read.
        """
        home = prepare_workspace(settings.home)
        self.catalogue = Catalogue.read(home)
        self.is_shared = not settings.is_space
        self._lock = WorkspaceLock(home)
        try:
            self.history = History(home / "generation.sqlite")
            self.history.mark_interrupted()
            self.store = ImageStore(home / "generated")
        except BaseException:
            self._lock.release()
            raise
        make = functools.partial(make_adapter, device=settings.device, threads=settings.threads)
        self.queue = JobQueue(self.catalogue, self.history, self.store, make, settings.queue_limit)

    def start(self) -> None:
        """Starts to work off the queue."""
        self.queue.start()

    def close(self) -> None:
        """Stops the running job, ends the worker and releases the workspace."""
        self.queue.close()
        self.history.close()
        self._lock.release()

    def router(self) -> APIRouter:
        """Returns the routes for images and archives, guarded by `may_see`."""
        return make_router(self.history, self.store, self.may_see)

    def may_see(self, request: Request, job: SavedJob) -> bool:
        """Whether the browser that sent `request` may see `job`."""
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
            CheckpointError: the model cannot run here.
            RequestError: too many jobs are waiting.
        """
        self.catalogue[request.model_id].require_ready()
        return self.queue.view(self.queue.submit(request, browser))
