"""One image of a batch: what is asked for, what names it, and its row in the manifest."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import msdm_core
from data.images import to_rgb
from data.manifest import IMAGE_FOLDER, ManifestRow
from data.provenance import GeneratedImage, Provenance, pixel_sha256, utc_now
from msdm_core.generation.batch_folder import selection_rule
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.prompt_file import Prompt
from msdm_core.generation.request import ImageRequest, check_image_request, check_request
from msdm_core.generation.sampling import Sampling, resolve_sampling


@dataclass(frozen=True)
class Cell:
    """One image that is asked for: a model, a prompt of the list and a seed.

    `candidates` are the images that this model makes for this prompt.
    """

    entry: ModelEntry
    prompt: Prompt
    request: ImageRequest
    candidates: int
    sampling: Sampling = field(repr=False)

    @cached_property
    def image_id(self) -> str:
        """Names the cell, the same in every run; tells neither the model nor the prompt."""
        cell = f"{self.entry.id}\0{self.prompt.id}\0{self.request.seed}"
        return f"img-{hashlib.sha256(cell.encode()).hexdigest()[:16]}"

    @cached_property
    def settings_sha256(self) -> str:
        """Hash over all that decides the pixels, but for weights, machine and libraries."""
        entry = self.entry
        settings: dict[str, Any] = {
            "prompt": self.request.prompt,
            "seed": self.request.seed,
            "sampling": asdict(self.sampling),
            "dtype": entry.dtype,
            "quantise": entry.quantise,
            "loras": [[lora.part, lora.weight_name, lora.scale] for lora in entry.loras],
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    @property
    def place(self) -> Mapping[str, str]:
        """What the PNG file tells of the batch it was made in."""
        return {"prompt_id": self.prompt.id, "settings_sha256": self.settings_sha256}

    def named(self, generated: GeneratedImage) -> GeneratedImage:
        """Returns the image with its place in the batch among what its PNG file tells."""
        extra = {**generated.provenance.extra, "batch": dict(self.place)}
        return GeneratedImage(generated.image, replace(generated.provenance, extra=extra))

    def is_drawn_as_asked(self, made: Provenance, weights_sha256: str) -> bool:
        """Whether an image with this provenance is the one that is asked for."""
        return made.extra.get("batch") == self.place and made.weights_sha256 == weights_sha256

    def row(self, generated: GeneratedImage) -> ManifestRow:
        """Returns the manifest's row of the image that was drawn."""
        made = generated.provenance
        cost: Mapping[str, Any] = made.extra.get("cost") or {}
        image = generated.image if generated.image.mode == "RGB" else to_rgb(generated.image)
        return replace(
            self.failed_row(""),
            status="done",
            file_name=f"{IMAGE_FOLDER}/{self.image_id}.png",
            steps=made.steps,
            guidance=made.guidance,
            width_px=made.width_px,
            height_px=made.height_px,
            weights_sha256=made.weights_sha256 or "",
            duration_s=made.duration_s,
            parameters=cost.get("parameters"),
            flops=cost.get("flops"),
            peak_memory_bytes=cost.get("peak_memory_bytes"),
            nearness_percentile=(made.extra.get("nearness") or {}).get("percentile"),
            pixel_sha256=pixel_sha256(image),
            device=made.device,
            created_at=made.created_at,
            app_version=made.app_version,
        )

    def failed_row(self, message: str) -> ManifestRow:
        """Returns the row of an image that was not drawn: what was asked for, and why it failed."""
        sampling = self.sampling
        return ManifestRow(
            image_id=self.image_id,
            prompt_id=self.prompt.id,
            prompt=self.request.prompt,
            model_id=self.entry.id,
            model_label=self.entry.label,
            arm=self.entry.id,
            family=self.entry.family,
            seed=self.request.seed,
            steps=sampling.steps,
            guidance=sampling.guidance,
            prior_steps=sampling.prior_steps or None,
            prior_guidance=sampling.prior_guidance if sampling.prior_steps else None,
            width_px=self.request.size_px,
            height_px=self.request.size_px,
            settings_sha256=self.settings_sha256,
            licence=self.entry.licence,
            selection_rule=selection_rule(self.candidates),
            candidates=self.candidates,
            created_at=utc_now(),
            app_version=msdm_core.__version__,
            status="failed",
            message=message,
            carried=self.prompt.carried,
        )

    def difference(self, row: ManifestRow) -> str:
        """Returns in words what was asked otherwise when the image of `row` was drawn."""
        sampling = self.sampling
        pairs: dict[str, tuple[object, object]] = {
            "prompt": (row.prompt, self.request.prompt),
            "size": (row.width_px, sampling.size_px),
            "steps": (row.steps, sampling.steps),
            "guidance": (row.guidance, sampling.guidance),
            "prior steps": (row.prior_steps, sampling.prior_steps or None),
        }
        told = [
            f"{name} {before!r}, now {now!r}"
            for name, (before, now) in pairs.items()
            if before != now
        ]
        return "; ".join(told) or "the model has other settings in the catalogue"


def plan_batch(
    entries: Sequence[ModelEntry],
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    *,
    steps: int | None = None,
    guidance: float | None = None,
    size_px: int | None = None,
) -> tuple[Cell, ...]:
    """Returns the images of every model, prompt and seed, model by model.

    Args:
        entries: the models, in the order of work.
        prompts: those with seeds of their own are drawn with these alone.
        seeds: for the other prompts.
        steps: for all models; None leaves the choice to each.
        guidance: likewise.
        size_px: one for all; None means the size that a comparison of these models has.

    Raises:
        RequestError: a value is outside what is allowed.
    """
    size_px = check_request(
        entries, prompts[0].text, steps=steps, guidance=guidance, size_px=size_px
    ).size_px
    cells = []
    for entry in entries:
        sampling: Sampling | None = None
        for prompt in prompts:
            for seed in prompt.seeds or seeds:
                request = check_image_request(
                    entry, prompt.text, seed=seed, steps=steps, guidance=guidance, size_px=size_px
                )
                # The same for all images of a model, and read from its files.
                sampling = sampling or resolve_sampling(entry, request)
                cells.append(Cell(entry, prompt, request, len(prompt.seeds or seeds), sampling))
    return tuple(cells)
