"""Text encoders: the small one trained here, or a clinical one by folder or hub id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from msdm_core.errors import CheckpointError

# `model_type` of the encoders that are taken; others have no states for each word of a prompt, or
# need code of their own.
BERT_LIKE = (
    "bert", "camembert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta",
)  # fmt: skip
CLIP_LIKE = ("clip", "clip_text_model")


@dataclass(frozen=True, slots=True)
class TextStates:
    """What a text encoder makes of B prompts.

    Attributes:
        tokens: (B, L, D) hidden states.
        mask: (B, L) 1 for tokens, 0 for padding.
        pooled: (B, D) mean of the hidden states over the tokens.
    """

    tokens: torch.Tensor
    mask: torch.Tensor
    pooled: torch.Tensor

    def last(self, count: int) -> TextStates:
        """Return the states of the last prompts."""
        return TextStates(self.tokens[-count:], self.mask[-count:], self.pooled[-count:])


def load_text_encoder(source: str, revision: str | None = None) -> tuple[Any, Any]:
    """Return the tokenizer and the frozen encoder of a folder or hub id.

    BERT-like encoders (Bio_ClinicalBERT, PubMedBERT, ...) and the text tower of CLIP-like ones
    (CLIP, PubMedCLIP, ...) load alike.

    Args:
        source: Folder, or hub id such as ``emilyalsentzer/Bio_ClinicalBERT``. A folder may hold
            the encoder itself or an exported model with ``text_encoder`` and ``tokenizer`` in it.
        revision: Commit of the hub repository.

    Raises:
        CheckpointError: Nothing loads from there, or it is no text encoder.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel, AutoTokenizer, CLIPTextModel

    folder = Path(source)
    has_parts = (folder / "text_encoder").is_dir()
    encoder_source = str(folder / "text_encoder") if has_parts else source
    tokenizer_source = str(folder / "tokenizer") if has_parts else source
    try:
        config = AutoConfig.from_pretrained(encoder_source, revision=revision)
        if config.model_type not in (*BERT_LIKE, *CLIP_LIKE):
            raise CheckpointError(
                f"{source} is of type {config.model_type!r}; MSDM takes BERT-like and CLIP-like "
                f"text encoders: {', '.join((*BERT_LIKE, *CLIP_LIKE))}."
            )
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_source, revision=revision)
        # Without its files, transformers makes a tokenizer to which every word is unknown.
        if len(tokenizer) <= len(tokenizer.all_special_ids):
            raise OSError("the tokenizer knows no words")
        model_class = CLIPTextModel if config.model_type in CLIP_LIKE else AutoModel
        # Checkpoints in half precision train and run in single precision like any other.
        model = model_class.from_pretrained(encoder_source, revision=revision, dtype=torch.float32)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"No text encoder loads from {source!r} ({error}). Give a folder with config.json, "
            "weights and tokenizer files, or a hub id while online."
        ) from error
    model.eval().requires_grad_(False)
    return tokenizer, model


def text_width(model: Any) -> int:
    """Return D, the width of the encoder's hidden states."""
    return int(model.config.hidden_size)


def _position_count(config: Any) -> int:
    """Return how many tokens have a position; in RoBERTa they begin behind the padding's."""
    is_shifted = config.model_type in ("camembert", "roberta", "xlm-roberta")
    return int(config.max_position_embeddings) - (config.pad_token_id + 1 if is_shifted else 0)


def encode_text(
    tokenizer: Any, model: Any, prompts: Sequence[str], max_tokens: int
) -> TextStates:
    """Return the hidden states of prompts; padding changes nothing.

    Args:
        tokenizer: The encoder's tokenizer.
        model: The encoder.
        prompts: B texts; longer ones are cut.
        max_tokens: Largest number of tokens, special ones included.
    """
    limit = min(max_tokens, _position_count(model.config))
    batch = tokenizer(
        list(prompts), padding=True, truncation=True, max_length=limit, return_tensors="pt"
    )
    device = next(model.parameters()).device
    ids, mask = batch["input_ids"].to(device), batch["attention_mask"].to(device)
    tokens = model(input_ids=ids, attention_mask=mask).last_hidden_state
    weights = mask.to(tokens)[..., None]
    pooled = (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
    return TextStates(tokens=tokens, mask=mask, pooled=pooled)


def build_tokenizer(corpus: Iterable[str], vocabulary_size: int, max_tokens: int) -> Any:
    """Return a lower-casing word-piece tokenizer made for a corpus.

    Args:
        corpus: Texts whose words it is made for.
        vocabulary_size: Largest number of word pieces.
        max_tokens: Length the tokenizer warns at.
    """
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizer

    pieces = BertWordPieceTokenizer(lowercase=True)
    pieces.train_from_iterator(corpus, vocab_size=vocabulary_size, show_progress=False)
    return BertTokenizer(vocab=pieces.get_vocab(), model_max_length=max_tokens)


def build_text_encoder(arguments: dict[str, Any], tokenizer_folder: Path) -> tuple[Any, Any]:
    """Return the tokenizer of a folder and a fresh BERT for it.

    Args:
        arguments: For `BertConfig`: hidden_size, num_hidden_layers, num_attention_heads, ...
        tokenizer_folder: Where `build_tokenizer`'s result was saved.
    """
    from transformers import BertConfig, BertModel, BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(tokenizer_folder)
    config = BertConfig(
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **arguments,
    )
    return tokenizer, BertModel(config, add_pooling_layer=False)
