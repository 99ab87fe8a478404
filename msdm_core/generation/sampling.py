"""How one image is drawn, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.request import ImageRequest

GuidanceKind = Literal["classifier_free", "distilled", "none"]
FAMILY_DEFAULTS: Mapping[str, tuple[int, float]] = {
    # Those of the pipelines' own call signatures; MSDM checkpoints state theirs.
    "msdm": (20, 3.0),
    "flux": (28, 3.5),
    "kandinsky": (100, 4.0),
    "stable_diffusion": (50, 7.5),
}
PRIOR_STEPS, PRIOR_GUIDANCE = 25, 4.0
FLUX_TEXT_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Sampling:
    """One image: its size and how it is drawn.

    Attributes:
        size_px: width and height.
        steps: denoising steps; of the decoder, where a prior goes before it.
        guidance: scale, 1 is none; None where the model takes none.
        guidance_kind: classifier_free costs a second forward, distilled is an input.
        prior_steps: steps of the prior; 0 where there is none.
        prior_guidance: scale of the prior.
        text_tokens: length to which the long text encoder pads; 0 where the model fixes it.
    """

    size_px: int
    steps: int
    guidance: float | None
    guidance_kind: GuidanceKind = "classifier_free"
    prior_steps: int = 0
    prior_guidance: float = 1.0
    text_tokens: int = 0

    @property
    def is_guided(self) -> bool:
        """Whether each step needs the empty prompt as well."""
        return (
            self.guidance_kind == "classifier_free"
            and self.guidance is not None
            and self.guidance > 1
        )


def resolve_sampling(entry: ModelEntry, request: ImageRequest) -> Sampling:
    """Returns the request's values, else the entry's, else the checkpoint's, else the family's."""
    family_steps, family_guidance = FAMILY_DEFAULTS[entry.family]
    steps, guidance = entry.resolved_defaults()
    chosen = request.guidance if request.guidance is not None else guidance
    value: float | None = float(family_guidance if chosen is None else chosen)
    if entry.guidance_kind == "none":  # only FLUX can be called without a scale
        value = None if entry.family == "flux" else 1.0
    has_prior = entry.family == "kandinsky"
    return Sampling(
        size_px=request.size_px,
        steps=request.steps or steps or family_steps,
        guidance=value,
        guidance_kind=entry.guidance_kind,
        prior_steps=(entry.default_prior_steps or PRIOR_STEPS) if has_prior else 0,
        prior_guidance=_prior_guidance(entry) if has_prior else 1.0,
        text_tokens=(entry.max_text_tokens or FLUX_TEXT_TOKENS) if entry.family == "flux" else 0,
    )


def _prior_guidance(entry: ModelEntry) -> float:
    given = entry.default_prior_guidance
    return PRIOR_GUIDANCE if given is None else float(given)
