"""Training images as one array on disk, so that any number of them fits in memory's cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from data.images import fit_square, load_rgb
from data.records import ImageRecord

COLOUR_TOLERANCE = 8  # in 255: channels of a grey picture differ by less, JPEG's rounding included
COLOUR_SHARE = 0.001  # of the pixels of a grey picture, which may be more than that apart
LOOKED_AT = 2000  # pictures of a set that decide whether it is grey


def _key(records: Sequence[ImageRecord], size_px: int, fit: str, is_grey: bool) -> str:
    digest = hashlib.sha256(f"{size_px} {fit}{' grey' if is_grey else ''}".encode())
    for record in records:
        stat = record.path.stat()
        digest.update(f"{record.path.resolve()} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def open_images(
    records: Sequence[ImageRecord], *, size_px: int, fit: str, cache: Path, is_grey: bool = False
) -> np.ndarray:
    """Return the images of the records as an array that lies on disk.

    Args:
        records: What to load, in order.
        size_px: Width and height of the result.
        fit: How a picture of another shape is made square: "pad", "crop" or "stretch".
        cache: Folder for the array; written once for each set of files.
        is_grey: Whether colours are taken out.

    Returns:
        (N, size_px, size_px, 3) uint8, read-only, memory-mapped.
    """
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"images-{_key(records, size_px, fit, is_grey)}.npy"
    if not path.is_file():
        partial = path.with_suffix(f".{os.getpid()}.partial")
        shape = (len(records), size_px, size_px, 3)
        array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)

        def fill(index: int) -> None:
            picture = fit_square(load_rgb(records[index].path), size_px, fit)  # type: ignore[arg-type]
            if is_grey:
                picture = picture.convert("L").convert("RGB")
            array[index] = np.asarray(picture)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(fill, range(len(records))))
        array.flush()
        del array
        partial.rename(path)
    return np.load(path, mmap_mode="r")


def are_grey(images: np.ndarray) -> bool:
    """Return whether no picture of a set has colour; of large sets 2,000 are looked at.

    Args:
        images: (N, H, W, 3) uint8.
    """
    for image in images[:: max(1, -(-len(images) // LOOKED_AT))]:
        channels = np.asarray(image, dtype=np.int16)
        spread = channels.max(axis=2) - channels.min(axis=2)
        if (spread >= COLOUR_TOLERANCE).mean() > COLOUR_SHARE:
            return False
    return True


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """Return uint8 (N, H, W, 3) pictures as float32 (N, 3, H, W) in [-1, 1]."""
    tensor = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)
    return tensor.float().div_(127.5).sub_(1.0)


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """Return float (N, 3, H, W) pictures in [-1, 1] as uint8 (N, H, W, 3), clipped."""
    array = images.detach().float().clamp(-1, 1).add(1).mul(127.5).round().byte()
    return array.permute(0, 2, 3, 1).cpu().numpy()
