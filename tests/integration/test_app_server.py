"""Contract: the server shows its first page without torch, hands out images byte for byte behind
a guard, keeps its headers on every answer, and says plainly why it cannot start.
"""

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
from msdm_core.generation.history import JobStatus
from msdm_core.generation.request import check_request
from msdm_core.generation.service import GenerationService
from msdm_core.headers import BROWSER_COOKIE, SecurityHeaders
from msdm_core.settings import SETTINGS, read_settings
from tests.server import ROOT, clean_environment, free_port, offer_checkpoint, running_app

FIRST_PAGE = """
import sys, threading, time, urllib.request
import app, uvicorn
from msdm_core.generation.service import GenerationService
from msdm_core.settings import read_settings
settings = read_settings(app.read_options(sys.argv[1:]))
server = uvicorn.Server(uvicorn.Config(
    app.build_app(settings, GenerationService(settings)), port=settings.port, log_level="error"))
threading.Thread(target=server.run, daemon=True).start()
while not server.started: time.sleep(0.05)
page = urllib.request.urlopen(f"http://127.0.0.1:{settings.port}/").read().decode()
print("PAGE", "gradio_config" in page, "TORCH", "torch" in sys.modules)
server.should_exit = True
"""


@pytest.fixture
def home(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    offer_checkpoint(tmp_path / "home", tiny_checkpoint, size_px=64)
    return tmp_path / "home"


@pytest.fixture
def service(home: Path):
    service = GenerationService(read_settings(environment={"MSDM_HOME": str(home)}))
    service.start()
    yield service
    service.close()


def draw(service: GenerationService, owner: str = "a" * 32, count: int = 1):
    asked = check_request(service.catalogue["tiny"], "a polyp", seed=3, steps=2, image_count=count)
    view = service.queue.wait(service.submit(asked, owner).id, timeout_s=60)
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


def test_the_archive_of_a_job_holds_every_image_once(service: GenerationService):
    view = draw(service, count=2)
    answer = client_of(service).get(f"/generated/jobs/{view.id}.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert len(set(archive.namelist())) == 2
        stored = [service.store.read(image.file_name) for image in view.images]
        assert [archive.read(name) for name in archive.namelist()] == stored


@pytest.mark.parametrize(
    "path",
    ["images/" + "0" * 32 + ".png", "images/x.png", "images/..%2f..%2fgeneration.sqlite.png",
     "jobs/" + "0" * 32 + ".zip"],
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
        path = f"/generated/images/{view.images[0].id}.png"
        client = client_of(service, is_space=True)
        assert client.get(path, headers={"Cookie": f"{BROWSER_COOKIE}={'a' * 32}"}).is_success
        assert client.get(path, headers={"Cookie": f"{BROWSER_COOKIE}={'b' * 32}"}).is_error
        assert client.get(path).is_error
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


def test_a_saved_picture_can_be_opened_by_any_viewer(service: GenerationService):
    content = service.store.read(draw(service).images[0].file_name)
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert (image.size, image.mode) == ((64, 64), "RGB")
