"""All routes of studies, gathered for the application."""

from fastapi import APIRouter
from fastapi.responses import RedirectResponse

from rating.coordinator_routes import make_coordinator_router
from rating.entry_pages import make_entry_router
from rating.rater_routes import make_rater_router
from rating.results_routes import make_results_router
from rating.service import RatingService


def make_router(service: RatingService) -> APIRouter:
    """Return the entry pages and the routes of raters and coordinators."""
    router = APIRouter()

    @router.get("/rate", include_in_schema=False)
    def rate_without_slash() -> RedirectResponse:
        return RedirectResponse("/rate/", 307)

    router.include_router(make_entry_router(service.access, is_space=service.is_space))
    router.include_router(make_rater_router(service.desk, service.access))
    router.include_router(make_coordinator_router(service.studies, service.access, service.home))
    router.include_router(make_results_router(service.results, service.access))
    return router
