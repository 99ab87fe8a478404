"""Contract: the command line takes a study from a manifest to its lock; bad input gets a clear
message and exit status 2 with nothing half done; tables fit 80 columns; commands work while others
use the database.
"""

import csv
import io
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from rating.__main__ import build_parser, main
from rating.cli_output import WIDTH, table
from rating.storage.database import Database, sqlite_url
from rating.storage.models import Base
from rating.study.protocol import Protocol
from rating.study.protocol_file import read_toml
from rating.study.studies import Studies
from tests.rating_database import unguarded
from tests.rating_study import ARMS, draw

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"https://x\.org/join/([\w-]{43})")


class Terminal:
    """Gives commands one home and reads what they print."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capsys = capsys

    def run(self, *arguments: object, status: int = 0) -> str:
        """Runs a command, holds its status and returns what it printed, errors after the rest."""
        try:
            home = [] if arguments[:1] in (("protocol",), ("plan",), ()) else ["--home", self.home]
            found = main([str(part) for part in (*arguments, *home)])
        except SystemExit as ended:  # argparse
            found = int(ended.code or 0)
        printed = self._capsys.readouterr()
        assert found == status, printed
        assert "Traceback" not in printed.err
        return printed.out + printed.err

    def json(self, *arguments: object, status: int = 0) -> object:
        return json.loads(self.run(*arguments, "--json", status=status))

    def studies(self) -> Studies:
        return Studies(Database.open(sqlite_url(self.home)))


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(tmp_path / "home", capsys)


def write_images(folder: Path, rows: list[tuple[int, str, str]]) -> Path:
    """Writes drawn pictures with a CSV: seed, arm and prompt of each."""
    folder.mkdir(parents=True)
    with (folder / "images.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("filename", "arm", "prompt"))
        for seed, arm, prompt in rows:
            draw(seed).save(folder / f"{seed}.png")
            writer.writerow((f"{seed}.png", arm, prompt))
    return folder


@pytest.fixture
def synthetic(tmp_path: Path) -> Path:
    rows = [(100 * a + p, ARMS[a], f"finding {p}") for a in range(3) for p in range(6)]
    return write_images(tmp_path / "synthetic", rows)


@pytest.fixture
def real(tmp_path: Path) -> Path:
    return write_images(tmp_path / "real", [(900 + n, "real", f"patient {n}") for n in range(6)])


@pytest.fixture
def practice(tmp_path: Path) -> Path:
    return write_images(tmp_path / "practice", [(990 + n, "", f"practice {n}") for n in range(3)])


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    path = tmp_path / "protocol.toml"
    path.write_text(f'washout_items = 4\n[plan]\nreference_arm = "{ARMS[0]}"\n')
    return path


def draft(terminal: Terminal, synthetic: Path, *arguments: object) -> str:
    printed = terminal.run("create", "A study", "--folder", synthetic, *arguments)
    found = re.search(r"Study (\w+) is a draft", printed)
    assert found, printed
    return found[1]


@pytest.fixture
def open_code(
    terminal: Terminal, synthetic: Path, real: Path, practice: Path, protocol: Path
) -> str:
    code = draft(
        terminal, synthetic, "--real", real, "--practice", practice, "--protocol", protocol
    )
    terminal.run("attest", code, "--by", "A. Tester")
    terminal.run("open", code)
    return code


def everything(terminal: Terminal) -> dict[str, list]:
    database = Database.open(sqlite_url(terminal.home))
    with database.read() as session:
        found = {
            each.name: sorted(map(repr, session.execute(each.select()).all()))
            for each in Base.metadata.sorted_tables
        }
    database.close()
    return found


def test_a_study_goes_from_folders_to_its_lock(
    terminal: Terminal, synthetic: Path, real: Path, practice: Path, tmp_path: Path
):
    path = tmp_path / "own.toml"
    terminal.run("protocol", path)
    assert read_toml(path) == Protocol()
    path.write_text(
        path.read_text().replace("washout_items = 10", "washout_items = 4")
        + f'\n[plan]\nreference_arm = "{ARMS[0]}"\n'
    )
    code = draft(
        terminal, synthetic, "--real", real, "--practice", practice, "--protocol", path,
        "--size-px", 64, "--seed", 7,
    )  # fmt: skip
    assert terminal.json("check", code, status=1)["can_open"] is False
    terminal.run("attest", code, "--by", "A. Tester")
    assert terminal.json("check", code)["can_open"] is True
    assert "is open" in terminal.run("open", code)
    printed = terminal.run("invite", code, "--count", 3, "--base-url", "https://x.org/")
    assert len(set(LINK.findall(printed))) == 3
    assert [line[:3] for line in printed.splitlines()[:3]] == ["R01", "R02", "R03"]
    (renewed,) = LINK.findall(terminal.run("renew", code, "R02", "--base-url", "https://x.org"))
    assert renewed not in printed
    terminal.run("revoke", code, "R03")
    terminal.run("pause", code)
    assert terminal.json("list")[0]["is_paused"] is True
    terminal.run("resume", code)
    assert "version 2" in terminal.run("extend", code, "--raters", 5, "--reason", "more")
    progress = terminal.json("progress", code)
    assert progress["planned_raters"] == 5
    assert [each["state"] for each in progress["raters"]] == ["invited", "invited", "revoked"]
    assert "no root hash yet" in terminal.run("verify", code)
    printed = terminal.run("lock", code, "--confirm", "A study")
    (root,) = re.findall(r"^[0-9a-f]{64}$", printed, re.MULTILINE)
    assert root in terminal.run("verify", code)
    assert terminal.studies().root_hash(code) == root
    terminal.run("invite", code, status=2)


def test_quick_goes_from_a_folder_to_links(terminal: Terminal, synthetic: Path):
    printed = terminal.run(
        "quick", synthetic, "--count", 2, "--base-url", "https://x.org", "--title", "First"
    )
    assert len(LINK.findall(printed)) == 2
    (study,) = terminal.json("list")
    assert (study["title"], study["kind"], study["status"]) == ("First", "pilot", "open")


def test_links_come_as_json(terminal: Terminal, synthetic: Path):
    found = terminal.json("quick", synthetic, "--base-url", "https://x.org")
    ((rater, link),) = [each.values() for each in found["links"]]
    assert rater == "R01"
    assert LINK.fullmatch(link)


def test_what_a_draft_has_is_listed_changed_and_deleted(
    terminal: Terminal, synthetic: Path, real: Path, protocol: Path
):
    code = draft(terminal, synthetic, "--pilot")
    assert "6 images added" in terminal.run("add", code, "--real", real)
    assert "6 skipped" in terminal.run("add", code, "--real", real)
    assert len(terminal.json("images", code)) == 24
    terminal.run("change", code, "--title", "Other", "--kind", "main", "--protocol", protocol)
    (study,) = terminal.json("list")
    assert (study["title"], study["kind"]) == ("Other", "main")
    terminal.run("delete", code, "--yes")
    assert terminal.json("list") == []


def bad_inputs(folder: Path, code: str) -> list[tuple[list[object], str]]:
    """Commands that cannot be carried out, and what they are answered."""
    bad = folder / "bad.toml"
    bad.write_text("raters = 3")
    (folder / "empty").mkdir()
    x = "https://x.org"
    return [
        (["create", "A study", "--manifest", folder / "none.csv"], "none.csv"),
        (["create", "A study", "--folder", folder / "none"], "none"),
        (["create", "A study", "--folder", folder / "empty"], "empty"),
        (["create", "A study", "--zip", bad], "bad.toml"),
        (["create", "A study", "--protocol", bad], "raters: no such field"),
        (["create", "A study", "--protocol", folder / "none.toml"], "cannot be opened"),
        (["create", "A study", "--seed", "-1"], "The seed is -1"),
        (["create", " "], "1 to 200 printable"),
        (["create"], "required: title"),
        (["create", "A", "--size-px", "big"], "invalid int value: 'big'"),
        (["create", "A", "--size-px", "1"], "size_px"),
        (["protocol", bad], "is there already"),
        (["add", code], "No images are named"),
        (["add", code, "--folder", folder / "synthetic"], "is open"),
        (["images", "nostudy"], "no study 'nostudy'"),
        (["check", "nostudy"], "no study 'nostudy'"),
        (["open", code], "is open"),
        (["change", code], "Nothing to change"),
        (["change", code, "--title", "B"], "is open"),
        (["attest", code, "--by", "B"], "is open"),
        (["delete", code, "--yes"], "is open"),
        (["quick", folder / "none"], "none"),
        (["quick", folder / "synthetic", "--count", "0"], "1 to 200"),
        (["quick", folder / "synthetic", "--base-url", "x.org"], "--base-url is 'x.org'"),
        (["invite", code, "--count", "0"], "1 to 200"),
        (["invite", code, "--count", "many"], "invalid int value"),
        (["invite", code, "--base-url", "ftp://x"], "--base-url"),
        (["invite", "nostudy", "--base-url", x], "no study 'nostudy'"),
        (["renew", code, "R77", "--base-url", x], "no rater 'R77'"),
        (["revoke", code, "R77"], "no rater 'R77'"),
        (["withdraw", code, "R77"], "no rater 'R77'"),
        (["erase", code, "R77", "--yes"], "no rater 'R77'"),
        (["progress", "nostudy"], "no study"),
        (["resume", code], "not paused"),
        (["extend", code, "--raters", "0", "--reason", "x"], "planned_raters: 0"),
        (["extend", code, "--raters", "9"], "required: --reason"),
        (["extend", code, "--reason", "x"], "Nothing changes"),
        (["lock", code, "--confirm", "another"], "Nothing was locked"),
        (["lock", code], "Not confirmed"),
        (["verify", "nostudy"], "no study"),
        (["backup", bad], "is there already"),
        (["audit-blinding", "nostudy", "--http-only"], "no study"),
        (["audit-blinding", code, "--base-url", "x"], "--base-url"),
        (["audit-blinding", code, "--chromium", str(folder / "none")], "no browser"),
        (["plan", "--raters", "0"], "raters is 0"),
        (["plan", "--variance", "noise=1"], "--variance cannot be 'noise=1'"),
        (["plan", "--variance", "residual=-1"], "--variance cannot be 'residual=-1'"),
        (["polish", code], "invalid choice: 'polish'"),
        ([], "required: COMMAND"),
    ]


def test_bad_input_is_answered_clearly_with_nothing_half_done(
    terminal: Terminal, open_code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    before = everything(terminal)
    for arguments, told in bad_inputs(tmp_path, open_code):
        printed = terminal.run(*arguments, status=2)
        errors = [line for line in printed.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, arguments
        assert told in printed, arguments
    assert everything(terminal) == before


def test_a_plan_takes_stated_variances(terminal: Terminal):
    typical = terminal.run("plan", "--raters", 5, "--prompts", 12)
    stated = terminal.run("plan", "--raters", 5, "--prompts", 12, "--variance", "residual=3")
    assert "typical" in typical and "stated" in stated
    errors = [
        float(re.search(rf"^{case}.*? 5 +([\d.]+)", printed, re.MULTILINE)[1])
        for case, printed in (("typical", typical), ("stated", stated))
    ]
    assert errors[0] < errors[1]


def test_a_home_without_studies_is_told_and_not_made(terminal: Terminal):
    for command in (["list"], ["progress", "x"], ["invite", "x"], ["lock", "x"]):
        assert "There are no studies in" in terminal.run(*command, status=2)
    assert not terminal.home.exists()


def test_the_title_is_asked_after_a_yes(
    terminal: Terminal, open_code: str, monkeypatch: pytest.MonkeyPatch
):
    for typed, status in (("n\n", 2), ("y\nA studi\n", 2), ("y\nA study\n", 0)):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        printed = terminal.run("lock", open_code, status=status)
        assert "Locking cannot be undone" in printed
        assert "never started" in printed
    assert terminal.json("list")[0]["status"] == "locked"


def test_progress_and_lists_fit_80_columns_and_name_no_arm(terminal: Terminal, open_code: str):
    terminal.run("invite", open_code, "--count", 12)
    for command in (["list"], ["progress", open_code], ["images", open_code]):
        printed = terminal.run(*command)
        assert max(map(len, printed.splitlines())) <= WIDTH
        assert not any(arm in printed for arm in ARMS)
    assert "R12" in terminal.run("progress", open_code)


def test_a_wide_table_is_cut_where_it_is_widest():
    printed = table(("code", "title", "n"), [("abc", "long " * 40, 1), ("d", "長い" * 50, 22)])
    lines = printed.splitlines()
    assert len(lines[0]) <= WIDTH
    assert lines[1].endswith("...   1")
    assert lines[2].endswith("22")
    assert "..." in lines[2] and len(lines[2]) < 60  # each of these letters is two columns wide


def test_a_backup_is_whole_and_opens(terminal: Terminal, open_code: str, tmp_path: Path):
    target = tmp_path / "copies" / "monday.sqlite3"
    terminal.run("backup", target)
    copy = Studies(Database.open(f"sqlite:///{target}"))
    assert [each.code for each in copy.overview()] == [open_code]
    assert copy.verify(open_code) == []


def test_a_change_behind_the_back_is_told_with_status_1(terminal: Terminal, open_code: str):
    database = Database.open(sqlite_url(terminal.home))
    with unguarded(database) as session:
        session.execute(text("UPDATE event SET actor = 'nobody' WHERE kind = 'opened'"))
    database.close()
    assert "was changed" in terminal.run("verify", open_code, status=1)


def test_commands_work_while_others_write(terminal: Terminal, open_code: str):
    database = Database.open(sqlite_url(terminal.home))
    studies, stop = Studies(database), threading.Event()

    def write() -> None:
        while not stop.is_set():
            studies.pause(open_code)
            studies.resume(open_code)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            terminal.run("invite", open_code)
            terminal.run("progress", open_code)
    finally:
        stop.set()
        writer.join()
    assert studies.summary(open_code).raters == 5
    assert studies.verify(open_code) == []
    database.close()


def test_home_and_database_come_from_the_environment_too(
    tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setenv("MSDM_HOME", str(tmp_path / "one"))
    assert main(["create", "In one"]) == 0
    monkeypatch.setenv("MSDM_DATABASE_URL", f"sqlite:///{tmp_path}/two.sqlite3")
    assert main(["create", "In two"]) == 0
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "In two" in printed and "In one" not in printed
    assert (tmp_path / "one" / "studies.sqlite3").exists()


def test_help_reads_in_80_columns_and_needs_neither_torch_nor_gradio():
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "rating", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    assert max(map(len, run.stdout.splitlines())) <= WIDTH
    assert "python -m rating create" in run.stdout
    assert not re.search(r"\| +(torch|gradio|diffusers)$", run.stderr, re.MULTILINE)


def test_every_command_has_a_summary_and_help():
    (commands,) = [action for action in build_parser()._actions if action.dest == "command"]
    for name, parser in commands.choices.items():
        assert parser.format_help(), name
    summaries = {action.dest: action.help for action in commands._choices_actions}
    assert set(summaries) == set(commands.choices)
    assert all(summaries.values())
