"""The routes of coordinators beside the Study tab: pictures and files, each guarded by itself."""

from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response

from data.errors import StudyInboxError
from data.provenance import png_bytes
from data.study_inbox import StudyInbox
from rating.access import Access, Visitor
from rating.errors import StimulusError
from rating.guarded_route import NEVER_KEPT, GuardedRoute
from rating.study.studies import Studies

PREFIX: Final = "/study"


def stimulus_url(code: str, stimulus_id: int) -> str:
    """Return the address of a picture of a study, for coordinators."""
    return f"{PREFIX}/{code}/stimuli/{stimulus_id}.png"


def inbox_url(entry_id: str) -> str:
    """Return the address of a picture that waits in the study inbox, for coordinators."""
    return f"{PREFIX}/inbox/{entry_id}.png"


def make_coordinator_router(studies: Studies, access: Access, home: Path) -> APIRouter:
    """Return the routes under `/study`; `home` holds the study inbox."""
    router = APIRouter(prefix=PREFIX, route_class=GuardedRoute)
    inbox = StudyInbox(home / "study_inbox")

    def coordinator_of(request: Request) -> Visitor:
        return access.require_coordinator(request)

    Coordinator = Annotated[Visitor, Depends(coordinator_of)]  # noqa: N806  # a type

    @router.get("/inbox/{entry_id}.png")
    def inbox_image(_coordinator: Coordinator, entry_id: str) -> Response:
        try:
            picture = inbox.image(entry_id).image
        except StudyInboxError as error:
            raise StimulusError(str(error)) from error
        return _png(png_bytes(picture, None))

    @router.get("/{code}/stimuli/{stimulus_id}.png")
    def stimulus_image(_coordinator: Coordinator, code: str, stimulus_id: int) -> Response:
        return _png(studies.stimulus_png(code, stimulus_id))

    return router


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png", headers=NEVER_KEPT)
