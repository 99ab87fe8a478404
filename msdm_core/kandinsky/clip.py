"""The compact CLIP: small towers of the stock classes, trained on pairs of this field.

Its image tower makes what the Kandinsky prior predicts and the Kandinsky decoder draws from; its
text tower conditions the prior, and FLUX takes its pooled state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import functional

IMAGE_PX = 128
TEXT_TOKENS = 128
EMBEDDING_WIDTH = 192

TEXT_TOWER: dict[str, Any] = {
    "hidden_size": 192, "num_hidden_layers": 2, "num_attention_heads": 6,
    "intermediate_size": 576, "max_position_embeddings": TEXT_TOKENS,
}  # fmt: skip
VISION_TOWER: dict[str, Any] = {
    "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 6,
    "intermediate_size": 576, "image_size": IMAGE_PX, "patch_size": 16,
}  # fmt: skip


def build_clip_tokenizer(corpus: Iterable[str], vocabulary_size: int = 1000) -> Any:
    """Return a `CLIPTokenizer` whose byte pairs are made for a corpus.

    Args:
        corpus: Texts whose words it is made for.
        vocabulary_size: Largest number of tokens.
    """
    from transformers import CLIPTokenizer

    # The stock class starts with separate ids for the end and the padding; both are one word.
    start = CLIPTokenizer(model_max_length=TEXT_TOKENS)
    return start.train_new_from_iterator(corpus, vocab_size=vocabulary_size, show_progress=False)


def build_clip(tokenizer: Any) -> Any:
    """Return a fresh `CLIPModel` for a tokenizer."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    text = CLIPTextConfig(
        vocab_size=len(tokenizer), projection_dim=EMBEDDING_WIDTH,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, **TEXT_TOWER,
    )  # fmt: skip
    vision = CLIPVisionConfig(projection_dim=EMBEDDING_WIDTH, **VISION_TOWER)
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(),
                                projection_dim=EMBEDDING_WIDTH))


def build_image_processor() -> Any:
    """Return the processor that prepares pictures for the image tower, [-1, 1]."""
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(
        size={"shortest_edge": IMAGE_PX}, crop_size={"height": IMAGE_PX, "width": IMAGE_PX},
        image_mean=[0.5] * 3, image_std=[0.5] * 3,
    )


def shrink(images: torch.Tensor) -> torch.Tensor:
    """Return images (B, 3, S, S) in [-1, 1] at the size of the image tower."""
    if images.shape[-1] == IMAGE_PX:
        return images
    return functional.interpolate(
        images, size=(IMAGE_PX, IMAGE_PX), mode="bicubic", antialias=True, align_corners=False
    ).clamp(-1, 1)


def embed_images(image_encoder: Any, images: torch.Tensor) -> torch.Tensor:
    """Return the embeddings (B, D), as the prior predicts them: not normalised.

    Args:
        image_encoder: `CLIPVisionModelWithProjection`.
        images: (B, 3, S, S) in [-1, 1].
    """
    return image_encoder(shrink(images)).image_embeds


def tokenize(tokenizer: Any, texts: list[str], *, is_padded_to_limit: bool = False) -> Any:
    """Return token ids and mask of texts; longer ones are cut.

    Args:
        tokenizer: `CLIPTokenizer`.
        texts: B texts.
        is_padded_to_limit: Pad to the tokenizer's limit, as the stock pipelines do, instead of to
            the longest text.
    """
    return tokenizer(texts, padding="max_length" if is_padded_to_limit else True, truncation=True,
                     max_length=tokenizer.model_max_length, return_tensors="pt")


def split_towers(model: Any) -> tuple[Any, Any]:
    """Return the text and the image tower of a `CLIPModel`, each with its projection.

    Returns:
        `CLIPTextModelWithProjection` and `CLIPVisionModelWithProjection`, in eval mode, with
        copies of the weights.
    """
    from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection

    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    text = CLIPTextModelWithProjection(model.config.text_config)
    vision = CLIPVisionModelWithProjection(model.config.vision_config)
    for tower in (text, vision):
        wanted = {name: state[name] for name in tower.state_dict()}
        tower.load_state_dict(wanted)
        tower.eval()
    return text, vision
