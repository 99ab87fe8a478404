"""Contract: before the lock nothing but progress leaves a main study, in any file; what leaves
later has no token, no audit rater and no erased answer in it, is one snapshot, marks a pilot
everywhere, fits its own columns, takes constant memory, and is there whole or not at all.
"""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import select

from rating.errors import ResultsError, StudyNotFoundError, UnblindingError
from rating.results.column import VARIANTS
from rating.results.columns import PROGRESS_TABLE, Asked, tables_of
from rating.results.export import export_progress, export_study, export_zip
from rating.results.rows import AnswerRows, read_source
from rating.results.showings import showings
from rating.storage.database import Database, sqlite_url
from rating.storage.models import (
    Answer,
    Arm,
    Assignment,
    AssignmentSlot,
    Prompt,
    Question,
    Rater,
    SignIn,
    Stimulus,
    Study,
)
from rating.study.lookup import find_study
from rating.study.simulated_rater import SimulatedRater
from rating.study.studies import Studies
from rating.study.unblinding import unblinded_stimuli
from tests.rating_database import (
    database,
    database_url,
    postgres_server,
    postgres_template,
    sqlite_database,
)
from tests.rating_play import play_items
from tests.rating_study import TITLE, enrol, invite, write_draft, write_study
from tests.results_bulk import write_many_answers
from tests.results_study import answer_as, answer_study, truth_of, write_answered_study

__all__ = ["database", "database_url", "postgres_server", "postgres_template", "sqlite_database"]

ROOT = Path(__file__).parents[2]
FILES = {
    "ratings_long.csv", "assignments.csv", "ratings_wide.csv", "answer_history.csv", "prompts.csv",
    "questions.csv", "remarks.csv", "raters.csv", "arms.csv", "stimuli.csv", "dictionary.csv",
}  # fmt: skip


def rows_of(path: Path, encoding: str = "utf-8") -> list[dict[str, str]]:
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file, strict=True))


def everything(folder: Path) -> bytes:
    """Returns the bytes of all files in a folder."""
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


STATES = ("draft", "open", "paused", "locked")


def study_in(database: Database, kind: str, state: str, code: str = "") -> str:
    """Returns a small study in a state, answered in part where it was opened.

    With a `code`, that study goes on to its next state.
    """
    studies = Studies(database)
    if not code:
        code = write_draft(database, 2, 4, 2, 1, kind=kind)
        for passed in STATES[1 : STATES.index(state) + 1]:
            study_in(database, kind, passed, code)
    elif state == "open":
        studies.open(code)
        answer_study(database, code, 2, items=5)
    elif state == "paused":
        studies.pause(code)
    elif state == "locked":
        studies.lock(code, TITLE)
    return code


# ------------------------------------------------------------------ who may have what, and when


@pytest.mark.parametrize("kind", ["main", "pilot"])
def test_only_a_locked_study_or_an_open_pilot_is_exported(
    database: Database, tmp_path: Path, kind: str
) -> None:
    code = ""
    for state in STATES:
        code = study_in(database, kind, state, code)
        place = tmp_path / "places" / state
        place.mkdir(parents=True)
        may = state == "locked" or (kind == "pilot" and state in ("open", "paused"))
        for variant in VARIANTS:
            target = place / variant
            if may:
                assert export_study(database, code, target, variant=variant)
                assert export_zip(database, code, place / f"{variant}.zip", variant=variant)
                continue
            with pytest.raises(UnblindingError, match="draft" if state == "draft" else "lock"):
                export_study(database, code, target, variant=variant)
            with pytest.raises(UnblindingError):
                export_zip(database, code, target.with_suffix(".zip"), variant=variant)
        assert bool(list(place.iterdir())) == may


def test_rows_cannot_be_had_past_the_export_either(sqlite_database: Database) -> None:
    code = study_in(sqlite_database, "main", "open")
    with sqlite_database.read() as session:
        study = find_study(session, code)
        for ask in (
            lambda: read_source(session, study, "full"),
            lambda: showings(session, study, []),
            lambda: unblinded_stimuli(session, study),
        ):
            with pytest.raises(UnblindingError):
                ask()


@pytest.mark.parametrize("kind", ["main", "pilot"])
def test_progress_leaves_a_study_in_any_state_and_unblinds_nothing(
    database: Database, tmp_path: Path, kind: str
) -> None:
    code = ""
    for state in STATES:
        code = study_in(database, kind, state, code)
        [path] = export_progress(database, code, tmp_path / state)
        assert [each.name for each in (tmp_path / state).iterdir()] == [path.name]
        check_progress(database, path, kind, state)


def check_progress(database: Database, path: Path, kind: str, state: str) -> None:
    assert path.name == "progress.csv"
    rows = rows_of(path)
    assert tuple(rows[0] if rows else PROGRESS_TABLE.names("full")) == PROGRESS_TABLE.names("full")
    assert [row["rater_code"] for row in rows] == ([] if state == "draft" else ["R01", "R02"])
    for row in rows:
        assert (row["study_kind"], row["study_state"]) == (kind, state)
        # Five items are answered, practice included.
        assert row["items_submitted"] == row["items_submitted_so_far"] == "4"
        assert int(row["items_assigned"]) >= 10
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["day"])
    content = path.read_bytes()
    with database.read() as session:
        secrets = {
            *session.scalars(select(Arm.code)), *session.scalars(select(Arm.label)),
            *session.scalars(select(Prompt.code)), *session.scalars(select(Prompt.text)),
            *session.scalars(select(Stimulus.png_sha256)),
            *session.scalars(select(Stimulus.pixel_sha256)),
            *session.scalars(select(Question.code)), *tokens_of(database),
        }  # fmt: skip
    assert not [secret for secret in secrets if secret.encode() in content]


def test_progress_counts_days_and_leaves_audit_raters_out(
    sqlite_database: Database, tmp_path: Path
) -> None:
    code = study_in(sqlite_database, "main", "open")
    invite(sqlite_database, code)
    with sqlite_database.write() as session:
        audit = session.scalars(select(Rater).where(Rater.code == "R02")).one()
        audit.is_audit = True
        of_first = session.scalars(
            select(Assignment)
            .join(Rater, Rater.id == Assignment.rater_id)
            .where(Rater.code == "R01", Assignment.submitted_at.is_not(None))
            .order_by(Assignment.position)
        ).all()
        for assignment in of_first[:3]:
            for name in ("shown_at", "judged_at", "submitted_at"):
                moment = getattr(assignment, name).replace(year=2025, month=2, day=27)
                setattr(assignment, name, moment)
    [path] = export_progress(sqlite_database, code, tmp_path / "out")
    told = [
        (row["rater_code"], row["day"][:7], row["items_submitted"], row["items_submitted_so_far"])
        for row in rows_of(path)
    ]
    today = rows_of(path)[1]["day"][:7]
    assert told == [
        ("R01", "2025-02", "2", "2"), ("R01", today, "2", "4"), ("R03", "NA", "0", "0"),
    ]  # fmt: skip


def test_what_is_not_there_is_told(sqlite_database: Database, tmp_path: Path) -> None:
    with pytest.raises(StudyNotFoundError):
        export_study(sqlite_database, "nosuch", tmp_path / "out")
    with pytest.raises(StudyNotFoundError):
        export_progress(sqlite_database, "nosuch", tmp_path / "out")
    code = study_in(sqlite_database, "pilot", "open")
    with pytest.raises(ResultsError, match=r"'secret'.*full, public"):
        export_study(sqlite_database, code, tmp_path / "out", variant="secret")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ what is in it


def tokens_of(database: Database) -> set[str]:
    """Returns every token and every hash of one that the database knows."""
    with database.read() as session:
        return {
            *session.scalars(select(Assignment.token)),
            *session.scalars(select(AssignmentSlot.token)),
            *session.scalars(select(Rater.link_sha256)),
            *session.scalars(select(SignIn.token_sha256)),
        }


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["main", "pilot"])
def test_an_export_has_every_file_fits_its_columns_and_holds_no_token(
    sqlite_database: Database, tmp_path: Path, kind: str, variant: str
) -> None:
    code = write_answered_study(
        sqlite_database, raters=2, prompts=4, reals=4, checks=1, check_items=1, kind=kind
    )
    files = export_study(sqlite_database, code, tmp_path / "out", variant=variant)
    names = FILES - ({"remarks.csv"} if variant == "public" else set())
    expected = {*names, "dictionary.md", *(f"excel/{name}" for name in names)}
    assert {path.relative_to(tmp_path / "out").as_posix() for path in files} == expected
    asked = [Asked(each, "scale") for each in ("origin", "realism", "alignment")]
    for name, table in tables_of(asked, variant).items():
        rows = rows_of(tmp_path / "out" / name)
        assert rows or name == "remarks.csv"
        for row in rows:
            assert tuple(row) == table.names(variant), name
            assert (row["study_code"], row["study_kind"]) == (code, kind), name
            for column in table.of(variant):
                # The code of what misses stands only where the dictionary says so.
                if row[column.name] == "NA" and name not in ("prompts.csv", "dictionary.csv"):
                    assert column.missing, (name, column.name)
    text = (tmp_path / "out" / "dictionary.md").read_text(encoding="utf-8")
    assert ("pilot" in text.split("##")[0]) == (kind == "pilot")
    content = everything(tmp_path / "out")
    assert not [token for token in tokens_of(sqlite_database) if token.encode() in content]


def test_a_public_variant_has_no_moment_no_window_no_remark_and_no_file_name(
    sqlite_database: Database, tmp_path: Path
) -> None:
    code = write_answered_study(sqlite_database, raters=6, prompts=4, reals=4)
    export_study(sqlite_database, code, tmp_path / "out", variant="public")
    content = everything(tmp_path / "out").decode("utf-8")
    assert not re.search(r"20\d\d-\d\d-\d\dT", content)
    with sqlite_database.read() as session:
        private = {
            *session.scalars(select(Stimulus.source_name)),
            *filter(None, session.scalars(select(Assignment.remark))),
            *filter(None, session.scalars(select(Rater.closing_remark))),
        }
    assert len(private) > 10
    assert not [text for text in private if text in content]
    header = (tmp_path / "out" / "ratings_long.csv").read_text(encoding="utf-8").split("\n")[0]
    assert "viewport" not in header and "device" not in header and "shown_s" in header


def test_raters_of_audits_and_erased_answers_are_in_no_file(
    database: Database, tmp_path: Path
) -> None:
    code = write_study(database, 2, 4, 4, 1, kind="pilot")
    truth = truth_of(database, code)
    for rater, link in invite(database, code, 4):
        answer_as(database, link, SimulatedRater(truth, rater))
    with database.write() as session:
        for place, rater in enumerate(session.scalars(select(Rater).order_by(Rater.id))):
            rater.is_audit = place == 0
            for assignment in session.scalars(
                select(Assignment).where(Assignment.rater_id == rater.id)
            ):
                assignment.remark = f"said by {rater.code} <{place}>"
                assignment.app_version = f"version of {rater.code}"
    Studies(database).withdraw(code, "R02", is_erasing=True)
    Studies(database).withdraw(code, "R03", is_erasing=False)
    export_study(database, code, tmp_path / "out")
    content = everything(tmp_path / "out").decode("utf-8")
    for gone in ("R01", "said by R01", "said by R02", "version of R02"):
        assert gone not in content, gone
    ratings = rows_of(tmp_path / "out" / "ratings_long.csv")
    assert {row["rater_code"] for row in ratings} == {"R03", "R04"}
    for name in ("answer_history.csv", "remarks.csv"):
        assert {row["rater_code"] for row in rows_of(tmp_path / "out" / name)} == {"R03", "R04"}
    raters = rows_of(tmp_path / "out" / "raters.csv")
    assert [(row["rater_code"], row["state"], row["is_erased"]) for row in raters] == [
        ("R02", "withdrawn", "1"), ("R03", "withdrawn", "0"), ("R04", "completed", "0"),
    ]  # fmt: skip
    # What was drawn stays, so that the design can be understood; what was said is gone.
    for name in ("assignments.csv", "ratings_wide.csv"):
        drawn = [row for row in rows_of(tmp_path / "out" / name) if row["rater_code"] == "R02"]
        assert drawn
        for row in drawn:
            said = ("tags", "marks", "shown_at", "submitted_at", "visible_ms")
            assert {row[column] for column in said} == {"NA"}


def test_copies_for_excel_say_the_same_with_a_mark_and_no_formula(
    sqlite_database: Database, tmp_path: Path
) -> None:
    code = write_answered_study(sqlite_database, raters=2, prompts=4, reals=4, kind="pilot",
                                is_locked=False)  # fmt: skip
    with sqlite_database.write() as session:
        remarked = session.scalars(select(Assignment).order_by(Assignment.id).limit(3)).all()
        for assignment, text in zip(remarked, ("=1+1", "-x;@y", "\uff1dA1\n=B1"), strict=True):
            assignment.remark = text
    export_study(sqlite_database, code, tmp_path / "out")
    for path in (tmp_path / "out").glob("*.csv"):
        copy = path.parent / "excel" / path.name
        assert copy.read_bytes().startswith(b"\xef\xbb\xbf")
        exact, neutral = rows_of(path), rows_of(copy, "utf-8-sig")
        assert len(exact) == len(neutral)
        for row, told in zip(exact, neutral, strict=True):
            assert {name: cell.replace("'", "") for name, cell in told.items()} == {
                name: cell.replace("'", "") for name, cell in row.items()
            }
            for cell in told.values():
                assert not re.search(r"(?:\A|[;\t\r\n])\s*[=+\-@\uff1d]", cell), cell
    remarks = [row["remark"] for row in rows_of(tmp_path / "out" / "excel" / "remarks.csv",
                                                "utf-8-sig")]  # fmt: skip
    assert {"'=1+1", "'-x;'@y", "'\uff1dA1\n'=B1"} <= set(remarks)
    assert {"=1+1", "-x;@y"} <= {
        row["remark"] for row in rows_of(tmp_path / "out" / "remarks.csv")
    }


def test_the_same_data_give_the_same_bytes(sqlite_database: Database, tmp_path: Path) -> None:
    code = write_answered_study(sqlite_database, raters=2, prompts=4, reals=4)
    files = export_study(sqlite_database, code, tmp_path / "out")
    for name in ("one.zip", "two.zip"):
        export_zip(sqlite_database, code, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.testzip() is None
        inside = {name: archive.read(name) for name in archive.namelist()}
    outside = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in files}
    assert inside == outside
    assert list(inside) == sorted(inside)


# ------------------------------------------------------------------ one snapshot, constant memory


def test_answers_that_come_meanwhile_are_in_all_tables_or_in_none(database: Database) -> None:
    from rating.study.desk import RatingDesk

    code = write_study(database, 2, 4, 4, 1, kind="pilot")
    links = invite(database, code, 2)
    desk = RatingDesk(database, "1")
    first, second = (enrol(database, link) for _, link in links)
    play_items(desk, first, 4)
    play_items(desk, second, 2)

    def exported(session, on_rater) -> tuple[int, int]:
        study = find_study(session, code)
        source = read_source(session, study, "full")
        rows, ratings, assignments = AnswerRows(source), 0, 0
        for person, page in showings(session, study, source.people):
            on_rater()
            for showing in page:
                ratings += len(list(rows.ratings(person, showing)))
                assignments += sum(
                    row[-2] != "NA" for row in rows.assignments(person, showing)
                )
        return ratings, assignments

    with database.read() as session:
        before = exported(session, lambda: play_items(desk, second, 1))
    with database.read() as session:
        after = exported(session, lambda: None)
    assert before == (6 * 3, 6)
    assert after == (8 * 3, 8)


def peak_of_export(database: Database, code: str, folder: Path) -> int:
    tracemalloc.start()
    try:
        export_study(database, code, folder)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_answers(
    database: Database, tmp_path: Path
) -> None:
    few = write_study(database, 2, 8, 8, 1, kind="pilot")
    many = write_study(database, 2, 8, 8, 1, kind="pilot")
    fewer, more = (write_many_answers(database, code, n) for code, n in ((few, 3), (many, 45)))
    peak_of_export(database, few, tmp_path / "warm")  # what is loaded and cached once
    small = peak_of_export(database, few, tmp_path / "few")
    large = peak_of_export(database, many, tmp_path / "many")
    assert len(rows_of(tmp_path / "many" / "ratings_long.csv")) == more == 15 * fewer
    assert large < 1.5 * small


def test_pages_of_any_size_give_the_same_showings(sqlite_database: Database) -> None:
    code = write_answered_study(
        sqlite_database, raters=2, prompts=4, reals=4, kind="pilot", is_locked=False
    )
    with sqlite_database.read() as session:
        study = find_study(session, code)
        persons = read_source(session, study, "full").people
        found = [
            [showing for _, page in showings(session, study, persons, size) for showing in page]
            for size in (1, 5, 500)
        ]
    assert found[0] == found[1] == found[2]
    assert {showing.item_kind for showing in found[0]} == {"main", "practice", "repeat"}


# ------------------------------------------------------------------ whole or not at all


def test_a_folder_that_is_in_use_or_is_no_folder_is_refused(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = study_in(sqlite_database, "pilot", "open")
    full, file, empty = tmp_path / "full", tmp_path / "file", tmp_path / "empty"
    full.mkdir()
    (full / "mine.txt").write_text("mine", encoding="utf-8")
    file.write_text("mine", encoding="utf-8")
    empty.mkdir()
    for target, said in (
        (full, "is not empty"), (file, "is a file"), (Path("/proc/nowhere/out"), "Nothing was"),
        (file / "below", "Nothing was"),
    ):  # fmt: skip
        with pytest.raises(ResultsError, match=said):
            export_study(sqlite_database, code, target)
        with pytest.raises(ResultsError, match=said):
            export_progress(sqlite_database, code, target)
    with pytest.raises(ResultsError, match="is there already"):
        export_zip(sqlite_database, code, file)
    monkeypatch.chdir(empty)
    with pytest.raises(ResultsError, match="the folder you are in"):
        export_study(sqlite_database, code, Path())
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in full.iterdir()] == ["mine.txt"]
    assert file.read_text(encoding="utf-8") == "mine"
    assert export_study(sqlite_database, code, empty)
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]


SCRIPT = """
import os, resource, signal, sys
from pathlib import Path
from rating.results.export import export_study, export_zip
from rating.storage.database import Database

url, code, target, how = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
database = Database.open(url)


def look(event, arguments):
    # When the last of the tables is opened, all others are on their way.
    if event == "open" and str(arguments[0]).endswith("stimuli.csv"):
        os.kill(os.getpid(), signal.SIGKILL)


if how.startswith("killed"):
    sys.addaudithook(look)
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
write = export_zip if how.endswith("zip") else export_study
try:
    write(database, code, Path(target))
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture(scope="module")
def closed_study(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """URL of a database that nothing has open, and the code of its locked study."""
    url = sqlite_url(tmp_path_factory.mktemp("closed"))
    opened = Database.open(url)
    code = write_answered_study(opened, raters=2, prompts=4, reals=4)
    opened.close()
    return url, code


@pytest.mark.parametrize("how", ["killed", "full", "killed zip", "full zip"])
def test_an_export_that_is_cut_off_leaves_nothing_under_its_name(
    closed_study: tuple[str, str], tmp_path: Path, how: str
) -> None:
    place, target = tmp_path / "place", tmp_path / "place" / "out"
    place.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *closed_study, str(target), how],
        capture_output=True, text=True, cwd=ROOT, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert not target.exists()
    left = [path.name for path in place.iterdir()]
    if how.startswith("killed"):
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert left and all(name.startswith(".") for name in left)
    else:
        assert done.stdout.startswith("ResultsError: Nothing was written to"), done.stderr
        assert "too large" in done.stdout
        assert left == []


def test_an_export_of_a_study_without_raters_is_whole_as_well(
    sqlite_database: Database, tmp_path: Path
) -> None:
    code = write_study(sqlite_database, 2, 4, 2, 1, kind="pilot")
    export_study(sqlite_database, code, tmp_path / "out")
    for name in ("ratings_long.csv", "assignments.csv", "raters.csv", "remarks.csv"):
        assert (tmp_path / "out" / name).read_text(encoding="utf-8").count("\n") == 1
    assert len(rows_of(tmp_path / "out" / "stimuli.csv")) == 2 * 4 + 2 + 1


def test_arms_tell_their_images_and_attention_checks_what_they_expect(
    sqlite_database: Database, tmp_path: Path
) -> None:
    code = write_study(sqlite_database, 2, 4, 3, 1, 1, kind="pilot")
    export_study(sqlite_database, code, tmp_path / "out")
    arms = rows_of(tmp_path / "out" / "arms.csv")
    told = [(row["arm"], row["is_real"], row["image_count"], row["prompt_count"], row["model"])
            for row in arms]  # fmt: skip
    assert told == [
        ("flux-small", "0", "4", "4", "flux-small"), ("msdm-small", "0", "4", "4", "msdm-small"),
        ("real", "1", "3", "3", "NA"),
    ]  # fmt: skip
    [check] = [row for row in rows_of(tmp_path / "out" / "stimuli.csv") if row["role"] == "check"]
    assert json.loads(check["expected"]) == {"origin": [5, 6]}
    assert (check["arm"], check["is_real"]) == ("NA", "NA")


def test_every_answer_of_the_database_is_exported_once(
    database: Database, tmp_path: Path
) -> None:
    code = write_answered_study(database, raters=2, prompts=4, reals=4)
    export_study(database, code, tmp_path / "out", has_excel=False)
    with database.read() as session:
        study = session.scalars(select(Study).where(Study.code == code)).one()
        there = len(session.scalars(select(Answer.id).where(Answer.study_id == study.id)).all())
    keys = [
        (row["assignment_id"], row["question"])
        for row in rows_of(tmp_path / "out" / "ratings_long.csv")
    ]
    assert len(keys) == len(set(keys)) == there > 100
