"""Contract: LoRA weights made by peft act at exactly the scale asked for, or are refused.

What a LoRA must do is computed by hand: the picture of the model whose weights were changed by
scale x alpha / rank x B A is the reference.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from msdm_core.errors import CheckpointError
from msdm_core.generation.adapters import make_adapter
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.request import ImageRequest
from msdm_core.generation.weights import LoraEntry, WeightsSource
from tests import hub_layout
from tests.hub_layout import PROMPT

RANK, ALPHA = 4, 8.0  # a scaling of 2, which a loader that overlooks alpha would halve
PEFT_NAME = "adapter_model.safetensors"
DIFFUSERS_NAME = "pytorch_lora_weights.safetensors"


class Case:
    """A model, the network its LoRA is for, and where that network lies."""

    def __init__(self, family: str, part: str, component: str, targets: list[str]) -> None:
        self.family, self.part, self.component, self.targets = family, part, component, targets

    def network_folder(self, root: Path) -> Path:
        return root / self.family / self.part / self.component


CASES = {
    "flux": Case("flux", "", "transformer", ["to_q", "to_v", "proj_mlp"]),
    "stable_diffusion": Case("stable_diffusion", "", "unet", ["to_q", "to_k", "to_out.0"]),
    "prior": Case("kandinsky", "prior", "prior", ["to_q", "to_v"]),
    "decoder": Case("kandinsky", "decoder", "unet", ["to_q", "add_k_proj"]),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lora")
    hub_layout.write_compact_flux(root / "flux")
    hub_layout.write_kandinsky(root / "kandinsky")
    hub_layout.write_stable_diffusion(root / "stable_diffusion")
    return root


def entry_of(models: Path, family: str, *loras: LoraEntry) -> ModelEntry:
    return ModelEntry(
        id="tiny", family=family, label="tiny", licence="none", native_size_px=64,  # type: ignore[arg-type]
        sizes_px=(64,), weights=WeightsSource(path=str(models / family)), loras=loras,
        default_steps=2, default_prior_steps=2, max_text_tokens=16, default_guidance=2.0,
    )  # fmt: skip


def lora(case: Case, folder: Path, name: str = DIFFUSERS_NAME, scale: float = 1.0) -> LoraEntry:
    return LoraEntry(case.part, WeightsSource(path=str(folder)), name, scale)


def pixels(entry: ModelEntry) -> np.ndarray:
    made = make_adapter(entry, "cpu").generate(ImageRequest("tiny", PROMPT, 3, 64), lambda *_: None)
    return np.asarray(made.image, dtype=np.int16)


def load_network(models: Path, case: Case) -> Any:
    import diffusers

    folder = case.network_folder(models)
    config = json.loads((folder / "config.json").read_text())
    return getattr(diffusers, config["_class_name"]).from_pretrained(folder)


def trained(models: Path, case: Case, seed: int = 0, **config: Any) -> Any:
    """Returns a peft model whose LoRA does something."""
    options: dict[str, Any] = {"r": RANK, "lora_alpha": ALPHA, "target_modules": case.targets}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = get_peft_model(load_network(models, case), LoraConfig(**options | config))
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.5)
    return network


def write_peft(network: Any, folder: Path, _case: Case) -> str:
    network.save_pretrained(folder)
    return PEFT_NAME


def write_diffusers(network: Any, folder: Path, case: Case) -> str:
    """Writes as the training scripts of diffusers do: alpha in the header of the file."""
    from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY

    prefix = case.component
    state = get_peft_model_state_dict(network)
    tensors = {
        f"{prefix}.{key.removeprefix('base_model.model.')}": value.contiguous()
        for key, value in state.items()
    }
    config = network.peft_config["default"].to_dict()
    known = {
        f"{prefix}.{key}": config[key]
        for key in ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora")
    }
    folder.mkdir(parents=True, exist_ok=True)
    header = {LORA_ADAPTER_METADATA_KEY: json.dumps(known), "format": "pt"}
    save_file(tensors, folder / DIFFUSERS_NAME, metadata=header)
    return DIFFUSERS_NAME


def write_alpha_tensors(network: Any, folder: Path, case: Case) -> str:
    """Writes alpha as a tensor beside each module's weights."""
    name = write_diffusers(network, folder, case)
    tensors = load_file(folder / name)
    modules = {key.split(".lora_")[0] for key in tensors}
    tensors |= {f"{module}.alpha": torch.tensor(ALPHA) for module in modules}
    save_file(tensors, folder / name, metadata={"format": "pt"})
    return name


def merged(models: Path, case: Case, network: Any, target: Path, scale: float = 1.0) -> ModelEntry:
    """Writes a model with scale x alpha / rank x B A added to its weights, and lists it."""
    import shutil

    shutil.copytree(models / case.family, target / case.family)
    plain = load_network(models, case)
    weights = plain.state_dict()
    for name, module in network.base_model.model.named_modules():
        if hasattr(module, "lora_A"):
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            update = scale * module.scaling["default"] * (b @ a)
            weights[f"{name}.weight"] = weights[f"{name}.weight"] + update
    plain.load_state_dict(weights)
    folder = case.network_folder(target)
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    plain.save_pretrained(folder)
    return entry_of(target, case.family)


def close(first: np.ndarray, second: np.ndarray) -> bool:
    """Rounding may move a value by one; a LoRA of another scale moves many by more."""
    return bool(np.abs(first - second).max() <= 2)


Writer = Callable[[Any, Path, Case], str]
PAIRS = [
    *((case, write_peft) for case in CASES.values()),
    *((CASES[name], write_diffusers) for name in ("flux", "decoder")),
    (CASES["stable_diffusion"], write_alpha_tensors),
]


@pytest.fixture(scope="module")
def plain(models: Path) -> Callable[[str], np.ndarray]:
    """Returns the picture of a family's model without LoRA, drawn once."""
    return functools.cache(lambda family: pixels(entry_of(models, family)))


@pytest.mark.parametrize(("case", "write"), PAIRS)
def test_a_lora_does_what_its_matrices_and_alpha_say(
    models: Path, plain: Callable[[str], np.ndarray], tmp_path: Path, case: Case, write: Writer
) -> None:
    network = trained(models, case)
    name = write(network, tmp_path / "lora", case)
    drawn = pixels(entry_of(models, case.family, lora(case, tmp_path / "lora", name)))
    assert not close(drawn, plain(case.family))
    assert close(drawn, pixels(merged(models, case, network, tmp_path / "merged")))


@pytest.mark.parametrize("case", [CASES["flux"], CASES["prior"]], ids=["flux", "prior"])
def test_the_scale_multiplies_the_update(
    models: Path, plain: Callable[[str], np.ndarray], tmp_path: Path, case: Case
) -> None:
    network = trained(models, case)
    name = write_peft(network, tmp_path / "lora", case)
    drawn = {
        scale: pixels(entry_of(models, case.family, lora(case, tmp_path / "lora", name, scale)))
        for scale in (0.0, 1.0, 2.0)
    }
    assert (drawn[0.0] == plain(case.family)).all()
    assert not close(drawn[1.0], drawn[2.0])
    assert close(drawn[2.0], pixels(merged(models, case, network, tmp_path / "two", scale=2.0)))


PATTERNS: Mapping[str, dict[str, Any]] = {
    "rank and alpha by module": {"rank_pattern": {"to_q": 2}, "alpha_pattern": {"to_q": 6}},
    "the root of the rank": {"use_rslora": True},
}


@pytest.mark.parametrize("options", PATTERNS.values(), ids=list(PATTERNS))
@pytest.mark.parametrize("write", [write_peft, write_diffusers], ids=["peft", "diffusers"])
def test_scalings_of_other_kinds_are_followed(
    models: Path, tmp_path: Path, options: dict[str, Any], write: Writer
) -> None:
    case = CASES["decoder"]
    network = trained(models, case, **options)
    name = write(network, tmp_path / "lora", case)
    drawn = pixels(entry_of(models, case.family, lora(case, tmp_path / "lora", name)))
    assert close(drawn, pixels(merged(models, case, network, tmp_path / "merged")))


def test_two_loras_add_up_each_at_its_own_scale(models: Path, tmp_path: Path) -> None:
    case = CASES["flux"]
    networks = [trained(models, case, seed) for seed in (0, 1)]
    names = [write_peft(n, tmp_path / f"lora{i}", case) for i, n in enumerate(networks)]
    both = [
        lora(case, tmp_path / f"lora{i}", names[i], scale) for i, scale in enumerate((0.5, -1.0))
    ]
    drawn = pixels(entry_of(models, case.family, *both))
    merged(models, case, networks[0], tmp_path / "first", scale=0.5)
    expected = merged(tmp_path / "first", case, networks[1], tmp_path / "second", scale=-1.0)
    assert close(drawn, pixels(expected))


def test_prior_and_decoder_have_loras_of_their_own(models: Path, tmp_path: Path) -> None:
    loras, names = {}, {}
    for key in ("prior", "decoder"):
        network = trained(models, CASES[key])
        names[key] = write_peft(network, tmp_path / key, CASES[key])
        loras[key] = lora(CASES[key], tmp_path / key, names[key])
    merged(models, CASES["prior"], trained(models, CASES["prior"]), tmp_path / "one")
    expected = merged(
        tmp_path / "one", CASES["decoder"], trained(models, CASES["decoder"]), tmp_path / "two"
    )
    both = entry_of(models, "kandinsky", *loras.values())
    assert close(pixels(both), pixels(expected))


# peft asks a transformers model in a way that this one deprecates.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_a_lora_on_the_text_encoder_as_well_is_in_force(
    models: Path, plain: Callable[[str], np.ndarray], tmp_path: Path
) -> None:
    from transformers import CLIPTextModel

    case = CASES["stable_diffusion"]
    write_alpha_tensors(trained(models, case), tmp_path / "lora", case)
    folder = models / "stable_diffusion" / "text_encoder"
    torch.manual_seed(5)
    text = get_peft_model(
        CLIPTextModel.from_pretrained(folder),
        LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["q_proj", "v_proj"]),
    )
    for name, parameter in text.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.5)
    alone = pixels(entry_of(models, case.family, lora(case, tmp_path / "lora")))
    path = tmp_path / "lora" / DIFFUSERS_NAME
    tensors = load_file(path) | {
        f"text_encoder.text_model.{key.removeprefix('base_model.model.')}": value.contiguous()
        for key, value in get_peft_model_state_dict(text).items()
    }
    save_file(tensors, path, metadata={"format": "pt"})
    both = pixels(entry_of(models, case.family, lora(case, tmp_path / "lora")))
    assert not close(both, alone)
    merge_text(models, tmp_path, case, text)
    assert close(both, pixels(entry_of(tmp_path / "merged", case.family)))
    none = pixels(entry_of(models, case.family, lora(case, tmp_path / "lora", scale=0.0)))
    assert (none == plain(case.family)).all()


def merge_text(models: Path, tmp_path: Path, case: Case, text: Any) -> None:
    """Writes the model with both networks' updates added to their weights."""
    merged(models, case, trained(models, case), tmp_path / "merged")
    folder = tmp_path / "merged" / case.family / "text_encoder"
    text.merge_and_unload().save_pretrained(folder)


def test_kohya_files_act_at_their_alpha(models: Path, tmp_path: Path) -> None:
    case = CASES["stable_diffusion"]
    network = trained(models, case)
    write_diffusers(network, tmp_path / "lora", case)
    path = tmp_path / "lora" / DIFFUSERS_NAME
    kohya = {}
    for key, value in load_file(path).items():
        module, side = key.removeprefix("unet.").split(".lora_")
        stem = "lora_unet_" + module.replace(".", "_")
        kohya[f"{stem}.lora_{'down' if side.startswith('A') else 'up'}.weight"] = value
        kohya[f"{stem}.alpha"] = torch.tensor(ALPHA)
    kohya["lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"] = torch.zeros(4, 32)
    kohya["lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight"] = torch.ones(48, 4)
    kohya["lora_te_text_model_encoder_layers_0_mlp_fc1.alpha"] = torch.tensor(1.0)
    save_file(kohya, path, metadata={"format": "pt"})
    drawn = pixels(entry_of(models, case.family, lora(case, tmp_path / "lora")))
    assert close(drawn, pixels(merged(models, case, network, tmp_path / "merged")))


def rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


@every_case
def test_a_lora_that_fits_nothing_is_refused(models: Path, tmp_path: Path, case: Case) -> None:
    write_diffusers(trained(models, case), tmp_path / "lora", case)
    rewrite(
        tmp_path / "lora" / DIFFUSERS_NAME,
        lambda tensors: {f"other.{key}": value for key, value in tensors.items()},
    )
    with pytest.raises(CheckpointError, match=r"fits nothing in a .*other\."):
        make_adapter(entry_of(models, case.family, lora(case, tmp_path / "lora")), "cpu").load()


@every_case
def test_a_lora_that_fits_in_part_is_refused_by_the_names_of_the_rest(
    models: Path, tmp_path: Path, case: Case
) -> None:
    write_diffusers(trained(models, case), tmp_path / "lora", case)
    stranger = {
        f"{case.component}.blocks.99.to_q.lora_{side}.weight": torch.ones(4, 4) for side in "AB"
    }
    rewrite(tmp_path / "lora" / DIFFUSERS_NAME, lambda tensors: tensors | stranger)
    with pytest.raises(CheckpointError, match=r"only in part: 2 of its .*blocks\.99\.to_q"):
        make_adapter(entry_of(models, case.family, lora(case, tmp_path / "lora")), "cpu").load()


def test_the_priors_lora_is_refused_by_the_decoder(models: Path, tmp_path: Path) -> None:
    name = write_peft(trained(models, CASES["prior"]), tmp_path / "lora", CASES["prior"])
    wrong = lora(CASES["decoder"], tmp_path / "lora", name)
    with pytest.raises(CheckpointError, match="fits nothing"):
        make_adapter(entry_of(models, "kandinsky", wrong), "cpu").load()


def test_a_lora_for_wider_layers_is_refused(models: Path, tmp_path: Path) -> None:
    case = CASES["decoder"]
    write_diffusers(trained(models, case), tmp_path / "lora", case)
    rewrite(
        tmp_path / "lora" / DIFFUSERS_NAME,
        lambda tensors: {
            key: value.repeat(1, 2) if "lora_A" in key else value for key, value in tensors.items()
        },
    )
    with pytest.raises(CheckpointError, match="does not fit"):
        make_adapter(entry_of(models, "kandinsky", lora(case, tmp_path / "lora")), "cpu").load()


def test_what_is_not_lora_is_refused(models: Path, tmp_path: Path) -> None:
    case = CASES["flux"]
    name = write_peft(trained(models, case, use_dora=True), tmp_path / "lora", case)
    with pytest.raises(CheckpointError, match="DoRA"):
        make_adapter(entry_of(models, "flux", lora(case, tmp_path / "lora", name)), "cpu").load()


def test_half_a_lora_is_refused(models: Path, tmp_path: Path) -> None:
    case = CASES["flux"]
    name = write_peft(trained(models, case), tmp_path / "lora", case)
    path = tmp_path / "lora" / name
    rewrite(path, lambda tensors: {k: v for k, v in tensors.items() if "to_q.lora_B" not in k})
    with pytest.raises(CheckpointError, match="incomplete"):
        make_adapter(entry_of(models, "flux", lora(case, tmp_path / "lora", name)), "cpu").load()


def test_an_unknown_part_is_refused(models: Path, tmp_path: Path) -> None:
    case = CASES["flux"]
    name = write_peft(trained(models, case), tmp_path / "lora", case)
    wrong = replace(lora(case, tmp_path / "lora", name), part="decoder")
    with pytest.raises(CheckpointError, match="no part 'decoder'"):
        make_adapter(entry_of(models, "flux", wrong), "cpu").load()


def test_a_lora_in_the_catalogue_file_is_in_force_and_in_the_provenance(
    models: Path, tmp_path: Path
) -> None:
    case = CASES["decoder"]
    name = write_peft(trained(models, case), tmp_path / "endoscopy", case)
    (tmp_path / "catalogue.toml").write_text(
        f"""
[[model]]
id = "mine"
family = "kandinsky"
label = "mine"
path = "{models / "kandinsky"}"
licence = "none"
native_size_px = 64
default_steps = 2
default_prior_steps = 2
default_guidance = 2.0

[[model.lora]]
part = "decoder"
path = "endoscopy"
weight_name = "{name}"
scale = 1.5
""",
        encoding="utf-8",
    )
    entry = Catalogue.read(tmp_path)["mine"]
    adapter = make_adapter(entry, "cpu")
    request = ImageRequest("mine", PROMPT, 3, 64)
    made = adapter.generate(request, lambda *_: None)
    [told] = made.provenance.extra["loras"]
    assert (told["part"], told["source"], told["scale"]) == ("decoder", "endoscopy", 1.5)
    assert len(told["sha256"]) == 64
    same = entry_of(models, "kandinsky", lora(case, tmp_path / "endoscopy", name, 1.5))
    assert (np.asarray(made.image) == pixels(same)).all()
    assert adapter.is_current()
    write_peft(trained(models, case, seed=9), tmp_path / "other", case)
    (tmp_path / "other" / name).replace(tmp_path / "endoscopy" / name)
    assert not adapter.is_current()
