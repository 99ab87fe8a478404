"""Noising for training: what a denoiser sees, what it must predict, and how much each level counts.

Two families: flow matching on straight paths, and discrete variance-preserving diffusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Noised:
    """A noised batch.

    Attributes:
        inputs: (B, C, H, W) what the denoiser sees.
        timesteps: (B,) its time input, in [0, 1000].
        target: (B, C, H, W) what it must predict.
        weight: (B,) weight of the squared error.
    """

    inputs: torch.Tensor
    timesteps: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor


TIME_SHIFTS = (1.0, 3.0)


def noised(
    scheduler: Any,
    latents: torch.Tensor,
    generator: torch.Generator,
    *,
    min_snr_gamma: float = 5.0,
    shifts: Sequence[float] = TIME_SHIFTS,
) -> Noised:
    """Return a noised batch as the scheduler's configuration asks for.

    Args:
        scheduler: Its ``prediction_type`` is "flow_prediction", "epsilon" or "v_prediction".
        latents: (B, C, H, W) clean.
        generator: CPU generator; decides times and noise.
        min_snr_gamma: Loss weighting of discrete diffusion (Hang et al. 2023, arXiv:2303.09556).
        shifts: Of flow matching, see `mixed_sigmas`.
    """
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    if scheduler.config.prediction_type == "flow_prediction":
        sigmas = mixed_sigmas(len(latents), generator, shifts)
        return flow_noised(latents, noise, sigmas.to(latents))
    return _diffusion(scheduler, latents, noise, generator, min_snr_gamma)


def flow_noised(latents: torch.Tensor, noise: torch.Tensor, sigmas: torch.Tensor) -> Noised:
    """Return latents moved along straight paths to the noise.

    Source: Lipman et al. 2022, arXiv:2210.02747; Esser et al. 2024, arXiv:2403.03206.

    Args:
        latents: (B, C, H, W) clean.
        noise: Same shape.
        sigmas: (B,) share of noise, in (0, 1).
    """
    s = sigmas[:, None, None, None]
    return Noised(
        inputs=(1 - s) * latents + s * noise,
        timesteps=sigmas * 1000.0,
        target=noise - latents,
        weight=torch.ones_like(sigmas),
    )


def mixed_sigmas(
    count: int, generator: torch.Generator, shifts: Sequence[float] = TIME_SHIFTS
) -> torch.Tensor:
    """Return (count,) shares of noise: logit-normal, each moved towards the noise by a shift.

    Layout and what a text asks for are settled at high noise, fine detail at low noise; one shift
    for all starves one of them. Where the leading latent channels are many times as strong as
    noise of unit variance, brightness and layout are settled at shares of 0.9 and more, which a
    shift of 3 hardly visits and one of 12 does.

    Args:
        count: How many.
        generator: Decides them.
        shifts: Of which one is drawn evenly for each; 1 moves nothing.

    Source: Esser et al. 2024, arXiv:2403.03206, sections 3.1 and 5.3.2 (shift).
    """
    sigmas = torch.sigmoid(torch.randn(count, generator=generator))
    drawn = (torch.rand(count, generator=generator) * len(shifts)).long()
    shift = torch.tensor(shifts).flip(0)[drawn]
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def _diffusion(
    scheduler: Any,
    latents: torch.Tensor,
    noise: torch.Tensor,
    generator: torch.Generator,
    gamma: float,
) -> Noised:
    steps = scheduler.config.num_train_timesteps
    timesteps = torch.randint(0, steps, (len(latents),), generator=generator)
    alpha_bar = scheduler.alphas_cumprod[timesteps].to(latents)
    a, s = (x[:, None, None, None] for x in (alpha_bar.sqrt(), (1 - alpha_bar).sqrt()))
    snr = alpha_bar / (1 - alpha_bar)
    if scheduler.config.prediction_type == "epsilon":
        target, weight = noise, snr.clamp(max=gamma) / snr
    else:
        target, weight = a * noise - s * latents, snr.clamp(max=gamma) / (snr + 1)
    return Noised(a * latents + s * noise, timesteps.to(latents.device), target, weight)
