"""Training of the Kandinsky prior: from words to image embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn
from torch.nn import functional

from msdm_core.kandinsky.clip import embed_images, tokenize
from msdm_core.msdm.saving import save_pipeline
from msdm_core.training.image_store import to_tensor
from msdm_core.training.loop import Losses
from msdm_core.training.randomness import StepRandom
from msdm_core.training.wording import Wording, write_terms

ENCODED_AT_ONCE = 64
VALIDATION_TIMES = (100, 500, 900)
SHEET_STEPS = 25
SHOWN = 6


@dataclass(frozen=True, slots=True)
class PriorOptions:
    """What the prior learns from.

    Attributes:
        batch_size: Embeddings a step.
        drop_text: Share of steps without text, for classifier-free guidance.
        mirror: Take the mirrored picture's embedding where wording and overlays allow it.
        export_half: Export in float16.
    """

    batch_size: int = 64
    drop_text: float = 0.1
    mirror: bool = True
    export_half: bool = True


@torch.no_grad()
def embed_all(image_encoder: Any, images: np.ndarray) -> torch.Tensor:
    """Return the embeddings (N, 2, D) of images and their mirror images.

    Args:
        image_encoder: `CLIPVisionModelWithProjection`.
        images: (N, S, S, 3) uint8.
    """
    device = next(image_encoder.parameters()).device
    rows = []
    for start in range(0, len(images), ENCODED_AT_ONCE):
        batch = to_tensor(images[start : start + ENCODED_AT_ONCE]).to(device)
        sides = [embed_images(image_encoder, pictures) for pictures in (batch, batch.flip(-1))]
        rows.append(torch.stack(sides, dim=1).cpu())
    return torch.cat(rows)


class PriorTask:
    """Trains the `PriorTransformer` of a `KandinskyV22PriorPipeline`; CLIP stays as it is."""

    name = "kandinsky-prior"

    def __init__(
        self,
        pipeline: Any,
        images: np.ndarray,
        words: Sequence[Wording],
        validation: np.ndarray,
        validation_words: Sequence[Wording],
        options: PriorOptions,
        origin: str,
    ) -> None:
        """Take a pipeline and what to train it on.

        Args:
            pipeline: `KandinskyV22PriorPipeline`.
            images: (N, S, S, 3) uint8.
            words: N wordings.
            validation: (M, S, S, 3) uint8, never trained on.
            validation_words: M wordings.
            options: What to learn from.
            origin: Where the weights began.
        """
        self.pipeline, self.options, self.origin = pipeline, options, origin
        self.words, self.validation_words = words, validation_words
        self.validation = validation
        embeddings = embed_all(pipeline.image_encoder, images)
        self.model = pipeline.prior.requires_grad_(True).train()
        if origin == "compact":
            # What the prior predicts is centred and scaled so; the pipeline undoes it at the end.
            flat = embeddings.flatten(0, 1)
            self.model.clip_mean.data.copy_(flat.mean(0, keepdim=True))
            self.model.clip_std.data.copy_(flat.std(0, keepdim=True).clamp(min=1e-4))
        self.model.clip_mean.requires_grad_(False)
        self.model.clip_std.requires_grad_(False)
        self.embeddings = self._normalised(embeddings)
        self.validation_embeddings = self._normalised(
            embed_all(pipeline.image_encoder, validation)
        )
        self.parts: dict[str, nn.Module] = {"prior": self.model}

    def _normalised(self, embeddings: torch.Tensor) -> torch.Tensor:
        mean, std = self.model.clip_mean.data.cpu(), self.model.clip_std.data.cpu()
        return (embeddings - mean) / std

    def config(self) -> dict[str, Any]:
        """Return the configuration of the prior and the options."""
        sizes = {k: v for k, v in dict(self.model.config).items() if not k.startswith("_")}
        return {"origin": self.origin, "images": len(self.embeddings), "prior": sizes,
                **asdict(self.options)}

    def _error(
        self, model: nn.Module, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor,
        texts: list[str],
    ) -> torch.Tensor:
        """Return the squared error (B,) of the predicted embedding."""
        device = next(self.model.parameters()).device
        batch = tokenize(self.pipeline.tokenizer, texts, is_padded_to_limit=True).to(device)
        with torch.no_grad():
            text = self.pipeline.text_encoder(batch["input_ids"])
        alpha_bar = self.pipeline.scheduler.alphas_cumprod[times][:, None].to(clean)
        noised = alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise
        predicted = model(
            noised.to(device), timestep=times.to(device), proj_embedding=text.text_embeds,
            encoder_hidden_states=text.last_hidden_state,
            attention_mask=batch["attention_mask"].bool(),
        ).predicted_image_embedding
        return (predicted.float() - clean.to(device)).square().mean(dim=1)

    def losses(self, parts: dict[str, nn.Module], random: StepRandom) -> Losses:
        """Yield the squared error of the clean embedding."""
        picked = random.numpy.integers(0, len(self.embeddings), self.options.batch_size)
        texts, sides = [], []
        for index in picked:
            text = self.words[index].draw(random.python, self.options.drop_text)
            may = self.options.mirror and self.words[index].may_mirror(text)
            texts.append(text)
            sides.append(int(may and random.python.random() < 0.5))
        clean = self.embeddings[torch.from_numpy(picked), torch.tensor(sides)]
        noise = torch.randn(clean.shape, generator=random.torch)
        steps = self.pipeline.scheduler.config.num_train_timesteps
        times = torch.randint(0, steps, (len(clean),), generator=random.torch)
        yield "prior", self._error(parts["prior"], clean, noise, times, texts).mean(), {}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the error for unseen images at fixed noise, with and without their words."""
        clean = self.validation_embeddings[:, 0]
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        captions = [" ".join(words.captions) for words in self.validation_words]
        figures: dict[str, float] = {}
        for kind, texts in (("with_text", captions), ("without_text", [""] * len(clean))):
            for time in VALIDATION_TIMES:
                times = torch.full((len(clean),), time)
                error = self._error(self.model, clean, noise, times, texts)
                figures[f"{kind}_{time}"] = error.mean().item()
        return figures

    @torch.no_grad()
    def write_sheet(self, path: Path) -> None:
        """Write prompts, each with the unseen images nearest to what the prior makes of it."""
        texts = [words.captions[0] for words in self.validation_words[::10]]
        generator = torch.Generator("cpu").manual_seed(0)
        made = self.pipeline(texts, num_inference_steps=SHEET_STEPS, generator=generator)
        found = functional.normalize(self._normalised(made.image_embeds.float().cpu()), dim=1)
        real = functional.normalize(self.validation_embeddings[:, 0], dim=1)
        nearest = (found @ real.T).topk(min(SHOWN, len(real))).indices
        side = 128
        sheet = Image.new("RGB", (side * nearest.shape[1], (side + 16) * len(texts)), "white")
        pen = ImageDraw.Draw(sheet)
        for row, text in enumerate(texts):
            pen.text((2, row * (side + 16) + 2), text[:120], fill="black")
            for column, index in enumerate(nearest[row].tolist()):
                picture = Image.fromarray(self.validation[index]).resize((side, side))
                sheet.paste(picture, (column * side, row * (side + 16) + 16))
        sheet.save(path)

    def export(self, folder: Path) -> None:
        """Write the pipeline, ready for `KandinskyV22PriorPipeline.from_pretrained`."""
        save_pipeline(self.pipeline, folder, half=self.options.export_half)
        write_terms(folder, self.words)
