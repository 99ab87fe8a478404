"""Contract: `evaluate` measures images of a model, of a batch and of any folder, and says what it
cannot use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from msdm_core.__main__ import main
from tests.drawings import draw_scene, scenes, write_dataset
from tests.hub_layout import write_clip
from tests.tiny_model import write_tiny_checkpoint


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn scenes with captions, split in two."""
    return write_dataset(tmp_path_factory.mktemp("drawn") / "data", count=40, validation=10)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen pictures in a folder, and their prompts in a file."""
    folder = tmp_path_factory.mktemp("pictures")
    for scene in scenes(16):
        draw_scene(scene, 64).save(folder / f"{scene.index:02d}.png")
    prompts = "\n".join(f"{scene.prompts()[0]}" for scene in scenes(16))
    (folder / "prompts.txt").write_text(prompts, encoding="utf-8")
    return folder


def evaluate(*options: object) -> int:
    return main(["evaluate", *map(str, options)])


def figures_of(out: Path) -> dict[str, Any]:
    found = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
def test_a_model_is_measured_and_a_second_call_makes_no_image_again(
    dataset: Path, tmp_path: Path
) -> None:
    tiny = write_tiny_checkpoint(tmp_path / "tiny")
    out = tmp_path / "out"
    options = ("--model", tiny, "--data", dataset, "--count", 12, "--steps", 2, "--out", out,
               "--paraphrases", 2, "--threads", 2)  # fmt: skip
    assert evaluate(*options) == 0
    first = figures_of(out)
    assert first["images"] == 12
    assert set(first["distributions"]) == {"evaluator (evaluator)"}
    assert {"reading_ratio", "position", "memorisation", "octave_power_ratio"} <= first.keys()
    assert first["paraphrases"]["images"] == 2
    made_at = [path.stat().st_mtime_ns for path in sorted((out / "images").glob("*.png"))]
    assert len(made_at) == 12
    assert evaluate(*options) == 0
    assert [p.stat().st_mtime_ns for p in sorted((out / "images").glob("*.png"))] == made_at
    assert figures_of(out) == first
    report = (out / "evaluation.md").read_text(encoding="utf-8")
    assert "Frechet distance" in report
    assert "nan" not in report
    for sheet in ("generated.jpg", "real_beside_generated.jpg", "nearest.jpg", "spectrum.png"):
        assert (out / sheet).stat().st_size > 1000


@pytest.mark.slow
def test_pictures_of_any_folder_are_measured_with_a_clip_of_ones_own(
    dataset: Path, drawn: Path, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip")
    out = tmp_path / "out"
    assert evaluate("--generated", drawn, "--prompts", drawn / "prompts.txt", "--data", dataset,
                    "--features", "evaluator", "--features", clip, "--clip", clip,
                    "--out", out) == 0  # fmt: skip
    found = figures_of(out)
    assert set(found["distributions"]) == {"evaluator (evaluator)", "clip"}
    assert 0 <= found["clip_score"]["generated"]["value"] <= 100
    assert found["clip_score"]["network"] == "clip"


def test_without_prompts_and_captions_sets_are_still_compared(drawn: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    for scene in scenes(60):
        draw_scene(scene, 64).save(real / f"{scene.index:02d}.png")
    out = tmp_path / "out"
    assert evaluate("--generated", drawn, "--real", real, "--out", out) == 0
    found = figures_of(out)
    assert found["real_images"] == 12
    assert "reading_ratio" not in found
    # The sixteen pictures are among the sixty: nearly every one is a copy.
    assert found["memorisation"]["pixels"]["made_percentile"] == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--real", "{drawn}", "--model", "msdm-compact-gi"), "give --prompts FILE"),
        (("--data", "{data}", "--generated", "{drawn}", "--prompts", "full"), "says what to make"),
        (("--data", "{data}", "--model", "msdm-compact-gi", "--count", "3"), "at least 8"),
        (("--data", "{data}", "--model", "msdm-compact-gi", "--paraphrases", "1"), "2 or more"),
        (("--data", "{data}", "--generated", "{data}"), "no images"),
        (("--data", "{data}", "--generated", "nowhere"), "no folder nowhere"),
        (("--real", "{data}/images", "--generated", "{drawn}", "--features", "no/such"),
         "No CLIP-like model"),
        (("--real", "{data}/images", "--generated", "{drawn}", "--prompts", "{short}"),
         "1 prompts for 16 images"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_one_message(
    options: tuple[str, ...], says: str, dataset: Path, drawn: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    short = tmp_path / "short.txt"
    short.write_text("a polyp\n", encoding="utf-8")
    places = {"data": dataset, "drawn": drawn, "short": short}
    assert evaluate(*(option.format(**places) for option in options), "--out", tmp_path / "o") == 2
    assert says in capsys.readouterr().err
