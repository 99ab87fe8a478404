"""Contract: raters who enrol at once are drawn one after the other, balanced, and for good."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from rating.storage.database import Database
from rating.storage.events import verify_events
from rating.storage.models import Assignment, AssignmentSlot, Item, Rater
from rating.study.conduct import invite_auditor
from rating.study.desk import RatingDesk
from rating.study.lookup import claim_study, find_study
from rating.study.studies import Studies
from tests.rating_play import play_items
from tests.rating_study import enrol, invite, write_study

RATERS = 8


def exposures(database: Database, active: list[int]) -> Counter[int]:
    with database.read() as session:
        rows = session.execute(
            select(Item.id, func.count(Assignment.id))
            .outerjoin(
                Assignment, (Assignment.item_id == Item.id) & Assignment.rater_id.in_(active)
            )
            .where(Item.kind == "main")
            .group_by(Item.id)
        )
        return Counter({item_id: count for item_id, count in rows})


def test_raters_who_enrol_at_once_get_places_of_their_own_and_even_shares(database: Database):
    code = write_study(database, 3, 6, 6, 2, items_per_rater=12)
    links = [token for _, token in invite(database, code, RATERS)]
    with ThreadPoolExecutor(RATERS) as threads:
        raters = list(threads.map(lambda link: enrol(database, link), links))
    with database.read() as session:
        indices = session.scalars(select(Rater.enrolment_index)).all()
        assert sorted(indices) == list(range(RATERS))
        assert verify_events(session, find_study(session, code)) == []
    counts = exposures(database, raters)
    with database.read() as session:
        reals = set(session.scalars(select(AssignmentSlot.stimulus_id).join(Assignment)))
    assert reals and sum(counts.values()) == RATERS * 12
    assert max(counts.values()) - min(counts.values()) <= 2


def test_enrolling_twice_draws_once(database: Database):
    code = write_study(database, 2, 4, 2, 1)
    rater_id = enrol(database, invite(database, code)[0][1])
    desk = RatingDesk(database, "0")
    before = desk.state(rater_id)
    assert desk.profile(rater_id, "Radiology", 30) == before
    with database.read() as session:
        assert session.get_one(Rater, rater_id).specialty == "Gastroenterology"


@pytest.mark.parametrize("end", ["revoke", "withdraw"])
def test_raters_after_drop_outs_close_the_spread(database: Database, end: str):
    code = write_study(database, 2, 6, 4, 1, items_per_rater=8)
    raters = [enrol(database, token) for _, token in invite(database, code, 4)]
    play_items(RatingDesk(database, "0"), raters[1], 2)
    for number in (1, 2):
        if end == "revoke":
            Studies(database).revoke(code, f"R0{number + 1}", actor="test")
        else:
            RatingDesk(database, "0").withdraw(raters[number], False)
    progress = Studies(database).progress(code)
    assert progress.dropped_out == 2
    for _ in range(4):
        raters.append(enrol(database, invite(database, code)[0][1]))
    counts = exposures(database, [raters[0], raters[3], *raters[4:]])
    assert max(counts.values()) - min(counts.values()) <= 2
    assert Studies(database).progress(code).top_up_raters == 0


def test_a_rater_of_an_audit_takes_no_place_and_no_share(database: Database):
    code = write_study(database, 2, 4, 2, 1)
    with database.write() as session:
        token = invite_auditor(session, claim_study(session, code, "open"))
    auditor = enrol(database, token)
    rater_id = enrol(database, invite(database, code)[0][1])
    with database.read() as session:
        assert session.get_one(Rater, rater_id).enrolment_index == 0
        assert session.get_one(Rater, auditor).enrolment_index > 0
    progress = Studies(database).progress(code)
    assert [rater.code for rater in progress.raters] == ["R01"]
    assert progress.most_exposure == 1


def test_side_by_side_shows_every_arm_in_slots_of_their_own(database: Database):
    code = write_study(database, 3, 6, 0, 0, display="side_by_side", repeat_share=0.0)
    rater_id = enrol(database, invite(database, code)[0][1])
    state = RatingDesk(database, "0").state(rater_id)
    assert len(state["item"]["images"]) == 3 and state["item"]["step_count"] == 1
    assert state["item"]["prompt"]
    points = state["item"]["questions"][0]["points"]
    assert [point["label"] for point in points] == ["A", "B", "C"]
    with database.read() as session:
        places = session.execute(
            select(
                AssignmentSlot.assignment_id, func.count(func.distinct(AssignmentSlot.stimulus_id))
            ).group_by(AssignmentSlot.assignment_id)
        ).all()
    assert {count for _, count in places} == {3}


def test_the_same_seed_gives_the_same_order(tmp_path):
    orders = []
    for name in ("a", "b"):
        opened = Database.open(f"sqlite:///{tmp_path / name}.sqlite3")
        code = write_study(opened, 2, 5, 3, 2)
        rater_id = enrol(opened, invite(opened, code)[0][1])
        with opened.read() as session:
            orders.append(
                session.scalars(
                    select(Assignment.item_id)
                    .where(Assignment.rater_id == rater_id)
                    .order_by(Assignment.position)
                ).all()
            )
        opened.close()
    assert orders[0] == orders[1]
