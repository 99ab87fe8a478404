"""Contract: every readable file becomes a clean upright RGB image; all else one known error."""

import io
import pathlib
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from data.errors import DataValueError, ImageReadError
from data.images import FitMode, ValueRange, fit_square, from_array, load_rgb, to_array, to_rgb


def gradient(width: int = 32, height: int = 24) -> Image.Image:
    """Return an image in which every quarter differs."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [columns * 255 // width, rows * 255 // height, (rows + columns) % 256]
    return Image.fromarray(np.stack(planes, axis=2).astype(np.uint8))


def encoded(image: Image.Image, file_format: str) -> bytes:
    """Return the image as file content."""
    buffer = io.BytesIO()
    image.save(buffer, format=file_format)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_shows_the_same_upright_picture(
    tmp_path: pathlib.Path, orientation: int
) -> None:
    upright = gradient()
    inverse = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if inverse is None else upright.transpose(inverse)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.asarray(load_rgb(tmp_path / "a.png")), np.asarray(upright))


def test_metadata_is_dropped(tmp_path: pathlib.Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "patient name"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "patient name")
    gradient().save(tmp_path / "a.png", exif=exif, pnginfo=text, icc_profile=b"profile")
    clean = load_rgb(tmp_path / "a.png")
    assert clean.info == {}
    assert not dict(clean.getexif())
    assert b"patient" not in encoded(clean, "PNG")


@pytest.mark.parametrize(("low", "high"), [(0, 4095), (1000, 1200), (0, 65535)])
def test_sixteen_bit_greyscale_is_stretched_over_its_real_range(
    tmp_path: pathlib.Path, low: int, high: int
) -> None:
    ramp = np.linspace(low, high, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    grey = np.asarray(load_rgb(tmp_path / "a.png"))
    assert np.array_equal(grey[..., 0], grey[..., 2])
    # Rounding of the ramp to integers costs at most half a step of the source.
    tolerance = 0.5 * 255 / (high - low) + 0.5
    assert np.abs(grey[..., 0].ravel() - np.arange(256.0)).max() <= tolerance


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (65535, 255)])
def test_constant_sixteen_bit_image_keeps_its_brightness(
    tmp_path: pathlib.Path, value: int, expected: int
) -> None:
    Image.fromarray(np.full((8, 8), value, dtype=np.uint16)).save(tmp_path / "a.png")
    assert load_rgb(tmp_path / "a.png").getpixel((0, 0)) == (expected,) * 3


def test_float_tiff_with_gaps_is_stretched(tmp_path: pathlib.Path) -> None:
    values = np.linspace(0, 5, 64, dtype=np.float32).reshape(8, 8)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    grey = np.asarray(load_rgb(tmp_path / "a.tif"))
    assert (grey.min(), grey.max()) == (0, 255)


def test_transparent_pixels_lie_on_black(tmp_path: pathlib.Path) -> None:
    image = Image.new("RGBA", (2, 1), (200, 100, 50, 255))
    image.putpixel((1, 0), (200, 100, 50, 0))
    image.save(tmp_path / "a.png")
    flat = load_rgb(tmp_path / "a.png")
    assert [flat.getpixel((x, 0)) for x in (0, 1)] == [(200, 100, 50), (0, 0, 0)]


def test_palette_with_a_transparent_entry_is_resolved(tmp_path: pathlib.Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=1)
    flat = load_rgb(tmp_path / "a.png")
    assert [flat.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (0, 0, 0)]


def test_cmyk_is_converted(tmp_path: pathlib.Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    assert load_rgb(tmp_path / "a.tif").getpixel((3, 3)) == (255, 0, 0)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_truncated_files_are_an_error(tmp_path: pathlib.Path, file_format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), file_format)
    path = tmp_path / "a.img"
    path.write_bytes(content)
    assert load_rgb(path).size == (64, 64)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageReadError, match=r"a\.img"):
        load_rgb(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "BMP"]), st.data())
def test_damaged_files_give_an_image_or_the_known_error(
    tmp_path: pathlib.Path, file_format: str, data: st.DataObject
) -> None:
    content = bytearray(encoded(gradient(), file_format))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.img"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert load_rgb(path).mode == "RGB"
    except ImageReadError as error:
        assert str(path) in str(error)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(9000, 9000), (12000, 9000), (60000, 60000)])
def test_image_of_too_many_pixels_is_refused_before_decoding(
    tmp_path: pathlib.Path, width: int, height: int
) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b""))
    with pytest.raises(ImageReadError, match="pixels"):
        load_rgb(path)


def test_files_that_are_no_images_say_so(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.jpg").write_text("<html>not found</html>")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "vector.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    for name in ("a.jpg", "empty.jpg", "vector.eps"):
        with pytest.raises(ImageReadError, match="not an image"):
            load_rgb(tmp_path / name)
    with pytest.raises(ImageReadError, match="no such file"):
        load_rgb(tmp_path / "absent.jpg")
    with pytest.raises(ImageReadError, match="folder"):
        load_rgb(tmp_path)


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 48),
    st.sampled_from(["pad", "crop", "stretch"]),
)
def test_fit_square_always_returns_the_square_asked_for(
    width: int, height: int, size_px: int, mode: FitMode
) -> None:
    fitted = fit_square(gradient(width, height), size_px, mode)
    assert (fitted.size, fitted.mode) == ((size_px, size_px), "RGB")


def test_pad_keeps_all_of_the_picture_centred_on_black() -> None:
    fitted = np.asarray(fit_square(Image.new("RGB", (40, 20), (255, 255, 255)), 20, "pad"))
    assert fitted[:5].max() == 0
    assert fitted[15:].max() == 0
    assert fitted[5:15].min() == 255


def test_crop_keeps_the_central_square() -> None:
    wide = Image.new("RGB", (60, 20), (255, 0, 0))
    wide.paste((0, 0, 255), (20, 0, 40, 20))
    fitted = np.asarray(fit_square(wide, 20, "crop"))
    assert (fitted == (0, 0, 255)).all()


def test_stretch_reaches_every_corner() -> None:
    fitted = np.asarray(fit_square(Image.new("RGB", (60, 20), (7, 8, 9)), 16, "stretch"))
    assert (fitted == (7, 8, 9)).all()


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    small = np.asarray(fit_square(Image.fromarray(stripes), 16))
    assert np.abs(small.astype(int) - 128).max() <= 12


def test_other_modes_fit_as_rgb() -> None:
    assert fit_square(Image.new("LA", (9, 5), (80, 255)), 4, "stretch").getpixel((0, 0)) == (
        80,
        80,
        80,
    )


@pytest.mark.parametrize(("size_px", "mode"), [(0, "pad"), (-4, "crop"), (8, "cover")])
def test_fit_square_names_what_is_allowed(size_px: int, mode: FitMode) -> None:
    with pytest.raises(DataValueError, match=r"1 or more|'stretch'"):
        fit_square(gradient(), size_px, mode)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["unit", "signed"]))
def test_arrays_and_images_convert_back_without_loss(seed: int, value_range: ValueRange) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    array = to_array(Image.fromarray(pixels), value_range)
    low = -1 if value_range == "signed" else 0
    assert array.dtype == np.float32
    assert array.shape == (5, 7, 3)
    assert array.min() >= low
    assert array.max() <= 1
    assert np.array_equal(np.asarray(from_array(array, value_range)), pixels)


def test_values_outside_the_range_are_clipped_and_gaps_refused() -> None:
    assert from_array(np.full((1, 1, 3), 1.5)).getpixel((0, 0)) == (255, 255, 255)
    assert from_array(np.full((1, 1, 3), -3.0), "signed").getpixel((0, 0)) == (0, 0, 0)
    with pytest.raises(DataValueError, match="not finite"):
        from_array(np.full((1, 1, 3), np.nan))
    with pytest.raises(DataValueError, match="shape"):
        from_array(np.zeros((3, 4)))


def test_to_rgb_leaves_the_original_untouched() -> None:
    image = gradient()
    image.info["comment"] = "kept"
    copy = to_rgb(image)
    copy.putpixel((0, 0), (1, 2, 3))
    assert image.getpixel((0, 0)) == (0, 0, 0)
    assert (image.info, copy.info) == ({"comment": "kept"}, {})
