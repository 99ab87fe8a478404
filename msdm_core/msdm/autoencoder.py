"""Encoding to and decoding from diffusion latents, alike for the autoencoders in use."""

from __future__ import annotations

from typing import Any, Literal, overload

import torch


def _is_quantised(model: Any) -> bool:
    """Return whether a model is a `VQModel`, whose latents a codebook may round."""
    return hasattr(model, "quantize")


def _scale_and_shift(model: Any) -> tuple[float, float]:
    config = model.config
    if _is_quantised(model):  # its pipelines apply none, whatever the configuration says
        return 1.0, 0.0
    return float(config.get("scaling_factor") or 1.0), float(config.get("shift_factor") or 0.0)


@overload
def encode(
    model: Any, images: torch.Tensor, *, generator: torch.Generator | None = ...,
    with_kl: Literal[False] = ...,
) -> torch.Tensor: ...


@overload
def encode(
    model: Any, images: torch.Tensor, *, generator: torch.Generator | None = ...,
    with_kl: Literal[True],
) -> tuple[torch.Tensor, torch.Tensor]: ...


def encode(
    model: Any,
    images: torch.Tensor,
    *,
    generator: torch.Generator | None = None,
    with_kl: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Return the latents of images, scaled for diffusion.

    Args:
        model: `AutoencoderKL`, `AutoencoderDC`, `VQModel`, or one that is in a data-parallel
            wrapper.
        images: (B, 3, H, W) in [-1, 1].
        generator: CPU generator; where given, a variational encoder is sampled, else its mean
            is taken.
        with_kl: Return the KL divergence from N(0, 1) as well (0 for a deterministic encoder).

    Returns:
        (B, C, H/f, W/f), and with ``with_kl`` a scalar, the divergence per latent value.
    """
    core = getattr(model, "module", model)
    encoded = core.encode(images)
    scale, shift = _scale_and_shift(core)
    kl = images.new_zeros(())
    if hasattr(encoded, "latent"):
        latents = encoded.latent
    elif hasattr(encoded, "latents"):
        latents = encoded.latents
    else:
        posterior = encoded.latent_dist
        latents = posterior.mean
        if generator is not None:
            noise = torch.randn(latents.shape, generator=generator).to(latents)
            latents = latents + posterior.std * noise
        kl = posterior.kl().sum() / latents.numel()
    latents = (latents - shift) * scale
    return (latents, kl) if with_kl else latents


def to_diffusion(model: Any, latents: torch.Tensor) -> torch.Tensor:
    """Return what a model's own `decode` is given, (B, C, H/f, W/f), scaled for diffusion."""
    scale, shift = _scale_and_shift(getattr(model, "module", model))
    return (latents - shift) * scale


def decode(model: Any, latents: torch.Tensor) -> torch.Tensor:
    """Return images (B, 3, H, W), about [-1, 1], of diffusion latents (B, C, H/f, W/f)."""
    core = getattr(model, "module", model)
    scale, shift = _scale_and_shift(core)
    latents = latents / scale + shift
    if _is_quantised(core):
        return core.decode(latents, force_not_quantize=True).sample
    return core.decode(latents).sample
