"""Contract: the commands print and write what a study has found, the same as the application does;
what cannot be done ends with one clear line and exit status 2, and leaves nothing half written.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rating.__main__ import main
from rating.results.results import Results
from rating.storage.database import Database, sqlite_url
from tests.rating_study import ARMS
from tests.results_study import write_answered_study

SMALL = (3, 2, 3, 3)  # raters, arms, prompts, real images


class Commands:
    """Gives commands the home of three studies and reads what they print."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.database = Database.open(sqlite_url(home))
        self.locked = write_answered_study(self.database, *SMALL)
        self.still_open = write_answered_study(self.database, *SMALL, is_locked=False)
        self.pilot = write_answered_study(self.database, *SMALL, kind="pilot", is_locked=False)
        self.capsys: pytest.CaptureFixture[str] | None = None

    def run(self, *arguments: object, status: int = 0) -> str:
        """Runs a command, holds its status and returns what it printed; errors only if it fails."""
        assert self.capsys is not None
        self.capsys.readouterr()
        try:
            found = main([str(part) for part in (*arguments, "--home", self.home)])
        except SystemExit as ended:  # argparse
            found = int(ended.code or 0)
        printed = self.capsys.readouterr()
        assert found == status, printed
        assert "Traceback" not in printed.err
        return printed.err if status else printed.out


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    commands = Commands(tmp_path_factory.mktemp("home"))
    yield commands
    commands.database.close()


@pytest.fixture
def commands(written: Commands, capsys: pytest.CaptureFixture[str]) -> Commands:
    written.capsys = capsys
    return written


def test_stats_prints_the_text_of_the_application(commands: Commands):
    text = Results(commands.database).computed(commands.locked).text
    assert commands.run("stats", commands.locked) == text
    assert text.index("Differences of mean scores") < text.index("Agreement of")


def test_stats_prints_the_main_table_as_csv(commands: Commands):
    rows = list(csv.reader(io.StringIO(commands.run("stats", commands.locked, "--format", "csv"))))
    main_table = Results(commands.database).computed(commands.locked).tables[0]
    assert rows[0] == [*main_table.columns, "Study", "Kind", "Excluded raters"]
    expected = [[*row, commands.locked, "main", "none"] for row in main_table.rows]
    assert rows[1:] == expected


def test_stats_without_a_rater_differs_and_says_so(commands: Commands):
    text = commands.run("stats", commands.locked, "--exclude", "r02=fell asleep")
    assert "R02" in text and "fell asleep" in text
    assert text != commands.run("stats", commands.locked)


@pytest.mark.parametrize(
    ("form", "names"),
    [("text", {"results.txt"}), ("markdown", {"results.md"}), ("csv", {"main.csv"})],
)
def test_stats_writes_files_and_overwrites_none(
    commands: Commands, tmp_path: Path, form: str, names: set[str]
):
    told = commands.run("stats", commands.locked, "--format", form, "--out", tmp_path / "out")
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert names <= found
    assert sorted(told.splitlines()) == sorted(str(tmp_path / "out" / name) for name in found)
    error = commands.run(
        "stats", commands.locked, "--format", form, "--out", tmp_path / "out", status=2
    )
    assert "is there already" in error


def test_export_writes_a_folder_or_a_zip_with_the_same_files(commands: Commands, tmp_path: Path):
    told = commands.run("export", commands.locked, "--out", tmp_path / "full")
    assert str(tmp_path / "full" / "ratings_long.csv") in told.splitlines()
    commands.run("export", commands.locked, "--out", tmp_path / "full.zip")
    with zipfile.ZipFile(tmp_path / "full.zip") as archive:
        assert archive.testzip() is None
        zipped = {name: archive.read(name) for name in archive.namelist()}
    folder = tmp_path / "full"
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert zipped == {name: path.read_bytes() for name, path in files.items()}
    commands.run(
        "export", commands.locked, "--out", tmp_path / "public", "--public", "--no-excel"
    )
    assert not (tmp_path / "public" / "excel").exists()
    assert not (tmp_path / "public" / "remarks.csv").exists()


@pytest.mark.parametrize(
    "arguments",
    [("stats",), ("export", "--out", "OUT"), ("export", "--out", "OUT.zip"),
     ("figures", "--out", "OUT"), ("methods", "--out", "OUT.md"), ("capsule", "--out", "OUT.zip")],
    ids=" ".join,
)  # fmt: skip
def test_before_the_lock_a_main_study_gives_nothing(
    commands: Commands, tmp_path: Path, arguments: tuple[str, ...]
):
    name, *others = arguments
    places = [part.replace("OUT", str(tmp_path / "out")) for part in others]
    error = commands.run(name, commands.still_open, *places, status=2)
    assert f"python -m rating lock {commands.still_open}" in error
    assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_progress_is_exported_before_the_lock(commands: Commands, tmp_path: Path):
    commands.run("export", commands.still_open, "--progress", "--out", tmp_path / "progress")
    [path] = (tmp_path / "progress").iterdir()
    text = path.read_text(encoding="utf-8")
    assert path.name == "progress.csv" and "R01" in text
    assert not any(arm in text for arm in ARMS)


def test_figures_are_written_as_png_and_svg(commands: Commands, tmp_path: Path):
    told = commands.run("figures", commands.locked, "--out", tmp_path / "figures")
    assert str(tmp_path / "figures" / "forest.svg") in told.splitlines()
    kinds = [path.suffix for path in (tmp_path / "figures").iterdir()]
    assert kinds.count(".png") == kinds.count(".svg") == len(kinds) / 2 >= 4
    assert "is there already" in commands.run(
        "figures", commands.locked, "--out", tmp_path / "figures", status=2
    )


def test_methods_are_printed_or_written(commands: Commands, tmp_path: Path):
    text = commands.run("methods", commands.locked)
    assert text.startswith("## Methods") and "GRRAS" in text and "CLAIM" in text
    commands.run("methods", commands.locked, "--out", tmp_path / "methods.md")
    assert (tmp_path / "methods.md").read_text(encoding="utf-8") == text


def test_a_pilot_is_marked_in_every_output(commands: Commands, tmp_path: Path):
    assert "This is a pilot" in commands.run("stats", commands.pilot)
    assert ",pilot,none" in commands.run("stats", commands.pilot, "--format", "csv")
    assert "ilot" in commands.run("methods", commands.pilot).splitlines()[2]
    commands.run("export", commands.pilot, "--out", tmp_path / "data", "--no-excel")
    [_, first, *_] = (tmp_path / "data" / "ratings_long.csv").read_text("utf-8").splitlines()
    assert first.split(",")[1] == "pilot"


@pytest.mark.parametrize("is_public", [False, True])
def test_a_capsule_is_one_zip_with_the_main_table(
    commands: Commands, tmp_path: Path, is_public: bool
):
    target = tmp_path / "capsule.zip"
    option = ["--public"] if is_public else []
    told = commands.run(
        "capsule", commands.locked, "--out", target, "--exclude", "R02=left early", *option
    )
    assert f"python -m rating verify {target}" in told
    assert ("by their hash alone" in told) == is_public
    with zipfile.ZipFile(target) as archive:
        main_table = archive.read("results/main_table.txt").decode("utf-8")
        everything = archive.read("results/all_tables.txt").decode("utf-8")
    computed = Results(commands.database).computed(commands.locked, {"R02": "left early"})
    assert main_table == f"{computed.tables[0].to_text()}\n"
    assert everything == computed.text
    assert "is there already" in commands.run(
        "capsule", commands.locked, "--out", target, status=2
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("stats", "nosuch"), "no study 'nosuch'"),
     (("stats", "LOCKED", "--exclude", "R02"), "give a rater and why"),
     (("stats", "LOCKED", "--exclude", "R77=x"), "no rater 'R77'"),
     (("stats", "LOCKED", "--format", "xml"), "invalid choice"),
     (("export", "LOCKED"), "--out"),
     (("figures", "LOCKED", "--out", "OUT", "--theme", "sepia"), "invalid choice"),
     (("capsule", "LOCKED", "--out", "OUT/no/such/x.zip"), "x.zip"),
     (("capsule", "LOCKED", "--out", "OUT/x.zip", "--share-real-images"), "--public")],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)  # fmt: skip
def test_what_cannot_be_done_is_one_line_and_status_2(
    commands: Commands, tmp_path: Path, arguments: tuple[str, ...], words: str
):
    words_of = {"LOCKED": commands.locked}
    filled = [words_of.get(part, part.replace("OUT", str(tmp_path))) for part in arguments]
    error = commands.run(*filled, status=2)
    assert words in error
    assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
