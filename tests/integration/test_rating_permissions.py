"""Contract: who may have what. Every route and every handler of the running application has an
entry here; each is asked by every role directly over HTTP, not through a page.

Routes and handlers are taken from the application itself, so that a new one without an entry fails.
"""

import dataclasses
import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from rating.access import COOKIE
from rating.page_guard import MOST_BYTES, MOST_UPLOAD_BYTES, rule_of
from rating.storage.database import Database, sqlite_url
from rating.storage.models import Base
from tests.server import ROOT, clean_environment, free_port, wait_until_up

ROLES = ("nobody", "rater", "past rater", "generator", "coordinator")

EVERYBODY = frozenset(ROLES)
NO_RATER = EVERYBODY - {"rater"}  # of an open study
RATERS = frozenset({"rater", "past rater"})
GENERATING = frozenset({"generator", "coordinator"})
COORDINATOR = frozenset({"coordinator"})
NONE: frozenset[str] = frozenset()

OWN_ROUTES = {
    "GET /generated/images/{image_id}.png": GENERATING,
    "GET /generated/jobs/{job_id}.zip": GENERATING,
    "GET /generated/jobs/{job_id}/state": GENERATING,
    "GET /rate": EVERYBODY,
    "GET /join/{token}": EVERYBODY,
    "HEAD /join/{token}": EVERYBODY,
    "POST /join/{token}": EVERYBODY,
    "GET /coordinator/{token}": EVERYBODY,
    "HEAD /coordinator/{token}": EVERYBODY,
    "POST /coordinator/{token}": EVERYBODY,
    "GET /generate-access/{token}": EVERYBODY,
    "HEAD /generate-access/{token}": EVERYBODY,
    "POST /generate-access/{token}": EVERYBODY,
    "POST /sign-out": EVERYBODY,
    "GET /rate/api/state": RATERS,
    "POST /rate/api/consent": RATERS,
    "POST /rate/api/profile": RATERS,
    "POST /rate/api/answers": RATERS,
    "POST /rate/api/revise": RATERS,
    "GET /rate/api/items/{token}": RATERS,
    "POST /rate/api/closing": RATERS,
    "POST /rate/api/withdraw": RATERS,
    "POST /rate/api/sign-out": RATERS,
    "GET /rate/image/{token}.png": RATERS,
    "GET /study/inbox/{entry_id}.png": COORDINATOR,
    "GET /study/{code}/stimuli/{stimulus_id}.png": COORDINATOR,
    "GET /results/{code}/progress.csv": COORDINATOR,
    "GET /results/{code}/export.zip": COORDINATOR,
    "GET /results/{code}/data/{name}.csv": COORDINATOR,
    "GET /results/{code}/tables/{name}.csv": COORDINATOR,
    "GET /results/{code}/figures/{name}.{kind}": COORDINATOR,
    "GET /results/{code}/methods.md": COORDINATOR,
    "GET /results/{code}/results.md": COORDINATOR,
    "GET /results/{code}/results.txt": COORDINATOR,
    "GET /results/{code}/capsule.zip": COORDINATOR,
}
# Of Gradio's own routes, as (main page, rater's page); what is not named is for nobody.
PAGE = (NO_RATER, EVERYBODY)
HANDLERS = (NO_RATER, NONE)
FILES = (COORDINATOR, NONE)
GRADIO_ROUTES = {
    "/": PAGE,
    "/config": PAGE,
    "/static/{path:path}": PAGE,
    "/svelte/{path:path}": PAGE,
    "/assets/{path:path}": PAGE,
    "/favicon.ico": PAGE,
    "/robots.txt": PAGE,
    "/manifest.json": PAGE,
    "/pwa_icon": PAGE,
    "/pwa_icon/{size}": PAGE,
    "/theme.css": PAGE,
    "/gradio_api/theme.css": PAGE,
    "/gradio_api/startup-events": PAGE,
    "/gradio_api/heartbeat/{session_hash}": PAGE,
    "/gradio_api/info": HANDLERS,
    "/gradio_api/run/{api_name}": HANDLERS,
    "/gradio_api/api/{api_name}": HANDLERS,
    "/gradio_api/call/{api_name}": HANDLERS,
    "/gradio_api/call/{api_name}/{event_id}": HANDLERS,
    "/gradio_api/call/v2/{api_name}": HANDLERS,
    "/gradio_api/call/v2/{api_name}/{event_id}": HANDLERS,
    "/gradio_api/queue/join": HANDLERS,
    "/gradio_api/queue/data": HANDLERS,
    "/gradio_api/cancel": HANDLERS,
    "/gradio_api/reset": HANDLERS,
    "/gradio_api/upload": FILES,
    "/gradio_api/upload_progress": FILES,
    "/gradio_api/file={path_or_url:path}": FILES,
    "/gradio_api/file/{path:path}": FILES,
    "/gradio_api/component_server": FILES,
}
UNUSED_GRADIO_ROUTES = frozenset(
    """/dev/reload /gradio_api/dev/reload /login /logout /login_check /user /token /app_id
    /gradio_api/user /gradio_api/login_check /gradio_api/token /gradio_api/app_id
    /openapi.json /gradio_api/queue/status
    /gradio_api/deep_link /gradio_api/openapi.json /gradio_api/stream/{event_id}
    /gradio_api/stream/{event_id}/close /monitoring /monitoring/summary /monitoring/{key}
    /gradio_api/process_recording /gradio_api/vibe-edit /gradio_api/undo-vibe-edit
    /gradio_api/vibe-code /gradio_api/vibe-starter-queries /gradio_api/proxy={url_path:path}
    /gradio_api/stream/{session_hash}/{run}/{component_id}/playlist.m3u8
    /gradio_api/stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}
    /gradio_api/stream/{session_hash}/{run}/{component_id}/playlist-file
    /gradio_api/custom_component/{id}/{environment}/{type}/{file_name}
    /gradio_api/runs /gradio_api/run-history/connect /gradio_api/run-history/buckets
    /gradio_api/run-history/records""".split()
)
# What a handler asks before it does anything.
HANDLER_GUARDS = {
    "GenerateTab._on_generate": "generate",
    "GenerateTab._on_tick": "generate",
    "GenerateTab._on_cancel": "generate",
    "GenerateTab._on_history": "generate",
    "GenerateTab._on_job": "generate",
    "GenerateTab._on_open": "generate",
    "GenerateTab._on_load": "generate",
    "GenerateTab._on_terms": "generate",
    "StudyTab._on_act": "coordinator",
    "StudyTab._on_tick": "coordinator",
    "ResultsTab._on_act": "coordinator",
    "ResultsTab._on_tick": "coordinator",
    # Nothing of a study, a job or a person goes into these.
    "GenerateTab._bind_prompt.<locals>.<lambda>": "",
    "GenerateTab._bind_numbers.<locals>.<lambda>": "",
    "Examples.create.<locals>.load_example": "",
}
ALLOWED = {"": NO_RATER, "generate": GENERATING, "coordinator": COORDINATOR}
EVENT_DATA = {"action": "older", "id": "x", "value": None, "index": 0, "selected": True}


@dataclasses.dataclass
class Running:
    """The running application, what it has, and a cookie for each role."""

    url: str
    folder: Path
    cookies: dict[str, str]
    samples: dict[str, str]
    routes: list[list[str]]
    mounted: dict[str, list[list[str]]]
    handlers: dict[str, list[dict[str, Any]]]

    def client(self, role: str) -> httpx.Client:
        headers = {"Cookie": f"{COOKIE}={self.cookies[role]}"} if self.cookies[role] else {}
        # Without https there are no certificates to load, which would take most of the time.
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=False)

    def asked(self) -> list[list[Any]]:
        """Returns what the guards were asked since the last call."""
        path = self.folder / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder, port = tmp_path_factory.mktemp("permissions"), free_port()
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.permission_server", str(folder), str(port)],
            cwd=ROOT, env=clean_environment(), stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            wait_until_up(url, process, folder / "log")
            found = json.loads((folder / "app.json").read_text())
            yield Running(url=url, folder=folder, **found)
        finally:
            process.terminate()
            process.wait(20)


def is_refusal(answer: httpx.Response) -> bool:
    is_sent_away = answer.status_code == 303 and answer.headers["location"] == "/rate/"
    return answer.status_code in {401, 403} or is_sent_away


def is_from_gradio(answer: httpx.Response) -> bool:
    """Whether Gradio made this answer, and not the guard before it."""
    is_kept = answer.headers.get("cache-control") != "no-store"
    return is_kept or answer.status_code not in {303, 401, 403, 404}


def ask(running: Running, role: str, method: str, path: str, **body: Any) -> httpx.Response:
    """Returns the head of an answer: some of them never end."""
    with running.client(role) as client, client.stream(method, path, **body) as answer:
        return answer


def filled(path: str, samples: dict[str, str]) -> str:
    if path == "/rate/image/{token}.png":
        return samples["image"]
    return re.sub(r"{(\w+)(:path)?}", lambda found: samples.get(found[1], "x"), path)


def test_every_route_of_our_own_has_an_entry(running: Running):
    found = {f"{method} {path}" for method, path in running.routes}
    assert found == OWN_ROUTES.keys()


@pytest.mark.parametrize(
    ("name", "role"),
    # Signing out would end the role that the other cases need; the tests of routes hold that.
    [(name, role) for name, allowed in OWN_ROUTES.items() for role in ROLES
     if not (name.endswith("/sign-out") and role in allowed)],
)  # fmt: skip
def test_a_route_lets_in_whom_it_should(running: Running, name: str, role: str):
    method, path = name.split(" ", 1)
    body = {"json": {}} if method == "POST" and path.startswith("/rate/api") else {}
    answer = ask(running, role, method, filled(path, running.samples), **body)
    assert is_refusal(answer) == (role not in OWN_ROUTES[name]), answer.status_code
    assert answer.status_code != 500


@pytest.mark.parametrize("mount", ["", "/rate"])
def test_every_route_of_gradio_has_an_entry(running: Running, mount: str):
    found = {path.rstrip("/") or "/" for _, path in running.mounted[mount]}
    assert found - GRADIO_ROUTES.keys() - UNUSED_GRADIO_ROUTES == set()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("mount", ["", "/rate"])
def test_gradio_serves_each_role_its_pages_and_nothing_else(
    running: Running, mount: str, role: str
):
    wrong = []
    for method, path in running.mounted[mount]:
        allowed = GRADIO_ROUTES.get(path.rstrip("/") or "/", (NONE, NONE))[mount == "/rate"]
        body = {"json": {}} if method == "POST" else {}
        answer = ask(running, role, method, mount + filled(path, running.samples), **body)
        if is_from_gradio(answer) != (role in allowed):
            wrong.append((method, path, answer.status_code))
    assert wrong == []


def test_every_handler_has_an_entry(running: Running):
    names = {handler["name"] for handler in running.handlers[""]}
    assert names == HANDLER_GUARDS.keys()


def test_the_raters_page_has_no_handlers(running: Running):
    assert running.handlers["/rate"] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_handler_asks_its_guard_before_it_does_anything(running: Running, role: str):
    before = contents(running)
    wrong = []
    for handler in running.handlers[""]:
        guard = HANDLER_GUARDS[handler["name"]]
        running.asked()
        body = {
            "fn_index": handler["number"], "data": handler["data"], "session_hash": "s",
            "event_data": EVENT_DATA,
        }  # fmt: skip
        with running.client(role) as client:
            answer = client.post("/gradio_api/run/predict", json=body)
        asked = running.asked()
        if role == "rater":
            # Raters of an open study do not reach any handler.
            is_right = answer.status_code == 403 and asked == []
        elif guard:
            is_right = asked[:1] == [[guard, role not in ALLOWED[guard]]]
        else:
            is_right = answer.status_code != 403
        if not is_right:
            wrong.append((handler["name"], answer.status_code, asked[:3], answer.text[:200]))
    assert wrong == []
    if role != "coordinator":
        assert contents(running) == before


def contents(running: Running) -> list[Any]:
    """Returns all rows of all tables of studies."""
    database = Database.open(sqlite_url(running.folder / "home"))
    with database.read() as session:
        found = [session.execute(select(table)).all() for table in Base.metadata.sorted_tables]
    database.close()
    return found


def test_what_is_not_listed_is_for_nobody():
    for path in ("/gradio_api/uploads", "//gradio_api/upload", "/gradio_api/../x", "/admin",
                 "/rate/gradio_api/upload", "/rate/gradio_api/queue/join", "/rate/generated/x",
                 "/rate/../generated/x"):  # fmt: skip
        assert rule_of(path) == "none", path


def test_a_raters_browser_is_sent_to_the_raters_page(running: Running):
    for method in ("GET", "HEAD"):
        answer = ask(running, "rater", method, "/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/rate/")
        assert answer.headers["cache-control"] == "no-store"
    with running.client("rater") as client:
        told = client.get("/config")
        assert told.status_code == 403
        assert told.json()["error"]["code"] == "forbidden"
        assert client.get("/rate/").status_code == 200


def test_once_the_study_is_locked_its_raters_browser_is_like_any_other(running: Running):
    assert ask(running, "past rater", "GET", "/").status_code == 200
    with running.client("past rater") as client:
        assert client.get("/rate/api/state").json()["phase"] == "locked"


def test_the_raters_page_names_no_model(running: Running):
    with running.client("rater") as client:
        sent = client.get("/rate/").text + client.get("/rate/config").text
    for name in ("msdm-", "MSDM", "FLUX", "flux", "andinsky", "iffusion"):
        assert name not in sent


@pytest.mark.parametrize(
    ("role", "path", "size_bytes", "status"),
    [("coordinator", "/gradio_api/upload", MOST_UPLOAD_BYTES + 1, 413),
     ("coordinator", "/gradio_api/queue/join", MOST_BYTES + 1, 413),
     ("nobody", "/gradio_api/upload", MOST_UPLOAD_BYTES + 1, 401),
     ("nobody", "/gradio_api/queue/join", MOST_BYTES + 1, 413),
     ("rater", "/rate/api/answers", MOST_BYTES + 1, 413)],
)  # fmt: skip
def test_a_request_that_is_too_large_is_refused_before_it_is_read(
    running: Running, role: str, path: str, size_bytes: int, status: int
):
    connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", path)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(size_bytes))
    connection.putheader("Cookie", f"{COOKIE}={running.cookies[role]}")
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()


def test_a_large_request_without_a_length_is_cut_off(running: Running):
    pieces = (b" " * 65_536 for _ in range(2 * MOST_BYTES // 65_536))
    with running.client("nobody") as client:
        answer = client.post(
            "/gradio_api/queue/join", content=pieces, headers={"Content-Type": "application/json"}
        )
    assert answer.is_error
