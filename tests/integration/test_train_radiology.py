"""Contract: the training commands make a model of radiology as they make one of endoscopy: its
terms are radiology's, nothing is mirrored, grey stays grey, and what it draws is measured by an
evaluator of radiology.
"""

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.domains import RADIOLOGY, domain_of_folder
from data.folders import read_folder
from data.radiology.facts import TARGET_NAMES
from data.trained_terms import read_trained_terms, trained_domain
from msdm_core.__main__ import main
from msdm_core.evaluation.evaluator import attributes_of, domain_of, load_evaluator
from msdm_core.evaluation.nearness import NearnessIndex
from msdm_core.msdm.pipeline import MSDMPipeline
from msdm_core.msdm.presets import PRESETS
from msdm_core.training.image_store import are_grey
from msdm_core.training.wording import wordings
from tests.radiographs import write_rocov2
from tests.tiny_model import TINY

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--preset", "tiny", "--batch-size", "4", "--warmup-steps", "2", "--threads", "1",
         "--max-steps", "2")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parts:
    """A dataset and what was trained on it."""

    data: Path
    autoencoder: Path
    text_encoder: Path


def train(part: str, data: Path, out: Path, *rest: object) -> int:
    return main(["train", part, "--data", str(data), "--out", str(out), *QUICK, *map(str, rest)])


@pytest.fixture(scope="module", autouse=True)
def tiny_preset() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        yield


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    folder = tmp_path_factory.mktemp("radiology")
    data = write_rocov2(folder / "data")
    assert train("autoencoder", data, folder / "ae", "--crop-px", 64) == 0
    assert train("text-encoder", data, folder / "text") == 0
    return Parts(data, folder / "ae" / "export", folder / "text" / "export")


def denoiser(parts: Parts, out: Path, *rest: object, data: Path | None = None) -> Path:
    built = ("--autoencoder", parts.autoencoder, "--text-encoder", parts.text_encoder)
    assert train("denoiser", data or parts.data, out, *built, *rest) == 0
    return out / "export"


@pytest.fixture(scope="module")
def model(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return denoiser(parts, tmp_path_factory.mktemp("run") / "msdm")


def drawn(folder: Path) -> np.ndarray:
    pipeline = MSDMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return np.asarray(pipeline("Chest X-ray, pneumonia", num_inference_steps=2).images[0])


def test_the_text_encoder_learns_the_attributes_of_radiology(parts: Parts) -> None:
    record = json.loads((parts.text_encoder.parent / "run.json").read_text(encoding="utf-8"))
    assert record["config"]["attributes"] == list(TARGET_NAMES)


def test_the_checkpoint_says_its_domain_and_what_was_stated(model: Path) -> None:
    counts = read_trained_terms(model)
    assert trained_domain(model) == "radiology"
    assert counts is not None and set(counts) == set(TARGET_NAMES)
    assert counts["finding:pneumonia"] == 5 and counts["modality:CT"] == 0


def test_a_model_of_grey_pictures_draws_pure_grey(model: Path) -> None:
    picture = drawn(model)
    assert (picture == picture[..., :1]).all()
    assert picture.std() > 0


def test_colour_stays_where_a_training_picture_has_it(parts: Parts, tmp_path: Path) -> None:
    data = write_rocov2(tmp_path / "data", coloured=3)
    kept = drawn(denoiser(parts, tmp_path / "auto", data=data))
    assert (kept != kept[..., :1]).any()
    made_grey = denoiser(parts, tmp_path / "yes", "--grey", "yes", data=data)
    picture = drawn(made_grey)
    assert (picture == picture[..., :1]).all()
    [images] = [np.load(path) for path in (tmp_path / "yes" / "cache").glob("images-*.npy")
                if np.load(path).shape[0] > 8]  # fmt: skip
    assert (images == images[..., :1]).all()


def test_grey_can_be_left_to_the_model(parts: Parts, tmp_path: Path) -> None:
    picture = drawn(denoiser(parts, tmp_path / "no", "--grey", "no"))
    assert (picture != picture[..., :1]).any()


def test_rounding_of_jpeg_is_no_colour() -> None:
    images = np.full((3, 16, 16, 3), 100, dtype=np.uint8)
    images[..., 1] += 5
    assert are_grey(images)
    images[2, :4, :4, 0] = 200
    assert not are_grey(images)


def test_nothing_is_mirrored_and_short_forms_stand_beside_captions(parts: Parts) -> None:
    import random

    assert domain_of_folder(parts.data) is RADIOLOGY
    words = wordings(read_folder(parts.data), RADIOLOGY)
    rng = random.Random(0)
    texts = [entry.draw(rng, drop=0.0) for entry in words for _ in range(20)]
    captions = {caption for entry in words for caption in entry.captions}
    assert 0.5 < sum(text in captions for text in texts) / len(texts) < 0.9
    assert not any(entry.may_mirror(text) for entry in words for text in ("", "Breast ultrasound"))


def test_the_domain_can_be_named(parts: Parts, tmp_path: Path) -> None:
    assert train("text-encoder", parts.data, tmp_path / "gi", "--domain", "endoscopy") == 0
    record = json.loads((tmp_path / "gi" / "run.json").read_text(encoding="utf-8"))
    assert record["config"]["attributes"][0] == "procedure:colonoscopy"


@pytest.fixture(scope="module")
def evaluator(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "evaluator"
    assert train("evaluator", parts.data, out) == 0
    return out / "export"


def evaluate(parts: Parts, out: Path, *rest: object) -> dict[str, Any]:
    status = main([
        "evaluate", "--data", str(parts.data), "--count", "8", "--steps", "2", "--out", str(out),
        "--threads", "1", *map(str, rest),
    ])  # fmt: skip
    assert status == 0
    figures: dict[str, Any] = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    return figures


def test_an_evaluator_of_radiology_reads_what_radiology_shows(
    parts: Parts, evaluator: Path
) -> None:
    network = load_evaluator(evaluator)
    assert domain_of(network) is RADIOLOGY
    assert set(attributes_of(network)) <= set(TARGET_NAMES)
    record = json.loads((evaluator.parent / "run.json").read_text(encoding="utf-8"))
    assert record["config"]["attributes"] == list(attributes_of(network))
    assert not record["config"]["may_mirror"]


def test_a_model_of_radiology_is_read_by_an_evaluator_of_radiology(
    parts: Parts, model: Path, evaluator: Path, tmp_path: Path
) -> None:
    figures = evaluate(parts, tmp_path / "of", "--model", model, "--evaluator", evaluator,
                       "--paraphrases", 2)  # fmt: skip
    assert figures["domain"] == "radiology" and "evaluator_domain" not in figures
    assert list(figures["balanced_accuracy"])[:-1] == list(attributes_of(load_evaluator(evaluator)))
    assert 0 < figures["balanced_accuracy"]["modality:X-ray"]["real"] <= 1
    assert {"distributions", "memorisation", "paraphrases", "octave_power_ratio"} <= set(figures)
    prompts = tmp_path / "prompts.txt"
    texts = [text for record in read_folder(parts.data) for text in record.captions[:1]][:8]
    prompts.write_text("\n".join(texts) + "\n", encoding="utf-8")
    images = tmp_path / "of" / "images"
    again = evaluate(parts, tmp_path / "before", "--generated", images, "--prompts", prompts,
                     "--evaluator", evaluator)  # fmt: skip
    assert not math.isnan(again["balanced_accuracy"]["modality:X-ray"]["generated"])


def test_an_evaluator_of_another_domain_reads_nothing_and_says_so(
    parts: Parts, model: Path, tmp_path: Path
) -> None:
    of_endoscopy = ROOT / "data" / "checkpoints" / "evaluator"
    figures = evaluate(parts, tmp_path / "out", "--model", model, "--evaluator", of_endoscopy)
    assert figures["evaluator_domain"] == "endoscopy"
    assert not {"reading_ratio", "balanced_accuracy", "position", "inception_score"} & set(figures)
    assert "left out" in (tmp_path / "out" / "evaluation.md").read_text(encoding="utf-8")


def test_images_of_a_model_of_radiology_are_near_to_radiographs(
    parts: Parts, evaluator: Path, tmp_path: Path
) -> None:
    made = shutil.copytree(evaluator, tmp_path / "evaluator")
    assert main(["train", "nearness-index", "--data", str(parts.data), "--evaluator", str(made),
                 "--cache", str(tmp_path / "cache")]) == 0  # fmt: skip
    index = NearnessIndex.load(made)
    trained = [record for record in read_folder(parts.data) if record.split == "train"]
    with Image.open(trained[0].path) as picture:
        copy = index.of(picture)
    assert copy.distance < 1e-3 and copy.percentile == 0
