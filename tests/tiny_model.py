"""A preset so small that a picture takes milliseconds, and a checkpoint built from it.

Run as a module it is the real command line with the preset ``tiny`` added, which is how the tests
train: ``python -m tests.tiny_model train denoiser --preset tiny ...``.
"""

import sys
from pathlib import Path

from msdm_core.msdm.presets import PRESETS, Preset

TINY = Preset(
    name="tiny",
    image_px=64,
    autoencoder_class="AutoencoderDC",
    autoencoder={
        "latent_channels": 8,
        "encoder_block_out_channels": [16, 16, 32, 32],
        "decoder_block_out_channels": [16, 16, 32, 32],
        "encoder_layers_per_block": [0, 1, 1, 1],
        "decoder_layers_per_block": [0, 1, 1, 1],
        "encoder_qkv_multiscales": [[], [], [], []],
        "decoder_qkv_multiscales": [[], [], [], []],
        "downsample_block_type": "conv",
        "upsample_block_type": "pixel_shuffle",
    },
    denoiser={
        "sample_size": 8,
        "in_channels": 8,
        "out_channels": 8,
        "block_out_channels": [16, 32],
        "layers_per_block": 1,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "mid_block_type": None,
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "attention_head_dim": 8,
        "norm_num_groups": 8,
        "dropout": 0.1,
    },
    guide={"block_out_channels": [8, 16], "layers_per_block": 1},
    text_encoder={
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    },
    scheduler=PRESETS["compact"].scheduler,
    default_steps=4,
    default_guidance=3.0,
    text_tokens=48,
)


def write_tiny_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Writes a seeded, untrained `MSDMPipeline` and returns its folder.

    Its autoencoder has the linear start on drawn pictures, so what comes out is coloured and not
    flat; its denoiser and its text encoder know nothing.
    """
    import numpy as np
    import torch

    from msdm_core.msdm.linear_autoencoder import linear_start
    from msdm_core.msdm.pipeline import MSDMPipeline
    from msdm_core.msdm.presets import build_autoencoder, build_denoiser, build_scheduler
    from msdm_core.msdm.text_encoder import build_text_encoder, build_tokenizer, text_width
    from msdm_core.training.image_store import to_tensor
    from tests.drawings import draw_scene, scenes

    drawn = scenes()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pictures = np.stack([np.asarray(draw_scene(s, TINY.image_px)) for s in drawn])
        autoencoder = build_autoencoder(TINY)
        linear_start(autoencoder, to_tensor(pictures))
        corpus = [prompt for scene in drawn for prompt in scene.prompts()]
        assert isinstance(TINY.text_encoder, dict)
        words = folder / "tokenizer"
        build_tokenizer(corpus, 300, TINY.text_tokens).save_pretrained(words)
        tokenizer, encoder = build_text_encoder(TINY.text_encoder, words)
        pipeline = MSDMPipeline(
            vae=autoencoder.eval(),
            text_encoder=encoder.eval(),
            tokenizer=tokenizer,
            unet=build_denoiser(TINY, text_width(encoder)).eval(),
            scheduler=build_scheduler(TINY),
            default_steps=TINY.default_steps,
            default_guidance=TINY.default_guidance,
            image_px=TINY.image_px,
            text_tokens=TINY.text_tokens,
        )
    pipeline.save_pretrained(folder)
    return folder


def main() -> int:
    """Runs the command line with the tiny preset added."""
    from msdm_core.__main__ import main as run_command

    PRESETS[TINY.name] = TINY
    return run_command()


if __name__ == "__main__":
    sys.exit(main())
