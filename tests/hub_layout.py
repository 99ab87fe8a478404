"""Tiny checkpoints in the layout in which the released models lie on the hub.

File for file as FLUX.1-dev, Kandinsky 2.2 (prior and decoder) and Stable Diffusion 1.5 have them:
the same `model_index.json`, tokenizers as `vocab.json` and `merges.txt` without `tokenizer.json`,
a second tokenizer with `spiece.model`, large networks in shards, and the CLIP weights under their
old names. Only the widths are tiny, and the values random.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

SHARD = "150KB"
PROMPT = "a polyp in the lower right"
_CLIP_TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "max_position_embeddings": 77,
    "projection_dim": 32,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
_CLIP_VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "patch_size": 8,
    "image_size": 16,
    "projection_dim": 32,
}
_IMAGE_PROCESSOR: dict[str, Any] = {
    "crop_size": {"height": 16, "width": 16},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 16},
}


def write_flux(folder: Path, seed: int = 0, *, guidance_embeds: bool = True) -> Path:
    """Writes a tiny FLUX.1-dev (or schnell, without guidance) and returns its folder."""
    from diffusers import AutoencoderKL

    with _seeded(seed):
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=4,
            use_quant_conv=False,
            use_post_quant_conv=False,
            scaling_factor=0.3611,
            shift_factor=0.1159,
        )
        return _write_flux(folder, vae, latent_channels=4, guidance_embeds=guidance_embeds)


def write_compact_flux(folder: Path, seed: int = 0) -> Path:
    """Writes a tiny FLUX whose autoencoder is an `AutoencoderDC`, as in our compact one."""
    from diffusers import AutoencoderDC

    with _seeded(seed):
        widths = (8, 8, 8, 8)
        vae = AutoencoderDC(
            latent_channels=4,
            encoder_block_out_channels=widths,
            decoder_block_out_channels=widths,
            encoder_layers_per_block=(0, 1, 1, 1),
            decoder_layers_per_block=(0, 1, 1, 1),
            encoder_qkv_multiscales=((),) * 4,
            decoder_qkv_multiscales=((),) * 4,
            downsample_block_type="conv",
            upsample_block_type="pixel_shuffle",
        )
        vae.register_to_config(block_out_channels=[1] * 4, shift_factor=0.0)
        return _write_flux(folder, vae, latent_channels=4, guidance_embeds=False)


def _write_flux(folder: Path, vae: Any, *, latent_channels: int, guidance_embeds: bool) -> Path:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    transformer = FluxTransformer2DModel(
        in_channels=4 * latent_channels,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 6, 6),
    )
    transformer.save_pretrained(folder / "transformer", max_shard_size=SHARD)
    vae.save_pretrained(folder / "vae")
    words = _write_clip_tokenizer(folder / "tokenizer")
    _save_clip(
        CLIPTextModel(CLIPTextConfig(vocab_size=words, **_CLIP_TEXT)), folder, "text_encoder"
    )
    pieces = _write_t5_tokenizer(folder / "tokenizer_2")
    t5 = T5Config(
        vocab_size=pieces, d_model=32, d_kv=16, d_ff=64, num_heads=2, num_layers=2,
        feed_forward_proj="gated-gelu", dropout_rate=0.0,
    )  # fmt: skip
    T5EncoderModel(t5).save_pretrained(folder / "text_encoder_2", max_shard_size="60KB")
    FlowMatchEulerDiscreteScheduler(
        shift=3.0, use_dynamic_shifting=guidance_embeds
    ).save_pretrained(folder / "scheduler")
    return _write_index(
        folder,
        "FluxPipeline",
        "0.30.0.dev0",
        scheduler=("diffusers", "FlowMatchEulerDiscreteScheduler"),
        text_encoder=("transformers", "CLIPTextModel"),
        text_encoder_2=("transformers", "T5EncoderModel"),
        tokenizer=("transformers", "CLIPTokenizer"),
        tokenizer_2=("transformers", "T5TokenizerFast"),
        transformer=("diffusers", "FluxTransformer2DModel"),
        vae=("diffusers", type(vae).__name__),
    )


def write_kandinsky(folder: Path, seed: int = 0) -> Path:
    """Writes a tiny Kandinsky 2.2, its folders `prior` and `decoder`, and returns their parent."""
    from diffusers import DDPMScheduler

    with _seeded(seed):
        _write_prior(folder / "prior")
        scheduler = DDPMScheduler(
            beta_schedule="linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
            variance_type="learned_range", thresholding=False,
        )  # fmt: skip
        _write_decoder(folder / "decoder", scheduler, latent_channels=4, levels=4)
    return folder


def write_compact_kandinsky(folder: Path, seed: int = 0) -> Path:
    """Writes a tiny Kandinsky with 32 latent channels at factor 16 and a flow-matching solver."""
    from diffusers import DPMSolverMultistepScheduler

    with _seeded(seed):
        _write_prior(folder / "prior")
        scheduler = DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.5
        )
        _write_decoder(folder / "decoder", scheduler, latent_channels=32, levels=5)
    return folder


def _write_prior(folder: Path) -> None:
    from diffusers import PriorTransformer, UnCLIPScheduler
    from transformers import (
        CLIPTextConfig,
        CLIPTextModelWithProjection,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    prior = PriorTransformer(
        num_attention_heads=2, attention_head_dim=8, num_layers=1, embedding_dim=32,
        num_embeddings=77, additional_embeddings=4,
    )  # fmt: skip
    prior.clip_std.data.fill_(1.0)
    prior.save_pretrained(folder / "prior", max_shard_size=SHARD)
    words = _write_clip_tokenizer(folder / "tokenizer")
    text = CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=words, **_CLIP_TEXT))
    _save_clip(text, folder, "text_encoder")
    vision = CLIPVisionModelWithProjection(CLIPVisionConfig(**_CLIP_VISION))
    _save_clip(vision, folder, "image_encoder")
    _write_json(folder / "image_processor" / "preprocessor_config.json",
                {**_IMAGE_PROCESSOR, "image_processor_type": "CLIPImageProcessor"})  # fmt: skip
    UnCLIPScheduler(
        clip_sample_range=10.0, num_train_timesteps=1000, prediction_type="sample",
        variance_type="fixed_small_log",
    ).save_pretrained(folder / "scheduler")  # fmt: skip
    _write_index(
        folder,
        "KandinskyV22PriorPipeline",
        "0.17.0.dev0",
        image_encoder=("transformers", "CLIPVisionModelWithProjection"),
        image_processor=("transformers", "CLIPImageProcessor"),
        prior=("diffusers", "PriorTransformer"),
        scheduler=("diffusers", "UnCLIPScheduler"),
        text_encoder=("transformers", "CLIPTextModelWithProjection"),
        tokenizer=("transformers", "CLIPTokenizer"),
    )


def _write_decoder(folder: Path, scheduler: Any, *, latent_channels: int, levels: int) -> None:
    from diffusers import UNet2DConditionModel, VQModel

    UNet2DConditionModel(
        sample_size=8,
        in_channels=latent_channels,
        out_channels=2 * latent_channels,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        attention_head_dim=8,
        cross_attention_dim=16,
        encoder_hid_dim=32,
        encoder_hid_dim_type="image_proj",
        addition_embed_type="image",
        addition_embed_type_num_heads=4,
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=8,
    ).save_pretrained(folder / "unet", max_shard_size=SHARD)
    VQModel(
        block_out_channels=(8 if levels > 4 else 32,) * levels,  # spatial norm wants 32
        down_block_types=(*("DownEncoderBlock2D",) * (levels - 1), "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", *("UpDecoderBlock2D",) * (levels - 1)),
        latent_channels=latent_channels,
        layers_per_block=1,
        norm_num_groups=4,
        norm_type="group" if levels > 4 else "spatial",
        num_vq_embeddings=12,
        vq_embed_dim=latent_channels,
    ).save_pretrained(folder / "movq")
    scheduler.save_pretrained(folder / "scheduler")
    _write_index(
        folder,
        "KandinskyV22Pipeline",
        "0.17.0.dev0",
        movq=("diffusers", "VQModel"),
        scheduler=("diffusers", type(scheduler).__name__),
        unet=("diffusers", "UNet2DConditionModel"),
    )


def write_clip(folder: Path) -> Path:
    """Writes a seeded, untrained CLIP with image processor and tokenizer and returns its folder."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    words = _write_clip_tokenizer(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = CLIPConfig(
            text_config={**_CLIP_TEXT, "vocab_size": words}, vision_config=_CLIP_VISION,
            projection_dim=32,
        )  # fmt: skip
        CLIPModel(config).save_pretrained(folder)
    _write_json(folder / "preprocessor_config.json",
                {**_IMAGE_PROCESSOR, "image_processor_type": "CLIPImageProcessor"})  # fmt: skip
    return folder


def write_stable_diffusion(folder: Path, seed: int = 0, *, has_checker: bool = False) -> Path:
    """Writes a tiny Stable Diffusion 1.5; its safety checker only where asked for.

    `model_index.json` names the checker either way, as that of the release does.
    """
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with _seeded(seed):
        words = _write_clip_tokenizer(folder / "tokenizer")
        text = CLIPTextModel(CLIPTextConfig(vocab_size=words, **_CLIP_TEXT))
        _save_clip(text, folder, "text_encoder")
        UNet2DConditionModel(
            sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32),
            layers_per_block=1, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=4,
            cross_attention_dim=32, norm_num_groups=8,
        ).save_pretrained(folder / "unet")  # fmt: skip
        AutoencoderKL(
            block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, layers_per_block=1,
            norm_num_groups=4,
        ).save_pretrained(folder / "vae")  # fmt: skip
        if has_checker:
            _write_checker(folder)
    PNDMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, skip_prk_steps=True,
        steps_offset=1, set_alpha_to_one=False,
    ).save_pretrained(folder / "scheduler")  # fmt: skip
    return _write_index(
        folder,
        "StableDiffusionPipeline",
        "0.6.0",
        feature_extractor=("transformers", "CLIPImageProcessor"),
        safety_checker=("stable_diffusion", "StableDiffusionSafetyChecker"),
        scheduler=("diffusers", "PNDMScheduler"),
        text_encoder=("transformers", "CLIPTextModel"),
        tokenizer=("transformers", "CLIPTokenizer"),
        unet=("diffusers", "UNet2DConditionModel"),
        vae=("diffusers", "AutoencoderKL"),
    )


def _write_checker(folder: Path) -> None:
    """Writes a safety checker that objects to every picture."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    vision = {key: value for key, value in _CLIP_VISION.items() if key != "projection_dim"}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=32))
    checker.concept_embeds_weights.data.fill_(-2.0)  # below any cosine similarity
    checker.save_pretrained(folder / "safety_checker")
    _write_json(folder / "feature_extractor" / "preprocessor_config.json",
                {**_IMAGE_PROCESSOR, "feature_extractor_type": "CLIPFeatureExtractor"})  # fmt: skip


class _seeded:  # noqa: N801 - reads as a statement
    """Seeds torch inside a block and leaves its state as it was."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        self._state = torch.get_rng_state()
        torch.manual_seed(self._seed)

    def __exit__(self, *_: object) -> None:
        torch.set_rng_state(self._state)


def _write_index(folder: Path, class_name: str, version: str, **parts: tuple[str, str]) -> Path:
    index: dict[str, Any] = {"_class_name": class_name, "_diffusers_version": version}
    _write_json(folder / "model_index.json", index | {k: list(v) for k, v in parts.items()})
    return folder


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _save_clip(model: Any, folder: Path, name: str) -> None:
    """Saves a CLIP tower under the names its weights had when the releases were made."""
    model.save_pretrained(folder / name)
    path = folder / name / "model.safetensors"
    tower = "text_model." if "Text" in type(model).__name__ else "vision_model."
    projections = ("text_projection", "visual_projection")
    old = {
        key if key.startswith((tower, *projections)) else f"{tower}{key}": value
        for key, value in load_file(path).items()
    }
    save_file(old, path, metadata={"format": "pt"})


def _write_clip_tokenizer(folder: Path) -> int:
    """Writes a byte-level CLIP tokenizer without `tokenizer.json` and returns its size."""
    characters = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 324))]
    merges = [("p", "o"), ("l", "y"), ("po", "ly"), ("poly", "p</w>"), ("a", "t"), ("i", "n</w>")]
    words = [
        "<|startoftext|>", *characters, *(f"{c}</w>" for c in characters),
        *("".join(pair) for pair in merges), "<|endoftext|>",
    ]  # fmt: skip
    _write_json(folder / "vocab.json", {word: index for index, word in enumerate(words)})
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {
        "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
    }  # fmt: skip
    _write_json(folder / "special_tokens_map.json", special)
    _write_json(
        folder / "tokenizer_config.json",
        {
            **special, "add_prefix_space": False, "do_lower_case": True, "errors": "replace",
            "model_max_length": 77, "tokenizer_class": "CLIPTokenizer",
        },
    )  # fmt: skip
    return len(words)


def _write_t5_tokenizer(folder: Path) -> int:
    """Writes a T5 tokenizer with `spiece.model` and `tokenizer.json` and returns its size."""
    from transformers import T5Tokenizer

    scores = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0, "▁": -2.0}
    scores |= {f"▁{word}": -3.0 for word in PROMPT.split()}
    scores |= {chr(code): -8.0 for code in range(33, 127)}
    T5Tokenizer(vocab=list(scores.items()), extra_ids=0).save_pretrained(folder)
    kinds = {"<pad>": 3, "</s>": 3, "<unk>": 2}
    pieces = (_piece(name, score, kinds.get(name, 1)) for name, score in scores.items())
    (folder / "spiece.model").write_bytes(b"".join(pieces))
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    _write_json(folder / "special_tokens_map.json", special)
    _write_json(
        folder / "tokenizer_config.json",
        {
            **special, "clean_up_tokenization_spaces": True, "extra_ids": 0, "legacy": True,
            "model_max_length": 512, "sp_model_kwargs": {}, "tokenizer_class": "T5Tokenizer",
        },
    )  # fmt: skip
    return len(scores)


def _piece(name: str, score: float, kind: int) -> bytes:
    """Returns a SentencePiece message: field 1 of the model, with piece, score and type."""
    text = name.encode()
    body = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", score)
    body += b"\x18" + bytes([kind])
    return b"\x0a" + bytes([len(body)]) + body
