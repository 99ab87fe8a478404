"""Named sizes of MSDM: what each is built of, in the words of the stock classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msdm_core.errors import TrainingError

SPATIAL_FACTOR_NOTE = "latent side = image side / 2**(levels - 1)"


@dataclass(frozen=True, slots=True)
class Preset:
    """A named size.

    Attributes:
        name: How the command line calls it.
        image_px: Native width and height.
        autoencoder_class: Stock diffusers class of the autoencoder.
        autoencoder: Its arguments.
        denoiser: Arguments of `UNet2DConditionModel`; widths of the text are filled in.
        guide: What its guide has in place of those: far fewer parameters.
        text_encoder: Arguments of the small BERT that is trained here, or the hub id of a
            pre-trained one.
        scheduler: Arguments of `DPMSolverMultistepScheduler`.
        default_steps: Sampling steps where nobody says otherwise.
        default_guidance: Guidance scale where nobody says otherwise.
        fit: How pictures of another shape are made square.
    """

    name: str
    image_px: int
    autoencoder_class: str
    autoencoder: dict[str, Any]
    denoiser: dict[str, Any]
    guide: dict[str, Any]
    text_encoder: dict[str, Any] | str
    scheduler: dict[str, Any]
    default_steps: int
    default_guidance: float
    fit: str = "pad"
    text_tokens: int = field(default=64)


_FLOW = {
    "num_train_timesteps": 1000,
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "flow_shift": 1.5,  # more noise than 1: layout is settled there; less than 3: so is detail
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "lower_order_final": True,
}

_SCALED_LINEAR = {
    "num_train_timesteps": 1000,
    "beta_start": 0.002,
    "beta_end": 0.02,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "trailing",
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "lower_order_final": True,
}

PREDICTION_TYPES = ("flow_prediction", "epsilon", "v_prediction")

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="compact",
            image_px=256,
            autoencoder_class="AutoencoderDC",
            autoencoder={
                "latent_channels": 32,
                "encoder_block_out_channels": [16, 32, 64, 128, 128],
                "decoder_block_out_channels": [16, 32, 64, 128, 128],
                "encoder_layers_per_block": [0, 1, 1, 1, 1],
                "decoder_layers_per_block": [0, 2, 2, 2, 1],
                "encoder_qkv_multiscales": [[], [], [], [], []],
                "decoder_qkv_multiscales": [[], [], [], [], []],
                "downsample_block_type": "conv",
                "upsample_block_type": "pixel_shuffle",
            },
            denoiser={
                "sample_size": 16,
                "in_channels": 32,
                "out_channels": 32,
                "block_out_channels": [112, 176],
                "layers_per_block": 2,
                "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
                "mid_block_type": None,
                "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
                "attention_head_dim": 8,
                "norm_num_groups": 16,
            },
            guide={"block_out_channels": [24, 32], "layers_per_block": 1, "norm_num_groups": 8},
            text_encoder={
                "hidden_size": 192,
                "num_hidden_layers": 2,
                "num_attention_heads": 6,
                "intermediate_size": 576,
                "max_position_embeddings": 128,
            },
            scheduler=_FLOW,
            default_steps=20,
            default_guidance=2.0,
            text_tokens=128,
        ),
        Preset(
            name="paper",
            image_px=256,
            autoencoder_class="AutoencoderKL",
            autoencoder={
                "block_out_channels": [32, 64, 128, 256],
                "down_block_types": ["DownEncoderBlock2D"] * 4,
                "up_block_types": ["UpDecoderBlock2D"] * 4,
                "layers_per_block": 2,
                "latent_channels": 8,
                "mid_block_add_attention": False,
                "sample_size": 256,
            },
            denoiser={
                "sample_size": 32,
                "in_channels": 8,
                "out_channels": 8,
                "block_out_channels": [256, 512, 1024],
                "layers_per_block": 2,
                "down_block_types": ["CrossAttnDownBlock2D"] * 3,
                "mid_block_type": None,
                "up_block_types": ["CrossAttnUpBlock2D"] * 3,
                "attention_head_dim": 8,
                "dropout": 0.1,
            },
            guide={"block_out_channels": [64, 128, 256], "layers_per_block": 1},
            text_encoder="emilyalsentzer/Bio_ClinicalBERT",
            scheduler=_SCALED_LINEAR,
            default_steps=30,
            default_guidance=4.5,
            fit="crop",
        ),
    )
}


def get_preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        TrainingError: There is no such preset.
    """
    if name not in PRESETS:
        raise TrainingError(f"No preset {name!r}; there are {', '.join(PRESETS)}.")
    return PRESETS[name]


def build_autoencoder(preset: Preset) -> Any:
    """Return a freshly initialised autoencoder of a preset."""
    import diffusers

    arguments = {k: tuple(tuple(i) if isinstance(i, list) else i for i in v)
                 if isinstance(v, list) else v for k, v in preset.autoencoder.items()}
    return getattr(diffusers, preset.autoencoder_class)(**arguments)


def build_denoiser(preset: Preset, text_width: int) -> Any:
    """Return a freshly initialised U-Net of a preset.

    Args:
        preset: The size.
        text_width: Width of the text encoder's hidden states; tokens condition by
            cross-attention, their masked mean is added to the time embedding.
    """
    from diffusers import UNet2DConditionModel

    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in preset.denoiser.items()}
    return UNet2DConditionModel(
        **arguments,
        cross_attention_dim=text_width,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=text_width,
    )


def build_guide(preset: Preset, denoiser: Any) -> Any:
    """Return a freshly initialised guide for a denoiser: the same kind of U-Net, far smaller.

    Source: Karras et al. 2024, arXiv:2406.02507, where the guide is smaller and trained for less.

    Args:
        preset: The size.
        denoiser: The `UNet2DConditionModel` that it shall guide, of the same preset.
    """
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_config({**denoiser.config, **preset.guide})


def build_scheduler(preset: Preset, prediction_type: str | None = None) -> Any:
    """Return the sampler of a preset, which also says what the denoiser predicts.

    Args:
        preset: The size.
        prediction_type: "flow_prediction" (Lipman et al. 2023, arXiv:2210.02747), or "epsilon" or
            "v_prediction" of a variance-preserving diffusion (Salimans and Ho 2022,
            arXiv:2202.00512); None: the preset's.
    """
    from diffusers import DPMSolverMultistepScheduler

    if prediction_type in (None, preset.scheduler["prediction_type"]):
        return DPMSolverMultistepScheduler(**preset.scheduler)
    arguments = _FLOW if prediction_type == "flow_prediction" else _SCALED_LINEAR
    return DPMSolverMultistepScheduler(**arguments | {"prediction_type": prediction_type})
