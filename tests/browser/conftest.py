"""The real app in a process of its own, looked at with a real Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from msdm_core.generation.history import History, JobStatus
from msdm_core.generation.request import GenerationRequest
from tests.server import offer_checkpoint, running_app

ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
TINY_SIZE_PX = 64
OLD_JOBS = 30
PATIENCE_MS = 60_000  # a busy machine may take that long for what takes 50 ms at leisure


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A Chromium that does nothing but what the test does."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield browser
        browser.close()


def add_old_jobs(home: Path) -> None:
    """Writes jobs of another browser into the history, more than one page of them."""
    history = History(home / "generation.sqlite")
    for seed in range(OLD_JOBS):
        request = GenerationRequest(("tiny",), f"old prompt {seed}", seed, TINY_SIZE_PX)
        history.set_status(history.add_job(request, "f" * 32), JobStatus.CANCELLED, "Cancelled.")
    history.close()


@pytest.fixture(scope="module")
def app_url(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[str]:
    """Address of a running app whose first model is the tiny checkpoint."""
    home = tmp_path_factory.mktemp("app") / "home"
    offer_checkpoint(home, tiny_checkpoint, TINY_SIZE_PX)
    add_old_jobs(home)
    with running_app(home) as (url, _):
        yield url


class WatchedPage:
    """A page and everything it complained about or asked other machines for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._on_request(request.url))

    def _on_console(self, message) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _on_request(self, url: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.foreign.append(url)


@pytest.fixture
def watched(browser: Browser, app_url: str) -> Iterator[WatchedPage]:
    """The page of the app in a browser of its own; it must end without any complaint."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    watched = WatchedPage(context.new_page())
    watched.page.goto(app_url)
    watched.page.wait_for_selector("#generate-button")
    yield watched
    context.close()
    assert watched.complaints == []
    assert watched.foreign == []
