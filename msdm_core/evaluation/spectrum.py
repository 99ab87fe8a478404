"""Radially averaged power spectra: is the fine detail of generated images as strong as real?"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def power_spectrum(images: np.ndarray) -> np.ndarray:
    """Return the radially averaged power spectrum of the images' luma, averaged over images.

    Args:
        images: (N, S, S, 3) uint8, S even.

    Returns:
        (S/2,) float64: mean power at 1 .. S/2 cycles an image, of Hann-windowed luma in [0, 1]
        with its mean taken out. Source: van der Schaaf and van Hateren 1996, Vision Research 36.
    """
    size = images.shape[1]
    window = np.outer(np.hanning(size), np.hanning(size))
    frequency = np.fft.fftfreq(size, 1 / size)
    radius = np.rint(np.hypot(*np.meshgrid(frequency, frequency))).astype(int).ravel()
    counts = np.bincount(radius, minlength=size // 2 + 1)
    total = np.zeros(size // 2)
    for image in images:
        luma = image.astype(np.float64) @ LUMA / 255
        power = np.abs(np.fft.fft2((luma - luma.mean()) * window)) ** 2
        sums = np.bincount(radius, weights=power.ravel(), minlength=size // 2 + 1)
        total += (sums / counts)[1 : size // 2 + 1]
    return total / max(1, len(images))


def octaves(size_px: int) -> list[tuple[int, int]]:
    """Return the octaves [low, high) in cycles an image: 1-2, 2-4, ... up to S/2."""
    edges = [2**k for k in range(size_px.bit_length() - 1) if 2**k <= size_px // 2]
    return list(pairwise(edges))


def octave_powers(images: np.ndarray) -> np.ndarray:
    """Return the mean power in each octave of (N, S, S, 3) uint8 images, coarsest first."""
    spectrum = power_spectrum(images)
    bands = octaves(images.shape[1])
    return np.array([spectrum[low - 1 : high - 1].mean() for low, high in bands])


def octave_ratios(images: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return the power of each octave as a multiple of the real images', coarsest first."""
    return octave_powers(images) / octave_powers(real)
