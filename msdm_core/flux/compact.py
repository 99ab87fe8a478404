"""FLUX at small scale: the classes and roles of FLUX.1, in sizes that a laptop trains and runs.

Text tokens come from a T5 encoder, which is trained along; the pooled text from the text tower of
the compact CLIP, which stays as it is. The autoencoder is that of MSDM compact, so that the models
differ in what makes the picture and in nothing else.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

IMAGE_PX = 256
TEXT_TOKENS = 64
SHIFT = 1.5
T5: dict[str, Any] = {
    "d_model": 192, "d_kv": 32, "num_heads": 6, "d_ff": 384, "num_layers": 2,
    "feed_forward_proj": "gated-gelu", "dropout_rate": 0.0,
}  # fmt: skip
TRANSFORMER: dict[str, Any] = {
    "patch_size": 1, "num_layers": 2, "num_single_layers": 4, "attention_head_dim": 32,
    "num_attention_heads": 8, "guidance_embeds": False, "axes_dims_rope": (4, 14, 14),
}  # fmt: skip
SPECIAL = ("<pad>", "</s>", "<unk>")  # in this order, as T5 has them
_WORD = re.compile(r"[A-Za-z]+|[^A-Za-z\s]")
_RARE = -14.0  # log-probability of single characters, below that of any word


def build_t5_tokenizer(corpus: Iterable[str]) -> Any:
    """Return a `T5Tokenizer` with one piece for every word of a corpus.

    Pieces below words would only lengthen prompts in a vocabulary this small; what is not in it
    falls apart into characters. T5 tells capitals from small letters, so each word has its
    capitalised forms too.
    """
    from transformers import T5Tokenizer

    counts: Counter[str] = Counter(m.group() for t in corpus for m in _WORD.finditer(t.lower()))
    total = sum(counts.values())
    scores: dict[str, float] = {"▁": _RARE / 2}
    for word, count in counts.items():
        score = math.log(count / total) - 1.0
        for form in {word, word.capitalize(), word.upper()}:
            for piece in (f"▁{form}", form):
                scores[piece] = max(score, scores.get(piece, -math.inf))
    for code in range(33, 127):
        scores.setdefault(chr(code), _RARE)
    pieces = [(name, 0.0) for name in SPECIAL] + sorted(scores.items())
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=TEXT_TOKENS)


def build_t5(tokenizer: Any) -> Any:
    """Return a fresh `T5EncoderModel` for a tokenizer."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, is_encoder_decoder=False, use_cache=False, **T5,
    ))


def build_transformer(latent_channels: int, pooled_width: int) -> Any:
    """Return a fresh `FluxTransformer2DModel` that starts as the identity of its blocks.

    Args:
        latent_channels: Of the autoencoder; four latent cells make a token.
        pooled_width: Width of the pooled text.
    """
    from diffusers import FluxTransformer2DModel

    model = FluxTransformer2DModel(
        in_channels=4 * latent_channels, joint_attention_dim=T5["d_model"],
        pooled_projection_dim=pooled_width, **TRANSFORMER,
    )
    # Zero modulation gates every block off (adaLN-zero, Peebles and Xie 2022, arXiv:2212.09748).
    gates = ("norm.linear", "norm1.linear", "norm1_context.linear", "norm_out.linear")
    for name, module in model.named_modules():
        if name.endswith(gates) or name == "proj_out":
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return model


def build_pipeline(vae: Any, clip_tokenizer: Any, clip: Any, t5_tokenizer: Any, t5: Any,
                   transformer: Any) -> Any:
    """Return a `FluxPipeline` of these parts.

    Args:
        vae: Autoencoder; `AutoencoderDC` is given what `FluxPipeline` looks for in its
            configuration.
        clip_tokenizer: `CLIPTokenizer`.
        clip: `CLIPTextModel`.
        t5_tokenizer: `T5Tokenizer`.
        t5: `T5EncoderModel`.
        transformer: `FluxTransformer2DModel`.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

    if "block_out_channels" not in vae.config:
        levels = len(vae.config.encoder_block_out_channels)
        vae.register_to_config(block_out_channels=[1] * levels, shift_factor=0.0)
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT), vae=vae, text_encoder=clip,
        tokenizer=clip_tokenizer, text_encoder_2=t5, tokenizer_2=t5_tokenizer,
        transformer=transformer,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Return latents (B, C, H, W) as tokens (B, H W / 4, 4 C), as `FluxPipeline` orders them."""
    cells = latents.unflatten(2, (-1, 2)).unflatten(4, (-1, 2))  # B C h 2 w 2
    return cells.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def position_ids(height: int, width: int) -> torch.Tensor:
    """Return the positions (H W, 3) of a grid of H x W image tokens."""
    rows = torch.arange(height)[:, None].expand(height, width)
    columns = torch.arange(width)[None, :].expand(height, width)
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).flatten(0, 1).float()
