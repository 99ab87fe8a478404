"""Contract: CLIP, FLUX and Kandinsky train by command, resume to the same state, and what they
export loads with the plain stock pipelines.

The real commands run in this process on drawn pictures of 64 px.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline, KandinskyV22Pipeline, KandinskyV22PriorPipeline
from safetensors.torch import load_file
from transformers import T5Tokenizer

from msdm_core.__main__ import main
from msdm_core.flux.compact import build_t5_tokenizer, pack, position_ids
from msdm_core.kandinsky.presets import MOVQS
from msdm_core.msdm.presets import PRESETS
from msdm_core.training.clip import matches, stated
from msdm_core.training.noise import mixed_sigmas
from msdm_core.training.state import list_checkpoints
from tests.tiny_model import TINY
from tests.tiny_movq import TINY_MOVQ

pytestmark = [
    pytest.mark.slow,
    # AutoencoderDC carries what FluxPipeline looks for; the class says that it does not know it.
    pytest.mark.filterwarnings("ignore:.*were passed to AutoencoderDC.*"),
]


@pytest.fixture(scope="module", autouse=True)
def tiny_sizes() -> "pytest.MonkeyPatch":
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        patch.setitem(MOVQS, "tiny", TINY_MOVQ)
        yield patch


def train(part: str, data: Path, run: Path, *rest: object) -> int:
    fixed = ["train", part, "--data", data, "--out", run, "--preset", "tiny",
             "--batch-size", 4, "--warmup-steps", 2, "--threads", 1]  # fmt: skip
    return main([str(argument) for argument in (*fixed, *rest)])


@pytest.fixture(scope="module")
def runs(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a run of each part, three steps long."""
    folder = tmp_path_factory.mktemp("families")
    data = tiny_dataset
    assert train("autoencoder", data, folder / "ae", "--max-steps", 1, "--crop-px", 64) == 0
    assert train("movq", data, folder / "movq", "--max-steps", 1, "--crop-px", 32) == 0
    assert train("clip", data, folder / "clip", "--max-steps", 3) == 0
    for part in ("flux", "kandinsky-prior", "kandinsky-decoder"):
        assert train(part, data, folder / part, "--max-steps", 3, *needs(part, folder)) == 0
    return folder


def needs(part: str, folder: Path) -> tuple[object, ...]:
    clip = ("--clip", folder / "clip" / "export")
    return {
        "clip": (),
        "flux": (*clip, "--autoencoder", folder / "ae" / "export"),
        "kandinsky-prior": clip,
        "kandinsky-decoder": (*clip, "--movq", folder / "movq" / "export"),
    }[part]


def state(run: Path) -> dict[str, torch.Tensor]:
    folder = list_checkpoints(run / "checkpoints")[-1]
    return {f"{path.stem} {name}": value for path in sorted(folder.glob("*.safetensors"))
            for name, value in load_file(path).items()}


@pytest.mark.parametrize("part", ["clip", "flux", "kandinsky-prior", "kandinsky-decoder"])
def test_a_broken_run_resumes_to_the_state_of_an_unbroken_one(
    part: str, runs: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "halves"
    if part == "clip":  # byte pairs of equal frequency come in any order: a run keeps its own
        shutil.copytree(runs / part / "tokenizer", run / "tokenizer")
    cache = ("--cache", runs / part / "cache")
    for steps in (1, 3):
        assert train(part, tiny_dataset, run, "--max-steps", steps, *cache, *needs(part, runs)) == 0
    whole, halves = state(runs / part), state(run)
    assert whole.keys() == halves.keys()
    different = [name for name, value in whole.items() if not torch.equal(value, halves[name])]
    assert not different, different[:3]


@pytest.mark.parametrize("part", ["clip", "flux", "kandinsky-prior", "kandinsky-decoder"])
def test_a_run_moves_its_weights_and_shows_what_it_made(part: str, runs: Path) -> None:
    run = runs / part
    assert list((run / "sheets").glob("step-*.png"))
    kinds = {json.loads(line)["kind"] for line in (run / "metrics.jsonl").read_text().splitlines()}
    assert kinds == {"train", "validation"}
    tensors = state(run)
    moments = [v for name, v in tensors.items() if name.endswith("exp_avg_sq") and v.numel() > 1]
    moved = sum(bool(value.any()) for value in moments)
    # Blocks that begin closed pass no gradient on in the first steps; the rest must learn.
    assert moved > len(moments) / 4


def test_flux_loads_with_the_plain_pipeline_and_draws(runs: Path) -> None:
    pipeline = FluxPipeline.from_pretrained(runs / "flux" / "export", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    images = [pipeline(
        "a polyp", negative_prompt="", true_cfg_scale=3.0, height=64, width=64,
        num_inference_steps=2, max_sequence_length=64, output_type="np",
        generator=torch.Generator("cpu").manual_seed(seed),
    ).images[0] for seed in (0, 0, 1)]
    assert images[0].shape == (64, 64, 3)
    assert np.array_equal(images[0], images[1]) and not np.array_equal(images[0], images[2])


def test_kandinsky_loads_with_the_plain_pipelines_and_draws(runs: Path) -> None:
    prior = KandinskyV22PriorPipeline.from_pretrained(runs / "kandinsky-prior" / "export")
    decoder = KandinskyV22Pipeline.from_pretrained(runs / "kandinsky-decoder" / "export")
    for pipeline in (prior, decoder):
        pipeline.to(dtype=torch.float32)
        pipeline.set_progress_bar_config(disable=True)
    images = []
    for seed in (0, 0, 1):
        generator = torch.Generator("cpu").manual_seed(seed)
        embeds = prior("a polyp", num_inference_steps=2, generator=generator)
        images.append(decoder(
            image_embeds=embeds.image_embeds, negative_image_embeds=embeds.negative_image_embeds,
            height=64, width=64, num_inference_steps=2, generator=generator, output_type="np",
        ).images[0])
    assert images[0].shape == (64, 64, 3)
    assert np.array_equal(images[0], images[1]) and not np.array_equal(images[0], images[2])


@pytest.mark.parametrize("part", ["flux", "kandinsky-prior", "kandinsky-decoder"])
def test_training_goes_on_from_an_export_and_names_it(
    part: str, runs: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    export = runs / part / "export"
    clip = () if part == "flux" else ("--clip", runs / "clip" / "export")
    run = tmp_path / "more"
    assert train(part, tiny_dataset, run, "--max-steps", 1, "--init", export, *clip) == 0
    assert json.loads((run / "run.json").read_text())["config"]["origin"].startswith("export@")


def test_exports_name_stock_classes_only_and_no_path(runs: Path) -> None:
    for part in ("flux", "kandinsky-prior", "kandinsky-decoder"):
        index = json.loads((runs / part / "export" / "model_index.json").read_text())
        libraries = {v[0] for k, v in index.items() if isinstance(v, list) and v[0]}
        assert libraries and libraries <= {"diffusers", "transformers"}
        assert "ImageProcessorPil" not in json.dumps(index)
        for path in (runs / part / "export").rglob("*.json"):
            assert str(runs) not in path.read_text(encoding="utf-8")


def test_what_is_missing_is_named_before_anything_is_trained(
    tiny_dataset: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("flux", tiny_dataset, tmp_path / "a", "--clip", runs / "clip" / "export") == 2
    assert "--autoencoder is needed" in capsys.readouterr().err
    clip = ("--clip", tmp_path / "nothing")
    assert train("kandinsky-prior", tiny_dataset, tmp_path / "b", *clip) == 2
    assert "No CLIP loads from" in capsys.readouterr().err
    clip = ("--clip", runs / "clip" / "export")
    assert train("kandinsky-decoder", tiny_dataset, tmp_path / "c", *clip) == 2
    assert "--movq is needed" in capsys.readouterr().err


def test_a_text_fits_the_images_that_are_all_it_says() -> None:
    said = stated(["A polyp and no text.", "No polyps."])
    images = stated(["A polyp, no text.", "A polyp and text.", "No polyps, text."])
    images = torch.where(images == 1, 1, -1)
    assert matches(said, images).tolist() == [[True, False, False], [False, False, True]]


def test_flux_packs_latents_as_its_pipeline_does() -> None:
    latents = torch.randn(2, 3, 8, 4)
    wanted = FluxPipeline._pack_latents(latents, 2, 3, 8, 4)
    assert torch.equal(pack(latents), wanted)
    ids = FluxPipeline._prepare_latent_image_ids(2, 4, 2, "cpu", torch.float32)
    assert torch.equal(position_ids(4, 2), ids)


def test_words_of_flux_stay_whole_after_saving_in_any_case(tmp_path: Path) -> None:
    build_t5_tokenizer(["A sessile polyp, 5 mm."]).save_pretrained(tmp_path)
    tokenizer = T5Tokenizer.from_pretrained(tmp_path)
    pieces = tokenizer.tokenize("Sessile POLYP polyp, 5 mm")
    assert pieces == ["▁Sessile", "▁POLYP", "▁polyp", ",", "▁5", "▁mm"]
    assert tokenizer.unk_token_id not in tokenizer("unheard-of 0123456789").input_ids


def test_noise_is_drawn_from_both_halves() -> None:
    sigmas = mixed_sigmas(20_000, torch.Generator().manual_seed(0))
    assert 0 < sigmas.min() and sigmas.max() < 1
    # Medians of the halves: 1/2 without a shift, 3/4 with a shift of three.
    assert 0.60 < sigmas.median() < 0.67
    assert (sigmas > 0.9).float().mean() > 0.06 and (sigmas < 0.3).float().mean() > 0.06
