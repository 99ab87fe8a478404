"""Contract: simulated raters answer a pilot called a rehearsal to its end by the raters' own door,
marked as what they are; never a main study, never beside people; the same seed gives the same
answers; what they answered from is written to a file and is not in the database.
"""

import json
import statistics
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from rating.__main__ import main
from rating.errors import RehearsalError
from rating.precision import COMPONENT_NAMES, PESSIMISTIC, TYPICAL, Components
from rating.storage.database import Database, sqlite_url
from rating.storage.models import (
    Answer,
    AnswerVersion,
    Assignment,
    DefectTag,
    Event,
    Item,
    Mark,
    Question,
    Rater,
    Study,
)
from rating.study.planted import (
    PlantedOrigin,
    PlantedScale,
    Truth,
    centre_of,
    expected_value,
    plant,
)
from rating.study.protocol import DEFAULT_QUESTIONS, SPECIALTIES, Protocol
from rating.study.simulated_rater import SimulatedRater
from rating.study.simulation import Rehearsal, rehearse
from rating.study.studies import Studies
from rating.study.unblinding import ShownItem, ShownPicture
from tests.rating_database import (
    database,
    database_url,
    postgres_server,
    postgres_template,
    sqlite_database,
)
from tests.rating_study import enrol, invite, write_draft, write_study

__all__ = ["database", "database_url", "postgres_server", "postgres_template", "sqlite_database"]

SIMULATED = (*SPECIALTIES, "Simulated")
TITLE = "A rehearsal"
ARMS = ("a", "b", "real")


def pilot(database: Database, *counts: int, **changes: object) -> str:
    settings = {"kind": "pilot", "title": TITLE, "specialties": SIMULATED, **changes}
    return write_study(database, *counts, **settings)


def answers(database: Database, code: str) -> list[tuple[object, ...]]:
    """Returns every answer by what it is about, whatever the keys of its rows."""
    with database.read() as session:
        rows = session.execute(
            select(
                Rater.code, Assignment.position, Item.kind, Question.code, Answer.value,
                Answer.revision, Assignment.visible_ms,
            )
            .join(Assignment, Assignment.rater_id == Rater.id)
            .join(Item, Item.id == Assignment.item_id)
            .join(Answer, Answer.assignment_id == Assignment.id)
            .join(Question, Question.id == Answer.question_id)
            .join(Study, Study.id == Rater.study_id)
            .where(Study.code == code)
            .order_by(Rater.code, Assignment.position, Question.position)
        )  # fmt: skip
        return [tuple(row) for row in rows]


def home_database(home: Path) -> Database:
    return Database.open(sqlite_url(home))


def test_simulated_raters_answer_everything_and_are_marked(database: Database) -> None:
    code = pilot(database, checks=1, check_items=1)
    told: list[tuple[str, int]] = []
    found = rehearse(
        database, code, raters=2, seed=5, on_rater=lambda *each: told.append(each)
    )
    progress = Studies(database).progress(code)
    assert [rater.state for rater in progress.raters] == ["completed", "completed"]
    assert progress.done == progress.total > 0
    assert found.raters == ("R01", "R02") == tuple(code for code, _ in told)
    assert sum(count for _, count in told) == found.items
    with database.read() as session:
        raters = session.scalars(select(Rater)).all()
        assert {rater.specialty for rater in raters} == {"Simulated"}
        assert all(rater.closing_remark is not None for rater in raters)
        assert all(rater.consent_sha256 for rater in raters)
        kinds = set(session.scalars(select(Item.kind).join(Assignment)))
        assert kinds == {"main", "practice", "repeat", "check"}
        assert set(session.scalars(select(Assignment.app_version))) == {"rehearsal"}
        [event] = session.scalars(select(Event).where(Event.kind == "rehearsed"))
        details = json.loads(event.details)
    assert details["raters"] == 2 and details["seed"] == 5
    assert Studies(database).verify(code) == []


def test_side_by_side_is_rehearsed_as_well(sqlite_database: Database) -> None:
    code = pilot(sqlite_database, 3, 12, display="side_by_side")
    found = rehearse(sqlite_database, code, raters=3, seed=2)
    rows = answers(sqlite_database, code)
    assert {row[3] for row in rows} == {"preference"}
    assert {row[4] for row in rows if row[4] is not None} == {1, 2, 3}
    assert found.truth.choices and found.truth.origin is None


def refused(database: Database, code: str) -> str:
    before = answers(database, code)
    with pytest.raises(RehearsalError) as error:
        rehearse(database, code, raters=1)
    assert answers(database, code) == before
    with database.read() as session:
        assert session.scalars(select(Event).where(Event.kind == "rehearsed")).first() is None
    return str(error.value)


def test_a_main_study_is_refused_whatever_it_is_called(sqlite_database: Database) -> None:
    code = pilot(sqlite_database, kind="main")
    assert "fabricated" in refused(sqlite_database, code)
    Studies(sqlite_database).lock(code, TITLE)
    assert "fabricated" in refused(sqlite_database, code)


def test_a_pilot_that_is_not_called_a_rehearsal_is_refused(sqlite_database: Database) -> None:
    assert "called 'Pilot'" in refused(sqlite_database, pilot(sqlite_database, title="Pilot"))


def test_a_draft_a_paused_and_a_locked_pilot_are_refused(sqlite_database: Database) -> None:
    draft = write_draft(sqlite_database, kind="pilot", title=TITLE, specialties=SIMULATED)
    assert "is draft" in refused(sqlite_database, draft)
    code, studies = pilot(sqlite_database), Studies(sqlite_database)
    studies.pause(code)
    assert "is paused" in refused(sqlite_database, code)
    studies.resume(code)
    studies.lock(code, TITLE)
    assert "is locked" in refused(sqlite_database, code)


def test_a_protocol_without_the_specialty_is_refused(sqlite_database: Database) -> None:
    code = pilot(sqlite_database, specialties=SPECIALTIES)
    assert "'Simulated'" in refused(sqlite_database, code)


def test_people_and_simulated_raters_are_never_mixed(sqlite_database: Database) -> None:
    code = pilot(sqlite_database)
    [(rater, link)] = invite(sqlite_database, code)
    enrol(sqlite_database, link)
    assert f"{rater} already take part" in refused(sqlite_database, code)


def test_a_study_is_rehearsed_once(sqlite_database: Database) -> None:
    code = pilot(sqlite_database)
    rehearse(sqlite_database, code, raters=1)
    with pytest.raises(RehearsalError, match="rehearsed already"):
        rehearse(sqlite_database, code, raters=1)


@pytest.mark.parametrize(("raters", "seed"), [(0, 1), (101, 1), (1, -1)])
def test_impossible_numbers_are_refused(
    sqlite_database: Database, raters: int, seed: int
) -> None:
    code = pilot(sqlite_database)
    with pytest.raises(RehearsalError, match="cannot be simulated"):
        rehearse(sqlite_database, code, raters=raters, seed=seed)


def test_the_same_seed_gives_the_same_answers(tmp_path: Path) -> None:
    found = []
    for name, seed in (("one", 4), ("two", 4), ("three", 5)):
        (tmp_path / name).mkdir()
        opened = home_database(tmp_path / name)
        try:
            code = pilot(opened)
            rehearse(opened, code, raters=2, seed=seed)
            found.append(answers(opened, code))
        finally:
            opened.close()
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_answers_have_all_that_an_export_must_bear(sqlite_database: Database) -> None:
    code = pilot(sqlite_database, 3, 10, 10)
    rehearse(sqlite_database, code, raters=6, seed=1)
    rows = answers(sqlite_database, code)
    assert any(row[4] is None for row in rows)  # cannot judge
    assert any(row[5] > 1 for row in rows)  # edits
    seconds = [row[6] / 1000 for row in rows]
    assert 2 < statistics.median(seconds) < 40
    with sqlite_database.read() as session:
        assert session.scalars(select(DefectTag)).first() is not None
        assert session.scalars(select(Mark)).first() is not None
        remarks = set(session.scalars(select(Assignment.remark))) - {None}
        assert any('"' in text or text.startswith("=") or "\n" in text for text in remarks)
        versions = session.scalars(select(AnswerVersion)).all()
        assert len(versions) > len(rows)


def test_the_truth_is_not_in_the_database(sqlite_database: Database) -> None:
    code = pilot(sqlite_database)
    found = rehearse(sqlite_database, code, raters=1, seed=1)
    assert isinstance(found, Rehearsal)
    with sqlite_database.read() as session:
        text = " ".join(session.scalars(select(Event.details)))
    told = json.dumps(found.to_dict())
    for word in ("means", "dprimes", "components", "msdm-small"):
        assert word in told
        assert word not in text


def test_a_command_goes_from_nothing_to_a_locked_rehearsal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tmp_path)]
    assert main(["rehearse", "--raters", "2", "--lock", *home]) == 0
    printed = capsys.readouterr().out
    code = printed.split("Study ")[1].split()[0]
    written = json.loads((tmp_path / f"{code}-truth.json").read_text(encoding="utf-8"))
    assert written["raters"] == ["R01", "R02"] and "Nothing in it was judged" in written["note"]
    opened = home_database(tmp_path)
    try:
        studies = Studies(opened)
        summary = studies.summary(code)
        assert (summary.kind, summary.status, summary.title) == ("pilot", "locked", "Rehearsal")
        arms = studies.arms(code)
        assert [arm.is_real for arm in arms] == [False, False, False, True]
        views = [view for view in studies.stimuli(code) if view.role == "main"]
        assert len(views) == 40
        plan = studies.protocol(code).plan
        assert plan is not None and plan.reference_arm == "real"
    finally:
        opened.close()


def test_a_command_takes_images_a_protocol_and_a_pilot_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tmp_path)]
    assert main(["rehearse", "--display", "side_by_side", "--raters", "1", "--json", *home]) == 0
    made = json.loads(capsys.readouterr().out)
    assert Path(made["truth"]).is_file()
    opened = home_database(tmp_path)
    try:
        code = pilot(opened)
    finally:
        opened.close()
    assert main(["rehearse", code, "--title", "rehearsal", *home]) == 2
    assert "is of a new pilot" in capsys.readouterr().err
    assert main(["rehearse", code, "--raters", "1", *home]) == 0
    capsys.readouterr()
    assert main(["rehearse", code, "--raters", "1", *home]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--title", "My pilot"], "needs the word"),
        (["--prompts", "0"], "cannot be drawn"),
        (["nosuchcd"], "no study"),
        (["--raters", "0"], "cannot be simulated"),
    ],
)
def test_wrong_commands_say_why_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    home_database(tmp_path).close()
    assert main(["rehearse", *arguments, "--home", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("*-truth.json"))


@given(
    mean=st.floats(1.05, 4.95),
    spread=st.floats(0.2, 2.0),
    points=st.sampled_from([5, 6, 7, 11]),
)
def test_a_planted_mean_is_the_mean_of_the_points(
    mean: float, spread: float, points: int
) -> None:
    centre = centre_of(mean, spread, points)
    assert expected_value(centre, spread, points) == pytest.approx(mean, abs=1e-6)


def judged(truth: Truth, raters: int, prompts: int) -> dict[tuple[str, str], list[int]]:
    """Returns what raters answer about one image of each arm and prompt, by question and arm."""
    questions = [
        {"code": each.code, "kind": each.kind, "has_cannot_judge": False,
         "points": list(range(1, len(each.labels) + 1))}
        for each in DEFAULT_QUESTIONS
    ]  # fmt: skip
    item = {"token": "t", "step": 1, "step_count": 1, "questions": questions, "tags": []}
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number in range(raters):
        rater = SimulatedRater(truth, f"R{number}")
        for prompt in range(prompts):
            for arm in ARMS:
                # Real images have prompts of their own.
                of, is_real = f"{prompt} {arm == 'real'}", arm == "real"
                picture = ShownPicture(0, arm, is_real, f"{arm} {prompt}")
                shown = ShownItem("main", 0, of, (picture,), {})
                for code, value in rater.request(item, shown)["answers"].items():
                    found[code, arm].append(value)
    return found


def test_planted_means_are_what_many_raters_and_prompts_give() -> None:
    """Within five standard errors, which the components themselves tell."""
    raters, prompts = 25, 40
    truth = plant(DEFAULT_QUESTIONS, ["a", "b"], "real", 8)
    found = judged(truth, raters, prompts)
    for scale in truth.scales:
        parts = scale.components
        variance = (parts.rater + parts.rater_arm) / raters
        variance += (parts.prompt + parts.prompt_arm) / prompts
        variance += (parts.rater_prompt + parts.residual + 1 / 12) / (raters * prompts)
        for arm in ARMS:
            mean = statistics.fmean(found[scale.code, arm])
            assert mean == pytest.approx(scale.means[arm], abs=5 * variance**0.5)
    assert truth.origin is not None
    for arm in ARMS:
        expected = truth.origin.mean(truth.origin.dprimes.get(arm, 0.0))
        # A point is 0.48 of evidence wide; raters, sensitivities and images are few.
        error = (0.3**2 / raters + 0.15**2 / raters + 0.3 / prompts) ** 0.5 / 0.48
        mean = statistics.fmean(found["origin", arm])
        assert mean == pytest.approx(expected, abs=5 * error)


def test_real_images_of_the_real_or_synthetic_scale_are_planted_lowest() -> None:
    origin = PlantedOrigin("origin", 6, {"a": 0.5, "b": 1.5})
    assert origin.mean(0.0) < origin.mean(0.5) < origin.mean(1.5)
    assert origin.area(0.0) == 0.5 and 0.85 < origin.area(1.5) < 0.86
    assert len(origin.criteria) == 5 and origin.criteria[2] == pytest.approx(0.5)


@pytest.mark.parametrize("components", [TYPICAL, PESSIMISTIC, Components("none", 0, 0, 0, 0, 0, 0)])
def test_truth_of_a_default_protocol_puts_real_images_first(components: Components) -> None:
    truth = plant(DEFAULT_QUESTIONS, ["b", "a", "c"], "real", 3, components)
    for scale in truth.scales:
        assert max(scale.means, key=scale.means.__getitem__) == "real"
        assert len(set(scale.means.values())) == 4
    again = plant(DEFAULT_QUESTIONS, ["c", "b", "a"], "real", 3, components)
    assert truth.to_dict() == again.to_dict()
    assert set(COMPONENT_NAMES) < set(truth.to_dict()["scales"][0]["components"])


def test_a_mean_that_no_scale_reaches_is_refused() -> None:
    with pytest.raises(RehearsalError, match="between 1 and 5"):
        PlantedScale("realism", 5, {"a": 5.0}, TYPICAL)


def test_the_default_protocol_never_offers_the_specialty_to_people() -> None:
    assert "Simulated" not in Protocol().specialties
