"""What a person asks for, checked: models, a prompt, seeds and how to draw.

A `GenerationRequest` is a whole comparison: one column a model, one row a seed, every column
starting from the same seed. An `ImageRequest` is one picture of it.
"""

import math
import random
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msdm_core.errors import RequestError
from msdm_core.generation.catalogue import ModelEntry

MAX_PROMPT_CHARACTERS = 2_000
MAX_SEED = 2**32 - 1
MAX_STEPS = 200
MAX_GUIDANCE = 30.0
MAX_IMAGES = 8
MAX_MODELS = 8


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One image of one model; `steps` and `guidance` are None where the model's defaults hold."""

    model_id: str
    prompt: str
    seed: int
    size_px: int
    steps: int | None = None
    guidance: float | None = None


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A checked comparison of `model_ids`, its columns from left to right.

    Row i of `image_count` uses the seed `seed + i` in every column, wrapping at 2**32. `steps` and
    `guidance` are None where each model's own defaults hold.
    """

    model_ids: tuple[str, ...]
    prompt: str
    seed: int
    size_px: int
    image_count: int = 1
    steps: int | None = None
    guidance: float | None = None

    def image(self, model_id: str, index: int) -> ImageRequest:
        """Returns the request for the image of `model_id` in row `index`, from 0.

        Raises:
            RequestError: the comparison has no such model.
        """
        if model_id not in self.model_ids:
            raise RequestError(
                f"The comparison has no model {model_id!r}; it has {', '.join(self.model_ids)}."
            )
        seed = (self.seed + index) % (MAX_SEED + 1)
        return ImageRequest(model_id, self.prompt, seed, self.size_px, self.steps, self.guidance)

    def column(self, model_id: str) -> tuple[ImageRequest, ...]:
        """Returns the requests of one model from the first row to the last.

        Raises:
            RequestError: the comparison has no such model.
        """
        return tuple(self.image(model_id, index) for index in range(self.image_count))


def random_seed() -> int:
    """Returns a fresh seed, uniform over all allowed ones."""
    return random.SystemRandom().randint(0, MAX_SEED)


def check_request(
    entries: Sequence[ModelEntry],
    prompt: str | None,
    *,
    seed: float | None = None,
    image_count: float | None = 1,
    steps: float | None = None,
    guidance: float | None = None,
    size_px: float | None = None,
) -> GenerationRequest:
    """Returns a comparison with every value inside what is allowed.

    Args:
        entries: the models, 1 to 8 of them, each once, in the order of the columns.
        prompt: free text, 1 to 2,000 characters; line breaks become spaces.
        seed: of the first row, 0 to 2**32 - 1; None draws one.
        image_count: rows, 1 to 8.
        steps: 1 to 200; None leaves the choice to each model.
        guidance: 1 (none) to 30; None leaves the choice to each model.
        size_px: a size that every model draws; None means their native size where they agree on
            one, else the largest they have in common.

    Raises:
        RequestError: a value is outside what is allowed; the message says which and how.
    """
    model_ids = tuple(entry.id for entry in entries)
    if not model_ids:
        raise RequestError("No model is chosen. Choose at least one.")
    if len(model_ids) > MAX_MODELS:
        raise RequestError(
            f"{len(model_ids)} models are chosen; at most {MAX_MODELS} can be compared at once."
        )
    if twice := sorted({name for name in model_ids if model_ids.count(name) > 1}):
        raise RequestError(f"{', '.join(twice)} is chosen twice. Choose each model once.")
    return GenerationRequest(
        model_ids=model_ids,
        image_count=_whole("Number of images", image_count, 1, MAX_IMAGES),
        **_drawing(entries, prompt, seed, steps, guidance, size_px),
    )


def check_image_request(
    entry: ModelEntry,
    prompt: str | None,
    *,
    seed: float | None = None,
    steps: float | None = None,
    guidance: float | None = None,
    size_px: float | None = None,
) -> ImageRequest:
    """Returns the request for one image of one model; values and errors as in `check_request`."""
    return ImageRequest(
        model_id=entry.id, **_drawing([entry], prompt, seed, steps, guidance, size_px)
    )


def _drawing(
    entries: Sequence[ModelEntry],
    prompt: str | None,
    seed: float | None,
    steps: float | None,
    guidance: float | None,
    size_px: float | None,
) -> dict[str, Any]:
    return {
        "prompt": clean_prompt(prompt),
        "seed": random_seed() if seed is None else _whole("Seed", seed, 0, MAX_SEED),
        "size_px": _size(entries, size_px),
        "steps": None if steps is None else _whole("Steps", steps, 1, MAX_STEPS),
        "guidance": None if guidance is None else _guidance(guidance),
    }


def _size(entries: Sequence[ModelEntry], size_px: float | None) -> int:
    common = set(entries[0].sizes_px).intersection(*(entry.sizes_px for entry in entries))
    if not common:
        raise RequestError(
            "The chosen models have no picture size in common: "
            f"{_shown_sizes(entries)}. Choose models of one size."
        )
    native = {entry.native_size_px for entry in entries}
    if size_px is None:
        return native.pop() if len(native) == 1 and native <= common else max(common)
    if size_px not in common:
        raise RequestError(
            f"Size {_shown(size_px)} x {_shown(size_px)} px is not supported: "
            f"{_shown_sizes(entries)}."
        )
    return int(size_px)


def _shown_sizes(entries: Sequence[ModelEntry]) -> str:
    return "; ".join(
        f"{entry.label} draws {', '.join(f'{size} x {size}' for size in entry.sizes_px)} px"
        for entry in entries
    )


def clean_prompt(prompt: str | None) -> str:
    """Returns the prompt in composed Unicode with single spaces and no zero-width marks.

    Raises:
        RequestError: the prompt is empty, too long or has control characters.
    """
    if prompt is not None and len(prompt) > MAX_PROMPT_CHARACTERS:
        raise RequestError(
            f"The prompt has {len(prompt):,} characters; at most {MAX_PROMPT_CHARACTERS:,} "
            "are allowed. Shorten it."
        )
    # Pasted text often brings soft hyphens and zero-width marks, which say nothing to a model.
    visible = "".join(c for c in prompt or "" if unicodedata.category(c) != "Cf")
    text = " ".join(unicodedata.normalize("NFC", visible).split())
    for position, character in enumerate(text, start=1):
        if unicodedata.category(character) in {"Cc", "Cs", "Co", "Cn"}:
            raise RequestError(
                f"The prompt has the control character U+{ord(character):04X} at position "
                f"{position}. Delete it, or type the prompt instead of pasting it."
            )
    if not text:
        raise RequestError(
            'The prompt is empty. Describe the picture, for example "a polyp in the lower right".'
        )
    return text


def _whole(name: str, value: float | None, least: int, most: int) -> int:
    is_whole = value is not None and math.isfinite(value) and float(value).is_integer()
    if value is None or not is_whole or not least <= value <= most:
        raise RequestError(
            f"{name} cannot be {_shown(value)}: give a whole number from {least:,} to {most:,}."
        )
    return int(value)


def _guidance(value: float) -> float:
    if not math.isfinite(value) or not 1 <= value <= MAX_GUIDANCE:
        raise RequestError(
            f"Guidance cannot be {_shown(value)}: give a number from 1 (none) to {MAX_GUIDANCE:g}."
        )
    return float(value)


def _shown(value: float | None) -> str:
    if value is None:
        return "empty"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
