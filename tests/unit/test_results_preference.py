"""Preference: the published figures come out, intervals cover, no ability is ever infinite, and
where nothing can be told a sentence says so.
"""

import csv
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rating.results.statistics.finding import ArmName, Scale, Settings
from rating.results.statistics.luce import Choices, clustered, design, fit, linked_arms
from rating.results.statistics.preference import (
    ArmPreference,
    Preference,
    preference_table,
    preferences,
)
from rating.results.statistics.strengths import Strengths
from rating.results.statistics.tables import read_assignments
from tests.results_ratings import MOMENT, answer, ratings_of, settings_of

# Agresti A (2002), Categorical Data Analysis, 2nd edition, table 10.10: games won by the team of
# the row against that of the column, American League East, 1987.
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
WON = ((0, 7, 9, 7, 7, 9, 11), (6, 0, 7, 5, 11, 9, 9), (4, 6, 0, 7, 7, 8, 12),
       (6, 8, 6, 0, 6, 7, 10), (6, 2, 6, 7, 0, 7, 12), (4, 4, 5, 6, 6, 0, 6),
       (2, 4, 1, 3, 1, 7, 0))  # fmt: skip
# Abilities relative to Baltimore: Agresti (2002), table 10.11, column 3.
PUBLISHED = (1.58, 1.44, 1.29, 1.25, 1.11, 0.68)
# The same with standard errors, of R 4.2.2: glm(won ~ X - 1, family = binomial), X with 1 for one
# team and -1 for the other, a row a pair.
OF_R = ((1.5814, 0.3433), (1.4364, 0.3396), (1.2945, 0.3367), (1.2476, 0.3359),
             (1.1077, 0.3339), (0.6839, 0.3319))  # fmt: skip

ARMS = (ArmName("a", "Arm A", False), ArmName("b", "Arm B", False), ArmName("c", "Arm C", False))
BEST = Scale("best", "Which is best?", "preference", 1, 3, ("left", "middle", "right"))


def _settings(**changes: Any) -> Settings:
    given: dict[str, Any] = {
        "display": "side_by_side", "scales": (BEST,), "arms": ARMS, "primary_question": "best",
        "reference_arm": "a", "contrast_arms": ("b", "c"), "holm_family": ("best",),
    }  # fmt: skip
    return settings_of(**(given | changes))


def _games() -> Choices:
    games = [
        (one, other) for one, other in itertools.permutations(range(7), 2)
        for _ in range(WON[one][other])
    ]  # fmt: skip
    arm = np.array(games)
    nobody = np.zeros(len(arm), np.intp)
    return Choices(arm, np.ones_like(arm, bool), nobody, nobody, nobody)


def test_abilities_of_baseball_teams_are_as_published_by_agresti_and_computed_by_r() -> None:
    games = _games()
    found = fit(games, design(games, range(6)))
    assert found is not None
    errors = np.sqrt(np.diag(found.bread))
    told = [(round(value, 4), round(error, 4)) for value, error in zip(found.values, errors)]  # noqa: B905
    assert told == list(OF_R)
    assert [round(value, 2) for value, _ in told] == list(PUBLISHED)


def test_where_all_arms_are_always_shown_chances_are_the_shares_chosen() -> None:
    rng = np.random.default_rng(0)
    arm = np.array([rng.permutation(3) for _ in range(200)])
    chosen = np.argmax(rng.random((200, 3)) * np.array([1, 1.2, 1.5])[arm], axis=1)
    choices = Choices(arm, np.ones_like(arm, bool), chosen, np.arange(200) % 6, np.arange(200) // 6)
    strengths = Strengths(choices, _settings(), "")
    for index in range(3):
        share = np.mean(choices.winners == index)
        assert strengths.probability(index).value == pytest.approx(share)
        expected = np.log(share / np.mean(choices.winners == 0))
        assert strengths.ability(index)[0].value == pytest.approx(expected, abs=1e-9)


def test_the_fit_is_that_of_the_conditional_logit_of_statsmodels() -> None:
    from statsmodels.discrete.conditional_models import ConditionalLogit

    rng = np.random.default_rng(2)
    arm = np.array([rng.permutation(4) for _ in range(150)])
    shown = rng.random(arm.shape) < 0.8
    shown[:, :2] = True
    strength = np.where(shown, np.exp(np.array([0, 0.4, -0.3, 0.8])[arm]), 0)
    chosen = np.array([rng.choice(4, p=row / row.sum()) for row in strength])
    nobody = np.zeros(150, np.intp)
    choices = Choices(arm, shown, chosen, nobody, nobody)
    columns = design(choices, (1, 2, 3), (1, 2))
    found = fit(choices, columns)
    assert found is not None
    is_chosen = (np.arange(4) == chosen[:, None])[shown]
    group = np.repeat(np.arange(150), 4).reshape(150, 4)[shown]
    other = ConditionalLogit(is_chosen.astype(float), columns[shown], groups=group).fit(disp=False)
    assert found.values == pytest.approx(other.params, abs=1e-3)
    assert np.sqrt(np.diag(found.bread)) == pytest.approx(other.bse, rel=5e-3)
    assert found.log_likelihood == pytest.approx(other.llf, abs=1e-6)


def test_the_sandwich_is_that_of_a_logistic_regression_clustered_by_rater() -> None:
    """Of two arms the model is a logistic regression on a constant alone."""
    import statsmodels.api as sm

    rng = np.random.default_rng(3)
    rater = np.repeat(np.arange(8), 25)
    won = rng.random(200) < 1 / (1 + np.exp(-0.4 - rng.normal(0, 0.7, 8)[rater]))
    arm = np.tile([0, 1], (200, 1))
    choices = Choices(arm, np.ones_like(arm, bool), won.astype(int), rater, np.arange(200))
    found = fit(choices, design(choices, (1,)))
    assert found is not None
    model = sm.GLM(won.astype(float), np.ones(200), family=sm.families.Binomial())
    other = model.fit(
        cov_type="cluster", cov_kwds={"groups": rater, "use_correction": False}, tol=1e-12
    )
    variance = clustered(found, [rater])[0][0, 0] * 7 / 8
    assert float(np.sqrt(variance)) == pytest.approx(float(other.bse[0]), rel=1e-6)


def test_arms_are_linked_where_choices_lead_both_ways() -> None:
    arm = np.array([[0, 1], [1, 0], [1, 2], [3, 2], [2, 3]])
    nobody = np.zeros(5, np.intp)
    groups = linked_arms(Choices(arm, np.ones_like(arm, bool), nobody, nobody, nobody), 4)
    assert groups[0] == groups[1] and groups[2] == groups[3] and groups[0] != groups[2]


# Of a whole study


def _tables(
    folder: Path, choices: Sequence[tuple[str, str, Sequence[str], int | None]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Writes and reads the tables of choices: rater, prompt, arms by slot, and the slot chosen.

    None is *no preference*.
    """
    columns = ("study_code,rater_code,enrolment_index,assignment_id,protocol_version,position,"
               "item_id,item_kind,repeat_of_item_id,display,prompt_id,slot,arm,is_real,model,"
               "weights_sha256,seed,selection_rule,candidate_count,stimulus_id,stimulus_sha256,"
               "tags,marks,shown_at,judged_at,submitted_at,visible_ms").split(",")  # fmt: skip
    rows = []
    path = folder / "assignments.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="NA", lineterminator="\n")
        writer.writeheader()
        for number, (rater, prompt, arms, slot) in enumerate(choices, 1):
            for place, arm in enumerate(arms):
                writer.writerow(
                    {"rater_code": rater, "assignment_id": number, "prompt_id": prompt,
                     "item_kind": "main", "slot": place, "arm": arm, "is_real": 0,
                     "study_code": "S1", "protocol_version": 1, "position": number,
                     "item_id": 1, "display": "side_by_side", "stimulus_id": 1,
                     "submitted_at": MOMENT}
                )  # fmt: skip
            arm = "NA" if slot is None else arms[slot]
            value = None if slot is None else slot + 1
            rows.append(
                answer(rater, prompt, arm, value, question="best", assignment_id=number,
                       slot="NA" if slot is None else slot, display="side_by_side")
            )  # fmt: skip
    return ratings_of(rows), read_assignments(path)


def _drawn(
    rng: np.random.Generator,
    strength: Mapping[str, float],
    *,
    raters: int = 6,
    prompts: int = 30,
    by_place: Sequence[float] = (0.0, 0.0, 0.0),
) -> list[tuple[str, str, Sequence[str], int | None]]:
    choices: list[tuple[str, str, Sequence[str], int | None]] = []
    for rater, prompt in itertools.product(range(raters), range(prompts)):
        arms = [str(arm) for arm in rng.permutation(list(strength))]
        chance = np.exp([strength[arm] + place for arm, place in zip(arms, by_place)])  # noqa: B905
        slot = int(rng.choice(len(arms), p=chance / chance.sum()))
        choices.append((f"R{rater}", f"p{prompt:02}", arms, slot))
    return choices


def _only(found: Any) -> Preference:
    (question,) = found.questions
    assert isinstance(question, Preference)
    return question


def _arm(question: Preference, code: str) -> ArmPreference:
    (arm,) = (arm for arm in question.arms if arm.arm == code)
    return arm


def test_a_study_has_abilities_and_chances_with_intervals(tmp_path: Path) -> None:
    drawn = _drawn(np.random.default_rng(1), {"a": 0.0, "b": 0.9, "c": -0.6})
    question = _only(preferences(*_tables(tmp_path, drawn), _settings()))
    assert question.n == "6 raters, 30 prompts, 180 choices"
    assert question.note == ""
    assert [arm.arm for arm in question.arms] == ["a", "b", "c"]
    assert sum(arm.chosen for arm in question.arms) == 180
    assert {arm.shown for arm in question.arms} == {180}
    assert sum(arm.probability.value or 0 for arm in question.arms) == pytest.approx(1)
    reference = _arm(question, "a")
    assert (reference.ability.value, reference.ability.low, reference.p) == (0.0, None, None)
    for code, truth in (("b", 0.9), ("c", -0.6)):
        arm = _arm(question, code)
        for finding in (arm.ability, arm.probability):
            assert finding.value is not None
            assert finding.low is not None and finding.high is not None
            assert finding.low < finding.value < finding.high
            assert "Bradley" in finding.method and "sandwich" in finding.method
        assert arm.ability.value == pytest.approx(truth, abs=0.5)
        assert arm.p is not None and arm.p_holm is not None and arm.p <= arm.p_holm
    text = preference_table(preferences(*_tables(tmp_path, drawn), _settings()), _settings())
    assert "rather than Arm A" in text.to_text() and "nan" not in text.to_text()


def test_answers_without_a_preference_are_counted_and_left_out(tmp_path: Path) -> None:
    drawn = _drawn(np.random.default_rng(2), {"a": 0.0, "b": 0.5, "c": 0.2})
    none = [(rater, prompt, arms, None) for rater, prompt, arms, _ in drawn[:17]]
    found = preferences(*_tables(tmp_path, [*none, *drawn[17:]]), _settings())
    question = _only(found)
    assert question.no_preference == 17
    assert question.n.endswith("163 choices")
    note = preference_table(found, _settings()).notes[0]
    assert "17 answers 'no preference' left out" in note
    kept = preferences(*_tables(tmp_path, drawn[17:]), _settings())
    assert _only(kept).arms == question.arms


def test_excluded_raters_are_left_out(tmp_path: Path) -> None:
    drawn = _drawn(np.random.default_rng(3), {"a": 0.0, "b": 0.5, "c": 0.2}, raters=7)
    tables = _tables(tmp_path, drawn)
    excluding = _settings(excluded_raters={"R6": "never looked"})
    assert _only(preferences(*tables, excluding)).n == "6 raters, 30 prompts, 180 choices"


def test_an_arm_never_chosen_has_a_sentence_and_the_others_keep_their_figures(
    tmp_path: Path,
) -> None:
    drawn = _drawn(np.random.default_rng(4), {"a": 0.0, "b": 0.5, "c": -50.0})
    question = _only(preferences(*_tables(tmp_path, drawn), _settings()))
    never = _arm(question, "c")
    assert never.chosen == 0 and never.p is None and never.p_holm is None
    assert never.ability.value is None and "was never chosen" in never.ability.note
    assert never.probability.value is None and "Never chosen in 180" in never.probability.note
    other = _arm(question, "b")
    assert other.ability.value == pytest.approx(0.5, abs=0.5) and other.ability.low is not None
    # It stays in the family: Holm's correction is that of two contrasts.
    assert other.p is not None and other.p_holm == pytest.approx(min(1, 2 * other.p))


@pytest.mark.parametrize("winner", ["a", "b"])
def test_an_arm_always_chosen_leaves_sentences_alone(tmp_path: Path, winner: str) -> None:
    strength = {"a": 0.0, "b": 0.0, "c": 0.0} | {winner: 60.0}
    found = preferences(
        *_tables(tmp_path, _drawn(np.random.default_rng(5), strength)), _settings()
    )
    for arm in _only(found).arms:
        assert arm.probability.value is None and arm.probability.note
        assert arm.ability.value is None or arm.arm == "a"
    table = preference_table(found, _settings())
    assert "inf" not in " ".join(cell for row in table.rows for cell in row)
    assert any("chosen every time" in note.lower() for note in table.notes)


def test_few_raters_give_intervals_that_say_they_do_not_generalise(tmp_path: Path) -> None:
    drawn = _drawn(np.random.default_rng(6), {"a": 0.0, "b": 0.5, "c": 0.2}, raters=3)
    question = _only(preferences(*_tables(tmp_path, drawn), _settings()))
    assert _arm(question, "b").ability.low is not None
    assert "do not generalise to other raters" in question.note
    assert "one prompt" in question.method and "one rater" not in question.method
    tiny = _drawn(np.random.default_rng(6), {"a": 0.0, "b": 0.5, "c": 0.2}, raters=4, prompts=4)
    question = _only(preferences(*_tables(tmp_path, tiny), _settings()))
    assert _arm(question, "b").ability.value is not None
    assert _arm(question, "b").ability.low is None and question.note.startswith("No intervals")


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_choices_give_a_sentence(tmp_path: Path, count: int) -> None:
    drawn = _drawn(np.random.default_rng(7), {"a": 0.0, "b": 0.5, "c": 0.2})[:count]
    none = [("R0", "p00", ["a", "b", "c"], None)]
    found = preferences(*_tables(tmp_path, [*drawn, *none]), _settings())
    for arm in _only(found).arms:
        assert arm.ability.value is None and "from 10 choices" in arm.ability.note
    assert "nan" not in preference_table(found, _settings()).to_text()


def test_a_study_without_a_preference_question_has_none(tmp_path: Path) -> None:
    tables = _tables(tmp_path, _drawn(np.random.default_rng(8), {"a": 0.0, "b": 0.5}))
    found = preferences(*tables, settings_of())
    assert found.questions == ()
    assert preference_table(found, settings_of()).rows == ()


def test_a_liking_for_one_place_is_found_and_does_not_move_the_arms(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    strength = {"a": 0.0, "b": 0.8, "c": 0.0}
    biased = _drawn(rng, strength, raters=8, by_place=(0.9, 0.0, 0.0))
    question = _only(preferences(*_tables(tmp_path, biased), _settings()))
    position = question.position
    assert position.p is not None and position.p < 0.001 and position.df == 2
    assert position.chosen[0] > position.chosen[1]
    assert sum(position.chosen) == 240 and position.shown == (240, 240, 240)
    low, high = _arm(question, "b").ability.low, _arm(question, "b").ability.high
    assert low is not None and high is not None and low < 0.8 < high


def test_without_a_liking_for_a_place_the_test_of_places_errs_as_often_as_it_says() -> None:
    """Also where raters differ in which arm they like, which the test does not model."""
    from rating.results.statistics.position import position_of

    rng = np.random.default_rng(10)
    rejected = 0
    for _ in range(400):
        choices = _heterogeneous(rng, raters=6, prompts=25)
        p = position_of(choices, 3).p
        assert p is not None
        rejected += p < 0.05
    assert 0.02 <= rejected / 400 <= 0.085


def _heterogeneous(
    rng: np.random.Generator, *, raters: int, prompts: int, spread: float = 0.5
) -> Choices:
    """Choices of raters who differ in which arm they like, of prompts that suit some arms."""
    count = raters * prompts
    rater, prompt = np.divmod(np.arange(count), prompts)
    liking = np.array([0.0, 0.5, -0.3]) + rng.normal(0, spread, (raters, 3))[rater]
    liking = liking + rng.normal(0, spread, (prompts, 3))[prompt]
    arm = rng.permuted(np.tile(np.arange(3), (count, 1)), axis=1)
    utility = np.take_along_axis(liking, arm, axis=1) + rng.gumbel(size=arm.shape)
    return Choices(arm, np.ones_like(arm, bool), utility.argmax(axis=1), rater, prompt)


@pytest.mark.parametrize(("raters", "prompts"), [(6, 30), (12, 20)])
def test_intervals_cover_the_ability_among_such_raters_and_prompts(
    raters: int, prompts: int
) -> None:
    rng = np.random.default_rng(11)
    whole = rng.normal(0, 0.5, (400_000, 3)) + rng.normal(0, 0.5, (400_000, 3))
    whole += np.array([0.0, 0.5, -0.3]) + rng.gumbel(size=whole.shape)
    share = np.bincount(whole.argmax(axis=1), minlength=3)
    truth = np.log(share[1] / share[0])
    hits = hits_chance = 0
    for _ in range(400):
        strengths = Strengths(
            _heterogeneous(rng, raters=raters, prompts=prompts), _settings(), ""
        )
        ability, chance = strengths.ability(1)[0], strengths.probability(1)
        assert ability.low is not None and ability.high is not None
        assert chance.low is not None and chance.high is not None
        hits += ability.low <= truth <= ability.high
        hits_chance += chance.low <= share[1] / share.sum() <= chance.high
    assert 0.92 <= hits / 400 <= 0.985
    assert 0.92 <= hits_chance / 400 <= 0.985


def test_no_statistic_is_infinite_or_fails_whatever_was_chosen(tmp_path: Path) -> None:
    rng = np.random.default_rng(13)
    for _ in range(40):
        codes = ["a", "b", "c"]
        choices: list[tuple[str, str, Sequence[str], int | None]] = []
        for rater, prompt in itertools.product(
            range(rng.integers(1, 7)), range(rng.integers(1, 9))
        ):
            arms = [str(arm) for arm in rng.permutation(codes)[: rng.integers(2, 4)]]
            favourite = "b" if rng.random() < 0.7 and "b" in arms else arms[0]
            slot = None if rng.random() < 0.2 else arms.index(favourite)
            choices.append((f"R{rater}", f"p{prompt}", arms, slot))
        found = preferences(*_tables(tmp_path, choices), _settings())
        for arm in _only(found).arms:
            for finding in (arm.ability, arm.probability):
                if finding.value is None:
                    assert finding.note
                else:
                    assert np.isfinite(finding.value)
                    assert finding.low is None or np.isfinite([finding.low, finding.high]).all()
        text = preference_table(found, _settings()).to_text()
        assert "nan" not in text and " inf" not in text
