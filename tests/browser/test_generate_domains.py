"""Contract: the Generate tab offers examples, prompt builder and terms of the chosen models'
domain, and says plainly where models of two domains are chosen together.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from data.domains import RADIOLOGY
from data.radiology.reading import read_facts
from data.trained_terms import count_terms, write_trained_terms
from tests.browser.conftest import PATIENCE_MS, TINY_SIZE_PX, WatchedPage
from tests.server import offer_checkpoint, running_app
from tests.tiny_model import write_tiny_checkpoint

ENTRY = """
[[model]]
id = "rays"
family = "msdm"
label = "Rays MSDM"
path = "{path}"
licence = "CC BY 4.0"
native_size_px = {size_px}
domain = "radiology"
"""
PROMPT = "chest X-ray, pneumonia, polyp"


@pytest.fixture(scope="module")
def two_domains(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[str]:
    """Address of an app with a tiny model of endoscopy and one of radiology."""
    folder = tmp_path_factory.mktemp("domains")
    rays = write_tiny_checkpoint(folder / "rays")
    stated = [read_facts("Chest X-ray, pneumonia")] * 30
    write_trained_terms(rays, count_terms(stated, RADIOLOGY), RADIOLOGY)
    offer_checkpoint(folder / "home", tiny_checkpoint, TINY_SIZE_PX)
    catalogue = folder / "home" / "catalogue.toml"
    entry = ENTRY.format(path=rays.as_posix(), size_px=TINY_SIZE_PX)
    catalogue.write_text(catalogue.read_text(encoding="utf-8") + entry, encoding="utf-8")
    with running_app(folder / "home") as (url, _):
        yield url


@pytest.fixture
def page(browser: Browser, two_domains: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    watched = WatchedPage(context.new_page())
    watched.page.goto(two_domains)
    watched.page.wait_for_selector("#generate-button")
    yield watched.page
    context.close()
    assert watched.complaints == []
    assert watched.foreign == []


def tick(page: Page, label: str, is_ticked: bool) -> None:
    page.locator("#models").get_by_label(label).set_checked(is_ticked)


def test_at_first_the_models_of_one_domain_are_ticked_with_their_aids(page: Page):
    models = page.locator("#models")
    expect(models.get_by_label("Tiny MSDM")).to_be_checked()
    expect(models.get_by_label("Rays MSDM")).not_to_be_checked()
    expect(page.locator("#builder-endoscopy")).to_be_visible()
    expect(page.locator("#builder-radiology")).to_be_hidden()


def test_a_model_of_radiology_brings_its_examples_builder_and_terms(page: Page):
    tick(page, "Rays MSDM", True)
    tick(page, "Tiny MSDM", False)
    expect(page.locator("#builder-endoscopy")).to_be_hidden()
    page.get_by_role("button", name="Build a prompt, radiology").click()
    page.locator("#builder-radiology").get_by_label("Sex").click()
    page.get_by_role("option", name="female").click()
    page.locator("#build-button-radiology").click()
    expect(page.locator("#prompt textarea")).to_have_value("Image of a woman.")
    page.locator("#examples-radiology button").first.click()
    expect(page.locator("#prompt textarea")).to_have_value(re.compile("radiograph|ultrasound"))
    page.locator("#prompt textarea").fill(PROMPT)
    terms = page.locator("#terms")
    expect(terms.locator(".m-term-ignored")).to_have_text(["polyp"])
    expect(terms.locator(".m-term:not(.m-term-ignored)")).to_have_text(
        ["chest", "X-ray", "pneumonia"]
    )
    expect(terms.locator(".m-domains")).to_have_count(0)


def test_two_domains_together_are_named_as_such(page: Page):
    tick(page, "Rays MSDM", True)
    page.locator("#prompt textarea").fill(PROMPT)
    note = page.locator("#terms .m-domains")
    expect(note).to_contain_text("Tiny MSDM: GI endoscopy; Rays MSDM: radiology")
    expect(note).to_contain_text("A prompt belongs to one of them")
    expect(page.locator("#builder-endoscopy")).to_be_visible()
    expect(page.locator("#builder-radiology")).to_be_visible()
    tick(page, "Tiny MSDM", False)
    expect(note).to_have_count(0)
