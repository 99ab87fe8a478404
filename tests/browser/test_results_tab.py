"""Contract: a coordinator reads in the browser what the command line prints; leaving a rater out
changes it and is told; downloads are what they say; a pilot is marked; an open main study shows
nothing that unblinds, in the page or on its way there, and leads to the lock; whoever is not signed
in sees one sentence; tables have captions and headings and scroll within themselves on a phone.

With the variable MSDM_WRITE_SCREENSHOTS set, a rehearsed study is pictured for the documentation.
"""

import contextlib
import csv
import functools
import io
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Response, expect

from rating.__main__ import main
from rating.storage.database import Database, sqlite_url
from rating.study.studies import Studies
from tests.rating_browser import signed_in, watched_page
from tests.rating_study import ARMS, FINDINGS, enrol, invite
from tests.results_study import unsynced, write_answered_study
from tests.server import ROOT, running_app

SMALL = (3, 2, 3, 3)  # raters, arms, prompts, real images
IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 200_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("results") / "home"
    home.mkdir()
    return home


@pytest.fixture(scope="module")
def database(home: Path) -> Iterator[Database]:
    database = Database.open(sqlite_url(home))
    yield database
    database.close()


@pytest.fixture(scope="module")
def codes(database: Database) -> dict[str, str]:
    """The codes of studies that were answered to the end, by their titles."""
    write = write_answered_study
    return {
        "Locked": write(database, *SMALL, title="Locked"),
        "Still open": write(database, *SMALL, title="Still open", is_locked=False),
        "Pilot": write(database, *SMALL, title="Pilot", kind="pilot", is_locked=False),
    }


@pytest.fixture(scope="module")
def app_url(home: Path, codes: dict[str, str]) -> Iterator[str]:
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
    page.get_by_role("tab", name="Results").click()
    page.wait_for_selector("#results .s-studies")


def open_study(page: Page, title: str) -> None:
    page.locator("#results [data-action=go_study]", has_text=title).click()
    expect(page.locator("#results-top h2")).to_have_text(title)


def show_results(page: Page, title: str) -> None:
    """Opens the results of a study and waits until they are complete."""
    open_tab(page)
    open_study(page, title)
    page.wait_for_selector("#results-figures .x-figure")
    expect(page.locator("#results-live p")).to_have_count(0)


def cells_of(table: Locator) -> list[list[str]]:
    """Returns the texts of a table, its head first."""
    return table.evaluate(
        "table => [...table.rows].map(row => [...row.cells].map(cell => cell.textContent))"
    )


def main_table(page: Page) -> list[list[str]]:
    return cells_of(page.locator('[data-table="main"] table'))


@functools.cache
def printed(home: Path, *arguments: str) -> str:
    """Returns what a command prints."""
    with contextlib.redirect_stdout(io.StringIO()) as told:
        assert main([*arguments, "--home", str(home)]) == 0
    return told.getvalue()


def main_csv(home: Path, code: str, *more: str) -> list[list[str]]:
    """Returns the main table that the command line prints, without the study's columns."""
    rows = csv.reader(io.StringIO(printed(home, "stats", code, "--format", "csv", *more)))
    return [row[:-3] for row in rows]


def downloaded(page: Page, link: str | Locator) -> tuple[str, bytes]:
    """Presses a link and returns the name and the content of what comes."""
    if isinstance(link, str):
        link = page.locator("#results-side a[data-download]", has_text=link).first
    with page.expect_download() as download:
        link.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def said(page: Page) -> str:
    expect(page.locator("#results")).not_to_have_class(re.compile("s-busy"))
    return page.locator("#results-message").inner_text()


def test_who_is_not_signed_in_sees_one_sentence(browser: Browser, app_url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(app_url)
    page.get_by_role("tab", name="Results").click()
    expect(page.locator("#results")).to_contain_text("Sign in with the link")
    assert len(page.locator("#results").inner_text().strip().splitlines()) == 1
    assert page.locator("#results :is(button, a, table)").count() == 0
    config = context.request.get(f"{app_url}/config").text()
    context.close()
    assert "Still open" not in config


def test_an_open_main_study_tells_progress_and_leads_to_the_lock(
    page: Page, codes: dict[str, str]
) -> None:
    sent: list[str] = []

    def keep(response: Response) -> None:
        # Icons and styles have words of their own; everything else is what this page was sent.
        if response.request.resource_type in ("fetch", "xhr", "eventsource"):
            with contextlib.suppress(Exception):  # of a stream that goes on there is no body
                sent.append(response.text())

    page.on("response", keep)
    open_tab(page)
    open_study(page, "Still open")
    expect(page.locator("#results-main")).to_contain_text("Nothing is shown before the lock")
    name, content = downloaded(page, page.locator("#results-main a[data-download]"))
    assert name == f"study-{codes['Still open']}-progress.csv"
    page.wait_for_timeout(300)
    shown = page.locator("#results").inner_html()
    assert "R01" in shown and "R01" in content.decode()
    assert any("R01" in text for text in sent)
    for text in (shown, content.decode(), *sent):
        for secret in (*ARMS, *(arm.title() for arm in ARMS), *FINDINGS, "realism", "sha256"):
            assert secret not in text
    for region in ("figures", "details", "texts", "side", "nav"):
        assert page.locator(f"#results-{region} :is(section, form, nav)").count() == 0
    page.locator("[data-lock]").click()
    expect(page.locator('#study .s-steps [data-id="lock"]')).to_have_attribute(
        "aria-current", "page"
    )
    expect(page.locator("#study-top code")).to_have_text(codes["Still open"])


def test_results_are_those_of_the_command_line_with_and_without_a_rater(
    page: Page, home: Path, codes: dict[str, str]
) -> None:
    code = codes["Locked"]
    show_results(page, "Locked")
    assert main_table(page) == main_csv(home, code)
    expect(page.locator("#results-main")).to_contain_text("No rater is excluded.")
    for image in page.locator(".x-figure .x-light").all():
        image.scroll_into_view_if_needed()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        assert len(image.get_attribute("alt") or "") > 40

    # Without a reason nothing happens, and the page stays as it is.
    page.locator("[data-action=exclude]").click()
    assert "No rater has a reason" in said(page)
    assert main_table(page) == main_csv(home, code)

    page.locator('[name="reason-R02"]').fill("fell <i>asleep</i>")
    page.locator("[data-action=exclude]").click()
    expect(page.locator("#results-message")).to_contain_text("Computed without R02")
    without = main_csv(home, code, "--exclude", "R02=fell <i>asleep</i>")
    assert main_table(page) == without != main_csv(home, code)
    told = "R02 (fell <i>asleep</i>)"
    warnings = page.locator("#results-main .x-table, #results-details .x-table").evaluate_all(
        "tables => tables.map(table => table.querySelector('.s-warn')?.textContent ?? '')"
    )
    assert len(warnings) > 4 and all(told in warning for warning in warnings)
    expect(page.locator("#results-main .x-used")).to_contain_text("fell <i>asleep</i>")
    expect(page.locator("#results-live p")).to_have_count(0)

    name, content = downloaded(page, "Statistics, text")
    assert name == f"study-{code}-results.txt"
    exclude = ("--exclude", "R02=fell <i>asleep</i>")
    assert content.decode() == printed(home, "stats", code, *exclude)
    assert b"fell <i>asleep</i>" in downloaded(page, "Statistics, Markdown")[1]

    page.locator("[data-action=keep_all]").click()
    expect(page.locator("#results-message")).to_contain_text("Computed with all raters")
    assert main_table(page) == main_csv(home, code)


def test_downloads_are_what_they_say(page: Page, home: Path, codes: dict[str, str]) -> None:
    code = codes["Locked"]
    show_results(page, "Locked")
    name, content = downloaded(page, "Data, full")
    assert name == f"study-{code}-data-full.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {"ratings_long.csv", "remarks.csv", "dictionary.md"} <= set(archive.namelist())
    name, content = downloaded(page, "Data, public")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert "remarks.csv" not in archive.namelist()
    name, content = downloaded(page, page.locator('[data-table="main"] a[data-download]'))
    assert name == f"study-{code}-main.csv"
    assert content.decode() == printed(home, "stats", code, "--format", "csv")
    assert downloaded(page, page.locator(".x-figure a").first)[1].lstrip().startswith(b"<?xml")
    assert downloaded(page, page.locator(".x-figure a").nth(1))[1].startswith(b"\x89PNG")
    name, content = downloaded(page, "Capsule, public")
    assert name == f"study-{code}-public.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        told = archive.read("results/main_table.txt").decode()
    assert told.strip() in printed(home, "stats", code)
    assert printed(home, "methods", code) == downloaded(page, "Methods")[1].decode()


def test_a_pilot_is_marked_everywhere(page: Page, codes: dict[str, str]) -> None:
    show_results(page, "Pilot")
    headings = page.locator("#results :is(.s-card h2, .x-title b)").all_inner_texts()
    assert len(headings) > 12
    assert [each for each in headings if "PILOT" not in each and each.strip()] == []
    expect(page.locator("#results-top")).to_contain_text("PILOT")
    name, _ = downloaded(page, "Statistics, text")
    assert name == f"PILOT-study-{codes['Pilot']}-results.txt"


def test_tables_are_named_and_scroll_within_themselves_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    show_results(page, "Locked")
    for table in page.locator("#results [data-table] table").all():
        assert table.locator("caption").count() == 1
        assert table.locator("thead th:not([scope=col])").count() == 0
        assert table.locator("tbody tr").count() == table.locator("tbody th[scope=row]").count()
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]
    box = page.locator('[data-table="main"] .s-scroll')
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    box.focus()
    page.keyboard.press("ArrowRight")
    expect(box).to_be_focused()
    page.wait_for_function(
        "document.querySelector('[data-table=\"main\"] .s-scroll').scrollLeft > 0"
    )


# ---- pictures for the documentation ---------------------------------------------------------


@pytest.mark.skipif(
    "MSDM_WRITE_SCREENSHOTS" not in os.environ, reason="MSDM_WRITE_SCREENSHOTS is not set"
)
def test_pictures_of_a_rehearsed_study_are_written(
    page: Page, browser: Browser, app_url: str, home: Path, database: Database
) -> None:
    with unsynced(database):
        printed(home, "rehearse", "--title", "Rehearsal: three models of polyps")
    studies = Studies(database)
    code = next(each.code for each in studies.overview() if each.title.startswith("Rehearsal"))
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_role("tab", name="Study").click()
    page.locator(f'#study [data-action=go_study][data-id="{code}"]').click()
    page.wait_for_selector("#study .s-raters")
    shoot(page, "afternoon-study")
    show_results(page, "Rehearsal: three models of polyps")
    shoot(page, "afternoon-results")
    page.locator('[data-jump="x-part-figures"]').click()
    for image in page.locator(".x-figure .x-light").all()[:2]:
        image.evaluate("image => { image.loading = 'eager'; return image.decode(); }")
    shoot(page, "afternoon-figures")
    [(_, token)] = invite(database, code)
    enrol(database, token)
    rater = browser.new_context(viewport={"width": 1280, "height": 800})
    rater_page = rater.new_page()
    rater_page.goto(f"{app_url}/join/{token}")
    rater_page.locator("#enter").click()
    rater_page.locator(".r-article > .r-commit").click()
    expect(rater_page.locator(".r-frame.r-ready").first).to_be_visible()
    rater_page.locator("[data-code=origin] .r-point").nth(3).click()
    rater_page.locator("[data-code=realism] .r-point").nth(2).click()
    shoot(rater_page, "afternoon-rate")
    rater.close()


def shoot(page: Page, name: str) -> None:
    """Writes what is in sight as a small PNG."""
    page.wait_for_timeout(500)
    target = IMAGES / f"{name}.png"
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for colours in (128, 48, 24):  # as many as fit: drawn textures need room
        picture.quantize(colours, dither=Image.Dither.NONE).save(target, optimize=True)
        if target.stat().st_size < MOST_BYTES:
            return
    raise AssertionError(f"{target} has {target.stat().st_size} bytes, not under {MOST_BYTES}.")
