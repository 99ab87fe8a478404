"""Training of the autoencoder: pixels, structure, texture, and at the end an adversary."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from msdm_core.evaluation.spectrum import octave_ratios
from msdm_core.msdm.autoencoder import decode, encode
from msdm_core.msdm.saving import drop_local_paths
from msdm_core.training.image_store import to_tensor, to_uint8
from msdm_core.training.loop import Losses
from msdm_core.training.losses import psnr, structural_similarity, texture_energy_loss
from msdm_core.training.randomness import StepRandom
from msdm_core.training.sheet import write_sheet


@dataclass(frozen=True, slots=True)
class AutoencoderOptions:
    """Weights of the losses, and what is trained.

    Attributes:
        batch_size: Crops a step.
        crop_px: Side of the training crops.
        pixel_weight: Mean absolute error.
        structure_weight: 1 - SSIM.
        texture_weight: Local energy of the wavelet details.
        kl_weight: KL divergence of the latents from N(0, 1), for variational autoencoders.
        adversarial_weight: Patch adversary (0: none).
        latent_noise: Standard deviation of noise added to the latents before decoding, so that
            the decoder forgives small errors of the denoiser.
        is_encoder_frozen: Train the decoder alone; latents stay what a denoiser knows.
        adversary_scales: Sizes at which the adversary looks: 1 for pixels alone, 3 for halves and
            quarters too.
        drawn_weight: Adversary's weight on latents that a denoiser drew (0: none are used).
        keep_weight: What a drawn picture may not change: its mean absolute difference, in
            squares of 8 pixels, from what the decoder made of it at the start.
    """

    batch_size: int = 16
    crop_px: int = 128
    pixel_weight: float = 1.0
    structure_weight: float = 0.1
    texture_weight: float = 0.5
    kl_weight: float = 1e-6
    adversarial_weight: float = 0.0
    latent_noise: float = 0.1
    is_encoder_frozen: bool = False
    adversary_scales: int = 1
    drawn_weight: float = 0.0
    keep_weight: float = 2.0


class PatchDiscriminator(nn.Sequential):
    """Judges overlapping patches of 35 pixels as real or reconstructed.

    Source: Isola et al. 2017, arXiv:1611.07004, with group normalisation, which does not tie the
    samples of a batch together.
    """

    def __init__(self, width: int = 32) -> None:
        """Build the network; width is the channel count of its first layer."""
        super().__init__(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width * 2, 4, 2, 1),
            nn.GroupNorm(8, width * 2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width * 2, width * 4, 4, 1, 1),
            nn.GroupNorm(8, width * 4),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width * 4, 1, 4, 1, 1),
        )


class Adversary(nn.Module):
    """Patch discriminators of the same images at full size, halves, quarters and so on.

    Source: Wang et al. 2018, arXiv:1711.11585, section 3.2 (multi-scale discriminators).
    """

    def __init__(self, scales: int = 1) -> None:
        """Build one discriminator for each of `scales` sizes."""
        super().__init__()
        self.judges = nn.ModuleList(PatchDiscriminator() for _ in range(scales))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (B, scales, h, w), positive where a place looks real; sizes count alike."""
        told: list[torch.Tensor] = []
        for judge in self.judges:
            seen = judge(images)
            told.append(functional.interpolate(seen, told[0].shape[-2:]) if told else seen)
            images = functional.avg_pool2d(images, 2)
        return torch.cat(told, dim=1)


class Reconstruction(nn.Module):
    """Encodes, adds noise and decodes in one forward pass, as data parallelism needs it."""

    def __init__(self, model: Any, latent_noise: float) -> None:
        """Take an autoencoder and the standard deviation of the noise on its latents."""
        super().__init__()
        self.model, self.latent_noise = model, latent_noise

    def forward(
        self,
        images: torch.Tensor,
        generator: torch.Generator,
        latents: torch.Tensor | None = None,
        drawn: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return reconstructions (B, 3, H, W) and the KL divergence of the latents.

        Latents that are given are not encoded again; their divergence counts as 0. Drawn latents
        (D, C, h, w) are decoded as they are, and their pictures follow the reconstructions.
        """
        if latents is None:
            latents, kl = encode(self.model, images, generator=generator, with_kl=True)
        else:
            kl = images.new_zeros(())
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        latents = latents + self.latent_noise * noise
        if drawn is not None:
            latents = torch.cat([latents, drawn])
        return decode(self.model, latents), kl


class AutoencoderTask:
    """Trains an autoencoder on crops of images."""

    name = "autoencoder"

    def __init__(
        self,
        model: Any,
        images: np.ndarray,
        validation: np.ndarray,
        options: AutoencoderOptions,
        origin: str,
        latents: np.ndarray | None = None,
        fixed: tuple[str, ...] = (),
        drawn: np.ndarray | None = None,
    ) -> None:
        """Take a model and its data.

        Args:
            model: `AutoencoderKL`, `AutoencoderDC` or `VQModel`.
            images: (N, H, W, 3) uint8 for training.
            validation: (M, H, W, 3) uint8, never trained on.
            options: What to train and how.
            origin: Preset or folder the model came from, kept with the run.
            latents: (N, 2, C, H/f, W/f), of the training images and of their mirror images; a
                frozen encoder then need not run. Crops lie on the grid of the latents.
            fixed: Beginnings of the names of parameters that stay as they are.
            drawn: (D, C, H/f, W/f), latents that a denoiser drew; needed for `drawn_weight`.
        """
        self.model, self.images, self.options, self.origin = model, images, options, origin
        self.latents = latents
        self.validation = to_tensor(validation[:32])
        if options.is_encoder_frozen:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(name.startswith(("decoder", "post_quant_conv")))
        for name, parameter in model.named_parameters():
            if name.startswith(fixed):
                parameter.requires_grad_(False)
        self.parts: dict[str, nn.Module] = {
            "autoencoder": Reconstruction(model, options.latent_noise)
        }
        if options.adversarial_weight:
            self.parts["discriminator"] = Adversary(options.adversary_scales)
        self.drawn = drawn if options.drawn_weight else None
        if options.drawn_weight:
            self._start = copy.deepcopy(model).requires_grad_(False).eval()

    def config(self) -> dict[str, Any]:
        """Return the model's configuration and the options."""
        model = {k: v for k, v in dict(self.model.config).items() if not k.startswith("_")}
        known = {} if self.latents is None else {"latents": list(self.latents.shape)}
        if self.drawn is not None:
            known["drawn"] = list(self.drawn.shape)
        return {"origin": self.origin, "model": model, "images": len(self.images),
                **asdict(self.options), **known}

    def _crops(
        self, random: StepRandom, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return crops of images and, where latents are known, what they were encoded to."""
        if self.latents is not None:
            return self._known_crops(self.latents, random, device)
        size, side = self.options.crop_px, self.images.shape[1]
        picked = random.numpy.integers(0, len(self.images), self.options.batch_size)
        corners = random.numpy.integers(0, side - size + 1, (self.options.batch_size, 2))
        mirrored = random.numpy.random(self.options.batch_size) < 0.5
        crops = []
        for index, (top, left), is_mirrored in zip(picked, corners, mirrored, strict=True):
            crop = self.images[index, top : top + size, left : left + size]
            crops.append(crop[:, ::-1] if is_mirrored else crop)
        return to_tensor(np.stack(crops)).to(device), None

    def _known_crops(
        self, known: np.ndarray, random: StepRandom, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        factor = self.images.shape[1] // known.shape[-1]
        size, side = self.options.crop_px // factor, known.shape[-1]
        picked = random.numpy.integers(0, len(self.images), self.options.batch_size)
        corners = random.numpy.integers(0, side - size + 1, (self.options.batch_size, 2))
        mirrored = random.numpy.random(self.options.batch_size) < 0.5
        crops, latents = [], []
        for index, (top, left), is_mirrored in zip(picked, corners, mirrored, strict=True):
            image = self.images[index, :, ::-1] if is_mirrored else self.images[index]
            rows, columns = (slice(at * factor, (at + size) * factor) for at in (top, left))
            crops.append(image[rows, columns])
            latents.append(
                known[index, int(is_mirrored), :, top : top + size, left : left + size]
            )
        encoded = torch.from_numpy(np.stack(latents).astype(np.float32))
        return to_tensor(np.stack(crops)).to(device), encoded.to(device)

    def losses(self, parts: dict[str, nn.Module], random: StepRandom) -> Losses:
        """Yield the autoencoder's loss, then, where there is one, the discriminator's."""
        model, options = parts["autoencoder"], self.options
        device = next(model.parameters()).device
        crops, latents = self._crops(random, device)
        drawn = None if self.drawn is None else self._drawn_crops(self.drawn, random, device)
        decoded, kl = model(crops, random.torch, latents, drawn)
        images, pictures = decoded[: len(crops)], decoded[len(crops) :]
        pixel = (images - crops).abs().mean()
        structure = 1 - structural_similarity(images, crops)
        texture = texture_energy_loss(images, crops)
        loss = (
            options.pixel_weight * pixel
            + options.structure_weight * structure
            + options.texture_weight * texture
            + options.kl_weight * kl
        )
        figures = {"pixel": pixel.item(), "structure": structure.item(), "texture": texture.item()}
        if not options.adversarial_weight:
            yield "autoencoder", loss, figures
            return
        discriminator = parts["discriminator"]
        judge = getattr(discriminator, "module", discriminator)
        loss = loss - options.adversarial_weight * judge(images).mean()
        if drawn is not None:
            changed = self._change(pictures, drawn)
            figures["change"] = changed.item()
            loss = loss + options.keep_weight * changed
            loss = loss - options.drawn_weight * judge(pictures).mean()
        yield "autoencoder", loss, figures
        parts_of = [len(crops), len(decoded)]
        real, fake = discriminator(torch.cat([crops, decoded.detach()])).split(parts_of)
        hinge = functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
        told = {"real": real.mean().item(), "fake": fake[: len(crops)].mean().item()}
        if drawn is not None:
            told["drawn"] = fake[len(crops) :].mean().item()
        yield "discriminator", hinge, told

    def _drawn_crops(
        self, drawn: np.ndarray, random: StepRandom, device: torch.device
    ) -> torch.Tensor:
        """Return crops of drawn latents, (B, C, h, w)."""
        size = self.options.crop_px * drawn.shape[-1] // self.images.shape[1]
        picked = random.numpy.integers(0, len(drawn), self.options.batch_size)
        corners = random.numpy.integers(
            0, drawn.shape[-1] - size + 1, (self.options.batch_size, 2)
        )
        crops = [drawn[index, :, top : top + size, left : left + size]
                 for index, (top, left) in zip(picked, corners, strict=True)]
        return torch.from_numpy(np.stack(crops).astype(np.float32)).to(device)

    def _change(self, pictures: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """Return how far pictures are, in squares of 8 pixels, from those at the start."""
        with torch.no_grad():
            before = decode(self._start.to(drawn.device), drawn)
        return functional.avg_pool2d(pictures - before, 8).abs().mean()

    @torch.no_grad()
    def _reconstruct(self) -> torch.Tensor:
        device = next(self.model.parameters()).device
        batches = [decode(self.model, encode(self.model, batch.to(device))).cpu()
                   for batch in self.validation.split(8)]
        return torch.cat(batches)

    def validate(self) -> dict[str, float]:
        """Return PSNR (dB), SSIM and the power of each octave against the real images'."""
        images = self._reconstruct()
        figures = {
            "psnr": float(psnr(images, self.validation).mean()),
            "ssim": float(structural_similarity(images, self.validation)),
        }
        ratios = octave_ratios(to_uint8(images), to_uint8(self.validation))
        return figures | {f"octave_{i}": float(r) for i, r in enumerate(ratios)}

    def write_sheet(self, path: Path) -> None:
        """Write validation images above their reconstructions."""
        rows = [to_uint8(self.validation[:8]), to_uint8(self._reconstruct()[:8])]
        write_sheet(path, rows, ["real", "reconstructed"])

    @torch.no_grad()
    def _unit_scale(self) -> float:
        """Return the factor that gives the latents of training images a mean square of 1."""
        device = next(self.model.parameters()).device
        stride = max(1, len(self.images) // 64)
        latents = [encode(self.model, to_tensor(self.images[i : i + 1]).to(device))
                   for i in range(0, len(self.images), stride)]
        return float(torch.cat(latents).square().mean().rsqrt())

    def export(self, folder: Path) -> None:
        """Write the autoencoder as a diffusers folder, its latents scaled for diffusion.

        With the encoder frozen the scale stays too, since a denoiser may know the latents.
        """
        config = dict(self.model.config)
        kept = {name: value.clone() for name, value in self.model.state_dict().items()
                if name.startswith(("quant_conv", "post_quant_conv"))}
        if not self.options.is_encoder_frozen:
            self._scale_latents(self._unit_scale())
        self.model.save_pretrained(folder)
        drop_local_paths(folder)
        self.model.register_to_config(scaling_factor=config["scaling_factor"])
        self.model.load_state_dict(kept, strict=False)

    @torch.no_grad()
    def _scale_latents(self, factor: float) -> None:
        """Multiply the latents: in the weights of a `VQModel`, else in the configuration."""
        model = self.model
        if hasattr(model, "quantize"):
            for parameter in model.quant_conv.parameters():
                parameter.mul_(factor)
            model.post_quant_conv.weight.div_(factor)
            return
        model.register_to_config(scaling_factor=float(model.config.scaling_factor) * factor)
