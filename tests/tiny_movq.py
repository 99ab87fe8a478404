"""A movq so small that a picture takes milliseconds: factor 8, 8 latent channels, 64 pixels."""

from typing import Any

from msdm_core.kandinsky.presets import MOVQ

TINY_MOVQ_IMAGE_PX = 64

TINY_MOVQ: dict[str, Any] = MOVQ | {
    "block_out_channels": [16, 24, 48, 48],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "latent_channels": 8,
    "sample_size": TINY_MOVQ_IMAGE_PX,
}
