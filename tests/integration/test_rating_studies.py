"""Contract: a study goes draft, open, locked and never back; its protocol, questions and images
are fixed at opening; every act is an event of its chain; links are known as hashes only; watching
tells neither arms nor values; a main study names arms after its lock alone, and then nothing
changes any more.
"""

import csv
import dataclasses
import datetime
import hashlib
import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from rating.errors import (
    NotReadyError,
    ProtocolError,
    RaterError,
    RatingError,
    StimulusError,
    StudyNotFoundError,
    StudyStateError,
    UnblindingError,
)
from rating.results.export import export_study
from rating.storage.database import Database
from rating.storage.models import (
    Answer,
    AnswerVersion,
    Arm,
    Assignment,
    AssignmentSlot,
    Base,
    Event,
    Item,
    ItemStimulus,
    ProtocolVersion,
    Question,
    Rater,
    SignIn,
    Stimulus,
    Study,
)
from rating.study import unblinding
from rating.study.conduct import invite_auditor
from rating.study.harmonisation import Harmonisation
from rating.study.lookup import find_study
from rating.study.protocol import Protocol
from rating.study.studies import Studies
from rating.study.watching import pooled_standard_error
from tests.rating_database import unguarded
from tests.rating_study import (
    ARMS,
    SIZE_PX,
    TITLE,
    enrol,
    offered,
    study_images,
    write_draft,
    write_study,
)

NOW = datetime.datetime(2025, 5, 5, 12, tzinfo=datetime.UTC)
SETTINGS = Harmonisation(size_px=SIZE_PX)
_numbers = itertools.count()


@pytest.fixture
def studies(database: Database) -> Studies:
    return Studies(database)


def rows(database: Database, table: type, code: str) -> list:
    with database.read() as session:
        study = find_study(session, code)
        return list(
            session.scalars(select(table).where(table.study_id == study.id).order_by(table.id))
        )


def events(database: Database, code: str) -> list[tuple[str, str, dict]]:
    return [
        (event.kind, event.actor, json.loads(event.details))
        for event in rows(database, Event, code)
    ]


def dump(database: Database) -> dict[str, list]:
    """Everything in the database, row by row."""
    with database.read() as session:
        return {
            table.name: sorted(map(repr, session.execute(select(table)).all()))
            for table in Base.metadata.sorted_tables
        }


def rate(
    database: Database, code: str, rater_code: str, value: Callable[[Item], int], count: int = 999
) -> None:
    """Enrols a rater with every main item and check in order, the first `count` answered."""
    with database.write() as session:
        study = find_study(session, code)
        rater = session.scalars(
            select(Rater).where(Rater.study_id == study.id, Rater.code == rater_code)
        ).one()
        index = next(_numbers)
        rater.consented_at = rater.enrolled_at = NOW
        rater.consent_sha256, rater.enrolment_index = "0" * 64, index
        questions = session.scalars(select(Question).where(Question.study_id == study.id)).all()
        items = session.scalars(
            select(Item)
            .where(Item.study_id == study.id, Item.kind.in_(("main", "check")))
            .order_by(Item.id)
        ).all()
        for position, item in enumerate(items):
            _assign(session, study, rater, item, position, index)
            if position < count:
                _answer(session, study, rater, position, questions, value(item))
        if count >= len(items):
            rater.completed_at = NOW


def _assign(
    session: Session, study: Study, rater: Rater, item: Item, position: int, index: int
) -> None:
    assignment = Assignment(
        study_id=study.id, rater_id=rater.id, item_id=item.id, position=position,
        token=f"a-{index}-{position}", protocol_version=1,
    )  # fmt: skip
    session.add(assignment)
    session.flush()
    shown = session.scalars(
        select(ItemStimulus.stimulus_id)
        .where(ItemStimulus.item_id == item.id)
        .order_by(ItemStimulus.stimulus_id.desc())
    )
    for slot, stimulus_id in enumerate(shown):
        place = AssignmentSlot(
            study_id=study.id, assignment_id=assignment.id, slot=slot, stimulus_id=stimulus_id,
            token=f"s-{index}-{position}-{slot}",
        )  # fmt: skip
        session.add(place)


def _answer(
    session: Session, study: Study, rater: Rater, position: int, questions: list, value: int
) -> None:
    assignment = session.scalars(
        select(Assignment).where(
            Assignment.rater_id == rater.id, Assignment.position == position
        )
    ).one()
    assignment.shown_at = assignment.judged_at = NOW
    assignment.submitted_at = NOW + datetime.timedelta(seconds=20 * position)
    assignment.visible_ms = 4000
    for question in questions:
        answer = Answer(
            study_id=study.id, assignment_id=assignment.id, question_id=question.id,
            value=value, saved_at=NOW,
        )  # fmt: skip
        session.add(answer)
        session.flush()
        session.add(AnswerVersion(answer_id=answer.id, revision=1, value=value, saved_at=NOW))


# Drafts


def test_a_draft_is_made_with_the_defaults_and_listed(studies: Studies, database: Database):
    code = studies.create("  Polyps,\n three models ", actor="coordinator")
    (summary,) = studies.overview()
    assert (summary.code, summary.title) == (code, "Polyps, three models")
    assert (summary.kind, summary.status, summary.is_paused) == ("main", "draft", False)
    assert studies.protocol(code) == Protocol()
    assert events(database, code) == [("created", "coordinator", {"kind": "main"})]
    assert code.isalnum() and len(code) == 8


@pytest.mark.parametrize("title", ["", " \n", "x" * 201, "a\0b"])
def test_a_title_that_cannot_be_shown_is_refused(studies: Studies, title: str):
    with pytest.raises(StudyStateError, match="1 to 200 printable"):
        studies.create(title)
    assert studies.overview() == ()


def test_a_draft_can_be_changed_and_an_impossible_protocol_is_refused(studies: Studies):
    code = studies.create("One")
    protocol = dataclasses.replace(Protocol(), planned_raters=9)
    studies.change(code, title="Two", kind="pilot", protocol=protocol)
    assert (studies.summary(code).title, studies.summary(code).kind) == ("Two", "pilot")
    assert studies.protocol(code) == protocol
    impossible = dataclasses.replace(protocol, planned_raters=0)
    with pytest.raises(ProtocolError, match="planned_raters: 0"):
        studies.change(code, title="Three", protocol=impossible)
    with pytest.raises(StudyStateError, match="one of main, pilot"):
        studies.change(code, kind="side")
    assert studies.summary(code).title == "Two"


def test_an_unknown_study_is_told_as_such(studies: Studies):
    with pytest.raises(StudyNotFoundError, match="no study 'zzz'"):
        studies.open("zzz")
    with pytest.raises(StudyNotFoundError, match="no study 'zzz'"):
        studies.progress("zzz")


def test_images_are_added_once_and_removed_with_what_only_they_used(
    studies: Studies, database: Database
):
    code = write_draft(database)
    before = studies.stimuli(code)
    assert len(before) == 3 * 6 + 6 + 3
    assert {view.arm for view in before if view.role == "main"} == {*ARMS[:3], "real"}
    added = studies.add_images(code, study_images())
    assert (added.count, len(added.skipped)) == (0, len(before))
    flux = [view.id for view in before if view.arm == ARMS[1]]
    assert studies.remove_images(code, flux) == 6
    assert {view.arm for view in studies.stimuli(code) if view.role == "main"} == {
        ARMS[0], ARMS[2], "real",
    }  # fmt: skip
    with pytest.raises(StimulusError, match="has no images"):
        studies.remove_images(code, [flux[0], studies.stimuli(code)[0].id])
    assert len(studies.stimuli(code)) == len(before) - 6


def test_images_come_wholly_or_not_at_all(studies: Studies, database: Database):
    code = write_draft(database)
    before = dump(database)
    wrong = [
        offered(1, "new-model", "a new prompt"),
        offered(2, "real", "a new prompt"),  # an arm that is real in this study
        dataclasses.replace(offered(3, ARMS[0], "other words"), prompt_id="p1"),
        dataclasses.replace(offered(4, ARMS[0], "words"), prompt_id="p1"),
    ]
    with pytest.raises(StimulusError) as caught:
        studies.add_images(code, wrong)
    assert "both real and synthetic" in str(caught.value)
    assert "'p1' stands for 'other words' already" in str(caught.value)
    assert dump(database) == before


def test_all_images_of_a_study_go_through_one_harmonisation(studies: Studies, database: Database):
    code = write_draft(database)
    extra = [offered(9, ARMS[0], "one more")]
    with pytest.raises(StimulusError, match="all arms share one harmonisation"):
        studies.add_images(code, extra, Harmonisation(size_px=32))
    assert studies.add_images(code, extra).count == 1  # that of the study
    assert {(view.width_px, view.height_px) for view in studies.stimuli(code)} == {(64, 64)}
    studies.remove_images(code, [view.id for view in studies.stimuli(code)])
    assert studies.add_images(code, extra, Harmonisation(size_px=32)).count == 1


def test_new_images_need_a_new_look_for_identifiers(studies: Studies, database: Database):
    code = write_draft(database)
    studies.add_images(code, [offered(9, arm, "one more") for arm in ARMS[:3]])
    with pytest.raises(NotReadyError):
        studies.open(code)
    studies.attest_identifiers(code, "A. Tester")
    with database.read() as session:
        assert find_study(session, code).identifiers_attested_by == "A. Tester"


def test_a_text_that_no_database_keeps_is_told(studies: Studies):
    code = studies.create("T")
    with pytest.raises(StimulusError, match="NUL character"):
        studies.add_images(code, [offered(1, ARMS[0], "a\0b")])


def test_a_draft_that_fails_on_its_images_is_not_made(studies: Studies, database: Database):
    def unreadable():
        raise StimulusError("damaged")

    image = dataclasses.replace(offered(1, "a", "b"), read=unreadable)
    with pytest.raises(StimulusError, match=r"a-1\.png: damaged"):
        studies.create("T", offered=[image])
    assert studies.overview() == ()


def test_a_draft_can_be_deleted_wholly(studies: Studies, database: Database):
    before = dump(database)
    code = write_draft(database)
    studies.delete_draft(code)
    assert dump(database) == before


# Opening


def test_opening_fixes_the_protocol_the_questions_and_the_items(
    studies: Studies, database: Database
):
    code = write_study(database)
    (version,) = rows(database, ProtocolVersion, code)
    protocol = studies.protocol(code)
    assert version.version == 1
    assert version.content == protocol.canonical()
    assert version.sha256 == hashlib.sha256(version.content.encode()).hexdigest()
    questions = rows(database, Question, code)
    assert [(q.code, q.step, q.minimum, q.maximum) for q in questions] == [
        ("origin", 1, 1, 6), ("realism", 1, 1, 5), ("alignment", 2, 1, 5),
    ]  # fmt: skip
    assert [q.labels for q in questions] == [list(q.labels) for q in protocol.questions]
    items = rows(database, Item, code)
    assert Counter(item.kind for item in items) == {"main": 24, "repeat": 24, "practice": 3}
    mains = {item.id for item in items if item.kind == "main"}
    assert {item.repeat_of_id for item in items if item.kind == "repeat"} == mains
    shown = dict[int, set[int]]()
    for link in rows_of_items(database, code):
        shown.setdefault(link.item_id, set()).add(link.stimulus_id)
    for item in items:
        assert len(shown[item.id]) == 1
        if item.repeat_of_id:
            assert shown[item.id] == shown[item.repeat_of_id]
    kind, actor, details = events(database, code)[-1]
    assert (kind, actor) == ("opened", "coordinator")
    assert details["protocol_sha256"] == version.sha256


def rows_of_items(database: Database, code: str) -> list[ItemStimulus]:
    with database.read() as session:
        study = find_study(session, code)
        return list(
            session.scalars(select(ItemStimulus).where(ItemStimulus.study_id == study.id))
        )


def test_side_by_side_has_one_item_a_prompt_with_one_image_of_each_arm(
    studies: Studies, database: Database
):
    code = write_study(database, 3, 4, display="side_by_side")
    practice = [item for item in rows(database, Item, code) if item.kind == "practice"]
    assert [item.display for item in practice] == ["side_by_side"] * 3
    stimuli = {s.id: s for s in rows(database, Stimulus, code)}
    mains = [item for item in rows(database, Item, code) if item.kind == "main"]
    assert len(mains) == 4
    for item in mains:
        shown = [
            stimuli[link.stimulus_id]
            for link in rows_of_items(database, code)
            if link.item_id == item.id
        ]
        assert len({each.arm_id for each in shown}) == len(shown) == 3
        assert {each.prompt_id for each in shown} == {item.prompt_id}
    (question,) = rows(database, Question, code)
    assert (question.kind, question.minimum, question.maximum) == ("preference", 1, 3)
    assert question.labels == ["A", "B", "C"]


def test_a_draft_with_problems_stays_one_and_all_are_told(studies: Studies, database: Database):
    code = studies.create("T")
    studies.add_images(code, [offered(1, ARMS[0], "x"), offered(2, ARMS[1], "y")], SETTINGS)
    before = dump(database)
    with pytest.raises(NotReadyError) as caught:
        studies.open(code)
    stops = [each for each in studies.problems(code) if not each.is_warning]
    assert len(stops) >= 3
    for problem in stops:
        assert problem.message in str(caught.value)
    assert dump(database) == before


def test_an_open_study_takes_no_change_of_what_was_fixed(studies: Studies, database: Database):
    code = write_study(database)
    before = dump(database)
    ids = [view.id for view in studies.stimuli(code)]
    for act in (
        lambda: studies.open(code),
        lambda: studies.change(code, title="Other"),
        lambda: studies.change(code, protocol=Protocol()),
        lambda: studies.add_images(code, [offered(1, ARMS[0], "x")]),
        lambda: studies.remove_images(code, ids[:1]),
        lambda: studies.attest_identifiers(code, "B"),
        lambda: studies.delete_draft(code),
    ):
        with pytest.raises(StudyStateError, match="is open"):
            act()
    assert dump(database) == before


def test_arms_are_shown_in_a_draft_hidden_while_open_and_shown_after_the_lock(
    studies: Studies, database: Database
):
    code = write_draft(database)
    assert all(view.arm for view in studies.stimuli(code) if view.role == "main")
    studies.open(code)
    for view in studies.stimuli(code):
        assert (view.arm, view.arm_label, view.is_real) == ("", "", None)
        assert (view.source_name, view.provenance, view.harmonisation) == ("", {}, {})
    told = repr(studies.stimuli(code)) + repr(studies.progress(code)) + repr(studies.overview())
    assert not any(arm in told.lower() for arm in (*ARMS, "real'"))
    for view in studies.stimuli(code)[:2]:
        png = studies.stimulus_png(code, view.id)
        assert png.startswith(b"\x89PNG")
    studies.lock(code, TITLE)
    assert all(view.arm for view in studies.stimuli(code) if view.role == "main")


def test_practice_side_by_side_fills_every_slot(studies: Studies, database: Database):
    code = write_draft(database, 3, 4, display="side_by_side")
    extra = [offered(1, "", "lonely", role="practice"), offered(2, "real", "p", is_real=True)]
    studies.add_images(code, extra)
    studies.attest_identifiers(code, "A. Tester")
    found = {problem.code: problem for problem in studies.problems(code)}
    assert "1 of 4 practice prompts" in found["practice_side_by_side"].message
    assert found["real_side_by_side"].is_warning
    with pytest.raises(NotReadyError, match="one for each slot"):
        studies.open(code)


# Invitations


def test_links_are_known_as_hashes_only(studies: Studies, database: Database):
    code = write_study(database)
    first = studies.invite(code, 2)
    (third,) = studies.invite(code)
    invitations = [*first, third]
    assert [each.rater_code for each in invitations] == ["R01", "R02", "R03"]
    assert len({each.token for each in invitations}) == 3
    everything = repr(dump(database))
    for each, rater in zip(invitations, rows(database, Rater, code), strict=True):
        assert len(each.token) == 43
        assert each.token not in everything
        assert each.token not in repr(each)
        assert rater.link_sha256 == hashlib.sha256(each.token.encode()).hexdigest()
        assert each.link("https://x.org/") == f"https://x.org/join/{each.token}"
    assert events(database, code)[-1] == ("invited", "coordinator", {"raters": ["R03"]})


@pytest.mark.parametrize("count", [0, -1, 201])
def test_an_impossible_number_of_raters_is_refused(
    studies: Studies, database: Database, count: int
):
    code = write_study(database)
    with pytest.raises(RaterError, match="1 to 200"):
        studies.invite(code, count)
    assert rows(database, Rater, code) == []


def sign_in(database: Database, rater_id: int) -> None:
    with database.write() as session:
        row = SignIn(
            token_sha256=f"{next(_numbers):064}", role="rater", rater_id=rater_id, created_at=NOW
        )
        session.add(row)


def open_sign_ins(database: Database, rater_id: int) -> int:
    with database.read() as session:
        return session.scalar(
            select(func.count())
            .select_from(SignIn)
            .where(SignIn.rater_id == rater_id, SignIn.ended_at.is_(None))
        )


def test_revoking_ends_the_link_and_the_browsers_of_that_rater_alone(
    studies: Studies, database: Database
):
    code = write_study(database)
    studies.invite(code, 2)
    first, second = rows(database, Rater, code)
    for rater in (first, first, second):
        sign_in(database, rater.id)
    studies.revoke(code, "r01 ")
    assert rows(database, Rater, code)[0].revoked_at is not None
    assert (open_sign_ins(database, first.id), open_sign_ins(database, second.id)) == (0, 1)
    with pytest.raises(RaterError, match="revoked already"):
        studies.revoke(code, "R01")
    with pytest.raises(RaterError, match="no rater 'R09'"):
        studies.revoke(code, "R09")


def test_a_new_link_voids_the_old_one_and_its_browsers(studies: Studies, database: Database):
    code = write_study(database)
    (old,) = studies.invite(code)
    (rater,) = rows(database, Rater, code)
    sign_in(database, rater.id)
    studies.revoke(code, "R01")
    new = studies.renew_link(code, "R01")
    (rater,) = rows(database, Rater, code)
    assert new.token != old.token
    assert rater.link_sha256 == hashlib.sha256(new.token.encode()).hexdigest()
    assert rater.revoked_at is None
    assert open_sign_ins(database, rater.id) == 0


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Runs acts in threads that start together; returns what each gave or raised."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> object:
        gate.wait()
        try:
            return act()
        except RatingError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def test_raters_invited_at_once_get_codes_of_their_own(studies: Studies, database: Database):
    code = write_study(database)
    found = at_once(*[lambda: studies.invite(code, 3)] * 4)
    codes = [each.rater_code for invitations in found for each in invitations]
    assert sorted(codes) == [f"R{number:02d}" for number in range(1, 13)]
    assert studies.verify(code) == []


def test_an_auditor_counts_nowhere(studies: Studies, database: Database):
    code = write_study(database, 2, 4, 2, 0)
    studies.invite(code)
    with database.write() as session:
        token = invite_auditor(session, find_study(session, code))
    rater_id = enrol(database, token)
    with database.read() as session:
        assert session.get_one(Rater, rater_id).is_audit
    progress = studies.progress(code)
    assert [each.code for each in progress.raters] == ["R01"]
    assert (progress.least_exposure, progress.most_exposure) == (0, 0)
    assert studies.summary(code).raters == 1
    assert studies.summary(code).answers_expected == 0
    assert studies.prepare_lock(code).raters_unfinished == ()
    assert [each.rater_code for each in studies.invite(code)] == ["R02"]
    with pytest.raises(RaterError, match="no rater 'A01'"):
        studies.revoke(code, "A01")


# Conduct


def test_a_study_pauses_and_goes_on(studies: Studies, database: Database):
    code = write_study(database)
    studies.pause(code, actor="command line")
    assert studies.summary(code).is_paused
    with pytest.raises(StudyStateError, match="paused already"):
        studies.pause(code)
    studies.resume(code)
    with pytest.raises(StudyStateError, match="not paused"):
        studies.resume(code)
    assert [kind for kind, _, _ in events(database, code)][-2:] == ["paused", "resumed"]


def test_an_extension_is_a_logged_version_in_which_nothing_else_changes(
    studies: Studies, database: Database
):
    code = write_study(database)
    before = studies.protocol(code)
    assert studies.extend(code, planned_raters=8, reason="two dropped out") == 2
    assert studies.extend(code, contact="new@example.org", reason="moved") == 3
    after = studies.protocol(code)
    assert after.planned_raters == 8
    consent = dataclasses.replace(before.consent, contact="new@example.org")
    assert after == dataclasses.replace(before, planned_raters=8, consent=consent)
    versions = rows(database, ProtocolVersion, code)
    assert [version.reason for version in versions] == ["opened", "two dropped out", "moved"]
    assert versions[0].content == before.canonical()
    kind, _, details = events(database, code)[-1]
    assert kind == "extended"
    assert details["protocol_sha256"] == versions[2].sha256 == after.sha256()
    for change, told in (
        ({"planned_raters": 8}, "Nothing changes"),
        ({"planned_raters": 0}, "planned_raters: 0"),
        ({"planned_raters": 9, "reason": " "}, "needs a reason"),
    ):
        with pytest.raises(ProtocolError, match=told):
            studies.extend(code, **{"reason": "x", **change})
    assert len(rows(database, ProtocolVersion, code)) == 3


def test_a_coordinator_can_end_a_part_and_erase_it(studies: Studies, database: Database):
    code = write_study(database, 2, 4, 2, 0)
    studies.invite(code, 2)
    for rater in ("R01", "R02"):
        rate(database, code, rater, lambda item: 3)
    studies.withdraw(code, "R01", is_erasing=False)
    assert studies.prepare_lock(code).answers == 2 * 10 * 3
    studies.withdraw(code, "R01", is_erasing=True, actor="command line")
    assert len(rows(database, Answer, code)) == 10 * 3
    assert [each.state for each in studies.progress(code).raters] == ["withdrawn", "completed"]
    with pytest.raises(RaterError, match="has withdrawn"):
        studies.renew_link(code, "R01")
    assert [(kind, actor) for kind, actor, _ in events(database, code)][-2:] == [
        ("withdrawn", "coordinator"), ("erased", "command line"),
    ]  # fmt: skip
    assert studies.verify(code) == []


# Watching


def test_progress_tells_how_far_everyone_is(studies: Studies, database: Database):
    code = write_study(database, 2, 4, 2, 0, checks=2)
    studies.invite(code, 4)
    rate(database, code, "R01", lambda item: 5 if item.kind == "check" else 3)
    rate(database, code, "R02", lambda item: 2, count=4)
    progress = studies.progress(code)
    assert [(each.code, each.state, each.done, each.total) for each in progress.raters] == [
        ("R01", "completed", 12, 12), ("R02", "rating", 4, 12), ("R03", "invited", 0, 0),
        ("R04", "invited", 0, 0),
    ]  # fmt: skip
    first = progress.raters[0]
    assert (first.median_s, first.checks_passed, first.checks_done) == (4.0, 2, 2)
    assert first.last_at == NOW + datetime.timedelta(seconds=220)
    assert (progress.least_exposure, progress.most_exposure) == (2, 2)
    assert (progress.completed, progress.done, progress.total) == (1, 16, 24)


def test_a_failed_check_counts_as_done_and_not_as_passed(studies: Studies, database: Database):
    code = write_study(database, 2, 4, 2, 0, checks=2)
    studies.invite(code)
    rate(database, code, "R01", lambda item: 2)
    (rater,) = studies.progress(code).raters
    assert (rater.checks_passed, rater.checks_done) == (0, 2)


def test_drop_outs_leave_the_exposure_and_are_counted(studies: Studies, database: Database):
    code = write_study(database, 2, 4, 2, 0)
    studies.invite(code, 3)
    for rater in ("R01", "R02", "R03"):
        rate(database, code, rater, lambda item: 3, count=5 if rater == "R03" else 99)
    assert studies.progress(code).least_exposure == 3
    with database.write() as session:
        session.execute(update(Rater).where(Rater.code == "R01").values(withdrawn_at=NOW))
    studies.revoke(code, "R03")  # before the end: a drop-out
    studies.revoke(code, "R02")  # after the end: none
    progress = studies.progress(code)
    assert progress.dropped_out == 2
    assert (progress.least_exposure, progress.most_exposure) == (1, 1)


def test_precision_is_pooled_moves_in_steps_and_tells_no_arm(
    studies: Studies, database: Database
):
    code = write_study(database, 2, 6, 4, 0)
    studies.invite(code, 2)
    rate(database, code, "R01", lambda item: 1 + item.id % 5, count=15)
    progress = studies.progress(code)
    assert (progress.standard_error, progress.precision_answers) == (None, 0)
    rate(database, code, "R02", lambda item: 1 + item.id % 4, count=12)
    progress = studies.progress(code)
    assert progress.precision_answers == 20
    assert 0 < progress.standard_error < 1
    names = {field.name for field in dataclasses.fields(progress)}
    assert not {name for name in names if "arm" in name or "mean" in name or "value" in name}


def test_the_pooled_standard_error_is_the_least_flattering_of_three():
    independent = [(float(value), value, value) for value in (1, 2, 3, 4)]
    assert pooled_standard_error(independent) == pytest.approx((5 / 3 / 4) ** 0.5, abs=0.005)
    # Two raters who disagree: their clusters decide. Means 1 and 5, G / (G - 1) * 2 * 20^2 / 20^2.
    split = [(1.0, 1, index) for index in range(10)] + [(5.0, 2, index) for index in range(10)]
    assert pooled_standard_error(split) == 2.0
    assert pooled_standard_error([(3.0, 1, 1)]) is None


# Locking and unblinding


def test_the_facts_before_a_lock_change_nothing(studies: Studies, database: Database):
    code = write_study(database, 2, 4, 2, 0)
    studies.invite(code, 3)
    rate(database, code, "R01", lambda item: 3)
    rate(database, code, "R02", lambda item: 3, count=4)
    before = dump(database)
    facts = studies.prepare_lock(code)
    assert facts.title == TITLE
    assert facts.raters_completed == 1
    assert (facts.raters_unfinished, facts.raters_not_started) == (("R02",), ("R03",))
    assert (facts.answers, facts.answers_missing) == (14 * 3, 6 * 3)
    assert facts.event_faults == ()
    assert dump(database) == before


def test_a_lock_needs_the_title_returns_the_root_hash_and_happens_once(
    studies: Studies, database: Database
):
    code = write_study(database)
    for typed in ("", "test study", "Test  studyy"):
        with pytest.raises(StudyStateError, match="Nothing was locked"):
            studies.lock(code, typed)
    assert studies.summary(code).status == "open"
    root = studies.lock(code, " Test study ", actor="command line")
    assert len(root) == 64
    assert studies.root_hash(code) == root
    assert studies.verify(code) == []
    kind, actor, details = events(database, code)[-1]
    assert (kind, actor, details["root_hash"]) == ("locked", "command line", root)
    with pytest.raises(StudyStateError, match="is locked"):
        studies.lock(code, TITLE)
    assert studies.root_hash(code) == root


def test_of_two_locks_at_once_one_is_refused(studies: Studies, database: Database):
    code = write_study(database)
    found = at_once(*[lambda: studies.lock(code, TITLE)] * 3)
    assert sorted(type(each).__name__ for each in found) == [
        "StudyStateError", "StudyStateError", "str",
    ]  # fmt: skip
    assert studies.verify(code) == []


def test_after_the_lock_nothing_changes(studies: Studies, database: Database):
    code = write_study(database)
    studies.invite(code, 2)
    rate(database, code, "R01", lambda item: 3)
    studies.lock(code, TITLE)
    before = dump(database)
    image = studies.stimuli(code)[0].id
    acts: tuple[Callable[[], object], ...] = (
        lambda: studies.open(code),
        lambda: studies.change(code, title="x"),
        lambda: studies.add_images(code, study_images()),
        lambda: studies.remove_images(code, [image]),
        lambda: studies.attest_identifiers(code, "x"),
        lambda: studies.delete_draft(code),
        lambda: studies.invite(code),
        lambda: studies.renew_link(code, "R01"),
        lambda: studies.revoke(code, "R01"),
        lambda: studies.pause(code),
        lambda: studies.resume(code),
        lambda: studies.extend(code, planned_raters=9, reason="x"),
        lambda: studies.lock(code, TITLE),
        lambda: studies.withdraw(code, "R01", is_erasing=True),
    )
    for act in acts:
        with pytest.raises(StudyStateError, match="is locked"):
            act()
    assert dump(database) == before
    assert studies.verify(code) == []


@pytest.mark.parametrize("tampered", ["answer", "arm", "event", "protocol", "picture", "root"])
def test_a_change_behind_the_back_is_found(studies: Studies, database: Database, tampered: str):
    code = write_study(database, 2, 2, 2, 0, kind="pilot", repeat_share=0.0)
    studies.invite(code)
    rate(database, code, "R01", lambda item: 3)
    studies.lock(code, TITLE)
    with unguarded(database) as session:
        if tampered == "answer":
            answer = session.scalars(select(AnswerVersion).limit(1)).one()
            answer.value = 5
        elif tampered == "arm":
            session.scalars(select(Arm).where(Arm.code == ARMS[0])).one().code = "other"
        elif tampered == "event":
            event = session.scalars(select(Event).where(Event.kind == "opened")).one()
            event.actor = "nobody"
        elif tampered == "protocol":
            version = session.scalars(select(ProtocolVersion)).one()
            version.content = version.content.replace('"planned_raters":3', '"planned_raters":4')
        elif tampered == "picture":
            stimulus = session.scalars(select(Stimulus).limit(1)).one()
            stimulus.png_sha256 = "0" * 64
        else:
            find_study(session, code).root_hash = "0" * 64
    assert studies.verify(code)


def test_a_study_whose_events_were_changed_cannot_be_locked(
    studies: Studies, database: Database
):
    code = write_study(database)
    with unguarded(database) as session:
        session.scalars(select(Event).where(Event.kind == "opened")).one().actor = "nobody"
    assert studies.prepare_lock(code).event_faults
    with pytest.raises(StudyStateError, match="changed outside"):
        studies.lock(code, TITLE)
    assert studies.summary(code).status == "open"


def readings(database: Database, code: str, folder: Path) -> list[dict[str, str]]:
    """Returns the answers of a study as its export tells them."""
    folder /= f"export-{next(_numbers)}"
    export_study(database, code, folder, has_excel=False)
    with (folder / "ratings_long.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_main_study_names_arms_only_after_its_lock(
    studies: Studies, database: Database, tmp_path: Path
):
    code = write_draft(database, 2, 4, 2, 0)
    with pytest.raises(UnblindingError, match="draft"):
        studies.arms(code)
    studies.open(code)
    studies.invite(code)
    arm_of = dict(arm_codes(database, code))
    rate(database, code, "R01", lambda item: 3)
    for read in (lambda: studies.arms(code), lambda: readings(database, code, tmp_path)):
        with pytest.raises(UnblindingError, match="main study that is open"):
            read()
    studies.lock(code, TITLE)
    assert [arm.code for arm in studies.arms(code)] == [ARMS[1], ARMS[0], "real"]
    found = readings(database, code, tmp_path)
    assert len(found) == 10 * 3
    assert all(each["arm"] == arm_of[int(each["stimulus_id"])] for each in found)


def arm_codes(database: Database, code: str) -> list[tuple[int, str]]:
    with database.read() as session:
        stimuli = session.scalars(
            select(Stimulus).where(Stimulus.study_id == find_study(session, code).id)
        )
        return [(each.id, each.arm.code if each.arm else "") for each in stimuli]


def test_a_rater_s_pictures_are_told_as_their_arms_are(studies: Studies, database: Database):
    code, other = write_draft(database, 2, 4, 2, 0), write_draft(database, 2, 4, 2, 0)
    for each in (code, other):
        studies.open(each)
        studies.invite(each)
        rate(database, each, "R01", lambda item: 3)
    raters = {each: rows(database, Rater, each)[0].id for each in (code, other)}
    with database.read() as session, pytest.raises(UnblindingError, match="that is open"):
        unblinding.shown_items(session, find_study(session, code), raters[code])
    studies.lock(code, TITLE)
    with database.read() as session:
        study = find_study(session, code)
        shown = unblinding.shown_items(session, study, raters[code])
        # The lock of a study opens it alone.
        assert unblinding.shown_items(session, study, raters[other]) == {}
    arms = Counter(picture.arm for each in shown.values() for picture in each.pictures)
    assert arms == {ARMS[0]: 4, ARMS[1]: 4, "real": 2}


def test_a_pilot_may_be_read_while_it_is_open(
    studies: Studies, database: Database, tmp_path: Path
):
    code = write_study(database, 2, 4, 2, 0, kind="pilot")
    studies.invite(code)
    rate(database, code, "R01", lambda item: 4)
    assert {each["value"] for each in readings(database, code, tmp_path)} == {"4"}


def test_a_preference_is_read_as_the_picture_in_the_slot_chosen(
    studies: Studies, database: Database, tmp_path: Path
):
    code = write_study(database, 3, 4, 0, 0, display="side_by_side", kind="pilot")
    studies.invite(code)
    rate(database, code, "R01", lambda item: 1)
    # `rate` puts the picture that came last, that of the last arm, into the first slot.
    assert {each["arm"] for each in readings(database, code, tmp_path)} == {ARMS[2]}


# The quick study


def test_a_quick_study_is_an_open_pilot_in_one_call(studies: Studies, database: Database):
    code, (invitation,) = studies.quick(study_images(3, 4, 4, 0), actor="coordinator")
    summary = studies.summary(code)
    assert (summary.kind, summary.status, summary.raters) == ("pilot", "open", 1)
    assert invitation.rater_code == "R01"
    assert studies.arms(code)
    assert studies.protocol(code).display == "single"


def test_a_quick_study_of_one_prompt_is_side_by_side(studies: Studies):
    code, _ = studies.quick(study_images(3, 1, 0, 0), "One prompt", raters=2)
    assert studies.protocol(code).display == "side_by_side"
    assert studies.summary(code).raters == 2


def test_a_quick_study_that_fails_leaves_nothing(studies: Studies, database: Database):
    before = dump(database)
    for images in ([], study_images(1, 4, 0, 0), study_images(3, 4, 4, 0)):
        with pytest.raises(RatingError):
            studies.quick(images, raters=0)
    assert dump(database) == before


def test_every_event_of_a_whole_study_tells_who_did_it_and_no_secret(
    studies: Studies, database: Database
):
    code = write_study(database)
    tokens = [each.token for each in studies.invite(code, 2, actor="command line")]
    tokens.append(studies.renew_link(code, "R02").token)
    studies.revoke(code, "R02")
    studies.pause(code)
    studies.resume(code)
    studies.extend(code, planned_raters=5, reason="more")
    studies.lock(code, TITLE)
    found = events(database, code)
    assert [kind for kind, _, _ in found] == [
        "created", "images_added", "identifiers_attested", "opened", "invited", "link_renewed",
        "revoked", "paused", "resumed", "extended", "locked",
    ]  # fmt: skip
    assert {actor for _, actor, _ in found} == {"coordinator", "command line"}
    told = repr(found).lower()
    for secret in (*tokens, *ARMS, "a. tester"):
        assert secret.lower() not in told
