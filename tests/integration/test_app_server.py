"""Contract: the server shows its first page without torch, hands out images byte for byte behind
a guard, keeps its headers on every answer, and says plainly why it cannot start.
"""

import csv
import io
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from data.provenance import read_provenance
from msdm_core.errors import JobNotFoundError, RequestError
from msdm_core.generation.archive import archive
from msdm_core.generation.history import JobStatus
from msdm_core.generation.request import check_request
from msdm_core.generation.service import GenerationService
from msdm_core.headers import BROWSER_COOKIE, SecurityHeaders
from msdm_core.settings import SETTINGS, read_settings
from tests.server import (
    ROOT,
    clean_environment,
    coordinator_token,
    free_port,
    offer_checkpoint,
    running_app,
)

FIRST_PAGE = """
import sys, threading, time, urllib.request
import app, uvicorn
from msdm_core.generation.service import GenerationService
from msdm_core.settings import read_settings
settings = read_settings(app.read_options(sys.argv[1:]))
generation = GenerationService(settings)
application = app.build_app(settings, generation, app.open_studies(settings, generation))
server = uvicorn.Server(uvicorn.Config(application, port=settings.port, log_level="error"))
threading.Thread(target=server.run, daemon=True).start()
while not server.started: time.sleep(0.05)
page = urllib.request.urlopen(f"http://127.0.0.1:{settings.port}/").read().decode()
print("PAGE", "gradio_config" in page, "TORCH", "torch" in sys.modules)
server.should_exit = True
"""


@pytest.fixture
def home(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    offer_checkpoint(tmp_path / "home", tiny_checkpoint, 64, ("tiny", "other"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path):
    """One for all tests, since its process takes seconds to start."""
    home = tmp_path_factory.mktemp("service") / "home"
    offer_checkpoint(home, tiny_checkpoint, 64, ("tiny", "other"))
    service = GenerationService(read_settings(environment={"MSDM_HOME": str(home)}))
    service.start()
    yield service
    service.close()


def draw(
    service: GenerationService,
    owner: str = "a" * 32,
    count: int = 1,
    models=("tiny",),
    prompt="a polyp",
):
    entries = [service.catalogue[name] for name in models]
    asked = check_request(entries, prompt, seed=3, steps=2, image_count=count)
    view = service.queue.wait(service.submit(asked, owner).id, timeout_s=120)
    assert view.status is JobStatus.DONE, view.message
    return view


def client_of(service: GenerationService, is_space: bool = False) -> TestClient:
    app = FastAPI()
    app.include_router(service.router())
    app.add_middleware(SecurityHeaders, is_space=is_space)
    return TestClient(app)


def start(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py", *options],
        capture_output=True, text=True, cwd=ROOT, env=clean_environment(), timeout=120, check=False,
    )  # fmt: skip


def test_the_first_page_is_served_without_torch(home: Path):
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PAGE, "--home", str(home), "--port", str(free_port())],
        capture_output=True, text=True, cwd=ROOT, env=clean_environment(), timeout=120, check=False,
    )  # fmt: skip
    assert "PAGE True TORCH False" in done.stdout, done.stderr


def test_help_prints_every_setting():
    done = start("--help")
    assert done.returncode == 0
    for setting in SETTINGS:
        assert setting.flag in done.stdout
        assert setting.environment in done.stdout


def test_an_image_is_handed_out_byte_for_byte_with_its_provenance(service: GenerationService):
    image = draw(service).images[0]
    client = client_of(service)
    answer = client.get(f"/generated/images/{image.id}.png")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == service.store.read(image.file_name)
    found = read_provenance(answer.content)
    assert found is not None
    assert found.seed == 3
    download = client.get(f"/generated/images/{image.id}.png?download=true")
    assert "attachment" in download.headers["content-disposition"]
    assert 'filename="a-polyp_tiny_seed3_00.png"' in download.headers["content-disposition"]
    assert download.content == answer.content


def test_the_archive_of_a_comparison_holds_every_image_once_and_a_table(
    service: GenerationService,
):
    view = draw(service, count=2, models=("tiny", "other"))
    answer = client_of(service).get(f"/generated/jobs/{view.id}.zip")
    assert answer.headers["content-type"] == "application/zip"
    assert "attachment" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        assert file.testzip() is None
        *names, table = file.namelist()
        assert table == "comparison.csv"
        assert len(set(names)) == 4
        stored = [service.store.read(image.file_name) for image in view.images]
        assert [file.read(name) for name in names] == stored
        rows = list(csv.DictReader(io.StringIO(file.read(table).decode("utf-8-sig"))))
    assert [row["file"] for row in rows] == names
    assert [(row["model_id"], row["row"], row["seed"]) for row in rows] == [
        ("tiny", "1", "3"), ("other", "1", "3"), ("tiny", "2", "4"), ("other", "2", "4"),
    ]  # fmt: skip
    for row, content in zip(rows, stored, strict=True):
        found = read_provenance(content)
        assert found is not None
        assert row["weights_sha256"] == found.weights_sha256
        assert row["prompt"] == "a polyp"
        assert row["licence"] == "CC BY-NC 4.0"
        assert (row["steps"], row["width_px"]) == ("2", "64")
        assert float(row["duration_s"]) == found.duration_s > 0
        assert row["load_s"] == str(found.extra["cost"]["load_s"])


def test_an_archive_that_lacks_an_image_is_refused_before_it_begins(service: GenerationService):
    view = draw(service, count=2)
    service.store.remove(view.images[1].file_name)
    answer = client_of(service).get(f"/generated/jobs/{view.id}.zip")
    assert answer.status_code == 404
    assert "is no longer in the workspace" in answer.json()["detail"]


def test_an_archive_is_made_while_it_is_sent_one_image_at_a_time(service: GenerationService):
    job = service.history.job(draw(service, count=4).id)
    largest = max(len(service.store.read(image.file_name)) for image in job.images)
    pieces = list(archive(job, service.store))
    assert len(pieces) == len(job.images) + 1
    assert max(map(len, pieces[:-1])) < largest + 1_000


def test_the_state_of_a_job_is_there_for_scripts(service: GenerationService):
    view = draw(service, models=("tiny", "other"))
    answer = client_of(service).get(f"/generated/jobs/{view.id}/state")
    assert answer.headers["cache-control"] == "no-store"
    state = answer.json()
    assert (state["status"], state["fraction"], state["seed"]) == ("done", 1.0, 3)
    assert [column["model_id"] for column in state["columns"]] == ["tiny", "other"]
    image = state["columns"][1]["images"][0]
    assert client_of(service).get(image["url"]).is_success
    assert image["cost"]["steps"] == 2
    assert client_of(service).get(state["archive_url"]).is_success


def test_chosen_images_are_handed_over_to_studies_once_and_with_how_they_were_chosen(
    service: GenerationService,
):
    view = draw(service, count=2, models=("tiny", "other"), prompt="an ulcer")
    ids = [image.id for image in view.images]
    assert service.send_to_study(ids[:1], "") == 1
    assert service.send_to_study(ids, "") == 3
    assert service.send_to_study(ids, "") == 0
    entries = {
        (entry.provenance.model_id, entry.provenance.seed): entry
        for entry in service.study_inbox.entries()
    }
    assert len(entries) == 4
    assert entries["tiny", 3].selection_rule == "hand_picked"
    assert entries["other", 4].selection_rule == "all_of_comparison"
    assert {entry.candidate_count for entry in entries.values()} == {2}
    stored = service.store.read(view.images[0].file_name)
    found = service.study_inbox.image(entries["tiny", 3].id)
    assert found.provenance == read_provenance(stored)
    with pytest.raises(RequestError, match="No image is chosen"):
        service.send_to_study([], "")
    with pytest.raises(JobNotFoundError):
        service.send_to_study(["0" * 32], "")


@pytest.mark.parametrize(
    "path",
    ["images/" + "0" * 32 + ".png", "images/x.png", "images/..%2f..%2fgeneration.sqlite.png",
     "jobs/" + "0" * 32 + ".zip", "jobs/" + "0" * 32 + "/state", "jobs/x/state"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(service: GenerationService, path: str):
    assert client_of(service).get(f"/generated/{path}").status_code == 404


def test_an_image_whose_file_was_removed_is_not_found(service: GenerationService):
    image = draw(service).images[0]
    service.store.remove(image.file_name)
    assert client_of(service).get(f"/generated/images/{image.id}.png").status_code == 404


def test_another_site_cannot_show_the_images(service: GenerationService):
    image = draw(service).images[0]
    headers = {"Sec-Fetch-Site": "cross-site"}
    answer = client_of(service).get(f"/generated/images/{image.id}.png", headers=headers)
    assert answer.status_code == 403


def test_on_a_space_a_browser_sees_its_own_images_alone(home: Path):
    environment = {"MSDM_HOME": str(home), "SPACE_ID": "someone/msdm"}
    service = GenerationService(read_settings(environment=environment))
    service.start()
    try:
        view = draw(service, owner="a" * 32)
        client = client_of(service, is_space=True)
        job = f"/generated/jobs/{view.id}"
        for path in (f"/generated/images/{view.images[0].id}.png", f"{job}.zip", f"{job}/state"):
            assert client.get(path, headers={"Cookie": f"{BROWSER_COOKIE}={'a' * 32}"}).is_success
            assert client.get(path, headers={"Cookie": f"{BROWSER_COOKIE}={'b' * 32}"}).is_error
            assert client.get(path).is_error
        with pytest.raises(JobNotFoundError):
            service.send_to_study([view.images[0].id], "b" * 32)
        assert service.jobs("b" * 32, 10) == []
    finally:
        service.close()


def test_every_answer_of_the_running_app_carries_the_security_headers(home: Path):
    with running_app(home) as (url, process):
        page = httpx.get(url)
        assert "HttpOnly" in page.headers["set-cookie"]
        assert "server" not in page.headers
        for path in ("/", "/config", "/generated/images/x.png", "/gradio_api/info"):
            headers = httpx.get(url + path).headers
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
        foreign = httpx.get(url, headers={"Host": "evil.example"})
        assert foreign.status_code == 400
        assert process.poll() is None
        second = start("--home", str(home), "--port", str(free_port()))
        assert second.returncode == 2
        assert "in use by another running app" in second.stderr
        port = url.rsplit(":", 1)[1]
        taken = start("--home", str(home.parent / "other"), "--port", port)
        assert taken.returncode == 2
        assert "--port" in taken.stderr
        assert "Traceback" not in second.stderr + taken.stderr


def test_the_app_stops_soon_when_it_is_told_to(home: Path):
    with running_app(home) as (_, process):
        started_s = time.monotonic()
        process.terminate()
        process.wait(20)
    assert time.monotonic() - started_s < 15


def test_a_workspace_that_cannot_be_used_stops_the_start_with_a_reason(tmp_path: Path):
    (tmp_path / "file").touch()
    done = start("--home", str(tmp_path / "file" / "home"), "--port", str(free_port()))
    assert done.returncode == 2
    assert "MSDM_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_machines_are_not_let_in_without_a_coordinators_token(tmp_path: Path):
    options = ("--home", str(tmp_path / "home"), "--port", str(free_port()))
    done = start("--host", "0.0.0.0", *options)
    assert done.returncode == 2
    assert "MSDM_COORDINATOR_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_cannot_be_used_stops_the_start_without_telling_its_password(
    tmp_path: Path,
):
    url = f"postgresql://someone:password-secret@127.0.0.1:{free_port()}/studies"
    home = tmp_path / "home"
    done = start("--home", str(home), "--port", str(free_port()), "--database-url", url)
    assert done.returncode == 2
    assert "app.py: The database" in done.stderr
    assert "Traceback" not in done.stderr
    assert "password-secret" not in done.stderr + done.stdout


def test_the_coordinators_link_is_printed_and_signs_in(tmp_path: Path):
    home = tmp_path / "home"
    with running_app(home) as (url, _):
        printed = (tmp_path / "home-server.log").read_text()
        link = f"{url}/coordinator/{coordinator_token(home)}"
        assert link in printed
        assert httpx.get(f"{url}/study/x/stimuli/1.png").status_code == 401
        entered = httpx.post(link)
        cookies = {"msdm_session": entered.cookies["msdm_session"]}
        assert httpx.get(f"{url}/study/x/stimuli/1.png", cookies=cookies).status_code == 404
        page = httpx.get(f"{url}/rate/")
        assert page.headers["x-frame-options"] == "DENY"


def test_a_space_without_a_coordinators_token_serves_generate_alone(home: Path):
    with running_app(home, variables={"SPACE_ID": "someone/msdm"}) as (url, _):
        assert "gradio_config" in httpx.get(url).text
        for path in ("/rate/", "/join/x", "/coordinator/x", "/rate/api/state"):
            assert httpx.get(url + path).status_code == 404
    assert not (home / "studies.sqlite3").exists()
    assert "oordinator" not in (home.parent / "home-server.log").read_text()


def test_a_saved_picture_can_be_opened_by_any_viewer(service: GenerationService):
    content = service.store.read(draw(service).images[0].file_name)
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert (image.size, image.mode) == ((64, 64), "RGB")
