"""Contract: what the planner promises is what happens: simulated studies with raters and prompts
crossed have the interval widths, the coverage and the power that it says, and the formulas agree
with those of the literature where these apply.
"""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rating.errors import PlanningError
from rating.planner import PlanRow, plan, plan_table
from rating.precision import (
    COMPONENT_NAMES,
    PESSIMISTIC,
    TYPICAL,
    Components,
    detectable_difference,
    equivalence_margin,
    half_width,
    power_of,
    real_error,
    synthetic_error,
)

STUDIES = 3000
Sizes = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Simulated:
    """Estimates of many studies: differences, their errors and degrees of freedom."""

    difference: np.ndarray
    error: np.ndarray
    df: np.ndarray

    @property
    def half_width(self) -> np.ndarray:
        return stats.t.ppf(0.975, self.df) * self.error

    def rejected(self, alpha: float = 0.05) -> float:
        critical = stats.t.ppf(1 - alpha / 2, self.df) * self.error
        return float(np.mean(np.abs(self.difference) > critical))


def scores(
    rng: np.random.Generator, components: Components, raters: int, prompts: list[int]
) -> list[np.ndarray]:
    """Return scores of two arms, (studies, raters, prompts); equal prompts where one number."""

    def effect(variance: float, *shape: int) -> np.ndarray:
        return rng.normal(0, math.sqrt(variance), (STUDIES, *shape))

    of_rater = effect(components.rater, raters, 1)
    is_shared = len(prompts) == 1
    shared = effect(components.prompt, 1, prompts[0])
    shared_pairs = effect(components.rater_prompt, raters, prompts[0])
    arms = []
    for count in prompts * 2 if is_shared else prompts:
        of_prompt = shared if is_shared else effect(components.prompt, 1, count)
        pairs = shared_pairs if is_shared else effect(components.rater_prompt, raters, count)
        arms.append(
            of_rater
            + of_prompt
            + pairs
            + effect(components.rater_arm, raters, 1)
            + effect(components.prompt_arm, 1, count)
            + effect(components.residual, raters, count)
        )
    return arms


def mean_squares(score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean squares of raters, prompts and both, of every study."""
    _, raters, prompts = score.shape
    mean = score.mean((1, 2), keepdims=True)
    by_rater, by_prompt = score.mean(2, keepdims=True), score.mean(1, keepdims=True)
    rest = score - by_rater - by_prompt + mean
    return (
        prompts * ((by_rater - mean) ** 2).sum((1, 2)) / (raters - 1),
        raters * ((by_prompt - mean) ** 2).sum((1, 2)) / (prompts - 1),
        (rest**2).sum((1, 2)) / ((raters - 1) * (prompts - 1)),
    )


def simulate_synthetic(components: Components, sizes: Sizes, true: float = 0.0) -> Simulated:
    """Analyse each study as a crossed analysis of variance of differences does."""
    raters, prompts = sizes
    one, other = scores(np.random.default_rng(1), components, raters, [prompts])
    difference = true + one - other
    of_raters, of_prompts, rest = mean_squares(difference)
    added = np.maximum(of_prompts - rest, 0)
    variance = of_raters + added
    df = variance**2 / (of_raters**2 / (raters - 1) + added**2 / (prompts - 1))
    return Simulated(difference.mean((1, 2)), np.sqrt(variance / (raters * prompts)), df)


def simulate_real(components: Components, sizes: Sizes, reals: int, true: float) -> Simulated:
    """Analyse each study with prompts nested in the two arms and raters crossed with both."""
    raters, prompts = sizes
    synthetic, real = scores(np.random.default_rng(2), components, raters, [prompts, reals])
    by_rater = synthetic.mean(2) - real.mean(2)
    terms = [by_rater.var(1, ddof=1) / raters]
    dfs = [raters - 1]
    for arm in (synthetic, real):
        _, of_prompts, rest = mean_squares(arm)
        terms.append(np.maximum(of_prompts - rest, 0) / (raters * arm.shape[2]))
        dfs.append(arm.shape[2] - 1)
    variance = np.sum(terms, axis=0)
    df = variance**2 / sum(term**2 / df for term, df in zip(terms, dfs, strict=True))
    return Simulated(true + by_rater.mean(1), np.sqrt(variance), df)


@pytest.mark.parametrize("components", [TYPICAL, PESSIMISTIC], ids=lambda case: case.name)
@pytest.mark.parametrize("sizes", [(3, 10), (3, 30), (5, 12), (8, 30)])
def test_simulated_studies_of_synthetic_arms_are_as_precise_as_planned(
    components: Components, sizes: Sizes
):
    error, df = synthetic_error(components, *sizes)
    planned = detectable_difference(error, df)
    found = simulate_synthetic(components, sizes)
    assert found.difference.std() == pytest.approx(error, rel=0.05)
    assert found.half_width.mean() == pytest.approx(half_width(error, df), rel=0.1)
    assert found.rejected() == pytest.approx(0.05, abs=0.03)
    assert simulate_synthetic(components, sizes, planned).rejected() == pytest.approx(0.8, abs=0.07)


@pytest.mark.parametrize("components", [TYPICAL, PESSIMISTIC], ids=lambda case: case.name)
@pytest.mark.parametrize(("sizes", "reals"), [((3, 12), 12), ((5, 20), 8), ((8, 12), 30)])
def test_simulated_studies_with_real_images_are_as_precise_as_planned(
    components: Components, sizes: Sizes, reals: int
):
    error, df = real_error(components, *sizes, reals)
    planned = detectable_difference(error, df)
    found = simulate_real(components, sizes, reals, 0.0)
    assert found.difference.std() == pytest.approx(error, rel=0.05)
    assert found.half_width.mean() == pytest.approx(half_width(error, df), rel=0.1)
    assert found.rejected() == pytest.approx(0.05, abs=0.03)
    assert simulate_real(components, sizes, reals, planned).rejected() == pytest.approx(
        0.8, abs=0.07
    )


def test_arms_that_do_not_differ_are_shown_equivalent_as_often_as_planned():
    sizes = (8, 30)
    error, df = synthetic_error(TYPICAL, *sizes)
    margin = equivalence_margin(error, df, power=0.8)
    found = simulate_synthetic(TYPICAL, sizes)
    inside = np.abs(found.difference) + stats.t.ppf(0.95, found.df) * found.error < margin
    assert float(inside.mean()) == pytest.approx(0.8, abs=0.04)


def test_pooling_all_answers_as_independent_would_promise_far_too_much():
    """Why the planner exists: the plain two-sample interval is wrong for crossed raters."""
    sizes = (10, 20)
    one, other = scores(np.random.default_rng(3), PESSIMISTIC, 10, [20])
    naive = stats.ttest_ind(one.reshape(STUDIES, -1), other.reshape(STUDIES, -1), axis=1)
    assert float(np.mean(naive.pvalue < 0.05)) > 0.15
    assert simulate_synthetic(PESSIMISTIC, sizes).rejected() == pytest.approx(0.05, abs=0.02)


def test_the_error_of_a_worked_example_is_the_one_done_by_hand():
    components = Components("hand", 9.0, 9.0, 0.1, 0.2, 9.0, 0.4)
    error, df = synthetic_error(components, 4, 10, replicates=2)
    # (2 * 0.1 + 2 * 0.4 / 2 / 10) / 4 = 0.06 with 3 df, and 2 * 0.2 / 10 = 0.04 with 9 df.
    assert error == pytest.approx(math.sqrt(0.1))
    assert df == pytest.approx(0.1**2 / (0.06**2 / 3 + 0.04**2 / 9))
    components = Components("hand", 9.0, 0.5, 0.1, 0.3, 0.2, 0.4)
    error, df = real_error(components, 4, 10, 20)
    # (0.2 + 0.6 / 10 + 0.6 / 20) / 4 = 0.0725, 0.8 / 10 = 0.08 and 0.8 / 20 = 0.04.
    assert error == pytest.approx(math.sqrt(0.0725 + 0.08 + 0.04))
    assert df == pytest.approx(0.1925**2 / (0.0725**2 / 3 + 0.08**2 / 9 + 0.04**2 / 19))


def test_degrees_of_freedom_become_those_of_hillis_for_many_prompts():
    """Hillis 2007: [MS(TR) + MS(TC) - MS(TRC)]^2 / (MS(TR)^2 / (raters - 1)) for two arms."""
    raters, prompts = 5, 2000
    components = Components("many", 0.2, 0.2, 0.02, 20.0, 0.1, 0.4)
    of_raters = prompts * 2 * components.rater_arm + 2 * components.residual
    added = raters * 2 * components.prompt_arm
    hillis = (of_raters + added) ** 2 / (of_raters**2 / (raters - 1))
    _, df = synthetic_error(components, raters, prompts)
    assert df < hillis
    assert df == pytest.approx(hillis, rel=0.1)


def test_without_effects_of_arms_the_error_is_that_of_a_paired_mean():
    components = Components("noise", 1.0, 1.0, 0.0, 0.0, 1.0, 0.5)
    error, df = synthetic_error(components, 6, 15)
    assert error == pytest.approx(math.sqrt(2 * 0.5 / (6 * 15)))
    assert df == 5


@pytest.mark.parametrize("df", [1.0, 2.5, 11.0, 400.0])
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.8, 4.0])
def test_power_agrees_with_the_noncentral_t(df: float, shift: float):
    critical = stats.t.ppf(0.975, df)
    expected = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)
    assert power_of(shift, 1.0, df) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("df", [1.0, 4.0, 60.0])
def test_a_detectable_difference_has_the_power_it_was_asked_for(df: float, power: float):
    difference = detectable_difference(0.3, df, power, 0.05)
    assert power_of(difference, 0.3, df) == pytest.approx(power, abs=1e-4)


variances = st.floats(0.01, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.builds(Components, st.just("any"), *[variances] * 6),
    st.integers(2, 30), st.integers(2, 100), st.integers(2, 60), st.integers(1, 4),
)  # fmt: skip
def test_more_of_anything_never_makes_a_study_less_precise(
    components: Components, raters: int, prompts: int, reals: int, replicates: int
):
    error, df = real_error(components, raters, prompts, reals, replicates)
    more = [
        real_error(components, raters + 1, prompts, reals, replicates),
        real_error(components, raters, prompts + 1, reals, replicates),
        real_error(components, raters, prompts, reals + 1, replicates),
        real_error(components, raters, prompts, reals, replicates + 1),
    ]
    assert all(other <= error for other, _ in more)
    assert df >= min(raters, prompts, reals) - 1
    paired, paired_df = synthetic_error(components, raters, prompts, replicates)
    assert synthetic_error(components, raters + 1, prompts, replicates)[0] <= paired
    assert synthetic_error(components, raters, prompts, replicates, judged=0.5)[0] >= paired
    assert paired_df >= min(raters, prompts) - 1


def row_of(case: str, contrast: str, rows: tuple[PlanRow, ...]) -> PlanRow:
    (row,) = [row for row in rows if (row.case, row.contrast) == (case, contrast)]
    return row


def test_a_plan_has_a_row_for_each_case_contrast_and_number_of_raters():
    rows = plan((3, 5, 8), 12, arms=3, reals=12)
    assert [(row.case, row.contrast, row.raters) for row in rows] == [
        (case, contrast, raters)
        for case in ("typical", "pessimistic")
        for contrast in ("synthetic", "real")
        for raters in (3, 5, 8)
    ]
    assert {row.items_per_rater for row in rows} == {48}
    assert len(plan(3, 12)) == 2


def test_the_pessimistic_case_is_the_worse_one_and_real_contrasts_do_not_pair():
    rows = plan(8, 20, reals=20)
    for contrast in ("synthetic", "real"):
        typical = row_of("typical", contrast, rows)
        pessimistic = row_of("pessimistic", contrast, rows)
        assert pessimistic.half_width > typical.half_width
        assert pessimistic.detectable_difference > typical.detectable_difference
    assert row_of("typical", "real", rows).half_width > (
        row_of("typical", "synthetic", rows).half_width
    )


def test_every_pessimistic_variance_is_above_the_typical_one():
    for name in COMPONENT_NAMES:
        assert getattr(PESSIMISTIC, name) > getattr(TYPICAL, name)
    assert TYPICAL.total == pytest.approx(1.08)
    # Answers spread evenly over five points have a variance of 2.
    assert PESSIMISTIC.total < 2


def test_a_six_point_scale_has_the_same_plan_in_larger_points():
    five, six = (row_of("typical", "synthetic", plan(5, 20, points=n)) for n in (5, 6))
    assert six.half_width == pytest.approx(five.half_width * 5 / 4)
    assert six.df == pytest.approx(five.df)


def test_more_contrasts_make_detectable_differences_larger_but_intervals_no_wider():
    few, many = (row_of("typical", "synthetic", plan(5, 20, contrasts=n)) for n in (1, 6))
    assert many.detectable_difference > few.detectable_difference
    assert many.half_width == few.half_width


def test_fewer_items_for_each_rater_make_wider_intervals():
    whole = row_of("typical", "synthetic", plan(6, 30))
    part = row_of("typical", "synthetic", plan(6, 30, items_per_rater=30))
    assert (whole.items_per_rater, part.items_per_rater) == (90, 30)
    assert part.half_width > whole.half_width


def test_one_rater_or_one_prompt_cannot_speak_for_others():
    for rows in (plan(1, 20), plan(5, 1)):
        for row in rows:
            assert math.isinf(row.half_width)
            assert math.isinf(row.detectable_difference)
            assert math.isinf(row.equivalence_margin)
    assert " - " in plan_table(1, 20)


def test_the_table_tells_its_numbers_and_its_assumptions():
    table = plan_table((3, 5), 12, arms=3, reals=12)
    row = row_of("pessimistic", "real", plan(5, 12, arms=3, reals=12))
    (line,) = [
        line
        for line in table.splitlines()
        if line.startswith("pessimistic") and "real" in line and " 5 " in line
    ]
    for value in (row.half_width, row.detectable_difference, row.equivalence_margin):
        assert f"{value:.2f}" in line
    assert "48 items for each rater" in table
    assert "the first of 3 in Holm" in table
    assert "not measured" in table
    for name in COMPONENT_NAMES:
        assert name.replace("_", ":") in table
    assert max(map(len, table.splitlines())) <= 110


def test_a_difference_beyond_the_scale_is_not_promised():
    assert "> 4" in plan_table(2, 12)
    assert "5.73" not in plan_table(2, 12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"raters": 0}, ["raters is 0", "1 to 1000"]),
        ({"raters": ()}, ["at least one number"]),
        ({"prompts": 0, "arms": 0}, ["prompts is 0", "arms is 0"]),
        ({"arms": 1}, ["Nothing to compare"]),
        ({"replicates": 0}, ["replicates is 0"]),
        ({"items_per_rater": 0}, ["items_per_rater is 0"]),
        ({"points": 1}, ["points is 1", "2 to 11"]),
        ({"power": 1.0}, ["power is 1", "below 1"]),
        ({"alpha": 0.0}, ["alpha is 0"]),
        ({"cases": [dataclasses.replace(TYPICAL, residual=-1.0)]}, ["typical: residual is -1"]),
        ({"cases": [dataclasses.replace(TYPICAL, rater=math.nan)]}, ["typical: rater is nan"]),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(changes: dict[str, object], words: list[str]):
    with pytest.raises(PlanningError) as caught:
        plan(**({"raters": 3, "prompts": 10} | changes))
    assert all(word in str(caught.value) for word in words)


def test_variances_of_nothing_give_a_plan_of_certainty():
    nothing = Components("none", 0, 0, 0, 0, 0, 0)
    (row,) = plan(3, 10, cases=[nothing])
    assert (row.standard_error, row.half_width, row.detectable_difference) == (0, 0, 0)
