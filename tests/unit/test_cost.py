"""Contract: costs are counted from shapes alone, as published and as the networks really run.

The counts of the released models are compared with figures found by other means; those of the
compact ones with what torch counts while a picture is really drawn.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from msdm_core.__main__ import main
from msdm_core.errors import CostError
from msdm_core.generation.architecture import (
    PAPER,
    Component,
    architecture_of,
    full_architecture,
    known_full_models,
)
from msdm_core.generation.catalogue import Catalogue
from msdm_core.generation.cost import PartCost, image_cost, part_costs
from msdm_core.generation.request import ImageRequest
from msdm_core.generation.sampling import Sampling, resolve_sampling

SIZE_PX = 256
SAMPLINGS = {
    PAPER: Sampling(SIZE_PX, steps=30, guidance=4.5),
    "flux-1-dev": Sampling(SIZE_PX, 28, 3.5, "distilled", text_tokens=512),
    "flux-1-schnell": Sampling(SIZE_PX, 4, None, "none", text_tokens=256),
    "kandinsky-2-2": Sampling(SIZE_PX, 50, 4.0, prior_steps=25, prior_guidance=4.0),
    "stable-diffusion-1-5": Sampling(SIZE_PX, 50, 7.5),
}


@pytest.fixture(scope="module")
def parts() -> dict[tuple[str, str], PartCost]:
    return {
        (name, part.name): part
        for name, sampling in SAMPLINGS.items()
        for part in part_costs(full_architecture(name), sampling)
    }


@pytest.mark.parametrize(
    ("model", "part", "parameters"),
    [
        ("flux-1-dev", "transformer", 11.901e9),
        ("flux-1-dev", "text_encoder_2", 4.762e9),
        ("flux-1-dev", "text_encoder", 123.06e6),
        ("flux-1-dev", "vae", 83.82e6),
        ("kandinsky-2-2", "prior", 1.026e9),
        ("kandinsky-2-2", "unet", 1.253e9),
        ("kandinsky-2-2", "movq", 67.83e6),
        ("kandinsky-2-2", "text_encoder", 694.7e6),
        ("kandinsky-2-2", "image_encoder", 1.845e9),
        ("stable-diffusion-1-5", "unet", 859.5e6),
        (PAPER, "vae", 13.49e6),
    ],
)
def test_parameters_are_within_a_percent_of_the_known_counts(
    parts: dict[tuple[str, str], PartCost], model: str, part: str, parameters: float
) -> None:
    assert parts[model, part].parameters == pytest.approx(parameters, rel=0.01)


@pytest.mark.parametrize(
    ("model", "part", "tflop"),
    [
        ("flux-1-dev", "transformer", 10.35),
        ("flux-1-dev", "vae", 0.622),
        ("kandinsky-2-2", "prior", 0.329),
        ("kandinsky-2-2", "unet", 0.423),
    ],
)
def test_a_forward_is_within_a_percent_of_the_known_operations(
    parts: dict[tuple[str, str], PartCost], model: str, part: str, tflop: float
) -> None:
    assert parts[model, part].forward_flops == pytest.approx(tflop * 1e12, rel=0.01)


def test_each_part_runs_as_often_as_the_pipeline_calls_it(
    parts: dict[tuple[str, str], PartCost],
) -> None:
    forwards = {key: part.forwards for key, part in parts.items()}
    assert forwards["flux-1-dev", "transformer"] == 28  # guidance is an input
    assert forwards["flux-1-schnell", "transformer"] == 4
    assert forwards["kandinsky-2-2", "prior"] == 25
    assert forwards["kandinsky-2-2", "unet"] == 50
    assert forwards["kandinsky-2-2", "image_encoder"] == 1
    assert forwards["stable-diffusion-1-5", "unet"] == 51  # PNDM warms up with one more
    assert forwards[PAPER, "unet"] == 30


def test_an_image_costs_the_sum_of_its_parts(parts: dict[tuple[str, str], PartCost]) -> None:
    cost = image_cost(full_architecture("flux-1-dev"), SAMPLINGS["flux-1-dev"])
    own = [part for (model, _), part in parts.items() if model == "flux-1-dev"]
    assert cost.parameters == sum(part.parameters for part in own)
    assert cost.flops == sum(part.forward_flops * part.forwards for part in own)


def test_classifier_free_guidance_costs_a_second_pass() -> None:
    model = full_architecture("stable-diffusion-1-5")
    sampling = SAMPLINGS["stable-diffusion-1-5"]
    [with_it] = [p for p in part_costs(model, sampling) if p.name == "unet"]
    [without] = [p for p in part_costs(model, replace(sampling, guidance=1.0)) if p.name == "unet"]
    assert with_it.flops == pytest.approx(2 * without.flops, rel=0.01)


def test_the_compact_model_costs_what_torch_counts_while_it_draws() -> None:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from msdm_core.generation.cost import MSDM_PROMPT_TOKENS
    from msdm_core.msdm.loading import load_pipeline

    entry = Catalogue.read()["msdm-compact-gi"]
    pipeline = load_pipeline(entry.require_ready())
    pipeline.set_progress_bar_config(disable=True)
    # One word piece each, so that the prompt is as long as the count assumes.
    prompt = " ".join(["polyp"] * (MSDM_PROMPT_TOKENS - 2))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        pipeline(prompt, num_inference_steps=3, generator=torch.Generator().manual_seed(0))
    request = ImageRequest(entry.id, prompt, 0, SIZE_PX, steps=3)
    counted = image_cost(architecture_of(entry), resolve_sampling(entry, request))
    assert counted.flops == pytest.approx(counter.get_total_flops(), rel=0.005)
    assert counted.parameters == entry.counted_parameters()


def test_every_released_model_of_the_catalogue_can_be_counted() -> None:
    released = {e.id for e in Catalogue.read() if not e.weights.checkpoint}
    assert released <= set(known_full_models())


def test_the_catalogue_states_the_parameters_that_are_counted() -> None:
    for entry in Catalogue.read():
        if entry.parameter_count and entry.id in known_full_models():
            request = ImageRequest(entry.id, "x", 0, SIZE_PX)
            sampling = resolve_sampling(entry, request)
            counted = image_cost(full_architecture(entry.id), sampling).parameters
            assert entry.parameter_count == pytest.approx(counted, rel=0.01), entry.id


def test_what_cannot_be_counted_is_said() -> None:
    model = full_architecture("flux-1-dev")
    with pytest.raises(CostError, match="'nothing' is not known"):
        full_architecture("nothing")
    with pytest.raises(CostError, match="needs the component 'prior'"):
        image_cost(replace(model, family="kandinsky"), SAMPLINGS["kandinsky-2-2"])
    broken = {**model.components, "transformer": Component("diffusers", "VQModel", "{}")}
    with pytest.raises(CostError, match="does not state 'in_channels'"):
        image_cost(replace(model, components=broken), SAMPLINGS["flux-1-dev"])


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--models", "msdm-compact-gi", PAPER, "--markdown"]) == 0
    head, _, compact, paper = capsys.readouterr().out.strip().splitlines()
    assert head == "| model | parameters | steps | TFLOP an image |"
    assert compact.startswith("| MSDM compact, GI endoscopy | 14.26 M | 20 | 0.08")
    assert paper.startswith("| MSDM paper | 461.33 M | 30 | 6.5")


def test_the_command_prints_json_with_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--models", PAPER, "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["model_id"] == PAPER
    assert row["flops"] == sum(p["forward_flops"] * p["forwards"] for p in row["parts"])
    assert {part["name"] for part in row["parts"]} == {"text_encoder", "unet", "vae"}
    assert row["image_s"] is None


def test_the_command_says_which_model_it_cannot_count_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "catalogue.toml").write_text(
        '[[model]]\nid = "own"\nfamily = "msdm"\nlabel = "own model"\npath = "absent"\n'
        'licence = "none"\nnative_size_px = 64\n',
        encoding="utf-8",
    )
    assert main(["cost", "--models", "own", "--home", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "unknown" in text
    assert "own model: What own model costs is not known" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--models", "nothing"], "No model is called"), (["--size", "100"], "multiple of 64")],
)
def test_the_command_refuses_what_it_cannot_use(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cost", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_measuring_draws_and_tells_time_and_memory(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "catalogue.toml").write_text(
        f'[[model]]\nid = "tiny"\nfamily = "msdm"\nlabel = "tiny"\npath = "{tiny_checkpoint}"\n'
        'licence = "none"\nnative_size_px = 64\n',
        encoding="utf-8",
    )
    arguments = ["--models", "tiny", "--size", "64", "--home", str(tmp_path), "--device", "cpu"]
    assert main(["cost", *arguments, "--measure", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["image_s"] > 0 and row["load_s"] > 0
    assert row["peak_memory_bytes"] is None or row["peak_memory_bytes"] > 4 * row["parameters"]
    assert main(["cost", *arguments, "--measure"]) == 0
    head = capsys.readouterr().out.splitlines()[2]
    assert head.split("  ")[-1] == "device"
