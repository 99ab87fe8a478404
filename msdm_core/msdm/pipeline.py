"""`MSDMPipeline`: prompt in, picture out, in the manner of diffusers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from PIL import Image

from msdm_core.errors import RequestError
from msdm_core.msdm.autoencoder import decode
from msdm_core.msdm.text_encoder import TextStates, encode_text

OUTPUT_TYPES = ("pil", "np", "latent")
StepCallback = Callable[["MSDMPipeline", int, Any, dict[str, Any]], dict[str, Any]]


class MSDMPipeline(DiffusionPipeline):
    """Text-to-image generation with MSDM.

    Source: Chaichuk et al. 2025, arXiv:2505.05573. Latent diffusion with a text encoder whose
    tokens condition a U-Net by cross-attention and whose masked mean is added to the time
    embedding. Every component is a stock diffusers or transformers class.

    A second U-Net, far smaller and briefly trained, may guide the first: what the two do not agree
    on is taken further (autoguidance, Karras et al. 2024, arXiv:2406.02507).
    """

    model_cpu_offload_seq = "text_encoder->guide->unet->vae"
    _optional_components = ["guide"]  # noqa: RUF012 (diffusers reads a list)
    _callback_tensor_inputs = ("latents", "clean_latents")

    def __init__(
        self,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        unet: Any,
        scheduler: Any,
        guide: Any = None,
        default_steps: int = 20,
        default_guidance: float = 3.0,
        default_guide_scale: float = 1.0,
        image_px: int = 256,
        text_tokens: int = 128,
        is_grey: bool = False,
    ) -> None:
        """Assemble a pipeline.

        Args:
            vae: `AutoencoderDC` or `AutoencoderKL`.
            text_encoder: BERT-like model or `CLIPTextModel`.
            tokenizer: The text encoder's tokenizer.
            unet: `UNet2DConditionModel` with ``class_embed_type="projection"``.
            scheduler: A diffusers scheduler, `DPMSolverMultistepScheduler` by default.
            guide: A worse `UNet2DConditionModel` for the same latents and words; None for none.
            default_steps: Sampling steps where a call gives none.
            default_guidance: Guidance scale where a call gives none.
            default_guide_scale: How far to go from the guide where a call does not say.
            image_px: Native width and height.
            text_tokens: Largest number of text tokens.
            is_grey: Whether pictures have three equal channels, as those it was trained on.
        """
        super().__init__()
        self.register_modules(
            vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet,
            scheduler=scheduler, guide=guide,
        )  # fmt: skip
        self.register_to_config(
            default_steps=default_steps,
            default_guidance=default_guidance,
            default_guide_scale=default_guide_scale,
            image_px=image_px,
            text_tokens=text_tokens,
            is_grey=is_grey,
        )

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> MSDMPipeline:
        """Return the pipeline of a checkpoint folder, in float32 unless a ``dtype`` is given.

        Without a type, diffusers would load float32 and transformers whatever the files hold, and
        the two would not fit together.
        """
        if "torch_dtype" not in options:  # the older name of the option
            options.setdefault("dtype", torch.float32)
        return cast("MSDMPipeline", super().from_pretrained(folder, **options))

    @property
    def spatial_factor(self) -> int:
        """Pixels a side that one latent position stands for."""
        return int(self.config.image_px) // int(self.unet.config.sample_size)

    def encode_prompt(self, prompts: Sequence[str]) -> TextStates:
        """Return the text states of B prompts: tokens (B, L, D), mask (B, L), pooled (B, D)."""
        return encode_text(self.tokenizer, self.text_encoder, prompts, self.config.text_tokens)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        *,
        negative_prompt: str = "",
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        guide_scale: float | None = None,
        height: int | None = None,
        width: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> ImagePipelineOutput:
        """Return one picture for each prompt.

        Args:
            prompt: B prompts (a string is one).
            negative_prompt: What guidance leads away from; empty is unconditional.
            num_inference_steps: Sampling steps, at least 1.
            guidance_scale: Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598);
                1 switches it off and halves the work.
            guide_scale: Autoguidance (Karras et al. 2024, arXiv:2406.02507): the prediction is
                this many times as far from the guide's; 1 switches it off.
            height: Pixels, a multiple of the spatial factor.
            width: Pixels, likewise.
            generator: CPU generator, one or B of them; B make a picture independent of its batch.
            latents: (B, C, H/f, W/f) standard normal noise to start from, instead of generator.
            output_type: "pil", "np" (float in [0, 1], (B, H, W, 3)) or "latent".
            callback_on_step_end: Called with (pipeline, step index, timestep, tensors) after each
                step; raise in it to stop. May return changed "latents".
            callback_on_step_end_tensor_inputs: Of "latents" and "clean_latents" (the picture
                that the model has in mind at this step; see `decode_latents`).

        Raises:
            RequestError: A value is not allowed.
        """
        prompts = _prompts(prompt)
        steps = self.config.default_steps if num_inference_steps is None else num_inference_steps
        guidance = self.config.default_guidance if guidance_scale is None else guidance_scale
        autoguidance = self.config.default_guide_scale if guide_scale is None else guide_scale
        height = self.config.image_px if height is None else height
        width = self.config.image_px if width is None else width
        self._check(steps, height, width, callback_on_step_end_tensor_inputs)
        for name, scale in (("guidance_scale", guidance), ("guide_scale", autoguidance)):
            if not math.isfinite(scale):
                raise RequestError(f"{name} is {scale}; give a finite number, 1 for none.")
        if autoguidance != 1.0 and self.guide is None:
            raise RequestError(
                f"guide_scale is {autoguidance}, and this checkpoint has no guide; give 1, or "
                "train one with `python -m msdm_core train guide`."
            )
        if output_type not in OUTPUT_TYPES:
            raise RequestError(
                f"output_type is {output_type!r}; allowed are {', '.join(OUTPUT_TYPES)}."
            )
        is_guided = guidance != 1.0
        negative = [negative_prompt] * len(prompts) if is_guided else []
        text = self.encode_prompt(negative + prompts)
        latents = self._noise(len(prompts), height, width, generator, latents)
        self.scheduler.set_timesteps(steps, device=self.device)
        latents = latents * self.scheduler.init_noise_sigma
        with self.progress_bar(total=steps) as bar:
            for index, timestep in enumerate(self.scheduler.timesteps):
                predicted = self._predict(latents, timestep, text, guidance, autoguidance)
                previous = latents
                latents = self.scheduler.step(predicted, timestep, latents, return_dict=False)[0]
                bar.update()
                if callback_on_step_end is not None:
                    known = {"latents": latents, "clean_latents": self._clean(previous)}
                    chosen = {name: known[name] for name in callback_on_step_end_tensor_inputs}
                    changed = callback_on_step_end(self, index, timestep, chosen)
                    latents = (changed or {}).get("latents", latents)
        self.maybe_free_model_hooks()
        if output_type == "latent":
            return ImagePipelineOutput(images=latents)
        arrays = self._decode_arrays(latents)
        if output_type == "np":
            return ImagePipelineOutput(images=arrays)
        return ImagePipelineOutput(images=_to_pictures(arrays))

    def _check(self, steps: int, height: int, width: int, names: Sequence[str]) -> None:
        if not isinstance(steps, int) or not 1 <= steps <= 1000:
            raise RequestError(
                f"num_inference_steps is {steps}; allowed are whole numbers from 1 to 1000."
            )
        # Every level of the U-Net halves the side, so odd latent sides do not fit.
        factor = self.spatial_factor * 2 ** (len(self.unet.config.block_out_channels) - 1)
        if height % factor or width % factor or min(height, width) < factor:
            raise RequestError(
                f"The size {width}x{height} is not possible; sides must be multiples of {factor}. "
                f"The model was trained at {self.config.image_px} pixels."
            )
        unknown = set(names) - set(self._callback_tensor_inputs)
        if unknown:
            raise RequestError(
                f"A callback can have {', '.join(self._callback_tensor_inputs)}, "
                f"not {', '.join(sorted(unknown))}."
            )

    def _noise(
        self,
        count: int,
        height: int,
        width: int,
        generator: torch.Generator | Sequence[torch.Generator] | None,
        latents: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return (B, C, H/f, W/f) standard normal noise, drawn on the CPU."""
        factor = self.spatial_factor
        shape = (self.unet.config.in_channels, height // factor, width // factor)
        if latents is not None:
            if latents.shape != (count, *shape):
                raise RequestError(
                    f"latents are {tuple(latents.shape)}; expected {(count, *shape)}."
                )
        elif isinstance(generator, Sequence):
            if len(generator) != count:
                raise RequestError(f"{len(generator)} generators for {count} prompts.")
            latents = torch.stack([torch.randn(shape, generator=g) for g in generator])
        else:
            latents = torch.randn((count, *shape), generator=generator)
        return latents.to(self.device, self.unet.dtype)

    def _predict(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        text: TextStates,
        guidance: float,
        autoguidance: float,
    ) -> torch.Tensor:
        """Return the guided prediction of the denoiser, (B, C, H/f, W/f)."""
        count = len(latents)
        repeats = len(text.pooled) // count  # without the prompt first, where guidance needs it
        inputs = self.scheduler.scale_model_input(torch.cat([latents] * repeats), timestep)
        both = _denoise(self.unet, inputs, timestep, text)
        conditional = both[-count:]
        predicted = conditional
        if repeats == 2:
            predicted = both[:count] + guidance * (conditional - both[:count])
        if autoguidance != 1.0:
            worse = _denoise(self.guide, inputs[-count:], timestep, text.last(count))
            predicted = predicted + (autoguidance - 1.0) * (conditional - worse)
        return predicted

    def _clean(self, fallback: torch.Tensor) -> torch.Tensor:
        """Return the clean latents that the sampler saw last, (B, C, H/f, W/f)."""
        outputs = getattr(self.scheduler, "model_outputs", None)
        return outputs[-1] if outputs and outputs[-1] is not None else fallback

    def _decode_arrays(self, latents: torch.Tensor) -> np.ndarray:
        """Return float32 pictures (B, H, W, 3) in [0, 1]."""
        images = decode(self.vae, latents.to(self.vae.dtype)).float().clamp(-1, 1)
        if self.config.is_grey:
            images = images.mean(dim=1, keepdim=True).expand_as(images)
        return images.add(1).div(2).permute(0, 2, 3, 1).cpu().numpy()

    @torch.no_grad()
    def decode_latents(self, latents: torch.Tensor) -> list[Image.Image]:
        """Return the pictures of clean latents (B, C, H/f, W/f), for previews."""
        return _to_pictures(self._decode_arrays(latents))


def _denoise(
    unet: Any, inputs: torch.Tensor, timestep: torch.Tensor, text: TextStates
) -> torch.Tensor:
    """Return what a U-Net predicts, in the shape of its inputs."""
    predicted: torch.Tensor = unet(
        inputs, timestep, encoder_hidden_states=text.tokens, encoder_attention_mask=text.mask,
        class_labels=text.pooled, return_dict=False,
    )[0]  # fmt: skip
    return predicted


def _prompts(prompt: str | Sequence[str]) -> list[str]:
    prompts = [prompt] if isinstance(prompt, str) else prompt
    is_fit = isinstance(prompts, Sequence) and len(prompts) > 0
    if not is_fit or not all(isinstance(text, str) for text in prompts):
        raise RequestError("The prompt must be a text or a list of at least one text.")
    return list(prompts)


def _to_pictures(arrays: np.ndarray) -> list[Image.Image]:
    return [Image.fromarray((array * 255).round().astype(np.uint8)) for array in arrays]
