"""Contract: whatever several tabs of one rater send in whatever order, and whenever the study is
paused, resumed or locked: no step is taken twice, none is skipped, none acknowledged is missing.

Each operation is compared with a model of a few lines that knows what must become of it.
"""

import dataclasses
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from rating.errors import AnswerError, RatingError, StaleError
from rating.storage.database import Database
from rating.storage.events import verify_events, verify_root
from rating.storage.models import Answer, AnswerVersion, Assignment, Question, Submission
from rating.study.desk import RatingDesk
from rating.study.lookup import find_study
from rating.study.studies import Studies
from rating.study.submission import StepSubmission, read_submission
from tests.rating_play import play_items, request_for, sent
from tests.rating_study import TITLE, enrol, invite, write_study

QUESTIONS = {1: ("origin", "realism"), 2: ("alignment",)}
TABS = st.integers(0, 2)
VALUES = st.integers(1, 3)
ACTS = st.sampled_from(["submit"] * 6 + ["resend"] * 3 + ["revise"] * 3 + ["look", "ahead"])
OPERATIONS = st.lists(
    st.tuples(ACTS, TABS, VALUES)
    | st.tuples(ACTS, TABS, VALUES)
    | st.tuples(ACTS, TABS, VALUES)
    | st.tuples(st.sampled_from(["pause", "resume", "resume"])),
    min_size=20,
    max_size=40,
)
AFTER_LOCK = st.lists(st.tuples(ACTS, TABS, VALUES), max_size=4)


@dataclasses.dataclass
class Tab:
    """What a tab shows, and the last request it sent."""

    item: dict[str, Any] | None = None
    last: StepSubmission | None = None
    is_revision: bool = False


class Model:
    """What must be in the database, and what must become of a request."""

    def __init__(self, tokens: list[str]) -> None:
        self.place = {token: index for index, token in enumerate(tokens)}
        self.done = [0] * len(tokens)
        self.values: dict[tuple[str, str], int] = {}
        self.versions: dict[tuple[str, str], list[int]] = {}
        self.acknowledged: set[str] = set()
        self.stopped = ""

    @property
    def current(self) -> int:
        return next((index for index, steps in enumerate(self.done) if steps < 2), len(self.done))

    def expect(self, request: StepSubmission, is_revision: bool) -> str:
        """Returns what must become of a request, and takes it where it must be taken."""
        if request.key in self.acknowledged:
            return "already_saved"
        if self.stopped:
            return self.stopped
        place = self.place[request.item]
        if is_revision and self.done[place] < 2:
            return "not_current"
        if not is_revision:
            if request.step <= self.done[place]:
                return "already_answered"
            if place != self.current or request.step != self.done[place] + 1:
                return "not_current"
            self.done[place] += 1
        self.acknowledged.add(request.key)
        for code, value in request.answers.items():
            name = (request.item, code)
            if self.values.get(name) != value:
                self.versions.setdefault(name, []).append(value)
            self.values[name] = value
        return "saved"


class Session:
    """A rater with three tabs, and the model beside."""

    def __init__(self, database: Database, code: str) -> None:
        self.database, self.code = database, code
        self.desk, self.studies = RatingDesk(database, "0"), Studies(database)
        self.rater_id = enrol(database, invite(database, code)[0][1])
        with database.read() as session:
            tokens = session.scalars(
                select(Assignment.token)
                .where(Assignment.rater_id == self.rater_id)
                .order_by(Assignment.position)
            ).all()
        self.tokens = list(tokens)
        self.model = Model(self.tokens)
        self.tabs = [Tab(), Tab(), Tab()]

    def run(self, name: str, tab_index: int = 0, value: int = 0) -> None:
        """Does one operation, where it can be done from this tab, and checks what became of it."""
        tab = self.tabs[tab_index]
        if name in {"pause", "resume", "lock"}:
            self.stop(name)
        elif name == "look":
            tab.item = self.desk.state(self.rater_id).get("item")
        elif name == "resend" and tab.last is not None:
            self.send(tab, tab.last, tab.is_revision)
        elif tab.item is not None and name == "submit":
            self.send(tab, sent(tab.item, value), False)
        elif tab.item is not None and name == "ahead":
            place = min(self.model.place[tab.item["token"]] + 1, len(self.tokens) - 1)
            item = {**tab.item, "token": self.tokens[place]}
            self.send(tab, sent(item, value), False)
        elif tab.item is not None and name == "revise":
            item = {"token": tab.item["previous"] or tab.item["token"], "step": 2, "questions": []}
            self.send(tab, sent(item, answers={"alignment": value}), True)
        self.check()

    def send(self, tab: Tab, request: StepSubmission, is_revision: bool) -> None:
        expected = self.model.expect(request, is_revision)
        act = self.desk.revise if is_revision else self.desk.answer
        try:
            saved = act(self.rater_id, request)
            told = saved.result
            tab.item = saved.state.get("item")
        except StaleError as error:
            told = error.code
        assert told == expected
        tab.last, tab.is_revision = request, is_revision

    def stop(self, act: str) -> None:
        if self.model.stopped == "locked" or (act == "resume") != (self.model.stopped == "paused"):
            return
        if act == "lock":
            self.studies.lock(self.code, TITLE, actor="test")
        else:
            getattr(self.studies, act)(self.code, actor="test")
        self.model.stopped = {"pause": "paused", "resume": "", "lock": "locked"}[act]

    def check(self) -> None:
        """Compares all that is kept with the model, and what is shown next."""
        with self.database.read() as session:
            own = Assignment.rater_id == self.rater_id
            done = session.scalars(
                select(Assignment.steps_done).where(own).order_by(Assignment.position)
            ).all()
            rows = session.execute(
                select(Assignment.token, Question.code, Answer.value, Answer.id)
                .join(Answer, Answer.assignment_id == Assignment.id)
                .join(Question, Question.id == Answer.question_id)
                .where(own)
            ).all()
            keys = session.scalars(select(Submission.key).join(Assignment).where(own)).all()
            versions: dict[int, list[int]] = {}
            for answer_id, value in session.execute(
                select(AnswerVersion.answer_id, AnswerVersion.value)
                .where(AnswerVersion.answer_id.in_([row.id for row in rows]))
                .order_by(AnswerVersion.revision)
            ):
                versions.setdefault(answer_id, []).append(value)
        assert list(done) == self.model.done
        assert len(rows) == len({(row.token, row.code) for row in rows})
        assert {(row.token, row.code): row.value for row in rows} == self.model.values
        assert {(row.token, row.code): versions[row.id] for row in rows} == self.model.versions
        assert sorted(keys) == sorted(self.model.acknowledged)
        state = self.desk.state(self.rater_id)
        if self.model.stopped:
            assert state["phase"] == self.model.stopped and "item" not in state
        elif self.model.current == len(self.tokens):
            assert state["phase"] == "closing"
        else:
            item, place = state["item"], self.model.current
            assert (item["token"], item["step"]) == (self.tokens[place], self.model.done[place] + 1)


def small_study(database: Database) -> str:
    return write_study(database, 2, 2, 1, 1, repeat_share=0.0, washout_items=0)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(operations=OPERATIONS, is_locked=st.booleans(), after=AFTER_LOCK)
@example(
    operations=[
        *(("submit", 0, 1), ("submit", 0, 2), ("submit", 1, 3), ("resend", 0), ("resend", 1)),
        *(("submit", 0, 1), ("submit", 0, 3), ("revise", 0, 1), ("revise", 0, 1), ("resend", 0)),
        *(("pause",), ("submit", 0, 2), ("resend", 1), ("revise", 0, 2), ("resume",)),
        *(("resend", 0), ("ahead", 0, 1), *(("submit", 0, 2),) * 20, ("revise", 0, 3)),
    ],
    is_locked=True,
    after=[("submit", 1, 1), ("resend", 0), ("revise", 0, 2)],
)
def test_tabs_that_do_anything_in_any_order_change_only_what_they_may(
    database: Database, operations: list[Any], is_locked: bool, after: list[Any]
):
    # A study that was locked takes no more raters, so that the next example makes another.
    codes = [each.code for each in Studies(database).overview() if each.status == "open"]
    session = Session(database, codes[0] if codes else small_study(database))
    try:
        for tab in session.tabs:
            tab.item = session.desk.state(session.rater_id)["item"]
        for operation in operations:
            session.run(*operation)
        if is_locked:
            session.run("resume")
            for operation in [("lock",), *after]:
                session.run(*operation)
    finally:
        session.stop("resume")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.text(max_size=8) | st.sampled_from(["slot", "x", "y", "tag", "origin"]),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(
        ["item", "step", "key", "answers", "cannot_judge", "is_seen_before", "tags", "marks",
         "remark", "visible_ms", "viewport", "device_pixel_ratio"]
    ),
    value=JSON | st.text(st.characters(), max_size=100),
)  # fmt: skip
def test_any_value_of_any_field_is_kept_or_refused_with_a_word(
    database: Database, name: str, value: Any
):
    studies = Studies(database).overview()
    code = studies[0].code if studies else small_study(database)
    desk = RatingDesk(database, "0")
    rater_id = enrol(database, invite(database, code)[0][1])
    item = desk.state(rater_id)["item"]
    try:
        saved = desk.answer(rater_id, read_submission({**request_for(item, 2), name: value}))
    except RatingError:
        assert desk.state(rater_id)["item"]["step"] == 1
        saved = desk.answer(rater_id, sent(item, 2))
    assert saved.state["item"]["step"] == 2


@pytest.mark.parametrize("token", ["\0" * 20, "\ud800" * 20, "é" * 20, "x" * 10_000])
def test_a_token_that_cannot_be_one_is_unknown_and_no_fault(database: Database, token: str):
    desk = RatingDesk(database, "0")
    rater_id = enrol(database, invite(database, small_study(database))[0][1])
    for act in (
        lambda: desk.rater_of_link(token),
        lambda: desk.item(rater_id, token),
        lambda: desk.image(rater_id, token),
    ):
        with pytest.raises(RatingError, match=r"no such|does not work"):
            act()


def test_a_key_that_named_another_step_is_refused_and_not_taken_for_that_one(database: Database):
    desk = RatingDesk(database, "0")
    rater_id = enrol(database, invite(database, small_study(database))[0][1])
    key = str(uuid.uuid4())
    state = desk.answer(rater_id, sent(desk.state(rater_id)["item"], 2, key=key)).state
    with pytest.raises(AnswerError) as refused:
        desk.answer(rater_id, sent(state["item"], 2, key=key))
    assert "key" in refused.value.fields
    assert desk.state(rater_id) == state


@pytest.mark.parametrize("act", ["pause", "lock"])
def test_pausing_and_locking_cut_between_answers_and_are_not_kept_waiting(
    database: Database, act: str
):
    code = write_study(database, 2, 10, 4, 0, repeat_share=0.0)
    raters = [enrol(database, token) for _, token in invite(database, code, 6)]
    for rater_id in raters[:2]:
        play_items(RatingDesk(database, "0"), rater_id, 1)
    has_begun = threading.Event()
    taken: list[int] = []

    def rate(rater_id: int) -> tuple[int, str]:
        desk, count = RatingDesk(database, "0"), 0
        state = desk.state(rater_id)
        try:
            while "item" in state:
                state = desk.answer(rater_id, sent(state["item"], 2)).state
                count += 1
                taken.append(rater_id)
                has_begun.set()
        except StaleError as error:
            return count, error.code
        return count, state["phase"]

    with ThreadPoolExecutor(len(raters)) as threads:
        running = [threads.submit(rate, rater_id) for rater_id in raters]
        assert has_begun.wait(20)
        before = len(taken)
        if act == "pause":
            Studies(database).pause(code, actor="test")
        else:
            Studies(database).lock(code, TITLE, actor="test")
        in_the_meantime = len(taken) - before
        with database.read() as session:
            at_the_cut = session.scalar(select(func.count()).select_from(Submission))
        ends = [each.result() for each in running]
    # Those who were before it in the queue, and not all the 280 or so that are still to come.
    assert in_the_meantime < 120
    stopped = {"pause": "paused", "lock": "locked"}[act]
    assert stopped in {end for _, end in ends} <= {stopped, "closing"}
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Submission)) == at_the_cut
        assert at_the_cut == sum(count for count, _ in ends) + 4
        study = find_study(session, code)
        assert verify_events(session, study) == []
        if act == "lock":
            assert verify_root(session, study) == []
