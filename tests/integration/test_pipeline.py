"""Contract: `MSDMPipeline` saves, loads, repeats itself for a seed, and refuses bad requests."""

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from msdm_core.errors import CheckpointError, JobCancelled, RequestError
from msdm_core.generation.architecture import read_architecture
from msdm_core.generation.cost import part_costs
from msdm_core.generation.sampling import Sampling
from msdm_core.msdm.loading import load_component
from msdm_core.msdm.pipeline import MSDMPipeline
from msdm_core.msdm.presets import build_guide
from msdm_core.msdm.saving import save_pipeline
from tests.tiny_model import TINY

PROMPT = "a polyp in the lower right"
LONG_PROMPT = (
    "Generate an image from a colonoscopy procedure containing ulcerative colitis, no polyp, "
    "a polyp snare, text and a green/black box artefact"
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def load(folder: Path) -> MSDMPipeline:
    pipeline = MSDMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def pipeline(tiny_checkpoint: Path) -> MSDMPipeline:
    return load(tiny_checkpoint)


def pixels(pipeline: MSDMPipeline, prompt: Any = PROMPT, seed: Any = 7, **rest: Any) -> np.ndarray:
    """Returns float pictures (B, H, W, 3); B seeds make B generators."""
    generator = [seeded(s) for s in seed] if isinstance(seed, list) else seeded(seed)
    return pipeline(prompt, generator=generator, output_type="np", **rest).images


def test_a_saved_pipeline_gives_the_same_pixels_after_loading(
    pipeline: MSDMPipeline, tmp_path: Path
) -> None:
    pipeline.save_pretrained(tmp_path / "copy")
    again = load(tmp_path / "copy")
    assert np.array_equal(pixels(pipeline), pixels(again))
    assert dict(again.config)["default_steps"] == TINY.default_steps
    assert again.config.image_px == TINY.image_px


def test_a_checkpoint_in_half_precision_loads_in_single_and_draws_alike(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    whole = load(tiny_checkpoint)
    save_pipeline(whole, tmp_path / "half", half=True)
    again = load(tmp_path / "half")
    for part in (again.unet, again.vae, again.text_encoder):
        assert {parameter.dtype for parameter in part.parameters()} == {torch.float32}
    assert np.abs(pixels(again) - pixels(whole)).mean() < 0.01


def test_a_checkpoint_folder_holds_neither_code_nor_pickles(tiny_checkpoint: Path) -> None:
    suffixes = {path.suffix for path in tiny_checkpoint.rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".safetensors", ".txt"}
    assert ".safetensors" in suffixes


def test_every_component_is_a_stock_class_that_loads_alone(tiny_checkpoint: Path) -> None:
    index = json.loads((tiny_checkpoint / "model_index.json").read_text(encoding="utf-8"))
    parts = {k: v for k, v in index.items() if isinstance(v, list) and v[1] is not None}
    assert set(parts) == {"scheduler", "text_encoder", "tokenizer", "unet", "vae"}
    for name, (library, class_name) in parts.items():
        assert library in {"diffusers", "transformers"}
        stock = getattr({"diffusers": diffusers, "transformers": transformers}[library], class_name)
        assert stock.from_pretrained(tiny_checkpoint / name) is not None


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(
    pipeline: MSDMPipeline,
) -> None:
    first, again, other = (pixels(pipeline, seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 0.01


def test_the_prompt_changes_the_picture(pipeline: MSDMPipeline) -> None:
    assert np.abs(pixels(pipeline) - pixels(pipeline, LONG_PROMPT)).max() > 0.01


def test_a_picture_does_not_depend_on_its_batch_mates_or_their_padding(
    pipeline: MSDMPipeline,
) -> None:
    alone = pixels(pipeline, [PROMPT], [7])[0]
    short_mates = pixels(pipeline, [PROMPT, "polyp"], [7, 1])[0]
    long_mates = pixels(pipeline, [LONG_PROMPT, PROMPT, LONG_PROMPT], [1, 7, 2])[1]
    # Sums in a batch may be taken in another order: equal to far less than a grey level.
    assert np.abs(alone - short_mates).max() < 0.1 / 255
    assert np.abs(alone - long_mates).max() < 0.1 / 255


def test_one_generator_and_a_list_of_one_give_the_same_picture(pipeline: MSDMPipeline) -> None:
    assert np.array_equal(pixels(pipeline, [PROMPT], [7]), pixels(pipeline, PROMPT, 7))


def test_latents_given_stand_in_for_the_generator(pipeline: MSDMPipeline) -> None:
    drawn = torch.randn((1, 8, 8, 8), generator=seeded(7))
    given = pipeline(PROMPT, latents=drawn, output_type="np").images
    assert np.array_equal(given, pixels(pipeline))


def test_guidance_leads_away_from_the_unconditional_picture(pipeline: MSDMPipeline) -> None:
    unguided = pixels(pipeline, guidance_scale=1.0)
    little = pixels(pipeline, guidance_scale=2.0)
    much = pixels(pipeline, guidance_scale=6.0)
    near, far = np.abs(little - unguided).mean(), np.abs(much - unguided).mean()
    assert 0 < near < far


def test_guidance_1_halves_the_work(pipeline: MSDMPipeline) -> None:
    sizes: list[int] = []
    hook = pipeline.unet.register_forward_pre_hook(
        lambda _module, inputs: sizes.append(len(inputs[0]))
    )
    try:
        pixels(pipeline, guidance_scale=1.0, num_inference_steps=3)
        pixels(pipeline, guidance_scale=2.0, num_inference_steps=3)
    finally:
        hook.remove()
    assert sizes == [1, 1, 1, 2, 2, 2]


def test_guidance_towards_the_negative_prompt_itself_changes_nothing(
    pipeline: MSDMPipeline,
) -> None:
    guided = pixels(pipeline, negative_prompt=PROMPT, guidance_scale=5.0)
    assert np.abs(guided - pixels(pipeline, guidance_scale=1.0)).max() < 1e-3


@pytest.fixture(scope="module")
def guided(tiny_checkpoint: Path) -> MSDMPipeline:
    """The pipeline with a guide that it does not use unless a call says so."""
    pipeline = load(tiny_checkpoint)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        pipeline.register_modules(guide=build_guide(TINY, pipeline.unet).eval())
    return pipeline


def test_autoguidance_goes_on_from_the_guide_to_the_denoiser(guided: MSDMPipeline) -> None:
    start = torch.randn((1, 8, 8, 8), generator=seeded(7))
    predicted = {
        name: once(guided, start, guide_scale=scale, guidance_scale=1.0)
        for name, scale in (("denoiser", 1.0), ("guide", 0.0), ("beyond", 2.5))
    }
    expected = predicted["guide"] + 2.5 * (predicted["denoiser"] - predicted["guide"])
    assert torch.allclose(predicted["beyond"], expected, atol=1e-4)
    assert (predicted["guide"] - predicted["denoiser"]).abs().max() > 0.01


def test_autoguidance_and_guidance_add_up(guided: MSDMPipeline) -> None:
    start = torch.randn((1, 8, 8, 8), generator=seeded(7))
    plain, text, guide, both = (
        once(guided, start, guidance_scale=g, guide_scale=s)
        for g, s in ((1.0, 1.0), (3.0, 1.0), (1.0, 2.0), (3.0, 2.0))
    )
    assert torch.allclose(both - plain, (text - plain) + (guide - plain), atol=1e-4)


def test_a_guide_is_saved_loaded_and_counted(guided: MSDMPipeline, tmp_path: Path) -> None:
    save_pipeline(guided, tmp_path / "guided", half=True)
    again = load(tmp_path / "guided")
    assert np.abs(pixels(again, guide_scale=2.0) - pixels(guided, guide_scale=2.0)).mean() < 0.01
    counted = {
        part.name: part
        for part in part_costs(read_architecture("msdm", {"": tmp_path / "guided"}),
                               Sampling(size_px=64, steps=4, guidance=1.0))
    }  # fmt: skip
    assert counted["guide"].forwards == counted["unet"].forwards
    assert 0 < counted["guide"].forward_flops < counted["unet"].forward_flops / 2


def test_a_guide_scale_without_a_guide_is_refused(pipeline: MSDMPipeline) -> None:
    with pytest.raises(RequestError, match="has no guide"):
        pixels(pipeline, guide_scale=1.5)
    with pytest.raises(RequestError, match="guide_scale is nan"):
        pixels(pipeline, guide_scale=float("nan"))


def once(pipeline: MSDMPipeline, start: torch.Tensor, **scales: float) -> torch.Tensor:
    """Returns where one step of a sampler that is linear in the prediction leads."""
    return pipeline(
        PROMPT, latents=start, num_inference_steps=1, output_type="latent", **scales
    ).images


def test_none_means_the_defaults_of_the_checkpoint(pipeline: MSDMPipeline) -> None:
    named = pixels(
        pipeline,
        num_inference_steps=TINY.default_steps,
        guidance_scale=TINY.default_guidance,
        height=TINY.image_px,
        width=TINY.image_px,
    )
    assert np.array_equal(named, pixels(pipeline))


def test_pictures_come_as_pil_arrays_or_latents(pipeline: MSDMPipeline) -> None:
    [picture] = pipeline(PROMPT, generator=seeded(7)).images
    array = pixels(pipeline)
    latents = pipeline(PROMPT, generator=seeded(7), output_type="latent").images
    assert isinstance(picture, Image.Image)
    assert picture.size == (64, 64) and picture.mode == "RGB"
    assert array.shape == (1, 64, 64, 3) and 0 <= array.min() < array.max() <= 1
    assert np.array_equal(np.asarray(picture), (array[0] * 255).round().astype(np.uint8))
    assert tuple(latents.shape) == (1, 8, 8, 8)
    assert np.array_equal(np.asarray(pipeline.decode_latents(latents)[0]), np.asarray(picture))


def test_other_sizes_that_fit_the_levels_are_drawn(pipeline: MSDMPipeline) -> None:
    assert pixels(pipeline, height=48, width=96).shape == (1, 48, 96, 3)


@pytest.mark.parametrize("steps", [1, 2, 3, 25])
def test_any_number_of_steps_gives_a_finite_picture(pipeline: MSDMPipeline, steps: int) -> None:
    picture = pixels(pipeline, num_inference_steps=steps)
    assert np.isfinite(picture).all() and picture.std() > 0.01


def test_the_callback_sees_every_step_and_the_picture_in_mind(pipeline: MSDMPipeline) -> None:
    seen: list[tuple[int, float]] = []
    clean: list[torch.Tensor] = []

    def look(_pipeline: Any, index: int, time: Any, given: dict[str, Any]) -> dict[str, Any]:
        seen.append((index, float(time)))
        clean.append(given["clean_latents"])
        assert set(given) == {"latents", "clean_latents"}
        return given

    latents = pipeline(
        PROMPT,
        generator=seeded(7),
        num_inference_steps=5,
        output_type="latent",
        callback_on_step_end=look,
        callback_on_step_end_tensor_inputs=["latents", "clean_latents"],
    ).images
    assert [index for index, _ in seen] == [0, 1, 2, 3, 4]
    assert [time for _, time in seen] == sorted((time for _, time in seen), reverse=True)
    assert len(pipeline.decode_latents(clean[0])) == 1
    # The last step of a first-order end lands on what the model had in mind.
    torch.testing.assert_close(clean[-1], latents, atol=1e-4, rtol=1e-4)
    assert not torch.equal(clean[0], clean[-1])


def test_a_callback_can_change_the_latents(pipeline: MSDMPipeline) -> None:
    def blank(_pipeline: Any, _index: int, _time: Any, given: dict[str, Any]) -> dict[str, Any]:
        return {"latents": torch.zeros_like(given["latents"])}

    latents = pipeline(
        PROMPT, generator=seeded(7), output_type="latent", callback_on_step_end=blank
    ).images
    assert latents.abs().max() == 0


@pytest.mark.parametrize("stop_at", [0, 1, 3])
def test_an_error_in_the_callback_stops_at_once_and_leaves_the_pipeline_usable(
    pipeline: MSDMPipeline, stop_at: int
) -> None:
    before, seen = pixels(pipeline), []

    def stop(_pipeline: Any, index: int, _time: Any, given: dict[str, Any]) -> dict[str, Any]:
        seen.append(index)
        if index == stop_at:
            raise JobCancelled
        return given

    with pytest.raises(JobCancelled):
        pipeline(PROMPT, generator=seeded(7), callback_on_step_end=stop)
    assert seen == list(range(stop_at + 1))
    assert np.array_equal(pixels(pipeline), before)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": ["a polyp", None]}, "prompt"),
        ({"num_inference_steps": 0}, "num_inference_steps is 0"),
        ({"num_inference_steps": -3}, "num_inference_steps is -3"),
        ({"num_inference_steps": 1001}, "from 1 to 1000"),
        ({"num_inference_steps": 2.5}, "num_inference_steps is 2.5"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan"),
        ({"guidance_scale": float("inf")}, "guidance_scale is inf"),
        ({"height": 0}, "64x0"),
        ({"height": 60}, "64x60"),
        ({"width": 8}, "8x64"),
        ({"width": -64}, "-64x64"),
        ({"height": 64.5}, "64x64.5"),
        ({"callback_on_step_end_tensor_inputs": ["latents", "text"]}, "not text"),
        ({"generator": [torch.Generator(), torch.Generator()]}, "2 generators for 1 prompts"),
        ({"latents": torch.zeros(1, 8, 4, 4)}, r"\(1, 8, 4, 4\)"),
        ({"output_type": "jpeg"}, "output_type is 'jpeg'"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_with_the_value(
    pipeline: MSDMPipeline, arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(RequestError, match=told):
        pipeline(**{"prompt": PROMPT, **arguments})


def test_a_very_long_or_strange_prompt_is_cut_and_drawn(pipeline: MSDMPipeline) -> None:
    for prompt in ("polyp " * 2_000, "", "\u0000\ud7ff 息肉 🙂", "   "):
        assert np.isfinite(pixels(pipeline, prompt)).all()


def test_words_past_the_text_limit_change_nothing(pipeline: MSDMPipeline) -> None:
    limit = "polyp " * TINY.text_tokens
    assert np.array_equal(pixels(pipeline, limit), pixels(pipeline, limit + "ulcerative colitis"))


def test_generation_leaves_the_global_random_state_alone(pipeline: MSDMPipeline) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    pixels(pipeline)
    assert torch.equal(torch.rand(1), expected)


def test_the_autoencoder_loads_from_the_pipeline_folder_and_from_its_own(
    tiny_checkpoint: Path,
) -> None:
    whole = load_component(tiny_checkpoint, "vae")
    own = load_component(tiny_checkpoint / "vae", "vae")
    assert type(whole).__name__ == "AutoencoderDC"
    for name, value in whole.state_dict().items():
        assert torch.equal(value, own.state_dict()[name])


@pytest.mark.parametrize("damage", ["missing", "not json", "foreign class", "truncated"])
def test_an_autoencoder_folder_that_cannot_be_used_is_told_apart(
    tiny_checkpoint: Path, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "vae"
    shutil.copytree(tiny_checkpoint / "vae", folder)
    config, weights = folder / "config.json", folder / "diffusion_pytorch_model.safetensors"
    if damage == "missing":
        config.unlink()
    elif damage == "not json":
        config.write_text("{", encoding="utf-8")
    elif damage == "foreign class":
        config.write_text('{"_class_name": "UNet2DConditionModel"}', encoding="utf-8")
    else:
        weights.write_bytes(weights.read_bytes()[:1000])
    told = {"foreign class": "UNet2DConditionModel", "truncated": "cannot be loaded"}
    with pytest.raises(CheckpointError, match=told.get(damage, "missing or unreadable")):
        load_component(tmp_path, "vae")
