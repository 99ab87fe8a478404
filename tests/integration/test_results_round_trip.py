"""Contract: an export read as its own dictionary says, into pandas and into R, equals the database
to the cell, whatever people wrote: formulas, quotes, line breaks, right-to-left text, emoji,
control characters, the letters NA. What should be there is told by queries of these tests alone.
"""

import csv
import dataclasses
import datetime
import io
import json
import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session, aliased

from rating.results.export import export_study
from rating.storage.database import Database, sqlite_url
from rating.storage.models import (
    Answer,
    AnswerVersion,
    Arm,
    Assignment,
    AssignmentSlot,
    DefectTag,
    Item,
    Mark,
    Prompt,
    ProtocolVersion,
    Question,
    Rater,
    Stimulus,
    Study,
)
from rating.study.harmonisation import Harmonisation
from rating.study.planted import Habits
from rating.study.protocol import DEFAULT_QUESTIONS, Protocol
from rating.study.simulated_rater import SimulatedRater
from rating.study.studies import Studies
from tests.rating_database import (
    database,
    database_url,
    postgres_server,
    postgres_template,
    sqlite_database,
)
from tests.rating_study import SIZE_PX, invite, offered
from tests.results_in_r import need_r
from tests.results_study import answer_as, truth_of, unsynced, write_answered_study

__all__ = ["database", "database_url", "postgres_server", "postgres_template", "sqlite_database"]

TEXTS = (
    "NA", '=HYPERLINK("http://example.org";"x")', '"quoted", and "more"', "two\nlines\n\nand more",
    "carriage\rreturns\r\nof all\rkinds", "שלום, עולם \u202eabc\u202c", "emoji 👩‍⚕️ 👍🏽 \U0001f9a0",
    "control \x01\x02\x07\x08\x0b\x0c\x1a\x1b\x1c\x1d\x1e\x1f\x7f\x85\u2028\u2029 signs", "\\NA",
    'back\\slash \\" \\n \\', "+1", "-1", "@x", "semi;colon, comma", "'apostrophe'", "# no comment",
    "nan", "NULL", "  inner  blanks  ", "\u00a0\ufeffx\ufeff", "1e5", "007", "TRUE",
    "\uff1d1", "\ttab\t.",
)  # fmt: skip
ARMS = ("=arm,1", 'a "b"', "NA", "real; א")
TAGS = ("a;b", "c,d", "e\\f", "NA", "=g", "anatomy")
REMARKS = ("NA", "=1+1", 'said "so"', "a\nb", "שלום 👍", "\\NA", "-", "ok")


class Scribbler(SimulatedRater):
    """Writes and marks whatever is hard to keep."""

    def request(self, item: Mapping[str, Any], shown: Any) -> dict[str, Any]:
        number = shown.position
        request = super().request(item, shown)
        if number % 2 == 0:
            request["remark"] = REMARKS[number // 2 % len(REMARKS)]
        if number % 3 == 0:
            tags = TAGS[number % 5 :][:2]
            request["tags"] = [{"slot": 0, "tag": tag} for tag in tags]
            request["marks"] = [
                {"slot": 0, "x": 1 / 3, "y": 0.1 * (number % 10), "tag": tag}
                for tag in (*tags[:1], None)
            ]
        if number % 7 == 0:
            request["viewport"] = request["device_pixel_ratio"] = None
        return request


def write_scribbled_study(database: Database) -> str:
    """Returns the code of an open pilot with every kind of text in every place that takes one."""
    first, *others = DEFAULT_QUESTIONS
    labels = ("NA", "=2", 'so "so"', "a,b", "ü\u200f", "6")
    protocol = Protocol(
        questions=(dataclasses.replace(first, labels=labels, text='Is it "real",\n=so?'), *others),
        defect_tags=TAGS, specialties=("NA", "a, b", "=c"), washout_items=4, check_items=1,
    )  # fmt: skip
    studies = Studies(database)
    code = studies.create("Scribbles", kind="pilot", protocol=protocol, seed=3)
    images = [
        dataclasses.replace(
            offered(1000 * place + number, arm, text, is_real=arm == ARMS[-1]),
            provenance=made(number) if arm != ARMS[-1] else {}, prompt_id=f"{number} {text[:9]}",
            source_name=text,
        )
        for place, arm in enumerate(ARMS[:3])
        for number, text in enumerate(TEXTS[:8])
    ]  # fmt: skip
    images += [
        dataclasses.replace(
            offered(9000 + number, ARMS[-1], text, is_real=True), prompt_id=text[:60] or "x"
        )
        for number, text in enumerate(TEXTS[8:])
    ]
    images += [offered(20_000, "", "NA practice", role="practice")]
    images += [offered(30_000, "", "grey", role="check", expected={"origin": [5, 6]})]
    studies.add_images(code, images, Harmonisation(size_px=SIZE_PX))
    studies.attest_identifiers(code, "A. Tester")
    studies.open(code)
    truth = dataclasses.replace(truth_of(database, code), habits=Habits(0.05, revised=0.2))
    with unsynced(database):
        for (rater, link), specialty in zip(
            invite(database, code, 3), protocol.specialties, strict=True
        ):
            items = 20 if rater == "R03" else None
            answer_as(
                database, link, Scribbler(truth, rater), items=items, specialty=specialty
            )
        invite(database, code)
        studies.extend(code, planned_raters=9, reason="more")
    return code


def made(number: int) -> dict[str, Any]:
    """Returns provenance as files and tables may tell it."""
    seeds = (0, 2**64 - 1, "17", "drawn", None, 2**53 + 1, 1.5, -1)
    models = ("NA", "=m", "m, n", 'm "o"', "", "m\nn", "ü", None)
    return {"model_id": models[number], "seed": seeds[number], "weights_sha256": "ab" * 32}


@pytest.fixture(scope="module")
def scribbled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, str, Path]]:
    """The scribbled study on SQLite, its code, and a folder with its export."""
    folder = tmp_path_factory.mktemp("scribbled")
    opened = Database.open(sqlite_url(folder))
    code = write_scribbled_study(opened)
    export_study(opened, code, folder / "out", has_excel=False)
    yield opened, code, folder / "out"
    opened.close()


# ------------------------------------------------------------------ what should be there

Rows = list[dict[str, Any]]


def seed_of(provenance: Mapping[str, Any]) -> int | None:
    seed = provenance.get("seed")
    try:
        whole = int(str(seed))
    except ValueError:
        return None
    return whole if 0 <= whole < 2**64 else None


def picture(stimulus: Stimulus | None, arm: Arm | None) -> dict[str, Any]:
    made = stimulus.provenance if stimulus else {}
    return {
        "arm": arm.code if arm else None, "is_real": arm.is_real if arm else None,
        "model": made.get("model_id") or None, "weights_sha256": made.get("weights_sha256"),
        "seed": seed_of(made), "selection_rule": stimulus and stimulus.selection_rule,
        "candidate_count": stimulus and stimulus.candidate_count,
        "stimulus_id": stimulus and stimulus.id,
        "stimulus_sha256": stimulus and stimulus.png_sha256,
    }  # fmt: skip


def defects(session: Session) -> tuple[dict[int, str], dict[int, str]]:
    """Returns the texts of tags and of marks by slot."""

    def escaped(tag: str) -> str:
        return tag.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")

    tags, marks = defaultdict(list), defaultdict(list)
    for tag in session.scalars(select(DefectTag).order_by(DefectTag.tag)):
        tags[tag.assignment_slot_id].append(tag.tag)
    for mark in session.scalars(select(Mark).order_by(Mark.number)):
        tail = f",{escaped(mark.tag)}" if mark.tag is not None else ""
        marks[mark.assignment_slot_id].append(f"{mark.x!r},{mark.y!r}{tail}")
    return (
        {slot: ";".join(map(escaped, sorted(each))) for slot, each in tags.items()},
        {slot: ";".join(each) for slot, each in marks.items()},
    )


def expected_ratings(session: Session, study: Study) -> Rows:
    tags, marks = defects(session)
    about = and_(
        AssignmentSlot.assignment_id == Assignment.id,
        or_(
            and_(Item.display == "single", AssignmentSlot.slot == 0),
            and_(Question.kind == "preference", AssignmentSlot.slot + 1 == Answer.value),
        ),
    )
    rows = session.execute(
        select(
            Rater, Assignment, Item, Prompt.code, Question.code, Answer, AssignmentSlot, Stimulus,
            Arm, ProtocolVersion.sha256,
        )
        .select_from(Answer)
        .join(Assignment, Assignment.id == Answer.assignment_id)
        .join(Rater, Rater.id == Assignment.rater_id)
        .join(Item, Item.id == Assignment.item_id)
        .join(Prompt, Prompt.id == Item.prompt_id)
        .join(Question, Question.id == Answer.question_id)
        .join(
            ProtocolVersion,
            and_(
                ProtocolVersion.study_id == Assignment.study_id,
                ProtocolVersion.version == Assignment.protocol_version,
            ),
        )
        .outerjoin(AssignmentSlot, about)
        .outerjoin(Stimulus, Stimulus.id == AssignmentSlot.stimulus_id)
        .outerjoin(Arm, Arm.id == Stimulus.arm_id)
        .where(Answer.study_id == study.id)
        .order_by(Rater.code, Assignment.position, Question.position)
    )  # fmt: skip
    return [
        {
            "study_code": study.code, "study_kind": study.kind,
            "protocol_version": shown.protocol_version, "protocol_sha256": sha256,
            "rater_code": rater.code, "specialty": rater.specialty,
            "years_experience": rater.years_experience, "is_independent": rater.is_independent,
            "enrolment_index": rater.enrolment_index, "assignment_id": shown.id,
            "position": shown.position, "slot": slot and slot.slot, "item_id": item.id,
            "item_kind": item.kind, "repeat_of_item_id": item.repeat_of_id,
            "display": item.display, "prompt_id": prompt, **picture(stimulus, arm),
            "question": question, "value": answer.value, "cannot_judge": answer.is_cannot_judge,
            "seen_before": shown.is_seen_before,
            "tags": tags.get(slot.id, "") if slot else None,
            "marks": marks.get(slot.id, "") if slot else None,
            "shown_at": shown.shown_at, "judged_at": shown.judged_at,
            "submitted_at": shown.submitted_at, "saved_at": answer.saved_at,
            "visible_ms": shown.visible_ms, "edits": answer.revision - 1,
            "viewport_width_px": shown.viewport_width_px,
            "viewport_height_px": shown.viewport_height_px,
            "device_pixel_ratio": shown.device_pixel_ratio, "app_version": shown.app_version,
        }
        for rater, shown, item, prompt, question, answer, slot, stimulus, arm, sha256 in rows
    ]  # fmt: skip


def expected_assignments(session: Session, study: Study) -> Rows:
    tags, marks = defects(session)
    rows = session.execute(
        select(Rater, Assignment, Item, Prompt.code, AssignmentSlot, Stimulus, Arm)
        .select_from(AssignmentSlot)
        .join(Assignment, Assignment.id == AssignmentSlot.assignment_id)
        .join(Rater, Rater.id == Assignment.rater_id)
        .join(Item, Item.id == Assignment.item_id)
        .join(Prompt, Prompt.id == Item.prompt_id)
        .join(Stimulus, Stimulus.id == AssignmentSlot.stimulus_id)
        .outerjoin(Arm, Arm.id == Stimulus.arm_id)
        .where(AssignmentSlot.study_id == study.id)
        .order_by(Rater.code, Assignment.position, AssignmentSlot.slot)
    )
    return [
        {
            "study_code": study.code, "study_kind": study.kind, "rater_code": rater.code,
            "enrolment_index": rater.enrolment_index, "assignment_id": shown.id,
            "protocol_version": shown.protocol_version, "position": shown.position,
            "item_id": item.id, "item_kind": item.kind, "repeat_of_item_id": item.repeat_of_id,
            "display": item.display, "prompt_id": prompt, "slot": slot.slot,
            **picture(stimulus, arm),
            "tags": tags.get(slot.id, "") if shown.judged_at else None,
            "marks": marks.get(slot.id, "") if shown.judged_at else None,
            "shown_at": shown.shown_at, "judged_at": shown.judged_at,
            "submitted_at": shown.submitted_at,
            "visible_ms": shown.visible_ms if shown.shown_at else None,
        }
        for rater, shown, item, prompt, slot, stimulus, arm in rows
    ]  # fmt: skip


def expected_history(session: Session, study: Study) -> Rows:
    rows = session.execute(
        select(Rater.code, Assignment.id, Item.kind, Question.code, AnswerVersion)
        .select_from(AnswerVersion)
        .join(Answer, Answer.id == AnswerVersion.answer_id)
        .join(Assignment, Assignment.id == Answer.assignment_id)
        .join(Rater, Rater.id == Assignment.rater_id)
        .join(Item, Item.id == Assignment.item_id)
        .join(Question, Question.id == Answer.question_id)
        .where(Answer.study_id == study.id)
        .order_by(
            Rater.code, Assignment.position, Question.position, AnswerVersion.revision
        )
    )
    return [
        {
            "study_code": study.code, "study_kind": study.kind, "rater_code": rater,
            "assignment_id": shown, "item_kind": kind, "question": question,
            "revision": saved.revision, "value": saved.value,
            "cannot_judge": saved.is_cannot_judge, "saved_at": saved.saved_at,
        }
        for rater, shown, kind, question, saved in rows
    ]  # fmt: skip


def expected_wide(session: Session, study: Study) -> Rows:
    ratings = expected_ratings(session, study)
    questions = session.scalars(select(Question).order_by(Question.position)).all()
    answers = {
        (row["assignment_id"], row["question"]): (row["value"], row["cannot_judge"])
        for row in ratings
    }
    repeat, shown_again = aliased(Item), aliased(Assignment)
    repeats = {
        main: again
        for main, again in session.execute(
            select(Assignment.id, shown_again.id)
            .join(repeat, repeat.repeat_of_id == Assignment.item_id)
            .join(
                shown_again,
                and_(
                    shown_again.item_id == repeat.id, shown_again.rater_id == Assignment.rater_id
                ),
            )
        )
    }
    slots = {
        (row["assignment_id"], row["slot"]): row["stimulus_id"]
        for row in expected_assignments(session, study)
    }
    raters = {rater.code: rater for rater in session.scalars(select(Rater))}
    seen = dict(session.execute(select(Assignment.id, Assignment.is_seen_before)).all())

    def told(row: dict[str, Any], assignment: int | None, question: Question) -> tuple[Any, Any]:
        value, unable = answers.get((assignment, question.code), (None, None))
        if question.kind == "preference" and value is not None:
            value = slots[assignment, value - 1] == row["stimulus_id"]
        return value, unable

    found = []
    for row in expected_assignments(session, study):
        if row["item_kind"] != "main":
            continue
        rater = raters[row["rater_code"]]
        left_out = ("protocol_version", "item_kind", "repeat_of_item_id", "judged_at")
        wide = {name: value for name, value in row.items() if name not in left_out}
        wide |= {
            "specialty": rater.specialty, "years_experience": rater.years_experience,
            "is_independent": rater.is_independent,
            "seen_before": seen[row["assignment_id"]] if row["judged_at"] else None,
        }  # fmt: skip
        for question in questions:
            name = "preferred" if question.kind == "preference" else "value"
            code = question.code
            first = told(row, row["assignment_id"], question)
            wide[f"{name}_{code}"], wide[f"cannot_judge_{code}"] = first
            second = told(row, repeats.get(row["assignment_id"]), question)
            wide[f"repeat_{name}_{code}"], wide[f"repeat_cannot_judge_{code}"] = second
        found.append(wide)
    return found


def expected_small(session: Session, study: Study) -> dict[str, Rows]:
    study_cells = {"study_code": study.code, "study_kind": study.kind}
    prompts = session.scalars(
        select(Prompt).where(Prompt.study_id == study.id).order_by(Prompt.id)
    )
    questions = session.scalars(
        select(Question).where(Question.study_id == study.id).order_by(Question.position)
    )
    remarks: Rows = []
    for rater in session.scalars(
        select(Rater).where(Rater.study_id == study.id).order_by(Rater.code)
    ):
        own = select(Assignment).where(Assignment.rater_id == rater.id)
        said = [
            (shown.id, shown.remark)
            for shown in session.scalars(own.order_by(Assignment.position))
            if shown.remark is not None
        ]
        said += [(None, rater.closing_remark)] if rater.closing_remark else []
        remarks += [
            {"rater_code": rater.code, "assignment_id": shown, "remark": text}
            for shown, text in said
        ]
    small = {
        "prompts.csv": [{"prompt_id": each.code, "text": each.text} for each in prompts],
        "questions.csv": [
            {"question": each.code, "text": each.text, "kind": each.kind, "step": each.step,
             "point": each.minimum + place, "label": label,
             "has_cannot_judge": each.has_cannot_judge}
            for each in questions
            for place, label in enumerate(each.labels)
        ],
        "remarks.csv": remarks,
    }  # fmt: skip
    return {name: [study_cells | row for row in rows] for name, rows in small.items()}


def as_json(value: Any) -> str | None:
    if value is None:
        return None
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def expected_stimuli(session: Session, study: Study) -> Rows:
    rows = session.execute(
        select(Stimulus, Prompt.code, Arm)
        .join(Prompt, Prompt.id == Stimulus.prompt_id)
        .outerjoin(Arm, Arm.id == Stimulus.arm_id)
        .where(Stimulus.study_id == study.id)
        .order_by(Stimulus.id)
    )
    return [
        {
            "study_code": study.code, "study_kind": study.kind, "role": stimulus.role,
            "prompt_id": prompt, **picture(stimulus, arm), "pixel_sha256": stimulus.pixel_sha256,
            "width_px": stimulus.width_px, "height_px": stimulus.height_px,
            "colour_mode": stimulus.colour_mode,
            "expected": as_json(stimulus.expected),
            "harmonisation": as_json(stimulus.harmonisation),
            "provenance": as_json(stimulus.provenance),
            "source_name": stimulus.source_name,
        }
        for stimulus, prompt, arm in rows
    ]  # fmt: skip


def expected_tables(database: Database, code: str) -> dict[str, Rows]:
    """Returns every table with the values that the database holds."""
    with database.read() as session:
        study = session.scalars(select(Study).where(Study.code == code)).one()
        return {
            "ratings_long.csv": expected_ratings(session, study),
            "assignments.csv": expected_assignments(session, study),
            "answer_history.csv": expected_history(session, study),
            "ratings_wide.csv": expected_wide(session, study),
            "stimuli.csv": expected_stimuli(session, study),
            **expected_small(session, study),
        }


# ------------------------------------------------------------------ reading as the dictionary says


def blocks(folder: Path, language: str) -> list[str]:
    """Returns the code of a language in the readable dictionary."""
    text = (folder / "dictionary.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def read_with_pandas(folder: Path) -> dict[str, pd.DataFrame]:
    """Returns all tables, read by the code in the dictionary."""
    names: dict[str, Any] = {}
    before = Path.cwd()
    os.chdir(folder)
    try:
        for block in blocks(folder, "python"):
            exec(compile(block, "dictionary.md", "exec"), names)
    finally:
        os.chdir(before)
    return {
        f"{name}.csv": table for name, table in names.items() if isinstance(table, pd.DataFrame)
    }


def plain(value: Any) -> Any:
    """Returns a value of pandas as plain Python has it."""
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.item() if hasattr(value, "item") else value


def compare(told: Rows, expected: Rows) -> None:
    assert len(told) == len(expected)
    assert expected, "nothing was compared"
    assert set(told[0]) == set(expected[0])
    for number, (row, right) in enumerate(zip(told, expected, strict=True)):
        assert row == {name: right[name] for name in row}, number


DUMP = r"""
# Writes every table as one line a cell: NA or the bytes of its text, in hexadecimal digits.
shown <- function(column) {
  text <- if (inherits(column, "POSIXct")) sprintf("%.6f", as.numeric(column))
          else if (is.double(column)) sprintf("%.17g", column)
          else as.character(column)
  text <- enc2utf8(text)
  vapply(seq_along(text), function(place) {
    if (is.na(column[place])) "NA" else paste0("x", paste(charToRaw(text[place]), collapse = ""))
  }, "")
}
for (file in list.files(".", pattern = "[.]csv$")) {
  table <- get(sub("[.]csv$", "", file))
  lines <- c(names(table), unlist(lapply(table, shown), use.names = FALSE))
  writeLines(c(as.character(dim(table)), lines), file.path("dump", file))
}
"""


def read_with_r(folder: Path) -> dict[str, Rows]:
    """Returns all tables, read by the code in the dictionary, every cell as text or None."""
    shutil.rmtree(folder / "dump", ignore_errors=True)
    (folder / "dump").mkdir()
    script = "\n".join((*blocks(folder, "r"), DUMP))
    (folder / "dump" / "read.R").write_text(script, encoding="utf-8")
    done = subprocess.run(
        ["Rscript", "--vanilla", "dump/read.R"], cwd=folder, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tables = {}
    for file in (folder / "dump").glob("*.csv"):
        height, width, *lines = file.read_text(encoding="utf-8").split("\n")[:-1]
        rows, columns = int(height), int(width)
        names, cells = lines[:columns], lines[columns:]
        assert len(cells) == rows * columns
        texts = [None if cell == "NA" else bytes.fromhex(cell[1:]).decode() for cell in cells]
        tables[file.name] = [
            {name: texts[place * rows + row] for place, name in enumerate(names)}
            for row in range(rows)
        ]
    return tables


def as_r_tells(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime.datetime):
        since = value - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        whole, part = divmod(since // datetime.timedelta(microseconds=1), 1_000_000)
        return f"{whole}.{part:06d}"
    return f"{value:.17g}" if isinstance(value, float) else str(value)


# ------------------------------------------------------------------ tests


def test_scribbled_texts_come_back_from_pandas_as_the_database_has_them(
    database: Database, tmp_path: Path
) -> None:
    code = write_scribbled_study(database)
    export_study(database, code, tmp_path / "out", has_excel=False)
    tables, expected = read_with_pandas(tmp_path / "out"), expected_tables(database, code)
    for file, rows in expected.items():
        told = [
            {name: plain(value) for name, value in row.items()}
            for row in tables[file].astype(object).to_dict("records")
        ]
        compare(told, rows)
    assert {row["text"] for row in expected["prompts.csv"]} >= {text.strip() for text in TEXTS}
    assert {row["remark"] for row in expected["remarks.csv"]} >= set(REMARKS)
    assert {"NA", '=arm,1'} <= {row["arm"] for row in expected["ratings_long.csv"]}
    assert {None, "NA"} <= {row["model"] for row in expected["ratings_long.csv"]}
    assert {0, 2**64 - 1, 17, 2**53 + 1} <= {row["seed"] for row in expected["stimuli.csv"]}
    assert any(row["edits"] for row in expected["ratings_long.csv"])


def test_scribbled_texts_come_back_from_r_as_the_database_has_them(
    scribbled: tuple[Database, str, Path]
) -> None:
    need_r()
    database, code, folder = scribbled
    tables, expected = read_with_r(folder), expected_tables(database, code)
    for file, rows in expected.items():
        compare(
            tables[file],
            [{name: as_r_tells(value) for name, value in row.items()} for row in rows],
        )


@pytest.mark.parametrize("display", ["single", "side_by_side"])
def test_an_ordinary_main_study_comes_back_from_pandas_and_r(
    sqlite_database: Database, tmp_path: Path, display: str
) -> None:
    need_r()
    prompts = 4 if display == "single" else 12
    code = write_answered_study(
        sqlite_database, raters=3, prompts=prompts, reals=4, display=display, repeat_share=0.2
    )
    export_study(sqlite_database, code, tmp_path / "out", has_excel=False)
    in_pandas = read_with_pandas(tmp_path / "out")
    in_r, expected = read_with_r(tmp_path / "out"), expected_tables(sqlite_database, code)
    for file, rows in expected.items():
        told = [
            {name: plain(value) for name, value in row.items()}
            for row in in_pandas[file].astype(object).to_dict("records")
        ]
        compare(told, rows)
        compare(in_r[file], [{k: as_r_tells(v) for k, v in row.items()} for row in rows])
    wide = expected["ratings_wide.csv"]
    question = "preferred_preference" if display == "side_by_side" else "value_realism"
    assert any(row[question] for row in wide) and any(row[f"repeat_{question}"] for row in wide)


def test_the_public_variant_reads_back_and_agrees_with_the_full_one(
    scribbled: tuple[Database, str, Path], tmp_path: Path
) -> None:
    database, code, folder = scribbled
    export_study(database, code, tmp_path / "public", variant="public", has_excel=False)
    full, public = read_with_pandas(folder), read_with_pandas(tmp_path / "public")
    assert set(full) - set(public) == {"remarks.csv"}
    for file in ("ratings_long.csv", "assignments.csv", "answer_history.csv", "ratings_wide.csv"):
        same = [
            name
            for name in public[file].columns
            if name in full[file].columns and name != "years_experience"
        ]
        pd.testing.assert_frame_equal(public[file][same], full[file][same])
    ratings, relative = full["ratings_long.csv"], public["ratings_long.csv"]
    first = full["assignments.csv"].groupby("rater_code")["shown_at"].min()
    for name in ("shown", "judged", "submitted", "saved"):
        since = ratings[f"{name}_at"] - ratings["rater_code"].map(first)
        exact = since // pd.Timedelta(microseconds=1)
        told = (relative[f"{name}_s"].astype("float") * 1e6).round()
        assert (exact.astype("float").fillna(-1) == told.fillna(-1)).all()
    assert (relative["shown_s"] >= 0).all() and (relative["shown_s"] == 0).any()
    assert set(relative["years_experience"]) <= {"0-4", "5-9", "10-19", "20+"}


def test_the_canonical_file_is_rfc_4180_with_line_feeds(
    scribbled: tuple[Database, str, Path]
) -> None:
    _, _, folder = scribbled
    for file in folder.glob("*.csv"):
        content = file.read_bytes()
        assert not content.startswith(b"\xef\xbb\xbf") and content.endswith(b"\n")
        outside = re.sub(rb'"(?:[^"]|"")*"', b"", content)
        assert b"\r" not in outside and b'"' not in outside
        rows = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
        assert len({len(row) for row in rows}) == 1 and len(rows) > 1
