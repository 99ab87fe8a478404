"""Contract: the whole path, from images to the lock, as its people walk it.

Images are drawn by real models and by a folder of real ones; a study is built, raters are invited
and rate in Chromium, one of them on two devices; the blinding audit passes on it and fails with
each planted leak; the study is locked, and only then are arms named.
"""

import csv
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from rating.errors import UnblindingError
from rating.storage.database import Database, sqlite_url
from rating.study.lookup import find_study
from rating.study.unblinding import arms
from tests.drawings import write_dataset
from tests.leaky_app import LEAKS, SWITCH
from tests.rating_browser import LAPTOP, PHONE, RatingServer, Seat, rated
from tests.server import ROOT, clean_environment, offer_checkpoint, running_app
from tests.tiny_model import write_tiny_checkpoint

SIZE_PX = 64
PROMPTS = (
    "a polyp in the upper left", "a polyp in the lower right", "ulcerative colitis",
    "oesophagitis", "a polyp snare", "biopsy forceps", "the caecum", "no findings",
)  # fmt: skip
REALS, PRACTICE = 6, 1
# 18 main items and 2 hidden repeats: twenty to rate.
PROTOCOL = """
items_per_rater = 18
repeat_share = 0.1
washout_items = 6
practice_items = 1
session_items = 14
planned_raters = 3

[plan]
primary_question = "realism"
reference_arm = "real"
equivalence_margin = 0.5
holm_family = ["realism"]
"""


def run(*arguments: str, status: int = 0) -> str:
    """Returns what a command of ours prints, after checking its exit status."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
        env=clean_environment(), timeout=400,
    )  # fmt: skip
    assert done.returncode == status, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def write_real_folders(place: Path) -> None:
    """Writes folders of pictures as a hospital would hand them over: JPEG, with a table."""
    dataset = write_dataset(place / "dataset")
    with (dataset / "prompt-gt.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    captions = {row["Filename"]: row["Prompt"] for row in rows}
    names = sorted(captions)
    (found,) = {path.parent for path in dataset.rglob("*") if path.stem == Path(names[0]).stem}
    files = {path.stem: path for path in found.iterdir()}
    for folder, chosen in (
        ("real", names[:REALS]), ("practice", names[REALS : REALS + PRACTICE])
    ):  # fmt: skip
        (place / folder).mkdir()
        lines = ["filename,prompt"]
        for name in chosen:
            source = files[Path(name).stem]
            (place / folder / source.name).write_bytes(source.read_bytes())
            lines.append(f'{source.name},"{captions[name]}"')
        (place / folder / "images.csv").write_text("\n".join(lines), encoding="utf-8")


def build_study(place: Path, checkpoint: Path) -> str:
    """Returns the code of a study built with the commands that the documentation gives."""
    home = place / "home"
    other = write_tiny_checkpoint(place / "other", seed=1)
    offer_checkpoint(home, checkpoint, SIZE_PX, ["tiny-a"])
    catalogue = (home / "catalogue.toml").read_text(encoding="utf-8")
    offer_checkpoint(home, other, SIZE_PX, ["tiny-b"])
    with (home / "catalogue.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n{catalogue}")
    (place / "prompts.txt").write_text("\n".join(PROMPTS), encoding="utf-8")
    (place / "protocol.toml").write_text(PROTOCOL, encoding="utf-8")
    write_real_folders(place)
    run("msdm_core", "generate", "--prompts", str(place / "prompts.txt"), "--models",
        "tiny-a,tiny-b", "--seeds", "3,4", "--steps", "2", "--home", str(home), "--out",
        str(place / "batch"))  # fmt: skip
    made = run(
        "rating", "create", "Whole path", "--manifest", str(place / "batch" / "manifest.csv"),
        "--real", str(place / "real"), "--practice", str(place / "practice"), "--protocol",
        str(place / "protocol.toml"), "--size-px", str(SIZE_PX), "--seed", "7", "--home", str(home),
    )  # fmt: skip
    (study,) = [line for line in json.loads(run("rating", "list", "--json", "--home", str(home)))]
    code = study["code"]
    assert code in made
    run("rating", "attest", code, "--by", "A. Tester", "--home", str(home))
    run("rating", "check", code, "--home", str(home))
    run("rating", "open", code, "--home", str(home))
    return str(code)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


class BuiltServer(RatingServer):
    """The application over the workspace that the study was built in, leaks switchable."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.study = ""

    def start(self) -> None:
        context = running_app(self.home, program=("-m", "tests.leaky_app"))
        self.url, self._process = self._running.enter_context(context)


@pytest.fixture(scope="module")
def server(place: Path, tiny_checkpoint: Path) -> Iterator[BuiltServer]:
    code = build_study(place, tiny_checkpoint)
    built = BuiltServer(place / "home")
    try:
        built.study = code
        built.start()
        yield built
    finally:
        built.close()


def join(seat: Seat) -> None:
    """Goes through consent and profile, as a rater does at the first visit."""
    seat.join()
    page = seat.page
    page.check("input[name=agreed]")
    page.check("input[name=independent][value=yes]")
    page.click(".r-article .r-commit")
    page.select_option("select[name=specialty]", "Gastroenterology")
    page.fill("input[name=years]", "12")
    page.click(".r-article .r-commit")
    page.click(".r-article .r-commit")  # the instructions
    seat.ready()


def rate(seat: Seat, most: int | None = None) -> int:
    """Rates up to `most` items and returns how many, pauses taken."""
    count = 0
    while most is None or count < most:
        page = seat.page
        page.wait_for_selector(".r-app[data-screen=item] .r-frame.r-ready, .r-article h1")
        if page.locator(".r-app").get_attribute("data-screen") == "page":
            if page.locator("textarea[name=remark]").count():
                return count
            page.click(".r-article .r-commit")  # practice is over, or a pause
            continue
        seat.step_one(1 + count % 6, 1 + count % 5)
        seat.step_two(1 + (count + 2) % 5)
        count += 1
    return count


def test_the_whole_path(server: BuiltServer, browser: Browser, place: Path):
    home, code = str(server.home), server.study
    told = json.loads(
        run("rating", "invite", code, "--count", "3", "--base-url", server.url, "--json", "--home",
            home)
    )  # fmt: skip
    links = [each["link"].rsplit("/", 1)[1] for each in told["links"]]
    assert len(set(links)) == 3

    for link in links[:2]:
        seat = Seat(browser, server, link, LAPTOP)
        join(seat)
        assert rate(seat) == PRACTICE + 20
        seat.page.click(".r-article .r-commit")
        seat.page.wait_for_selector("text=Thank you")
        seat.close()

    first_device = Seat(browser, server, links[2], LAPTOP)
    join(first_device)
    rate(first_device, PRACTICE + 7)
    second_device = Seat(browser, server, links[2], PHONE, has_touch=True, is_mobile=True)
    second_device.begin()
    second_device.count_is("Item 8 of 20")
    assert rate(second_device) == 13
    second_device.page.click(".r-article .r-commit")
    second_device.page.wait_for_selector("text=Thank you")
    second_device.close()
    first_device.page.reload()
    first_device.page.wait_for_selector("text=Thank you")
    first_device.close()

    for rater in ("R01", "R02", "R03"):
        items = rated(server, code, rater)
        assert Counter(item.kind for item in items) == {"practice": 1, "main": 18, "repeat": 2}
        assert all(item.is_submitted and len(item.answers) == 3 for item in items)
        assert all(item.submissions == 2 for item in items)
    progress = json.loads(run("rating", "progress", code, "--json", "--home", home))
    assert [rater["done"] for rater in progress["raters"]] == [20, 20, 20]
    assert "tiny" not in json.dumps(progress)
    assert progress["most_exposure"] - progress["least_exposure"] <= 1


def test_the_audit_passes_on_it_over_http_and_in_chromium(server: BuiltServer, chromium: str):
    said = run("rating", "audit-blinding", server.study, "--base-url", server.url, "--chromium",
               chromium, "--home", str(server.home))  # fmt: skip
    assert "passed" in said and "http and chromium" in said
    assert all(arm in said for arm in ("tiny-a", "tiny-b", "real"))


@pytest.mark.parametrize("leak", LEAKS)
def test_the_audit_fails_on_it_with_a_leak(server: BuiltServer, leak: str):
    (server.home / SWITCH).write_text(leak)
    said = run("rating", "audit-blinding", server.study, "--base-url", server.url, "--http-only",
               "--home", str(server.home), status=1)  # fmt: skip
    (server.home / SWITCH).unlink()
    assert "FAILED" in said


def test_the_lock_ends_it_and_names_the_arms(
    server: BuiltServer, browser: Browser, tmp_path: Path
):
    home, code = str(server.home), server.study
    database = Database.open(sqlite_url(server.home))
    with database.read() as session, pytest.raises(UnblindingError):
        arms(session, find_study(session, code))
    said = run("rating", "lock", code, "--confirm", "Whole path", "--home", home)
    with database.read() as session:
        study = find_study(session, code)
        assert study.root_hash and study.root_hash in said
        assert [arm.code for arm in arms(session, study)] == ["tiny-a", "tiny-b", "real"]
    database.close()
    run("rating", "export", code, "--out", str(tmp_path / "data"), "--no-excel", "--home", home)
    with (tmp_path / "data" / "ratings_long.csv").open(encoding="utf-8", newline="") as file:
        answers = [row for row in csv.DictReader(file) if row["item_kind"] != "practice"]
    # Three raters, twenty items, three questions; the raters of the audits are not among them.
    assert len(answers) == 3 * 20 * 3
    assert {row["arm"] for row in answers} == {"tiny-a", "tiny-b", "real"}
    run("rating", "verify", code, "--home", home)
    run("rating", "lock", code, "--confirm", "Whole path", "--home", home, status=2)
