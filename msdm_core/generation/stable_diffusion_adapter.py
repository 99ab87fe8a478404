"""Stable Diffusion 1 and 2 behind the adapter protocol: `StableDiffusionPipeline`."""

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


class StableDiffusionAdapter(DiffusersAdapter):
    """Draws with a `StableDiffusionPipeline`, with or without a safety checker."""

    def _load_pipelines(self, folders: Mapping[str, Path], placement: Placement) -> Pipelines:
        from diffusers import StableDiffusionPipeline

        from msdm_core.generation.loading import load_stock_pipeline

        return {"": load_stock_pipeline(StableDiffusionPipeline, folders[""], placement)}

    def _draw(self, request: ImageRequest, sampling: Sampling, progress: Progress) -> np.ndarray:
        import torch

        clean = CleanLatents()

        def preview(pipe: Any, values: Mapping[str, Any]) -> Image.Image | None:
            latents = clean.estimate(pipe.scheduler)
            return None if latents is None else _decode(pipe, latents)

        step = progress.callback(sampling.steps, preview)

        def callback(pipe: Any, index: int, at: object, values: dict[str, Any]) -> dict[str, Any]:
            clean.see(values["latents"])
            return step(pipe, index, at, values)

        result = self._pipelines[""](
            prompt=request.prompt,
            num_inference_steps=sampling.steps,
            guidance_scale=sampling.guidance,
            height=request.size_px,
            width=request.size_px,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            output_type="np",
            callback_on_step_end=callback,
        )
        if any(result.nsfw_content_detected or ()):
            raise GenerationError(
                f"The safety checker of {self._entry.label} withheld the picture (it would be "
                "black). Such checkers often mistake medical images: try another seed, or a "
                "folder of the model without the component safety_checker."
            )
        return to_rgb_array(result.images)


def _decode(pipe: Any, latents: Any) -> Image.Image:
    scaled = (latents / pipe.vae.config.scaling_factor).to(pipe.vae.dtype)
    decoded = pipe.vae.decode(scaled, return_dict=False)[0]
    image: Image.Image = pipe.image_processor.postprocess(decoded.detach(), output_type="pil")[0]
    return image
