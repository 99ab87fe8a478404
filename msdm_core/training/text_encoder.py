"""Training of the compact text encoder: to know what a prompt states, in any wording."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn
from torch.nn import functional

from data.domains import ENDOSCOPY, Domain
from msdm_core.msdm.text_encoder import encode_text
from msdm_core.training.loop import Losses
from msdm_core.training.randomness import StepRandom, step_random
from msdm_core.training.wording import Wording

IGNORED = -100
UNKNOWN, ABSENT, PRESENT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class TextEncoderOptions:
    """What the text encoder learns from.

    Attributes:
        batch_size: Texts a step.
        max_tokens: Longest text.
        masked_weight: Weight of the masked-word loss (Devlin et al. 2018, arXiv:1810.04805).
        masked_share: Share of tokens hidden for it.
    """

    batch_size: int = 64
    max_tokens: int = 128
    masked_weight: float = 0.3
    masked_share: float = 0.15


class TextHeads(nn.Module):
    """The encoder under training with the two heads that train it.

    One head reads from the pooled states, for each attribute, whether the text states it,
    denies it or says nothing; the other fills in hidden words. Both are left behind at the end.
    """

    def __init__(self, encoder: Any, attribute_count: int) -> None:
        """Add the heads to a BERT-like encoder, one of them for K attributes."""
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder = encoder
        self.attributes = nn.Linear(width, 3 * attribute_count)
        self.words = nn.Linear(width, encoder.config.vocab_size)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return attribute logits (B, 3, K) and word logits (B, L, V)."""
        tokens = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.to(tokens)[..., None]
        pooled = (tokens * weights).sum(dim=1) / weights.sum(dim=1)
        return self.attributes(pooled).unflatten(1, (3, -1)), self.words(tokens)


def attribute_classes(texts: list[str], domain: Domain = ENDOSCOPY) -> torch.Tensor:
    """Return (B, K) int64: whether each text leaves open, denies or states each attribute."""
    rows = []
    for text in texts:
        targets = domain.read(text).targets()
        rows.append([UNKNOWN if targets[name] is None else (PRESENT if targets[name] else ABSENT)
                     for name in domain.target_names])
    return torch.tensor(rows)


class TextEncoderTask:
    """Trains a small BERT on the wording of a dataset."""

    name = "text-encoder"

    def __init__(
        self,
        tokenizer: Any,
        encoder: Any,
        training: list[Wording],
        validation: list[Wording],
        options: TextEncoderOptions,
        origin: str,
    ) -> None:
        """Take an encoder and the words to train it on.

        Args:
            tokenizer: Its tokenizer.
            encoder: A `BertModel`.
            training: Wording of the training images, all of one domain.
            validation: Wording of images never trained on.
            options: What to learn from.
            origin: Preset the encoder came from.
        """
        self.tokenizer, self.options, self.origin = tokenizer, options, origin
        self.training, self.validation = training, validation
        self.domain = training[0].domain
        self.model = TextHeads(encoder, len(self.domain.target_names))
        self.parts: dict[str, nn.Module] = {"text_encoder": self.model}

    def config(self) -> dict[str, Any]:
        """Return the encoder's configuration and the options."""
        config = self.model.encoder.config
        return {"origin": self.origin, "images": len(self.training), **asdict(self.options),
                "hidden_size": config.hidden_size, "layers": config.num_hidden_layers,
                "vocabulary": config.vocab_size, "attributes": list(self.domain.target_names)}

    def _texts(self, source: list[Wording], rng: random.Random, count: int) -> list[str]:
        texts = [rng.choice(source).draw(rng, drop=0.02) for _ in range(count)]
        return [_misspelled(text, rng) if rng.random() < 0.15 else text for text in texts]

    def losses(self, parts: dict[str, nn.Module], random: StepRandom) -> Losses:
        """Yield the loss of both heads."""
        model, options = parts["text_encoder"], self.options
        device = next(model.parameters()).device
        texts = self._texts(self.training, random.python, options.batch_size)
        batch = self.tokenizer(texts, padding=True, truncation=True,
                               max_length=options.max_tokens, return_tensors="pt")
        ids, mask = batch["input_ids"], batch["attention_mask"]
        special = torch.isin(ids, torch.tensor(self.tokenizer.all_special_ids))
        hidden = torch.rand(ids.shape, generator=random.torch) < options.masked_share
        # Half of the texts stay whole, so that attributes are read from what will be met in use.
        hidden[: len(texts) // 2] = False
        hidden &= ~special
        words = torch.where(hidden, ids, IGNORED).to(device)
        shown = torch.where(hidden, self.tokenizer.mask_token_id, ids).to(device)
        logits, guesses = model(shown, mask.to(device))
        classes = attribute_classes(texts, self.domain).to(device)
        half = len(texts) // 2
        attributes = functional.cross_entropy(logits[:half], classes[:half])
        filled = functional.cross_entropy(guesses[half:].flatten(0, 1), words[half:].flatten(),
                                          ignore_index=IGNORED)
        # A batch in which no word was hidden has no mean.
        filled = torch.nan_to_num(filled)
        yield "text_encoder", attributes + options.masked_weight * filled, {
            "attributes": attributes.item(), "words": filled.item()}

    @torch.no_grad()
    def _read(self, texts: list[str]) -> np.ndarray:
        device = next(self.model.parameters()).device
        states = encode_text(self.tokenizer, self.model.encoder, texts, self.options.max_tokens)
        logits = self.model.attributes(states.pooled.to(device))
        return logits.unflatten(1, (3, -1)).argmax(1).cpu().numpy()

    def validate(self) -> dict[str, float]:
        """Return how often attributes of unseen texts are read right."""
        texts = self._texts(self.validation, step_random(1, 0).python, 256)
        truth, read = attribute_classes(texts, self.domain).numpy(), self._read(texts)
        said = truth != UNKNOWN
        return {"right": float((truth == read).mean()),
                "right_where_said": float((truth == read)[said].mean()),
                "texts_all_right": float((truth == read).all(axis=1).mean())}

    def write_sheet(self, path: Path) -> None:
        """Write some texts with what the encoder reads in them."""
        texts = self._texts(self.validation, step_random(2, 0).python, 12)
        targets = self.domain.target_names
        sheet = Image.new("RGB", (1200, 40 * len(texts)), "white")
        draw = ImageDraw.Draw(sheet)
        for row, (text, classes) in enumerate(zip(texts, self._read(texts), strict=True)):
            names = [n for n, c in zip(targets, classes, strict=True) if c == PRESENT]
            draw.text((4, 40 * row), text[:190], fill="black")
            draw.text((24, 40 * row + 16), ", ".join(names)[:190], fill="gray")
        sheet.save(path)

    def export(self, folder: Path) -> None:
        """Write ``text_encoder`` and ``tokenizer`` folders."""
        self.model.encoder.save_pretrained(folder / "text_encoder")
        self.tokenizer.save_pretrained(folder / "tokenizer")


def _misspelled(text: str, rng: random.Random) -> str:
    """Return the text with one slip of the keyboard: a swap, a loss or a doubling."""
    if len(text) < 8:
        return text
    place = rng.randrange(1, len(text) - 2)
    if text[place].isdigit() or not text[place].isalpha():
        return text
    kind = rng.randrange(3)
    if kind == 0:
        return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    if kind == 1:
        return text[:place] + text[place + 1 :]
    return text[:place] + text[place] + text[place:]
