"""Contract: in a real browser one prompt fills a column for each model, from the same seeds; a
model that fails says so in its column alone; pictures zoom together, two lie under a slider, chosen
ones go to a study; a comparison outlives a reload and can be cancelled.
"""

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, BrowserContext, Page, expect
from safetensors.torch import load_file, save_file

from data.provenance import read_provenance
from tests.browser.conftest import PATIENCE_MS, TINY_SIZE_PX, WatchedPage
from tests.browser.test_generate import FIRST_IMAGE_MS, SLOW_STEPS, ask, fill, pixels, wait_for
from tests.server import offer_checkpoint, running_app

UNET = Path("unet") / "diffusion_pytorch_model.safetensors"


def offer_models(home: Path, checkpoint: Path) -> None:
    """Offers three models of which the last draws nothing but not-a-number."""
    spoilt = home.parent / "spoilt"
    shutil.copytree(checkpoint, spoilt)
    weights = load_file(spoilt / UNET)
    save_file({name: torch.full_like(value, float("nan")) for name, value in weights.items()},
              spoilt / UNET)
    offer_checkpoint(home, checkpoint, TINY_SIZE_PX, ("alpha", "beta", "spoilt"))
    catalogue = home / "catalogue.toml"
    lines = catalogue.read_text(encoding="utf-8").splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("path"))
    lines[last] = f'path = "{spoilt.as_posix()}"'
    catalogue.write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    home = tmp_path_factory.mktemp("comparison") / "home"
    home.mkdir()
    offer_models(home, tiny_checkpoint)
    return home


@pytest.fixture(scope="module")
def app_url(home: Path) -> Iterator[str]:
    with running_app(home) as (url, _):
        yield url


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One visitor for all tests of the module, so that earlier comparisons can be looked at."""
    context = browser.new_context(viewport={"width": 1366, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, app_url: str) -> Iterator[Page]:
    watched = WatchedPage(context.new_page())
    watched.page.goto(app_url)
    watched.page.wait_for_selector("#generate-button")
    yield watched.page
    watched.page.close()
    assert watched.complaints == []
    assert watched.foreign == []


@pytest.fixture(scope="module")
def compared(context: BrowserContext, app_url: str) -> str:
    """Id of a comparison of two models with two seeds."""
    page = context.new_page()
    page.goto(app_url)
    tick(page, "Alpha", "Beta")
    fill(page, "seed", 4294967295)  # the next seed begins again at zero
    expect(page.locator("#keep input")).to_be_checked()
    ask(page, "a polyp in the lower right", steps=3, count=2)
    job = wait_for(page, "done")
    page.close()
    return job


def tick(page: Page, *labels: str) -> None:
    """Ticks these models and no others."""
    page.wait_for_selector("#models input")
    for label in page.locator("#models label").all():
        wanted = any(name in label.inner_text() for name in labels)
        label.locator("input").set_checked(wanted)


def show(page: Page, job: str) -> None:
    page.locator(f'#history [data-id="{job}"]').click()
    expect(page.locator(f'.m-job[data-job="{job}"]')).to_be_visible()


def zooms(page: Page) -> set[str]:
    script = "all => all.map(image => image.style.transform)"
    return set(page.locator(".m-card .m-image").evaluate_all(script))


def test_two_seeds_of_two_models_fill_a_grid_and_come_as_one_zip(page: Page, compared: str) -> None:
    show(page, compared)
    assert page.locator(".m-head h3").all_inner_texts() == ["Alpha MSDM", "Beta MSDM"]
    captions = page.locator(".m-card figcaption span").all_inner_texts()
    assert captions == ["Seed 4294967295"] * 2 + ["Seed 0"] * 2
    sizes = page.locator(".m-card .m-view").evaluate_all("all => all.map(v => v.offsetWidth)")
    assert len(set(sizes)) == 1
    sources = [i.get_attribute("src") for i in page.locator(".m-card .m-image").all()]
    # The two models are one checkpoint: the same seed must give the same picture in both columns.
    assert pixels(page, sources[0]) == pixels(page, sources[1])
    assert pixels(page, sources[0]) != pixels(page, sources[2])
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all").click()
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        tables = [name for name in archive.namelist() if name.endswith(".csv")]
        pictures = [name for name in archive.namelist() if name.endswith(".png")]
        rows = list(csv.DictReader(io.StringIO(archive.read(tables[0]).decode("utf-8-sig"))))
        models = {read_provenance(archive.read(name)).model_id for name in pictures}
    assert (len(tables), len(pictures), len(rows)) == (1, 4, 4)
    assert models == {"alpha", "beta"}


def test_one_picture_of_a_comparison_is_downloaded_as_png(page: Page, compared: str) -> None:
    show(page, compared)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download PNG, Beta MSDM, seed 0").click()
    found = read_provenance(Path(download.value.path()).read_bytes())
    assert found is not None
    assert (found.model_id, found.seed, found.steps) == ("beta", 0, 3)


def test_a_model_that_fails_says_so_in_its_column_and_the_others_finish(page: Page) -> None:
    tick(page, "Alpha", "Spoilt")
    ask(page, "a polyp")
    wait_for(page, "done")
    failed = page.locator('.m-head[data-model="spoilt"]')
    expect(failed).to_have_attribute("data-status", "failed")
    expect(failed.locator(".m-alert")).not_to_be_empty()
    expect(page.locator('.m-head[data-model="alpha"] .m-alert')).to_have_count(0)
    expect(page.locator(".m-card[data-image]")).to_have_count(1)
    expect(page.locator(".m-progress-text strong")).to_have_text("Done, 1 of 2 models failed")


def test_pictures_zoom_and_move_together_by_button_wheel_and_key(page: Page, compared: str) -> None:
    show(page, compared)
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".m-zoom")).to_have_text("150 %")
    assert len(found := zooms(page)) == 1 and "scale(1.5)" in found.pop()
    frame = page.locator(".m-card .m-view").nth(3)
    frame.press("ArrowRight")
    assert len(moved := zooms(page)) == 1
    frame.press("+")
    assert zooms(page) != moved
    frame.press("0")
    expect(page.locator(".m-zoom")).to_have_text("100 %")
    frame.hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    expect(page.locator(".m-zoom")).not_to_have_text("100 %")
    frame.dblclick()
    expect(page.locator(".m-zoom")).to_have_text("100 %")


def test_a_slider_lies_between_any_two_pictures(page: Page, compared: str) -> None:
    show(page, compared)
    page.get_by_role("button", name="Compare two").click()
    page.locator("[data-compare=left]").select_option(label="Beta MSDM, seed 4294967295")
    page.locator("[data-compare=right]").select_option(label="Alpha MSDM, seed 0")
    sides = [page.locator(f".m-compare .m-{side}") for side in ("left", "right")]
    urls = [side.get_attribute("src") for side in sides]
    assert all(urls) and urls[0] != urls[1]
    handle = page.get_by_role("slider")
    expect(handle).to_have_attribute("aria-valuenow", "50")
    handle.press("ArrowRight")
    expect(handle).to_have_attribute("aria-valuenow", "52")
    handle.press("End")
    expect(handle).to_have_attribute("aria-valuenow", "100")
    clip = page.locator(".m-over").evaluate("layer => layer.style.clipPath")
    assert clip.endswith("100%)")
    box = page.locator(".m-slider").bounding_box()
    assert box
    handle.press("Home")
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert 20 <= int(handle.get_attribute("aria-valuenow") or 0) <= 30


def test_chosen_pictures_go_to_a_study_once(page: Page, compared: str, home: Path) -> None:
    show(page, compared)
    page.locator("[data-choose]").nth(2).check()
    page.get_by_role("button", name="Send 1 chosen to a study").click()
    note = page.locator("#note [role=status]")
    expect(note).to_contain_text("1 image is now in the study inbox")
    records = [json.loads(path.read_text()) for path in home.rglob("study_inbox/*/record.json")]
    assert [record["selection_rule"] for record in records] == ["hand_picked"]
    page.get_by_role("button", name="Send 1 chosen to a study").click()
    expect(note).to_contain_text("1 of 1 were there already")


def test_a_comparison_is_run_again_with_the_same_settings(page: Page, compared: str) -> None:
    show(page, compared)
    before = page.locator(".m-card .m-image").first.get_attribute("src")
    page.get_by_role("button", name="Run again").click()
    expect(page.locator(f'.m-job[data-job="{compared}"]')).to_have_count(0)
    wait_for(page, "done")
    after = page.locator(".m-card .m-image").first.get_attribute("src")
    assert after != before and pixels(page, after) == pixels(page, before)
    expect(page.locator("#steps input")).to_have_value("3")
    expect(page.locator("#count input")).to_have_value("2")


def test_a_reload_in_mid_comparison_finds_its_columns_and_cancel_ends_them(page: Page) -> None:
    tick(page, "Alpha", "Beta")
    ask(page, "a polyp", steps=SLOW_STEPS, count=8)
    job = wait_for(page, "running")
    page.reload()
    expect(page.locator(f'.m-job[data-job="{job}"]')).to_be_visible()
    expect(page.locator(".m-head")).to_have_count(2)
    expect(page.locator("img.m-preview").first).to_be_visible(timeout=FIRST_IMAGE_MS)
    page.locator("#cancel-button").click()
    assert wait_for(page, "cancelled") == job
    expect(page.locator('.m-head[data-status="cancelled"]')).not_to_have_count(0)


def test_what_other_models_need_is_told_and_they_cannot_be_ticked(page: Page) -> None:
    page.get_by_text("more models, and what they need").click()
    other = page.locator(".m-models li", has_text="FLUX.1 dev")
    expect(other.locator(".m-state")).not_to_be_empty()
    assert "FLUX.1 dev" not in page.locator("#models").inner_text()


@pytest.mark.parametrize("width_px", [390, 820, 1366])
def test_a_comparison_is_not_wider_than_the_window(
    context: BrowserContext, app_url: str, compared: str, width_px: int
) -> None:
    page = context.new_page()
    page.set_viewport_size({"width": width_px, "height": 844})
    page.goto(app_url)
    show(page, compared)
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px
    heights = page.locator(".m-job .m-button").evaluate_all("all => all.map(b => b.offsetHeight)")
    assert min(heights) >= 44
    page.close()
