"""Contract: in a real browser a prompt becomes a downloaded PNG that tells how it was made; jobs
outlive a reload, can be cancelled and used again; nothing complains and nothing calls home.
"""

import io
import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from data.provenance import read_provenance
from tests.browser.conftest import PATIENCE_MS, WatchedPage

FIRST_IMAGE_MS = 300_000  # loads torch
NEXT_IMAGE_MS = 120_000
SLOW_STEPS = 200
PROMPT = "a polyp in the lower right, zyzzyva"


def fill(page: Page, name: str, value: object) -> None:
    page.locator(f"#{name} input").fill(str(value))


def ask(page: Page, prompt: str = PROMPT, steps: int = 2, count: int = 1) -> None:
    page.locator("#prompt textarea").fill(prompt)
    fill(page, "steps", steps)
    fill(page, "count", count)
    page.locator("#generate-button").click()


def wait_for(page: Page, status: str, timeout_ms: int = FIRST_IMAGE_MS) -> str:
    """Waits until the shown job has this status; returns its id."""
    job = page.locator(f'.m-job[data-status="{status}"]')
    expect(job).to_be_visible(timeout=timeout_ms)
    return str(job.get_attribute("data-job"))


def shown_seed(page: Page) -> int:
    return int(page.locator("#seed input").input_value())


def test_a_prompt_becomes_a_downloaded_png_that_tells_how_it_was_made(
    watched: WatchedPage, tmp_path: Path
):
    page = watched.page
    expect(page.locator(".m-empty")).to_be_visible()
    ask(page)
    wait_for(page, "done")
    expect(page.locator(".m-notice")).to_contain_text("Synthetic images. Not for diagnosis.")
    expect(page.locator(".m-notice")).to_contain_text("CC BY-NC 4.0")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download PNG", exact=True).click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.suffix == ".png"
    assert "polyp" in path.name
    found = read_provenance(path)
    assert found is not None
    assert (found.prompt, found.steps, found.model_id) == (PROMPT, 2, "tiny")
    assert found.seed == shown_seed(page)
    assert f"{found.seed}" in page.locator(".m-card figcaption").inner_text()
    cost = page.locator(".m-cost").inner_text()
    assert "2 steps" in cost and "FLOP" in cost and "parameters" in cost


def test_terms_are_sorted_into_known_and_ignored_while_typing(watched: WatchedPage):
    watched.page.locator("#prompt textarea").press_sequentially(PROMPT)
    terms = watched.page.locator("#terms")
    expect(terms.locator(".m-term-ignored")).to_have_text(["zyzzyva"])
    expect(terms.locator(".m-term:not(.m-term-ignored)")).to_contain_text(["polyp", "lower right"])


def test_a_reload_in_mid_job_shows_the_job_again_and_its_end(watched: WatchedPage):
    page = watched.page
    ask(page, steps=SLOW_STEPS, count=8)
    job_id = wait_for(page, "running")
    page.reload()
    expect(page.locator(f'.m-job[data-job="{job_id}"]')).to_be_visible(timeout=NEXT_IMAGE_MS)
    expect(page.locator("[role=progressbar]")).to_be_visible()
    assert wait_for(page, "done") == job_id
    expect(page.locator(".m-card")).to_have_count(8)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all").click()
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        seeds = [read_provenance(archive.read(name)).seed for name in names]
    assert seeds[1] == (seeds[0] + 1) % 2**32


def test_a_running_job_shows_a_preview_and_is_cancelled_at_its_next_step(watched: WatchedPage):
    page = watched.page
    ask(page, steps=SLOW_STEPS, count=8)
    wait_for(page, "running")
    expect(page.locator("img.m-preview").first).to_be_visible(timeout=NEXT_IMAGE_MS)
    page.locator("#cancel-button").click()
    wait_for(page, "cancelled", NEXT_IMAGE_MS)
    expect(page.locator("#cancel-button")).to_be_disabled()
    ask(page)
    wait_for(page, "done", NEXT_IMAGE_MS)


def test_a_second_job_waits_for_the_first_and_both_are_done(watched: WatchedPage):
    page = watched.page
    ask(page, prompt="first polyp", steps=SLOW_STEPS, count=4)
    first = wait_for(page, "running")
    ask(page, prompt="second polyp")
    second = wait_for(page, "done")
    assert second != first
    page.locator(f'#history [data-id="{first}"]').click()
    done = page.locator(f'.m-job[data-job="{first}"][data-status="done"]')
    expect(done).to_be_visible(timeout=NEXT_IMAGE_MS)


def test_an_earlier_image_gives_its_settings_back_and_the_same_picture_again(
    watched: WatchedPage,
):
    page = watched.page
    ask(page, prompt="a polyp", steps=3)
    first = wait_for(page, "done")
    seed = shown_seed(page)
    source = page.locator(".m-card img.m-image").get_attribute("src")
    ask(page, prompt="an instrument", steps=2)
    expect(page.locator(f'.m-job[data-job="{first}"]')).to_have_count(0)
    wait_for(page, "done", NEXT_IMAGE_MS)
    assert shown_seed(page) != seed
    page.reload()
    page.locator(f'#history [data-id="{first}"]').click()
    expect(page.locator(f'.m-job[data-job="{first}"]')).to_be_visible()
    page.get_by_role("button", name="Reuse settings").click()
    expect(page.locator("#prompt textarea")).to_have_value("a polyp")
    expect(page.locator("#steps input")).to_have_value("3")
    expect(page.locator("#seed input")).to_have_value(str(seed))
    expect(page.locator("#keep input")).to_be_checked()
    page.locator("#generate-button").click()
    expect(page.locator(f'.m-job[data-job="{first}"]')).to_have_count(0)
    wait_for(page, "done", NEXT_IMAGE_MS)
    assert shown_seed(page) == seed
    again = page.locator(".m-card img.m-image").get_attribute("src")
    assert again != source
    assert pixels(page, again) == pixels(page, source)


def pixels(page: Page, source: str | None) -> list[int]:
    """Returns the pixels of an image as the browser decodes them."""
    script = """async (source) => {
      const image = new Image(); image.src = source; await image.decode();
      const canvas = document.createElement('canvas');
      canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
      const context = canvas.getContext('2d'); context.drawImage(image, 0, 0);
      return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data);
    }"""
    found: list[int] = page.evaluate(script, source)
    return found


def test_older_jobs_are_shown_a_page_at_a_time(watched: WatchedPage):
    past = watched.page.locator("#history .m-past")
    expect(past).to_have_count(12)
    watched.page.get_by_role("button", name="Show older").click()
    expect(past).to_have_count(24)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("steps", "1000", "1 to 200"), ("count", "9", "1 to 8"), ("seed", "-4", "Seed cannot be -4")],
)
def test_a_wrong_value_is_answered_beside_the_button(
    watched: WatchedPage, name: str, value: str, said: str
):
    page = watched.page
    page.locator("#prompt textarea").fill("a polyp")
    fill(page, name, value)
    if name == "seed":
        expect(page.locator("#keep input")).to_be_checked()
    page.locator("#generate-button").click()
    expect(page.locator("#alert [role=alert]")).to_contain_text(said)


def test_an_empty_and_a_far_too_long_prompt_are_answered(watched: WatchedPage):
    page = watched.page
    page.locator("#generate-button").click()
    alert = page.locator("#alert [role=alert]")
    expect(alert).to_contain_text("The prompt is empty")
    page.locator("#prompt textarea").fill("polyp " * 1667)
    page.locator("#generate-button").click()
    expect(alert).to_contain_text("2,000")


def test_markup_in_a_prompt_is_shown_as_text(watched: WatchedPage):
    page = watched.page
    typed = '<img src=x onerror="window.hurt=1"> ${window.hurt=1} {{hurt}}'
    ask(page, prompt=typed)
    wait_for(page, "done")
    expect(page.locator(".m-prompt")).to_have_text(typed)
    assert page.evaluate("window.hurt") is None


def test_a_built_prompt_is_put_into_the_box(watched: WatchedPage):
    page = watched.page
    page.get_by_role("button", name="Build a prompt, GI endoscopy").click()
    page.get_by_label("Procedure").click()
    page.get_by_role("option", name="gastroscopy").click()
    page.locator("#build-button-endoscopy").click()
    expect(page.locator("#prompt textarea")).to_have_value(re.compile("gastroscopy"))


def test_the_keyboard_alone_is_enough(watched: WatchedPage):
    page = watched.page
    page.locator("#prompt textarea").focus()
    page.keyboard.type("a polyp")
    for _ in range(40):  # past the models and the numbers
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "generate-button":
            break
    page.keyboard.press("Enter")
    job_id = wait_for(page, "done")
    past = page.locator(f'#history [data-id="{job_id}"]')
    past.focus()
    page.keyboard.press("Enter")
    expect(past).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("width_px", [1440, 820, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(
    browser: Browser, app_url: str, width_px: int, scheme: str
):
    context = browser.new_context(
        viewport={"width": width_px, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(app_url)
    page.locator("#generate-button").wait_for()
    page.locator("#history .m-past, #history .m-quiet").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px
    is_dark = page.evaluate("document.body.classList.contains('dark')")
    assert is_dark == (scheme == "dark")
    context.close()
