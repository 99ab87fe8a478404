"""Contract: a coordinator goes from images to locked studies in the browser: a quick study in three
clicks, a full one from a ZIP and a folder of real images, with every problem told at once and
nothing lost where something is wrong; whoever is not signed in sees one sentence; and no arm is on
the page from the opening to the lock.
"""

import dataclasses
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from data.study_inbox import StudyInbox, Submission
from tests.rating_browser import signed_in, watched_page
from tests.rating_study import draw
from tests.server import running_app
from tests.unit.test_study_inbox import generated

WIDTHS_PX = (390, 820, 1440)
PROMPTS = 6


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    draw(seed).resize((300, 300)).save(buffer, "PNG")
    return buffer.getvalue()


def zip_of(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def study_zip() -> bytes:
    """Returns a ZIP of two models' images of the same prompts, with its table."""
    lines, files = ["filename,arm,prompt,selection_rule,candidates"], {}
    for prompt in range(PROMPTS):
        for number, arm in enumerate(("zebra-model", "yak-model")):
            name = f"{arm}-{prompt}.png"
            files[name] = png(1000 * number + prompt)
            lines.append(f"{name},{arm},finding number {prompt},first_seed,1")
    return zip_of(files | {"images.csv": "\n".join(lines).encode()})


def write_real_folder(folder: Path) -> None:
    folder.mkdir()
    lines = ["filename,prompt"]
    for number in range(PROMPTS):
        draw(9000 + number).resize((320, 300)).save(folder / f"{number}.jpg", quality=90)
        lines.append(f"{number}.jpg,endoscopy of patient {number}")
    (folder / "real.csv").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a comparison of two models in the study inbox, and real images."""
    home = tmp_path_factory.mktemp("studies") / "home"
    home.mkdir()
    StudyInbox(home / "study_inbox").add([
        Submission(dataclasses.replace(generated(1, model), image=draw(number)),
                   "all_of_comparison", 1)
        for number, model in enumerate(("xenops-model", "wombat-model"))
    ])  # fmt: skip
    write_real_folder(home / "real")
    return home


@pytest.fixture(scope="module")
def app_url(home: Path) -> Iterator[str]:
    with running_app(home) as (url, _):
        yield url


@pytest.fixture(scope="module")
def coordinator(browser: Browser, app_url: str, home: Path) -> Iterator[BrowserContext]:
    with signed_in(browser, app_url, home) as context:
        yield context


@pytest.fixture
def page(coordinator: BrowserContext, app_url: str) -> Iterator[Page]:
    with watched_page(coordinator, app_url) as page:
        yield page


def open_tab(page: Page) -> None:
    page.get_by_role("tab", name="Study").click()
    page.wait_for_selector('[data-form="create"]')


def press(page: Page, action: str, *, yes: bool = False) -> None:
    page.locator(f'#study [data-action="{action}"]:visible').first.click()
    if yes:
        page.locator(".s-dialog .s-primary").click()


def said(page: Page) -> str:
    """Returns what the page says after it has answered."""
    expect(page.locator("#study")).not_to_have_class(re.compile("s-busy"))
    return page.locator("#study-message").inner_text()


def go(page: Page, screen: str) -> None:
    page.locator(f'.s-steps [data-id="{screen}"]').click()
    expect(page.locator(f'.s-steps [data-id="{screen}"]')).to_have_attribute("aria-current", "page")


def fill(page: Page, form: str, **values: str) -> None:
    for name, value in values.items():
        page.locator(f'[data-form="{form}"] [name="{name}"]').fill(value)


def test_who_is_not_signed_in_sees_one_sentence(browser: Browser, app_url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(app_url)
    page.get_by_role("tab", name="Study").click()
    expect(page.locator("#study")).to_contain_text("Sign in with the link")
    assert len(page.locator("#study").inner_text().strip().splitlines()) == 1
    assert page.locator("#study button").count() == 0
    context.close()
    config = httpx.get(f"{app_url}/config").text
    assert "xenops" not in config and "study_inbox" not in config


def test_three_clicks_lead_from_generated_images_to_a_raters_link(
    page: Page, browser: Browser
) -> None:
    page.get_by_role("tab", name="Study").click()
    expect(page.locator('[data-form="quick"] img')).to_have_count(2)
    for image in page.locator('[data-form="quick"] img').all():
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    press(page, "quick")
    link = page.locator(".s-links code").inner_text()
    page.locator(".s-links button", has_text="Copy").click()
    assert "default protocol" in said(page)
    expect(page.locator(".s-top .s-state-pilot")).to_be_visible()
    rater = browser.new_context()
    rater_page = rater.new_page()
    rater_page.goto(link)
    rater_page.locator("#enter").click()
    expect(rater_page.get_by_text("I have read this and agree")).to_be_visible()
    rater.close()
    press(page, "links_done")
    expect(page.locator(".s-links")).to_have_count(0)


def test_a_study_from_a_zip_and_a_folder_goes_from_draft_to_lock(
    page: Page, browser: Browser
) -> None:
    open_tab(page)
    fill(page, "create", title="Zoo of findings")
    press(page, "create")
    page.wait_for_selector('[data-form="harmonisation"]')

    # Bad uploads: everything that is wrong, and nothing taken.
    page.locator("summary", has_text="A ZIP file").click()
    bad = zip_of({"../out.png": png(1), "t.csv": b"filename,arm,prompt\nmissing.png,a,b\n"})
    upload(page, "bad.zip", bad)
    assert "leads out of the ZIP" in said(page)
    upload(page, "bad.zip", b"not a ZIP at all")
    assert "not a ZIP file" in said(page)
    expect(page.locator("#study-extra")).to_contain_text("No images yet")

    upload(page, "images.zip", study_zip())
    assert f"{2 * PROMPTS} images added" in said(page)
    page.locator("summary", has_text="A folder on the server").click()
    fill(page, "folder", folder="no-such-folder")
    page.locator('[data-form="folder"] [name="part"]').select_option("real")
    press(page, "add_folder")
    assert "does not exist" in said(page)
    assert page.locator('[data-form="folder"] [name="folder"]').input_value() == "no-such-folder"
    fill(page, "folder", folder="real")
    press(page, "add_folder")
    expect(page.locator("#study-message")).to_contain_text(f"{PROMPTS} images added")
    rows = page.locator("#study-extra tbody tr").all_inner_texts()
    assert [row.split("\t")[0] for row in rows] == ["zebra-model", "yak-model", "Real images"]

    # All problems at once; then each is solved.
    go(page, "check")
    stops = page.locator(".s-problems:not(.s-warnings) li")
    expect(page.locator('[data-action="open"]')).to_be_disabled()
    assert {"plan:", "identifiers:"} <= {text.split()[0] for text in stops.all_inner_texts()}

    go(page, "protocol")
    page.locator('[name="plan.reference_arm"]').fill("Real")
    page.locator('[name="repeat_share"]').fill("0.7")
    page.locator('[name="plan.estimand"]').fill("")
    press(page, "save_protocol")
    told = said(page)
    assert "repeat_share" in told and "plan.estimand" in told
    expect(page.locator('[name="repeat_share"]')).to_have_attribute("aria-invalid", "true")
    assert page.locator('[name="plan.reference_arm"]').input_value() == "Real"
    # Leaving now would lose what was typed: the page asks.
    page.locator('.s-steps [data-id="check"]').click()
    page.locator(".s-dialog button", has_text="Cancel").click()
    page.locator('[name="plan.reference_arm"]').fill("real")
    page.locator('[name="repeat_share"]').fill("0")
    page.locator('[name="plan.estimand"]').fill("Difference of means.")
    press(page, "save_protocol")
    expect(page.locator("#study-message")).to_contain_text("The protocol is saved")

    preview(page)
    go(page, "check")
    press(page, "attest")
    assert "Tick that you looked" in said(page)
    page.locator('[name="has_looked"]').check()
    fill(page, "attest", name="A. Tester")
    press(page, "attest")
    expect(page.locator("#study-main")).to_contain_text("Attested by A. Tester")
    expect(page.locator("#study-main")).to_contain_text("Nothing keeps this study from opening")
    press(page, "open", yes=True)
    page.wait_for_selector('[data-form="invite"]')

    fill(page, "invite", count="2")
    press(page, "invite")
    expect(page.locator(".s-links code")).to_have_count(2)
    link = page.locator(".s-links code").first.inner_text()
    watch(page, browser, link)
    lock(page)


def upload(page: Page, name: str, content: bytes) -> None:
    chosen = {"name": name, "mimeType": "application/zip", "buffer": content}
    page.locator('[data-form="zip"] input[type="file"]').set_input_files(chosen)
    number = page.locator(".s-message").get_attribute("data-number")
    press(page, "add_zip")
    expect(page.locator(".s-message")).not_to_have_attribute("data-number", number or "")


def preview(page: Page) -> None:
    """Goes through consent and both steps of an item as a rater would."""
    go(page, "preview")
    frame = page.frame_locator("iframe")
    frame.locator('[name="agreed"]').check()
    frame.locator('[name="independent"]').first.check()
    frame.get_by_role("button", name="Agree").click()
    frame.locator("select").select_option("Radiology")
    frame.locator('[name="years"]').fill("5")
    frame.get_by_role("button", name="Go on").click()
    frame.get_by_role("button", name="Start").click()
    expect(frame.locator(".r-question")).to_have_count(2)
    page.locator(".s-preview").evaluate("box => box.scrollIntoView({block: 'end'})")
    assert frame.locator("blockquote").count() == 0
    page.locator('[data-width="390"]').click()
    frame.locator(".r-question").nth(0).locator("label").first.click()
    frame.locator(".r-question").nth(1).locator("label").first.click()
    page.locator(".s-preview").evaluate("box => box.scrollIntoView({block: 'end'})")
    frame.locator(".r-commit").click()
    expect(frame.locator("blockquote")).to_contain_text("finding number")


def watch(page: Page, browser: Browser, link: str) -> None:
    """One rater comes in and the page tells so by itself; links are renewed and revoked."""
    rater = browser.new_context()
    rater_page = rater.new_page()
    rater_page.goto(link)
    rater_page.locator("#enter").click()
    rater_page.locator('[name="agreed"]').check()
    rater_page.locator('[name="independent"]').first.check()
    rater_page.get_by_role("button", name="Agree").click()
    expect(page.locator(".s-raters tbody tr").first).to_contain_text("consented")
    rater.close()
    page.locator('[data-key="revoke-R02"]').click()
    page.locator(".s-dialog .s-primary").click()
    expect(page.locator(".s-raters tbody tr").nth(1)).to_contain_text("revoked")
    page.locator('[data-key="renew-R02"]').click()
    page.locator(".s-dialog .s-primary").click()
    expect(page.locator(".s-links code")).to_have_count(1)
    press(page, "pause")
    expect(page.locator("#study-main")).to_contain_text("This study is paused")
    # What was typed elsewhere stays when the page is drawn again.
    fill(page, "extend", planned_raters="5", reason="one dropped out")
    press(page, "resume")
    expect(page.locator("#study-main")).not_to_contain_text("This study is paused")
    reason = page.locator('[data-form="extend"] [name="reason"]')
    expect(reason).to_have_value("one dropped out")
    press(page, "extend")
    expect(page.locator("#study-message")).to_contain_text("Version 2")
    content = re.sub(r'href="data:[^"]*"', "", page.content())
    assert "zebra-model" not in content and "yak-model" not in content


def lock(page: Page) -> None:
    go(page, "lock")
    expect(page.locator("#study-main")).to_contain_text("R02")
    press(page, "lock_facts")
    fill(page, "lock", title="Zoo")
    press(page, "lock")
    assert "Nothing was locked" in said(page)
    fill(page, "lock", title="Zoo of findings")
    press(page, "lock")
    assert re.fullmatch(r"[0-9a-f]{64}", page.locator("#s-root").inner_text())
    expect(page.locator("#study-main")).to_contain_text("zebra-model")
    press(page, "verify")
    assert "Everything is as it was" in said(page)


def test_a_draft_outlives_a_reload_and_is_deleted_when_asked(page: Page) -> None:
    open_tab(page)
    fill(page, "create", title="Short-lived")
    page.locator('[data-form="create"] [name="title"]').press("Enter")
    page.wait_for_selector('[data-form="harmonisation"]')
    page.reload()
    open_tab(page)
    page.get_by_role("button", name="Short-lived").click()
    press(page, "delete_draft", yes=True)
    expect(page.locator("#study-message")).to_contain_text("is deleted")
    expect(page.get_by_role("button", name="Short-lived")).to_have_count(0)


@pytest.mark.parametrize("width_px", WIDTHS_PX)
def test_no_screen_is_wider_than_its_window(page: Page, width_px: int) -> None:
    page.set_viewport_size({"width": width_px, "height": 900})
    open_tab(page)
    too_wide = "document.documentElement.scrollWidth - window.innerWidth"
    assert page.evaluate(too_wide) <= 0
    fill(page, "create", title=f"Width {width_px} with a title that goes on and on " + "x" * 90)
    press(page, "create")
    page.wait_for_selector('[data-form="harmonisation"]')
    page.locator('[data-form="inbox"] [data-tick="all"]').click()
    press(page, "add_inbox")
    expect(page.locator("#study-message")).to_contain_text("2 images added")
    for screen in ("images", "protocol", "preview", "check"):
        go(page, screen)
        assert page.evaluate(too_wide) <= 0, screen
    press(page, "delete_draft", yes=True)
    expect(page.locator("#study-message")).to_contain_text("is deleted")
