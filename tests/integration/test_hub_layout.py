"""Contract: checkpoints laid out as the released models are run through the product's own path.

A catalogue file in the workspace names them, `make_adapter` loads them, `generate` draws. The
same request gives the same pixels; every step can be watched and can be the last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from msdm_core.errors import CheckpointError, GenerationError, JobCancelled
from msdm_core.generation.adapters import Adapter, OnStep, Preview, make_adapter
from msdm_core.generation.catalogue import Catalogue
from msdm_core.generation.request import ImageRequest
from tests import hub_layout
from tests.hub_layout import PROMPT

STEPS = 3
PRIOR_STEPS = 2
CATALOGUE = """
[[model]]
id = "flux"
family = "flux"
label = "tiny FLUX.1-dev"
path = "flux"
licence = "none"
native_size_px = 64
sizes_px = [64, 96]
guidance_kind = "distilled"
max_text_tokens = 24

[[model]]
id = "compact-flux"
family = "flux"
label = "tiny compact FLUX"
path = "compact-flux"
licence = "none"
native_size_px = 64
guidance_kind = "classifier_free"
max_text_tokens = 24

[[model]]
id = "kandinsky"
family = "kandinsky"
label = "tiny Kandinsky 2.2"
path = "kandinsky/decoder"
licence = "none"
native_size_px = 64
default_prior_steps = 2

[model.prior]
path = "kandinsky/prior"

[[model]]
id = "compact-kandinsky"
family = "kandinsky"
label = "tiny compact Kandinsky"
path = "compact-kandinsky"
licence = "none"
native_size_px = 256
default_prior_steps = 2

[[model]]
id = "stable-diffusion"
family = "stable_diffusion"
label = "tiny Stable Diffusion 1.5"
path = "stable-diffusion"
licence = "none"
native_size_px = 64
"""
MODELS = ("flux", "compact-flux", "kandinsky", "compact-kandinsky", "stable-diffusion")
# PNDM warms up with one step more than was asked for.
TOTAL_STEPS = dict(zip(MODELS, (3, 3, 5, 5, 4), strict=True))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    hub_layout.write_flux(folder / "flux")
    hub_layout.write_compact_flux(folder / "compact-flux")
    hub_layout.write_kandinsky(folder / "kandinsky")
    hub_layout.write_compact_kandinsky(folder / "compact-kandinsky")
    hub_layout.write_stable_diffusion(folder / "stable-diffusion")
    (folder / "catalogue.toml").write_text(CATALOGUE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def adapters(home: Path) -> Iterator[dict[str, Adapter]]:
    catalogue = Catalogue.read(home)
    made = {name: make_adapter(catalogue[name], "cpu") for name in MODELS}
    for adapter in made.values():
        adapter.load()
    yield made
    for adapter in made.values():
        adapter.unload()


def request_for(home: Path, name: str, seed: int = 7, **values: Any) -> ImageRequest:
    size_px = Catalogue.read(home)[name].native_size_px
    return replace(ImageRequest(name, PROMPT, seed, size_px, STEPS), **values)


def unwatched(*_: object) -> None:
    """Watches nothing."""


def test_the_files_are_those_of_the_releases(home: Path) -> None:
    """What is tested stands or falls with this: tokenizers and shards as on the hub."""
    flux = home / "flux"
    tokenizer = {path.name for path in (flux / "tokenizer").iterdir()}
    assert tokenizer == {
        "vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json",
    }  # fmt: skip
    assert {"spiece.model", "tokenizer.json"} <= {p.name for p in (flux / "tokenizer_2").iterdir()}
    for part, stem in (("transformer", "diffusion_pytorch_model"), ("text_encoder_2", "model")):
        index = json.loads((flux / part / f"{stem}.safetensors.index.json").read_text())
        shards = sorted(set(index["weight_map"].values()))
        assert len(shards) >= 2
        assert shards[0].startswith(f"{stem}-00001-of-")
    assert all(key.startswith("text_model.") for key in load_file(
        flux / "text_encoder" / "model.safetensors"))  # fmt: skip
    pieces = (flux / "tokenizer_2" / "spiece.model").read_bytes()
    assert b"<pad>" in pieces and "▁polyp".encode() in pieces


@pytest.mark.parametrize("name", MODELS)
def test_the_catalogue_takes_the_layout_for_ready(home: Path, name: str) -> None:
    assert Catalogue.read(home)[name].availability("cpu").is_ready


@pytest.mark.parametrize("name", MODELS)
def test_the_same_request_gives_the_same_pixels_and_another_seed_others(
    home: Path, adapters: dict[str, Adapter], name: str
) -> None:
    adapter, request = adapters[name], request_for(home, name)
    first = adapter.generate(request, unwatched)
    assert first.image.size == (request.size_px, request.size_px)
    assert first.image.mode == "RGB"
    low, high = zip(*first.image.getextrema(), strict=True)
    assert max(high) - min(low) > 30  # a picture, not one colour
    again = adapter.generate(request, unwatched)
    assert again.image.tobytes() == first.image.tobytes()
    other = adapter.generate(replace(request, seed=8), unwatched)
    assert other.image.tobytes() != first.image.tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_the_prompt_and_the_guidance_change_the_picture(
    home: Path, adapters: dict[str, Adapter], name: str
) -> None:
    adapter, request = adapters[name], request_for(home, name)
    plain = adapter.generate(request, unwatched).image.tobytes()
    changed = [replace(request, prompt="the upper left"), replace(request, guidance=9.0)]
    for other in changed:
        assert adapter.generate(other, unwatched).image.tobytes() != plain


@pytest.mark.parametrize("name", MODELS)
def test_every_step_is_told_once_and_previews_are_pictures(
    home: Path, adapters: dict[str, Adapter], name: str
) -> None:
    told: list[tuple[int, int, Image.Image | None]] = []
    request = request_for(home, name)
    picture = adapters[name].generate(
        request, lambda step, total, preview: told.append((step, total, preview()))
    )
    total = TOTAL_STEPS[name]
    assert [step for step, _, _ in told] == list(range(1, total + 1))
    assert told[-1][1] == total
    previews = [preview for _, _, preview in told if preview is not None]
    assert len(previews) >= 2
    assert {preview.size for preview in previews} == {(request.size_px, request.size_px)}
    # Watching must not touch the drawing.
    assert adapters[name].generate(request, unwatched).image.tobytes() == picture.image.tobytes()
    if "kandinsky" in name:  # the prior's latents are an embedding
        assert [preview for _, _, preview in told[:PRIOR_STEPS]] == [None] * PRIOR_STEPS


@pytest.mark.parametrize("name", ["flux", "compact-flux", "compact-kandinsky"])
def test_the_last_preview_is_the_picture_where_the_path_is_straight(
    home: Path, adapters: dict[str, Adapter], name: str
) -> None:
    previews: list[Image.Image | None] = []
    made = adapters[name].generate(
        request_for(home, name), lambda _step, _total, preview: previews.append(preview())
    )
    last = previews[-1]
    assert last is not None
    pairs = zip(last.tobytes(), made.image.tobytes(), strict=True)
    assert max(abs(a - b) for a, b in pairs) <= 2


@pytest.mark.parametrize("name", MODELS)
def test_a_job_can_be_cancelled_at_each_step_and_the_next_is_as_ever(
    home: Path, adapters: dict[str, Adapter], name: str
) -> None:
    adapter, request = adapters[name], request_for(home, name)
    before = adapter.generate(request, unwatched).image.tobytes()
    for last in range(1, TOTAL_STEPS[name] + 1):
        seen: list[int] = []

        with pytest.raises(JobCancelled):
            adapter.generate(request, stop_at(last, seen))
        assert seen == list(range(1, last + 1))
    assert adapter.generate(request, unwatched).image.tobytes() == before


def stop_at(last: int, seen: list[int]) -> OnStep:
    def stop(step: int, _total: int, _preview: Preview) -> None:
        seen.append(step)
        if step == last:
            raise JobCancelled

    return stop


@pytest.mark.parametrize("name", MODELS)
def test_provenance_tells_how_the_image_was_made(
    home: Path, adapters: dict[str, Adapter], name: str
) -> None:
    adapter, request = adapters[name], request_for(home, name)
    provenance = adapter.generate(request, unwatched).provenance
    assert (provenance.model_id, provenance.prompt) == (name, PROMPT)
    assert (provenance.seed, provenance.steps) == (7, STEPS)
    assert (provenance.device, provenance.dtype) == ("cpu", "float32")
    assert provenance.weights_sha256 == Catalogue.read(home)[name].weights_sha256()
    cost = provenance.extra["cost"]
    counted = adapter.cost(request)
    assert (cost["parameters"], cost["flops"]) == (counted.parameters, counted.flops)
    assert cost["duration_s"] == provenance.duration_s > 0
    assert cost["load_s"] > 0
    assert cost["peak_memory_bytes"] is None or cost["peak_memory_bytes"] > counted.parameters
    if "kandinsky" in name:
        assert provenance.extra["prior"] == {"steps": PRIOR_STEPS, "guidance": 4.0}
    assert str(home) not in provenance.to_json()


def test_parameters_are_all_those_in_the_files(home: Path, adapters: dict[str, Adapter]) -> None:
    """Counted without weights and read from them, the numbers agree."""
    import torch

    for name in MODELS:
        pipelines = adapters[name]._pipelines.values()  # type: ignore[attr-defined]
        networks = [
            part for pipeline in pipelines for part in pipeline.components.values()
            if isinstance(part, torch.nn.Module)
        ]  # fmt: skip
        loaded = sum(p.numel() for network in networks for p in network.parameters())
        assert adapters[name].cost(request_for(home, name)).parameters == loaded, name


def test_defaults_come_from_the_family_where_nobody_states_them(
    home: Path, adapters: dict[str, Adapter]
) -> None:
    request = request_for(home, "flux", steps=None)
    told: list[int] = []
    made = adapters["flux"].generate(request, lambda step, _total, _preview: told.append(step))
    assert made.provenance.steps == len(told) == 28
    assert made.provenance.guidance == 3.5


def test_flux_of_another_size_is_drawn_in_that_size(
    home: Path, adapters: dict[str, Adapter]
) -> None:
    request = request_for(home, "flux", size_px=96)
    assert adapters["flux"].generate(request, unwatched).image.size == (96, 96)


def test_a_size_kandinsky_would_round_is_refused(home: Path, adapters: dict[str, Adapter]) -> None:
    with pytest.raises(GenerationError, match="multiples of 64"):
        adapters["kandinsky"].generate(request_for(home, "kandinsky", size_px=96), unwatched)


def test_schnell_takes_no_guidance(home: Path, tmp_path: Path) -> None:
    hub_layout.write_flux(tmp_path / "schnell", guidance_embeds=False)
    entry = replace(
        Catalogue.read(home)["flux"],
        weights=replace(Catalogue.read(home)["flux"].weights, path=str(tmp_path / "schnell")),
        guidance_kind="none",
    )
    adapter = make_adapter(entry, "cpu")
    request = request_for(home, "flux")
    made = adapter.generate(request, unwatched)
    assert made.provenance.guidance is None
    guided = adapter.generate(replace(request, guidance=9.0), unwatched)
    assert guided.image.tobytes() == made.image.tobytes()


def test_a_released_clip_keeps_its_values_under_todays_names(home: Path) -> None:
    """Old names that match nothing would leave the tower at random, and only log it."""
    from transformers import CLIPTextModel

    folder = home / "flux" / "text_encoder"
    loaded = CLIPTextModel.from_pretrained(folder).state_dict()
    stored = load_file(folder / "model.safetensors")
    for key, value in stored.items():
        name = key if key in loaded else key.removeprefix("text_model.")
        assert loaded[name].equal(value), key


PARTS = (
    ("flux", "transformer"), ("flux", "vae"), ("compact-flux", "vae"),
    ("kandinsky", "prior/prior"), ("kandinsky", "decoder/movq"), ("stable-diffusion", "unet"),
    ("stable-diffusion", "vae"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_weights_that_are_not_numbers_are_an_error_and_no_black_picture(
    home: Path, tmp_path: Path, name: str, part: str
) -> None:
    entry = spoiled_copy(home, tmp_path, name, part)
    adapter = make_adapter(entry, "cpu")
    with pytest.raises(GenerationError, match="not numbers"):
        adapter.generate(request_for(home, name), unwatched)


def spoiled_copy(home: Path, tmp_path: Path, name: str, part: str) -> Any:
    """Copies a model with one network's weights all NaN."""
    import shutil

    shutil.copytree(home / name, tmp_path / name)
    shutil.copy(home / "catalogue.toml", tmp_path)
    for path in (tmp_path / name / part).glob("*.safetensors"):
        tensors = {key: value.fill_(float("nan")) for key, value in load_file(path).items()}
        save_file(tensors, path, metadata={"format": "pt"})
    return Catalogue.read(tmp_path)[name]


def test_a_safety_checker_that_objects_is_an_error_and_no_black_picture(
    home: Path, tmp_path: Path
) -> None:
    hub_layout.write_stable_diffusion(tmp_path / "stable-diffusion", has_checker=True)
    (tmp_path / "catalogue.toml").write_text(CATALOGUE, encoding="utf-8")
    adapter = make_adapter(Catalogue.read(tmp_path)["stable-diffusion"], "cpu")
    with pytest.raises(GenerationError, match="safety checker"):
        adapter.generate(request_for(home, "stable-diffusion"), unwatched)


@pytest.mark.parametrize("name", ["flux", "kandinsky"])
def test_a_configuration_that_does_not_fit_its_weights_is_a_checkpoint_error(
    home: Path, tmp_path: Path, name: str
) -> None:
    import shutil

    shutil.copytree(home / name, tmp_path / name)
    shutil.copy(home / "catalogue.toml", tmp_path)
    part = {"flux": "transformer", "kandinsky": "decoder/unet"}[name]
    path = tmp_path / name / part / "config.json"
    config = json.loads(path.read_text())
    for key in ("joint_attention_dim", "encoder_hid_dim"):
        if key in config:
            config[key] *= 2
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        make_adapter(Catalogue.read(tmp_path)[name], "cpu").load()


def test_truncated_weights_are_a_checkpoint_error(home: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(home / "flux", tmp_path / "flux")
    shutil.copy(home / "catalogue.toml", tmp_path)
    shard = sorted((tmp_path / "flux" / "transformer").glob("*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        make_adapter(Catalogue.read(tmp_path)["flux"], "cpu").load()


def test_weights_replaced_on_the_disk_are_noticed(home: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(home / "compact-flux", tmp_path / "compact-flux")
    shutil.copy(home / "catalogue.toml", tmp_path)
    adapter = make_adapter(Catalogue.read(tmp_path)["compact-flux"], "cpu")
    assert not adapter.is_current()
    adapter.load()
    assert adapter.is_current()
    hub_layout.write_compact_flux(tmp_path / "compact-flux", seed=1)
    assert not adapter.is_current()
    adapter.unload()
    assert not adapter.is_current()
