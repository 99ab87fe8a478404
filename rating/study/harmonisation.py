"""The one way of all images into a study: crop, resampling, colours, JPEG, PNG encoding.

Real images come from JPEG files of other sizes, generated ones do not, and either would tell them
apart. So every image of every arm goes through the same steps with the same settings, and what was
done to each is logged.
"""

import dataclasses
import io
import struct
import zlib
from typing import Any, Final, Literal, get_args

from PIL import Image

from data.images import to_rgb
from data.provenance import png_bytes
from rating.errors import StimulusError

Crop = Literal["pad_square", "centre_square", "none"]
Resampling = Literal["lanczos", "bicubic", "bilinear"]
ColourMode = Literal["RGB", "L"]

SIZES_PX: Final = (32, 2048)
JPEG_QUALITIES: Final = (50, 100)
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_FILTERS: Final = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Harmonisation:
    """What all images of a study go through, in the order of the fields.

    Args:
        crop:         "pad_square": all of the picture, on a black square; "centre_square": the
                      largest central square. It must be what the models were trained with: one
                      that has learnt from padded frames draws their borders, and real images
                      cropped beside them would be known by having none. "none": all of the picture,
                      whose longer side then becomes `size_px`, so that pictures of other
                      proportions end at another size, which the checks before opening refuse.
        size_px:      Side of the square, or the longer side: 32 to 2048 px. Best a little below
                      what the smallest images have, see `suggested_size_px`, so that all are shrunk
                      and none enlarged. The default suits models that draw at 256 px.
        resampling:   "lanczos", "bicubic" or "bilinear", antialiased.
        colour_mode:  "RGB", or "L" for greyscale.
        jpeg_quality: All images go through JPEG of this quality, 50 to 100, with halved colour
                      resolution, before they are encoded as PNG: after shrinking, this takes out
                      what the JPEG files of real images left in their colours, as measured in
                      docs/stimuli.md. None leaves it out.

    Raises:
        StimulusError: If a setting is not allowed; the message names all that are not.
    """

    crop: Crop = "pad_square"
    size_px: int = 240
    resampling: Resampling = "lanczos"
    colour_mode: ColourMode = "RGB"
    jpeg_quality: int | None = 95

    def __post_init__(self) -> None:
        """Check every setting, since all images of a study depend on it."""
        faults = []
        for name, allowed in (
            ("crop", get_args(Crop)),
            ("resampling", get_args(Resampling)),
            ("colour_mode", get_args(ColourMode)),
        ):
            value = getattr(self, name)
            if value not in allowed:
                faults.append(f"{name} is {value!r}, allowed are {', '.join(allowed)}.")
        for name, (least, most) in (("size_px", SIZES_PX), ("jpeg_quality", JPEG_QUALITIES)):
            value = getattr(self, name)
            if name == "jpeg_quality" and value is None:
                continue
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            if not is_whole or not least <= value <= most:
                faults.append(f"{name} is {value!r}, allowed are {least} to {most}.")
        if faults:
            raise StimulusError("\n".join(("The harmonisation cannot be used:", *faults)))


def suggested_size_px(shortest_side_px: int) -> int:
    """Return the best `size_px` where no image has a shorter side than this: 15/16 of it.

    A picture that keeps its size keeps the grid of 8 px of its JPEG file; shrinking by as little as
    this takes it out, and does the same to the generated images.
    """
    least, most = SIZES_PX
    return max(least, min(most, shortest_side_px * 15 // 16))


def harmonise(image: Image.Image, settings: Harmonisation) -> tuple[bytes, dict[str, Any]]:
    """Return the image as raters get it, and a log of what was done to it.

    Args:
        image:    Upright, in any mode; metadata are dropped.
        settings: The same for all images of a study.

    Returns:
        A PNG of one IHDR, one IDAT and one IEND, always by the same encoder settings; and a log of
        JSON values: native_width_px, native_height_px, native_mode, crop_box (left, top, right,
        bottom in native pixels), is_resampled, scale (of the side, above 1 where the picture was
        enlarged), width_px, height_px, colour_mode, jpeg_quality.
    """
    rgb = image if image.mode == "RGB" else to_rgb(image)
    box = _crop_box(rgb.size, settings.crop)
    sides = (box[2] - box[0], box[3] - box[1])
    scale = settings.size_px / max(sides)
    size = (max(1, round(sides[0] * scale)), max(1, round(sides[1] * scale)))
    picture = rgb.crop(box)
    if is_resampled := size != sides:
        picture = picture.resize(size, _FILTERS[settings.resampling])
    if settings.crop == "pad_square":
        picture, size = _on_black_square(picture), (settings.size_px, settings.size_px)
    if settings.colour_mode == "L":
        picture = picture.convert("L")
    if settings.jpeg_quality is not None:
        picture = _through_jpeg(picture, settings.jpeg_quality)
    log = {
        "native_width_px": image.width,
        "native_height_px": image.height,
        "native_mode": image.mode,
        "crop_box": list(box),
        "is_resampled": is_resampled,
        "scale": round(scale, 6),
        "width_px": size[0],
        "height_px": size[1],
        "colour_mode": settings.colour_mode,
        "jpeg_quality": settings.jpeg_quality,
    }
    return _with_one_data_chunk(png_bytes(picture, None)), log


def _with_one_data_chunk(png: bytes) -> bytes:
    """Return the PNG as IHDR, one IDAT and IEND: how many chunks there are depends on nothing."""
    chunks: dict[bytes, bytes] = {}
    at = len(_PNG_SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind = png[at + 4 : at + 8]
        chunks[kind] = chunks.get(kind, b"") + png[at + 8 : at + 8 + length]
        at += length + 12
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"], list(chunks)
    return _PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks.items()
    )  # fmt: skip


def _crop_box(size: tuple[int, int], crop: str) -> tuple[int, int, int, int]:
    """Return what is kept, in whole pixels: a part of one would blur some arms and not others."""
    width, height = size
    if crop != "centre_square":
        return (0, 0, width, height)
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return (left, top, left + side, top + side)


def _on_black_square(picture: Image.Image) -> Image.Image:
    """Return the picture in the middle of a black square, the ground that scopes show."""
    side = max(picture.size)
    square = Image.new(picture.mode, (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def _through_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """Return the picture as a JPEG of this quality holds it, colour at half resolution."""
    buffer = io.BytesIO()
    options = {"subsampling": "4:2:0"} if picture.mode == "RGB" else {}
    picture.save(buffer, format="JPEG", quality=quality, **options)
    with Image.open(buffer, formats=("JPEG",)) as decoded:
        return decoded.copy()
