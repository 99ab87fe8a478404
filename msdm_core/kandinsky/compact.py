"""Kandinsky 2.2 at small scale: the classes and roles of the released model, in small sizes.

A prior turns words into an image embedding of CLIP; a decoder draws latents from that embedding;
MoVQ turns latents into a picture.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from msdm_core.kandinsky.clip import EMBEDDING_WIDTH, TEXT_TOKENS, build_image_processor

IMAGE_PX = 256
FLOW_SHIFT = 1.5
PRIOR: dict[str, Any] = {
    "num_attention_heads": 6, "attention_head_dim": 32, "num_layers": 3,
    "embedding_dim": EMBEDDING_WIDTH, "num_embeddings": TEXT_TOKENS, "additional_embeddings": 4,
}  # fmt: skip
DECODER: dict[str, Any] = {
    "block_out_channels": (88, 144), "layers_per_block": 2, "attention_head_dim": 16,
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "resnet_time_scale_shift": "scale_shift", "norm_num_groups": 8,
    "encoder_hid_dim": EMBEDDING_WIDTH, "encoder_hid_dim_type": "image_proj",
    "addition_embed_type": "image", "cross_attention_dim": 64,
}  # fmt: skip


def build_prior() -> Any:
    """Return a fresh `PriorTransformer`."""
    from diffusers import PriorTransformer

    return PriorTransformer(**PRIOR)


def build_prior_scheduler() -> Any:
    """Return the released prior's sampler: noise on embeddings, the clean one predicted."""
    from diffusers import UnCLIPScheduler

    return UnCLIPScheduler(
        num_train_timesteps=1000, variance_type="fixed_small_log", clip_sample=True,
        clip_sample_range=5.0, prediction_type="sample",
    )


def build_decoder(latent_channels: int, latent_px: int) -> Any:
    """Return a fresh `UNet2DConditionModel` in the manner of Kandinsky 2.2.

    Its output has twice the latent channels, as `KandinskyV22Pipeline` expects; the second half,
    a learned variance in the released model, is zero and unused here.
    """
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=latent_px, in_channels=latent_channels, out_channels=2 * latent_channels,
        **DECODER,
    )
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    return unet


def build_decoder_scheduler() -> Any:
    """Return the decoder's sampler: flow matching, solved by DPM-Solver++."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000, prediction_type="flow_prediction", use_flow_sigmas=True,
        flow_shift=FLOW_SHIFT, algorithm_type="dpmsolver++", solver_order=2,
        lower_order_final=True,
    )


def build_prior_pipeline(prior: Any, clip: dict[str, Any]) -> Any:
    """Return a `KandinskyV22PriorPipeline`.

    Args:
        prior: `PriorTransformer`.
        clip: From `load_clip`.
    """
    from diffusers import KandinskyV22PriorPipeline

    pipeline = KandinskyV22PriorPipeline(
        prior=prior, image_encoder=clip["image_encoder"], text_encoder=clip["text_encoder"],
        tokenizer=clip["tokenizer"], scheduler=build_prior_scheduler(),
        image_processor=build_image_processor(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def build_decoder_pipeline(unet: Any, movq: Any) -> Any:
    """Return a `KandinskyV22Pipeline` of a U-Net and an autoencoder."""
    from diffusers import KandinskyV22Pipeline

    pipeline = KandinskyV22Pipeline(unet=unet, scheduler=build_decoder_scheduler(), movq=movq)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
