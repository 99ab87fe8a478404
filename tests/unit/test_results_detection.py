"""Contract: real or synthetic is analysed as the literature does it, and too little says so.

Reference numbers: Macmillan & Creelman (2005) for d' and c; Hautus (1995) for the correction; pROC
in R for areas and their covariance (the R code stands beside the numbers); the multi-reader
analysis of the aortic dissections of Van Dyke and others (1993) that Smith & Hillis print with
their R package MRMCaov (DeLong's covariances); coverage by simulation.
"""

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from rating.results.statistics.detection import detection_tables, detections, roc_points
from rating.results.statistics.finding import ArmName, Scale
from rating.results.statistics.roc import (
    UNSEEN,
    Judged,
    area,
    covariance,
    logit_interval,
    mean_over_raters,
    rate,
)
from rating.results.statistics.signal_detection import corrected, criterion, d_prime, rate_variance
from tests.results_ratings import ORIGIN, REALISM, answer, ratings_of, settings_of

# One line a reader, one pair a patient: the rating of cine and of spin-echo images, 1 to 5.
# 69 patients without and 45 with a dissection: Van Dyke and others (1993), 79th Meeting of the
# Radiological Society of North America.
WITHOUT = """
13 23 23 12 52 12 12 12 13 12 11 13 41 12 12 12 12 12 12 11 11 11 31 11 34 12 11 23 11 42 12 11 14 13 12 33 11 22 13 21 12 12 22 33 33 11 31 11 13 33 33 11 11 13 14 11 12 24 22 11 12 14 11 34 34 22 11 11 11
23 32 22 22 22 22 22 22 23 32 22 22 52 22 22 21 32 22 22 22 21 22 22 22 43 22 22 22 22 32 22 21 22 22 21 22 22 22 22 22 23 21 22 22 23 22 22 22 22 22 22 22 22 22 23 22 22 43 32 22 22 32 22 22 22 22 21 22 22
22 24 22 22 32 52 13 12 22 22 41 21 41 23 22 22 32 22 21 22 11 21 32 21 44 11 11 35 21 22 11 11 22 21 22 42 12 21 12 42 12 21 11 13 22 21 21 21 22 23 33 21 11 13 22 12 11 22 23 12 13 54 11 42 24 12 21 12 21
12 12 11 11 11 11 33 11 12 11 11 11 11 12 12 11 11 11 12 11 21 11 11 11 23 12 11 12 11 22 11 11 11 11 12 12 11 11 12 11 11 11 11 11 12 11 12 11 32 31 12 12 11 11 11 11 11 12 11 12 11 11 11 33 12 13 12 11 11
32 52 13 21 12 12 12 12 21 22 22 12 21 11 11 12 22 22 11 12 32 22 21 12 13 12 12 23 12 11 22 11 12 22 32 12 21 21 12 11 12 31 31 33 22 11 12 12 23 13 12 11 12 12 12 12 11 32 42 12 22 33 11 22 13 23 11 11 31
"""  # noqa: E501
WITH = """
55 53 55 55 45 55 55 55 44 55 55 55 45 34 44 23 43 55 55 55 55 55 55 55 13 55 45 43 55 45 55 55 34 54 55 55 15 13 55 55 55 45 45 55 11
55 33 55 55 55 55 55 45 22 55 55 55 43 44 24 22 24 55 54 55 55 55 54 55 22 45 32 33 55 45 55 53 22 44 22 55 25 22 55 55 55 55 35 55 22
55 42 55 55 55 55 55 55 55 55 55 55 53 45 24 31 54 55 55 55 55 55 55 55 22 55 23 23 55 55 55 54 23 55 55 55 25 23 54 55 55 55 55 55 21
55 54 55 55 55 55 55 55 54 55 55 55 54 55 55 15 55 55 55 55 55 55 55 55 54 55 45 54 44 45 55 55 35 55 55 55 15 23 55 55 55 55 55 55 55
55 22 55 24 55 55 55 55 15 54 45 55 43 54 23 23 33 55 55 55 55 55 55 45 12 45 41 33 23 22 15 53 12 55 14 55 15 13 53 55 55 35 55 55 23
"""  # noqa: E501


def patients(text, first, method):
    """Returns ratings of patients by one method: 0 is cine, 1 spin-echo."""
    lines = [line.split() for line in text.split("\n") if line]
    points = np.array([[int(pair[method]) - 1 for pair in line] for line in lines], dtype=np.intp)
    return Judged(points, first + np.arange(points.shape[1]))


def van_dyke(method):
    """Returns the areas of the five readers by a method."""
    return area(patients(WITH, 0, method), patients(WITHOUT, 45, method), 5, 114)


def told(found):
    """Returns value, standard error, degrees of freedom and interval of an estimate."""
    return [
        float(number)
        for number in (found.value, np.sqrt(found.variance), found.df, *found.interval())
    ]


def origin_settings(**changes):
    return settings_of(
        **{"scales": (ORIGIN, REALISM), "origin_question": "origin", "reference_arm": "real",
           "contrast_arms": ("a", "b")} | changes
    )  # fmt: skip


def judged(rater, arm, values, **changes):
    """Returns a rater's answers about the images of an arm, each of a prompt of its own; a and b
    share prompts."""
    kind = "Q" if arm == "real" else "P"
    return [
        answer(rater, f"{kind}{index:02}", arm, value, question="origin", **changes)
        for index, value in enumerate(values)
    ]


def drawn(seed=1, raters=6, images=20, distances=(1.5, 0.5), share=0.4):
    """Returns answers of raters about as many images of a, b and real."""
    rng = np.random.default_rng(seed)
    rows = []
    looks = {"a": distances[0], "b": distances[1], "real": 0.0}
    own = {arm: rng.normal(0, np.sqrt(share), images) for arm in looks}
    for rater in range(raters):
        bias = rng.normal(0, 0.3)
        for arm, distance in looks.items():
            seen = distance + own[arm] + rng.normal(bias, np.sqrt(1 - share), images)
            values = np.searchsorted([-0.7, 0, 0.5, 1, 1.7], seen) + 1
            rows += judged(f"R{rater}", arm, values.tolist())
    return rows


# Areas of cine and spin-echo, their variances and covariance; the first reader; pROC in R.
PROC = (0.919645732689, 0.947826086957, 0.000896121045332, 0.000484032162189, 0.000368435748484)

# ---------------------------------------------------------------- published values


@pytest.mark.parametrize(
    ("hit", "false_alarm", "distance", "bias"),
    [
        (0.80, 0.40, 1.095, -0.294),  # chapter 1: old and new faces called old
        (0.69, 0.31, 0.992, 0.000),  # the face recognition of chapter 2, as usual
        (0.89, 0.59, 0.999, -0.727),  # and under hypnosis: the bias differs, not d'
    ],
)
def test_d_prime_and_c_are_those_of_macmillan_and_creelman(hit, false_alarm, distance, bias):
    assert float(d_prime(hit, false_alarm)) == pytest.approx(distance, abs=6e-4)
    assert float(criterion(hit, false_alarm)) == pytest.approx(bias, abs=6e-4)


def test_the_log_linear_correction_of_hautus_adds_half_a_count_to_every_cell():
    rates = corrected(np.array([0.0, 10, 20, 25]), np.array([25.0] * 4))

    assert rates == pytest.approx([0.5 / 26, 10.5 / 26, 20.5 / 26, 25.5 / 26])
    # qnorm(20.5 / 26) - qnorm(10.5 / 26) and qnorm(25.5 / 26) - qnorm(0.5 / 26) in R
    assert float(d_prime(rates[2], rates[1])) == pytest.approx(1.044499, abs=1e-5)
    assert float(d_prime(rates[3], rates[0])) == pytest.approx(4.139804, abs=1e-5)


def test_the_variance_of_d_prime_is_that_of_gourevitch_and_galanter():
    rng = np.random.default_rng(1)
    hits, alarms = rng.binomial(200, [[0.8], [0.4]], (2, 40_000))
    found = d_prime(corrected(hits, np.array(200.0)), corrected(alarms, np.array(200.0)))

    told_variance = rate_variance(np.array(0.8), np.array(200.0)) + rate_variance(
        np.array(0.4), np.array(200.0)
    )
    assert float(told_variance) == pytest.approx(np.var(found), rel=0.04)


def test_areas_and_their_covariance_are_those_of_proc():
    # In R, with truth, cine and se of the first reader:
    #   a <- roc(truth, cine, direction = "<"); b <- roc(truth, se, direction = "<")
    #   c(auc(a), auc(b), var(a), var(b), cov(a, b))
    cine, echo = (van_dyke(method).of(np.array([0])) for method in (0, 1))

    assert [float(cine.values[0]), float(echo.values[0])] == pytest.approx(PROC[:2], rel=1e-9)
    variances = [float(covariance(one)[0, 0]) for one in (cine, echo, cine.minus(echo))]
    assert variances == pytest.approx(
        [PROC[2], PROC[3], PROC[2] + PROC[3] - 2 * PROC[4]], rel=1e-9
    )


def test_means_of_readers_are_those_of_the_published_multi_reader_analysis():
    cine, echo = van_dyke(0), van_dyke(1)
    gap = cine.minus(echo)

    assert cine.values == pytest.approx(
        [0.91964573, 0.85877617, 0.90386473, 0.97310789, 0.82979066]
    )
    assert echo.values == pytest.approx(
        [0.94782609, 0.90531401, 0.92173913, 0.99935588, 0.92995169]
    )
    for figure, published in (
        (cine, [0.8970370, 0.03307642, 12.59597, 0.8253461, 0.9687280]),
        (echo, [0.9408374, 0.02150464, 12.56530, 0.8942155, 0.9874592]),
        (gap, [-0.04380032, 0.0206825, 15.06611, -0.0878671960, 0.0002665519]),
    ):
        found = mean_over_raters(figure.values, covariance(figure), is_fixed=False)
        assert told(found) == pytest.approx(published, rel=1e-5)
    assert float(found.p_two_sided()) == pytest.approx(0.05123303, rel=1e-5)
    assert np.trace(covariance(cine) + covariance(echo)) / 10 == pytest.approx(0.0007921325)


def test_sensitivities_of_readers_are_those_of_the_published_analysis():
    called = np.arange(5) >= 2
    for method, shares, published in (
        (0, [0.889, 0.778, 0.822, 0.933, 0.689], [0.8222222, 0.05893747, 14.456811]),
        (1, [0.978, 0.822, 0.911, 1.000, 0.889], [0.92, 0.03741657, 7.575855]),
    ):
        figure = rate(patients(WITH, 0, method), called, 45)
        found = mean_over_raters(figure.values, covariance(figure), is_fixed=False)

        assert figure.values == pytest.approx(shares, abs=5e-4)
        # They leave out one patient after the other, which differs a little.
        assert told(found)[:3] == pytest.approx(published, rel=0.02)


# ---------------------------------------------------------------- simulation

CUTS = np.linspace(-0.6, 1.8, 5)
BIAS_SD, SENSITIVITY_SD, IMAGE_SHARE = 0.3, 0.2, 0.3


def true_area(distance):
    """Returns the mean area of raters such as those of `studies`."""
    rng = np.random.default_rng(0)
    bias, own = rng.normal(0, BIAS_SD, (20_000, 1)), rng.normal(0, SENSITIVITY_SD, (20_000, 1))
    ends = np.concatenate([[-np.inf], CUTS, [np.inf]])
    synthetic = np.diff(norm.cdf(ends - bias - distance - own), axis=1)
    real = np.diff(norm.cdf(ends - bias), axis=1)
    below = np.cumsum(real, axis=1) - real / 2
    return float(np.mean(np.sum(synthetic * below, axis=1)))


def studies(runs, raters, images, distances, seed):
    """Returns areas of every rater and arm in many studies; the real images are shared."""
    rng = np.random.default_rng(seed)
    bias = rng.normal(0, BIAS_SD, (runs, raters, 1))

    def points(distance):
        own = distance + (rng.normal(0, SENSITIVITY_SD, (runs, raters, 1)) if distance else 0)
        image = rng.normal(0, np.sqrt(IMAGE_SHARE), (runs, 1, images))
        noise = rng.normal(0, np.sqrt(1 - IMAGE_SHARE), (runs, raters, images))
        return np.searchsorted(CUTS, own + bias + image + noise).astype(np.intp)

    real = Judged(points(0.0), images + np.arange(images))
    return [
        area(Judged(points(distance), np.arange(images)), real, 6, 2 * images)
        for distance in distances
    ]


@pytest.mark.parametrize(("raters", "images"), [(5, 30), (8, 40)])
def test_the_interval_of_the_mean_area_covers_the_truth_of_raters_and_images_alike(
    raters, images
):
    distances = (1.5, 0.8)
    truths = [true_area(distance) for distance in distances]
    figures = studies(2000, raters, images, distances, seed=raters)

    for figure, truth in zip(figures, truths, strict=True):
        found = mean_over_raters(figure.values, covariance(figure), is_fixed=False)
        ends = [
            logit_interval(*numbers, 0.95)
            for numbers in zip(found.value, found.variance, found.df, strict=True)
        ]
        coverage = np.mean([low <= truth <= high for low, high in ends])
        assert 0.92 <= coverage <= 0.98

    gap = figures[0].minus(figures[1])
    found = mean_over_raters(gap.values, covariance(gap), is_fixed=False)
    low, high = found.interval()
    truth = truths[0] - truths[1]
    assert 0.92 <= np.mean((low <= truth) & (truth <= high)) <= 0.98


def test_arms_alike_are_told_apart_by_chance_alone():
    figures = studies(2000, 6, 30, (1.0, 1.0), seed=3)
    gap = figures[0].minus(figures[1])

    found = mean_over_raters(gap.values, covariance(gap), is_fixed=False)

    assert np.mean(found.p_two_sided() < 0.05) <= 0.06


def test_covariance_of_raters_who_judged_different_images_is_unbiased():
    rng = np.random.default_rng(4)
    runs, images = 6000, 12
    image = rng.normal(0, 1, (runs, 1, images))
    called = (image + rng.normal(0, 1, (runs, 2, images))) > 0
    points = called.astype(np.intp)
    points[:, 0, 8:] = UNSEEN  # one rater sees 8 images, the other 9, 5 of them the same
    points[:, 1, :3] = UNSEEN
    figure = rate(Judged(points, np.arange(images)), np.array([False, True]), images)

    truth = np.cov(figure.values.T)

    assert covariance(figure).mean(axis=0) == pytest.approx(truth, rel=0.06)


# ---------------------------------------------------------------- findings


def test_figures_of_a_rater_are_what_their_definitions_say():
    synthetic, real = [6, 5, 4, 4, 2, 6, 3, 5], [1, 2, 4, 3, 1, 5]
    ratings = ratings_of(judged("R1", "a", synthetic) + judged("R1", "real", real))

    (one,) = detections(ratings, origin_settings()).raters

    pairs = list(itertools.product(synthetic, real))
    assert one.area.value == pytest.approx(
        np.mean([(s > r) + (s == r) / 2 for s, r in pairs])
    )
    assert one.sensitivity.value == 6 / 8
    assert one.specificity.value == 4 / 6
    # prop.test(6, 8, correct = FALSE) and (4, 6) in R
    ends = [(share.low, share.high) for share in (one.sensitivity, one.specificity)]
    assert ends[0] == pytest.approx((0.40927, 0.92852), abs=1e-4)
    assert ends[1] == pytest.approx((0.29999, 0.90323), abs=1e-4)
    z = [norm.ppf(6.5 / 9), norm.ppf(2.5 / 7)]
    assert one.dprime.value == pytest.approx(z[0] - z[1])
    assert one.criterion.value == pytest.approx(-sum(z) / 2)
    assert one.area.low < one.area.value < one.area.high
    assert one.area.n == "8 synthetic and 6 real images"
    assert "DeLong" in one.area.method


def test_means_over_raters_come_with_their_intervals_and_what_they_rest_on():
    found = detections(ratings_of(drawn()), origin_settings())

    arms = {one.arm: one for one in found.pooled}
    assert list(arms) == ["a", "b", ""]
    of_a = [one for one in found.raters if one.arm == "a"]
    for name in ("area", "dprime", "criterion", "sensitivity", "specificity"):
        finding = getattr(arms["a"], name)
        assert finding.value == pytest.approx(
            np.mean([getattr(one, name).value for one in of_a])
        )
        assert finding.low < finding.value < finding.high
        assert finding.n == "6 raters, 20 synthetic and 20 real images, 240 answers"
        assert "Hillis" in finding.method
    assert arms["a"].area.value > arms["b"].area.value
    assert arms[""].area.n == "6 raters, 40 synthetic and 20 real images, 360 answers"
    assert not arms["a"].is_fixed_raters


def test_the_same_real_images_serve_both_arms_and_their_difference_knows_it():
    ratings = ratings_of(drawn())
    found = detections(ratings, origin_settings())

    (gap,) = found.differences
    arms = {one.arm: one.area for one in found.pooled}
    assert gap.finding.value == pytest.approx(arms["a"].value - arms["b"].value)
    assert gap.finding.low > 0
    assert gap.p < 0.05
    assert gap.p_holm == gap.p  # the only pair
    assert arms["a"].n != gap.finding.n == "6 raters, 40 synthetic and 20 real images, 360 answers"


def test_an_arm_minus_itself_does_not_vary():
    figure = van_dyke(0)

    assert covariance(figure.minus(figure)) == pytest.approx(np.zeros((5, 5)), abs=1e-15)


def test_p_values_of_all_pairs_of_arms_share_one_correction():
    rows = drawn()
    third = [row | {"arm": "c", "value": max(1, row["value"] - 1)}
             for row in rows if row["arm"] == "b"]  # fmt: skip
    arms = (*(ArmName(code, code, False) for code in "abc"), ArmName("real", "Real", True))

    found = detections(ratings_of(rows + third), origin_settings(arms=arms))

    raw = sorted(one.p for one in found.differences)
    holm = sorted(one.p_holm for one in found.differences)
    assert len(raw) == 3
    assert holm[0] == pytest.approx(min(1, 3 * raw[0]))
    assert all(after >= before for before, after in zip(raw, holm, strict=True))


def test_several_images_of_a_prompt_count_as_one_prompt_and_not_as_more_images():
    rows = drawn()
    copies = [row | {"copy": 1} for row in rows if row["arm"] == "a"]

    once = detections(ratings_of(rows), origin_settings()).pooled[0]
    twice = detections(ratings_of(rows + copies), origin_settings()).pooled[0]

    assert (twice.area.value, twice.area.low, twice.area.high) == pytest.approx(
        (once.area.value, once.area.low, once.area.high)
    )
    assert twice.area.n == "6 raters, 40 synthetic and 20 real images, 360 answers"


def test_images_that_seem_more_real_than_real_have_an_area_below_a_half():
    found = detections(ratings_of(drawn(distances=(-1.2, 0.5))), origin_settings())

    assert found.pooled[0].area.high < 0.5
    assert found.pooled[0].dprime.value < 0


def test_raters_who_saw_different_prompts_are_analysed_too():
    rows = [
        row
        for row in drawn(images=30)
        if row["arm"] == "real" or (int(row["prompt_id"][1:]) + int(row["rater_code"][1])) % 2
    ]

    one = detections(ratings_of(rows), origin_settings()).pooled[0]

    assert one.area.n == "6 raters, 30 synthetic and 30 real images, 270 answers"
    assert one.area.low < one.area.value < one.area.high


# ---------------------------------------------------------------- little data


def test_below_five_raters_the_interval_holds_for_these_raters_and_says_so():
    found = detections(ratings_of(drawn(raters=4)), origin_settings())

    for one in found.pooled:
        assert one.is_fixed_raters
        assert "does not generalise to other raters" in one.area.note
        assert "raters fixed" in one.area.method
    assert "does not generalise" in found.differences[0].finding.note
    texts = [table.to_text() for table in detection_tables(found, origin_settings())]
    assert all("does not generalise" in texts[index] for index in (0, 2))


def test_the_mean_of_one_rater_is_that_rater():
    found = detections(ratings_of(drawn(raters=1)), origin_settings())

    pooled, rater = found.pooled[0].area, found.raters[0].area
    assert (pooled.value, pooled.low, pooled.high) == pytest.approx(
        (rater.value, rater.low, rater.high), abs=1e-6
    )


@pytest.mark.parametrize(
    ("synthetic", "real", "sentence"),
    [
        ([6, 5, 4, 4], [1, 2, 3, 1, 2], "R1 judged 4 synthetic and 5 real images; below 5"),
        ([6, 5, 4, 4, 6], [1, 2], "R1 judged 5 synthetic and 2 real images; below 5"),
    ],
)
def test_few_images_of_a_kind_give_a_sentence_and_no_figure(synthetic, real, sentence):
    rows = judged("R1", "a", synthetic) + judged("R1", "real", real)

    found = detections(ratings_of(rows), origin_settings())

    assert found.raters[0].area.value is None
    assert sentence in found.raters[0].area.note
    assert found.pooled[0].area.value is None
    assert "No rater has judged 5 synthetic and 5 real images" in found.pooled[0].area.note


def test_a_rater_with_few_images_is_left_out_of_the_means_by_name():
    rows = drawn() + judged("R9", "a", [6, 5]) + judged("R9", "real", [1] * 8)

    one = detections(ratings_of(rows), origin_settings()).pooled[0]

    assert one.area.n.startswith("6 raters")
    assert "Left out, with fewer than 5 images of a kind: R9." in one.area.note


@pytest.mark.parametrize(("arm", "kind"), [("real", "synthetic"), ("a", "real")])
def test_one_kind_of_images_alone_gives_a_sentence(arm, kind):
    rows = [row for row in drawn() if (row["arm"] == "real") == (arm == "real")]

    found = detections(ratings_of(rows), origin_settings())

    assert f"of those about {kind} images there are none" in found.note
    assert not found.pooled
    (table,) = detection_tables(found, origin_settings())
    assert found.note in table.to_text()
    assert roc_points(ratings_of(rows), origin_settings()).empty


def test_an_arm_without_answers_says_so_beside_the_others():
    rows = [row for row in drawn() if row["arm"] != "b"]

    found = detections(ratings_of(rows), origin_settings())

    assert [one.arm for one in found.pooled] == ["a", "b"]
    assert found.pooled[1].area.note == "There are no answers about Arm B."


def test_raters_who_answer_everything_alike_are_told_and_not_measured():
    rows = judged("R1", "a", [4] * 8) + judged("R1", "real", [4] * 6)

    found = detections(ratings_of(rows), origin_settings())

    one = found.raters[0]
    assert (one.area.value, one.area.low) == (0.5, None)
    assert one.area.note == "R1 gave the same answer to all images."
    assert (one.dprime.value, one.dprime.low) == (0.0, None)
    assert "called the same" in one.dprime.note
    assert found.pooled[0].area.note == "Every rater gave the same answer to all images."


def test_a_rater_who_answers_everything_alike_still_counts_in_the_mean():
    rows = drawn() + judged("R9", "a", [4] * 20) + judged("R9", "real", [4] * 20)

    before = detections(ratings_of(drawn()), origin_settings()).pooled[0]
    after = detections(ratings_of(rows), origin_settings()).pooled[0]

    assert after.area.value == pytest.approx((6 * before.area.value + 0.5) / 7)
    assert after.dprime.value == pytest.approx(6 * before.dprime.value / 7)


def test_images_told_apart_without_fail_have_an_area_of_one_and_no_interval():
    rows = [
        row
        for rater in range(5)
        for row in judged(f"R{rater}", "a", [6, 5, 6, 6, 5]) + judged(f"R{rater}", "real", [1] * 6)
    ]

    found = detections(ratings_of(rows), origin_settings())

    for finding in (found.raters[0].area, found.pooled[0].area):
        assert (finding.value, finding.low, finding.high) == (1.0, None, None)
        assert "no interval can be estimated" in finding.note
    assert found.raters[0].sensitivity.low == pytest.approx(0.5655, abs=1e-4)  # Wilson of 5 of 5


def test_a_study_that_does_not_ask_says_so():
    found = detections(ratings_of(drawn()), settings_of())

    assert "not asked" in found.note
    assert roc_points(ratings_of(drawn()), settings_of()).empty


def test_side_by_side_no_image_has_an_answer_of_its_own():
    rows = [row | {"arm": "NA", "is_real": "NA", "stimulus_id": "NA"} for row in drawn()]

    found = detections(ratings_of(rows), origin_settings(display="side_by_side"))

    assert "about all pictures at once" in found.note


# ---------------------------------------------------------------- scale and plan


@pytest.mark.parametrize("points", [2, 3, 5, 7, 10])
def test_scales_of_any_number_of_points_are_cut_in_the_middle(points):
    labels = tuple(f"point {point}" for point in range(1, points + 1))
    scale = Scale("origin", "Real?", "scale", 1, points, labels)
    highest, lowest = points // 2, points - points // 2
    rows = judged("R1", "a", [points] * highest + [1] * lowest)
    rows += judged("R1", "a", [points, 1], copy=1)
    rows += judged("R1", "real", [1, 1, 1, 1, points, (points + 1) // 2])
    chosen = origin_settings(scales=(scale,))

    found = detections(ratings_of(rows), chosen)

    if points > 3:  # fewer images than 5 otherwise
        (one,) = found.raters
        assert one.sensitivity.value == (highest + 1) / (points + 2)
        # The middle of an odd number of points is neither: not called real.
        assert one.specificity.value == (4 if points % 2 else 5) / 6
    text = detection_tables(found, chosen)[0].to_text()
    assert ("calls an image neither" in text) == bool(points % 2)
    assert f"'point {points // 2 + 1 + points % 2}' or above" in text


def test_cannot_judge_is_left_out_or_counts_as_planned():
    rows = drawn() + judged("R0", "a", [None] * 4, copy=1)

    left_out = detections(ratings_of(rows), origin_settings())
    worst = detections(ratings_of(rows), origin_settings(cannot_judge="worst"))

    assert left_out.raters[0].area.n == "20 synthetic and 20 real images"
    assert worst.raters[0].area.n == "24 synthetic and 20 real images"
    assert worst.raters[0].sensitivity.value > left_out.raters[0].sensitivity.value
    (table, *_), (planned, *_) = (
        detection_tables(left_out, origin_settings()),
        detection_tables(worst, origin_settings(cannot_judge="worst")),
    )
    assert "'Cannot judge' is left out." in table.to_text()
    assert "'Cannot judge' counts as 'certainly synthetic', as planned." in planned.to_text()


def test_repeats_checks_and_excluded_raters_do_not_count():
    rows = drawn()
    more = [row | {"item_kind": kind, "value": 1} for row in rows for kind in ("repeat", "check")]
    lost = judged("R9", "a", [1] * 20) + judged("R9", "real", [6] * 20)

    plain = detections(ratings_of(rows), origin_settings())
    with_more = detections(
        ratings_of(rows + more + lost), origin_settings(excluded_raters={"R9": "asleep"})
    )

    assert with_more == plain


def test_no_accuracy_is_given_and_the_reason_is():
    chosen = origin_settings()
    tables = detection_tables(detections(ratings_of(drawn()), chosen), chosen)

    assert [table.name for table in tables] == [
        "detection", "detection_raters", "detection_differences"
    ]  # fmt: skip
    assert not any("ccuracy" in column for table in tables for column in table.columns)
    assert any(
        "No accuracy" in note and "40 synthetic and 20 real images" in note
        for note in tables[0].notes
    )
    assert len(tables[1].rows) == 12
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)


def test_curves_run_from_corner_to_corner_and_enclose_the_area():
    ratings = ratings_of(drawn())
    found = detections(ratings, origin_settings())

    points = roc_points(ratings, origin_settings())

    areas = {(one.arm, one.rater_code): one.area.value for one in found.raters}
    areas |= {(one.arm, "pooled"): None for one in found.pooled if one.arm}
    curves = dict(list(points.groupby(["arm", "rater_code"])))
    assert set(curves) == set(areas)
    for key, curve in curves.items():
        x, y = (curve[f"{name}_positive_rate"].to_numpy() for name in ("false", "true"))
        assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
        assert (np.diff(x) >= 0).all()
        assert (np.diff(y) >= 0).all()
        if areas[key] is not None:
            assert np.trapezoid(y, x) == pytest.approx(areas[key])
    cut = points[(points["threshold"] == "rather synthetic") & (points["arm"] == "a")]
    raters = cut[cut["rater_code"] != "pooled"]["true_positive_rate"]
    pooled = cut[cut["rater_code"] == "pooled"]["true_positive_rate"]
    assert pooled.item() == pytest.approx(raters.mean())
    assert pooled.item() == pytest.approx(found.pooled[0].sensitivity.value)


def test_the_order_of_rows_changes_nothing():
    rows = drawn()

    found = [detections(ratings_of(some), origin_settings()) for some in (rows, rows[::-1])]

    texts = [
        [table.to_text() for table in detection_tables(one, origin_settings())] for one in found
    ]
    assert texts[0] == texts[1]


def test_with_fixed_readers_all_variances_and_covariances_are_averaged():
    figure = van_dyke(0)

    found = mean_over_raters(figure.values, covariance(figure), is_fixed=True)

    low, high = found.interval()
    assert (high - low) / 2 == pytest.approx(
        norm.ppf(0.975) * np.sqrt(covariance(figure).mean()), rel=1e-5
    )
