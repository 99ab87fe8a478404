"""Contract: distributions, medians, mean opinion scores and rank tests of what was answered.

Rank tests are those of published tables, are said to be of these raters only, and their effect
sizes are resampled over prompts from the seed alone.
"""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from rating.results.statistics.descriptive import description_table, descriptives
from rating.results.statistics.finding import ArmName
from rating.results.statistics.rank import kendall_w, rank_biserial, rank_table, rank_tests
from tests.results_ratings import ORIGIN, REALISM, answer, ratings_of, settings_of

# Hollander & Wolfe (1973), table 3.1: Hamilton depression scale of nine patients, twice.
DEPRESSION = (
    (1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30),
    (0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29),
)
# Hollander & Wolfe (1973), table 7.1: three ways of rounding first base, 22 players.
BASE = np.reshape([
    5.40, 5.50, 5.55, 5.85, 5.70, 5.75, 5.20, 5.60, 5.50, 5.55, 5.50, 5.40, 5.90, 5.85, 5.70,
    5.45, 5.55, 5.60, 5.40, 5.40, 5.35, 5.45, 5.50, 5.35, 5.25, 5.15, 5.00, 5.85, 5.80, 5.70,
    5.25, 5.20, 5.10, 5.65, 5.55, 5.45, 5.60, 5.35, 5.45, 5.05, 5.00, 4.95, 5.50, 5.50, 5.40,
    5.45, 5.55, 5.50, 5.55, 5.55, 5.35, 5.45, 5.50, 5.55, 5.50, 5.45, 5.25, 5.65, 5.60, 5.40,
    5.70, 5.65, 5.55, 6.30, 6.30, 6.25,
], (22, 3))  # fmt: skip


def rows_of(scores, arm, prefix="P"):
    """Returns answers of raters x prompts; -1 is *cannot judge*."""
    return [
        answer(f"R{rater:02}", f"{prefix}{prompt:02}", arm, None if value == -1 else int(value))
        for (rater, prompt), value in np.ndenumerate(scores)
    ]


def drawn(seed, mean, raters=6, prompts=10):
    """Returns scores of 1 to 5, raters x prompts."""
    rng = np.random.default_rng(seed)
    scores = mean + rng.normal(0, 0.4, (raters, 1)) + rng.normal(0, 0.9, (raters, prompts))
    return np.clip(np.rint(scores), 1, 5)


def test_answers_of_each_point_are_counted_as_given():
    scores = np.array([[1, 1, 2, 5, -1], [1, 2, 2, 5, 5]])
    chosen = settings_of(cannot_judge="worst")

    described = descriptives(ratings_of(rows_of(scores, "a")), chosen)[0]

    assert described.counts == (3, 3, 0, 0, 3)
    assert described.cannot_judge == 1
    # The one that could not be judged counts as 1 for the figures, and not for the counts.
    expected = np.quantile([1, 1, 2, 5, 1, 1, 2, 2, 5, 5], [0.25, 0.5, 0.75])
    assert (described.lower, described.median, described.upper) == pytest.approx(tuple(expected))


def test_a_mean_opinion_score_of_a_complete_table_has_the_crossed_interval():
    scores = drawn(1, 3.5)

    mean = descriptives(ratings_of(rows_of(scores, "a")), settings_of())[0].mean

    raters, prompts = scores.shape
    of_rater = prompts * np.var(scores.mean(1), ddof=1)
    of_prompt = raters * np.var(scores.mean(0), ddof=1)
    left = scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean()
    residual = np.sum(left**2) / ((raters - 1) * (prompts - 1))
    terms = max(of_rater, residual) / 60, max(of_prompt - residual, 0) / 60
    df = sum(terms) ** 2 / (terms[0] ** 2 / 5 + terms[1] ** 2 / 9)
    half = stats.t.ppf(0.975, df) * sum(terms) ** 0.5
    assert mean.value == pytest.approx(scores.mean())
    assert (mean.low, mean.high) == pytest.approx((scores.mean() - half, scores.mean() + half))
    assert mean.n == "6 raters, 10 prompts, 60 answers"


def test_a_preference_is_not_described_as_a_number():
    preference = dataclasses.replace(
        REALISM, code="preference", kind="preference", labels=("1", "2")
    )
    rows = [answer("R0", "P0", "a", 1, question="preference", display="side_by_side")]
    chosen = settings_of(
        display="side_by_side", scales=(preference,), primary_question="preference"
    )

    assert descriptives(ratings_of(rows), chosen) == ()
    assert rank_tests(ratings_of(rows), chosen) == ()


def test_a_question_about_all_pictures_side_by_side_is_described_for_all_of_them():
    rows = [
        row | {"arm": "NA", "is_real": "NA", "stimulus_id": "NA", "display": "side_by_side"}
        for row in rows_of(drawn(2, 3.0), "a")
    ]
    chosen = settings_of(display="side_by_side")

    (described,) = descriptives(ratings_of(rows), chosen)

    assert sum(described.counts) == 60
    assert description_table([described], chosen).rows[0][1] == "all pictures"


def test_the_table_shows_questions_of_different_length_and_says_what_is_missing():
    rows = rows_of(drawn(3, 3.5), "a") + rows_of(np.full((6, 10), -1), "b")
    origin = [row | {"question": "origin"} for row in rows_of(np.full((6, 10), 6), "a")]
    chosen = settings_of(scales=(REALISM, ORIGIN))

    table = description_table(descriptives(ratings_of(rows + origin), chosen), chosen)

    assert table.columns[2:8] == ("1", "2", "3", "4", "5", "6")
    assert len(table.rows) == 6
    assert table.rows[0][7] == "-"
    assert table.rows[1][2:] == ("0", "0", "0", "0", "0", "-", "60", *["-"] * 5)
    assert "realism, Arm B: All 60 answers are 'cannot judge'." in table.notes
    assert "origin, Arm B: There are no answers." in table.notes
    constant = table.rows[3]
    assert constant[-3:-1] == ("6.00", "-")
    assert "nan" not in table.to_text().lower()


def test_wilcoxon_is_that_of_the_published_table():
    rows = [
        answer("R0", f"P{p}", arm, round(1000 * value))
        for arm, values in zip("ab", DEPRESSION, strict=True)
        for p, value in enumerate(values)
    ]

    (found,) = rank_tests(ratings_of(rows), settings_of())

    assert found.kind == "Wilcoxon"
    assert found.statistic == 40
    assert found.p == pytest.approx(0.03906, abs=1e-5)
    assert found.effect.value == pytest.approx((40 - 5) / 45)
    assert found.effect.low <= found.effect.value <= found.effect.high <= 1
    assert found.effect.n == "9 prompts, 1 rater, 18 answers"
    assert "These raters only" in found.effect.note


def test_friedman_is_that_of_the_published_table():
    arms = tuple(ArmName(code, code, False) for code in "abc")
    rows = [
        answer("R0", f"P{p:02}", "abc"[arm], round(100 * value))
        for (p, arm), value in np.ndenumerate(BASE)
    ]

    found = rank_tests(ratings_of(rows), settings_of(arms=arms))[0]

    assert found.kind == "Friedman"
    assert found.statistic == pytest.approx(11.143, abs=5e-4)
    assert found.p == pytest.approx(0.003805, abs=5e-7)
    assert found.effect.value == pytest.approx(11.1429 / 44, abs=1e-5)
    assert found.effect.low <= found.effect.value <= found.effect.high


def test_effect_sizes_of_many_samples_at_once_are_those_of_each():
    rng = np.random.default_rng(5)
    differences = rng.integers(-2, 3, (20, 7)).astype(float)
    scores = rng.integers(1, 4, (20, 8, 3)).astype(float)

    for row, one in zip(differences, rank_biserial(differences), strict=True):
        kept = row[row != 0]
        ranks = stats.rankdata(np.abs(kept))
        expected = np.sum(np.sign(kept) * ranks) / np.sum(ranks) if len(kept) else 0.0
        assert one == pytest.approx(expected)
    for table, one in zip(scores, kendall_w(scores), strict=True):
        assert one == pytest.approx(stats.friedmanchisquare(*table.T).statistic / (8 * 2))


def test_prompt_means_are_over_raters_who_judged_both_arms():
    first, second = drawn(6, 3.6), drawn(7, 3.0)
    first[0, :] = -1  # a rater who could judge one arm alone
    ratings = ratings_of(rows_of(first, "a") + rows_of(second, "b"))

    (found,) = rank_tests(ratings, settings_of())

    gaps = np.round((first - second)[1:].mean(0), 9)
    assert found.effect.value == pytest.approx(float(rank_biserial(gaps)))
    assert found.effect.n == "10 prompts, 5 raters, 100 answers"


def test_the_seed_and_nothing_else_draws_the_resamples():
    first, second = drawn(8, 3.2, prompts=30), drawn(9, 3.0, prompts=30)
    ratings = ratings_of(rows_of(first, "a") + rows_of(second, "b"))
    chosen = settings_of(seed=2**62)

    assert rank_tests(ratings, chosen) == rank_tests(ratings, chosen)
    other = rank_tests(ratings, settings_of(seed=1))
    assert other[0].effect.low != rank_tests(ratings, chosen)[0].effect.low


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (rows_of(drawn(1, 3.0), "a"), "There are no answers about Arm B."),
        (
            rows_of([[3, -1], [3, -1]], "a") + rows_of([[-1, 3], [-1, 3]], "b"),
            "No rater has judged all of these arms for the same prompt.",
        ),
        (
            rows_of(drawn(1, 3.0), "a") + rows_of(drawn(1, 3.0), "b"),
            "All means of prompts agree between the arms.",
        ),
        (rows_of([[3], [4]], "a") + rows_of([[1], [2]], "b"), "One prompt is too few."),
        (
            rows_of(drawn(1, 3.0, 2, 5), "a") + rows_of(drawn(2, 3.0, 2, 5), "b"),
            "Fewer than 6 prompts: no interval.",
        ),
    ],
)
def test_too_little_for_a_test_of_ranks_gives_a_sentence(rows, sentence):
    tests = rank_tests(ratings_of(rows), settings_of())

    assert any(sentence in one.effect.note for one in tests)
    text = rank_table(tests, settings_of()).to_text()
    assert sentence in text
    assert "nan" not in text.lower()


def test_real_images_with_prompts_of_their_own_are_no_pairs():
    rows = rows_of(drawn(1, 3.0), "a") + rows_of(drawn(2, 4.0), "real", prefix="Q")

    (found,) = rank_tests(ratings_of(rows), settings_of(reference_arm="real"))

    assert (found.statistic, found.p) == (None, None)
    assert "prompts of their own" in found.effect.note


def test_the_table_of_rank_tests_says_whom_it_is_of():
    ratings = ratings_of(rows_of(drawn(3, 3.6), "a") + rows_of(drawn(4, 3.0), "b"))

    table = rank_table(rank_tests(ratings, settings_of()), settings_of())

    assert "these raters only" in table.title
    assert table.notes[0] == "These raters only: nothing is concluded for other raters."
    assert table.rows[0][:3] == ("realism", "Wilcoxon", "Arm A - Arm B")
