"""Image files to clean RGB images, square sizes, and arrays of floats."""

import io
import pathlib
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from data.errors import DataValueError, ImageReadError

FitMode = Literal["pad", "crop", "stretch"]
ValueRange = Literal["unit", "signed"]

MAX_PIXELS: Final = 64_000_000

# A closed list: other plug-ins of Pillow start foreign programs or are no photographs.
READABLE_FORMATS: Final = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "PPM")

_EXIF_ORIENTATION: Final = 0x0112
_ORIENTATIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_rgb(path: str | pathlib.Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return the picture in a file as an upright RGB image without any metadata.

    The EXIF orientation is applied; palettes and CMYK are converted; transparent pixels lie
    on black, the ground on which scopes and scanners show their pictures; greyscale of more
    than 8 bits is stretched from its smallest to its largest value. Of several frames the
    first is taken.

    Args:
        path:       A file in one of `READABLE_FORMATS`, whatever its extension.
        max_pixels: Largest width x height that is decoded; a larger one raises.

    Raises:
        ImageReadError: If the file is absent, no image, truncated or too large.
    """
    return _read_rgb(path, str(path), max_pixels)


def decode_rgb(content: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return the picture of an image file's content, as `load_rgb` does; `name` is for messages.

    Raises:
        ImageReadError: If it is no image, truncated or too large.
    """
    return _read_rgb(io.BytesIO(content), name, max_pixels)


def _read_rgb(source: str | pathlib.Path | io.BytesIO, name: str, max_pixels: int) -> Image.Image:
    try:
        with Image.open(source, formats=READABLE_FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise ImageReadError(
                    f"Cannot read {name}: {image.width} x {image.height} pixels, "
                    f"at most {max_pixels} pixels are decoded. Downscale it first."
                )
            image.load()
            orientation = _orientation(image)
            rgb = to_rgb(image)
    except ImageReadError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageReadError(
            f"Cannot read {name}: far more than {max_pixels} pixels. Downscale it first."
        ) from error
    except Exception as error:  # Pillow's decoders answer a damaged file with any error
        raise ImageReadError(f"Cannot read {name}: {_reason(error)}") from error
    return rgb if orientation is None else rgb.transpose(orientation)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an 8-bit RGB copy of an image in any mode, without metadata.

    Raises:
        DataValueError: If the mode has no conversion to RGB.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _stretched_grey(image)
    if image.mode in ("RGBa", "La"):
        image = image.convert(image.mode.upper())
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        rgb = Image.new("RGB", rgba.size)
        rgb.paste(rgba, mask=rgba.getchannel("A"))
        return rgb
    try:
        rgb = image.convert("RGB")
    except ValueError as error:
        raise DataValueError(f"Cannot convert mode {image.mode!r} to RGB: {error}") from error
    rgb.info.clear()
    return rgb


def fit_square(image: Image.Image, size_px: int, mode: FitMode = "pad") -> Image.Image:
    """Return the image as a square of size_px x size_px, antialiased (Lanczos).

    Args:
        image:   Any size; modes other than RGB are converted to it.
        size_px: Side of the square in pixels, 1 or more.
        mode:    "pad" keeps all of the picture, centred on black; "crop" keeps the largest
                 central square; "stretch" keeps all of it and gives up the aspect.

    Raises:
        DataValueError: If size_px or mode is not allowed.
    """
    if size_px < 1:
        raise DataValueError(f"Cannot fit into {size_px} px; size_px must be 1 or more.")
    rgb = image if image.mode == "RGB" else to_rgb(image)
    width, height = rgb.size
    lanczos = Image.Resampling.LANCZOS
    if mode == "stretch":
        return rgb.resize((size_px, size_px), lanczos)
    if mode == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return rgb.resize((size_px, size_px), lanczos, box=(left, top, left + side, top + side))
    if mode == "pad":
        scale = size_px / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        square = Image.new("RGB", (size_px, size_px))
        corner = ((size_px - inner[0]) // 2, (size_px - inner[1]) // 2)
        square.paste(rgb.resize(inner, lanczos), corner)
        return square
    raise DataValueError(f"Unknown mode {mode!r}; allowed are 'pad', 'crop', 'stretch'.")


def to_array(image: Image.Image, value_range: ValueRange = "unit") -> npt.NDArray[np.float32]:
    """Return the image as floats, (height, width, 3), in [0, 1] ("unit") or [-1, 1] ("signed")."""
    rgb = image if image.mode == "RGB" else to_rgb(image)
    unit = np.asarray(rgb, dtype=np.float32) / np.float32(255)
    return unit * 2 - 1 if _is_signed(value_range) else unit


def from_array(array: npt.NDArray[np.floating], value_range: ValueRange = "unit") -> Image.Image:
    """Return the image of an array of floats, the inverse of `to_array`.

    Args:
        array:       (height, width, 3), in [0, 1] or [-1, 1]; values outside are clipped.
        value_range: Which of the two ranges the values are in.

    Raises:
        DataValueError: If the shape is another, or a value is not a number.
    """
    if array.ndim != 3 or array.shape[2] != 3:
        raise DataValueError(f"Cannot make an image of shape {array.shape}; need (H, W, 3).")
    if not np.isfinite(array).all():
        raise DataValueError("Cannot make an image: some values are not finite.")
    unit = (array + 1) / 2 if _is_signed(value_range) else array
    return Image.fromarray(np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8))


def _is_signed(value_range: str) -> bool:
    if value_range not in ("unit", "signed"):
        raise DataValueError(f"Unknown value_range {value_range!r}; use 'unit' or 'signed'.")
    return value_range == "signed"


def _orientation(image: Image.Image) -> Image.Transpose | None:
    try:
        return _ORIENTATIONS.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # damaged EXIF: the pixels are good, and no direction is known
        return None


def _stretched_grey(image: Image.Image) -> Image.Image:
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if high > low:
        unit = (values - low) / (high - low)
    else:  # one value everywhere has no range of its own: keep its place in the 16-bit one
        unit = np.clip(values / 65535, 0, 1)
    return Image.fromarray(np.rint(unit * 255).astype(np.uint8))


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file."
    if isinstance(error, IsADirectoryError):
        return "it is a folder, not a file."
    if isinstance(error, UnidentifiedImageError):
        return f"it is not an image; readable are {', '.join(READABLE_FORMATS)}."
    return f"it is damaged or truncated ({error}). Get the file again."
