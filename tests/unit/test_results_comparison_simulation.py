"""Contract: intervals of contrasts hold what they promise in studies of known variance components.

Over thousands of simulated studies of stated components, with scores that are continuous or rounded
to 1 to 5, intervals of 95 % cover the truth in 92 to 98 %, a difference that is not there is found
in at most 6 %, and equivalence is concluded in at most 6 % where the truth lies at the margin.
`docs/statistics.md` shows the table: `python -m tests.unit.test_results_comparison_simulation`.
"""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from rating.precision import PESSIMISTIC, TYPICAL, Components
from rating.results.statistics.crossed import Layout, Side, estimate

RUNS = 4_000
MEANS = (3.6, 3.1)  # of the arms before rounding


@dataclasses.dataclass(frozen=True)
class Case:
    """A study: `judged` of the prompts a rater has; real images with prompts of their own."""

    name: str
    raters: int
    prompts: int
    judged: int | None = None
    reals: int = 0
    reals_judged: int | None = None
    unable: float = 0.0


CASES = (
    Case("5 raters x 30 prompts", 5, 30),
    Case("5 raters x 60 prompts", 5, 60),
    Case("8 raters x 40 prompts", 8, 40),
    Case("5 raters, each 20 of 40 prompts", 5, 40, 20),
    Case("8 raters, each 20 of 40 prompts", 8, 40, 20),
    Case("6 raters x 30 prompts, one cell in ten empty", 6, 30, unable=0.1),
    Case("5 raters x 30 prompts, 30 real images", 5, 30, reals=30),
    Case("8 raters x 40 prompts, 30 real images", 8, 40, reals=30),
    Case("5 raters, each 20 of 40 prompts, 15 of 30 real", 5, 40, 20, 30, 15),
)


def drawn_layout(rng, raters, prompts, judged, unable=0.0):
    """Returns a layout in which prompts that fewest raters have are drawn first, as studies do."""
    has = np.zeros((raters, prompts), dtype=bool)
    for rater in range(raters):
        order = np.lexsort((rng.random(prompts), has.sum(axis=0)))
        has[rater, order[: judged or prompts]] = True
    has &= rng.random(has.shape) >= unable
    return Layout(*np.nonzero(has))


def rounded_mean(mean, variance):
    """Returns the mean of a normal score after rounding it to 1 to 5."""
    cuts = np.array([-np.inf, 1.5, 2.5, 3.5, 4.5, np.inf])
    return float(np.diff(stats.norm.cdf(cuts, mean, math.sqrt(variance))) @ np.arange(1, 6))


class Studies:
    """Simulated studies of one case: sides for `estimate`, with the true difference."""

    def __init__(self, rng, case: Case, components: Components, is_rounded: bool):
        self.rng, self.components, self.is_rounded = rng, components, is_rounded
        self.layout = drawn_layout(rng, case.raters, case.prompts, case.judged, case.unable)
        self.real = None
        if case.reals:
            self.real = drawn_layout(rng, case.raters, case.reals, case.reals_judged)

    def truth(self, means):
        """Returns the true difference of the arms."""
        if not self.is_rounded:
            return means[0] - means[1]
        first, second = (rounded_mean(mean, self.components.total) for mean in means)
        return first - second

    def effects(self, variance, count, runs):
        return self.rng.normal(0, math.sqrt(variance), (runs, count))

    def scores(self, layout, mean, rater, prompt, rater_prompt):
        c, runs = self.components, len(rater)
        arm = rater + self.effects(c.rater_arm, layout.rater_count, runs)
        image = prompt + self.effects(c.prompt_arm, layout.prompt_count, runs)
        scores = mean + arm[:, layout.raters] + image[:, layout.prompts] + rater_prompt
        scores += self.effects(c.residual, layout.cell_count, runs)
        return np.clip(np.rint(scores), 1, 5) if self.is_rounded else scores

    def sides(self, means, runs):
        """Returns simulated studies as `comparison` hands them to `estimate`."""
        c, layout = self.components, self.layout
        rater = self.effects(c.rater, layout.rater_count, runs)
        drawn = [
            (
                self.effects(c.prompt, where.prompt_count, runs),
                self.effects(c.rater_prompt, where.cell_count, runs),
            )
            for where in (layout, self.real or layout)
        ]
        first = self.scores(layout, means[0], rater, *drawn[0])
        if self.real is None:
            return [Side(layout, first - self.scores(layout, means[1], rater, *drawn[0]))]
        second = self.scores(self.real, means[1], rater, *drawn[1])
        return [Side(layout, first), Side(self.real, second, -1)]


def measured(case, components, is_rounded, runs=RUNS):
    """Returns shares in percent: coverage, false differences, false equivalence at the margin."""
    seed = [CASES.index(case), int(components is PESSIMISTIC), int(is_rounded)]
    studies = Studies(np.random.default_rng(seed), case, components, is_rounded)
    truth = studies.truth(MEANS)
    found = estimate(studies.sides(MEANS, runs))
    low, high = found.interval()
    same = estimate(studies.sides((MEANS[1], MEANS[1]), runs))
    equivalent = np.maximum(found.p_above(-truth), found.p_below(truth)) < 0.05
    covered = (low <= truth) & (truth <= high)
    shares = (covered, same.p_two_sided() < 0.05, equivalent)
    return tuple(100 * float(np.mean(share)) for share in shares)


@pytest.mark.parametrize("is_rounded", [False, True], ids=["continuous", "rounded"])
@pytest.mark.parametrize("components", [TYPICAL, PESSIMISTIC], ids=lambda one: one.name)
@pytest.mark.parametrize("case", CASES, ids=lambda one: one.name)
def test_intervals_and_tests_keep_their_promise(case, components, is_rounded):
    coverage, false_difference, false_equivalence = measured(case, components, is_rounded)

    assert 92 <= coverage <= 98
    assert false_difference <= 6
    assert false_equivalence <= 6


def test_with_three_raters_the_interval_holds_for_these_raters_and_not_for_others():
    rng, runs, raters, prompts = np.random.default_rng(3), 5_000, 3, 30
    layout = drawn_layout(rng, raters, prompts, None)
    of_rater = rng.normal(0, 0.5, (runs, raters))
    of_prompt = rng.normal(0, 0.5, (runs, prompts))
    noise = rng.normal(0, 0.9, (runs, layout.cell_count))
    values = of_rater[:, layout.raters] + of_prompt[:, layout.prompts] + noise

    low, high = estimate([Side(layout, values)], is_fixed=True).interval()

    of_these = of_rater.mean(axis=1)
    assert 0.94 <= np.mean((low <= of_these) & (of_these <= high)) <= 0.96
    assert np.mean((low <= 0) & (high >= 0)) < 0.85


if __name__ == "__main__":
    for case in CASES:
        for components in (TYPICAL, PESSIMISTIC):
            cells = [
                f"{share:.1f}"
                for is_rounded in (False, True)
                for share in measured(case, components, is_rounded, runs=20_000)
            ]
            print(f"| {case.name} | {components.name} | {' | '.join(cells)} |")
