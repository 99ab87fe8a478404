"""Contract: the checkpoints of MSDM that ship load, repeat themselves, and follow their prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from msdm_core.evaluation.evaluator import ATTRIBUTES, load_evaluator, read_images
from msdm_core.evaluation.spectrum import octave_powers
from msdm_core.msdm.loading import load_pipeline

CHECKPOINTS = Path(__file__).resolve().parents[2] / "data" / "checkpoints"
MSDM = CHECKPOINTS / "msdm-compact-gi"
RADIOLOGY = CHECKPOINTS / "msdm-compact-radiology"

COLONOSCOPY = [
    "Generate an image containing a polyp located in the lower-right.",
    "Colonoscopy with ulcerative colitis, pink and red.",
    "A pedunculated polyp (Paris Ip) at colonoscopy.",
    "Colonoscopy with a green/black box artefact and on-screen text.",
]
GASTROSCOPY = [
    "Generate an image containing oesophagitis.",
    "EGD showing the z-line, no polyps.",
    "Gastroscopy with esophagitis, pink and white.",
    "Generate an image from a gastroscopy procedure.",
]

CHEST = [
    "Posteroanterior chest radiograph of a 60-year-old man showing no finding.",
    "Anteroposterior chest radiograph of a 55-year-old woman showing effusion and pneumonia.",
    "Chest X-ray, pneumonia",
    "Radiograph of the chest.",
]
ULTRASOUND = [
    "Breast ultrasound image showing a benign mass.",
    "Breast ultrasound image showing a malignant mass.",
    "Breast ultrasound image showing normal breast tissue.",
    "Ultrasound of the breast, mass",
]

# As the data are mixed: three quarters colonoscopies, most images with writing in them.
MIXED = [
    "Colonoscopy with a polyp (Paris Is), on-screen text and a black box, no instruments.",
    "Colonoscopy with ulcerative colitis, pink, red and white, on-screen text, no polyps.",
    "Colonoscopy with a tube, one instrument in the upper center, on-screen text, no polyps.",
    "Colonoscopy with one polyp of size 11-20 mm in the center, text, no black box artefact.",
    "Colonoscopy with ulcerative colitis and a green/black box artefact, text, no polyps.",
    "Colonoscopy showing a pedunculated polyp (Paris Ip), pink and red, text and a green box.",
    "Gastroscopy with oesophagitis and the z-line, pink and white, no polyps, text.",
    "Gastroscopy with oesophagitis, pink, red and white, no text, no polyps.",
]

Draw = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def pipeline() -> Any:
    loaded = load_pipeline(MSDM)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def drawn(
    pipeline: Any, prompts: list[str], seed: int = 0, **options: Any
) -> np.ndarray:
    generators = [torch.Generator("cpu").manual_seed(seed + i) for i in range(len(prompts))]
    images = pipeline(prompts, generator=generators, output_type="np", **options).images
    return np.asarray((images * 255).round(), dtype=np.uint8)


@pytest.fixture(scope="module")
def draw(pipeline: Any) -> Draw:
    return partial(drawn, pipeline)


@pytest.fixture(scope="module")
def radiographs() -> np.ndarray:
    """Four chest radiographs, then four ultrasound images, of the shipped model of radiology."""
    loaded = load_pipeline(RADIOLOGY)
    loaded.set_progress_bar_config(disable=True)
    return drawn(loaded, CHEST + ULTRASOUND)


@pytest.fixture(scope="module")
def images(draw: Draw) -> np.ndarray:
    return draw(COLONOSCOPY + GASTROSCOPY)


def test_checkpoint_folders_are_small_and_hold_no_code_and_no_pickles() -> None:
    evaluators = (CHECKPOINTS / "evaluator", CHECKPOINTS / "evaluator-radiology")
    for folder in (MSDM, RADIOLOGY, *evaluators):
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) <= 30e6, folder
        suffixes = {path.suffix for path in files}
        assert not suffixes & {".py", ".bin", ".pt", ".pth", ".ckpt", ".pkl"}, suffixes
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert "license: cc-by-nc-4.0" in card
        assert "not for diagnosis" in card.lower()


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(draw: Draw) -> None:
    once, again, other = (draw(COLONOSCOPY[:1], seed, num_inference_steps=4) for seed in (3, 3, 4))
    np.testing.assert_array_equal(once, again)
    assert np.abs(once.astype(int) - other).mean() > 5


def test_images_are_neither_flat_nor_alike_across_prompts(images: np.ndarray) -> None:
    assert images.shape == (8, 256, 256, 3)
    assert (images.std(axis=(1, 2, 3)) > 25).all()
    small = images.reshape(8, 16, 16, 16, 16, 3).mean(axis=(2, 4))
    for first in range(8):
        for second in range(first):
            assert np.abs(small[first] - small[second]).mean() > 8, (first, second)


def test_the_evaluator_tells_colonoscopies_from_gastroscopies_in_generated_images(
    images: np.ndarray,
) -> None:
    reading = read_images(load_evaluator(CHECKPOINTS / "evaluator"), images)
    column = ATTRIBUTES["endoscopy"].index("procedure:colonoscopy")
    is_colonoscopy = reading.probabilities[:, column] > 0.5
    right = is_colonoscopy == np.array([True] * 4 + [False] * 4)
    assert right.sum() >= 6, is_colonoscopy


def test_the_recorded_spectrum_is_within_a_factor_of_three_of_real_images_in_every_octave() -> None:
    figures = json.loads((MSDM / "evaluation.json").read_text(encoding="utf-8"))
    assert figures["images"] >= 200
    for band, ratio in figures["octave_power_ratio"].items():
        assert 1 / 3 <= ratio <= 3, band


def test_fine_detail_is_as_strong_as_in_real_images_within_a_factor_of_four(draw: Draw) -> None:
    # Eight images, so a wider bound than for the hundreds recorded. With a decoder that was not
    # trained against an adversary the top octave is at 0.05 here, and this fails.
    figures = json.loads((MSDM / "evaluation.json").read_text(encoding="utf-8"))
    ratios = octave_powers(draw(MIXED)) / np.array(list(figures["octave_power_real"].values()))
    assert ((ratios > 1 / 4) & (ratios < 4)).all(), ratios


def test_a_picture_does_not_depend_on_the_prompts_beside_it(
    draw: Draw,
) -> None:
    alone = draw([COLONOSCOPY[0]], 5, num_inference_steps=3)
    beside = draw([COLONOSCOPY[0], "a much longer text that pads the other one " * 3], 5,
                  num_inference_steps=3)
    assert np.abs(alone[0].astype(int) - beside[0]).max() <= 2


def test_radiology_is_grey_and_neither_flat_nor_alike_across_prompts(
    radiographs: np.ndarray,
) -> None:
    assert radiographs.shape == (8, 256, 256, 3)
    assert (radiographs == radiographs[..., :1]).all()
    assert (radiographs.std(axis=(1, 2, 3)) > 25).all()
    small = radiographs[..., 0].reshape(8, 16, 16, 16, 16).mean(axis=(2, 4))
    for first in range(8):
        for second in range(first):
            assert np.abs(small[first] - small[second]).mean() > 8, (first, second)


def test_the_evaluator_tells_radiographs_of_the_chest_from_ultrasound_in_generated_images(
    radiographs: np.ndarray,
) -> None:
    evaluator = load_evaluator(CHECKPOINTS / "evaluator-radiology")
    seen = read_images(evaluator, radiographs).probabilities > 0.5
    columns = {name: seen[:, k] for k, name in enumerate(ATTRIBUTES["radiology"])}
    is_chest = np.array([True] * 4 + [False] * 4)
    for name, truth in (
        ("modality:X-ray", is_chest),
        ("region:chest", is_chest),
        ("modality:ultrasound", ~is_chest),
    ):
        assert (columns[name] == truth).sum() >= 7, (name, columns[name])


def test_the_recorded_reading_of_radiology_is_at_least_nine_tenths_of_real_images() -> None:
    figures = json.loads((RADIOLOGY / "evaluation.json").read_text(encoding="utf-8"))
    assert figures["images"] >= 200
    assert figures["reading_ratio"] >= 0.9
    assert "evaluator_domain" not in figures
