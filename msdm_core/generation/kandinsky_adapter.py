"""Kandinsky 2.2 behind the adapter protocol: a prior, then a decoder, from one generator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from msdm_core.errors import GenerationError
from msdm_core.generation.clean_latents import CleanLatents
from msdm_core.generation.diffusers_adapter import (
    DiffusersAdapter,
    Pipelines,
    Progress,
    to_rgb_array,
)
from msdm_core.generation.request import ImageRequest
from msdm_core.generation.sampling import Sampling

if TYPE_CHECKING:
    import numpy as np

    from msdm_core.generation.placement import Placement


class KandinskyAdapter(DiffusersAdapter):
    """Draws with `KandinskyV22PriorPipeline` and `KandinskyV22Pipeline`."""

    def _load_pipelines(self, folders: Mapping[str, Path], placement: Placement) -> Pipelines:
        from diffusers import KandinskyV22Pipeline, KandinskyV22PriorPipeline

        from msdm_core.generation.loading import load_stock_pipeline

        return {
            "prior": load_stock_pipeline(KandinskyV22PriorPipeline, folders["prior"], placement),
            "decoder": load_stock_pipeline(KandinskyV22Pipeline, folders["decoder"], placement),
        }

    def _draw(self, request: ImageRequest, sampling: Sampling, progress: Progress) -> np.ndarray:
        import torch

        decoder = self._pipelines["decoder"]
        self._check_size(decoder, request.size_px)
        generator = torch.Generator("cpu").manual_seed(request.seed)
        embeds = self._pipelines["prior"](
            request.prompt,
            num_inference_steps=sampling.prior_steps,
            guidance_scale=sampling.prior_guidance,
            generator=generator,
            # Latents of the prior are an embedding: there is nothing to draw.
            callback_on_step_end=progress.callback(
                sampling.prior_steps, steps_after=sampling.steps
            ),
        )
        clean = CleanLatents()

        def preview(pipe: Any, values: Mapping[str, Any]) -> Image.Image | None:
            latents = clean.estimate(pipe.scheduler)
            return None if latents is None else _decode(pipe, latents)

        step = progress.callback(sampling.steps, preview)

        def callback(pipe: Any, index: int, at: object, values: dict[str, Any]) -> dict[str, Any]:
            clean.see(values["latents"])
            return step(pipe, index, at, values)

        result = decoder(
            image_embeds=embeds.image_embeds,
            negative_image_embeds=embeds.negative_image_embeds,
            height=request.size_px,
            width=request.size_px,
            num_inference_steps=sampling.steps,
            guidance_scale=sampling.guidance,
            generator=generator,
            output_type="np",
            callback_on_step_end=callback,
        )
        return to_rgb_array(result.images)

    def _check_size(self, decoder: Any, size_px: int) -> None:
        """Refuses sizes that the pipeline would round up without a word."""
        multiple = decoder.movq_scale_factor**2
        if size_px % multiple:
            raise GenerationError(
                f"{self._entry.label} cannot draw {size_px} x {size_px} px: sides must be "
                f"multiples of {multiple}. Correct sizes_px in catalogue.toml."
            )


def _decode(pipe: Any, latents: Any) -> Image.Image:
    decoded = pipe.movq.decode(latents.to(pipe.movq.dtype), force_not_quantize=True)["sample"]
    array = (decoded * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy()
    image: Image.Image = pipe.numpy_to_pil(array)[0]
    return image
