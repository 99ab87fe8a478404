"""Contract: an answer that was acknowledged outlives a kill at any moment, and none is there twice.

A process answers items one after the other, tells each one that was acknowledged, and is killed.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import func, select, text

from rating.storage.database import Database
from rating.storage.models import Answer, AnswerVersion, Assignment, Question, Submission
from rating.study.desk import RatingDesk
from tests.rating_play import play
from tests.rating_study import enrol, invite, write_study
from tests.server import ROOT

KILLS = 5
ANSWERING = """
import sys
from rating.storage.database import Database
from rating.study.desk import RatingDesk
from tests.rating_play import play
desk = RatingDesk(Database.open(sys.argv[1]), "0")
print("ready", flush=True)
for item, saved in play(desk, int(sys.argv[2]), lambda item: 3):
    print(item["token"], item["step"], flush=True)
"""


def answer_until_killed(url: str, rater_id: int, for_s: float) -> list[tuple[str, int]]:
    """Returns the steps that were acknowledged before the process was killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", ANSWERING, url, str(rater_id)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(for_s)
    process.send_signal(signal.SIGKILL)
    told = process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    whole = [line.split() for line in told if line.endswith("\n")]
    return [(token, int(step)) for token, step in whole]


def saved_steps(database: Database) -> set[tuple[str, int]]:
    with database.read() as session:
        rows = session.execute(
            select(Assignment.token, Submission.step).join(
                Submission, Submission.assignment_id == Assignment.id
            )
        )
        return {(token, step) for token, step in rows}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")
def test_no_acknowledged_answer_is_lost_to_a_kill(database: Database, database_url: str):
    code = write_study(database, 3, 30, 10, 2)
    rater_id = enrol(database, invite(database, code)[0][1])
    rng = random.Random(7)
    acknowledged: set[tuple[str, int]] = set()
    for _ in range(KILLS):
        told = answer_until_killed(database_url, rater_id, rng.uniform(0.05, 0.7))
        assert acknowledged.isdisjoint(told)
        acknowledged |= set(told)
        assert acknowledged <= saved_steps(database)
    assert acknowledged
    if database.is_sqlite:
        with database.read() as session:
            assert session.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    _check_whole(database, rater_id)


def _check_whole(database: Database, rater_id: int) -> None:
    """Every step is there wholly or not at all, in order, and rating goes on to the end."""
    with database.read() as session:
        per_step = {
            step: set(session.scalars(select(Question.id).where(Question.step == step)))
            for step in (1, 2)
        }
        done = session.execute(
            select(Assignment.id, Assignment.steps_done, Assignment.submitted_at)
            .where(Assignment.rater_id == rater_id)
            .order_by(Assignment.position)
        ).all()
        for assignment_id, steps_done, submitted_at in done:
            answered = set(
                session.scalars(
                    select(Answer.question_id).where(Answer.assignment_id == assignment_id)
                )
            )
            expected = set().union(*(per_step[step] for step in range(1, steps_done + 1)))
            assert answered == expected
            assert (submitted_at is not None) == (steps_done == 2)
        open_places = [place for place, row in enumerate(done) if row.submitted_at is None]
        assert open_places == list(range(len(done) - len(open_places), len(done)))
    for _ in play(RatingDesk(database, "0"), rater_id, lambda item: 3):
        pass
    with database.read() as session:
        answers = session.scalar(select(func.count()).select_from(Answer))
        versions = session.scalar(select(func.count()).select_from(AnswerVersion))
    assert answers == versions == 3 * len(done)
