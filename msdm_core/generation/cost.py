"""What one image costs, counted from shapes alone: parameters and floating-point operations.

Every network is built on torch's meta device, where tensors have shapes and no values, and runs
one forward there; the operations of a forward times the number of forwards are those of an image.
So a model of billions of parameters is counted in seconds, without its weights.

Matrix products, convolutions and attention count, a multiplication and an addition as two;
normalisations and other element-wise work, a few percent, do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from msdm_core.errors import CostError
from msdm_core.generation.architecture import Architecture, Component
from msdm_core.generation.sampling import Sampling

MSDM_PROMPT_TOKENS = 32  # MSDM pads to the longest prompt only; this is a sentence or two


@dataclass(frozen=True, slots=True)
class ImageCost:
    """What one image costs.

    Attributes:
        parameters: of all networks of the model, LoRA aside.
        flops: floating-point operations of one image.
    """

    parameters: int
    flops: int


@dataclass(frozen=True, slots=True)
class PartCost:
    """What one network contributes to an image.

    Attributes:
        name: of the component in the pipeline.
        parameters: all of it, used for an image or not.
        forward_flops: of one forward.
        forwards: how often it runs for one image.
    """

    name: str
    parameters: int
    forward_flops: int
    forwards: int

    @property
    def flops(self) -> int:
        """Floating-point operations in one image."""
        return self.forward_flops * self.forwards


@dataclass(frozen=True, slots=True)
class _Use:
    """A component, how it is called (see `_INPUTS`) with which sizes, and how often."""

    name: str
    inputs: str
    sizes: tuple[int, ...]
    forwards: int


def image_cost(architecture: Architecture, sampling: Sampling) -> ImageCost:
    """Returns the parameters of a model and the operations of one image.

    Raises:
        CostError: a component is missing or cannot be counted.
    """
    parts = part_costs(architecture, sampling)
    return ImageCost(sum(part.parameters for part in parts), sum(part.flops for part in parts))


def part_costs(architecture: Architecture, sampling: Sampling) -> tuple[PartCost, ...]:
    """Returns what each network of a model contributes to an image.

    Raises:
        CostError: a component is missing or cannot be counted.
    """
    try:
        uses = _USES[architecture.family](architecture, sampling)
    except KeyError as error:
        raise CostError(
            f"A configuration of this {architecture.family} model does not state {error}."
        ) from error
    parts = []
    for use in uses:
        parameters, flops = _counted(architecture[use.name], use.inputs, use.sizes)
        parts.append(PartCost(use.name, parameters, flops, use.forwards))
    return tuple(parts)


def _msdm(model: Architecture, sampling: Sampling) -> Sequence[_Use]:
    unet, side = model["unet"].config, _latent_side(model["vae"], sampling)
    batch = 2 if sampling.is_guided else 1
    tokens, width = MSDM_PROMPT_TOKENS, unet["cross_attention_dim"]
    sizes = (unet["in_channels"], side, tokens, width)
    steps = _denoising_steps(model["scheduler"], sampling.steps)
    guide = [_Use("guide", "text_unet", (1, *sizes), steps)] if "guide" in model.components else []
    return (
        _Use("text_encoder", "tokens", (batch, tokens), 1),
        _Use("unet", "text_unet", (batch, *sizes), steps),
        *guide,
        _Use("vae", "decode", (unet["in_channels"], side), 1),
    )


def _flux(model: Architecture, sampling: Sampling) -> Sequence[_Use]:
    transformer, side = model["transformer"].config, _latent_side(model["vae"], sampling)
    passes = 2 if sampling.is_guided else 1  # one after the other, not as a batch
    patches = (side // 2) ** 2
    sizes = (
        patches,
        transformer["in_channels"],
        sampling.text_tokens,
        transformer["joint_attention_dim"],
        transformer["pooled_projection_dim"],
    )
    clip_tokens = model["text_encoder"].config.get("max_position_embeddings", 77)
    return (
        _Use("text_encoder", "tokens", (1, clip_tokens), passes),
        _Use("text_encoder_2", "tokens", (1, sampling.text_tokens), passes),
        _Use("transformer", "flux_transformer", sizes, passes * sampling.steps),
        _Use("vae", "decode", (transformer["in_channels"] // 4, side), 1),
    )


def _kandinsky(model: Architecture, sampling: Sampling) -> Sequence[_Use]:
    prior, unet = model["prior"].config, model["unet"].config
    side = _latent_side(model["movq"], sampling)
    prior_batch = 2 if sampling.prior_guidance > 1 else 1
    batch = 2 if sampling.is_guided else 1
    tokens = prior.get("num_embeddings", 77)
    prior_sizes = (prior_batch, prior["embedding_dim"], tokens)
    image_px = model["image_encoder"].config.get("image_size", 224)
    steps = _denoising_steps(model["scheduler"], sampling.steps)
    return (
        _Use("text_encoder", "tokens", (1, tokens), prior_batch),
        _Use("image_encoder", "pixels", (image_px,), 1),  # of a black image, for guidance
        _Use("prior", "prior", prior_sizes, sampling.prior_steps),
        _Use(
            "unet", "image_unet", (batch, unet["in_channels"], side, unet["encoder_hid_dim"]), steps
        ),
        _Use("movq", "decode", (unet["in_channels"], side), 1),
    )


def _stable_diffusion(model: Architecture, sampling: Sampling) -> Sequence[_Use]:
    unet, side = model["unet"].config, _latent_side(model["vae"], sampling)
    batch = 2 if sampling.is_guided else 1
    tokens = model["text_encoder"].config.get("max_position_embeddings", 77)
    sizes = (batch, unet["in_channels"], side, tokens, unet["cross_attention_dim"])
    uses = [
        _Use("text_encoder", "tokens", (1, tokens), batch),
        _Use("unet", "plain_unet", sizes, _denoising_steps(model["scheduler"], sampling.steps)),
        _Use("vae", "decode", (unet["in_channels"], side), 1),
    ]
    if "safety_checker" in model.components:
        vision = model["safety_checker"].config.get("vision_config", {})
        uses.append(_Use("safety_checker", "vision_tower", (vision.get("image_size", 224),), 1))
    return uses


_USES: Mapping[str, Callable[[Architecture, Sampling], Sequence[_Use]]] = {
    "msdm": _msdm,
    "flux": _flux,
    "kandinsky": _kandinsky,
    "stable_diffusion": _stable_diffusion,
}


def _latent_side(autoencoder: Component, sampling: Sampling) -> int:
    config = autoencoder.config
    widths = config.get("encoder_block_out_channels") or config.get("block_out_channels")
    if not widths:
        raise CostError(f"The {autoencoder.class_name} states no block_out_channels.")
    return int(sampling.size_px // 2 ** (len(widths) - 1))


def _denoising_steps(scheduler: Component, steps: int) -> int:
    """Returns the forwards that a scheduler makes of `steps`: some warm up with more."""
    import diffusers

    try:
        built = getattr(diffusers, scheduler.class_name).from_config(scheduler.config)
        built.set_timesteps(steps)
    except Exception as error:
        raise CostError(
            f"The scheduler {scheduler.class_name} cannot be set to {steps} steps: {error}"
        ) from error
    return len(built.timesteps)


@lru_cache(maxsize=256)
def _counted(component: Component, inputs: str, sizes: tuple[int, ...]) -> tuple[int, int]:
    """Returns the parameters of a component and the operations of one forward."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from msdm_core.generation.cost_inputs import run_forward

    try:
        network = _built(component)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        # The fused kernels of a CPU are not known to the counter; their plain form is.
        with (
            torch.no_grad(),
            sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):
            run_forward(network, inputs, sizes)
    except Exception as error:  # whatever a foreign configuration leads to
        raise CostError(
            f"The {component.class_name} cannot be counted: {type(error).__name__}: {error}"
        ) from error
    return parameters, int(counter.get_total_flops())


def _built(component: Component) -> Any:
    """Returns the network on the meta device, with shapes and without values."""
    import torch

    with torch.device("meta"):
        if component.library == "diffusers":
            import diffusers

            network = getattr(diffusers, component.class_name).from_config(component.config)
        else:
            kind = _transformers_class(component)
            network = kind(kind.config_class.from_dict(component.config))
    return network.eval()


def _transformers_class(component: Component) -> Any:
    if component.library == "stable_diffusion":
        from diffusers.pipelines.stable_diffusion import safety_checker

        return getattr(safety_checker, component.class_name)
    import transformers

    return getattr(transformers, component.class_name)
