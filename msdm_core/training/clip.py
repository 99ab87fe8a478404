"""Contrastive training of the compact CLIP on images and words."""

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

from data.domains import ENDOSCOPY, Domain
from msdm_core.kandinsky.clip import build_image_processor, shrink, split_towers, tokenize
from msdm_core.training.image_store import to_tensor, to_uint8
from msdm_core.training.loop import Losses
from msdm_core.training.randomness import StepRandom, step_random
from msdm_core.training.wording import Wording

LARGEST_LOGIT_SCALE = 4.6052  # ln 100, Radford et al. 2021, arXiv:2103.00020, section 2.5
MIRRORED_SHARE = 0.5
ENCODED_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """What CLIP learns from.

    Attributes:
        batch_size: Pairs a step.
        zoom: Largest relative change of size.
        shift: Largest shift as a share of the side.
        colour: Largest relative change of each colour channel.
    """

    batch_size: int = 96
    zoom: float = 0.1
    shift: float = 0.05
    colour: float = 0.1


def stated(texts: Sequence[str], domain: Domain = ENDOSCOPY) -> torch.Tensor:
    """Return (B, K) int8: 1 what a text states, -1 what it denies, 0 what it leaves open."""
    rows = [list(domain.read(text).targets().values()) for text in texts]
    return torch.tensor([[0 if v is None else (1 if v else -1) for v in row] for row in rows],
                        dtype=torch.int8)


def matches(said: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return (B, N) whether each image is all that each text says.

    In a batch of endoscopy pictures many images fit a text that was written of another one; taken
    as negatives they would teach CLIP to tell apart what the words do not.

    Args:
        said: (B, K) of `stated`.
        images: (N, K) in {-1, 1}: what is in each image and what is not.
    """
    contradictions = (said[:, None, :].int() * images[None].int() < 0).any(dim=2)
    return ~contradictions


def vary(images: torch.Tensor, options: ClipOptions, generator: torch.Generator) -> torch.Tensor:
    """Return images (B, 3, S, S) slightly zoomed, shifted and recoloured, each in its own way."""
    count = len(images)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(count, *shape, generator=generator) * 2 - 1

    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = 1 + options.zoom * uniform()
    affine[:, :, 2] = 2 * options.shift * uniform(2)
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    images = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    gains = 1 + options.colour * uniform(3)[:, :, None, None]
    return ((images + 1) * gains - 1).clamp(-1, 1)


class ClipTask:
    """Trains both towers so that a picture and its words meet."""

    name = "clip"

    def __init__(
        self,
        tokenizer: Any,
        model: Any,
        images: np.ndarray,
        words: Sequence[Wording],
        validation: np.ndarray,
        validation_words: Sequence[Wording],
        options: ClipOptions,
    ) -> None:
        """Take a model and its pairs.

        Args:
            tokenizer: `CLIPTokenizer`.
            model: `CLIPModel`.
            images: (N, S, S, 3) uint8.
            words: N wordings.
            validation: (M, S, S, 3) uint8, never trained on.
            validation_words: M wordings.
            options: What to learn from.
        """
        self.tokenizer, self.model, self.options = tokenizer, model, options
        self.images = torch.cat([
            shrink(to_tensor(images[i : i + ENCODED_AT_ONCE]))
            for i in range(0, len(images), ENCODED_AT_ONCE)
        ])
        self.validation = shrink(to_tensor(validation))
        self.words, self.validation_words = words, validation_words
        self.facts, self.validation_facts = _facts(words), _facts(validation_words)
        self.parts: dict[str, nn.Module] = {"clip": model}

    def config(self) -> dict[str, Any]:
        """Return the sizes of the towers and the options."""
        text, vision = self.model.config.text_config, self.model.config.vision_config
        return {"images": len(self.images), "vocabulary": text.vocab_size,
                "text_width": text.hidden_size, "vision_width": vision.hidden_size,
                "vision_layers": vision.num_hidden_layers, **asdict(self.options)}

    def losses(self, parts: dict[str, nn.Module], random: StepRandom) -> Losses:
        """Yield the mean of both directions' cross-entropy."""
        count = min(self.options.batch_size, len(self.images))
        picked = np.sort(random.numpy.choice(len(self.images), count, replace=False))
        texts, is_mirrored = [], []
        for index in picked:
            text = self.words[index].draw(random.python, drop=0.0)
            texts.append(text)
            may = self.words[index].may_mirror(text)
            is_mirrored.append(may and random.python.random() < MIRRORED_SHARE)
        pictures = self.images[torch.from_numpy(picked)]
        flipped = torch.tensor(is_mirrored)[:, None, None, None]
        pictures = torch.where(flipped, pictures.flip(-1), pictures)
        pictures = vary(pictures, self.options, random.torch)
        fits = matches(stated(texts, self.words[0].domain), self.facts[torch.from_numpy(picked)])
        fits |= torch.eye(count, dtype=torch.bool)
        yield "clip", *self._contrast(parts["clip"], pictures, texts, fits)

    def _contrast(
        self, model: nn.Module, pictures: torch.Tensor, texts: list[str], fits: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        device = next(model.parameters()).device
        core: Any = getattr(model, "module", model)
        with torch.no_grad():
            core.logit_scale.clamp_(max=LARGEST_LOGIT_SCALE)
        batch = tokenize(self.tokenizer, texts).to(device)
        out = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
                    pixel_values=pictures.to(device))
        target = fits.to(device).float()
        logits = out.logits_per_text  # (texts, images)
        by_text = functional.cross_entropy(logits, target / target.sum(1, keepdim=True))
        by_image = functional.cross_entropy(logits.T, target.T / target.T.sum(1, keepdim=True))
        hits = target.gather(1, logits.argmax(1, keepdim=True)).mean().item()
        return (by_text + by_image) / 2, {"hits": hits, "chance": target.mean().item()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return loss, and how often the nearest unseen image is all that an unseen text says.

        ``chance`` is the share of images of which a text is true, so what a blind choice reaches.
        """
        texts = [words.draw(step_random(1, i).python, drop=0.0)
                 for i, words in enumerate(self.validation_words)]
        fits = matches(stated(texts, self.words[0].domain), self.validation_facts)
        fits |= torch.eye(len(texts), dtype=torch.bool)
        loss, figures = self._contrast(self.model, self.validation, texts, fits)
        return {"loss": loss.item(), **figures}

    @torch.no_grad()
    def write_sheet(self, path: Path) -> None:
        """Write texts, each with the five unseen images that CLIP finds nearest."""
        texts = [w.draw(step_random(2, i).python, drop=0.0)
                 for i, w in enumerate(self.validation_words[:10])]
        batch = tokenize(self.tokenizer, texts)
        device = next(self.model.parameters()).device
        logits = self.model(**batch.to(device), pixel_values=self.validation.to(device))
        nearest = logits.logits_per_text.topk(min(5, len(self.validation))).indices.cpu()
        side = self.validation.shape[-1]
        sheet = Image.new("RGB", (side * nearest.shape[1], (side + 16) * len(texts)), "white")
        draw = ImageDraw.Draw(sheet)
        pictures = to_uint8(self.validation)
        for row, text in enumerate(texts):
            draw.text((2, row * (side + 16) + 2), text[:110], fill="black")
            for column, index in enumerate(nearest[row].tolist()):
                sheet.paste(Image.fromarray(pictures[index]),
                            (column * side, row * (side + 16) + 16))
        sheet.save(path)

    def export(self, folder: Path) -> None:
        """Write both towers, the tokenizer and the image processor, as Kandinsky names them."""
        text, vision = split_towers(self.model)
        text.save_pretrained(folder / "text_encoder")
        vision.save_pretrained(folder / "image_encoder")
        self.tokenizer.save_pretrained(folder / "tokenizer")
        build_image_processor().save_pretrained(folder / "image_processor")


def _facts(words: Sequence[Wording]) -> torch.Tensor:
    """Return (N, K) int8 in {-1, 1}: what is in each image, as far as its captions tell."""
    rows = []
    for entry in words:
        attributes = entry.attributes or entry.domain.read(entry.captions)
        targets = attributes.targets(closed_world=True)
        rows.append([1 if value else -1 for value in targets.values()])
    return torch.tensor(rows, dtype=torch.int8)
