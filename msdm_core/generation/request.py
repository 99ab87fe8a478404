"""What a person asks for, checked: a prompt, a seed and how to draw."""

import math
import random
import unicodedata
from dataclasses import dataclass, replace

from msdm_core.errors import RequestError
from msdm_core.generation.catalogue import ModelEntry

MAX_PROMPT_CHARACTERS = 2_000
MAX_SEED = 2**32 - 1
MAX_STEPS = 200
MAX_GUIDANCE = 30.0
MAX_IMAGES = 8


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A checked request; image i of `image_count` uses the seed `seed + i`, wrapping at 2**32.

    `steps` and `guidance` are None where the model's defaults hold.
    """

    model_id: str
    prompt: str
    seed: int
    size_px: int
    image_count: int = 1
    steps: int | None = None
    guidance: float | None = None

    def image(self, index: int) -> "GenerationRequest":
        """Returns the request for image `index` alone."""
        return replace(self, seed=(self.seed + index) % (MAX_SEED + 1), image_count=1)


def random_seed() -> int:
    """Returns a fresh seed, uniform over all allowed ones."""
    return random.SystemRandom().randint(0, MAX_SEED)


def check_request(
    entry: ModelEntry,
    prompt: str | None,
    *,
    seed: float | None = None,
    image_count: float | None = 1,
    steps: float | None = None,
    guidance: float | None = None,
    size_px: float | None = None,
) -> GenerationRequest:
    """Returns a request with every value inside what is allowed.

    Args:
        entry: the model.
        prompt: free text, 1 to 2,000 characters; line breaks become spaces.
        seed: 0 to 2**32 - 1; None draws one.
        image_count: 1 to 8.
        steps: 1 to 200; None leaves the choice to the model.
        guidance: 1 (none) to 30; None leaves the choice to the model.
        size_px: one of the model's sizes; None means its native size.

    Raises:
        RequestError: a value is outside what is allowed; the message says which and how.
    """
    size = entry.native_size_px if size_px is None else size_px
    if size not in entry.sizes_px:
        sizes = ", ".join(f"{allowed} x {allowed}" for allowed in entry.sizes_px)
        raise RequestError(
            f"Size {size} x {size} px is not supported: {entry.label} draws {sizes} px."
        )
    return GenerationRequest(
        model_id=entry.id,
        prompt=clean_prompt(prompt),
        seed=random_seed() if seed is None else _whole("Seed", seed, 0, MAX_SEED),
        size_px=int(size),
        image_count=_whole("Number of images", image_count, 1, MAX_IMAGES),
        steps=None if steps is None else _whole("Steps", steps, 1, MAX_STEPS),
        guidance=None if guidance is None else _guidance(guidance),
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
