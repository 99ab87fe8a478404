"""Contract: whoever follows docs/afternoon.md to the letter gets from a clone to a capsule of a
rehearsed study, and to one of a study with people: every command of the page runs as written, in
the order of the page, and the capsule's own script prints the main table of the results again.

Three things stand in for what the page leaves to its reader: generated images are drawn, the raters
who got a link answer by themselves, and the running app has a free port and no browser to audit it.
"""

import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import event
from sqlalchemy.pool import Pool

from data.manifest import IMAGE_FOLDER, MANIFEST_FILE, ManifestRow, write_manifest
from data.provenance import pixel_sha256
from rating.__main__ import main
from rating.results.results import Results
from rating.storage.database import Database, sqlite_url
from rating.study.simulated_rater import SimulatedRater
from rating.study.studies import Studies
from tests.rating_study import draw
from tests.results_study import answer_as, truth_of
from tests.server import running_app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "afternoon.md").read_text(encoding="utf-8")
CODE = "k3x8w2pq"  # wherever the page says so, the reader puts in the code that was printed
MADE = re.compile(r"Study (\w{8}) is a (?:rehearsal|draft)")
LINK = re.compile(r"^(R\d+)  \S+/join/([\w-]{43})$", re.MULTILINE)
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)

pytestmark = pytest.mark.slow


def steps() -> Iterator[tuple[str, str]]:
    """Yields the kind and the text of each block, those of a shell line by line."""
    for kind, text in BLOCK.findall(PAGE):
        if kind != "sh":
            yield kind, text
            continue
        yield from (("sh", line) for line in text.splitlines() if line.strip())


class Reader:
    """Does what the page says, in a folder that is a clone to it."""

    def __init__(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.folder, self._capsys, self._monkeypatch = folder, capsys, monkeypatch
        self.codes: list[str] = []
        self.printed: list[tuple[str, str]] = []

    @property
    def database(self) -> Database:
        return Database.open(sqlite_url(self.folder / "afternoon"))

    def do(self, kind: str, text: str) -> None:
        if kind == "csv":
            (self.folder / "prompts.csv").write_text(text, encoding="utf-8")
        elif kind == "toml":
            self._uncomment(text)
        else:
            assert kind == "sh"
            self._run(text)

    def _uncomment(self, text: str) -> None:
        path = self.folder / "protocol.toml"
        written = path.read_text(encoding="utf-8")
        for line in text.splitlines():
            assert f"# {line}\n" in written
            written = written.replace(f"# {line}\n", f"{line}\n")
        path.write_text(written, encoding="utf-8")

    def _run(self, line: str) -> None:
        program, arguments = self._parsed(line)
        if program == "export":
            name, _, value = arguments[0].partition("=")
            self._monkeypatch.setenv(name, value)
            return
        if program == "python app.py":
            with running_app(self.folder / "afternoon"):
                return  # it came up and answers
        if program == "python -m msdm_core":
            assert arguments[-2:] == ["--out", "batch"]
            write_batch(self.folder / "batch", self.folder / "prompts.csv")
            write_folder(self.folder / "real", 300, 8, "real finding")
            write_folder(self.folder / "practice", 400, 3, "practice finding")
            return
        if program != "python -m rating":
            done = subprocess.run(
                [sys.executable, *arguments], cwd=self.folder, capture_output=True, text=True,
                check=False, encoding="utf-8", timeout=120,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            self.printed.append((line, done.stdout))
            return
        if arguments[0] == "audit-blinding":
            with running_app(self.folder / "afternoon") as (url, _):
                self._command(line, [*arguments, "--base-url", url, "--http-only"])
            return
        self._command(line, arguments)
        if arguments[0] == "invite":
            self._rate(self.printed[-1][1])

    def _parsed(self, line: str) -> tuple[str, list[str]]:
        words = shlex.split(line.replace(CODE, self.codes[-1] if self.codes else CODE))
        for program in ("export", "python app.py", "python -m msdm_core", "python -m rating"):
            count = len(program.split())
            if words[:count] == program.split():
                return program, words[count:]
        assert words[0] == "python", line
        return "python", words[1:]

    def _command(self, line: str, arguments: list[str]) -> None:
        status = main(arguments)
        printed = self._capsys.readouterr()
        assert status == 0, (line, printed.err)
        self.printed.append((line, printed.out))
        made = MADE.search(printed.out)
        # The page's code is that of the first rehearsal, then that of the study with people.
        if made and (arguments[0] == "create" or not self.codes):
            self.codes.append(made[1])

    def _rate(self, links: str) -> None:
        """The raters answer, but for R02, who stops early as the page has it."""
        database = self.database
        try:
            truth = truth_of(database, self.codes[-1])
            found = LINK.findall(links)
            assert len(found) == 6
            for code, token in found:
                items = 6 if code == "R02" else None  # three of practice and three more
                answer_as(database, token, SimulatedRater(truth, code), items=items)
        finally:
            database.close()


def write_batch(folder: Path, prompts: Path) -> None:
    """Writes what `msdm_core generate` would: a picture of each model for each prompt."""
    (folder / IMAGE_FOLDER).mkdir(parents=True)
    texts = prompts.read_text(encoding="utf-8").splitlines()[1:]
    rows = []
    for number, text in enumerate(texts):
        for offset, arm in ((0, "msdm-compact"), (100, "flux-compact"), (200, "kandinsky-compact")):
            picture: Image.Image = draw(offset + number)
            name = f"{IMAGE_FOLDER}/{arm}-{number}.png"
            picture.save(folder / name)
            rows.append(ManifestRow(
                image_id=f"{arm}-{number}", file_name=name, prompt_id=f"p{number}", prompt=text,
                model_id=arm, model_label=arm, arm=arm, family=arm.split("-")[0], seed=0, steps=4,
                width_px=64, height_px=64, weights_sha256="ab" * 32, settings_sha256="cd" * 32,
                licence="CC0", duration_s=1.0, pixel_sha256=pixel_sha256(picture),
                selection_rule="first_seed", candidates=1, device="cpu",
                created_at="2026-03-09T12:00:00+00:00", app_version="0.1.0", status="done",
                message="",
            ))  # fmt: skip
    write_manifest(folder / MANIFEST_FILE, rows)


def write_folder(folder: Path, first: int, count: int, prompt: str) -> None:
    """Writes pictures with the table that the page asks for."""
    folder.mkdir()
    lines = ["filename,prompt"]
    for number in range(count):
        draw(first + number).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{prompt} {number}")
    (folder / "images.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def unsynced_commits() -> Iterator[None]:
    """Lets SQLite leave commits to the system, which halves the time of this file."""

    def ease(connection: object, *_: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF").close()

    event.listen(Pool, "checkout", ease)
    yield
    event.remove(Pool, "checkout", ease)


@pytest.mark.usefixtures("unsynced_commits")
def test_the_page_leads_from_a_clone_to_capsules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MSDM_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path, capsys, monkeypatch)
    for kind, text in steps():
        reader.do(kind, text)
    rehearsed, real = reader.codes
    assert (tmp_path / "afternoon" / f"{rehearsed}-truth.json").is_file()
    database = reader.database
    try:
        summary = Studies(database).summary(real)
        assert (summary.kind, summary.status) == ("main", "locked")
        main_table = Results(database).computed(rehearsed).tables[0].to_text()
    finally:
        database.close()
    printed = dict(reader.printed)
    again = next(text for line, text in printed.items() if "recompute.py" in line)
    assert again.rstrip() == main_table.rstrip()
    told = next(text for line, text in reader.printed if line == f"python -m rating stats {CODE}")
    assert main_table.rstrip() in told
    methods = (tmp_path / "methods.md").read_text(encoding="utf-8")
    assert "no person judged an image" in methods
    for name in ("capsule.zip", "polyps.zip", "polyps-public.zip"):
        assert (tmp_path / name).is_file()
    assert list((tmp_path / "figures").glob("*.svg"))


def test_the_page_names_its_pictures_for_those_who_cannot_see_them() -> None:
    pictures = re.findall(r"!\[([^\]]*)\]\(images/(afternoon-\w+\.png)\)", PAGE)
    assert {name for _, name in pictures} == {
        "afternoon-study.png", "afternoon-rate.png", "afternoon-results.png",
        "afternoon-figures.png",
    }  # fmt: skip
    assert all(text.strip() for text, _ in pictures)


def test_the_page_says_that_a_rehearsal_is_no_data() -> None:
    assert "**None of it is data.**" in PAGE
    assert PAGE.count("*Stand-ins*") == 1
