"""Raters and coordinators as HTTP clients, for tests of routes and of the running app."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from msdm_core.headers import SecurityHeaders
from rating.page_guard import PageGuard
from rating.service import RatingService

TOKEN = "coordinator-token-of-the-tests"
BASE = "http://testserver"


@contextlib.contextmanager
def rating_service(home: Path, url: str = "", **options: Any) -> Iterator[RatingService]:
    """Gives the service of a workspace, closed afterwards."""
    home.mkdir(exist_ok=True)
    options = {"coordinator_token": TOKEN, **options}
    service = RatingService(home, app_version="0", database_url=url, **options)
    yield service
    service.close()


def application(service: RatingService) -> FastAPI:
    """Returns the routes of studies behind the guard, as in the app."""
    app = FastAPI()
    app.include_router(service.router())
    app.add_middleware(PageGuard, access=service.access)
    app.add_middleware(SecurityHeaders)
    return app


def browser(app: FastAPI) -> TestClient:
    """Returns a browser that knows nothing yet."""
    return TestClient(app, base_url=BASE, follow_redirects=False, raise_server_exceptions=False)


def submission(item: dict[str, Any], *, key: str = "") -> dict[str, Any]:
    """Returns a body that answers every question of the item's current step with its last point."""
    return {
        "item": item["token"],
        "step": item["step"],
        "key": key or str(uuid.uuid4()),
        "answers": {each["code"]: each["points"][-1]["value"] for each in item["questions"]},
        "cannot_judge": [],
        "is_seen_before": False,
        "tags": [],
        "marks": [],
        "remark": "",
        "visible_ms": 1_234,
        "viewport": [1440, 900],
        "device_pixel_ratio": 2,
    }
