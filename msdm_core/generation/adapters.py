"""Model families behind one protocol: load, generate, unload.

A family is added by one module with an adapter and one line in `make_adapter`.
"""

from collections.abc import Callable
from typing import Protocol

from PIL import Image

from data.provenance import GeneratedImage
from msdm_core.errors import CatalogueError
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.request import GenerationRequest

OnStep = Callable[[int, int, Callable[[], Image.Image]], None]
"""Called as on_step(step, total, preview) after each step, from 1; `preview()` draws what there is.

It may raise `JobCancelled`, which ends the generation."""


class Adapter(Protocol):
    """One model, ready to be loaded."""

    def load(self) -> None:
        """Loads the weights into memory.

        Raises:
            CheckpointError: the weights are missing, damaged or of another kind.
        """

    def is_current(self) -> bool:
        """Whether the weights in memory are still those on the disk."""

    def generate(self, request: GenerationRequest, on_step: OnStep) -> GeneratedImage:
        """Returns the image of a request for one image; the same request gives the same pixels.

        Raises:
            GenerationError: the model gave no usable picture.
            JobCancelled: `on_step` raised it.
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
    raise CatalogueError(f"Model {entry.id!r} is of the unknown family {entry.family!r}.")
