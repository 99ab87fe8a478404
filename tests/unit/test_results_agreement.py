"""Agreement: the published figures come out, intervals cover, and where nothing can be told a
sentence says so.
"""

import itertools
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating.results.statistics.agreement import Agreement, agreement_findings, agreement_tables
from rating.results.statistics.finding import Finding, Scale
from rating.results.statistics.intraclass import intraclass, mean_rater_count, squares_of
from rating.results.statistics.kappa import cohen, fleiss
from rating.results.statistics.krippendorff import alpha, coincidences, pair_shares
from rating.results.statistics.resampling import bootstrap_interval, sample_count
from tests.results_ratings import REALISM, answer, ratings_of, settings_of

# Krippendorff K (2011), Computing Krippendorff's Alpha-Reliability: four observers and twelve
# units, "." where an observer did not judge a unit.
KRIPPENDORFF_2011 = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)
# Shrout PE, Fleiss JL (1979), Psychological Bulletin 86, 420-428, table 2: four judges rate six
# targets.
SHROUT_FLEISS_1979 = ((9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9),
                      (6, 2, 4, 7))  # fmt: skip
# Fleiss JL (1971), Psychological Bulletin 76, 378-382, table 1: how many of six psychiatrists put
# each of thirty patients into each of five categories.
FLEISS_1971 = """
00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
""".split()
# Agresti A (2002), Categorical Data Analysis, 2nd edition, table 10.8: two pathologists judge 118
# slides for carcinoma.
AGRESTI_2002 = ((22, 2, 2, 0), (5, 7, 14, 0), (0, 2, 36, 0), (0, 1, 17, 10))


def _krippendorff_counts() -> np.ndarray:
    counts = np.zeros((12, 5))
    for row in KRIPPENDORFF_2011:
        for unit, cell in enumerate(row.split()):
            if cell != ".":
                counts[unit, int(cell) - 1] += 1
    return counts


def _long(matrix: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns raters, units and values of a matrix of units x raters, gaps left out."""
    values = np.asarray(matrix, float)
    unit, rater = np.nonzero(np.isfinite(values))
    return rater, unit, values[unit, rater]


@pytest.mark.parametrize(
    ("metric", "published"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_alpha_is_as_published_by_krippendorff_2011(metric: Any, published: float) -> None:
    total = coincidences(_krippendorff_counts()).sum(axis=0)
    assert total.sum() == pytest.approx(40)  # pairable values, as published
    assert round(float(alpha(total, metric, (1, 2, 3, 4, 5))), 3) == published


def test_the_six_correlations_of_shrout_and_fleiss_1979_come_out_of_the_mean_squares() -> None:
    squares = squares_of(*_long(SHROUT_FLEISS_1979))
    assert squares is not None
    within = (squares.rater * 3 + squares.residual * 15) / 18
    one = (squares.unit - within) / (squares.unit + 3 * within)
    three = (squares.unit - squares.residual) / (squares.unit + 3 * squares.residual)
    assert [round(value, 2) for value in (one, three)] == [0.17, 0.71]
    assert round(1 - within / squares.unit, 2) == 0.44
    assert round(1 - squares.residual / squares.unit, 2) == 0.91
    single, mean = intraclass(squares, 1, 0.95), intraclass(squares, 4, 0.95)
    assert single is not None and mean is not None
    assert [round(single.value, 2), round(mean.value, 2)] == [0.29, 0.62]


def test_intervals_of_the_correlations_are_those_of_mcgraw_and_wong() -> None:
    """As R computes them: psych::ICC(matrix, lmer = FALSE), psych 2.2.9."""
    squares = squares_of(*_long(SHROUT_FLEISS_1979))
    assert squares is not None
    single, mean = intraclass(squares, 1, 0.95), intraclass(squares, 4, 0.95)
    assert single is not None and mean is not None
    assert (single.low, single.high) == pytest.approx((0.0187865133747, 0.761084369649))
    assert (mean.low, mean.high) == pytest.approx((0.0711368153025, 0.927232040168))


def test_kappa_of_fleiss_1971_is_as_published() -> None:
    counts = np.array([[int(digit) for digit in row] for row in FLEISS_1971], float)
    assert counts.shape == (30, 5) and np.all(counts.sum(axis=1) == 6)
    found = fleiss(counts, 0.95)
    assert found is not None
    assert round(found.value, 3) == 0.430
    # Gwet's standard error is that of the delta method: close to the jackknife's.
    left_out = [fleiss(np.delete(counts, unit, axis=0), 0.95).value for unit in range(30)]  # type: ignore[union-attr]
    jackknife = np.sqrt(29 / 30 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))
    assert (found.high - found.low) / 2 / 2.0452 == pytest.approx(jackknife, rel=0.03)


def test_kappas_of_the_two_pathologists_of_agresti_2002_are_those_of_psych() -> None:
    """R: psych::cohen.kappa(matrix), psych 2.2.9: kappa, its interval and the weighted kappa."""
    plain = cohen(np.array(AGRESTI_2002, float), 0.95, is_weighted=False)
    assert plain is not None
    assert (plain.value, plain.low, plain.high) == pytest.approx(
        (0.4930055955, 0.3817910644, 0.6042201267)
    )
    weighted = cohen(np.array(AGRESTI_2002, float), 0.95)
    assert weighted is not None
    assert weighted.value == pytest.approx(0.7838218715)


def test_weighted_kappa_tends_to_the_correlation_for_agreement() -> None:
    """Fleiss & Cohen (1973): they differ by terms of 1 / units alone."""
    table = np.array(AGRESTI_2002)
    cells = [cell for cell in np.ndindex(4, 4) for _ in range(table[cell])]
    squares = squares_of(*_long(np.repeat(cells, 20, axis=0)))
    assert squares is not None
    found, kappa = intraclass(squares, 1, 0.95), cohen(20.0 * table, 0.95)
    assert found is not None and kappa is not None
    assert found.value == pytest.approx(kappa.value, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([0, 1, 2, 3, 4]), min_size=3, max_size=3), min_size=3, max_size=12
    )
)
def test_alpha_is_that_of_counting_pair_by_pair(rows: list[list[int]]) -> None:
    """0 is a gap; the definition is written out for every pair of answers."""
    units = [[value for value in row if value] for row in rows]
    units = [unit for unit in units if len(unit) > 1]
    values = sorted(value for unit in units for value in unit)
    if len(set(values)) < 2:
        return
    counts = np.array([[unit.count(point) for point in (1, 2, 3, 4)] for unit in units], float)

    def distance(one: int, other: int) -> float:
        low, high = sorted((one, other))
        between = sum(values.count(point) for point in range(low, high + 1))
        return (between - (values.count(low) + values.count(high)) / 2) ** 2

    observed = sum(
        distance(*pair) / (len(unit) - 1)
        for unit in units for pair in itertools.permutations(unit, 2)
    ) / len(values)  # fmt: skip
    expected = sum(distance(*pair) for pair in itertools.permutations(values, 2))
    expected /= len(values) * (len(values) - 1)
    found = alpha(coincidences(counts).sum(axis=0), "ordinal", (1, 2, 3, 4))
    assert float(found) == pytest.approx(1 - observed / expected)


def test_pairs_of_answers_are_counted_once_and_those_one_point_apart_as_close() -> None:
    counts = np.array([[2.0, 1, 0], [0, 0, 3], [1, 0, 1]])
    same, pairs = pair_shares(counts, 0)
    close, _ = pair_shares(counts, 1)
    assert same.tolist() == [1, 3, 0]
    assert close.tolist() == [3, 3, 0]
    assert pairs.tolist() == [3, 3, 1]


def test_gaps_at_random_leave_the_correlation_where_it_was() -> None:
    rng = np.random.default_rng(4)
    full = rng.normal(0, 1, (4000, 1)) + rng.normal(0, 0.5, (1, 8)) + rng.normal(0, 1, (4000, 8))
    holes = np.where(rng.random(full.shape) < 0.4, np.nan, full)
    holes = holes[np.isfinite(holes).sum(axis=1) >= 2]
    squares = [squares_of(*_long(matrix)) for matrix in (full, holes)]
    one, other = (intraclass(found, 1, 0.95) for found in squares if found is not None)
    assert one is not None and other is not None
    assert other.value == pytest.approx(one.value, abs=0.02)


def test_the_mean_of_k_raters_counts_raters_by_their_harmonic_mean() -> None:
    assert mean_rater_count(np.array([0, 0, 1, 1, 1, 1])) == pytest.approx(8 / 3)


def _coverage_of_correlation(shape: tuple[int, int], gaps: float, studies: int) -> float:
    rng = np.random.default_rng(11)
    units, raters = shape
    truth = 0.3 / (0.3 + 0.2 + 0.45)
    hits = 0
    for _ in range(studies):
        values = rng.normal(0, 0.3**0.5, (units, 1)) + rng.normal(0, 0.2**0.5, (1, raters))
        values = values + rng.normal(0, 0.45**0.5, (units, raters))
        values[rng.random(values.shape) < gaps] = np.nan
        values = values[np.isfinite(values).sum(axis=1) >= 2]
        squares = squares_of(*_long(values))
        assert squares is not None
        found = intraclass(squares, 1, 0.95)
        assert found is not None and found.low is not None and found.high is not None
        hits += found.low <= truth <= found.high
    return hits / studies


@pytest.mark.parametrize("gaps", [0.0, 0.4])
@pytest.mark.parametrize("shape", [(20, 3), (30, 6)])
def test_intervals_of_the_correlation_cover_what_they_promise(
    shape: tuple[int, int], gaps: float
) -> None:
    assert 0.93 <= _coverage_of_correlation(shape, gaps, 1000) <= 0.98


def test_intervals_of_alpha_cover_what_they_promise() -> None:
    """Of other stimuli and the same raters: their alpha in 20,000 stimuli is the truth."""
    rng = np.random.default_rng(5)
    levels = np.array([-0.6, -0.2, 0.0, 0.3, 0.5])

    def counts(units: int) -> np.ndarray:
        scores = 3 + levels + rng.normal(0, 0.6, (units, 1)) + rng.normal(0, 0.7, (units, 5))
        points = np.clip(np.rint(scores), 1, 5)
        return np.stack([(points == point).sum(axis=1) for point in range(1, 6)], 1).astype(float)

    def statistic(sums: np.ndarray) -> np.ndarray:
        return alpha(sums.reshape(*sums.shape[:-1], 5, 5), "ordinal", (1, 2, 3, 4, 5))

    truth = float(statistic(coincidences(counts(20_000)).sum(axis=0).ravel()))
    hits = 0
    for study in range(200):
        sums = coincidences(counts(40)).reshape(40, -1)
        ends = bootstrap_interval(sums, statistic, level=0.95, seed=study)
        assert ends is not None
        hits += ends[0] <= truth <= ends[1]
    assert 0.91 <= hits / 200 <= 0.985


# Of a whole study


def _study(
    rng: np.random.Generator, *, raters: int = 5, prompts: int = 24, gaps: float = 0.0
) -> list[dict[str, Any]]:
    """Arms a < b < real, prompts that differ, raters who differ in level."""
    rows = []
    for prompt in range(prompts):
        for arm, level in (("a", 2.4), ("b", 3.0), ("real", 3.8)):
            picture = rng.normal(0, 0.6)
            for rater in range(raters):
                score = level + picture + 0.2 * (rater - 2) + rng.normal(0, 0.7)
                if rng.random() >= gaps:
                    point = int(np.clip(round(score), 1, 5))
                    rows.append(answer(f"R{rater:02}", f"p{prompt:02}", arm, point))
    return rows


def _found(agreement: Agreement, name: str, arm: str = "") -> Finding:
    (finding,) = (
        measure.finding for measure in agreement.measures
        if measure.name.startswith(name) and measure.arm == arm
    )  # fmt: skip
    return finding


def test_a_complete_study_has_every_measure_with_interval_n_and_method() -> None:
    agreement = agreement_findings(ratings_of(_study(np.random.default_rng(1))), settings_of())
    overall = [measure for measure in agreement.measures if not measure.arm]
    assert [measure.name for measure in overall] == [
        "Krippendorff's alpha, ordinal", "ICC(2,1), one rater", "ICC(2,k), mean of raters",
        "Krippendorff's alpha, nominal", "Fleiss' kappa", "Pairs with the same answer",
        "Pairs within one point",
    ]  # fmt: skip
    for measure in agreement.measures:
        finding = measure.finding
        assert finding.value is not None and finding.low is not None and finding.high is not None
        assert finding.low < finding.value < finding.high
        assert finding.method
        units = 24 if measure.arm else 72
        assert finding.n == f"5 raters, {units} stimuli, {5 * units} answers"
    assert len(agreement.pairs) == 10
    assert agreement.repeats == ()


def test_differences_between_arms_raise_the_overall_correlation() -> None:
    agreement = agreement_findings(ratings_of(_study(np.random.default_rng(2))), settings_of())
    overall = _found(agreement, "ICC(2,1)").value
    assert overall is not None
    for arm in ("a", "b", "real"):
        within = _found(agreement, "ICC(2,1)", arm).value
        assert within is not None and within < overall
    (table, *_) = agreement_tables(agreement, settings_of())
    assert any("differences between arms" in note for note in table.notes)


def test_gaps_leave_every_measure_but_that_of_fleiss() -> None:
    rows = _study(np.random.default_rng(3), gaps=0.3)
    agreement = agreement_findings(ratings_of(rows), settings_of())
    kappa = _found(agreement, "Fleiss")
    assert kappa.value is None and "judged different stimuli" in kappa.note
    single = _found(agreement, "ICC(2,1)")
    assert single.value is not None and "Henderson" in single.method
    assert "approximate" in single.method


def test_the_same_tables_and_seed_give_the_same_intervals_in_any_order_of_rows() -> None:
    rows = _study(np.random.default_rng(6), gaps=0.2)
    ratings = ratings_of(rows)
    mixed = ratings.sample(frac=1, random_state=1).reset_index(drop=True)
    assert agreement_findings(ratings, settings_of()) == agreement_findings(mixed, settings_of())
    reseeded = agreement_findings(ratings, settings_of(seed=9))
    first = _found(agreement_findings(ratings, settings_of()), "Krippendorff's alpha, ordinal")
    other = _found(reseeded, "Krippendorff's alpha, ordinal")
    assert first.value == other.value and first.low != other.low
    assert "seed 0" in first.method and "seed 9" in other.method


def test_answers_that_are_all_the_same_give_sentences_and_no_perfect_agreement() -> None:
    rows = [
        answer(f"R{rater}", f"p{prompt:02}", arm, 5)
        for rater in range(4) for prompt in range(25) for arm in ("a", "b")
    ]  # fmt: skip
    agreement = agreement_findings(ratings_of(rows), settings_of())
    for measure in agreement.measures:
        if not measure.name.startswith("Pairs"):
            assert measure.finding.value is None
            assert "Every answer is the same (5 of the scale)" in measure.finding.note
    same = _found(agreement, "Pairs with the same answer")
    assert (same.value, same.low) == (1.0, None) and same.note.startswith("No interval")
    assert all(pair.finding.value is None for pair in agreement.pairs)


def test_raters_who_give_the_same_varied_answers_agree_perfectly_without_an_interval() -> None:
    rows = [
        answer(f"R{rater}", f"p{prompt:02}", arm, 1 + prompt % 5)
        for rater in range(4) for prompt in range(25) for arm in ("a", "b")
    ]  # fmt: skip
    agreement = agreement_findings(ratings_of(rows), settings_of())
    for measure in agreement.measures:
        assert measure.finding.value == pytest.approx(1.0), measure.name
        assert measure.finding.low is None
        assert "No interval" in measure.finding.note
    assert {pair.finding.value for pair in agreement.pairs} == {1.0}


def test_raters_who_see_no_difference_between_stimuli_get_a_sentence_for_the_correlation() -> None:
    rows = [
        answer(f"R{rater}", f"p{prompt:02}", arm, 2 + rater)
        for rater in range(3) for prompt in range(25) for arm in ("a", "b")
    ]  # fmt: skip
    agreement = agreement_findings(ratings_of(rows), settings_of())
    single = _found(agreement, "ICC(2,1)")
    assert single.value is None and "stimuli do not differ" in single.note
    ordinal = _found(agreement, "Krippendorff's alpha, ordinal").value
    assert ordinal is not None and ordinal < 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "needs two raters"),
        ([answer("R1", f"p{prompt}", "a", 3) for prompt in range(9)], "needs two raters"),
        (
            [answer(f"R{rater}", f"p{prompt}", "a", 1 + prompt)
             for rater in range(2) for prompt in range(3)],
            "judged 3 stimuli",
        ),
        ([answer(f"R{number}", f"p{number}", "a", 3) for number in range(8)], "two raters"),
    ],
)  # fmt: skip
def test_too_few_data_give_a_sentence(rows: list[dict[str, Any]], said: str) -> None:
    table = ratings_of(rows or [answer("R1", "p", "a", None)])
    agreement = agreement_findings(table, settings_of())
    assert agreement.measures
    for measure in agreement.measures:
        assert measure.finding.value is None and said in measure.finding.note
    for shown in agreement_tables(agreement, settings_of()):
        assert shown.to_text() and "nan" not in shown.to_text()


def test_no_statistic_is_nan_or_fails_whatever_was_answered() -> None:
    rng = np.random.default_rng(12)
    for _ in range(40):
        raters, prompts = rng.integers(1, 5), rng.integers(1, 24)
        top, gaps = rng.integers(1, 6), rng.random()
        rows = [
            answer(f"R{rater}", f"p{prompt}", arm, int(rng.integers(1, top + 1)))
            for rater in range(raters) for prompt in range(prompts) for arm in ("a", "b")
            if rng.random() >= gaps
        ]  # fmt: skip
        table = ratings_of(rows or [answer("R1", "p", "a", None)])
        agreement = agreement_findings(table, settings_of())
        findings = [one.finding for one in (*agreement.measures, *agreement.pairs)]
        for finding in findings:
            if finding.value is None:
                assert finding.note
            else:
                assert -1 <= finding.value <= 1 + 1e-12
            if finding.low is not None and finding.high is not None:
                assert finding.low <= finding.high <= 1 + 1e-12
        for shown in agreement_tables(agreement, settings_of()):
            assert "nan" not in shown.to_text()


def test_every_two_raters_have_one_kappa_in_the_order_of_their_codes() -> None:
    ratings = ratings_of(_study(np.random.default_rng(7), raters=4))
    pairs = agreement_findings(ratings, settings_of()).pairs
    codes = ["R00", "R01", "R02", "R03"]
    assert [(pair.first, pair.second) for pair in pairs] == list(itertools.combinations(codes, 2))
    assert all(pair.finding.value is not None for pair in pairs)


def test_pairs_who_share_few_stimuli_get_no_kappa() -> None:
    rows = [answer("R1", f"p{prompt:02}", "a", 1 + prompt % 5) for prompt in range(30)]
    rows += [answer("R2", f"p{prompt:02}", "a", 1 + prompt % 4) for prompt in range(30)]
    rows += [answer("R3", f"p{prompt:02}", "a", 1 + prompt % 3) for prompt in range(9)]
    agreement = agreement_findings(ratings_of(rows), settings_of())
    told = {(pair.first, pair.second): pair.finding for pair in agreement.pairs}
    assert told["R1", "R2"].value is not None
    assert told["R1", "R3"].value is None and "Fewer than 10" in told["R1", "R3"].note


def test_many_raters_are_listed_by_the_lowest_and_highest_pairs() -> None:
    ratings = ratings_of(_study(np.random.default_rng(8), raters=12, prompts=10))
    agreement = agreement_findings(ratings, settings_of())
    (table,) = (
        shown for shown in agreement_tables(agreement, settings_of())
        if shown.name == "agreement_pairs"
    )  # fmt: skip
    assert len(agreement.pairs) == 66 and len(table.rows) == 20
    assert any("median kappa of 66 pairs" in note for note in table.notes)
    assert any("of 66 pairs the 10 lowest and the 10 highest" in note for note in table.notes)


# Hidden repeats


def _repeats(count: int, moved: int = 0) -> list[dict[str, Any]]:
    """One rater sees 40 stimuli and some of them again; `moved` of these get one point more."""
    rows = [answer("R1", f"p{prompt:02}", "a", 1 + prompt % 4) for prompt in range(40)]
    rows += [answer("R2", f"p{prompt:02}", "a", 1 + prompt % 4) for prompt in range(40)]
    for number in range(count):
        rater, prompt = ("R1", number) if number < 40 else ("R2", number - 40)
        rows.append(
            answer(rater, f"p{prompt:02}", "a", 1 + prompt % 4 + (number < moved),
                   item_kind="repeat", item_id=1000 + prompt, repeat_of_item_id=prompt + 1)
        )  # fmt: skip
    return rows


def test_raters_agreement_with_themselves_is_told_from_thirty_pairs_on() -> None:
    few = agreement_findings(ratings_of(_repeats(29)), settings_of())
    assert few.repeats
    for measure in few.repeats:
        assert measure.finding.value is None
        assert "29 pairs" in measure.finding.note and "30 pairs" in measure.finding.note
    enough = agreement_findings(ratings_of(_repeats(30, moved=6)), settings_of())
    for measure in enough.repeats:
        finding = measure.finding
        assert finding.value is not None and finding.low is not None and finding.high is not None
        assert finding.low < finding.value < finding.high
        assert finding.n == "30 pairs, 1 rater"
    (same,) = (one.finding for one in enough.repeats if one.name.startswith("Same"))
    assert same.value == pytest.approx(0.8)


def test_repeats_count_for_nothing_but_raters_agreement_with_themselves() -> None:
    with_repeats = agreement_findings(ratings_of(_repeats(40, moved=40)), settings_of())
    without = agreement_findings(ratings_of(_repeats(0)), settings_of())
    assert with_repeats.measures == without.measures and with_repeats.pairs == without.pairs


def test_repeats_answered_alike_and_never_varied_give_a_sentence() -> None:
    rows = [answer("R1", f"p{prompt:02}", "a", 5) for prompt in range(40)]
    rows += [
        answer("R1", f"p{prompt:02}", "a", 5, item_kind="repeat", item_id=1000 + prompt,
               repeat_of_item_id=prompt + 1)
        for prompt in range(40)
    ]  # fmt: skip
    for measure in agreement_findings(ratings_of(rows), settings_of()).repeats:
        if measure.name.startswith("Same"):
            assert measure.finding.value == 1.0
        else:
            assert measure.finding.value is None and measure.finding.note


def test_excluded_raters_and_answers_of_cannot_judge_are_left_out() -> None:
    rows = _study(np.random.default_rng(9))
    rows += [answer("R98", f"p{prompt:02}", "a", 1) for prompt in range(24)]
    rows += [answer("R99", f"p{prompt:02}", "a", None) for prompt in range(24)]
    excluding = settings_of(excluded_raters={"R98": "answered at random"})
    agreement = agreement_findings(ratings_of(rows), excluding)
    assert _found(agreement, "ICC(2,1)").n == "5 raters, 72 stimuli, 360 answers"


def test_a_preference_is_an_agreement_on_arms_and_has_no_correlation() -> None:
    scale = Scale("best", "Which is best?", "preference", 1, 3, ("left", "middle", "right"))
    chosen = settings_of(display="side_by_side", scales=(scale,), primary_question="best")
    rng = np.random.default_rng(3)
    rows = []
    for prompt in range(30):
        better = rng.choice(["a", "b"])
        for rater in range(4):
            arm = better if rng.random() < 0.8 else "real"
            # The slot of the picture preferred is drawn, as is the order on a screen.
            rows.append(
                answer(f"R{rater}", f"p{prompt}", arm, int(rng.integers(1, 4)), question="best",
                       item_id=prompt, display="side_by_side")
            )  # fmt: skip
    agreement = agreement_findings(ratings_of(rows), chosen)
    assert {measure.name for measure in agreement.measures} == {
        "Krippendorff's alpha, nominal", "Fleiss' kappa", "Pairs with the same answer"
    }  # fmt: skip
    alpha_ = _found(agreement, "Krippendorff's alpha, nominal")
    assert alpha_.value is not None and alpha_.value > 0.2
    assert alpha_.n == "4 raters, 30 prompts, 120 answers"
    assert all("Cohen's kappa" in pair.finding.method for pair in agreement.pairs)


def test_a_hundred_raters_of_five_thousand_stimuli_take_seconds() -> None:
    rng = np.random.default_rng(0)
    units, raters = 5000, 100
    scores = rng.normal(3, 0.6, (units, 1)) + rng.normal(0, 0.8, (units, raters))
    point = np.clip(np.rint(scores), 1, 5).astype(int)
    unit, rater = np.divmod(np.arange(units * raters), raters)
    table = pd.DataFrame(
        {
            "rater_code": np.array([f"R{index:03}" for index in range(raters)])[rater],
            "prompt_id": np.array([f"p{index:04}" for index in range(units)])[unit],
            "arm": "a", "is_real": False, "stimulus_id": unit, "item_id": unit,
            "assignment_id": np.arange(len(unit)), "item_kind": "main", "question": "realism",
            "value": pd.array(point.ravel(), dtype="Int64"), "cannot_judge": False,
            "repeat_of_item_id": pd.array([pd.NA] * len(unit), dtype="Int64"),
            "submitted_at": pd.Timestamp("2025-03-01", tz="UTC"),
        }
    )  # fmt: skip
    started = time.perf_counter()
    agreement = agreement_findings(table, settings_of(scales=(REALISM,)))
    assert time.perf_counter() - started < 60
    assert len(agreement.pairs) == 4950
    assert sample_count(units) == 2000
