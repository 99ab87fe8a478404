"""Contract: what a person zoomed, chose, unfolded or is dragging outlives a redraw; by finger every
column is reached and every target hit, and no view is wider than the window. Nothing is drawn here:
the comparison is written into the history as one that is done.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from data.provenance import Provenance, png_bytes, utc_now
from msdm_core.generation.history import History, JobStatus
from msdm_core.generation.request import GenerationRequest
from msdm_core.generation.store import ImageStore
from tests.browser.conftest import PATIENCE_MS, TINY_SIZE_PX, WatchedPage
from tests.drawings import draw_scene, scenes
from tests.server import offer_checkpoint, running_app

MODELS = ("alpha", "beta", "gamma")
ROWS = 4
LEAST_TARGET_PX = 44


class Stage:
    """A workspace with one comparison, to which further pictures can be added."""

    def __init__(self, home: Path) -> None:
        self.url = ""
        self._history = History(home / "generation.sqlite")
        self._store = ImageStore(home / "generated")
        request = GenerationRequest(MODELS, "a polyp in the lower right", 7, TINY_SIZE_PX, ROWS)
        self.job = self._history.add_job(request)
        self._rows = 0
        self.add_row()
        self._history.set_status(self.job, JobStatus.DONE)

    def add_row(self) -> None:
        """Adds a picture of each model."""
        for column, model_id in enumerate(MODELS):
            picture = draw_scene(scenes()[3 * self._rows + column], TINY_SIZE_PX)
            provenance = Provenance(
                model_id=model_id, model_label=f"{model_id.capitalize()} MSDM", weights_sha256=None,
                prompt="a polyp in the lower right", seed=7 + self._rows, steps=2, guidance=3.0,
                scheduler="none", width_px=TINY_SIZE_PX, height_px=TINY_SIZE_PX,
                library_versions={}, device="cpu", dtype="float32", duration_s=0.5,
                created_at=utc_now(), app_version="0", licence="MIT",
                extra={"cost": {"parameters": 14_300_000, "flops": 188_000_000_000}},
            )  # fmt: skip
            name = self._store.save(png_bytes(picture, provenance), self.job, column, self._rows)
            self._history.add_image(self.job, model_id, self._rows, name, provenance.to_dict())
        self._rows += 1

    def close(self) -> None:
        self._history.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("viewer") / "home"
    offer_checkpoint(home, tiny_checkpoint, TINY_SIZE_PX, MODELS)
    stage = Stage(home)
    with running_app(home) as (stage.url, _):
        yield stage
    stage.close()


def opened(browser: Browser, stage: Stage, **device: object) -> WatchedPage:
    """Returns a page of its own that shows the comparison."""
    context = browser.new_context(**device)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    watched = WatchedPage(context.new_page())
    watched.page.goto(stage.url)
    entry(watched.page, stage).click()
    watched.page.wait_for_selector(".m-columns")
    return watched


def entry(page: Page, stage: Stage) -> Locator:
    return page.locator(f'#history [data-id="{stage.job}"]')


def redraw(page: Page, stage: Stage) -> None:
    """Has Python draw the comparison again, with one more row."""
    before = page.locator(".m-card[data-image]").count()
    stage.add_row()
    entry(page, stage).evaluate("button => button.click()")  # leaves mouse and focus where they are
    expect(page.locator(".m-card[data-image]")).to_have_count(before + len(MODELS))


def moves(page: Page) -> list[str]:
    script = "all => [...new Set(all.map(image => image.style.transform))]"
    found: list[str] = page.locator(".m-card .m-image").evaluate_all(script)
    return found


def swipe_left(page: Page, target: Locator) -> None:
    """Draws a finger over `target` from right to left."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    assert box
    device = page.context.new_cdp_session(page)
    for step in range(13):
        point = {"x": box["x"] + box["width"] * (0.9 - 0.06 * step), "y": box["y"] + 60}
        kind = "touchMove" if step else "touchStart"
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    device.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_zoom_choice_records_slider_and_a_drag_outlive_a_redraw(browser: Browser, stage: Stage):
    watched = opened(browser, stage, viewport={"width": 1366, "height": 900})
    page = watched.page
    page.get_by_role("button", name="Zoom in").click()
    page.locator("[data-choose]").nth(1).check()
    page.locator(".m-card summary").first.click()
    page.get_by_role("button", name="Compare two").click()
    page.locator("[data-compare=right]").select_option(label="Gamma MSDM, seed 7")
    page.get_by_role("slider").press("ArrowRight")
    frame = page.locator(".m-card .m-view").nth(1)
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 30, box["y"] + 35)
    begun = moves(page)
    assert len(begun) == 1 and "scale(1.5)" in begun[0]
    redraw(page, stage)
    expect(page.locator(".m-zoom")).to_have_text("150 %")
    assert moves(page) == begun  # new pictures stand as the old ones do
    page.mouse.move(box["x"] + 20, box["y"] + 30)
    assert moves(page) != begun
    page.mouse.up()
    expect(page.locator("[data-choose]").nth(1)).to_be_checked()
    expect(page.locator(".m-card details[open]")).to_have_count(1)
    expect(page.locator("[data-compare=right] option:checked")).to_have_text("Gamma MSDM, seed 7")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", "52")
    assert page.locator(".m-compare .m-right").get_attribute("src")
    assert watched.complaints == []
    page.context.close()


def test_by_finger_every_column_is_reached_and_every_target_hit(browser: Browser, stage: Stage):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = opened(browser, stage, **phone).page
    page.get_by_role("button", name="Compare two").click()
    expect(page.locator(".m-slider")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#result").evaluate("result => result.offsetWidth") <= 390
    small = page.locator("#generate").evaluate(
        """(root, least) => [...root.querySelectorAll("button, a, select, summary, label")]
          .filter((e) => e.offsetHeight && e.offsetHeight < least && !e.querySelector("textarea"))
          .filter((e) => !e.matches("label") || e.querySelector("input[type=checkbox]"))
          .map((e) => `${e.tagName} ${e.textContent.trim().slice(0, 30)} ${e.offsetHeight}`)""",
        LEAST_TARGET_PX,
    )
    assert small == []
    swipe_left(page, page.locator(".m-card .m-view").first)
    page.wait_for_function("document.querySelector('.m-columns').scrollLeft > 100")
    page.context.close()


def test_a_tablet_shows_three_columns_without_scrolling_sideways(browser: Browser, stage: Stage):
    page = opened(browser, stage, viewport={"width": 820, "height": 1180}, has_touch=True).page
    columns = page.locator(".m-columns")
    assert columns.evaluate("columns => columns.scrollWidth <= columns.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= 820
    page.context.close()
