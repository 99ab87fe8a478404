"""Contract: correlations, kappas and preferences are those that R gives for the same tables.

Preferences need base R alone, agreement the package psych. Without R the tests are left out, with a
reason; where `CI` is set they fail instead. A package that is missing leaves its tests out.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from rating.results.statistics.intraclass import intraclass, squares_of
from rating.results.statistics.kappa import cohen
from rating.results.statistics.luce import Choices, clustered, design, fit
from tests.results_in_r import InR


@pytest.mark.parametrize(("units", "raters", "spread"), [(6, 4, 1.0), (30, 3, 0.2), (50, 8, 0.0)])
def test_correlations_and_their_intervals_are_those_of_psych(
    in_r: InR, units: int, raters: int, spread: float
) -> None:
    rng = np.random.default_rng(units)
    values = 3 + rng.normal(0, spread, (units, 1)) + rng.normal(0, 0.5, (1, raters))
    values = np.clip(np.rint(values + rng.normal(0, 0.9, (units, raters))), 1, 5)
    code = """
    found <- psych::ICC(as.matrix(d), lmer = FALSE)$results
    result <- c(t(found[c(2, 5), c("ICC", "lower bound", "upper bound")]))
    """
    told = in_r(code, {f"r{rater}": values[:, rater] for rater in range(raters)})
    unit, rater = np.divmod(np.arange(values.size), raters)
    squares = squares_of(rater, unit, values.ravel())
    assert squares is not None
    ours: list[float] = []
    for count in (1, raters):
        found = intraclass(squares, count, 0.95)
        assert found is not None and found.low is not None and found.high is not None
        ours += [found.value, found.low, found.high]
    assert ours == pytest.approx([max(-1.0, number) for number in told], rel=1e-6, abs=1e-9)


def test_kappas_of_two_raters_are_those_of_psych(in_r: InR) -> None:
    rng = np.random.default_rng(4)
    first = rng.integers(1, 6, 80)
    second = np.clip(first + rng.integers(-1, 3, 80), 1, 5)
    code = """
    found <- psych::cohen.kappa(cbind(d$first, d$second))
    result <- c(found$kappa, found$confid[1, c(1, 3)], found$weighted.kappa,
                sqrt(found$var.weighted))
    """
    told = in_r(code, {"first": first, "second": second})
    table = np.zeros((5, 5))
    np.add.at(table, (first - 1, second - 1), 1)
    plain, weighted = cohen(table, 0.95, is_weighted=False), cohen(table, 0.95)
    assert plain is not None and weighted is not None
    ours = [plain.value, plain.low, plain.high, weighted.value]
    assert ours == pytest.approx(told[:4], rel=1e-6)


def _drawn(seed: int, arms: int, count: int, *, pairs: bool) -> Choices:
    rng = np.random.default_rng(seed)
    strength = rng.normal(0, 0.8, arms)
    arm = rng.permuted(np.tile(np.arange(arms), (count, 1)), axis=1)[:, : 2 if pairs else arms]
    chosen = np.argmax(strength[arm] + rng.gumbel(size=arm.shape), axis=1)
    return Choices(arm, np.ones_like(arm, bool), chosen, np.arange(count) % 7, np.arange(count))


@pytest.mark.parametrize("has_places", [False, True])
def test_abilities_of_pairs_are_those_of_a_logistic_regression(
    in_r: InR, has_places: bool
) -> None:
    """A pair is won by the first place with the odds of the difference of abilities."""
    choices = _drawn(1, 5, 300, pairs=True)
    columns = design(choices, range(1, 5), (1,) if has_places else ())
    found = fit(choices, columns)
    assert found is not None
    difference = columns[:, 1] - columns[:, 0]
    table: dict[str, Sequence[object]] = {
        f"x{index}": difference[:, index] for index in range(difference.shape[1])
    }
    code = """
    found <- glm(won ~ . - 1, family = binomial, data = d, epsilon = 1e-14)
    result <- c(coef(found), sqrt(diag(vcov(found))), as.numeric(logLik(found)))
    """
    told = in_r(code, table | {"won": choices.chosen})
    errors = np.sqrt(np.diag(found.bread))
    assert [*found.values, *errors, found.log_likelihood] == pytest.approx(told, rel=1e-6)


def test_abilities_of_several_arms_are_those_of_the_poisson_form_in_base_r(in_r: InR) -> None:
    """A choice among several is a Poisson regression with a constant for each choice."""
    choices = _drawn(2, 4, 120, pairs=False)
    found = fit(choices, design(choices, (1, 2, 3)))
    assert found is not None
    rows = list(itertools.product(range(choices.count), range(4)))
    table = {
        "choice": [choice for choice, _ in rows],
        "arm": [int(choices.arm[cell]) for cell in rows],
        "won": [int(choices.chosen[choice] == slot) for choice, slot in rows],
    }
    code = """
    found <- glm(won ~ factor(choice) + factor(arm), family = poisson, data = d, epsilon = 1e-14)
    arms <- grep("arm", names(coef(found)))
    result <- c(coef(found)[arms], sqrt(diag(vcov(found)))[arms])
    """
    told = in_r(code, table)
    errors = np.sqrt(np.diag(found.bread))
    assert [*found.values, *errors] == pytest.approx(told, rel=1e-5)


def test_the_sandwich_by_rater_is_that_computed_in_base_r(in_r: InR) -> None:
    choices = _drawn(3, 3, 210, pairs=True)
    columns = design(choices, (1, 2))
    found = fit(choices, columns)
    assert found is not None
    difference = columns[:, 1] - columns[:, 0]
    code = """
    found <- glm(won ~ x1 + x2 - 1, family = binomial, data = d, epsilon = 1e-14)
    slopes <- model.matrix(found) * (d$won - fitted(found))
    sums <- rowsum(slopes, d$rater)
    groups <- nrow(sums)
    result <- c(vcov(found) %*% crossprod(sums) %*% vcov(found) * groups / (groups - 1))
    """
    told = in_r(
        code,
        {"x1": difference[:, 0], "x2": difference[:, 1], "won": choices.chosen,
         "rater": choices.rater},
    )  # fmt: skip
    assert clustered(found, [choices.rater])[0].ravel() == pytest.approx(told, rel=1e-6)
