"""Training of the denoiser on latents and words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from msdm_core.msdm.autoencoder import decode
from msdm_core.msdm.pipeline import MSDMPipeline
from msdm_core.msdm.saving import save_pipeline
from msdm_core.msdm.text_encoder import encode_text
from msdm_core.training.image_store import to_uint8
from msdm_core.training.latent_batches import LatentOptions, draw_batch
from msdm_core.training.loop import Losses
from msdm_core.training.noise import Noised, flow_noised, noised
from msdm_core.training.randomness import StepRandom
from msdm_core.training.sheet import write_sheet
from msdm_core.training.wording import Wording, write_terms

VALIDATION_SIGMAS = (0.25, 0.5, 0.75)


class DenoiserTask:
    """Trains the U-Net of an `MSDMPipeline`; autoencoder and text encoder stay as they are."""

    name = "denoiser"
    component = "unet"

    def __init__(
        self,
        pipeline: MSDMPipeline,
        latents: np.ndarray,
        words: Sequence[Wording],
        validation_latents: np.ndarray,
        validation_words: Sequence[Wording],
        options: LatentOptions,
        origin: str,
        focus: np.ndarray | None = None,
        pool: np.ndarray | None = None,
    ) -> None:
        """Take a pipeline and what to train it on.

        Args:
            pipeline: Assembled, with the autoencoder that made the latents.
            latents: (N, 2, C, h, w) float16; index 1 is the mirror image.
            words: N wordings.
            validation_latents: (M, 2, C, h, w), never trained on.
            validation_words: M wordings.
            options: What to learn from.
            origin: Preset of the denoiser.
            focus: (N, 2, 1, h, w) weights of the squared error (`focus_weights`); None for 1.
            pool: (P,) indices of images to draw from (`oversampled`); None for each image once.
        """
        self.pipeline, self.options, self.origin = pipeline, options, origin
        self.latents, self.words, self.focus, self.pool = latents, words, focus, pool
        self.validation_latents, self.validation_words = validation_latents, validation_words
        self.model = getattr(pipeline, self.component).requires_grad_(True).train()
        self.parts: dict[str, nn.Module] = {self.name: self.model}

    def config(self) -> dict[str, Any]:
        """Return the configuration of what is trained, the sampler and the options."""
        return {"origin": self.origin, self.component: _plain(self.model.config),
                "scheduler": _plain(self.pipeline.scheduler.config),
                "images": len(self.latents), **self.options.recorded(),
                "focus": 1.0 if self.focus is None else float(self.focus.max()),
                **({} if self.pool is None else {"draws_from": len(self.pool)})}

    def _predict(self, model: nn.Module, batch: Noised, texts: list[str]) -> torch.Tensor:
        with torch.no_grad():
            text = encode_text(self.pipeline.tokenizer, self.pipeline.text_encoder, texts,
                               self.pipeline.config.text_tokens)
        return model(
            batch.inputs, batch.timesteps, encoder_hidden_states=text.tokens,
            encoder_attention_mask=text.mask, class_labels=text.pooled, return_dict=False,
        )[0]

    def losses(self, parts: dict[str, nn.Module], random: StepRandom) -> Losses:
        """Yield the weighted squared error of the prediction."""
        model = parts[self.name]
        device = next(model.parameters()).device
        drawn = draw_batch(self.latents, self.words, self.options, random, self.focus,
                           self.pool)
        clean = drawn.latents.to(device)
        batch = noised(self.pipeline.scheduler, clean, random.torch,
                       shifts=self.options.time_shifts)
        error = (self._predict(model, batch, drawn.texts).float() - batch.target).square()
        mse = error.mean().item()
        if drawn.weights is not None:
            error = error * drawn.weights.to(device)
        per_sample = error.mean(dim=(1, 2, 3))
        yield self.name, (batch.weight * per_sample).mean(), {"mse": mse}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the error on unseen images at fixed noise, and what the words save of it."""
        device = next(self.model.parameters()).device
        clean = torch.from_numpy(np.array(self.validation_latents[:64, 0])).float().to(device)
        texts = [" ".join(words.captions) for words in self.validation_words[: len(clean)]]
        generator = torch.Generator("cpu").manual_seed(0)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        figures: dict[str, float] = {}
        for kind, prompts in (("with_text", texts), ("without_text", [""] * len(texts))):
            errors = []
            for sigma in VALIDATION_SIGMAS:
                batch = self._validation_batch(clean, noise, sigma)
                predicted = self._predict(self.model, batch, prompts)
                errors.append(float((predicted - batch.target).square().mean()))
            figures |= {f"{kind}_{s}": e for s, e in zip(VALIDATION_SIGMAS, errors, strict=True)}
        return figures

    def _validation_batch(
        self, clean: torch.Tensor, noise: torch.Tensor, sigma: float
    ) -> Noised:
        scheduler = self.pipeline.scheduler
        if scheduler.config.prediction_type == "flow_prediction":
            return flow_noised(clean, noise, torch.full((len(clean),), sigma).to(clean))
        step = int(sigma * (scheduler.config.num_train_timesteps - 1))
        alpha_bar = scheduler.alphas_cumprod[step].to(clean)
        a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        target = noise if scheduler.config.prediction_type == "epsilon" else a * noise - s * clean
        times = torch.full((len(clean),), step, device=clean.device)
        return Noised(a * clean + s * noise, times, target, torch.ones_like(times))

    def write_sheet(self, path: Path) -> None:
        """Write two seeds of each sheet prompt, then real reconstructions."""
        self.pipeline.set_progress_bar_config(disable=True)
        prompts = list(self.options.sheet_prompts)
        if not prompts:
            prompts = [" ".join(w.captions) for w in self.validation_words[:8]]
        rows = []
        for seed in (0, 1):
            generators = [torch.Generator("cpu").manual_seed(seed) for _ in prompts]
            result = self.pipeline(prompts, generator=generators, output_type="np")
            rows.append((result.images * 255).round().astype(np.uint8))
        real = torch.from_numpy(np.array(self.validation_latents[: len(prompts), 0])).float()
        with torch.no_grad():
            rows.append(to_uint8(decode(self.pipeline.vae, real.to(self.pipeline.device))))
        labels = ["   ".join(p[:34] for p in prompts), "the same, another seed",
                  "real validation images, reconstructed"]
        write_sheet(path, rows, labels)

    def export(self, folder: Path) -> None:
        """Write the whole pipeline, ready for `MSDMPipeline.from_pretrained`."""
        save_pipeline(self.pipeline, folder, half=self.options.export_half)
        write_terms(folder, self.words)


class GuideTask(DenoiserTask):
    """Trains the guide of an `MSDMPipeline`; every other part stays as it is.

    Source: Karras et al. 2024, arXiv:2406.02507. The guide learns what the denoiser learnt, with
    far fewer parameters and for far less time, and so makes the same errors, only larger.
    """

    name = "guide"
    component = "guide"


def _plain(config: Any) -> dict[str, Any]:
    return {k: v for k, v in dict(config).items() if not k.startswith("_")}
