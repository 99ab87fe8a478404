"""Contract: a step is taken once, durably and in order; whatever else arrives changes nothing.

Everything runs on SQLite and on PostgreSQL.
"""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, func, select

from rating.audit.search import ALLOWED_JSON
from rating.errors import AccessError, AnswerError, StaleError
from rating.storage.database import Database
from rating.storage.models import (
    Answer,
    AnswerVersion,
    Assignment,
    AssignmentSlot,
    DefectTag,
    Event,
    Item,
    Mark,
    Rater,
    Stimulus,
    StimulusImage,
    Submission,
)
from rating.study.desk import RatingDesk
from rating.study.protocol import Consent
from rating.study.studies import Studies
from tests.rating_play import play, play_items, sent
from tests.rating_study import enrol, invite, write_study


@pytest.fixture
def study(database: Database) -> str:
    return write_study(database, 2, 4, 4, 2, checks=1)


@pytest.fixture
def desk(database: Database) -> RatingDesk:
    return RatingDesk(database, "1.2.3")


@pytest.fixture
def rater_id(database: Database, study: str) -> int:
    return enrol(database, invite(database, study)[0][1])


def rows(database: Database, table: type) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def unknown(values: Any, allowed: Any, path: str = "") -> list[str]:
    if isinstance(values, list):
        return [name for inner in values for name in unknown(inner, allowed, path)]
    if not isinstance(values, dict) or allowed is None:
        return []
    return [
        name
        for key, inner in values.items()
        for name in ([f"{path}.{key}"] if key not in allowed else
                     unknown(inner, allowed[key], f"{path}.{key}"))
    ]  # fmt: skip


def test_a_rater_goes_from_consent_to_thanks(database: Database, study: str, desk: RatingDesk):
    rater_id = desk.rater_of_link(invite(database, study)[0][1])
    state = desk.state(rater_id)
    assert state["phase"] == "consent" and "item" not in state
    state = desk.consent(rater_id, state["consent"]["sha256"], True)
    assert state["phase"] == "profile"
    state = desk.profile(rater_id, state["profile"]["specialties"][0], 7)
    assert state["phase"] == "practice" and state["progress"]["practice_total"] == 2
    phases = [saved.state["phase"] for _, saved in play(desk, rater_id)]
    assert phases[-1] == "closing" and set(phases) == {"practice", "rating", "closing"}
    assert desk.closing(rater_id, "clear images")["phase"] == "done"
    with database.read() as session:
        rater = session.get_one(Rater, rater_id)
        assert rater.completed_at and rater.closing_remark == "clear images"
        kinds = Counter(
            session.scalars(
                select(Item.kind).join(Assignment).where(Assignment.rater_id == rater_id)
            )
        )
        # 2 arms x 4 prompts and 4 real images, a tenth of them again, one check.
        assert kinds == {"practice": 2, "main": 12, "repeat": 1, "check": 1}
        assert not session.scalars(
            select(Assignment.id).where(Assignment.submitted_at.is_(None))
        ).all()


def test_the_prompt_is_told_only_when_the_first_answers_are_final(desk: RatingDesk, rater_id: int):
    for item, saved in play(desk, rater_id):
        if item["step"] == 1:
            assert item["prompt"] is None
            assert saved.state["item"]["token"] == item["token"]
            assert saved.state["item"]["prompt"]
            assert [each["code"] for each in saved.state["item"]["answered"]] == [
                "origin", "realism",
            ]  # fmt: skip


def test_a_browser_is_told_nothing_but_what_is_documented(
    database: Database, study: str, desk: RatingDesk
):
    rater_id = desk.rater_of_link(invite(database, study)[0][1])
    state = desk.state(rater_id)
    states = [state]
    states.append(desk.consent(rater_id, state["consent"]["sha256"], True))
    states.append(desk.profile(rater_id, "Radiology", 3))
    states += [saved.state for _, saved in play(desk, rater_id)]
    assert [name for each in states for name in unknown(each, ALLOWED_JSON)] == []


def without_what_may_differ(item: dict[str, Any]) -> dict[str, Any]:
    """Returns an item but for its place, its token, its pictures' addresses and its prompt."""
    plain = {
        name: value
        for name, value in item.items()
        if name not in {"token", "number", "previous", "prompt"}
    }
    return {**plain, "images": [{**each, "url": ""} for each in item["images"]]}


def test_items_of_all_arms_and_kinds_differ_in_token_picture_and_prompt_alone(
    database: Database, desk: RatingDesk, rater_id: int
):
    seen: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    kinds, arms = set(), set()
    for item, saved in play(desk, rater_id, lambda _: 3):
        with database.read() as session:
            kind, arm_id = session.execute(
                select(Item.kind, Stimulus.arm_id)
                .join(Assignment, Assignment.item_id == Item.id)
                .join(AssignmentSlot, AssignmentSlot.assignment_id == Assignment.id)
                .join(Stimulus, Stimulus.id == AssignmentSlot.stimulus_id)
                .where(Assignment.token == item["token"])
            ).one()
        assert item["is_practice"] == (kind == "practice")
        assert (item["prompt"] is None) == (item["step"] == 1)
        if kind != "practice":
            kinds.add(kind)
            arms.add(arm_id)
            seen[item["step"]].append(without_what_may_differ(item))
            frame = {name: saved.state[name] for name in ("study", "rater", "protocol")}
            seen[item["step"]][-1]["frame"] = frame
    assert kinds == {"main", "repeat", "check"} and len(arms) == 4  # two models, real, none
    for items in seen.values():
        assert len(items) == 14 and all(item == items[0] for item in items)


def test_the_same_request_again_changes_nothing_and_says_so(
    database: Database, desk: RatingDesk, rater_id: int
):
    item = desk.state(rater_id)["item"]
    request = sent(item, 2)
    first = desk.answer(rater_id, request)
    before = rows(database, Answer), rows(database, AnswerVersion), rows(database, Submission)
    again = desk.answer(rater_id, request)
    assert (first.result, again.result) == ("saved", "already_saved")
    assert again.state == first.state
    assert before == (
        rows(database, Answer), rows(database, AnswerVersion), rows(database, Submission)
    )  # fmt: skip


def test_another_tab_that_is_behind_is_told_so_and_saves_nothing(
    database: Database, desk: RatingDesk, rater_id: int
):
    item = desk.state(rater_id)["item"]
    desk.answer(rater_id, sent(item, 2))
    with pytest.raises(StaleError) as stale:
        desk.answer(rater_id, sent(item, 3))
    assert stale.value.code == "already_answered"
    with database.read() as session:
        assert set(session.scalars(select(Answer.value))) == {2}


def test_no_step_and_no_item_can_be_skipped(database: Database, desk: RatingDesk, rater_id: int):
    item = desk.state(rater_id)["item"]
    with database.read() as session:
        later = session.scalars(
            select(Assignment.token).where(
                Assignment.rater_id == rater_id, Assignment.position == 2
            )
        ).one()
    for request in (sent({**item, "token": later}), sent({**item, "step": 2})):
        with pytest.raises(StaleError) as stale:
            desk.answer(rater_id, request)
        assert stale.value.code == "not_current"
    assert rows(database, Answer) == 0


def test_items_of_another_rater_are_not_there(
    database: Database, study: str, desk: RatingDesk, rater_id: int
):
    other = enrol(database, invite(database, study)[0][1])
    item = desk.state(rater_id)["item"]
    image = item["images"][0]["url"].rsplit("/", 1)[1].removesuffix(".png")
    assert desk.image(rater_id, image)
    with pytest.raises(AccessError) as refused:
        desk.answer(other, sent(item))
    assert refused.value.status == 404
    with pytest.raises(AccessError):
        desk.image(other, image)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"answers": {"origin": 3}}, "realism"),
        ({"answers": {"origin": 7, "realism": 1}}, "origin"),
        ({"answers": {"origin": 0, "realism": 1}}, "origin"),
        ({"answers": {"origin": 1, "realism": 1, "alignment": 1}}, "alignment"),
        ({"cannot_judge": ["taste"]}, "taste"),
        ({"tags": [{"slot": 0, "tag": "haunted"}]}, "tags"),
        ({"marks": [{"slot": 1, "x": 0.5, "y": 0.5, "tag": None}]}, "marks"),
    ],
)
def test_an_answer_that_cannot_be_kept_is_refused_by_field_and_leaves_nothing(
    database: Database, desk: RatingDesk, rater_id: int, changes: dict[str, Any], field: str
):
    item = desk.state(rater_id)["item"]
    with pytest.raises(AnswerError) as refused:
        desk.answer(rater_id, sent(item, 1, **changes))
    assert field in refused.value.fields
    assert (rows(database, Answer), rows(database, Submission)) == (0, 0)
    assert desk.answer(rater_id, sent(item, 1)).result == "saved"


def test_extras_are_kept_and_replaced_until_the_item_is_submitted(
    database: Database, desk: RatingDesk, rater_id: int
):
    item = desk.state(rater_id)["item"]
    marks = [
        {"slot": 0, "x": 0.25, "y": 1, "tag": "colour"},
        {"slot": 0, "x": 0, "y": 0, "tag": None},
    ]
    saved = desk.answer(
        rater_id,
        sent(item, 1, tags=[{"slot": 0, "tag": "anatomy"}], marks=marks, remark="odd\x07 fold\r\n",
             is_seen_before=True, cannot_judge=["realism"], answers={"origin": 1}),
    )  # fmt: skip
    kept = saved.state["item"]["saved"]
    assert kept["tags"] == [{"slot": 0, "tag": "anatomy"}] and len(kept["marks"]) == 2
    assert kept["remark"] == "odd fold" and kept["is_seen_before"] is True
    desk.answer(rater_id, sent(saved.state["item"], 1))
    with database.read() as session:
        row = session.scalars(select(Assignment).where(Assignment.token == item["token"])).one()
        assert row.remark is None and not row.is_seen_before
        assert row.visible_ms == 2400 and row.app_version == "1.2.3"
        assert (row.viewport_width_px, row.viewport_height_px) == (1280, 800)
        assert row.device_pixel_ratio == 2
        assert row.shown_at <= row.judged_at <= row.submitted_at
    assert (rows(database, DefectTag), rows(database, Mark)) == (0, 0)


def test_pictures_are_the_stored_bytes_of_the_present_and_the_next_item_alone(
    database: Database, desk: RatingDesk, rater_id: int
):
    state = desk.state(rater_id)
    allowed = [state["item"]["images"][0]["url"], *state["next_images"]]
    tokens = {url.rsplit("/", 1)[1].removesuffix(".png") for url in allowed}
    assert len(tokens) == 2
    with database.read() as session:
        stored = {
            token: png
            for token, png in session.execute(
                select(AssignmentSlot.token, StimulusImage.png)
                .join(Stimulus, Stimulus.id == AssignmentSlot.stimulus_id)
                .join(StimulusImage, StimulusImage.stimulus_id == Stimulus.id)
            )
        }
    for token, png in stored.items():
        if token in tokens:
            assert desk.image(rater_id, token) == png
        else:
            with pytest.raises(AccessError) as refused:
                desk.image(rater_id, token)
            assert refused.value.status == 404


def test_resuming_elsewhere_continues_at_the_lowest_position_not_submitted(
    database: Database, desk: RatingDesk, rater_id: int
):
    state = play_items(desk, rater_id, 5)
    half = desk.answer(rater_id, sent(state["item"])).state
    elsewhere = RatingDesk(database, "9").state(rater_id)
    assert elsewhere == half
    assert elsewhere["item"]["step"] == 2 and elsewhere["item"]["token"] == state["item"]["token"]


def test_the_last_step_of_an_earlier_item_may_be_changed_and_its_history_stays(
    database: Database, desk: RatingDesk, rater_id: int
):
    state = play_items(desk, rater_id, 4)
    token = state["item"]["previous"]
    earlier = desk.item(rater_id, token)
    assert earlier["step"] == 2 and earlier["prompt"] and earlier["token"] == token
    old = earlier["saved"]["answers"]["alignment"]
    request = sent(earlier, old % 5 + 1)
    revised = desk.revise(rater_id, request)
    assert revised.result == "saved" and revised.state["item"]["token"] == state["item"]["token"]
    assert desk.revise(rater_id, request).result == "already_saved"
    assert desk.item(rater_id, token)["saved"]["answers"]["alignment"] == old % 5 + 1
    with database.read() as session:
        answer = session.scalars(select(Answer).where(Answer.revision == 2)).one()
        versions = session.scalars(
            select(AnswerVersion.value)
            .where(AnswerVersion.answer_id == answer.id)
            .order_by(AnswerVersion.revision)
        ).all()
    assert versions == [old, old % 5 + 1]
    desk.revise(rater_id, sent(earlier, old % 5 + 1))
    assert rows(database, AnswerVersion) == rows(database, Answer) + 1  # nothing was changed
    with pytest.raises(StaleError) as frozen:
        desk.revise(rater_id, sent({**earlier, "step": 1, "questions": []}, answers={"origin": 1}))
    assert frozen.value.code == "frozen"


def test_nothing_can_be_changed_where_the_protocol_forbids_it(database: Database):
    code = write_study(database, 2, 4, 2, 0, can_revise=False)
    rater_id = enrol(database, invite(database, code)[0][1])
    desk = RatingDesk(database, "0")
    first = desk.state(rater_id)["item"]
    state = play_items(desk, rater_id, 2)
    assert state["item"]["previous"] is None
    with pytest.raises(StaleError) as frozen:
        desk.item(rater_id, first["token"])
    assert frozen.value.code == "frozen"


@pytest.mark.parametrize("act", ["pause", "lock", "revoke", "withdraw"])
def test_after_pause_lock_revocation_and_withdrawal_no_answer_is_taken(
    database: Database, study: str, desk: RatingDesk, rater_id: int, act: str
):
    state = play_items(desk, rater_id, 3)
    studies, before = Studies(database), rows(database, Answer)
    if act == "pause":
        studies.pause(study, actor="test")
    elif act == "lock":
        studies.lock(study, "Test study", actor="test")
    elif act == "revoke":
        studies.revoke(study, "R01", actor="test")
    else:
        desk.withdraw(rater_id, False)
    with pytest.raises((StaleError, AccessError)) as refused:
        desk.answer(rater_id, sent(state["item"]))
    expected = {"pause": "paused", "lock": "locked", "withdraw": "withdrawn"}
    if act == "revoke":
        assert refused.value.status == 401
    else:
        assert refused.value.code == expected[act]
        assert desk.state(rater_id)["phase"] == expected[act]
    assert rows(database, Answer) == before
    if act == "pause":
        studies.resume(study, actor="test")
        assert desk.answer(rater_id, sent(state["item"])).result == "saved"


def test_erasing_deletes_all_that_was_answered_and_nothing_of_others(
    database: Database, study: str, desk: RatingDesk, rater_id: int
):
    other = enrol(database, invite(database, study)[0][1])
    play_items(desk, other, 3)
    kept = rows(database, Answer)
    item = play_items(desk, rater_id, 3)["item"]
    desk.answer(rater_id, sent(item, tags=[{"slot": 0, "tag": "text"}], remark="mine"))
    assert desk.withdraw(rater_id, True)["phase"] == "withdrawn"
    assert rows(database, Answer) == rows(database, AnswerVersion) == kept
    assert rows(database, DefectTag) == 0
    with database.read() as session:
        rater = session.get_one(Rater, rater_id)
        assert rater.erased_at and rater.specialty is None and rater.years_experience is None
        assert session.scalars(
            select(Assignment.remark).where(Assignment.rater_id == rater_id)
        ).all().count(None) == len(
            session.scalars(select(Assignment.id).where(Assignment.rater_id == rater_id)).all()
        )
        kinds = session.scalars(select(Event.kind)).all()
        details = " ".join(session.scalars(select(Event.details)))
    assert kinds.count("withdrawn") == kinds.count("erased") == 1
    assert "mine" not in details


def test_consent_needs_the_text_that_was_shown(database: Database):
    code = write_study(database, 2, 4, 2, 0, consent=Consent(text="Look at pictures."))
    desk = RatingDesk(database, "0")
    rater_id = desk.rater_of_link(invite(database, code)[0][1])
    with pytest.raises(StaleError):
        desk.consent(rater_id, "0" * 64, True)
    assert desk.state(rater_id)["phase"] == "consent"
    with pytest.raises(AnswerError) as refused:
        desk.consent(rater_id, desk.state(rater_id)["consent"]["sha256"], True)
        desk.profile(rater_id, "Wizard", 100)
    assert set(refused.value.fields) == {"specialty", "years_experience"}


@pytest.mark.parametrize("token", ["", "x", "a" * 43, "'; DROP TABLE rater; --"])
def test_unknown_links_are_refused_alike(
    database: Database, study: str, desk: RatingDesk, token: str
):
    with pytest.raises(AccessError) as unknown_link:
        desk.rater_of_link(token)
    link = invite(database, study)[0][1]
    Studies(database).revoke(study, "R01", actor="test")
    with pytest.raises(AccessError) as revoked:
        desk.rater_of_link(link)
    assert str(unknown_link.value) == str(revoked.value) and revoked.value.status == 404


def test_two_tabs_that_send_at_once_save_exactly_one(
    database: Database, desk: RatingDesk, rater_id: int
):
    for _ in range(4):
        item = desk.state(rater_id)["item"]
        barrier = threading.Barrier(4)

        def send(value: int, item: dict[str, Any] = item, barrier: Any = barrier) -> str:
            barrier.wait()
            try:
                return desk.answer(rater_id, sent(item, value)).result
            except StaleError as error:
                return error.code

        with ThreadPoolExecutor(4) as threads:
            results = Counter(threads.map(send, (1, 2, 3, 4)))
        assert results == {"saved": 1, "already_answered": 3}
    with database.read() as session:
        twice = session.execute(
            select(Answer.assignment_id, Answer.question_id)
            .group_by(Answer.assignment_id, Answer.question_id)
            .having(func.count() > 1)
        ).all()
    assert twice == []


def test_one_request_sent_several_times_at_once_is_saved_once(
    database: Database, desk: RatingDesk, rater_id: int
):
    request = sent(desk.state(rater_id)["item"], 2)
    with ThreadPoolExecutor(4) as threads:
        results = Counter(
            saved.result
            for saved in threads.map(lambda _: desk.answer(rater_id, request), range(4))
        )
    assert results == {"saved": 1, "already_saved": 3}
    assert rows(database, Submission) == 1


def statements_of_an_answer(database: Database, prompts: int, raters: int) -> int:
    code = write_study(database, 2, prompts, 2, 0, repeat_share=0.0, title=f"of {prompts}")
    desk = RatingDesk(database, "0")
    everybody = [enrol(database, token) for _, token in invite(database, code, raters)]
    states = [play_items(desk, rater_id, 3) for rater_id in everybody]
    told: list[str] = []

    def note(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        told.append(text)

    event.listen(database.engine, "before_cursor_execute", note)
    state = desk.answer(everybody[0], sent(states[0]["item"])).state
    desk.answer(everybody[0], sent(state["item"]))
    event.remove(database.engine, "before_cursor_execute", note)
    return len(told)


def test_an_answer_takes_no_more_statements_with_more_items_or_raters(database: Database):
    few = statements_of_an_answer(database, 4, 1)
    assert statements_of_an_answer(database, 16, 1) == few
    assert statements_of_an_answer(database, 4, 4) == few
    assert few <= 60  # of two steps
