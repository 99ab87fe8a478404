"""What the adapters of all families share: loading, drawing with progress, checks, provenance."""

from __future__ import annotations

import gc
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

import msdm_core
from data.provenance import GeneratedImage, Provenance, installed_versions, utc_now
from msdm_core.errors import CheckpointError, CostError, GenerationError
from msdm_core.generation.adapters import OnStep, Preview
from msdm_core.generation.architecture import architecture_of
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.cost import ImageCost, image_cost
from msdm_core.generation.peak_memory import PeakMemory
from msdm_core.generation.request import ImageRequest
from msdm_core.generation.sampling import Sampling, resolve_sampling

if TYPE_CHECKING:
    import numpy as np

    from msdm_core.evaluation.nearness import NearnessIndex
    from msdm_core.generation.lora import AppliedLora
    from msdm_core.generation.placement import Placement

Pipelines = Mapping[str, Any]
"""The diffusers pipelines of a model by role: "" for the only one, "prior" and "decoder"."""

MakePreview = Callable[[Any, Mapping[str, Any]], Image.Image | None]
"""Draws from the pipeline and the tensors of its step callback."""


class DiffusersAdapter(ABC):
    """Draws with diffusers pipelines; torch is imported when it is loaded.

    A family says which classes it loads (`_load_pipelines`) and how it calls them (`_draw`).
    """

    def __init__(self, entry: ModelEntry, device: str = "auto", threads: int = 0) -> None:
        """Remembers what to load and where; loads nothing."""
        self._entry = entry
        self._device = device
        self._threads = threads
        self._pipelines: Pipelines = {}
        self._placement: Placement | None = None
        self._loras: tuple[AppliedLora, ...] = ()
        self._sha256 = ""
        self._load_s = 0.0
        self._nearness: NearnessIndex | None = None

    @abstractmethod
    def _load_pipelines(self, folders: Mapping[str, Path], placement: Placement) -> Pipelines:
        """Returns the pipelines, in main memory, by role."""

    @abstractmethod
    def _draw(self, request: ImageRequest, sampling: Sampling, progress: Progress) -> np.ndarray:
        """Returns the picture, (H, W, 3), in [0, 1]."""

    def _needs_float32(self, folders: Mapping[str, Path]) -> bool:
        """Whether half precision would spoil the weights."""
        return False

    def load(self) -> None:
        """Loads the pipelines and their LoRA weights, and hashes both.

        Raises:
            CheckpointError: a folder is missing, damaged or foreign, or a LoRA does not fit.
            SettingsError: the device, or what the entry asks of it, is not there.
        """
        started_s = time.monotonic()
        self._entry.require_ready(self._device)
        folders = self._entry.folders()
        import torch

        from msdm_core.generation.loading import hold_in_memory, quieten
        from msdm_core.generation.lora import apply_loras
        from msdm_core.generation.placement import choose_placement, place

        quieten()
        if self._threads:
            torch.set_num_threads(self._threads)
        placement = choose_placement(
            self._entry, self._device, needs_float32=self._needs_float32(folders)
        )
        pipelines = self._load_pipelines(folders, placement)
        self._loras = apply_loras(self._entry, pipelines)
        for pipeline in pipelines.values():
            place(pipeline, placement)
            pipeline.set_progress_bar_config(disable=True)
            hold_in_memory(pipeline)
        if self._entry.nearness and self._nearness is None:
            from msdm_core.evaluation.nearness import nearness_index

            self._nearness = nearness_index(self._entry.nearness)
        self._sha256 = self._entry.weights_sha256()
        self._pipelines, self._placement = pipelines, placement
        self._load_s = round(time.monotonic() - started_s, 3)

    def autoencoder(self) -> Any:
        """Returns the loaded autoencoder that turns latents into pictures.

        Raises:
            CheckpointError: nothing is loaded, or the model has none.
        """
        for pipeline in self._pipelines.values():
            for name in ("vae", "movq"):
                if getattr(pipeline, name, None) is not None:
                    return getattr(pipeline, name)
        raise CheckpointError(f"{self._entry.id} has no autoencoder in memory; load it first.")

    def is_current(self) -> bool:
        """Whether the weights in memory are still those on the disk."""
        try:
            return bool(self._pipelines) and self._entry.weights_sha256() == self._sha256
        except CheckpointError:
            return False

    def unload(self) -> None:
        """Gives the memory back."""
        self._pipelines, self._loras = {}, ()
        gc.collect()
        if self._placement is not None and self._placement.device == "cuda":
            import torch

            torch.cuda.empty_cache()

    def cost(self, request: ImageRequest) -> ImageCost:
        """Returns what the image of a request costs, counted from shapes alone and kept.

        Raises:
            CostError: the parts of the model cannot be counted.
        """
        return image_cost(architecture_of(self._entry), resolve_sampling(self._entry, request))

    def generate(self, request: ImageRequest, on_step: OnStep) -> GeneratedImage:
        """Returns the image of a request, drawn with a CPU noise generator.

        Raises:
            GenerationError: a value in the drawing is not a number, memory ran out, or the model
                withheld the picture.
            JobCancelled: `on_step` raised it.
        """
        if not self._pipelines:
            self.load()
        import torch

        sampling = resolve_sampling(self._entry, request)
        progress = Progress(on_step, can_preview=self._is_resident)
        memory = PeakMemory(self._resolved_placement.device)
        started_s = time.monotonic()
        try:
            with memory, torch.inference_mode():
                image = _to_picture(self._draw(request, sampling, progress))
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise self._out_of_memory(request) from error
        except RuntimeError as error:
            if "can't allocate memory" in str(error):  # of torch's allocator for the CPU
                raise self._out_of_memory(request) from error
            raise
        finally:
            self._free_hooks()
        duration_s = round(time.monotonic() - started_s, 3)
        made = self._provenance(request, sampling, duration_s, memory)
        return GeneratedImage(image, self._with_nearness(made, image))

    def _with_nearness(self, made: Provenance, image: Image.Image) -> Provenance:
        """Returns the provenance with how near the image is to its nearest training image."""
        if self._nearness is None:
            return made
        found = self._nearness.of(image).to_dict()
        return replace(made, extra={**made.extra, "nearness": found})

    @property
    def _resolved_placement(self) -> Placement:
        if self._placement is None:
            raise GenerationError(f"{self._entry.label} is not loaded.")
        return self._placement

    @property
    def _is_resident(self) -> bool:
        # A preview of an offloaded model would push the network at work out of the GPU.
        return self._resolved_placement.offload == "none"

    def _out_of_memory(self, request: ImageRequest) -> GenerationError:
        sizes = [size for size in self._entry.sizes_px if size < request.size_px]
        smaller = f" a smaller size ({max(sizes)} px)," if sizes else ""
        return GenerationError(
            f"Memory ran out while {self._entry.label} drew {request.size_px} x {request.size_px} "
            f'px. Try{smaller} fewer models at once, or offload = "model" in catalogue.toml.'
        )

    def _free_hooks(self) -> None:
        for pipeline in self._pipelines.values():
            pipeline.maybe_free_model_hooks()

    def _provenance(
        self, request: ImageRequest, sampling: Sampling, duration_s: float, memory: PeakMemory
    ) -> Provenance:
        placement = self._resolved_placement
        return Provenance(
            model_id=self._entry.id,
            model_label=self._entry.label,
            weights_sha256=self._sha256,
            prompt=request.prompt,
            seed=request.seed,
            steps=sampling.steps,
            guidance=sampling.guidance,
            scheduler=type(list(self._pipelines.values())[-1].scheduler).__name__,
            width_px=request.size_px,
            height_px=request.size_px,
            library_versions=installed_versions(),
            device=placement.device,
            dtype=placement.dtype_name,
            duration_s=duration_s,
            created_at=utc_now(),
            app_version=msdm_core.__version__,
            licence=self._entry.licence,
            extra=self._extra(request, sampling, duration_s, memory),
        )

    def _extra(
        self, request: ImageRequest, sampling: Sampling, duration_s: float, memory: PeakMemory
    ) -> dict[str, Any]:
        from msdm_core.generation.loading import weight_bytes

        placement = self._resolved_placement
        weights = sum(map(weight_bytes, self._pipelines.values())) if self._is_resident else 0
        growth = memory.growth_bytes
        cost: dict[str, Any] = {
            "duration_s": duration_s,
            "load_s": self._load_s,
            # Weights and what drawing added, so that models loaded beside it do not count.
            "peak_memory_bytes": None if growth is None else weights + growth,
        }
        try:
            counted = self.cost(request)
        except CostError as error:
            cost["not_counted"] = str(error)
        else:
            cost |= {"parameters": counted.parameters, "flops": counted.flops}
        extra: dict[str, Any] = {"cost": cost}
        if self._loras:
            extra["loras"] = [lora.to_dict() for lora in self._loras]
        if sampling.prior_steps:
            extra["prior"] = {"steps": sampling.prior_steps, "guidance": sampling.prior_guidance}
        if placement.offload != "none":
            extra["offload"] = placement.offload
        if placement.quantisation != "none":
            extra["quantisation"] = placement.quantisation
        return extra


class Progress:
    """Turns the step callbacks of one pipeline after another into one count of steps."""

    def __init__(self, on_step: OnStep, *, can_preview: bool = True) -> None:
        """Counts from 0."""
        self._on_step = on_step
        self._can_preview = can_preview
        self._done = 0

    def callback(
        self, expected_steps: int, make_preview: MakePreview | None = None, steps_after: int = 0
    ) -> Callable[..., dict[str, Any]]:
        """Returns a `callback_on_step_end` of diffusers.

        Args:
            expected_steps: steps of this pipeline, where it does not know itself.
            make_preview: draws from the callback's tensors; None where they are no picture.
            steps_after: steps of the pipelines that follow.
        """
        first = self._done

        def callback(
            pipe: Any, index: int, _timestep: object, values: dict[str, Any]
        ) -> dict[str, Any]:
            self._done = first + index + 1
            # Some schedulers make more steps than were asked for.
            total = first + (getattr(pipe, "num_timesteps", None) or expected_steps) + steps_after
            # One number tells of a NaN anywhere, at a fraction of the cost of testing each.
            if not math.isfinite(float(values["latents"].float().sum())):
                raise GenerationError(
                    f"The model gave values that are not numbers at step {self._done} of {total}. "
                    "The checkpoint may be damaged, or guidance too high: try guidance 1 to 10."
                )
            self._on_step(self._done, total, self._preview(pipe, values, make_preview))
            return values

        return callback

    def _preview(
        self, pipe: Any, values: Mapping[str, Any], make_preview: MakePreview | None
    ) -> Preview:
        if make_preview is None or not self._can_preview:
            return lambda: None
        return lambda: make_preview(pipe, values)


def to_rgb_array(images: Any) -> np.ndarray:
    """Returns the only picture of a pipeline's "np" output.

    Raises:
        CheckpointError: it is not one picture of three channels.
    """
    import numpy as np

    array = np.asarray(images)
    if array.ndim != 4 or array.shape[0] != 1 or array.shape[3] != 3:
        raise CheckpointError(
            f"The model gave an array of shape {array.shape}; expected (1, height, width, 3). "
            "Its autoencoder must decode to one picture of three channels."
        )
    return array[0]


def _to_picture(array: np.ndarray) -> Image.Image:
    import numpy as np

    if not np.isfinite(array).all():
        raise GenerationError(
            "The picture has values that are not numbers: the decoder of the model is damaged, or "
            'its number type too short. Set dtype = "float32" in catalogue.toml, or fetch the '
            "weights again."
        )
    return Image.fromarray((array * 255).round().clip(0, 255).astype(np.uint8))
