"""Contract: whatever is changed in a study's log, or after its lock in its data, is found."""

import itertools

import pytest
from sqlalchemy import select, text

from rating.storage.database import Database
from rating.storage.events import FIRST_HASH, verify_events, verify_root
from rating.storage.models import Event, Study
from rating.study.desk import RatingDesk
from rating.study.studies import Studies
from tests.rating_play import play
from tests.rating_study import TITLE, enrol, invite, write_study

# One change each; together they touch every table that a result stands on.
CHANGES = (
    "UPDATE study SET title = 'Another'",
    "UPDATE study SET seed = seed + 1",
    "UPDATE protocol_version SET content = replace(content, 'realistic', 'nice')",
    "UPDATE question SET text = 'Nice?' WHERE position = 0",
    "UPDATE stimulus SET arm_id = (SELECT max(id) FROM arm) WHERE role = 'main'",
    "UPDATE stimulus SET prompt_id = (SELECT min(id) FROM prompt)",
    "UPDATE stimulus_image SET png = (SELECT png FROM stimulus_image ORDER BY stimulus_id LIMIT 1)",
    "UPDATE rater SET years_experience = 1",
    "UPDATE rater SET closing_remark = 'forged'",
    "UPDATE assignment SET visible_ms = visible_ms + 1 WHERE position = 0",
    "UPDATE assignment SET submitted_at = shown_at WHERE position = 1",
    "UPDATE assignment SET remark = 'forged' WHERE position = 3",
    "UPDATE answer SET value = 2 WHERE id = (SELECT min(id) FROM answer WHERE value <> 2)",
    "UPDATE answer_version SET value = 2 "
    "WHERE id = (SELECT min(id) FROM answer_version WHERE value <> 2)",
    "DELETE FROM answer_version WHERE id = (SELECT max(id) FROM answer_version)",
    "INSERT INTO defect_tag (assignment_slot_id, tag) "
    "SELECT max(id), 'anatomy' FROM assignment_slot",
)
LOG_CHANGES = (
    "UPDATE event SET kind = 'nothing' WHERE sequence = 1",
    "UPDATE event SET details = '[]' WHERE sequence = 2",
    "UPDATE event SET actor = 'somebody' WHERE sequence = 0",
    "DELETE FROM event WHERE sequence = 2",
    "DELETE FROM event WHERE sequence = 0",
    "DELETE FROM event WHERE kind = 'locked'",
    "UPDATE event SET sequence = sequence + 100 WHERE sequence = 1",
)


def locked_study(database: Database) -> str:
    code = write_study(database, 2, 4, 2, 1)
    rater_id = enrol(database, invite(database, code)[0][1])
    desk = RatingDesk(database, "0")
    for _ in play(desk, rater_id):
        pass
    desk.closing(rater_id, "")
    Studies(database).lock(code, TITLE, actor="test")
    return code


def verified(database: Database) -> list[str]:
    with database.read() as session:
        study = session.scalars(select(Study)).one()
        return verify_events(session, study) + verify_root(session, study)


def test_a_locked_study_stays_whole(database: Database):
    locked_study(database)
    assert verified(database) == []
    with database.read() as session:
        events = session.scalars(select(Event).order_by(Event.sequence)).all()
        root = session.scalars(select(Study.root_hash)).one()
    assert events[0].previous_hash == FIRST_HASH and events[0].kind == "created"
    assert events[-1].kind == "locked" and root in events[-1].details
    assert all(b.previous_hash == a.hash for a, b in itertools.pairwise(events))
    told = " ".join(event.details for event in events)
    assert "flux" not in told and "msdm" not in told


@pytest.mark.parametrize("change", [*CHANGES, *LOG_CHANGES])
def test_a_change_after_the_lock_is_found(sqlite_database: Database, change: str):
    locked_study(sqlite_database)
    with sqlite_database.write() as session:
        changed = session.execute(text(change))
        assert changed.rowcount > 0  # else nothing was tried
    assert verified(sqlite_database) != []
