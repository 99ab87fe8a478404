"""Latents of the training images, encoded once and kept on disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from msdm_core.msdm.autoencoder import encode
from msdm_core.training.image_store import to_tensor


def encoder_digest(model: Any) -> str:
    """Return a hash of all that decides to which latents an autoencoder encodes."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if name.startswith(("decoder", "post_quant_conv")):
            continue  # latents are the same whatever decodes them
        digest.update(name.encode())
        digest.update(value.detach().half().cpu().numpy().tobytes())
    scale = {k: model.config.get(k) for k in ("scaling_factor", "shift_factor")}
    digest.update(str(scale).encode())
    return digest.hexdigest()


def _digest(model: Any, images: np.ndarray) -> str:
    digest = hashlib.sha256(encoder_digest(model).encode())
    digest.update(str(images.shape).encode())
    digest.update(np.ascontiguousarray(images[:: max(1, len(images) // 64)]).tobytes())
    return digest.hexdigest()[:16]


@torch.no_grad()
def open_latents(
    model: Any, images: np.ndarray, *, cache: Path, device: torch.device, batch_size: int = 16
) -> np.ndarray:
    """Return the latents of images and of their mirror images.

    Args:
        model: The autoencoder.
        images: (N, S, S, 3) uint8.
        cache: Folder for the array; written once for each autoencoder and set of images.
        device: Where to encode.
        batch_size: Images at once.

    Returns:
        (N, 2, C, S/f, S/f) float16, read-only, memory-mapped; index 1 is mirrored left to right.
    """
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"latents-{_digest(model, images)}.npy"
    if not path.is_file():
        model = model.to(device).eval()
        shape = encode(model, to_tensor(images[:1]).to(device)).shape[1:]
        partial = path.with_suffix(f".{os.getpid()}.partial")
        array = np.lib.format.open_memmap(
            partial, mode="w+", dtype=np.float16, shape=(len(images), 2, *shape)
        )
        for start in range(0, len(images), batch_size):
            batch = to_tensor(images[start : start + batch_size]).to(device)
            for side, pictures in enumerate((batch, batch.flip(-1))):
                array[start : start + len(batch), side] = encode(model, pictures).cpu().numpy()
        array.flush()
        del array
        partial.rename(path)
    return np.load(path, mmap_mode="r")
