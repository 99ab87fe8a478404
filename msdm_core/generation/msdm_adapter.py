"""MSDM behind the adapter protocol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

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

    from msdm_core.generation.peak_memory import PeakMemory
    from msdm_core.generation.placement import Placement


class MSDMAdapter(DiffusersAdapter):
    """Draws with an `MSDMPipeline`."""

    def _needs_float32(self, folders: Mapping[str, Path]) -> bool:
        return True  # trained and tested so

    def _load_pipelines(self, folders: Mapping[str, Path], placement: Placement) -> Pipelines:
        import torch

        from msdm_core.msdm.loading import load_pipeline

        pipeline = load_pipeline(folders[""])
        return {"": pipeline if placement.dtype == torch.float32 else pipeline.to(placement.dtype)}

    def _draw(self, request: ImageRequest, sampling: Sampling, progress: Progress) -> np.ndarray:
        import torch

        result = self._pipelines[""](
            request.prompt,
            num_inference_steps=sampling.steps,
            guidance_scale=sampling.guidance,
            height=request.size_px,
            width=request.size_px,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            output_type="np",
            callback_on_step_end=progress.callback(sampling.steps, _preview),
            callback_on_step_end_tensor_inputs=["latents", "clean_latents"],
        )
        return to_rgb_array(result.images)

    def _extra(
        self, request: ImageRequest, sampling: Sampling, duration_s: float, memory: PeakMemory
    ) -> dict[str, Any]:
        extra = super()._extra(request, sampling, duration_s, memory)
        scale = self._pipelines[""].config.default_guide_scale
        return extra if scale == 1 else extra | {"guide_scale": scale}


def _preview(pipe: Any, values: Mapping[str, Any]) -> Image.Image:
    image: Image.Image = pipe.decode_latents(values["clean_latents"])[0]
    return image
