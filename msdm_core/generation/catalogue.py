"""The models on offer and whether each can run here, read without importing torch.

The list that ships is `catalogue.toml` beside this file; `catalogue.toml` in the workspace extends
it, and an entry with the same id replaces the shipped one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.domains import Domain, DomainName, get_domain
from msdm_core.errors import CatalogueError, CheckpointError
from msdm_core.generation.availability import Availability, inspect_model
from msdm_core.generation.checkpoint import parameter_count, read_model_index, weights_sha256
from msdm_core.generation.weights import NOWHERE, LoraEntry, WeightsSource

SHIPPED_CATALOGUE = Path(__file__).with_name("catalogue.toml")

Family = Literal["msdm", "flux", "kandinsky", "stable_diffusion"]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]
Offload = Literal["auto", "none", "model", "sequential"]
Quantise = Literal["none", "auto", "int8", "nf4"]
GuidanceKind = Literal["classifier_free", "distilled", "none"]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the catalogue.

    Attributes:
        id:                     What commands, addresses and files call it.
        family:                 Which adapter runs it.
        label:                  What a person reads.
        licence:                Of the weights, and thereby often of the pictures.
        native_size_px:         The side of the pictures it was trained on.
        sizes_px:               The sides it may be asked for.
        weights:                Where the weights are; of Kandinsky the decoder.
        prior:                  Where the prior of Kandinsky is; None where it lies in a folder
                                `prior` beside a folder `decoder` in `weights`.
        loras:                  Weights trained on top.
        description:            One sentence for the page.
        dtype:                  Numbers the weights are held in; auto chooses for the device.
        offload:                What waits in main memory while a GPU works.
        quantise:               Whether weights are held in fewer bits.
        is_gated:               Whether a licence must be accepted before the download.
        download_bytes:         What the download brings, without LoRA weights.
        least_memory_gib:       Main memory it needs where no GPU holds it whole.
        least_gpu_memory_gib:   Memory of a GPU that holds it whole.
        needs_gpu:              Whether it is of no use without a GPU.
        parameter_count:        None where the entry does not state it.
        default_steps:          None where the checkpoint's own default holds; as all defaults.
        default_guidance:       1 is none.
        default_prior_steps:    Of the prior of Kandinsky.
        default_prior_guidance: Of the prior of Kandinsky.
        max_text_tokens:        Length FLUX pads its prompt to.
        nearness:               Folder of the evaluator with the index of the training images, that
                                says of each picture how near it is to its nearest one; or empty.
        domain:                 Whose language its prompts are in.
        guidance_kind:          How guidance is done: by a second pass without the prompt, by a
                                number the network was distilled with, or not at all.
    """

    id: str
    family: Family
    label: str
    licence: str
    native_size_px: int
    sizes_px: tuple[int, ...]
    weights: WeightsSource = NOWHERE
    licence_url: str = ""
    prior: WeightsSource | None = None
    loras: tuple[LoraEntry, ...] = ()
    description: str = ""
    dtype: Dtype = "auto"
    offload: Offload = "auto"
    quantise: Quantise = "none"
    is_gated: bool = False
    download_bytes: int | None = None
    least_memory_gib: float | None = None
    least_gpu_memory_gib: float | None = None
    needs_gpu: bool = False
    parameter_count: int | None = None
    default_steps: int | None = None
    default_guidance: float | None = None
    default_prior_steps: int | None = None
    default_prior_guidance: float | None = None
    max_text_tokens: int | None = None
    guidance_kind: GuidanceKind = "classifier_free"
    nearness: str = ""
    domain: DomainName = "endoscopy"

    @property
    def language(self) -> Domain:
        """The domain whose terms, examples and prompt builder belong to the model."""
        return get_domain(self.domain)

    def sources(self) -> dict[str, WeightsSource]:
        """Returns where each pipeline is: under "", of Kandinsky under "prior" and "decoder"."""
        if self.family != "kandinsky":
            return {"": self.weights}
        if self.prior is not None:
            return {"prior": self.prior, "decoder": self.weights}
        return {role: self.weights.below(role) for role in ("prior", "decoder")}

    @property
    def folder(self) -> Path | None:
        """The folder of the weights, with their card; None while a hub model is not downloaded."""
        return self.weights.place

    def availability(self, device: str = "auto") -> Availability:
        """Returns whether the model can run here, and if not, why and what changes that."""
        return inspect_model(self, device)

    def require_ready(self, device: str = "auto") -> Path:
        """Returns the folder of the weights.

        Raises:
            CheckpointError: the model cannot run here; the message says why and the next step.
        """
        availability = self.availability(device)
        folder = self.folder
        if not availability.is_ready or folder is None:
            raise CheckpointError(
                f"{self.label} cannot be used. {availability.why} {availability.next_step}"
            )
        return folder

    def folders(self) -> dict[str, Path]:
        """Returns the folder of each pipeline by its role, as in `sources`.

        Raises:
            CheckpointError: one of them is not wholly here.
        """
        found: dict[str, Path] = {}
        for role, source in self.sources().items():
            folder = source.folder
            if folder is None or not folder.is_dir():
                self.require_ready()
                part = role or "weights"
                raise CheckpointError(f"{self.label}: the folder of its {part} is gone.")
            found[role] = folder
        return found

    def weights_sha256(self) -> str:
        """Returns the SHA-256 over all weights that draw: those of the pipelines, then LoRA files.

        Raises:
            CheckpointError: the model is not wholly here.
        """
        paths = list(self.folders().values())
        paths += [path for lora in self.loras if (path := lora.file)]
        return weights_sha256(*paths)

    def counted_parameters(self) -> int | None:
        """Returns the parameters the entry states, else those of its weights, else None."""
        if self.parameter_count:
            return self.parameter_count
        try:
            return sum(parameter_count(folder) for folder in self.folders().values())
        except CheckpointError:
            return None

    def resolved_defaults(self) -> tuple[int | None, float | None]:
        """Returns default steps and guidance, from the entry, else from the checkpoint."""
        sources = self.sources()
        place = (sources.get("") or sources["decoder"]).place
        index = read_model_index(place) if place else {}
        steps = self.default_steps or index.get("default_steps")
        guidance = self.default_guidance
        if guidance is None:
            guidance = index.get("default_guidance")
        return steps, guidance


class Catalogue:
    """The models on offer, in the order they are listed."""

    def __init__(self, entries: Mapping[str, ModelEntry]) -> None:
        """Keeps `entries`, by id."""
        self._entries = dict(entries)

    @classmethod
    def read(cls, home: Path | None = None) -> Catalogue:
        """Returns the shipped catalogue, extended by the one in the workspace `home`.

        Raises:
            CatalogueError: a file cannot be read or an entry is wrong; the message names it.
        """
        from msdm_core.generation.catalogue_file import read_catalogue_file

        entries = read_catalogue_file(SHIPPED_CATALOGUE)
        own_file = home / "catalogue.toml" if home else None
        if own_file and own_file.exists():
            own = read_catalogue_file(own_file)
            # One's own models come first: whoever lists one wants it offered first.
            entries = own | {key: value for key, value in entries.items() if key not in own}
        return cls(entries)

    def __iter__(self) -> Iterator[ModelEntry]:
        """Yields the entries in the order they are listed."""
        return iter(self._entries.values())

    def __getitem__(self, model_id: str) -> ModelEntry:
        """Returns the entry with this id.

        Raises:
            CatalogueError: there is none.
        """
        try:
            return self._entries[model_id]
        except KeyError:
            raise CatalogueError(
                f"No model is called {model_id!r}. Known models: {', '.join(self._entries)}. "
                "List them with: python -m msdm_core models"
            ) from None

    def first_ready(self) -> ModelEntry:
        """Returns the first model that can run here, or the first of all when none can."""
        entries = list(self)
        return next((entry for entry in entries if entry.availability().is_ready), entries[0])
