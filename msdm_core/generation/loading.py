"""Loading stock pipelines from folders: safetensors only, nothing fetched, no code run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msdm_core.errors import CheckpointError
from msdm_core.generation.checkpoint import read_model_index
from msdm_core.generation.placement import Placement, quantisation_config

# Large networks worth quantising; autoencoders lose detail and are small.
_QUANTISED = ("transformer", "unet", "prior", "text_encoder_2")
_SAFETY = ("safety_checker", "feature_extractor")
_PAGE_BYTES = 4096


def quieten() -> None:
    """Keeps the libraries from writing to the terminal; what matters is raised."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()


def load_stock_pipeline(kind: Any, folder: Path, placement: Placement) -> Any:
    """Returns a pipeline of a diffusers class, in main memory.

    Args:
        kind: the pipeline class.
        folder: in the layout that `save_pretrained` writes; whole or in shards.
        placement: number type and quantisation.

    Raises:
        CheckpointError: it does not load.
    """
    from safetensors import SafetensorError

    options: dict[str, Any] = {"dtype": placement.dtype, **_left_out(folder)}
    index = read_model_index(folder)
    quantised = [name for name in _QUANTISED if name in index]
    config = quantisation_config(placement, quantised)
    if config is not None:
        options["quantization_config"] = config
    try:
        return kind.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, trust_remote_code=False, **options
        )
    except (
        SafetensorError, OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError,
        ImportError,
    ) as error:  # fmt: skip
        raise CheckpointError(
            f"The checkpoint {folder} cannot be loaded: {_first_line(error)} "
            "Replace the folder by a whole checkpoint, or name another."
        ) from error


def _left_out(folder: Path) -> dict[str, None]:
    """Returns the optional parts that are not to be loaded: a safety checker that is not there."""
    index = read_model_index(folder)
    checker, extractor = (folder / name for name in _SAFETY)
    if any(checker.glob("*.safetensors")) and extractor.is_dir():
        return {}
    return {name: None for name in _SAFETY if name in index}


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if text.endswith(".") else f"{text}."


def networks(pipeline: Any) -> Iterator[Any]:
    """Yields the networks of a pipeline."""
    import torch

    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            yield component


def _tensors(pipeline: Any) -> Iterable[Any]:
    for network in networks(pipeline):
        yield from network.parameters()
        yield from network.buffers()


def weight_bytes(pipeline: Any) -> int:
    """Returns the size of all weights of a pipeline."""
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(pipeline))


def hold_in_memory(pipeline: Any) -> None:
    """Touches each page of the weights, which loading only maps from their files.

    Otherwise the first image would be slower than the next, and seem to need the weights' memory
    once more.
    """
    for tensor in _tensors(pipeline):
        if tensor.device.type == "cpu" and tensor.is_contiguous():
            stride = max(1, _PAGE_BYTES // tensor.element_size())
            tensor.detach().view(-1)[::stride].sum()
