"""Training of the Kandinsky decoder: from image embeddings to latents."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from msdm_core.kandinsky.clip import IMAGE_PX as CLIP_PX
from msdm_core.msdm.saving import save_pipeline
from msdm_core.training.image_store import to_uint8
from msdm_core.training.loop import Losses
from msdm_core.training.noise import flow_noised, mixed_sigmas
from msdm_core.training.randomness import StepRandom
from msdm_core.training.sheet import write_sheet

VALIDATION_SIGMAS = (0.25, 0.5, 0.75, 0.95)
SHEET_STEPS = 20
GUIDANCE = 2.0
SHOWN = 8


@dataclass(frozen=True, slots=True)
class DecoderOptions:
    """What the decoder learns from.

    Attributes:
        batch_size: Latents a step.
        drop_embedding: Share of steps with the embedding of a zero image instead, for guidance.
        embedding_noise: Noise on the embeddings, as a share of their standard deviation, so that
            small errors of the prior do no harm.
        export_half: Export in float16.
    """

    batch_size: int = 16
    drop_embedding: float = 0.1
    embedding_noise: float = 0.2
    export_half: bool = True


class DecoderTask:
    """Trains the U-Net of a `KandinskyV22Pipeline`; MoVQ and CLIP stay as they are."""

    name = "kandinsky-decoder"

    def __init__(
        self,
        pipeline: Any,
        latents: np.ndarray,
        embeddings: torch.Tensor,
        validation_latents: np.ndarray,
        validation_embeddings: torch.Tensor,
        zero_embedding: torch.Tensor,
        may_mirror: np.ndarray,
        options: DecoderOptions,
        origin: str,
    ) -> None:
        """Take a pipeline and what to train it on.

        Args:
            pipeline: `KandinskyV22Pipeline` with the MoVQ that made the latents.
            latents: (N, 2, C, h, w) float16; index 1 is the mirror image.
            embeddings: (N, 2, D) of the same pictures, from CLIP's image tower.
            validation_latents: (M, 2, C, h, w), never trained on.
            validation_embeddings: (M, 2, D).
            zero_embedding: (1, D) of a zero image: what stands for no prompt.
            may_mirror: (N,) bool, whether an image is true to life when mirrored: burned-in
                writing and the scope guide's box are not.
            options: What to learn from.
            origin: Where the weights began.
        """
        self.pipeline, self.options, self.origin = pipeline, options, origin
        self.latents, self.embeddings, self.may_mirror = latents, embeddings, may_mirror
        self.validation_latents = validation_latents
        self.validation_embeddings = validation_embeddings
        self.zero_embedding = zero_embedding
        self.spread = embeddings.flatten(0, 1).std(0)
        self.model = pipeline.unet.requires_grad_(True).train()
        self.parts: dict[str, nn.Module] = {"decoder": self.model}

    def config(self) -> dict[str, Any]:
        """Return the configuration of the U-Net and the options."""
        sizes = {k: v for k, v in dict(self.model.config).items() if not k.startswith("_")}
        return {"origin": self.origin, "images": len(self.latents), "unet": sizes,
                **asdict(self.options)}

    def _error(
        self, model: nn.Module, clean: torch.Tensor, noise: torch.Tensor, sigmas: torch.Tensor,
        embeddings: torch.Tensor,
    ) -> torch.Tensor:
        """Return the squared error (B,) of the velocity."""
        batch = flow_noised(clean, noise, sigmas)
        predicted = model(
            batch.inputs, batch.timesteps, encoder_hidden_states=None,
            added_cond_kwargs={"image_embeds": embeddings}, return_dict=False,
        )[0][:, : clean.shape[1]]
        return (predicted.float() - batch.target).square().mean(dim=(1, 2, 3))

    def losses(self, parts: dict[str, nn.Module], random: StepRandom) -> Losses:
        """Yield the squared error of the velocity."""
        model, options = parts["decoder"], self.options
        picked = random.numpy.integers(0, len(self.latents), options.batch_size)
        sides = random.numpy.integers(0, 2, options.batch_size) * self.may_mirror[picked]
        clean = torch.from_numpy(self.latents[picked, sides]).float()
        embeddings = self.embeddings[torch.from_numpy(picked), torch.from_numpy(sides)]
        jitter = torch.randn(embeddings.shape, generator=random.torch) * self.spread
        embeddings = embeddings + options.embedding_noise * jitter
        dropped = torch.rand(len(clean), 1, generator=random.torch) < options.drop_embedding
        embeddings = torch.where(dropped, self.zero_embedding, embeddings)
        noise = torch.randn(clean.shape, generator=random.torch)
        sigmas = mixed_sigmas(len(clean), random.torch)
        device = next(model.parameters()).device
        error = self._error(model, *(x.to(device) for x in (clean, noise, sigmas, embeddings)))
        yield "decoder", error.mean(), {}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the error on unseen images at fixed noise, with and without their embedding."""
        device = next(self.model.parameters()).device
        clean = torch.from_numpy(np.array(self.validation_latents[:64, 0])).float()
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)).to(device)
        own = self.validation_embeddings[: len(clean), 0]
        figures: dict[str, float] = {}
        for kind, embeddings in (("with_embedding", own),
                                 ("without", self.zero_embedding.expand_as(own))):
            for sigma in VALIDATION_SIGMAS:
                error = self._error(self.model, clean.to(device), noise,
                                    torch.full((len(clean),), sigma, device=device),
                                    embeddings.to(device))
                figures[f"{kind}_{sigma}"] = error.mean().item()
        return figures

    @torch.no_grad()
    def write_sheet(self, path: Path) -> None:
        """Write unseen images, and what is drawn from their embeddings with two seeds."""
        count = min(SHOWN, len(self.validation_latents))
        device = next(self.model.parameters()).device
        own = self.validation_embeddings[:count, 0].to(device)
        none = self.zero_embedding.expand_as(own).to(device)
        side = self.latents.shape[-1] * self.pipeline.movq_scale_factor
        rows = []
        for seed in (0, 1):
            images = self.pipeline(
                image_embeds=own, negative_image_embeds=none, height=side, width=side,
                num_inference_steps=SHEET_STEPS, guidance_scale=GUIDANCE, output_type="np",
                generator=torch.Generator("cpu").manual_seed(seed),
            ).images
            rows.append((images * 255).round().astype(np.uint8))
        real = torch.from_numpy(np.array(self.validation_latents[:count, 0])).float().to(device)
        rows.append(to_uint8(self.pipeline.movq.decode(real, force_not_quantize=True).sample))
        write_sheet(path, rows, ["from the embedding of the image below", "the same, another seed",
                                 "real validation images, reconstructed"])

    def export(self, folder: Path) -> None:
        """Write the pipeline, ready for `KandinskyV22Pipeline.from_pretrained`."""
        save_pipeline(self.pipeline, folder, half=self.options.export_half)


@torch.no_grad()
def zero_image_embedding(image_encoder: Any) -> torch.Tensor:
    """Return the embedding (1, D) of a zero image, as `KandinskyV22PriorPipeline` takes it."""
    device = next(image_encoder.parameters()).device
    return image_encoder(torch.zeros(1, 3, CLIP_PX, CLIP_PX, device=device)).image_embeds.cpu()
