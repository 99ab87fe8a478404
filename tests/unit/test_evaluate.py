"""Contract: figures of an evaluation are what their definitions say, and prompts match images."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.attributes import read_attributes
from data.records import ImageRecord
from msdm_core.errors import CheckpointError, RequestError
from msdm_core.evaluation.evaluate import measure, prompt_cases, spectrum_figures
from msdm_core.evaluation.evaluator import (
    ATTRIBUTES,
    balanced_accuracy,
    build_evaluator,
    load_evaluator,
    read_images,
    truths,
)
from msdm_core.evaluation.report import markdown

NAMES = ATTRIBUTES["endoscopy"]
POLYP = NAMES.index("finding:polyp")


def record(name: str, *captions: str) -> ImageRecord:
    return ImageRecord(name, Path(f"{name}.png"), captions, "val", None, "test")


RECORDS = [
    record("a", "Generate an image containing a polyp.",
           "Generate an image from a colonoscopy procedure.",
           "Generate an image with no instruments.", "Generate an image containing text."),
    record("b", "Generate an image containing oesophagitis.",
           "Generate an image from a gastroscopy procedure.",
           "Generate an image containing a green/black box artefact."),
    record("c", "Generate an image containing ulcerative colitis.",
           "Generate an image with 1 instrument.", "Generate an image not containing text."),
]


def test_balanced_accuracy_is_the_mean_of_sensitivity_and_specificity() -> None:
    truth = np.full((6, len(NAMES)), np.nan, dtype=np.float32)
    probabilities = np.zeros((6, len(NAMES)), dtype=np.float32)
    truth[:, POLYP] = [1, 1, 0, 0, 0, 0]
    probabilities[:, POLYP] = [0.9, 0.1, 0.2, 0.3, 0.1, 0.8]
    figures = balanced_accuracy(probabilities, truth, NAMES)
    assert figures["finding:polyp"] == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert math.isnan(figures["text"])  # nothing known
    assert figures["mean"] == pytest.approx(figures["finding:polyp"])


def test_a_reader_that_says_the_same_of_every_image_scores_one_half() -> None:
    truth = truths([read_attributes(r.captions) for r in RECORDS], NAMES)
    figures = balanced_accuracy(np.ones_like(truth), truth, NAMES)
    assert figures["mean"] == pytest.approx(0.5)


def test_full_prompts_state_what_all_captions_state() -> None:
    cases = prompt_cases(RECORDS, 7, "full")
    assert [case.record for case in cases] == [0, 1, 2, 0, 1, 2, 0]
    assert len({case.seed for case in cases}) == 7
    for case in cases:
        stated = read_attributes(case.prompt).targets()
        for name, value in read_attributes(RECORDS[case.record].captions).targets().items():
            assert value is None or stated[name] in (value, None), (name, case.prompt)
    assert "polyp" in cases[0].prompt


def test_single_prompts_are_captions_and_change_from_round_to_round() -> None:
    cases = prompt_cases(RECORDS, 6, "single")
    for case in cases:
        assert case.prompt in RECORDS[case.record].captions
    assert cases[0].prompt != cases[3].prompt


def test_an_unknown_kind_of_prompt_is_refused() -> None:
    with pytest.raises(RequestError, match="full and single"):
        prompt_cases(RECORDS, 1, "half")


def test_real_images_measured_against_themselves_are_equal_to_themselves() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 256, 256, 3), dtype=np.uint8)
    records = RECORDS * 2
    figures = measure(build_evaluator().eval(), images, prompt_cases(records, 6, "full"), images,
                      records, closed_world=True) | spectrum_figures(images, images)
    assert figures["reading_ratio"] == pytest.approx(1.0)
    assert all(v == pytest.approx(1.0) for v in figures["octave_power_ratio"].values())
    low, high = figures["reading_ratio_interval"]
    assert low <= 1.0 <= high
    figures |= {
        "images": 6, "real_images": 6, "prompts": "full", "steps": 20, "guidance": 3.0,
    }  # fmt: skip
    assert "| finding:polyp |" in markdown(figures)


def test_an_evaluator_comes_back_from_its_folder_as_it_was(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 256, 256, 3), dtype=np.uint8)
    model = build_evaluator().eval()
    model.save_pretrained(tmp_path)
    before, after = read_images(model, images), read_images(load_evaluator(tmp_path), images)
    np.testing.assert_allclose(before.probabilities, after.probabilities, atol=1e-5)
    assert after.features.shape == (3, 256)


def test_a_folder_without_an_evaluator_is_refused_with_its_name(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "picture.png")
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load_evaluator(tmp_path)
