"""LoRA weights on a loaded pipeline: whole or refused, at exactly the scale that is asked for.

Files differ in how they state alpha, the number that divided by the rank scales the update: in the
header of the file, in an `adapter_config.json` beside it, in tensors of its own, or nowhere.
Loaders overlook some of these without a word. So alpha is multiplied into the weights here, and
the loader is handed weights that need none.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msdm_core.errors import CheckpointError
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.lora_file import (
    LoraFile,
    fold_kohya_alphas,
    read_lora_file,
    with_peft_names,
)
from msdm_core.generation.weights import LoraEntry

_SHOWN_KEYS = 4
_DENOISERS = ("transformer", "unet", "prior")


@dataclass(frozen=True, slots=True)
class AppliedLora:
    """A LoRA that is in force.

    Attributes:
        part: "" for a model of one pipeline, else prior or decoder.
        source: hub repository or folder name, without its place on this machine.
        sha256: of the weights file.
        scale: multiplies the update.
    """

    part: str
    source: str
    sha256: str
    scale: float

    def to_dict(self) -> dict[str, Any]:
        """Returns what provenance keeps."""
        return {
            "part": self.part,
            "source": self.source,
            "sha256": self.sha256,
            "scale": self.scale,
        }


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def apply_loras(entry: ModelEntry, pipelines: Mapping[str, Any]) -> tuple[AppliedLora, ...]:
    """Loads the LoRA weights of an entry into its pipelines, before they are moved to a device.

    Args:
        entry: the model, with the LoRAs and their scales.
        pipelines: by role; a LoRA's `part` names one.

    Raises:
        CheckpointError: a file is missing or damaged, has keys that fit nothing in the model, or
            names a part that the model does not have.
    """
    applied: list[AppliedLora] = []
    names: dict[str, list[str]] = {}
    for lora in entry.loras:
        if lora.part not in pipelines:
            parts = ", ".join(repr(part) for part in pipelines)
            raise CheckpointError(
                f"{entry.label} has no part {lora.part!r} for a LoRA; its parts are {parts}. "
                "Correct `part` in catalogue.toml."
            )
        file = _read(entry, lora)
        name = f"lora_{len(applied)}"
        _load(pipelines[lora.part], file, name)
        names.setdefault(lora.part, []).append(name)
        sha256 = file_sha256(file.path)
        applied.append(AppliedLora(lora.part, file.label, sha256, float(lora.scale)))
    for part, adapters in names.items():
        scales = [lora.scale for lora in applied if lora.part == part]
        _set_scales(pipelines[part], adapters, scales)
    return tuple(applied)


def _read(entry: ModelEntry, lora: LoraEntry) -> LoraFile:
    path = lora.file
    if path is None:
        raise CheckpointError(
            f"The LoRA {lora.source.hub} of {entry.label} is not downloaded. "
            f"Fetch it: python -m msdm_core download {entry.id}"
        )
    return read_lora_file(path, label=lora.source.hub or path.parent.name)


def _load(pipeline: Any, file: LoraFile, name: str) -> None:
    by_component = _assign(pipeline, file)
    try:
        with warnings.catch_warnings():
            # peft warns of a second LoRA on a network, which is what is wanted.
            warnings.simplefilter("ignore", UserWarning)
            _inject(pipeline, by_component, name)
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"The LoRA {file.label} does not fit the model: {' '.join(text[:3])} "
            "Use one that was trained for this model."
        ) from error
    _check_all_are_in_force(pipeline, by_component, file, name)


def _inject(pipeline: Any, by_component: Mapping[str, Mapping[str, Any]], name: str) -> None:
    for component, tensors in by_component.items():
        network = getattr(pipeline, component)
        fitting = {key: tensor.to(network.dtype) for key, tensor in tensors.items()}
        if component in _DENOISERS:
            network.load_lora_adapter(fitting, prefix=None, adapter_name=name)
        else:
            _inject_into_text_encoder(network, fitting, name)


def _inject_into_text_encoder(network: Any, tensors: Mapping[str, Any], name: str) -> None:
    """Does what the loader of denoisers does; that of text encoders knows attention alone."""
    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict

    ranks = {
        key.removesuffix(".lora_A.weight"): tensor.shape[0]
        for key, tensor in tensors.items()
        if key.endswith(".lora_A.weight")
    }
    rank = max(ranks.values())
    patterns = {f"^{module}": module_rank for module, module_rank in ranks.items()}
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,  # multiplied into the weights already
        target_modules=list(ranks),
        rank_pattern=patterns,
        alpha_pattern=dict(patterns),
        lora_bias=any(key.endswith(".lora_B.bias") for key in tensors),
    )
    inject_adapter_in_model(config, network, adapter_name=name)
    set_peft_model_state_dict(network, dict(tensors), adapter_name=name)


def _assign(pipeline: Any, file: LoraFile) -> dict[str, dict[str, Any]]:
    """Returns the tensors by component, keyed by module and `.lora_A.weight` and so on."""
    tensors = file.tensors
    if file.is_kohya:
        tensors = _from_kohya(pipeline, file)
    by_component: dict[str, dict[str, Any]] = {}
    strangers: list[str] = []
    for key, tensor in tensors.items():
        place = _place_of(pipeline, key)
        if place is None:
            strangers.append(key)
        else:
            component, inner = place
            by_component.setdefault(component, {})[inner] = tensor
    if strangers:
        _refuse(pipeline, file, strangers, len(tensors))
    return by_component


def _refuse(pipeline: Any, file: LoraFile, strangers: Sequence[str], count: int) -> None:
    shown = ", ".join(strangers[:_SHOWN_KEYS])
    more = f" and {len(strangers) - _SHOWN_KEYS} more" if len(strangers) > _SHOWN_KEYS else ""
    kind = type(pipeline).__name__
    if len(strangers) == count:
        raise CheckpointError(
            f"The LoRA {file.label} fits nothing in a {kind}: none of its {count} tensors names a "
            f"module there ({shown}{more}). Use a LoRA that was trained for this model, and for "
            "Kandinsky the right part, prior or decoder."
        )
    raise CheckpointError(
        f"The LoRA {file.label} fits a {kind} only in part: {len(strangers)} of its {count} "
        f"tensors name no module there ({shown}{more}). Use one that was trained for this model."
    )


def _place_of(pipeline: Any, key: str) -> tuple[str, str] | None:
    """Returns the component that a key belongs to, and the key inside it."""
    first, _, rest = key.partition(".")
    candidates = [(first, rest)]
    candidates += [(name, key) for name in _DENOISERS]  # keys without a component's name
    for component, inner in candidates:
        network = pipeline.components.get(component)
        if network is None or not hasattr(network, "named_modules"):
            continue
        for spelling in (inner, inner.removeprefix("text_model.")):
            if _has_module(network, spelling.split(".lora_")[0]):
                return component, spelling
    return None


def _has_module(network: Any, path: str) -> bool:
    try:
        network.get_submodule(path)
    except AttributeError:
        return False
    return bool(path)


def _from_kohya(pipeline: Any, file: LoraFile) -> dict[str, Any]:
    """Returns the tensors of the widespread third-party form, translated by diffusers itself."""
    if not hasattr(pipeline, "lora_state_dict"):
        raise CheckpointError(
            f"The LoRA {file.label} is in a form that {type(pipeline).__name__} cannot take. Use "
            "one saved by diffusers or peft."
        )
    # FLUX and Stable Diffusion need a word each to take alpha and block numbers.
    options: dict[str, Any] = (
        {"return_alphas": True}
        if hasattr(pipeline, "transformer")
        else {"unet_config": pipeline.unet.config}
    )
    try:
        converted = pipeline.lora_state_dict(fold_kohya_alphas(file.tensors), **options)[0]
    except (ValueError, KeyError, NotImplementedError, IndexError) as error:
        raise CheckpointError(
            f"The LoRA {file.label} cannot be translated: {error} Use one saved by diffusers."
        ) from error
    return with_peft_names(converted)


def _check_all_are_in_force(
    pipeline: Any, by_component: Mapping[str, Mapping[str, Any]], file: LoraFile, name: str
) -> None:
    """Checks against the model itself that each module of the file got its update."""
    for component, tensors in by_component.items():
        wanted = {key.split(".lora_")[0] for key in tensors}
        network = getattr(pipeline, component)
        got = {
            path
            for path, module in network.named_modules()
            if name in getattr(module, "lora_A", ()) and hasattr(module, "base_layer")
        }
        if missed := sorted(wanted - got):
            raise CheckpointError(
                f"The LoRA {file.label} was not taken up by {len(missed)} of {len(wanted)} modules "
                f"of the {component} ({', '.join(missed[:_SHOWN_KEYS])})."
            )


def _set_scales(pipeline: Any, names: Sequence[str], scales: Sequence[float]) -> None:
    """Puts the adapters in force, each at its scale."""
    from diffusers.utils import set_weights_and_activate_adapters

    for component in pipeline.components.values():
        known = getattr(component, "peft_config", {})
        here = [(name, scale) for name, scale in zip(names, scales, strict=True) if name in known]
        if here:
            adapters, weights = zip(*here, strict=True)
            set_weights_and_activate_adapters(component, list(adapters), list(weights))
