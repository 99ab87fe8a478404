"""Contract: every download of results is for coordinators alone, and of a main study only after its
lock, but for the progress; what comes is whole, never kept by caches, told to be a pilot's where it
is, and nothing of it is left on the server.
"""

import csv
import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from fastapi.testclient import TestClient

from rating.results_routes import results_url
from rating.service import RatingService
from tests.rating_server import TOKEN, application, browser, rating_service
from tests.rating_study import ARMS, invite, write_draft
from tests.results_study import write_answered_study

SMALL: Final = (3, 2, 3, 3)  # raters, arms, prompts, real images
STATES: Final = ("draft", "open", "paused", "locked", "pilot", "locked pilot")
PROGRESS: Final = "progress.csv"
# Every download, with what it is sent as.
DOWNLOADS: Final = {
    PROGRESS: "text/csv",
    "export.zip": "application/zip",
    "export.zip?variant=public": "application/zip",
    "data/ratings_long.csv": "text/csv",
    "data/ratings_long.csv?variant=public": "text/csv",
    "tables/main.csv": "text/csv",
    "figures/forest.svg": "image/svg+xml",
    "figures/forest.png?theme=dark": "image/png",
    "methods.md": "text/markdown",
    "results.md": "text/markdown",
    "results.txt": "text/plain",
    "capsule.zip": "application/zip",
    "capsule.zip?variant=public": "application/zip",
}
ROLES: Final = ("nobody", "rater", "generator", "past rater")


class Place:
    """Routes over a study in each state, and a browser for each role."""

    def __init__(self, service: RatingService) -> None:
        database, studies = service.database, service.studies
        self.service = service
        self.codes = {
            "draft": write_draft(database),
            "open": write_answered_study(database, *SMALL, is_locked=False),
            "paused": write_answered_study(database, 1, 2, 3, 3, is_locked=False),
            "locked": write_answered_study(database, *SMALL),
            "pilot": write_answered_study(database, *SMALL, kind="pilot", is_locked=False),
            "locked pilot": write_answered_study(database, 2, 2, 3, 3, kind="pilot"),
        }
        self.rater_link = invite(database, self.codes["open"])[0][1]
        past = write_answered_study(database, 1, 2, 3, 3, is_locked=False, title="Past")
        self.past_link = invite(database, past)[0][1]
        self.app = application(service)
        self.browsers = {role: browser(self.app) for role in (*ROLES, "coordinator")}
        self.enter("rater", f"/join/{self.rater_link}")
        self.enter("past rater", f"/join/{self.past_link}")
        self.enter("generator", "/generate-access/generate-token-of-the-tests")
        self.enter("coordinator", f"/coordinator/{TOKEN}")
        studies.lock(past, "Past")
        studies.pause(self.codes["paused"])

    def enter(self, role: str, path: str) -> None:
        assert self.browsers[role].post(path).status_code == 303

    @property
    def coordinator(self) -> TestClient:
        return self.browsers["coordinator"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("routes") / "home"
    with rating_service(home, generate_token="generate-token-of-the-tests") as service:
        yield Place(service)


@pytest.fixture(autouse=True)
def nothing_left(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Holds that no download leaves anything on the disk of the server."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.glob("msdm-*")) == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("state", STATES)
def test_downloads_are_for_coordinators_alone(place: Place, state: str, role: str):
    for name in DOWNLOADS:
        answer = place.browsers[role].get(f"/results/{place.codes[state]}/{name}")
        assert answer.status_code in (401, 403), name
        assert answer.headers["cache-control"] == "no-store"
        assert set(answer.json()) == {"error"}


@pytest.mark.parametrize("state", STATES)
def test_a_coordinator_gets_what_the_state_of_the_study_allows(place: Place, state: str):
    is_told = state in ("locked", "pilot", "locked pilot")
    for name, kind in DOWNLOADS.items():
        answer = place.coordinator.get(f"/results/{place.codes[state]}/{name}")
        assert answer.headers["cache-control"] == "no-store", name
        if not is_told and name != PROGRESS:
            assert answer.status_code == 409, name
            assert not any(arm in answer.text for arm in (*ARMS, "sha256")), name
            continue
        assert answer.status_code == 200, (name, answer.text[:200])
        assert answer.headers["content-type"].split(";")[0] == kind
        assert answer.content
        told = answer.headers["content-disposition"]
        if name != PROGRESS or is_told:
            assert ("PILOT-" in told) == ("pilot" in state), name


def test_before_the_lock_the_message_says_how_to_lock(place: Place):
    answer = place.coordinator.get(f"/results/{place.codes['open']}/export.zip")
    assert f"python -m rating lock {place.codes['open']}" in answer.json()["error"]["message"]


def test_progress_before_the_lock_tells_no_arm_and_no_value(place: Place):
    text = place.coordinator.get(f"/results/{place.codes['open']}/{PROGRESS}").text
    assert "R01" in text
    for word in (*ARMS, "real", "realism", "sha256", "prompt", "value"):
        assert word not in text


def test_what_is_downloaded_is_what_the_command_line_writes(place: Place, tmp_path: Path):
    code, results = place.codes["locked"], place.service.results
    zipped = place.coordinator.get(f"/results/{code}/export.zip").content
    assert zipped == results.export_zip(code, tmp_path / "x.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        alone = place.coordinator.get(f"/results/{code}/data/ratings_long.csv").content
        assert archive.read("ratings_long.csv") == alone
    assert place.coordinator.get(f"/results/{code}/results.txt").text == (
        results.computed(code).text
    )
    capsule = place.coordinator.get(f"/results/{code}/capsule.zip").content
    results.capsule(code, tmp_path / "capsule.zip")
    assert capsule == (tmp_path / "capsule.zip").read_bytes()


def test_every_table_is_there_and_states_who_is_left_out(place: Place):
    code, excluded = place.codes["locked"], {"R02": "a=b & c; ü"}
    found = place.service.results.computed(code, excluded)
    assert found.tables
    for table in (*found.tables, *found.checklists):
        url = results_url(code, f"tables/{table.name}.csv", excluded=excluded)
        rows = list(csv.reader(io.StringIO(place.coordinator.get(url).text)))
        assert rows[0][: len(table.columns)] == list(table.columns)
        assert all(row[-1] == "R02 (a=b & c; ü)" for row in rows[1:])
    for name in ("results.txt", "results.md", "methods.md"):
        text = place.coordinator.get(results_url(code, name, excluded=excluded)).text
        assert "R02" in text and "a=b & c; ü" in text, name


@pytest.mark.parametrize(
    ("path", "status"),
    [("results/LOCKED/tables/nosuch.csv", 404), ("results/LOCKED/figures/nosuch.svg", 404),
     ("results/LOCKED/figures/forest.pdf", 404), ("results/LOCKED/data/nosuch.csv", 404),
     ("results/LOCKED/data/..%2f..%2fetc%2fpasswd.csv", 404),
     ("results/LOCKED/export.zip?variant=secret", 404),
     ("results/LOCKED/figures/forest.svg?theme=sepia", 404), ("results/nosuch/results.txt", 404),
     ("results/LOCKED/results.txt?exclude=R99%3Dlate", 409),
     ("results/LOCKED/results.txt?exclude=R02", 409)],
)  # fmt: skip
def test_what_is_not_there_is_told_in_words(place: Place, path: str, status: int):
    answer = place.coordinator.get("/" + path.replace("LOCKED", place.codes["locked"]))
    assert answer.status_code == status
    assert "reference" not in answer.text


def test_a_download_that_breaks_off_leaves_nothing(place: Place):
    url = f"/results/{place.codes['locked']}/export.zip"
    with place.coordinator.stream("GET", url) as answer:
        assert answer.status_code == 200  # closed before it is read


def test_another_site_cannot_embed_a_figure(place: Place):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    url = f"/results/{place.codes['locked']}/figures/forest.svg"
    assert place.coordinator.get(url, headers=headers).status_code == 403
