"""Model families behind one protocol: load, generate, unload.

A family is added by one module with an adapter and one branch in `make_adapter`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from data.provenance import GeneratedImage
from msdm_core.errors import CatalogueError
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.request import ImageRequest

if TYPE_CHECKING:
    from msdm_core.generation.cost import ImageCost

Preview = Callable[[], Image.Image | None]
"""Draws what the model has in mind at this step; None where there is nothing to draw yet."""

OnStep = Callable[[int, int, Preview], None]
"""Called as on_step(step, total, preview) after each step, from 1, over all parts of the model.

It may raise `JobCancelled`, which ends the generation."""


class Adapter(Protocol):
    """One model, ready to be loaded."""

    def load(self) -> None:
        """Loads the weights into memory.

        Raises:
            CheckpointError: the weights are missing, damaged or of another kind.
            SettingsError: the device, or what the entry asks of it, is not there.
        """

    def is_current(self) -> bool:
        """Whether the weights in memory are still those on the disk."""

    def generate(self, request: ImageRequest, on_step: OnStep) -> GeneratedImage:
        """Returns the image of a request; the same request gives the same pixels.

        Raises:
            GenerationError: the model gave no usable picture.
            JobCancelled: `on_step` raised it.
        """

    def cost(self, request: ImageRequest) -> ImageCost:
        """Returns what the image of a request costs, counted from shapes alone and kept.

        Raises:
            CostError: the parts of the model cannot be counted.
        """

    def unload(self) -> None:
        """Gives the memory back."""


def make_adapter(entry: ModelEntry, device: str = "auto", threads: int = 0) -> Adapter:
    """Returns the adapter of a model's family, not loaded yet.

    Args:
        entry: the model.
        device: auto, cpu, cuda or mps.
        threads: CPU threads; 0 leaves the choice to torch.

    Raises:
        CatalogueError: the family has no adapter.
    """
    if entry.family == "msdm":
        from msdm_core.generation.msdm_adapter import MSDMAdapter

        return MSDMAdapter(entry, device, threads)
    if entry.family == "flux":
        from msdm_core.generation.flux_adapter import FluxAdapter

        return FluxAdapter(entry, device, threads)
    if entry.family == "kandinsky":
        from msdm_core.generation.kandinsky_adapter import KandinskyAdapter

        return KandinskyAdapter(entry, device, threads)
    if entry.family == "stable_diffusion":
        from msdm_core.generation.stable_diffusion_adapter import StableDiffusionAdapter

        return StableDiffusionAdapter(entry, device, threads)
    raise CatalogueError(
        f"Model {entry.id!r} is of the unknown family {entry.family!r}; "
        "known: msdm, flux, kandinsky, stable_diffusion."
    )
