"""MSDM behind the adapter protocol."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PIL import Image

import msdm_core
from data.provenance import GeneratedImage, Provenance, installed_versions, utc_now
from msdm_core.errors import GenerationError, JobCancelled, SettingsError
from msdm_core.generation.adapters import OnStep
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.checkpoint import weights_sha256
from msdm_core.generation.request import GenerationRequest

if TYPE_CHECKING:
    from msdm_core.msdm.pipeline import MSDMPipeline


class MSDMAdapter:
    """Draws with an `MSDMPipeline`; torch is imported when it is loaded."""

    def __init__(self, entry: ModelEntry, device: str = "auto", threads: int = 0) -> None:
        """Remembers what to load and where; loads nothing."""
        self._entry = entry
        self._device = device
        self._threads = threads
        self._pipeline: MSDMPipeline | None = None
        self._weights_sha256 = ""

    def load(self) -> None:
        """Loads the pipeline and hashes its weights.

        Raises:
            CheckpointError: the folder is missing, damaged or foreign.
            SettingsError: the chosen device is not there.
        """
        folder = self._entry.require_ready()
        import diffusers
        import torch
        import transformers

        from msdm_core.msdm.loading import load_pipeline

        diffusers.utils.logging.disable_progress_bar()
        transformers.utils.logging.disable_progress_bar()
        if self._threads:
            torch.set_num_threads(self._threads)
        pipeline = load_pipeline(folder, _torch_device(self._device))
        pipeline.set_progress_bar_config(disable=True)
        self._weights_sha256 = weights_sha256(folder)
        self._pipeline = pipeline

    def is_current(self) -> bool:
        """Whether the weights in memory are still those on the disk."""
        folder = self._entry.folder
        return (
            self._pipeline is not None
            and folder is not None
            and folder.is_dir()
            and weights_sha256(folder) == self._weights_sha256
        )

    def unload(self) -> None:
        """Gives the memory back."""
        self._pipeline = None
        gc.collect()

    def generate(self, request: GenerationRequest, on_step: OnStep) -> GeneratedImage:
        """Returns the image of a request for one image, drawn with a CPU noise generator.

        Raises:
            GenerationError: a value in the drawing is not a number.
            JobCancelled: `on_step` raised it.
        """
        if self._pipeline is None:
            self.load()
        pipeline = self._pipeline
        if pipeline is None:
            raise GenerationError(f"{self._entry.label} is not loaded.")
        import torch

        steps, guidance = self._resolved(pipeline, request)
        started_s = time.monotonic()
        try:
            with torch.inference_mode():
                result = pipeline(
                    request.prompt,
                    num_inference_steps=steps,
                    guidance_scale=guidance,
                    height=request.size_px,
                    width=request.size_px,
                    generator=torch.Generator("cpu").manual_seed(request.seed),
                    output_type="pil",
                    callback_on_step_end=_step_callback(on_step, steps),
                    callback_on_step_end_tensor_inputs=["latents", "clean_latents"],
                )
        except JobCancelled:
            pipeline.maybe_free_model_hooks()
            raise
        provenance = self._provenance(pipeline, request, steps, guidance)
        duration_s = round(time.monotonic() - started_s, 3)
        return GeneratedImage(
            image=result.images[0],
            provenance=Provenance(**provenance, duration_s=duration_s),
        )

    def _resolved(self, pipeline: MSDMPipeline, request: GenerationRequest) -> tuple[int, float]:
        """Returns steps and guidance: the request's, else the entry's, else the checkpoint's."""
        steps = request.steps or self._entry.default_steps or pipeline.config.default_steps
        guidance = request.guidance
        if guidance is None:
            guidance = self._entry.default_guidance
        if guidance is None:
            guidance = pipeline.config.default_guidance
        return int(steps), float(guidance)

    def _provenance(
        self, pipeline: MSDMPipeline, request: GenerationRequest, steps: int, guidance: float
    ) -> dict[str, Any]:
        return {
            "model_id": self._entry.id,
            "model_label": self._entry.label,
            "weights_sha256": self._weights_sha256,
            "prompt": request.prompt,
            "seed": request.seed,
            "steps": steps,
            "guidance": guidance,
            "scheduler": type(pipeline.scheduler).__name__,
            "width_px": request.size_px,
            "height_px": request.size_px,
            "library_versions": installed_versions(),
            "device": str(pipeline.device),
            "dtype": str(pipeline.dtype).removeprefix("torch."),
            "created_at": utc_now(),
            "app_version": msdm_core.__version__,
            "licence": self._entry.licence,
        }


def _torch_device(name: str) -> str:
    import torch

    has = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return "cuda" if has["cuda"] else "cpu"
    if not has[name]:
        there = ", ".join(device for device, is_there in has.items() if is_there)
        raise SettingsError(f"The device {name!r} is not there. Devices here: {there}.")
    return name


def _step_callback(on_step: OnStep, total: int) -> Callable[..., dict[str, Any]]:
    def callback(
        pipe: MSDMPipeline, step_index: int, _timestep: object, values: dict[str, Any]
    ) -> dict[str, Any]:
        # One number tells of a NaN anywhere, at a fraction of the cost of testing each.
        if not math.isfinite(float(values["latents"].float().sum())):
            raise GenerationError(
                f"The model gave values that are not numbers at step {step_index + 1} of {total}. "
                "The checkpoint may be damaged, or guidance too high: try guidance 1 to 10."
            )

        def preview() -> Image.Image:
            image: Image.Image = pipe.decode_latents(values["clean_latents"])[0]
            return image

        on_step(step_index + 1, total, preview)
        return values

    return callback
