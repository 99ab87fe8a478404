"""FLUX behind the adapter protocol: `FluxPipeline`, of any size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from msdm_core.generation.checkpoint import read_model_index
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


class FluxAdapter(DiffusersAdapter):
    """Draws with a `FluxPipeline`."""

    def _needs_float32(self, folders: Mapping[str, Path]) -> bool:
        # Our AutoencoderDC carries a linear path between offsets that 16 bits would round away.
        vae = read_model_index(folders[""]).get("vae") or [None, None]
        return vae[1] == "AutoencoderDC"

    def _load_pipelines(self, folders: Mapping[str, Path], placement: Placement) -> Pipelines:
        from diffusers import FluxPipeline

        from msdm_core.generation.loading import load_stock_pipeline

        return {"": load_stock_pipeline(FluxPipeline, folders[""], placement)}

    def _draw(self, request: ImageRequest, sampling: Sampling, progress: Progress) -> np.ndarray:
        import torch

        clean = CleanLatents()

        def preview(pipe: Any, values: Mapping[str, Any]) -> Image.Image | None:
            latents = clean.estimate(pipe.scheduler)
            return None if latents is None else _decode(pipe, latents, request.size_px)

        step = progress.callback(sampling.steps, preview)

        def callback(pipe: Any, index: int, at: object, values: dict[str, Any]) -> dict[str, Any]:
            clean.see(values["latents"])
            return step(pipe, index, at, values)

        result = self._pipelines[""](
            prompt=request.prompt,
            num_inference_steps=sampling.steps,
            height=request.size_px,  # the default would be 1024 px
            width=request.size_px,
            max_sequence_length=sampling.text_tokens,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            output_type="np",
            callback_on_step_end=callback,
            **_guidance(sampling),
        )
        return to_rgb_array(result.images)


def _guidance(sampling: Sampling) -> dict[str, Any]:
    """Returns the arguments that guidance of this kind is given by."""
    if sampling.is_guided:
        return {"true_cfg_scale": sampling.guidance, "negative_prompt": ""}
    if sampling.guidance_kind == "distilled":
        return {"guidance_scale": sampling.guidance}
    return {}


def _decode(pipe: Any, latents: Any, size_px: int) -> Image.Image:
    """Returns the picture of packed latents, (1, patches, 4 x channels)."""
    unpacked = pipe._unpack_latents(latents, size_px, size_px, pipe.vae_scale_factor)
    config = pipe.vae.config
    scaled = (unpacked / config.scaling_factor + config.shift_factor).to(pipe.vae.dtype)
    decoded = pipe.vae.decode(scaled, return_dict=False)[0]
    image: Image.Image = pipe.image_processor.postprocess(decoded.detach(), output_type="pil")[0]
    return image
