"""The guarded routes beside the Generate tab: images as they were saved, archives, and states."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from msdm_core.errors import CoreError, GenerationClosedError
from msdm_core.generation.archive import archive, archive_name, image_name
from msdm_core.generation.history import History, JobStatus, SavedImage, SavedJob
from msdm_core.generation.job_view import ColumnView, JobView
from msdm_core.generation.store import ImageStore

Found = TypeVar("Found")

PREFIX = "/generated"
_ID = re.compile(r"[0-9a-f]{32}")
# Ids cannot be guessed, and what an id names never changes.
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable", "Vary": "Cookie"}
_NEVER = {"Cache-Control": "no-store"}


def image_url(image_id: str) -> str:
    """Returns the address of an image, byte for byte as it was saved; `?download=true` saves it."""
    return f"{PREFIX}/images/{image_id}.png"


def archive_url(job_id: str) -> str:
    """Returns the address of the ZIP of a comparison."""
    return f"{PREFIX}/jobs/{job_id}.zip"


def state_url(job_id: str) -> str:
    """Returns the address of the state of a job as JSON."""
    return f"{PREFIX}/jobs/{job_id}/state"


def state_of(view: JobView) -> dict[str, Any]:
    """Returns the state of a job as a JSON object, for scripts."""
    request = view.request
    return {
        "id": view.id,
        "status": view.status.value,
        "message": view.message,
        "is_final": view.status.is_final,
        "is_cancelling": view.is_cancelling,
        "fraction": round(view.fraction, 4),
        "queue_position": view.queue_position,
        "left_s": view.left_s,
        "prompt": request.prompt,
        "seed": request.seed,
        "size_px": request.size_px,
        "image_count": request.image_count,
        "steps": request.steps,
        "guidance": request.guidance,
        "archive_url": archive_url(view.id) if view.images else None,
        "columns": [_column_state(column) for column in view.columns],
    }


def _column_state(column: ColumnView) -> dict[str, Any]:
    is_drawing = column.status in {JobStatus.RUNNING, JobStatus.SAVING}
    return {
        "model_id": column.model_id,
        "status": column.status.value,
        "message": column.message,
        "step": column.step if is_drawing else None,
        "total_steps": column.total_steps if is_drawing else None,
        "left_s": column.left_s,
        "images": [
            {
                "id": image.id,
                "url": image_url(image.id),
                "row": image.position + 1,
                "seed": image.seed,
                "cost": dict(image.cost),
            }
            for image in column.images
        ],
    }


def make_router(
    history: History,
    store: ImageStore,
    view: Callable[[str], JobView],
    may_see: Callable[[Request, SavedJob], bool],
    may_generate: Callable[[Request], None],
) -> APIRouter:
    """Returns the routes.

    Each asks `may_generate` whether Generate is open to this browser at all, and `may_see` whether
    it may have this job.
    """

    def require_open(request: Request) -> None:
        try:
            may_generate(request)
        except GenerationClosedError as error:
            raise HTTPException(403, str(error), _NEVER) from error

    guards = [Depends(_refuse_other_sites), Depends(require_open)]
    router = APIRouter(prefix=PREFIX, dependencies=guards)

    def guarded_job(request: Request, job: SavedJob) -> SavedJob:
        if not may_see(request, job):
            raise HTTPException(404, "There is no such image.")
        return job

    @router.get("/images/{image_id}.png")
    def image(request: Request, image_id: str, download: bool = False) -> Response:
        job, saved = _found(history.image, image_id)
        guarded_job(request, job)
        content = _found(store.read, saved.file_name, is_id=False)
        name = image_name(job, saved)
        kind = "attachment" if download else "inline"
        headers = {"Content-Disposition": f'{kind}; filename="{name}"', **_FOREVER}
        return Response(content, media_type="image/png", headers=headers)

    @router.get("/jobs/{job_id}.zip")
    def comparison(request: Request, job_id: str) -> Response:
        job = guarded_job(request, _found(history.job, job_id))
        if not job.images:
            raise HTTPException(404, "This job has no images.")
        # Once the first byte is sent, nothing can be refused any more.
        if gone := [image for image in job.images if not store.has(image.file_name)]:
            raise HTTPException(404, f"{_files(gone)} no longer in the workspace.")
        headers = {"Content-Disposition": f'attachment; filename="{archive_name(job)}"', **_NEVER}
        return StreamingResponse(archive(job, store), media_type="application/zip", headers=headers)

    @router.get("/jobs/{job_id}/state")
    def state(request: Request, job_id: str) -> Response:
        guarded_job(request, _found(history.job, job_id))
        return JSONResponse(state_of(_found(view, job_id)), headers=_NEVER)

    return router


def _found(find: Callable[[str], Found], name: str, is_id: bool = True) -> Found:
    if is_id and not _ID.fullmatch(name):
        raise HTTPException(404, "There is no such image.")
    try:
        return find(name)
    except CoreError as error:
        raise HTTPException(404, str(error)) from error


def _files(images: list[SavedImage]) -> str:
    names = ", ".join(image.file_name for image in images)
    return f"The image {names} is" if len(images) == 1 else f"The images {names} are"


def _refuse_other_sites(request: Request) -> None:
    """Refuses requests that another web site makes the browser send."""
    if request.headers.get("sec-fetch-site", "none") == "cross-site":
        raise HTTPException(403, "Pictures are shown on their own page only.")
