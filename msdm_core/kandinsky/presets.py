"""Sizes of the compact Kandinsky, in the words of the stock classes."""

from __future__ import annotations

from typing import Any

MOVQ_IMAGE_PX = 256

# One latent holds 16x16 pixels in 32 numbers, the rate of MSDM's own autoencoder. Group
# normalisation and no attention: the decoder then draws 256 px in a tenth of the time that the
# spatial normalisation of the full model takes.
MOVQ: dict[str, Any] = {
    "block_out_channels": [16, 32, 64, 112, 112],
    "down_block_types": ["DownEncoderBlock2D"] * 5,
    "up_block_types": ["UpDecoderBlock2D"] * 5,
    "layers_per_block": 1,
    "latent_channels": 32,
    "norm_num_groups": 4,
    "num_vq_embeddings": 8,  # the decoder pipeline never quantises; the class wants a codebook
    "mid_block_add_attention": False,
    "sample_size": MOVQ_IMAGE_PX,
    "scaling_factor": 1.0,  # the pipeline applies none: the latents themselves have mean square 1
}


MOVQS = {"compact": MOVQ}


def build_movq(name: str = "compact") -> Any:
    """Return a freshly initialised `VQModel` of a size in `MOVQS`."""
    from diffusers import VQModel

    return VQModel(**{k: tuple(v) if isinstance(v, list) else v for k, v in MOVQS[name].items()})
