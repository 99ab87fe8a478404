"""Latents that a denoiser draws, for a decoder to learn what it will be given."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from msdm_core.errors import TrainingError
from msdm_core.generation.adapters import make_adapter
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.diffusers_adapter import DiffusersAdapter
from msdm_core.generation.request import check_image_request
from msdm_core.msdm.autoencoder import to_diffusion
from msdm_core.training.latents import encoder_digest

FIRST_SEED = 10_000


def open_drawn_latents(
    entry: ModelEntry,
    autoencoder: Any,
    prompts: Sequence[str],
    *,
    size_px: int,
    cache: Path,
    threads: int = 0,
) -> np.ndarray:
    """Return the latents that a model draws at its default settings, one for each prompt.

    Args:
        entry: The model.
        autoencoder: Whose decoder is to be trained; it must encode as the model's own does.
        prompts: N prompts; seeds count up from 10,000.
        size_px: Width and height of the pictures.
        cache: Folder for the array; it is drawn once for the same weights and prompts.
        threads: CPU threads, 0 for all.

    Returns:
        (N, C, h, w) float16, scaled for diffusion.

    Raises:
        TrainingError: The model's autoencoder encodes otherwise.
        CoreError: The model cannot be loaded.
    """
    entry = replace(entry, native_size_px=size_px, sizes_px=(size_px,))
    told = [entry.weights_sha256(), str(size_px), str(entry.resolved_defaults()), *prompts]
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
    path = cache / f"drawn-{digest}.npy"
    if not path.is_file():
        adapter = make_adapter(entry, threads=threads)
        assert isinstance(adapter, DiffusersAdapter)
        adapter.load()
        model = adapter.autoencoder()
        if encoder_digest(model) != encoder_digest(autoencoder):
            raise TrainingError(
                f"{entry.id} draws latents of another autoencoder than the one to be trained. "
                "Begin with the model's own, given to --init, and freeze its encoder."
            )
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as file:
            np.save(file, _drawn(adapter, model, entry, prompts))
        partial.rename(path)
    return np.load(path, mmap_mode="r")


def _drawn(
    adapter: DiffusersAdapter, model: Any, entry: ModelEntry, prompts: Sequence[str]
) -> np.ndarray:
    drawn = []
    with _decoded_by(model) as given:
        for number, prompt in enumerate(prompts):
            given.clear()
            request = check_image_request(entry, prompt, seed=FIRST_SEED + number)
            adapter.generate(request, lambda *_: None)
            drawn.append(to_diffusion(model, given[-1]).float().cpu().numpy()[0])
    return np.stack(drawn).astype(np.float16)


@contextmanager
def _decoded_by(model: Any) -> Iterator[list[torch.Tensor]]:
    """Collect what an autoencoder is given to decode; previews come first, the picture last."""
    given: list[torch.Tensor] = []
    decode = model.decode

    def recorded(latents: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        given.append(latents.detach())
        return decode(latents, *arguments, **options)

    model.decode = recorded
    try:
        yield given
    finally:
        model.decode = decode
