"""Contract: all images of a study end at one size, one colour mode and one PNG encoding without a
byte beside the pixels, whatever they were before; the same steps for all, each of them logged; and
after the recommended shrinking neither blocks nor colours tell which picture was a JPEG file.
"""

import dataclasses
import io
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from rating.errors import StimulusError
from rating.study.harmonisation import Harmonisation, harmonise, suggested_size_px
from tests.drawings import draw_scene, scenes

SMALL = Harmonisation(size_px=48)


def exact(size_px: int, **named) -> Harmonisation:
    return Harmonisation(size_px=size_px, jpeg_quality=None, **named)


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """Returns kind and content of each chunk, checked by its sum."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        body = png[at + 4 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(body),)
        found.append((body[:4], body[4:]))
        at += length + 12
    return found


def opened(png: bytes) -> Image.Image:
    with Image.open(io.BytesIO(png)) as picture:
        picture.load()
        return picture


def noise(size: tuple[int, int], mode: str = "RGB", seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).convert(mode)


@settings(deadline=None)
@given(
    width=st.integers(1, 400), height=st.integers(1, 400),
    mode=st.sampled_from(("RGB", "L", "RGBA", "P", "CMYK", "1", "LA", "I;16")),
    size_px=st.integers(32, 300), colour=st.sampled_from(("RGB", "L")),
    quality=st.sampled_from((None, 90)),
)  # fmt: skip
def test_every_picture_ends_at_one_size_mode_and_list_of_chunks(
    width: int, height: int, mode: str, size_px: int, colour: str, quality: int | None
):
    asked = Harmonisation(size_px=size_px, colour_mode=colour, jpeg_quality=quality)
    png, log = harmonise(Image.new(mode, (width, height)), asked)
    picture = opened(png)
    assert (picture.size, picture.mode, picture.info) == ((size_px, size_px), colour, {})
    kinds = chunks(png)
    assert [kind for kind, _ in kinds] == [b"IHDR", b"IDAT", b"IEND"]
    header = struct.unpack(">IIBBBBB", kinds[0][1])
    assert header == (size_px, size_px, 8, 2 if colour == "RGB" else 0, 0, 0, 0)
    assert kinds[1][1][:2] == b"\x78\x9c"
    assert (log["native_width_px"], log["native_height_px"]) == (width, height)
    assert json.loads(json.dumps(log)) == log


def test_large_pictures_too_have_one_data_chunk():
    png, _ = harmonise(noise((700, 700)), exact(700))
    assert len(png) > 1_000_000
    assert [kind for kind, _ in chunks(png)] == [b"IHDR", b"IDAT", b"IEND"]
    assert opened(png).tobytes() == noise((700, 700)).tobytes()


def test_metadata_of_the_picture_leave_no_trace(tmp_path):
    scene = draw_scene(scenes()[0])
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "secret prompt, Model: flux")
    scene.save(tmp_path / "a.png", pnginfo=text, dpi=(72, 72))
    exif = Image.Exif()
    exif[0x010E] = "secret"
    scene.save(tmp_path / "b.tiff", exif=exif, icc_profile=b"secret profile")
    plain, _ = harmonise(scene, SMALL)
    for name in ("a.png", "b.tiff"):
        with Image.open(tmp_path / name) as picture:
            assert harmonise(picture, SMALL)[0] == plain


def test_same_pixels_give_the_same_bytes_and_the_picture_given_is_unchanged():
    scene = draw_scene(scenes()[1])
    before = scene.tobytes()
    assert harmonise(scene, SMALL) == harmonise(scene.copy(), SMALL)
    assert scene.tobytes() == before


@pytest.mark.parametrize("size", [(100, 60), (60, 100), (101, 60), (61, 60)])
def test_the_centre_square_is_cropped_at_whole_pixels(size: tuple[int, int]):
    picture = noise(size)
    png, log = harmonise(picture, dataclasses.replace(exact(60), crop="centre_square"))
    left, top = (size[0] - 60) // 2, (size[1] - 60) // 2
    assert log["crop_box"] == [left, top, left + 60, top + 60]
    assert (log["is_resampled"], log["scale"]) == (False, 1.0)
    assert opened(png).tobytes() == picture.crop(tuple(log["crop_box"])).tobytes()


@pytest.mark.parametrize("size", [(320, 160), (160, 320), (321, 160)])
def test_a_whole_picture_stands_on_a_black_square(size: tuple[int, int]):
    picture = noise(size)
    png, log = harmonise(picture, Harmonisation(size_px=80, jpeg_quality=None))
    square = opened(png)
    assert square.size == (80, 80) and (log["width_px"], log["height_px"]) == (80, 80)
    assert log["crop_box"] == [0, 0, *size] and log["scale"] == pytest.approx(0.25, abs=0.001)
    inner = (80, 40) if size[0] > size[1] else (40, 80)
    left, top = (80 - inner[0]) // 2, (80 - inner[1]) // 2
    box = (left, top, left + inner[0], top + inner[1])
    shrunk = picture.resize(inner, Image.Resampling.LANCZOS)
    assert square.crop(box).tobytes() == shrunk.tobytes()
    square.paste((0, 0, 0), box)
    assert square.getextrema() == ((0, 0), (0, 0), (0, 0))


def test_without_a_crop_the_proportions_stay_and_the_longer_side_is_the_size():
    png, log = harmonise(noise((320, 160)), Harmonisation(crop="none", size_px=80))
    assert opened(png).size == (80, 40)
    assert (log["width_px"], log["height_px"], log["scale"]) == (80, 40, 0.25)


def test_the_log_says_when_a_picture_was_enlarged():
    _, log = harmonise(noise((40, 40)), Harmonisation(size_px=60))
    assert (log["is_resampled"], log["scale"]) == (True, 1.5)


def test_a_common_jpeg_step_reaches_every_picture():
    flat = Image.new("RGB", (64, 64), (10, 200, 90))
    grainy = noise((64, 64))
    for picture in (flat, grainy):
        png, log = harmonise(picture, Harmonisation(size_px=64, jpeg_quality=75))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=75, subsampling="4:2:0")
        assert opened(png).tobytes() == Image.open(buffer).tobytes()
        assert log["jpeg_quality"] == 75


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"crop": "square"}, "crop is 'square', allowed are pad_square, centre_square, none"),
        ({"size_px": 8}, "size_px is 8, allowed are 32 to 2048"),
        ({"size_px": 64.5}, "size_px is 64.5"),
        ({"size_px": True}, "size_px is True"),
        ({"resampling": "nearest"}, "allowed are lanczos, bicubic, bilinear"),
        ({"colour_mode": "CMYK"}, "allowed are RGB, L"),
        ({"jpeg_quality": 10}, "jpeg_quality is 10, allowed are 50 to 100"),
    ],
)
def test_a_setting_that_is_not_allowed_is_told(wrong: dict, told: str):
    with pytest.raises(StimulusError, match=told):
        Harmonisation(**wrong)


def test_all_wrong_settings_are_told_at_once():
    with pytest.raises(StimulusError) as caught:
        Harmonisation(crop="no", size_px=0, resampling="x", colour_mode="y", jpeg_quality=1)
    for name in ("crop", "size_px", "resampling", "colour_mode", "jpeg_quality"):
        assert f"{name} is " in str(caught.value)


def test_settings_are_json_values_and_come_back():
    asked = Harmonisation(size_px=100, colour_mode="L", jpeg_quality=80)
    assert Harmonisation(**json.loads(json.dumps(dataclasses.asdict(asked)))) == asked


@pytest.mark.parametrize(("side", "expected"), [(256, 240), (512, 480), (10, 32), (9999, 2048)])
def test_the_suggested_size_is_a_little_below_the_smallest_picture(side: int, expected: int):
    assert suggested_size_px(side) == expected
    assert suggested_size_px(256) == Harmonisation().size_px


def blockiness(picture: Image.Image) -> float:
    """Returns how much larger steps are across the grid of 8 px than elsewhere; 1: not at all."""
    grey = np.asarray(picture.convert("L"), dtype=float)
    ratios = []
    for steps in (np.abs(np.diff(grey, axis=0)).mean(1), np.abs(np.diff(grey, axis=1)).mean(0)):
        is_edge = np.arange(len(steps)) % 8 == 7
        ratios.append(steps[is_edge].mean() / steps[~is_edge].mean())
    return float(np.mean(ratios))


def test_shrinking_by_little_takes_out_the_grid_of_a_jpeg_file():
    rng = np.random.default_rng(3)
    smooth = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    clean = smooth.resize((256, 256), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    clean.save(buffer, "JPEG", quality=40)
    with Image.open(buffer) as file:
        history = file.convert("RGB")

    def excess(size_px: int) -> float:
        asked = exact(size_px)
        of_history, of_clean = (opened(harmonise(p, asked)[0]) for p in (history, clean))
        return abs(blockiness(of_history) - blockiness(of_clean))

    kept, shrunk = excess(256), excess(suggested_size_px(256))
    assert kept > 0.05
    assert shrunk < kept / 4


def test_the_default_leaves_less_of_a_jpeg_file_in_the_colours():
    def fine_colour(picture: Image.Image) -> float:
        blue = np.asarray(picture.convert("YCbCr"), dtype=float)[..., 1]
        radius = np.hypot(np.fft.fftfreq(240)[:, None], np.fft.fftfreq(240)[None, :])
        return float(np.log10((np.abs(np.fft.fft2(blue)) ** 2)[radius > 0.35].mean()))

    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(90, 160, (32, 32, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((256, 256), Image.Resampling.BICUBIC), dtype=float)
    grainy = smooth + rng.normal(0, 3, smooth.shape)
    clean = Image.fromarray(np.rint(np.clip(grainy, 0, 255)).astype(np.uint8))
    buffer = io.BytesIO()
    clean.save(buffer, "JPEG", quality=90, subsampling="4:2:0")
    with Image.open(buffer) as file:
        history = file.convert("RGB")

    def difference(asked: Harmonisation) -> float:
        return abs(
            fine_colour(opened(harmonise(history, asked)[0]))
            - fine_colour(opened(harmonise(clean, asked)[0]))
        )

    assert difference(Harmonisation()) < difference(exact(240)) / 3
