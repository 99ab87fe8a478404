"""The guarded routes beside the Generate tab: images as they were saved, and archives."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from data.provenance import Provenance, filename_for
from msdm_core.errors import CoreError
from msdm_core.generation.history import History, SavedImage, SavedJob
from msdm_core.generation.store import ImageStore

Found = TypeVar("Found")

PREFIX = "/generated"
_ID = re.compile(r"[0-9a-f]{32}")
# Ids cannot be guessed, and what an id names never changes.
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_NEVER = {"Cache-Control": "no-store"}


def download_name(image: SavedImage) -> str:
    """Returns the file name of a download: prompt, model, seed and position."""
    provenance = Provenance.from_json(json.dumps(image.provenance))
    return filename_for(provenance, image.position)


def make_router(
    history: History,
    store: ImageStore,
    may_see: Callable[[Request, SavedJob], bool],
) -> APIRouter:
    """Returns the routes; each asks `may_see` whether this browser may have this job."""
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(_refuse_other_sites)])

    def guarded_job(request: Request, job: SavedJob) -> SavedJob:
        if not may_see(request, job):
            raise HTTPException(404, "There is no such image.")
        return job

    @router.get("/images/{image_id}.png")
    def image(request: Request, image_id: str, download: bool = False) -> Response:
        job, saved = _found(history.image, image_id)
        guarded_job(request, job)
        content = _found(store.read, saved.file_name, is_id=False)
        name = download_name(saved)
        kind = "attachment" if download else "inline"
        headers = {"Content-Disposition": f'{kind}; filename="{name}"', **_FOREVER}
        return Response(content, media_type="image/png", headers=headers)

    @router.get("/jobs/{job_id}.zip")
    def archive(request: Request, job_id: str) -> Response:
        job = guarded_job(request, _found(history.job, job_id))
        if not job.images:
            raise HTTPException(404, "This job has no images.")
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
            for saved in job.images:
                content = _found(store.read, saved.file_name, is_id=False)
                file.writestr(download_name(saved), content)
        name = quote(f"generated_{job.created_at:%Y%m%d-%H%M%S}_job{job.number}.zip")
        headers = {"Content-Disposition": f'attachment; filename="{name}"', **_NEVER}
        return Response(buffer.getvalue(), media_type="application/zip", headers=headers)

    return router


def _found(find: Callable[[str], Found], name: str, is_id: bool = True) -> Found:
    if is_id and not _ID.fullmatch(name):
        raise HTTPException(404, "There is no such image.")
    try:
        return find(name)
    except CoreError as error:
        raise HTTPException(404, str(error)) from error


def _refuse_other_sites(request: Request) -> None:
    """Refuses requests that another web site makes the browser send."""
    if request.headers.get("sec-fetch-site", "none") == "cross-site":
        raise HTTPException(403, "Pictures are shown on their own page only.")
