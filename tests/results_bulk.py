"""Very many answers, written past the raters' desk: for measuring what grows with their number."""

import dataclasses
import datetime
import hashlib
import random
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from rating.storage.database import Database
from rating.storage.guards import drop_guards, set_guards
from rating.storage.models import (
    Answer,
    AnswerVersion,
    Assignment,
    AssignmentSlot,
    Item,
    ItemStimulus,
    Question,
    Rater,
    Study,
)
from rating.storage.transfer import set_sequences

TABLES = (Rater, Assignment, AssignmentSlot, Answer, AnswerVersion)
START = datetime.datetime(2025, 3, 1, 9, 0, 0, 123, datetime.UTC)


@dataclasses.dataclass
class Drawn:
    """What rows are made from, and the last key of each table."""

    study_id: int
    questions: Sequence[Question]
    shown: Sequence[tuple[int, int]]  # item, stimulus
    last: dict[Any, int]
    rng: random.Random

    def key(self, table: Any) -> int:
        self.last[table] += 1
        return self.last[table]


def write_many_answers(database: Database, code: str, raters: int) -> int:
    """Lets made-up raters answer all main items of an open study; returns the number of answers.

    Each item has been answered in full and one answer in ten was changed once.
    """
    with database.write() as session:
        drop_guards(session.connection())
        study = session.scalars(select(Study).where(Study.code == code)).one()
        questions = select(Question).where(Question.study_id == study.id)
        shown = (
            select(Item.id, ItemStimulus.stimulus_id)
            .join(ItemStimulus, ItemStimulus.item_id == Item.id)
            .where(Item.study_id == study.id, Item.kind == "main")
        )
        drawn = Drawn(
            study.id,
            session.scalars(questions.order_by(Question.position)).all(),
            session.execute(shown).all(),
            {table: session.scalar(select(func.max(table.id))) or 0 for table in TABLES},
            random.Random(1),
        )
        for number in range(raters):
            _write_rater(session, drawn, number)
        set_sequences(session.connection(), [table.__table__ for table in TABLES])
        set_guards(session.connection())
        return raters * len(drawn.shown) * len(drawn.questions)


def _write_rater(session: Session, drawn: Drawn, number: int) -> None:
    rows: dict[Any, list[dict[str, Any]]] = {table: [] for table in TABLES}
    rater_id = drawn.key(Rater)
    rows[Rater].append({
        "id": rater_id, "study_id": drawn.study_id, "code": f"M{rater_id}", "is_audit": False,
        "link_sha256": hashlib.sha256(str(rater_id).encode()).hexdigest(), "invited_at": START,
        "consented_at": START, "consent_sha256": "ab" * 32, "is_independent": True,
        "specialty": "Gastroenterology", "years_experience": number % 40,
        "enrolment_index": 10_000 + rater_id, "enrolled_at": START,
    })  # fmt: skip
    for position, (item_id, stimulus_id) in enumerate(drawn.shown):
        moment = START + datetime.timedelta(seconds=10 * position, microseconds=number)
        assignment_id = drawn.key(Assignment)
        rows[Assignment].append({
            "id": assignment_id, "study_id": drawn.study_id, "rater_id": rater_id,
            "item_id": item_id, "position": position, "token": f"bulk-{assignment_id}",
            "protocol_version": 1, "steps_done": 2, "shown_at": moment, "judged_at": moment,
            "submitted_at": moment, "visible_ms": 4_000 + position, "is_seen_before": False,
            "viewport_width_px": 1280, "viewport_height_px": 800, "device_pixel_ratio": 1.5,
            "app_version": "1.2.3",
        })  # fmt: skip
        rows[AssignmentSlot].append({
            "id": drawn.key(AssignmentSlot), "study_id": drawn.study_id,
            "assignment_id": assignment_id, "slot": 0, "stimulus_id": stimulus_id,
            "token": f"bulk-{assignment_id}",
        })  # fmt: skip
        for question in drawn.questions:
            _add_answer(rows, drawn, assignment_id, question, moment)
    for table, listed in rows.items():
        session.execute(insert(table.__table__), listed)


def _add_answer(
    rows: dict[Any, list[dict[str, Any]]], drawn: Drawn, assignment_id: int, question: Question,
    moment: datetime.datetime,
) -> None:  # fmt: skip
    answer_id, revisions = drawn.key(Answer), 2 if drawn.rng.random() < 0.1 else 1
    saved: dict[str, Any] = {}
    for revision in range(1, revisions + 1):
        saved = {
            "revision": revision, "value": drawn.rng.randint(question.minimum, question.maximum),
            "is_cannot_judge": False, "saved_at": moment,
        }  # fmt: skip
        rows[AnswerVersion].append(
            {"id": drawn.key(AnswerVersion), "answer_id": answer_id, **saved}
        )
    rows[Answer].append({
        "id": answer_id, "study_id": drawn.study_id, "assignment_id": assignment_id,
        "question_id": question.id, **saved,
    })  # fmt: skip
