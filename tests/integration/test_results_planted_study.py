"""Contract: a study answered by simulated raters of planted truth, three arms and real images,
gives that truth back when it is exported and analysed: the order of the arms, intervals that cover
the planted differences as often as they say, how well raters tell real from synthetic.

Every draw is seeded, so that nothing here fails by luck; and the sizes are such that other seeds
would do as well. Of 120 intervals of 24 studies 88 % have to cover the truth, where 95 % are
promised (of 1,250 intervals of 250 studies 94.8 % did).
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from rating.precision import TYPICAL
from rating.results.export import export_study
from rating.results.planned import settings_of
from rating.results.statistics.analysis import Analysis, analyse
from rating.results.statistics.comparison import contrasts
from rating.results.statistics.contrast import Contrast
from rating.results.statistics.finding import ArmName, Settings
from rating.results.statistics.tables import read_assignments, read_ratings
from rating.storage.database import Database, sqlite_url
from rating.study.lookup import find_study
from rating.study.planted import (
    Habits,
    PlantedOrigin,
    PlantedPreference,
    PlantedScale,
    Truth,
    plant,
)
from rating.study.protocol import DEFAULT_QUESTIONS, SPECIALTIES, AnalysisPlan
from rating.study.simulated_rater import SimulatedRater
from rating.study.simulation import rehearse
from rating.study.studies import Studies
from rating.study.unblinding import ShownItem, ShownPicture
from tests.rating_study import ARMS, write_study
from tests.results_ratings import REALISM, answer, ratings_of
from tests.results_study import unsynced

GOOD, FAIR, POOR = ARMS[:3]
MEANS = {GOOD: 3.6, FAIR: 3.0, POOR: 2.4, "real": 4.2}
DPRIMES = {GOOD: 0.6, FAIR: 1.3, POOR: 2.0}
TRUTH = Truth(
    seed=11,
    scales=(
        PlantedScale("realism", 5, MEANS, TYPICAL),
        PlantedScale("alignment", 5, {**MEANS, "real": 3.9}, TYPICAL),
    ),
    origin=PlantedOrigin("origin", 6, DPRIMES),
)
STUDIES, RATERS, PROMPTS = 24, 6, 15
FIRST_SEED = 1000


def analysed(database: Database, code: str, folder: Path) -> Analysis:
    """Returns the analysis of what an export wrote."""
    export_study(database, code, folder, has_excel=False)
    with database.read() as session:
        chosen = settings_of(session, find_study(session, code))
    ratings = read_ratings(folder / "ratings_long.csv")
    return analyse(ratings, read_assignments(folder / "assignments.csv"), chosen)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = Database.open(sqlite_url(tmp_path_factory.mktemp("planted")))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def analysis(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Of eight raters, fifteen prompts and fifteen real images."""
    plan = AnalysisPlan("realism", "real", equivalence_margin=0.3, holm_family=("realism",))
    code = write_study(
        database, 3, 15, 15, 0, kind="pilot", title="A rehearsal", plan=plan, seed=3,
        specialties=(*SPECIALTIES, "Simulated"), repeat_share=0.0, practice_items=0,
    )  # fmt: skip
    with unsynced(database):
        rehearse(database, code, raters=8, truth=TRUTH)
    Studies(database).lock(code, "A rehearsal")
    return analysed(database, code, tmp_path_factory.mktemp("export") / "tables")


def test_the_arms_come_back_in_their_order(analysis: Analysis) -> None:
    for question in ("realism", "alignment"):
        found = {
            one.arm: one.finding.value for one in analysis.contrasts if one.question == question
        }
        assert sorted(found, key=found.__getitem__) == [POOR, FAIR, GOOD]
        means = {
            one.arm: one.mean.value for one in analysis.descriptives if one.question == question
        }
        assert sorted(means, key=means.__getitem__) == [POOR, FAIR, GOOD, "real"]


def test_every_interval_covers_what_was_planted(analysis: Analysis) -> None:
    checked = 0
    for one in analysis.contrasts:
        if one.question == "origin":
            assert TRUTH.origin is not None
            truth = TRUTH.origin.mean(DPRIMES[one.arm]) - TRUTH.origin.mean(0.0)
        else:
            means = TRUTH.scale(one.question).means
            truth = means[one.arm] - means[one.reference]
        assert one.finding.low is not None and one.finding.high is not None
        assert one.finding.low <= truth <= one.finding.high, one
        assert one.finding.high - one.finding.low < 1.6  # else it is no feat to cover
        checked += 1
    assert checked == 9


def test_what_differs_is_significant_and_not_called_equivalent(analysis: Analysis) -> None:
    primary = [one for one in analysis.contrasts if one.question == "realism"]
    assert [one.is_in_family for one in primary] == [True, True, True]
    worst = next(one for one in primary if one.arm == POOR)
    assert worst.p_holm is not None and worst.p_holm < 0.001
    assert all(one.equivalence and not one.equivalence.is_equivalent for one in primary)


def test_how_well_raters_tell_each_arm_from_real_images_comes_back(analysis: Analysis) -> None:
    assert analysis.detection is not None
    assert TRUTH.origin is not None
    pooled = {one.arm: one for one in analysis.detection.pooled if one.arm}
    areas = {arm: one.area.value for arm, one in pooled.items()}
    assert sorted(areas, key=areas.__getitem__) == [GOOD, FAIR, POOR]
    for arm, one in pooled.items():
        truth = TRUTH.origin.area(DPRIMES[arm])
        assert one.area.low is not None and one.area.high is not None
        assert one.area.low <= truth <= one.area.high, (arm, one.area, truth)
        assert one.dprime.low is not None and one.dprime.high is not None
        assert one.dprime.low <= DPRIMES[arm] <= one.dprime.high, (arm, one.dprime)


def simulated(seed: int, planted: Truth) -> list[dict[str, object]]:
    """Returns the answers of a study of 6 raters, 15 prompts, 15 real images, as rows."""
    questions = [
        {"code": each.code, "kind": each.kind, "has_cannot_judge": True,
         "points": list(range(1, len(each.labels) + 1))}
        for each in DEFAULT_QUESTIONS
        if each.code == "realism"
    ]  # fmt: skip
    item = {"token": "t", "step": 1, "step_count": 1, "questions": questions, "tags": []}
    rows: list[dict[str, object]] = []
    truth = dataclasses.replace(planted, seed=seed, habits=Habits(tagged=0.0))
    for number in range(RATERS):
        code = f"R{number + 1:02d}"
        rater = SimulatedRater(truth, code)
        for index in range(PROMPTS):
            for arm in (GOOD, FAIR, POOR, "real"):
                prompt = f"real {index}" if arm == "real" else f"p{index}"
                picture = ShownPicture(0, arm, arm == "real", f"{arm} {index}")
                sent = rater.request(item, ShownItem("main", 0, prompt, (picture,), {}))
                values = {**sent["answers"], **dict.fromkeys(sent["cannot_judge"])}
                rows += [
                    answer(code, prompt, arm, value, question=question)
                    for question, value in values.items()
                ]
    return rows


SETTINGS = Settings(
    study_code="S1", title="Planted", is_pilot=False, has_plan=True, display="single",
    scales=(REALISM,),
    arms=(*(ArmName(arm, arm, False) for arm in (GOOD, FAIR, POOR)), ArmName("real", "Real", True)),
    primary_question="realism", reference_arm="real", contrast_arms=(GOOD, FAIR, POOR),
    equivalence_margin=None, holm_family=("realism",), cannot_judge="exclude",
)  # fmt: skip


def is_covered(one: Contrast) -> bool:
    means = TRUTH.scale(one.question).means
    assert one.finding.low is not None and one.finding.high is not None
    return one.finding.low <= means[one.arm] - means[one.reference] <= one.finding.high


def test_intervals_of_many_studies_cover_the_truth_as_often_as_they_say() -> None:
    against_real, between_models, in_order = [], [], 0
    pair = dataclasses.replace(SETTINGS, reference_arm=FAIR, contrast_arms=(GOOD, POOR))
    for seed in range(FIRST_SEED, FIRST_SEED + STUDIES):
        ratings = ratings_of(simulated(seed, TRUTH))
        found = contrasts(ratings, SETTINGS)
        against_real += map(is_covered, found)
        between_models += map(is_covered, contrasts(ratings, pair))
        values = {one.arm: one.finding.value for one in found}
        in_order += sorted(values, key=values.__getitem__) == [POOR, FAIR, GOOD]
    assert len(against_real) == 3 * STUDIES and len(between_models) == 2 * STUDIES
    assert sum(against_real) >= 0.88 * len(against_real)
    assert sum(between_models) >= 0.88 * len(between_models)
    # Arms are 0.6 points apart, which is more than three standard errors.
    assert in_order >= 0.95 * STUDIES


def test_an_arm_that_is_no_worse_than_another_is_rarely_found_so() -> None:
    """At most five of 24 tests at 5 %, which chance exceeds about once in 1,000 times."""
    scale = dataclasses.replace(TRUTH.scale("realism"), means={**MEANS, GOOD: 3.0})
    same = dataclasses.replace(TRUTH, scales=(scale,))
    chosen = dataclasses.replace(SETTINGS, reference_arm=FAIR, contrast_arms=(GOOD,))
    found = []
    for seed in range(FIRST_SEED, FIRST_SEED + STUDIES):
        [one] = contrasts(ratings_of(simulated(seed, same)), chosen)
        assert one.p is not None
        found.append(one.p < 0.05)
    assert sum(found) <= 5


def test_preferences_side_by_side_come_back_in_their_order(
    database: Database, tmp_path: Path
) -> None:
    strengths = {GOOD: 1.0, FAIR: 0.0, POOR: -1.0}
    truth = Truth(5, choices=(PlantedPreference("preference", strengths),))
    plan = AnalysisPlan("preference", FAIR, holm_family=("preference",))
    code = write_study(
        database, 3, 20, kind="pilot", title="Rehearsal side by side", display="side_by_side",
        plan=plan, specialties=(*SPECIALTIES, "Simulated"), repeat_share=0.0, practice_items=0,
    )  # fmt: skip
    with unsynced(database):
        rehearse(database, code, raters=8, truth=truth)
    found = analysed(database, code, tmp_path / "export").preference
    assert found is not None
    [asked] = found.questions
    abilities = {arm.arm: arm.ability for arm in asked.arms}
    values = {arm: ability.value for arm, ability in abilities.items()}
    assert sorted(values, key=values.__getitem__) == [POOR, FAIR, GOOD]
    for arm in (GOOD, POOR):
        low, high = abilities[arm].low, abilities[arm].high
        assert low is not None and high is not None
        # Strengths of single raters and prompts vary, which draws what is pooled towards zero.
        assert low - 0.2 <= strengths[arm] <= high + 0.2


def test_the_truth_drawn_by_a_seed_is_found_as_well() -> None:
    truth = plant(DEFAULT_QUESTIONS, [GOOD, FAIR, POOR], "real", 77)
    found = {
        one.arm: one.finding.value
        for one in contrasts(ratings_of(simulated(77, truth)), SETTINGS)
        if one.question == "realism"
    }
    means = truth.scale("realism").means
    assert sorted(found, key=found.__getitem__) == sorted(found, key=means.__getitem__)
