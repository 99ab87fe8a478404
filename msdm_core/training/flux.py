"""Training of FLUX at small scale on latents and words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from msdm_core.flux.compact import IMAGE_PX, TEXT_TOKENS, pack, position_ids
from msdm_core.msdm.autoencoder import decode
from msdm_core.msdm.saving import save_pipeline
from msdm_core.training.image_store import to_uint8
from msdm_core.training.latent_batches import LatentOptions, draw_batch
from msdm_core.training.loop import Losses
from msdm_core.training.noise import mixed_sigmas
from msdm_core.training.randomness import StepRandom
from msdm_core.training.sheet import write_sheet
from msdm_core.training.wording import Wording, write_terms

VALIDATION_SIGMAS = (0.25, 0.5, 0.75, 0.95)
GUIDANCE = 3.0
SHEET_STEPS = 20


class FluxParts(nn.Module):
    """What is trained: the transformer and the T5 encoder before it."""

    def __init__(self, transformer: Any, t5: Any) -> None:
        """Hold the two."""
        super().__init__()
        self.transformer = transformer
        self.t5 = t5

    def forward(
        self, tokens: torch.Tensor, sigmas: torch.Tensor, ids: torch.Tensor, pooled: torch.Tensor,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """Return the predicted velocity (B, L, 4 C).

        Args:
            tokens: (B, L, 4 C) noised latents.
            sigmas: (B,) share of noise.
            ids: (B, T) token ids for T5, padded and, as in `FluxPipeline`, unmasked.
            pooled: (B, P) pooled text of CLIP.
            positions: (L, 3) of the image tokens.
        """
        states = self.t5(input_ids=ids).last_hidden_state
        return self.transformer(
            hidden_states=tokens, timestep=sigmas, pooled_projections=pooled,
            encoder_hidden_states=states, img_ids=positions,
            txt_ids=torch.zeros(ids.shape[1], 3).to(positions), return_dict=False,
        )[0]


class FluxTask:
    """Trains transformer and T5 of a `FluxPipeline`; autoencoder and CLIP stay as they are."""

    name = "flux"

    def __init__(
        self,
        pipeline: Any,
        latents: np.ndarray,
        words: Sequence[Wording],
        validation_latents: np.ndarray,
        validation_words: Sequence[Wording],
        options: LatentOptions,
        origin: str,
    ) -> None:
        """Take a pipeline and what to train it on.

        Args:
            pipeline: `FluxPipeline` with the autoencoder that made the latents.
            latents: (N, 2, C, h, w) float16; index 1 is the mirror image.
            words: N wordings.
            validation_latents: (M, 2, C, h, w), never trained on.
            validation_words: M wordings.
            options: What to learn from.
            origin: Where the weights began.
        """
        self.pipeline, self.options, self.origin = pipeline, options, origin
        self.latents, self.words = latents, words
        self.validation_latents, self.validation_words = validation_latents, validation_words
        self.model = FluxParts(pipeline.transformer, pipeline.text_encoder_2)
        self.model.requires_grad_(True).train()
        self.positions = position_ids(latents.shape[3] // 2, latents.shape[4] // 2)
        self.parts: dict[str, nn.Module] = {"flux": self.model}

    def config(self) -> dict[str, Any]:
        """Return the configuration of the transformer, of T5 and the options."""
        options = self.options.recorded()
        sizes = dict(self.pipeline.transformer.config)
        t5 = self.pipeline.text_encoder_2.config
        return {"origin": self.origin, "images": len(self.latents),
                "transformer": {k: v for k, v in sizes.items() if not k.startswith("_")},
                "t5": {"d_model": t5.d_model, "layers": t5.num_layers, "words": t5.vocab_size},
                **options}

    def _predict(
        self, model: nn.Module, clean: torch.Tensor, noise: torch.Tensor, sigmas: torch.Tensor,
        texts: list[str],
    ) -> torch.Tensor:
        """Return the squared error (B,) of the velocity."""
        pipeline, device = self.pipeline, clean.device
        ids = pipeline.tokenizer_2(
            texts, padding="max_length", max_length=TEXT_TOKENS, truncation=True,
            return_tensors="pt",
        ).input_ids.to(device)
        with torch.no_grad():
            words = pipeline.tokenizer(
                texts, padding=True, truncation=True,
                max_length=pipeline.tokenizer_max_length, return_tensors="pt",
            ).to(device)
            pooled = pipeline.text_encoder(**words).pooler_output
        s = sigmas[:, None, None]
        tokens, noise = pack(clean), pack(noise)
        predicted = model((1 - s) * tokens + s * noise, sigmas, ids, pooled,
                          self.positions.to(device))
        return (predicted.float() - (noise - tokens)).square().mean(dim=(1, 2))

    def losses(self, parts: dict[str, nn.Module], random: StepRandom) -> Losses:
        """Yield the squared error of the velocity."""
        model = parts["flux"]
        device = next(model.parameters()).device
        drawn = draw_batch(self.latents, self.words, self.options, random)
        clean = drawn.latents.to(device)
        noise = torch.randn(clean.shape, generator=random.torch).to(device)
        sigmas = mixed_sigmas(len(clean), random.torch, self.options.time_shifts).to(device)
        error = self._predict(model, clean, noise, sigmas, drawn.texts)
        yield "flux", error.mean(), {}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the error on unseen images at fixed noise, and what the words save of it."""
        device = next(self.model.parameters()).device
        clean = torch.from_numpy(np.array(self.validation_latents[:64, 0])).float().to(device)
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)).to(device)
        captions = [" ".join(words.captions) for words in self.validation_words[: len(clean)]]
        figures: dict[str, float] = {}
        for kind, texts in (("with_text", captions), ("without_text", [""] * len(clean))):
            for sigma in VALIDATION_SIGMAS:
                sigmas = torch.full((len(clean),), sigma, device=device)
                error = self._predict(self.model, clean, noise, sigmas, texts)
                figures[f"{kind}_{sigma}"] = error.mean().item()
        return figures

    def write_sheet(self, path: Path) -> None:
        """Write two seeds of each sheet prompt, then real reconstructions."""
        prompts = list(self.options.sheet_prompts)
        if not prompts:
            prompts = [" ".join(w.captions) for w in self.validation_words[:8]]
        side = self.latents.shape[-1] * self.pipeline.vae_scale_factor
        rows = [draw(self.pipeline, prompts, seed, size_px=side) for seed in (0, 1)]
        real = torch.from_numpy(np.array(self.validation_latents[: len(prompts), 0])).float()
        with torch.no_grad():
            rows.append(to_uint8(decode(self.pipeline.vae, real.to(self.pipeline.device))))
        labels = ["   ".join(p[:34] for p in prompts), "the same, another seed",
                  "real validation images, reconstructed"]
        write_sheet(path, rows, labels)

    def export(self, folder: Path) -> None:
        """Write the whole pipeline, ready for `FluxPipeline.from_pretrained`."""
        save_pipeline(self.pipeline, folder, half=self.options.export_half)
        write_terms(folder, self.words)


def draw(
    pipeline: Any, prompts: Sequence[str], seed: int, *, steps: int = SHEET_STEPS,
    guidance: float = GUIDANCE, size_px: int = IMAGE_PX,
) -> np.ndarray:
    """Return one picture a prompt, (B, S, S, 3) uint8, all from the same seed."""
    generators = [torch.Generator("cpu").manual_seed(seed) for _ in prompts]
    images = pipeline(
        list(prompts), negative_prompt=[""] * len(prompts), true_cfg_scale=guidance,
        height=size_px, width=size_px, num_inference_steps=steps, generator=generators,
        max_sequence_length=TEXT_TOKENS, output_type="np",
    ).images
    return (images * 255).round().astype(np.uint8)
