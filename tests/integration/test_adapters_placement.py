"""Contract: where a model runs and how its weights are held is chosen, told, or refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from msdm_core.errors import CatalogueError, GenerationError, SettingsError
from msdm_core.generation.adapters import make_adapter
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.clean_latents import CleanLatents
from msdm_core.generation.placement import choose_placement
from msdm_core.generation.request import ImageRequest
from msdm_core.generation.sampling import resolve_sampling
from msdm_core.generation.weights import WeightsSource
from tests import hub_layout

REQUEST = ImageRequest("tiny", hub_layout.PROMPT, 3, 64, steps=2)


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    folder = hub_layout.write_compact_flux(tmp_path_factory.mktemp("models") / "flux")
    return ModelEntry(
        id="tiny", family="flux", label="tiny FLUX", licence="none", native_size_px=64,
        sizes_px=(64,), weights=WeightsSource(path=str(folder)), max_text_tokens=16,
    )  # fmt: skip


def test_on_a_cpu_weights_are_held_in_float32_and_nothing_is_offloaded(entry: ModelEntry) -> None:
    chosen = choose_placement(replace(entry, offload="model"), "cpu")
    assert (chosen.device, chosen.dtype_name) == ("cpu", "float32")
    assert (chosen.offload, chosen.quantisation) == ("none", "none")


def test_the_number_type_of_the_entry_holds(entry: ModelEntry) -> None:
    adapter = make_adapter(replace(entry, dtype="bfloat16"), "cpu")
    provenance = adapter.generate(REQUEST, lambda *_: None).provenance
    assert provenance.dtype == "bfloat16"
    full = make_adapter(entry, "cpu").generate(REQUEST, lambda *_: None)
    assert full.provenance.dtype == "float32"
    half, whole = (
        made.extra["cost"]["peak_memory_bytes"] for made in (provenance, full.provenance)
    )
    assert half is None or whole is None or half != whole


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_quantised_loading_without_a_gpu_is_refused_with_the_way_out(
    entry: ModelEntry, kind: str
) -> None:
    adapter = make_adapter(replace(entry, quantise=kind), "cpu")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r'needs an NVIDIA GPU.*Set quantise = "none"'):
        adapter.load()


def test_quantised_loading_where_it_helps_is_no_more_than_a_wish(entry: ModelEntry) -> None:
    assert choose_placement(replace(entry, quantise="auto"), "cpu").quantisation == "none"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_refused(entry: ModelEntry) -> None:
    with pytest.raises(SettingsError, match=r"'cuda' is not there\. Devices here: cpu"):
        choose_placement(entry, "cuda")


class Gpu:
    """Answers for a CUDA device that this machine need not have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free_gib: float) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(free_gib * 2**30), 80 * 2**30))


def test_a_gpu_gets_short_numbers_unless_the_weights_need_long_ones(
    entry: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    Gpu(monkeypatch, free_gib=24)
    assert choose_placement(entry, "auto").dtype_name == "bfloat16"
    assert choose_placement(entry, "auto", needs_float32=True).dtype_name == "float32"
    assert choose_placement(entry, "auto").device == "cuda"


def test_what_does_not_fit_a_gpu_is_offloaded(
    entry: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    Gpu(monkeypatch, free_gib=24)
    assert choose_placement(replace(entry, least_gpu_memory_gib=36), "cuda").offload == "model"
    assert choose_placement(replace(entry, least_gpu_memory_gib=12), "cuda").offload == "none"
    forced = replace(entry, least_gpu_memory_gib=12, offload="sequential")
    assert choose_placement(forced, "cuda").offload == "sequential"


def test_quantised_loading_without_its_library_is_refused_with_the_way_out(
    entry: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    Gpu(monkeypatch, free_gib=24)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match="pip install bitsandbytes"):
        choose_placement(replace(entry, quantise="nf4"), "cuda")


def test_our_linear_autoencoder_is_never_rounded_to_16_bits(entry: ModelEntry) -> None:
    adapter = make_adapter(entry, "cpu")
    assert adapter._needs_float32(entry.folders())  # type: ignore[attr-defined]


def test_running_out_of_memory_is_told_with_the_way_out(
    entry: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real message of torch's allocator, from a request no machine can meet."""
    adapter = make_adapter(replace(entry, sizes_px=(32, 64)), "cpu")
    adapter.load()

    def greedy(*_: object) -> None:
        torch.empty(2**60, dtype=torch.uint8)

    with pytest.raises(GenerationError, match=r"Memory ran out.*a smaller size \(32 px\)"):
        adapter.generate(REQUEST, greedy)
    assert adapter.generate(REQUEST, lambda *_: None).image.size == (64, 64)


def test_an_unknown_family_is_refused(entry: ModelEntry) -> None:
    with pytest.raises(CatalogueError, match="unknown family 'pixart'"):
        make_adapter(replace(entry, family="pixart"))  # type: ignore[arg-type]


def test_a_request_goes_before_the_entry_and_the_entry_before_the_family(entry: ModelEntry) -> None:
    request = replace(REQUEST, steps=None)
    assert resolve_sampling(entry, request).steps == 28
    stated = replace(entry, default_steps=12, default_guidance=2.5)
    assert resolve_sampling(stated, request).steps == 12
    assert resolve_sampling(stated, request).guidance == 2.5
    asked = resolve_sampling(stated, replace(request, steps=5, guidance=1.0))
    assert (asked.steps, asked.guidance, asked.is_guided) == (5, 1.0, False)


def test_the_preview_of_a_straight_path_is_where_it_leads() -> None:
    """Latents on the line from noise to a picture point at the picture from anywhere on it."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    picture, noise = torch.full((1, 4), 3.0), torch.randn(1, 4, generator=torch.Generator())
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(4)
    clean, latents = CleanLatents(), noise
    estimates = []
    for timestep in scheduler.timesteps:
        latents = scheduler.step(noise - picture, timestep, latents, return_dict=False)[0]
        clean.see(latents)
        estimates.append(clean.estimate(scheduler))
    assert estimates[0] is None
    for estimate in estimates[1:]:
        assert torch.allclose(estimate, picture, atol=1e-3)


def test_a_scheduler_without_an_estimate_shows_the_latents_as_they_are() -> None:
    clean = CleanLatents()
    clean.see(torch.ones(1, 4))
    assert clean.estimate(SimpleNamespace(config={})).equal(torch.ones(1, 4))
