"""Contract: mean squares, contrasts and rank tests are those that R gives for the same tables.

Base R suffices, but for one test that asks lmerTest. Without R the tests are left out, with a
reason; where `CI` is set they fail instead.
"""

import numpy as np
import pytest

from rating.results.statistics.comparison import contrasts
from rating.results.statistics.crossed import Layout, mean_squares
from rating.results.statistics.descriptive import descriptives
from rating.results.statistics.rank import rank_tests
from tests.results_ratings import answer, ratings_of, settings_of


def drawn(seed, raters, prompts, arms="ab", hole=0.0):
    """Returns answers of raters to prompts of every arm, 1 to 5; some are *cannot judge*."""
    rng = np.random.default_rng(seed)
    rater, prompt = rng.normal(0, 0.5, raters), rng.normal(0, 0.4, prompts)
    rows = []
    for arm in arms:
        scores = 3 + 0.4 * arms.index(arm) + rater[:, None] + prompt
        scores = scores + rng.normal(0, 0.5, (raters, 1)) + rng.normal(0, 0.6, (1, prompts))
        scores = np.clip(np.rint(scores + rng.normal(0, 0.8, scores.shape)), 1, 5)
        for (r, p), score in np.ndenumerate(scores):
            value = None if rng.random() < hole else int(score)
            rows.append(answer(f"R{r:02}", f"P{p:02}", arm, value))
    return ratings_of(rows)


def columns_of(ratings):
    """Returns the columns that R reads."""
    table = ratings[ratings["value"].notna()]
    return {
        "rater": list(table["rater_code"]), "prompt": list(table["prompt_id"]),
        "arm": list(table["arm"]), "y": [int(value) for value in table["value"]],
    }  # fmt: skip


DIFFERENCES = """
w <- reshape(d, idvar = c('rater', 'prompt'), timevar = 'arm', direction = 'wide')
w$x <- w$y.a - w$y.b
w <- w[!is.na(w$x), ]
"""


def test_the_contrast_of_all_cells_is_that_of_aov(in_r):
    ratings = drawn(1, 6, 12)
    (found,) = contrasts(ratings, settings_of())

    code = DIFFERENCES + """
    s <- summary(aov(x ~ 1 + Error(rater + prompt), w))
    ms <- sapply(s, function(stratum) stratum[[1]]['Residuals', 'Mean Sq'])
    n <- nrow(w)
    terms <- c(ms[[1]], ms[[2]] - ms[[3]]) / n
    se <- sqrt(sum(terms))
    df <- sum(terms)^2 / sum(terms^2 / c(5, 11))
    result <- c(mean(w$x), se, df, mean(w$x) + c(-1, 1) * qt(0.975, df) * se,
                2 * pt(-abs(mean(w$x)) / se, df))
    """  # fmt: skip
    value, error, df, low, high, p = in_r(code, columns_of(ratings))

    assert found.finding.value == pytest.approx(value)
    assert found.standard_error == pytest.approx(error)
    assert found.df == pytest.approx(df)
    assert (found.finding.low, found.finding.high) == pytest.approx((low, high))
    assert found.p == pytest.approx(p)


def test_the_contrast_of_all_cells_is_that_of_lmertest(in_r):
    ratings = drawn(1, 6, 12)
    (found,) = contrasts(ratings, settings_of())

    code = """
    library(lmerTest)
    """ + DIFFERENCES + """
    m <- lmer(x ~ 1 + (1 | rater) + (1 | prompt), w)
    v <- as.data.frame(VarCorr(m))$vcov
    result <- c(coef(summary(m))[1:3], v)
    """  # fmt: skip
    value, error, df, prompt, rater, residual = in_r(code, columns_of(ratings))

    assert found.finding.value == pytest.approx(value)
    assert found.standard_error == pytest.approx(error, rel=1e-4)
    # lmerTest counts the residual as a third term; the difference is small.
    assert found.df == pytest.approx(df, rel=0.1)
    assert found.components["rater_arm"] == pytest.approx(rater / 2, rel=1e-3)
    assert found.components["prompt_arm"] == pytest.approx(prompt / 2, rel=1e-3)
    assert found.components["residual"] == pytest.approx(residual / 2, rel=1e-3)


def test_mean_squares_of_an_incomplete_table_are_those_of_lm(in_r):
    rng = np.random.default_rng(3)
    raters, prompts = np.nonzero(rng.random((6, 15)) < 0.6)
    values = rng.normal(0, 1, len(raters)) + raters * 0.3 + prompts * 0.1
    squares = mean_squares(Layout(raters, prompts), values)

    code = """
    r <- anova(lm(y ~ prompt + rater, d))
    p <- anova(lm(y ~ rater + prompt, d))
    result <- c(r['rater', 'Mean Sq'], p['prompt', 'Mean Sq'], r['Residuals', 'Mean Sq'],
                r['rater', 'Df'], p['prompt', 'Df'], r['Residuals', 'Df'])
    """
    columns = {
        "rater": [f"R{one}" for one in raters], "prompt": [f"P{one}" for one in prompts],
        "y": [repr(float(value)) for value in values],
    }  # fmt: skip
    expected = in_r(code, columns)

    assert [
        float(squares.rater), float(squares.prompt), float(squares.residual),
        squares.rater_df, squares.prompt_df, squares.residual_df,
    ] == pytest.approx(expected)  # fmt: skip


def test_with_fixed_raters_the_contrast_is_the_t_test_of_means_of_prompts(in_r):
    ratings = drawn(4, 3, 14)
    (found,) = contrasts(ratings, settings_of())

    code = DIFFERENCES + """
    t <- t.test(aggregate(x ~ prompt, w, mean)$x)
    result <- c(t$estimate, t$stderr, t$parameter, t$conf.int, t$p.value)
    """
    expected = in_r(code, columns_of(ratings))

    assert [
        found.finding.value, found.standard_error, found.df, found.finding.low,
        found.finding.high, found.p,
    ] == pytest.approx(expected)  # fmt: skip


PROMPT_MEANS = """
m <- round(with(d, tapply(y, list(prompt, arm), mean)), 9)
"""


def test_friedman_and_kendall_are_those_of_r(in_r):
    ratings = drawn(5, 4, 17, arms="abc")
    chosen = settings_of(
        arms=tuple(type(settings_of().arms[0])(code, code, False) for code in "abc")
    )
    friedman = rank_tests(ratings, chosen)[0]

    code = PROMPT_MEANS + """
    f <- friedman.test(m)
    result <- c(f$statistic, f$p.value, f$statistic / (nrow(m) * (ncol(m) - 1)))
    """
    statistic, p, w = in_r(code, columns_of(ratings))

    assert friedman.kind == "Friedman"
    assert (friedman.statistic, friedman.p) == pytest.approx((statistic, p))
    assert friedman.effect.value == pytest.approx(w)


@pytest.mark.parametrize(("seed", "raters", "prompts"), [(6, 4, 20), (7, 5, 60), (8, 7, 6)])
def test_wilcoxon_is_that_of_r(in_r, seed, raters, prompts):
    ratings = drawn(seed, raters, prompts)
    (wilcoxon,) = rank_tests(ratings, settings_of())

    code = PROMPT_MEANS + """
    x <- round(m[, 'a'] - m[, 'b'], 9)
    t <- suppressWarnings(wilcox.test(x))
    k <- x[x != 0]
    r <- rank(abs(k))
    result <- c(t$statistic, t$p.value, sum(sign(k) * r) / sum(r))
    """
    expected = in_r(code, columns_of(ratings))

    found = (wilcoxon.statistic, wilcoxon.p, wilcoxon.effect.value)
    assert found == pytest.approx(tuple(expected))


def test_wilcoxon_without_ties_is_exact_as_in_r(in_r):
    gaps = [0, 1, -2, 3, 4, -1, 6, 7, 8]
    rows = [
        answer("R0", f"P{p}", arm, value)
        for p, gap in enumerate(gaps)
        for arm, value in (("a", 40 + 3 * gap + p), ("b", 40))
    ]
    (wilcoxon,) = rank_tests(ratings_of(rows), settings_of())

    code = PROMPT_MEANS + """
    t <- wilcox.test(m[, 'a'] - m[, 'b'])
    result <- c(t$statistic, t$p.value)
    """
    statistic, p = in_r(code, columns_of(ratings_of(rows)))

    assert (wilcoxon.statistic, wilcoxon.p) == pytest.approx((statistic, p))


def test_medians_quartiles_and_means_are_those_of_r(in_r):
    ratings = drawn(9, 5, 11)
    described = descriptives(ratings, settings_of())[0]

    code = """
    x <- d$y[d$arm == 'a']
    s <- summary(aov(x ~ 1 + Error(d$rater[d$arm == 'a'] + d$prompt[d$arm == 'a'])))
    ms <- sapply(s, function(stratum) stratum[[1]]['Residuals', 'Mean Sq'])
    terms <- c(ms[[1]], ms[[2]] - ms[[3]]) / length(x)
    df <- sum(terms)^2 / sum(terms^2 / c(4, 10))
    result <- c(quantile(x, c(0.25, 0.5, 0.75)), mean(x), sqrt(sum(terms)) * qt(0.975, df))
    """
    lower, median, upper, mean, half = in_r(code, columns_of(ratings))

    assert (described.lower, described.median, described.upper) == (lower, median, upper)
    assert described.mean.value == pytest.approx(mean)
    assert described.mean.high - mean == pytest.approx(half)
