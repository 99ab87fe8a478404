"""Contract: figures of real or synthetic are those that R gives for the same answers.

Base R suffices, but for one test that asks pROC. Without R the tests are left out, with a reason;
where `CI` is set they fail instead.
"""

import numpy as np
import pytest

from rating.results.statistics.detection import detections
from rating.results.statistics.roc import UNSEEN, Judged, area, covariance
from tests.results_ratings import ORIGIN, answer, ratings_of, settings_of

# The area, and its covariance between raters and arms, from all pairs of images.
PAIRS = """
raters <- levels(d$rater)
points <- function(arm) {
  own <- d[d$arm == arm, ]
  sapply(raters, function(r) own$y[own$rater == r][order(own$prompt[own$rater == r])])
}
wins <- function(x, y) outer(x, y, '>') + outer(x, y, '==') / 2
parts <- function(arm) lapply(raters, function(r) {
  k <- wins(points(arm)[, r], points('real')[, r])
  list(area = mean(k), of_synthetic = rowMeans(k), of_real = colMeans(k))
})
covariance <- function(first, second) sapply(second, function(b) sapply(first, function(a) {
  cov(a$of_synthetic, b$of_synthetic) / length(a$of_synthetic) +
    cov(a$of_real, b$of_real) / length(a$of_real)
}))
areas <- function(all) sapply(all, `[[`, 'area')
off <- function(m) mean(m[row(m) != col(m)])
"""
CUTS = [-0.7, 0, 0.5, 1, 1.7]


@pytest.fixture(scope="module")
def ratings():
    """Returns answers of six raters about 18 images of a and b, of the same prompts, and 15 real
    ones."""
    rng = np.random.default_rng(5)
    rows = []
    for arm, distance, images in (("a", 1.4, 18), ("b", 0.6, 18), ("real", 0.0, 15)):
        looks = distance + rng.normal(0, 0.6, images)
        for rater in range(6):
            seen = looks + rng.normal(0.1 * rater - 0.2, 0.8, images)
            for number, value in enumerate(np.searchsorted(CUTS, seen) + 1):
                prompt = f"{'Q' if arm == 'real' else 'P'}{number:02}"
                rows.append(answer(f"R{rater}", prompt, arm, int(value), question="origin"))
    return ratings_of(rows)


@pytest.fixture(scope="module")
def found(ratings):
    """Returns what the statistics find there."""
    return detections(ratings, settings_of(scales=(ORIGIN,), origin_question="origin"))


@pytest.fixture
def columns(ratings):
    """Returns the columns that R reads."""
    return {
        "rater": list(ratings["rater_code"]), "prompt": list(ratings["prompt_id"]),
        "arm": list(ratings["arm"]), "y": [int(value) for value in ratings["value"]],
    }  # fmt: skip


def test_areas_of_raters_are_those_of_the_rank_sum_test(in_r, columns, found):
    code = """
    result <- c(sapply(c('a', 'b'), function(arm) sapply(unique(d$rater), function(r) {
      x <- d$y[d$arm == arm & d$rater == r]; y <- d$y[d$arm == 'real' & d$rater == r]
      suppressWarnings(wilcox.test(x, y))$statistic / length(x) / length(y)
    })))
    """
    expected = in_r(code, columns)

    areas = [one.area.value for arm in "ab" for one in found.raters if one.arm == arm]
    assert areas == pytest.approx(expected)


def test_rates_d_prime_and_their_intervals_are_those_of_r(in_r, columns, found):
    code = """
    one <- function(r) {
      hits <- d$y[d$arm == 'a' & d$rater == r] > 3.5
      real <- d$y[d$arm == 'real' & d$rater == r] < 3.5
      h <- (sum(hits) + 0.5) / (length(hits) + 1); f <- (sum(!real) + 0.5) / (length(real) + 1)
      v <- h * (1 - h) / (length(hits) * dnorm(qnorm(h))^2) +
        f * (1 - f) / (length(real) * dnorm(qnorm(f))^2)
      dprime <- qnorm(h) - qnorm(f)
      wilson <- suppressWarnings(prop.test(sum(hits), length(hits), correct = FALSE))
      c(mean(hits), mean(real), wilson$conf.int, dprime, dprime + c(-1, 1) * qnorm(0.975) * sqrt(v),
        -(qnorm(h) + qnorm(f)) / 2)
    }
    result <- c(sapply(unique(d$rater), one))
    """
    expected = in_r(code, columns)

    figures = []
    for one in found.raters:
        if one.arm == "a":
            figures += [
                one.sensitivity.value, one.specificity.value, one.sensitivity.low,
                one.sensitivity.high, one.dprime.value, one.dprime.low, one.dprime.high,
                one.criterion.value,
            ]  # fmt: skip
    assert figures == pytest.approx(expected)


def test_the_mean_area_is_that_of_obuchowski_rockette_and_hillis_computed_in_r(
    in_r, columns, found
):
    code = PAIRS + """
    a <- parts('a')
    ms <- var(areas(a)); cov2 <- max(off(covariance(a, a)), 0)
    v <- ms / 6 + cov2
    df <- v^2 / ((ms / 6)^2 / 5)
    m <- mean(areas(a))
    half <- qt(0.975, df) * sqrt(v) / (m * (1 - m))
    result <- c(m, plogis(qlogis(m) - half), plogis(qlogis(m) + half))
    """  # fmt: skip
    expected = in_r(code, columns)

    area_of_a = found.pooled[0].area
    assert [area_of_a.value, area_of_a.low, area_of_a.high] == pytest.approx(expected)


def test_the_difference_of_arms_is_that_of_obuchowski_rockette_by_cov2_and_cov3(
    in_r, columns, found
):
    # Images of a and b of one prompt, and the real ones, are the cases that both arms share.
    code = PAIRS + """
    a <- parts('a'); b <- parts('b')
    gap <- areas(a) - areas(b)
    ms <- var(gap) / 2
    cov2 <- (off(covariance(a, a)) + off(covariance(b, b))) / 2
    cov3 <- (off(covariance(a, b)) + off(covariance(b, a))) / 2
    more <- 6 * max(cov2 - cov3, 0)
    se <- sqrt(2 / 6 * (ms + more))
    df <- (ms + more)^2 / (ms^2 / 5)
    result <- c(mean(gap), mean(gap) + c(-1, 1) * qt(0.975, df) * se,
                2 * pt(-abs(mean(gap)) / se, df))
    """  # fmt: skip
    expected = in_r(code, columns)

    (gap,) = found.differences
    finding = gap.finding
    assert [finding.value, finding.low, finding.high, gap.p] == pytest.approx(expected)
    assert gap.p_holm == gap.p


def test_areas_and_delong_s_covariance_are_those_of_proc(in_r, columns, ratings):
    code = """
    suppressMessages(library(pROC))
    d <- d[d$arm != 'b', ]
    d <- d[order(d$rater, d$arm, d$prompt), ]
    curves <- lapply(c('R0', 'R1'), function(r) {
      own <- d[d$rater == r, ]
      roc(own$arm == 'a', own$y, direction = '<', quiet = TRUE)
    })
    result <- c(sapply(curves, auc), sapply(curves, var), cov(curves[[1]], curves[[2]]))
    """
    expected = in_r(code, columns)

    def judged(arm, first):
        own = ratings[(ratings["arm"] == arm) & ratings["rater_code"].isin(["R0", "R1"])]
        points = own.pivot_table(index="rater_code", columns="prompt_id", values="value")
        values = points.to_numpy(float).astype(np.intp) - 1
        assert UNSEEN not in values
        return Judged(values, first + np.arange(values.shape[1]))

    figure = area(judged("a", 0), judged("real", 18), 6, 33)
    spread = covariance(figure)
    told = [*figure.values, *np.diag(spread), spread[0, 1]]
    assert told == pytest.approx(expected)
