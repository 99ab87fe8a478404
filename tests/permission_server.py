"""The real app with a study, people of every role, and guards that note what they were asked.

    python -m tests.permission_server FOLDER

Run as a process of its own by the tests of permissions: it writes to FOLDER/app.json what routes
and handlers the application has and how to be who, and to FOLDER/asked every question to a guard.
"""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.routing import Mount

import app
from msdm_core.generation.service import GenerationService
from msdm_core.settings import read_settings
from rating.errors import AccessError
from rating.service import RatingService
from tests.rating_study import enrol, invite, write_study

TOKEN = "coordinator-token-of-the-tests"
GENERATE_TOKEN = "generate-token-of-the-tests"


def watched(name: str, guard: Callable[..., Any], asked: Path) -> Callable[..., Any]:
    """Returns the guard, noting each time that it was asked and whether it refused."""

    def note(is_refused: bool) -> None:
        with asked.open("a") as file:
            file.write(json.dumps([name, is_refused]) + "\n")

    def ask(request: Any) -> Any:
        try:
            found = guard(request)
        except AccessError:
            note(True)
            raise
        note(False)
        return found

    return ask


def people(rating: RatingService) -> tuple[dict[str, str], dict[str, str]]:
    """Returns a cookie for each role, and names of things that are there."""
    past = write_study(rating.database, 2, 2, 0, 1, kind="pilot", repeat_share=0.0)
    past_link = invite(rating.database, past)[0][1]
    enrol(rating.database, past_link)
    code = write_study(rating.database)
    link = invite(rating.database, code)[0][1]
    rater_id = enrol(rating.database, link)
    access = rating.access
    cookies = {
        "nobody": "",
        "rater": access.sign_in_rater(link),
        "past rater": access.sign_in_rater(past_link),
        "generator": access.sign_in_generator(GENERATE_TOKEN),
        "coordinator": access.sign_in_coordinator(TOKEN),
    }
    rating.studies.lock(past, rating.studies.summary(past).title)
    samples = {
        "code": code,
        "stimulus_id": str(rating.studies.stimuli(code)[0].id),
        "image": rating.desk.state(rater_id)["item"]["images"][0]["url"],
        "api_name": "predict",
    }
    return cookies, samples


def routes_of(routes: list[Any]) -> list[tuple[str, str]]:
    """Returns (method, path) of all routes but those of mounted applications."""
    found: set[tuple[str, str]] = set()
    for route in routes:
        if hasattr(route, "original_router"):  # as FastAPI keeps routers that were included
            found |= set(routes_of(route.original_router.routes))
        elif not isinstance(route, Mount):
            found |= {(method, route.path) for method in route.methods}
    return sorted(found)


def handlers_of(blocks: Any) -> list[dict[str, Any]]:
    """Returns the functions that a page can have called, with values that their inputs take."""
    return [
        {
            "number": number,
            "name": function.fn.__qualname__,
            "data": [_value_of(block) for block in function.inputs],
        }
        for number, function in blocks.fns.items()
        if function.fn is not None
    ]


def _value_of(block: Any) -> Any:
    is_list = type(block).__name__ in {"CheckboxGroup"} or getattr(block, "multiselect", False)
    return [] if is_list else None


def main(folder: Path) -> None:
    """Serves until the process is ended."""
    warnings.filterwarnings("ignore", category=ResourceWarning, module="gradio")
    port = int(sys.argv[2])
    environment = {
        "MSDM_HOME": str(folder / "home"), "MSDM_PORT": str(port), "MSDM_COORDINATOR_TOKEN": TOKEN,
        "MSDM_GENERATE_TOKEN": GENERATE_TOKEN,
    }  # fmt: skip
    settings = read_settings(environment=environment)
    generation = GenerationService(settings)
    rating = app.open_studies(settings, generation)
    cookies, samples = people(rating)
    access, asked = rating.access, folder / "asked"
    access.may_generate = watched("generate", access.may_generate, asked)
    access.require_coordinator = watched("coordinator", access.require_coordinator, asked)
    application = app.build_app(settings, generation, rating)
    mounts = {
        route.path: route.app for route in application.routes if isinstance(route, Mount)
    }
    found = {
        "cookies": cookies,
        "samples": samples,
        "routes": routes_of(application.routes),
        "mounted": {path: routes_of(mounted.routes) for path, mounted in mounts.items()},
        "handlers": {path: handlers_of(mounted.get_blocks()) for path, mounted in mounts.items()},
    }
    (folder / "app.json").write_text(json.dumps(found))
    uvicorn.run(application, port=port, log_level="critical", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
