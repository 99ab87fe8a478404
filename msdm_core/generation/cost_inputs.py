"""One forward of each kind of network, with inputs that have a shape and no values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

_zeros = partial(torch.zeros, device="meta")


def run_forward(network: Any, inputs: str, sizes: tuple[int, ...]) -> None:
    """Runs one forward of a network that is on the meta device.

    Args:
        network: built on the meta device.
        inputs: a name of `FORWARDS`.
        sizes: what that function takes.
    """
    FORWARDS[inputs](network, *sizes)


def _tokens(network: Any, batch: int, tokens: int) -> None:
    network(_zeros(batch, tokens, dtype=torch.long))


def _pixels(network: Any, side: int) -> None:
    network(_zeros(1, 3, side, side))


def _vision_tower(network: Any, side: int) -> None:
    network.vision_model(_zeros(1, 3, side, side))


def _text_unet(network: Any, batch: int, channels: int, side: int, tokens: int, width: int) -> None:
    network(
        _zeros(batch, channels, side, side),
        _zeros(batch),
        encoder_hidden_states=_zeros(batch, tokens, width),
        encoder_attention_mask=_zeros(batch, tokens, dtype=torch.long),
        class_labels=_zeros(batch, width),
    )


def _plain_unet(
    network: Any, batch: int, channels: int, side: int, tokens: int, width: int
) -> None:
    network(
        _zeros(batch, channels, side, side),
        _zeros(batch),
        encoder_hidden_states=_zeros(batch, tokens, width),
    )


def _image_unet(network: Any, batch: int, channels: int, side: int, width: int) -> None:
    network(
        _zeros(batch, channels, side, side),
        _zeros(batch),
        encoder_hidden_states=None,
        added_cond_kwargs={"image_embeds": _zeros(batch, width)},
    )


def _prior(network: Any, batch: int, width: int, tokens: int) -> None:
    network(
        _zeros(batch, width),
        _zeros(batch),
        proj_embedding=_zeros(batch, width),
        encoder_hidden_states=_zeros(batch, tokens, width),
        attention_mask=_zeros(batch, tokens, dtype=torch.bool),
    )


def _flux_transformer(
    network: Any, patches: int, channels: int, tokens: int, text_width: int, pooled_width: int
) -> None:
    network(
        hidden_states=_zeros(1, patches, channels),
        timestep=_zeros(1),
        guidance=_zeros(1) if network.config.guidance_embeds else None,
        pooled_projections=_zeros(1, pooled_width),
        encoder_hidden_states=_zeros(1, tokens, text_width),
        txt_ids=_zeros(tokens, 3),
        img_ids=_zeros(patches, 3),
    )


def _decode(network: Any, channels: int, side: int) -> None:
    latents = _zeros(1, channels, side, side)
    if type(network).__name__ == "VQModel":
        network.decode(latents, force_not_quantize=True)
    else:
        network.decode(latents)


FORWARDS: Mapping[str, Callable[..., None]] = {
    "tokens": _tokens,
    "pixels": _pixels,
    "vision_tower": _vision_tower,
    "text_unet": _text_unet,
    "plain_unet": _plain_unet,
    "image_unet": _image_unet,
    "prior": _prior,
    "flux_transformer": _flux_transformer,
    "decode": _decode,
}
