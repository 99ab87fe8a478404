"""One image file examined: what is wrong with it, and what it is compared by."""

import dataclasses
import pathlib
from typing import Final

from PIL import Image

from data.duplicates import Fingerprint, fingerprint
from data.errors import ImageReadError
from data.images import MAX_PIXELS, READABLE_FORMATS, load_rgb
from data.provenance import pixel_sha256
from data.report import Problem

MIN_SIDE_PX: Final = 32

_SUFFIXES_OF_FORMAT: Final = {
    "JPEG": {".jpg", ".jpeg"},
    "MPO": {".jpg", ".jpeg"},
    "PNG": {".png"},
    "TIFF": {".tif", ".tiff"},
    "BMP": {".bmp"},
    "WEBP": {".webp"},
    "GIF": {".gif"},
    "JPEG2000": {".jp2", ".j2k", ".jpx"},
    "PPM": {".ppm", ".pgm", ".pbm"},
}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """Result of `inspect_image`; the last two are None where the image cannot be read."""

    problems: tuple[Problem, ...]
    pixel_sha256: str | None
    fingerprint: Fingerprint | None


def inspect_image(path: pathlib.Path, name: str) -> Inspection:
    """Return what is wrong with an image file; nothing that is in the file raises.

    Args:
        path: The file; all of it is decoded, unless its header promises too many pixels.
        name: How the report calls it.
    """
    problems: list[Problem] = []
    try:
        with Image.open(path, formats=READABLE_FORMATS) as header:
            width, height, found = header.width, header.height, header.format or ""
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Inspection((_huge(name, "far"),), None, None)
    except Exception as error:  # plug-ins answer a damaged header with any error
        reason = "empty file" if _is_empty(path) else "not an image, or its header is damaged"
        message = f"{reason} ({type(error).__name__}); get the file again"
        return Inspection((Problem("error", "unreadable-image", name, None, message),), None, None)
    suffixes = _SUFFIXES_OF_FORMAT.get(found, {path.suffix.lower()})
    if path.suffix.lower() not in suffixes:
        message = f"is a {found} by content; rename it to {min(suffixes)} or convert it"
        problems.append(Problem("warning", "wrong-extension", name, None, message))
    if width * height > MAX_PIXELS:
        return Inspection((*problems, _huge(name, f"{width} x {height},")), None, None)
    if min(width, height) < MIN_SIDE_PX:
        message = f"{width} x {height} px; a side under {MIN_SIDE_PX} px shows next to nothing"
        problems.append(Problem("warning", "small-image", name, None, message))
    try:
        image = load_rgb(path)
    except ImageReadError as error:
        reason = str(error).removeprefix(f"Cannot read {path}: ")
        problems.append(Problem("error", "unreadable-image", name, None, reason))
        return Inspection(tuple(problems), None, None)
    return Inspection(tuple(problems), pixel_sha256(image), fingerprint(image))


def _huge(name: str, size: str) -> Problem:
    message = f"{size} more than {MAX_PIXELS} pixels; it was not decoded, downscale it"
    return Problem("error", "huge-image", name, None, message)


def _is_empty(path: pathlib.Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False
