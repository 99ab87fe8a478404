"""Losses on images: pixels, structure, and the energy of fine texture."""

from __future__ import annotations

import torch
from torch.nn import functional

HAAR = torch.tensor(
    [
        [[1.0, 1.0], [1.0, 1.0]],
        [[1.0, -1.0], [1.0, -1.0]],
        [[1.0, 1.0], [-1.0, -1.0]],
        [[1.0, -1.0], [-1.0, 1.0]],
    ]
).div(2.0)


def haar_bands(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one level of the orthonormal Haar wavelet transform.

    Args:
        images: (N, C, H, W), H and W even.

    Returns:
        Low band (N, C, H/2, W/2) and the three detail bands (N, 3C, H/2, W/2).
        Source: Mallat 1989, IEEE TPAMI 11(7).
    """
    channels = images.shape[1]
    kernels = HAAR.to(images)[:, None]  # (4, 1, 2, 2)
    flat = images.flatten(0, 1)[:, None]
    bands = functional.conv2d(flat, kernels, stride=2)
    bands = bands.unflatten(0, (-1, channels))  # (N, C, 4, H/2, W/2)
    return bands[:, :, 0], bands[:, :, 1:].flatten(1, 2)


def texture_energy_loss(
    images: torch.Tensor, targets: torch.Tensor, *, levels: int = 3, window: int = 4
) -> torch.Tensor:
    """Return how far the local energy of the detail bands is from the target's.

    A pixel loss is smallest for a blur where the detail cannot be known. This loss asks that the
    detail be there in the right strength, wherever its exact place cannot be had.

    Args:
        images: (N, 3, H, W) in [-1, 1], H and W divisible by ``2**levels * window``.
        targets: Same shape.
        levels: Wavelet levels, finest first.
        window: Side of the window, in wavelet coefficients, over which energy is averaged.

    Returns:
        Scalar: mean absolute difference of local root mean squares, summed over the levels.
    """
    total = images.new_zeros(())
    for _ in range(levels):
        images, details = haar_bands(images)
        targets, target_details = haar_bands(targets)
        difference = _local_rms(details, window) - _local_rms(target_details, window)
        total = total + difference.abs().mean()
        images, targets = images / 2, targets / 2
    return total


def _local_rms(bands: torch.Tensor, window: int) -> torch.Tensor:
    return functional.avg_pool2d(bands.square(), window).add(1e-5).sqrt()


def structural_similarity(images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean structural similarity of images in [-1, 1] over 8x8 windows.

    Source: Wang et al. 2004, IEEE TIP 13(4), with a uniform window and stride 4.
    """
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2

    def mean(x: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(x, 8, 4)

    mu_x, mu_y = mean(images), mean(targets)
    var_x = mean(images.square()) - mu_x.square()
    var_y = mean(targets.square()) - mu_y.square()
    cov = mean(images * targets) - mu_x * mu_y
    similarity = ((2 * mu_x * mu_y + c1) * (2 * cov + c2)) / (
        (mu_x.square() + mu_y.square() + c1) * (var_x + var_y + c2)
    )
    return similarity.mean()


def psnr(images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the peak signal-to-noise ratio (N,) in dB of images in [-1, 1]."""
    error = (images.clamp(-1, 1) - targets).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(4.0 / error.clamp(min=1e-10))
