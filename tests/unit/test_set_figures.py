"""Contract: distances between sets of images agree with independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from data.attributes import read_attributes
from msdm_core.errors import RequestError
from msdm_core.evaluation.distribution import (
    f1,
    feature_diversity,
    frechet_distance,
    half_sample_error,
    inception_score,
    joint_logits,
    kernel_distance,
    memorisation_informed_distance,
    precision_recall,
)
from msdm_core.evaluation.measures import memorisation_figures, set_figures
from msdm_core.evaluation.nearest import (
    nearest,
    nearest_of_another_group,
    percentile_among,
    pixel_vectors,
)
from msdm_core.evaluation.paraphrases import paraphrase_figures, two_wordings


def drawn(count: int, width: int = 6, *, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)) + shift


def test_the_frechet_distance_agrees_with_its_formula_by_a_matrix_square_root() -> None:
    real, made = drawn(80), drawn(60, shift=0.3, seed=1) @ np.diag([1, 2, 1, 0.5, 1, 1])
    root = scipy.linalg.sqrtm(np.cov(real.T) @ np.cov(made.T)).real
    expected = np.sum((real.mean(0) - made.mean(0)) ** 2) + np.trace(
        np.cov(real.T) + np.cov(made.T) - 2 * root
    )
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-6)


def test_the_frechet_distance_of_one_dimensional_gaussians_is_known() -> None:
    real = np.array([[-1.0], [1.0]] * 50) * 2 / np.std([-1.0, 1.0] * 50, ddof=1)
    made = 3 + real / 2
    assert frechet_distance(real, made) == pytest.approx(3**2 + (2 - 1) ** 2, rel=1e-6)


def test_the_kernel_distance_agrees_with_the_unbiased_estimate() -> None:
    real, made = drawn(40), drawn(40, shift=0.5, seed=1)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)

    count = len(real)
    off_diagonal = sum(
        (kernel(part, part).sum() - np.trace(kernel(part, part))) / (count * (count - 1))
        for part in (real, made)
    )
    expected = off_diagonal - 2 * kernel(real, made).mean()
    # Subsets of all images are the same images in another order.
    value, deviation = kernel_distance(real, made)
    assert value == pytest.approx(expected, rel=1e-5)
    assert deviation == pytest.approx(0, abs=1e-5)


def test_kid_of_sets_of_one_kind_is_about_zero_whatever_their_number() -> None:
    few, _ = kernel_distance(drawn(2000), drawn(30, seed=2))
    many, _ = kernel_distance(drawn(2000), drawn(1000, seed=3))
    assert abs(many) < 0.02
    assert abs(few) < 0.3


def test_mifid_is_larger_for_copies_than_for_new_images_as_far() -> None:
    real = drawn(60, 16)
    near_copies = real[:30] * 1.01  # the other 30 are not copied
    ratio = memorisation_informed_distance(real, near_copies) / frechet_distance(real, near_copies)
    new = drawn(30, 16, seed=5)
    ratio_of_new = memorisation_informed_distance(real, new) / frechet_distance(real, new)
    assert ratio > 10
    assert ratio > 5 * ratio_of_new


def test_precision_and_recall_agree_with_a_count_by_hand() -> None:
    real, made = drawn(25), drawn(20, shift=0.8, seed=1)

    def inside(points: np.ndarray, manifold: np.ndarray) -> float:
        hits = 0
        for point in points:
            for centre in manifold:
                radius = sorted(np.linalg.norm(manifold - centre, axis=1))[3]
                if np.linalg.norm(point - centre) <= radius:
                    hits += 1
                    break
        return hits / len(points)

    assert precision_recall(real, made) == pytest.approx((inside(made, real), inside(real, made)))


def test_a_model_that_makes_one_image_only_has_precision_without_recall() -> None:
    real = drawn(50)
    collapsed = np.repeat(real[:1], 50, axis=0)
    precision, recall = precision_recall(real, collapsed)
    assert precision == 1
    assert recall <= 0.02
    assert f1(precision, recall) < 0.05
    assert f1(0.0, 0.0) == 0.0


def test_the_inception_score_is_one_for_equal_images_and_the_number_of_classes_at_most() -> None:
    assert inception_score(np.zeros((20, 5))) == pytest.approx(1)
    assert inception_score(60 * np.eye(5)[np.arange(100) % 5]) == pytest.approx(5, rel=1e-6)


def test_joint_logits_are_the_product_of_independent_attributes() -> None:
    probabilities = np.array([[0.2, 0.7, 0.5]])
    logits = joint_logits(probabilities)
    softmax = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    yes_no_yes = 0.2 * (1 - 0.7) * 0.5
    assert softmax[0, 0b101] == pytest.approx(yes_no_yes)
    assert softmax.shape == (1, 8)


def test_the_half_sample_error_of_a_mean_is_its_standard_error() -> None:
    sample = np.random.default_rng(0).normal(size=400)
    error = half_sample_error(lambda part: float(part.mean()), (sample,))
    assert error == pytest.approx(sample.std(ddof=1) / np.sqrt(400), rel=0.15)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.integers(8, 40))
def test_distances_do_not_depend_on_the_order_of_images(seed: int, count: int) -> None:
    real, made = drawn(count, seed=seed), drawn(count, seed=seed + 1)
    order = np.random.default_rng(seed).permutation(count)
    assert frechet_distance(real, made[order]) == pytest.approx(frechet_distance(real, made))
    assert precision_recall(real[order], made) == pytest.approx(precision_recall(real, made))
    assert feature_diversity(made[order]) == pytest.approx(feature_diversity(made))


def test_figures_of_real_images_in_the_place_of_generated_ones_lie_at_their_floor() -> None:
    reference, held_out, made = drawn(300), drawn(60, seed=1), drawn(60, seed=2)
    figures = set_figures(reference, made, held_out)
    for name in ("frechet_distance", "precision", "recall", "f1"):
        found = figures[name]["held_out"]
        assert found["count"] == 60
        assert 1 / 2.5 < found["made"] / found["real"] < 2.5, name
        assert figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"]
    worse = set_figures(reference, made + 1, held_out)
    assert worse["frechet_distance"]["low"] > figures["frechet_distance"]["high"]


def test_a_training_image_of_the_same_group_is_no_other_image() -> None:
    training = np.array([[0.0], [0.1], [5.0]])
    found = nearest_of_another_group(training, ["patient", "patient", "other"])
    assert found.index.tolist()[:2] == [2, 2]
    assert found.distance[0] == pytest.approx(5)
    assert nearest(np.array([[4.0]]), training).index.tolist() == [2]


def test_copies_of_training_images_are_found_and_counted() -> None:
    training = drawn(200, 8)
    groups = [str(index) for index in range(200)]
    made = np.concatenate([training[:10] + 1e-4, drawn(30, 8, seed=7)])
    figure, of_made = memorisation_figures(training, groups, made, drawn(50, 8, seed=8))
    assert of_made.index[:10].tolist() == list(range(10))
    assert figure["made"]["value"] >= 0.25
    assert figure["real"] <= 0.06
    assert 20 < figure["real_percentile"] < 80


def test_a_percentile_counts_the_smaller_distances() -> None:
    usual = np.arange(1.0, 101.0)
    assert percentile_among(np.array([0.0, 50.5, 200.0]), usual).tolist() == [0, 50, 100]


def test_pixel_vectors_see_a_copy_through_brightness_and_contrast() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 120, (1, 64, 64, 3), dtype=np.uint8)
    changed = (image * 1.5 + 20).astype(np.uint8)
    other = rng.integers(0, 120, (1, 64, 64, 3), dtype=np.uint8)
    to_copy = np.linalg.norm(pixel_vectors(image) - pixel_vectors(changed))
    to_other = np.linalg.norm(pixel_vectors(image) - pixel_vectors(other))
    assert to_copy < 0.02 < to_other


def test_the_official_figures_of_equal_wordings_agree_and_copies_have_no_diversity() -> None:
    real = drawn(40, 5)
    one = np.repeat(real[:1][None], 4, axis=1)  # (1, 4, 5): one image four times
    figures = paraphrase_figures(one, one, real)
    assert figures["agreement"] == pytest.approx(1)
    assert figures["diversity"] == pytest.approx(0, abs=1e-6)
    distance = frechet_distance(real, one[0])
    assert figures["fidelity"] == pytest.approx(1000 / (1 + distance))
    several = drawn(8, 5, seed=3).reshape(2, 4, 5)
    fidelity = paraphrase_figures(several, several[::-1], real)["fidelity"]
    expected = [1000 / (1 + frechet_distance(real, part)) for part in several]
    averaged = 1000 / (1 + np.mean([frechet_distance(real, part) for part in several]))
    assert fidelity == pytest.approx(averaged)
    assert min(expected) <= fidelity <= max(expected)


def test_one_image_a_wording_is_too_few() -> None:
    with pytest.raises(RequestError, match="at least 2"):
        paraphrase_figures(drawn(3)[:, None], drawn(3)[:, None], drawn(10))


def test_two_wordings_say_the_same_in_other_words() -> None:
    attributes = read_attributes("Generate an image containing a polyp in the lower-right.")
    first, second = two_wordings(attributes, 3)
    assert first != second
    assert read_attributes(first) == read_attributes(second)
