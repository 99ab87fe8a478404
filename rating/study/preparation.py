"""Offered pictures made into what raters get, before anything is in a database."""

import dataclasses
import hashlib
import io
from collections.abc import Sequence
from typing import Any

from PIL import Image

from data.errors import DataError
from data.provenance import pixel_sha256
from rating.errors import RatingError, StimulusError
from rating.study.harmonisation import Harmonisation, harmonise
from rating.study.offered import REAL_ARM, OfferedImage, raise_faults


@dataclasses.dataclass(frozen=True, slots=True)
class PreparedImage:
    """A picture as raters will get it, before it is in the database."""

    offered: OfferedImage
    arm: str | None
    prompt_id: str
    png: bytes
    pixel_sha256: str
    width_px: int
    height_px: int
    colour_mode: str
    log: dict[str, Any]


def prepare_images(
    offered: Sequence[OfferedImage], settings: Harmonisation
) -> tuple[PreparedImage, ...]:
    """Return the pictures harmonised.

    Raises:
        StimulusError: With everything that is wrong with any of them.
    """
    prepared, faults = [], []
    for image in offered:
        try:
            prepared.append(_prepare(image, settings))
        except (RatingError, DataError, OSError) as error:
            faults.append(f"{image.source_name}: {error}")
    raise_faults("what was offered", faults)
    return tuple(prepared)


def _prepare(image: OfferedImage, settings: Harmonisation) -> PreparedImage:
    png, log = harmonise(image.read(), settings)
    with Image.open(io.BytesIO(png)) as picture:
        pixels = pixel_sha256(picture)
        size, mode = picture.size, picture.mode
    arm = None
    if image.role == "main":
        arm = (image.arm or REAL_ARM) if image.is_real else image.arm
        if not arm:
            raise StimulusError("no arm is given; name the model, or say that it is real.")
    text = image.prompt.strip()
    if "\0" in f"{text}{image.prompt_id}{arm}{image.source_name}":
        raise StimulusError("a text of it has a NUL character, which no database keeps.")
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]
    return PreparedImage(
        image, arm, image.prompt_id.strip() or f"p-{digest}", png, pixels, *size, mode, log
    )
