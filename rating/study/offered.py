"""An image that is offered to a study, and how it came to be chosen."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from PIL import Image

from data.errors import DataError
from rating.errors import StimulusError

REAL_ARM: Final = "real"
# How an image was chosen among the candidates of its prompt and arm.
SELECTION_RULES: Final = {
    "first_seed": "the seed was fixed beforehand",
    "random": "drawn at random",
    "all": "every candidate is in the study",
    "all_of_comparison": "every arm's image of a comparison was taken, as drawn",
    "hand_picked": "chosen by eye",
    "unstated": "not said",
}
MOST_FAULTS_SHOWN: Final = 30


@dataclasses.dataclass(frozen=True, slots=True)
class OfferedImage:
    """A picture with all that a study keeps of it.

    Args:
        read:            Returns the picture: upright, RGB, without metadata.
        arm:             Code of the model; "real" for real images; "" for practice and checks.
        is_real:         Whether it is a real image.
        prompt_id:       "" where it is to be made from the text.
        prompt:          What it was made from, or what describes a real one.
        role:            "main", "practice" or "check".
        selection_rule:  One of `SELECTION_RULES`.
        candidate_count: Out of how many images it was chosen, itself included; 1 or more.
        provenance:      JSON values.
        source_name:     Where it comes from, for whoever builds the study.
        expected:        Of a check: question code -> accepted values.
    """

    read: Callable[[], Image.Image]
    arm: str
    is_real: bool
    prompt_id: str
    prompt: str
    role: str = "main"
    selection_rule: str = "unstated"
    candidate_count: int = 1
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    source_name: str = ""
    expected: dict[str, list[int]] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Intake:
    """What a source offers, and words on what of it was passed over or read generously."""

    images: tuple[OfferedImage, ...]
    notes: tuple[str, ...] = ()


def raise_faults(source: str, faults: Sequence[str]) -> None:
    """Raise one StimulusError that lists the faults of a source; return where there are none."""
    if not faults:
        return
    lines = [f"  {fault}" for fault in faults[:MOST_FAULTS_SHOWN]]
    if (more := len(faults) - MOST_FAULTS_SHOWN) > 0:
        lines.append(f"  and {more} more")
    raise StimulusError("\n".join((f"No image was taken from {source}:", *lines)))


def unreadable(offered: Iterable[OfferedImage]) -> list[str]:
    """Return what is wrong with those images that cannot be read."""
    faults = []
    for image in offered:
        try:
            image.read()
        except (DataError, OSError) as error:
            faults.append(f"{image.source_name}: {error}")
    return faults


def rank(seed: int, name: str) -> bytes:
    """Return where a name stands in the order that a seed draws."""
    return hashlib.sha256(f"{seed}\n{name}".encode("utf-8", errors="replace")).digest()
