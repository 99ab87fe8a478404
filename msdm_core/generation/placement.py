"""Where and how a model's weights are held: device, number type, offload, quantisation."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from msdm_core.errors import SettingsError
from msdm_core.generation.catalogue import ModelEntry

if TYPE_CHECKING:
    import torch

Offload = Literal["none", "model", "sequential"]
Quantisation = Literal["none", "int8", "nf4"]
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Placement:
    """How a model's weights are held."""

    device: str
    dtype: torch.dtype
    offload: Offload = "none"
    quantisation: Quantisation = "none"

    @property
    def dtype_name(self) -> str:
        """The number type as provenance states it."""
        return str(self.dtype).removeprefix("torch.")


def choose_placement(entry: ModelEntry, device: str, *, needs_float32: bool = False) -> Placement:
    """Returns how to hold a model here.

    Args:
        entry: the model; its `dtype`, `offload` and `quantise` say "auto" where this chooses.
        device: auto, cpu, cuda or mps.
        needs_float32: the weights lose their meaning in 16 bits.

    Raises:
        SettingsError: the device or the library for quantising is not there.
    """
    chosen = torch_device(device)
    quantisation = _quantisation(entry, chosen)
    return Placement(
        device=chosen,
        dtype=_dtype(entry, chosen, needs_float32),
        offload=_offload(entry, chosen, is_smaller=quantisation != "none"),
        quantisation=quantisation,
    )


def torch_device(name: str) -> str:
    """Returns the device that `name` stands for: auto is CUDA where there is one, else the CPU.

    Raises:
        SettingsError: it is not there.
    """
    import torch

    has = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return "cuda" if has["cuda"] else "cpu"
    if not has.get(name, False):
        there = ", ".join(device for device, is_there in has.items() if is_there)
        raise SettingsError(f"The device {name!r} is not there. Devices here: {there}.")
    return name


def _dtype(entry: ModelEntry, device: str, needs_float32: bool) -> torch.dtype:
    import torch

    if entry.dtype != "auto":
        return getattr(torch, entry.dtype)
    if device != "cuda" or needs_float32:
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _offload(entry: ModelEntry, device: str, is_smaller: bool) -> Offload:
    if device != "cuda":  # what is in main memory already has nowhere to go
        return "none"
    if entry.offload != "auto":
        return entry.offload
    return "model" if _is_too_large(entry) and not is_smaller else "none"


def _is_too_large(entry: ModelEntry) -> bool:
    import torch

    free_bytes, _ = torch.cuda.mem_get_info()
    return (entry.least_gpu_memory_gib or 0) * _GIB > free_bytes


def _quantisation(entry: ModelEntry, device: str) -> Quantisation:
    if entry.quantise == "none":
        return "none"
    has_library = importlib.util.find_spec("bitsandbytes") is not None
    if entry.quantise == "auto":
        is_wanted = device == "cuda" and has_library and _is_too_large(entry)
        return "nf4" if is_wanted else "none"
    if device != "cuda":
        raise SettingsError(
            f"{entry.label} is listed with quantise = {entry.quantise!r}, which needs an NVIDIA "
            f'GPU; the device is {device}. Set quantise = "none" or "auto" in catalogue.toml.'
        )
    if not has_library:
        raise SettingsError(
            f"{entry.label} is listed with quantise = {entry.quantise!r}, which needs the package "
            "bitsandbytes. Install it (pip install bitsandbytes), or set quantise to "
            '"none" or "auto" in catalogue.toml.'
        )
    return entry.quantise


def quantisation_config(placement: Placement, components: list[str]) -> Any | None:
    """Returns diffusers' configuration for loading `components` quantised; None for none."""
    if placement.quantisation == "none":
        return None
    from diffusers import PipelineQuantizationConfig

    options: dict[str, Any]
    if placement.quantisation == "int8":
        backend, options = "bitsandbytes_8bit", {"load_in_8bit": True}
    else:
        backend = "bitsandbytes_4bit"
        options = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_compute_dtype": placement.dtype,
        }
    return PipelineQuantizationConfig(
        quant_backend=backend, quant_kwargs=options, components_to_quantize=components
    )


def place(pipeline: Any, placement: Placement) -> None:
    """Moves a loaded pipeline to where it is to run."""
    if placement.offload == "model":
        pipeline.enable_model_cpu_offload(device=placement.device)
    elif placement.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=placement.device)
    else:
        pipeline.to(placement.device)
