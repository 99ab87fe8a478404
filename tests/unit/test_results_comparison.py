"""Contract: contrasts of mean scores are those of the crossed analysis of variance, and say so.

Mean squares are those of a published two-way table and of R; relabelling and reordering change
nothing; too few data give a sentence, never a number that means nothing. How often intervals cover
the truth is in `test_results_comparison_simulation`.
"""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from scipy import stats

from rating.precision import COMPONENT_NAMES, Components, synthetic_error
from rating.results.statistics.comparison import contrast, contrast_table, contrasts
from rating.results.statistics.components import component_table, components, score_components
from rating.results.statistics.crossed import Layout, Side, estimate, mean_squares
from rating.results.statistics.tables import asked, main_answers
from tests.results_ratings import (
    ALIGNMENT,
    ARMS,
    ORIGIN,
    REALISM,
    answer,
    ratings_of,
    settings_of,
)

# Shrout and Fleiss (1979), Psychological Bulletin 86, 420-428, table 2: six targets, four judges.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)


def complete(raters, prompts):
    """Returns the layout in which all judged all, cells by rater."""
    first, second = np.divmod(np.arange(raters * prompts), prompts)
    return Layout(first, second)


def made_up(raters=6, prompts=8):
    """Returns the scores of three arms that the R code below makes, raters x prompts."""
    rater, prompt = np.meshgrid(np.arange(1, raters + 1), np.arange(1, prompts + 1), indexing="ij")
    first = 2 + (rater * 7 + prompt * 5 + rater * prompt * 3) % 4
    second = 1 + (rater * 5 + prompt * 3 + rater**2 * prompt * 2) % 5
    return first.astype(float), second.astype(float)


def rows_of(scores, arm, prefix="P"):
    """Returns answers of raters x prompts; None where there is none, -1 for *cannot judge*."""
    return [
        answer(f"R{rater:02}", f"{prefix}{prompt:02}", arm, None if value == -1 else int(value))
        for rater, row in enumerate(scores)
        for prompt, value in enumerate(row)
        if value is not None
    ]


def only(ratings, chosen):
    """Returns the one contrast that is planned."""
    (found,) = contrasts(ratings, chosen)
    return found


def uncorrected(ratings, chosen, pair=("a", "b")):
    """Returns a contrast without Holm's correction, which is slower than the rest."""
    tables = (
        asked(ratings, chosen, "realism"), main_answers(ratings, chosen, "realism")
    )  # fmt: skip
    return contrast(*tables, chosen, "realism", pair)


def test_mean_squares_are_those_published_by_shrout_and_fleiss():
    layout = complete(4, 6)

    squares = mean_squares(layout, SHROUT_FLEISS.T.ravel().astype(float))

    assert float(squares.rater) == pytest.approx(32.49, abs=0.005)
    assert float(squares.prompt) == pytest.approx(11.24, abs=0.005)
    assert float(squares.residual) == pytest.approx(1.02, abs=0.005)
    assert (squares.rater_df, squares.prompt_df, squares.residual_df) == (3, 5, 15)


def test_the_mean_of_the_published_table_has_the_variance_and_df_reckoned_by_hand():
    found = estimate([Side(complete(4, 6), SHROUT_FLEISS.T.ravel().astype(float))])

    # (32.486 + 11.242 - 1.019) / 24, and 1.7795^2 / (1.3536^2 / 3 + 0.4259^2 / 5)
    assert float(found.value) == pytest.approx(127 / 24)
    assert float(found.variance) == pytest.approx(1.7795, abs=5e-4)
    assert float(found.df) == pytest.approx(4.89, abs=0.01)


def test_a_paired_contrast_has_the_standard_error_of_the_mixed_model_in_r():
    # d <- expand.grid(rater = 1:6, prompt = 1:8)
    # d$a <- 2 + (d$rater * 7 + d$prompt * 5 + d$rater * d$prompt * 3) %% 4
    # d$b <- 1 + (d$rater * 5 + d$prompt * 3 + d$rater^2 * d$prompt * 2) %% 5
    # d$x <- d$a - d$b
    # summary(lmerTest::lmer(x ~ 1 + (1 | rater) + (1 | prompt), d))
    #   Estimate 2.0417, Std. Error 0.5515, df 6.46
    # summary(aov(x ~ 1 + Error(factor(rater) + factor(prompt)), d))
    #   mean squares 12.48, 3.512, 1.398
    first, second = made_up()

    found = only(ratings_of(rows_of(first, "a") + rows_of(second, "b")), settings_of())

    assert found.finding.value == pytest.approx(2.0417, abs=5e-5)
    assert found.standard_error == pytest.approx(0.5515, abs=5e-5)
    # lmerTest takes the residual as a term of its own; Hillis as part of the term of prompts.
    assert found.df == pytest.approx(6.70, abs=0.005)
    assert found.df == pytest.approx(6.46, rel=0.05)
    half = stats.t.ppf(0.975, found.df) * found.standard_error
    assert found.finding.low == pytest.approx(found.finding.value - half)
    assert found.finding.high == pytest.approx(found.finding.value + half)
    ratio = found.finding.value / found.standard_error
    assert found.p == pytest.approx(2 * stats.t.sf(ratio, found.df))
    assert found.components["rater_arm"] == pytest.approx(1.3857 / 2, abs=1e-4)
    assert found.components["prompt_arm"] == pytest.approx(0.35238 / 2, abs=1e-4)
    assert found.components["residual"] == pytest.approx(1.39762 / 2, abs=1e-4)
    assert "6 raters, 8 prompts, 96 answers" == found.finding.n
    assert "Satterthwaite" in found.finding.method


def test_a_contrast_with_prompts_of_their_own_has_the_standard_error_of_the_mixed_model_in_r():
    # d <- expand.grid(rater = 1:6, prompt = 1:8)
    # a <- transform(d, arm = "a",
    #                y = rater %% 4 + (rater * 7 + prompt * 5 + rater * prompt * 3) %% 4)
    # r <- transform(d, arm = "real", prompt = prompt + 100,
    #                y = rater %% 4 + prompt %% 3 + (rater * prompt) %% 3)
    # summary(lmerTest::lmer(y ~ arm + (1 | rater) + (1 | rater:arm) + (1 | prompt), rbind(a, r)))
    #   arm: Estimate 0.208333, Std. Error 0.561627, df 16.7; rater:arm 0.229758
    rater, prompt = np.meshgrid(np.arange(1, 7), np.arange(1, 9), indexing="ij")
    first = rater % 4 + (rater * 7 + prompt * 5 + rater * prompt * 3) % 4
    real = rater % 4 + prompt % 3 + (rater * prompt) % 3
    chosen = settings_of(reference_arm="real")
    scale = dataclasses.replace(REALISM, minimum=0, maximum=8)

    rows = rows_of(first, "a") + rows_of(real, "real", prefix="Q")
    found = only(ratings_of(rows), dataclasses.replace(chosen, scales=(scale,)))

    assert not found.is_paired
    assert found.finding.value == pytest.approx(0.208333, abs=1e-6)
    assert found.standard_error == pytest.approx(0.561627, abs=1e-5)
    assert found.components["rater_arm"] == pytest.approx(0.229758, abs=1e-5)
    assert found.finding.n == "6 raters, 8 and 8 prompts, 96 answers"


def test_expected_mean_squares_give_the_error_that_studies_are_planned_with():
    # A table whose components are known exactly: orthogonal effects of given size.
    planned = Components("table", 0.3, 0.2, 0.08, 0.12, 0.1, 0.4)
    raters, prompts = 6, 8
    rng = np.random.default_rng(2)

    def effect(*shape):
        return rng.standard_normal(shape)

    rater, prompt, cell = effect(raters, 1), effect(1, prompts), effect(raters, prompts)
    rater, prompt = rater - rater.mean(), prompt - prompt.mean()
    cell = cell - cell.mean(0) - cell.mean(1, keepdims=True) + cell.mean()
    residual = 2 * planned.residual
    squares = (
        residual + prompts * 2 * planned.rater_arm, residual + raters * 2 * planned.prompt_arm
    )  # fmt: skip
    table = rater * math.sqrt(squares[0] * (raters - 1) / prompts / np.sum(rater**2))
    table = table + prompt * math.sqrt(squares[1] * (prompts - 1) / raters / np.sum(prompt**2))
    df = (raters - 1) * (prompts - 1)
    table = table + cell * math.sqrt(residual * df / np.sum(cell**2))

    found = estimate([Side(complete(raters, prompts), table.ravel())])

    error, planned_df = synthetic_error(planned, raters, prompts)
    assert math.sqrt(float(found.variance)) == pytest.approx(error)
    assert float(found.df) == pytest.approx(planned_df)


def test_negative_components_count_as_none():
    # Differences that alternate within raters and prompts: no rater and no prompt differs.
    values = np.array([[(-1.0) ** (r + p) for p in range(8)] for r in range(6)])

    found = estimate([Side(complete(6, 8), values.ravel())])

    assert float(found.rater) < 0
    assert float(found.variance) == pytest.approx(48 / 35 / 48)  # MS(residual) / cells
    assert float(found.df) == pytest.approx(5)


scores = strategies.integers(1, 5)


@settings(max_examples=15, deadline=None)
@given(
    table=strategies.lists(
        strategies.lists(strategies.tuples(scores, scores), min_size=4, max_size=4),
        min_size=2, max_size=7,
    ),
    holes=strategies.sets(strategies.tuples(strategies.integers(0, 6), strategies.integers(0, 3))),
    order=strategies.randoms(use_true_random=False),
)  # fmt: skip
def test_names_order_a_constant_and_the_direction_change_nothing_else(table, holes, order):
    rows = [
        answer(f"R{rater}", f"P{prompt}", arm, value if (rater, prompt) not in holes else None)
        for rater, row in enumerate(table)
        for prompt, pair in enumerate(row)
        for arm, value in zip("ab", pair, strict=True)
    ]
    wide = dataclasses.replace(REALISM, maximum=15)
    chosen = settings_of(scales=(wide,), equivalence_margin=0.5)
    base = uncorrected(ratings_of(rows), chosen)

    shuffled = [dict(row) for row in rows]
    order.shuffle(shuffled)
    raters, prompts = [list(range(10)) for _ in range(2)]
    order.shuffle(raters)
    order.shuffle(prompts)
    renamed = [
        row
        | {
            "rater_code": f"X{raters[int(row['rater_code'][1:])]}",
            "prompt_id": f"Y{prompts[int(row['prompt_id'][1:])]}",
        }
        for row in rows
    ]
    added = [row | ({"value": row["value"] + 10} if "value" in row else {}) for row in rows]
    for changed in (shuffled, renamed, added):
        assert_same(uncorrected(ratings_of(changed), chosen), base)
    other = uncorrected(ratings_of(rows), chosen, ("b", "a"))
    if base.finding.value is None:
        assert other.finding.value is None
        return
    assert other.finding.value == pytest.approx(-base.finding.value, abs=1e-9)
    if base.finding.low is not None:
        assert other.finding.low == pytest.approx(-base.finding.high, abs=1e-9)
        assert other.p == pytest.approx(base.p, abs=1e-9)


def assert_same(found, base):
    """Fails unless two contrasts say the same."""
    for name in ("value", "low", "high"):
        expected = getattr(base.finding, name)
        got = getattr(found.finding, name)
        assert got == (None if expected is None else pytest.approx(expected, abs=1e-7)), name
    assert (found.finding.n, found.finding.note) == (base.finding.n, base.finding.note)
    assert found.p == (None if base.p is None else pytest.approx(base.p, abs=1e-7))
    for one in (found, base):
        numbers = [one.finding.value, one.finding.low, one.finding.high, one.p, one.p_holm]
        assert all(math.isfinite(number) for number in numbers if number is not None)


def test_holes_are_left_out_in_pairs_and_counted():
    first, second = made_up()
    first[0, 0] = second[3, 4] = -1

    found = only(ratings_of(rows_of(first, "a") + rows_of(second, "b")), settings_of())

    kept = (first >= 0) & (second >= 0)
    assert found.finding.value == pytest.approx(float((first - second)[kept].mean()))
    assert found.finding.n == "6 raters, 8 prompts, 92 answers"
    assert "the other arm has no answer there: 2 answers" in found.finding.note


def test_cannot_judge_counts_as_the_lowest_value_where_planned_and_of_origin_as_the_highest():
    rows = rows_of(np.full((6, 4), 3), "b") + rows_of([[-1, 3, 3, 3]] * 6, "a")
    origin = [row | {"question": "origin"} for row in rows]
    chosen = settings_of(
        scales=(REALISM, ORIGIN), cannot_judge="worst", origin_question="origin"
    )

    realism, real_or_synthetic = contrasts(ratings_of(rows + origin), chosen)

    assert realism.finding.value == pytest.approx(-0.5)
    assert real_or_synthetic.finding.value == pytest.approx(0.75)


def test_images_of_one_arm_and_prompt_are_averaged_first():
    first, second = made_up()
    twice = rows_of(first, "a") + [row | {"copy": 1, "value": 5} for row in rows_of(first, "a")]

    found = only(ratings_of(twice + rows_of(second, "b")), settings_of())

    assert found.finding.value == pytest.approx(float(((first + 5) / 2 - second).mean()))
    assert found.finding.n.endswith("144 answers")


def test_repeats_practice_unfinished_items_and_excluded_raters_do_not_count():
    first, second = made_up()
    rows = rows_of(first, "a") + rows_of(second, "b")
    others = [
        answer("R00", "P00", "a", 1, item_kind="repeat"),
        answer("R00", "P00", "b", 5, item_kind="practice"),
        answer("R09", "P01", "a", 1, submitted_at="NA"),
        answer("R08", "P01", "a", 1),
        answer("R08", "P01", "b", 5),
    ]

    found = only(ratings_of(rows + others), settings_of(excluded_raters={"R08": "why not"}))

    assert_same(found, only(ratings_of(rows), settings_of()))


def test_real_images_that_share_the_prompts_are_compared_within_prompts():
    first, second = made_up()
    chosen = settings_of(reference_arm="real")

    shared = only(ratings_of(rows_of(first, "a") + rows_of(second, "real")), chosen)
    pair = only(ratings_of(rows_of(first, "a") + rows_of(second, "b")), settings_of())

    assert shared.is_paired
    assert shared.standard_error == pytest.approx(pair.standard_error)


def test_few_shared_prompts_are_no_pairs_and_all_answers_count():
    first, second = made_up()
    names = {f"Q{index:02}": f"P{index:02}" for index in range(2)}
    real = rows_of(second, "real", prefix="Q")
    real = [row | {"prompt_id": names.get(row["prompt_id"], row["prompt_id"])} for row in real]

    found = only(ratings_of(rows_of(first, "a") + real), settings_of(reference_arm="real"))

    assert not found.is_paired
    assert found.finding.n == "6 raters, 8 and 8 prompts, 96 answers"


def test_holm_is_over_the_planned_family_alone():
    rng = np.random.default_rng(4)
    means = {"a": 3.4, "b": 3.0, "real": 3.2}
    rows = [
        row | {"question": question}
        for arm, mean in means.items()
        for question in ("realism", "alignment", "origin")
        for row in rows_of(np.clip(np.rint(rng.normal(mean, 1, (6, 20))), 1, 5), arm)
    ]
    chosen = settings_of(
        scales=(ORIGIN, REALISM, ALIGNMENT), contrast_arms=("a", "real"),
        holm_family=("realism", "alignment"), origin_question="origin",
    )  # fmt: skip

    found = contrasts(ratings_of(rows), chosen)

    assert [one.question for one in found][:2] == ["realism", "realism"]
    family = [one for one in found if one.question != "origin"]
    ordered = sorted(family, key=lambda one: one.p)
    expected, highest = [], 0.0
    for rank, one in enumerate(ordered):
        highest = max(highest, min(1.0, (4 - rank) * one.p))
        expected.append(highest)
    assert [one.p_holm for one in ordered] == pytest.approx(expected)
    assert all(one.p_holm is None and one.p for one in found if one.question == "origin")


def test_a_contrast_that_could_not_be_made_keeps_its_place_in_the_family():
    first, second = made_up()
    chosen = settings_of(contrast_arms=("a", "real"))

    made, missing = contrasts(ratings_of(rows_of(first, "a") + rows_of(second, "b")), chosen)

    assert made.p_holm == pytest.approx(2 * made.p)
    assert (missing.finding.value, missing.p, missing.p_holm) == (None, None, None)
    assert missing.finding.note == "There are no answers about Real."


@pytest.mark.parametrize(("margin", "is_equivalent"), [(0.1, False), (3.5, True)])
def test_equivalence_is_where_the_90_percent_interval_lies_within_the_margin(
    margin, is_equivalent
):
    first, second = made_up()
    chosen = settings_of(equivalence_margin=margin)

    found = only(ratings_of(rows_of(first, "a") + rows_of(second, "b")), chosen)

    shown = found.equivalence
    half = stats.t.ppf(0.95, found.df) * found.standard_error
    assert shown.low90 == pytest.approx(found.finding.value - half)
    assert shown.high90 == pytest.approx(found.finding.value + half)
    nearer = (margin - abs(found.finding.value)) / found.standard_error
    assert shown.p_tost == pytest.approx(stats.t.sf(nearer, found.df))
    assert shown.is_equivalent is is_equivalent
    assert is_equivalent is (-margin < shown.low90 and shown.high90 < margin)


def test_below_five_raters_the_interval_is_of_these_raters_and_says_so():
    first, second = made_up(raters=4)

    found = only(ratings_of(rows_of(first, "a") + rows_of(second, "b")), settings_of())

    # Raters fixed: the t test of the means of prompts.
    means = (first - second).mean(axis=0)
    half = stats.sem(means) * stats.t.ppf(0.975, 7)
    assert found.is_fixed_raters
    assert found.df == pytest.approx(7)
    assert found.finding.high - found.finding.value == pytest.approx(half)
    assert "does not generalise to other raters" in found.finding.note


def test_one_rater_gives_an_interval_over_prompts():
    first, second = (table[3:4] for table in made_up())

    found = only(ratings_of(rows_of(first, "a") + rows_of(second, "b")), settings_of())

    half = stats.sem((first - second)[0]) * stats.t.ppf(0.975, 7)
    assert found.finding.high - found.finding.value == pytest.approx(half)
    assert found.finding.n == "1 rater, 8 prompts, 16 answers"


SENTENCES = {
    "nothing": ([], "There are no answers about Arm A."),
    "one arm": (rows_of(np.full((6, 4), 3), "a"), "There are no answers about Arm B."),
    "cannot judge": (
        rows_of(np.full((6, 4), 3), "a") + rows_of(np.full((6, 4), -1), "b"),
        "All 24 answers about Arm B are 'cannot judge'.",
    ),
    "one prompt": (
        rows_of([[1], [2], [3], [4], [5], [5]], "a") + rows_of([[2]] * 6, "b"),
        "One prompt cannot speak for others",
    ),
    "no variance": (
        rows_of(np.full((6, 4), 3), "a") + rows_of(np.full((6, 4), 2), "b"),
        "no spread to estimate an interval from",
    ),
    "no pairs": (
        rows_of([[3, -1], [3, -1]], "a") + rows_of([[-1, 3], [-1, 3]], "b"),
        "No rater has judged both arms for the same prompt.",
    ),
    "no rater of both": (
        rows_of([[3, 4]], "a") + [answer("R77", f"Q{i}", "b", 2 + i) for i in range(3)],
        "No rater has judged both arms.",
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_too_few_data_give_a_sentence_and_no_interval(name):
    rows, sentence = SENTENCES[name]
    chosen = settings_of(equivalence_margin=0.5)
    # A table needs a row; a rater whom the plan excludes leaves none.
    ratings = ratings_of(rows or [answer("R00", "P00", "a", 3)])
    if not rows:
        chosen = dataclasses.replace(chosen, excluded_raters={"R00": "left"})

    found = only(ratings, chosen)

    assert sentence in found.finding.note
    assert (found.finding.low, found.finding.high, found.p, found.equivalence) == (None,) * 4
    text = contrast_table([found], chosen).to_text()
    assert "nan" not in text.lower()
    assert "None" not in text


def test_raters_with_prompts_of_their_own_are_taken_as_they_are():
    # Each prompt was judged by one rater: the spread of raters' means is all there is.
    rng = np.random.default_rng(6)
    means = rng.normal(0, 1, 5)
    layout = Layout(np.repeat(np.arange(5), 4), np.arange(20))
    values = means[layout.raters] + rng.normal(0, 1, 20)

    found = estimate([Side(layout, values)])

    of_raters = values.reshape(5, 4).mean(axis=1)
    assert float(found.variance) == pytest.approx(of_raters.var(ddof=1) / 5)


def test_side_by_side_has_no_contrasts_of_scores():
    first, _ = made_up()
    chosen = settings_of(display="side_by_side")

    assert contrasts(ratings_of(rows_of(first, "a")), chosen) == ()
    assert "preferences compare the arms" in contrast_table((), chosen).to_text()


def test_the_main_table_shows_every_contrast_with_rounded_numbers():
    first, second = made_up()
    chosen = settings_of(equivalence_margin=0.5, is_pilot=True, has_plan=False)

    table = contrast_table(
        contrasts(ratings_of(rows_of(first, "a") + rows_of(second, "b")), chosen), chosen
    )

    assert table.name == "main"
    assert dict(zip(table.columns, table.rows[0], strict=True)) == {
        "Question": "realism", "Contrast": "Arm A - Arm B", "Difference": "2.04",
        "95 % interval": "0.73 to 3.36", "SE": "0.55", "df": "6.7", "p": "0.008",
        "p (Holm)": "0.008", "90 % interval": "0.99 to 3.09", "p (equivalence)": "0.986",
        "Within 0.5": "not shown", "Based on": "6 raters, 8 prompts, 96 answers",
    }  # fmt: skip
    notes = " ".join(table.notes)
    assert "family of 1 contrast of realism" in notes
    assert "pilot" in notes and "exploratory" in notes


def test_components_are_named_as_the_plan_of_studies_names_them_and_found_again():
    true = {"rater": 0.5, "prompt": 0.4, "rater_arm": 0.2, "prompt_arm": 0.3, "rater_prompt": 0.25}
    rng, raters, prompts = np.random.default_rng(8), 40, 150
    rater = rng.normal(0, math.sqrt(true["rater"]), (raters, 1))
    prompt = rng.normal(0, math.sqrt(true["prompt"]), (1, prompts))
    both = rng.normal(0, math.sqrt(true["rater_prompt"]), (raters, prompts))
    rows = []
    for arm in "ab":
        scores = 50 + rater + prompt + both
        scores = scores + rng.normal(0, math.sqrt(true["rater_arm"]), (raters, 1))
        scores = scores + rng.normal(0, math.sqrt(true["prompt_arm"]), (1, prompts))
        scores = scores + rng.normal(0, math.sqrt(0.6), scores.shape)
        rows += rows_of(np.rint(scores * 100), arm)  # whole numbers, fine enough
    scale = dataclasses.replace(REALISM, minimum=0, maximum=10_000)

    found = score_components(ratings_of(rows), settings_of(scales=(scale,)), scale)

    assert tuple(found) == COMPONENT_NAMES
    for name, value in {**true, "residual": 0.6}.items():
        assert found[name] / 100**2 == pytest.approx(value, rel=0.4), name


def test_the_table_of_components_can_be_given_to_the_planner():
    first, second = made_up()
    chosen = settings_of(scales=(REALISM, ORIGIN))
    ratings = ratings_of(rows_of(first, "a") + rows_of(second, "b"))

    table = component_table(components(ratings, chosen), chosen)

    assert table.columns == ("Question", *COMPONENT_NAMES)
    assert dict(zip(table.columns, table.rows[0], strict=True))["residual"] == "0.699"
    assert table.rows[1] == ("origin", *["-"] * 6)
    assert "--variance residual=0.699" in table.notes[0]


def test_arms_with_one_label_are_told_apart_by_their_codes():
    arms = tuple(dataclasses.replace(arm, label="Model") for arm in ARMS)
    first, second = made_up()
    chosen = settings_of(arms=arms)

    found = contrasts(ratings_of(rows_of(first, "a") + rows_of(second, "b")), chosen)

    assert contrast_table(found, chosen).rows[0][1] == "Model (a) - Model (b)"
