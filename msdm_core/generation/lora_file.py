"""LoRA files of the forms people have, read into one: weights whose update needs no alpha."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msdm_core.errors import CheckpointError
from msdm_core.generation.checkpoint import check_safetensors

_PEFT_CONFIG = "adapter_config.json"
_PEFT_PREFIX = "base_model.model."
_HEADER_KEY = "lora_adapter_metadata"  # where diffusers keeps rank and alpha in the file
_WEIGHT = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])\.(?:weight|bias)")
_KOHYA = re.compile(r"^lora_(unet|te\d?|transformer)_|\.lora_(down|up)\.weight$")
_OLD_KEYS = {  # of the attention processors that early training scripts saved
    ".processor.to_q_lora.": ".to_q.",
    ".processor.to_k_lora.": ".to_k.",
    ".processor.to_v_lora.": ".to_v.",
    ".processor.to_out_lora.": ".to_out.0.",
    ".processor.add_k_proj_lora.": ".add_k_proj.",
    ".processor.add_v_proj_lora.": ".add_v_proj.",
    ".lora.": ".",
}
_OLD_TEXT_KEYS = {
    ".to_q_lora.": ".q_proj.",
    ".to_k_lora.": ".k_proj.",
    ".to_v_lora.": ".v_proj.",
    ".to_out_lora.": ".out_proj.",
    ".lora_linear_layer.": ".",
}


@dataclass(frozen=True)
class LoraFile:
    """The content of a LoRA file.

    Attributes:
        path: of the weights.
        label: the source as messages and provenance name it.
        tensors: by `MODULE.lora_A.weight` and `MODULE.lora_B.weight`, with alpha multiplied in;
            as they are in the file where `is_kohya`.
        is_kohya: in the form that needs the pipeline to be translated.
    """

    path: Path
    label: str
    tensors: Mapping[str, Any] = field(repr=False)
    is_kohya: bool = False


def read_lora_file(path: Path, label: str) -> LoraFile:
    """Returns the LoRA in a safetensors file.

    Raises:
        CheckpointError: it is missing, damaged, or of a kind that cannot be applied.
    """
    if not path.is_file():
        there = ", ".join(sorted(other.name for other in path.parent.glob("*.safetensors")))
        raise CheckpointError(
            f"The LoRA {label} has no file {path.name}; the folder holds "
            f"{there or 'no .safetensors file, and other forms are not loaded'}. "
            "Correct weight_name of the LoRA in catalogue.toml."
        )
    check_safetensors(path)
    from safetensors import safe_open

    with safe_open(path, framework="pt", device="cpu") as file:
        header = file.metadata() or {}
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    if not tensors:
        raise CheckpointError(f"The LoRA {label} is empty: {path.name} holds no tensors.")
    if any(_KOHYA.search(key) for key in tensors):
        return LoraFile(path, label, tensors, is_kohya=True)
    stated = header.get(_HEADER_KEY)
    config = path.with_name(_PEFT_CONFIG)  # what peft writes beside the weights
    if stated is None and config.is_file():
        stated = config.read_text(encoding="utf-8")
    tensors = {key.removeprefix(_PEFT_PREFIX): value for key, value in tensors.items()}
    scalings = _Scalings(_read_json(stated or "{}", label))
    return LoraFile(path, label, _normalised(tensors, scalings, label))


def _read_json(text: str, label: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"The configuration of the LoRA {label} is not JSON.") from error
    return values if isinstance(values, dict) else {}


class _Scalings:
    """How much each module's update is scaled, from what the file states."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    def alpha(self, module: str) -> float | None:
        """Returns alpha of a module; None where nothing states it."""
        return self._value("alpha_pattern", "lora_alpha", module)

    def uses_root(self, module: str) -> bool:
        """Whether alpha is divided by the root of the rank (rsLoRA)."""
        return bool(self._config.get("use_rslora")) or any(
            bool(value) and module.startswith(key.removesuffix("use_rslora"))
            for key, value in self._config.items()
            if key.endswith(".use_rslora")
        )

    def _value(self, pattern_key: str, key: str, module: str) -> float | None:
        # diffusers writes the keys of each component behind its name.
        component, _, inner = module.partition(".")
        for prefix, path in (("", module), (f"{component}.", inner)):
            patterns = self._config.get(prefix + pattern_key) or {}
            for pattern, value in patterns.items():
                if re.fullmatch(rf"(.*\.)?({pattern.removeprefix('^')})", path):
                    return float(value)
            if (value := self._config.get(prefix + key)) is not None:
                return float(value)
        return None


def _normalised(tensors: Mapping[str, Any], scalings: _Scalings, label: str) -> dict[str, Any]:
    """Returns the weights under today's names, with alpha multiplied in."""
    renamed = {_renamed(key): value for key, value in tensors.items()}
    alphas = {
        key.removesuffix(".alpha"): float(value)
        for key, value in renamed.items()
        if key.endswith(".alpha")
    }
    weights = {key: value for key, value in renamed.items() if not key.endswith(".alpha")}
    if foreign := [key for key in weights if not _WEIGHT.fullmatch(key)]:
        raise CheckpointError(
            f"The LoRA {label} holds what is not LoRA: {', '.join(foreign[:4])}"
            f"{' and more' if len(foreign) > 4 else ''}. DoRA, LoHa, LoKr and whole weights are "
            "not supported; use plain LoRA weights."
        )
    modules = {_WEIGHT.fullmatch(key)["module"] for key in weights}  # type: ignore[index]
    for module in modules:
        for side in "AB":
            if f"{module}.lora_{side}.weight" not in weights:
                raise CheckpointError(
                    f"The LoRA {label} lacks {module}.lora_{side}.weight: the file is incomplete."
                )
        alpha = scalings.alpha(module)
        if module not in alphas and alpha is not None:
            rank = weights[f"{module}.lora_A.weight"].shape[0]
            alphas[module] = alpha * rank**0.5 if scalings.uses_root(module) else alpha
    return _fold_alphas(weights, alphas)


def _renamed(key: str, names: Mapping[str, str] = _OLD_KEYS) -> str:
    for old, new in names.items():
        key = key.replace(old, new)
    for old, new in ((".down.weight", ".lora_A.weight"), (".up.weight", ".lora_B.weight")):
        if key.endswith(old):
            key = key.removesuffix(old) + new
    return key


def _fold_alphas(tensors: Mapping[str, Any], alphas: Mapping[str, float]) -> dict[str, Any]:
    """Returns the weights with each module's alpha / rank multiplied into its second matrix."""
    folded = {}
    for key, tensor in tensors.items():
        found = _WEIGHT.fullmatch(key)
        alpha = alphas.get(found["module"]) if found else None
        if found and alpha is not None and found["side"] == "B":
            rank = tensors[f"{found['module']}.lora_A.weight"].shape[0]
            tensor = tensor.float() * (alpha / rank)
        folded[key] = tensor
    return folded


def fold_kohya_alphas(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Returns weights in the kohya form with alpha multiplied in and stated as the rank.

    Translated first, alpha would come out under names that nobody looks for.
    """
    folded = dict(tensors)
    for key, alpha in tensors.items():
        module = key.removesuffix(".alpha")
        down, up = f"{module}.lora_down.weight", f"{module}.lora_up.weight"
        if module != key and down in tensors and up in tensors:
            rank = tensors[down].shape[0]
            folded[up] = tensors[up].float() * (float(alpha) / rank)
            folded[key] = alpha.new_tensor(float(rank))
    return folded


def with_peft_names(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Returns weights that diffusers translated under the names that peft gives."""
    renamed = {}
    for key, value in tensors.items():
        names = _OLD_TEXT_KEYS if key.startswith("text_encoder") else _OLD_KEYS
        renamed[_renamed(key, names)] = value
    return renamed
