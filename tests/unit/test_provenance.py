"""Contract: provenance survives JSON and PNG unchanged, and a stripped PNG carries nothing."""

import dataclasses
import io
import json
import pathlib
import re
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from data.errors import ImageReadError, ProvenanceError
from data.provenance import (
    GeneratedImage,
    Provenance,
    filename_for,
    installed_versions,
    pixel_sha256,
    png_bytes,
    read_provenance,
    utc_now,
    write_png,
)

EXAMPLE = Provenance(
    model_id="msdm-compact",
    model_label="MSDM compact",
    weights_sha256="0123456789abcdef" * 4,
    prompt="polyp in the lower right, Paris Is",
    negative_prompt="text",
    seed=7,
    steps=20,
    guidance=3.5,
    scheduler="FlowMatchEulerDiscreteScheduler",
    width_px=256,
    height_px=256,
    library_versions={"torch": "2.0", "numpy": "2.1"},
    device="cpu",
    dtype="float32",
    duration_s=1.625,
    created_at="2025-01-02T03:04:05+00:00",
    app_version="1.0.0",
    licence="CC BY-NC 4.0",
)

any_text = st.text(st.characters(exclude_categories=()), max_size=40)  # lone surrogates too

provenances = st.builds(
    Provenance,
    model_id=any_text,
    model_label=any_text,
    weights_sha256=st.one_of(st.none(), st.from_regex(r"[0-9a-f]{64}", fullmatch=True)),
    prompt=any_text,
    negative_prompt=any_text,
    seed=st.integers(0, 2**64),
    steps=st.integers(0, 1000),
    guidance=st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    scheduler=any_text,
    width_px=st.integers(1, 4096),
    height_px=st.integers(1, 4096),
    library_versions=st.dictionaries(any_text, any_text, max_size=4),
    device=any_text,
    dtype=any_text,
    duration_s=st.floats(0, 1e6),
    created_at=st.just("2025-01-02T03:04:05+00:00"),
    app_version=any_text,
    licence=any_text,
    extra=st.dictionaries(
        any_text.map("x-".__add__), st.one_of(st.integers(), any_text, st.lists(st.booleans()))
    ),
)


def picture() -> Image.Image:
    """Return a small image with three different bands."""
    pixels = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)
    return Image.fromarray(pixels)


def png_chunks(content: bytes) -> list[str]:
    """Return the kinds of the chunks of a PNG."""
    kinds, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kinds.append(content[at + 4 : at + 8].decode())
        at += 12 + length
    return kinds


@given(provenances)
def test_json_round_trip_is_lossless(provenance: Provenance) -> None:
    assert Provenance.from_json(provenance.to_json()) == provenance


@given(provenances)
def test_png_round_trip_is_lossless_for_record_and_pixels(provenance: Provenance) -> None:
    content = png_bytes(picture(), provenance)
    assert read_provenance(content) == provenance
    with Image.open(io.BytesIO(content)) as image:
        assert pixel_sha256(image) == pixel_sha256(picture())


@given(provenances, st.integers(0, 999))
def test_file_names_are_short_and_safe_for_any_text(provenance: Provenance, index: int) -> None:
    name = filename_for(dataclasses.replace(provenance, seed=provenance.seed % 2**32), index)
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*\.png", name)
    assert len(name) <= 100
    assert name != filename_for(provenance, index + 1)


def test_unknown_keys_are_kept_in_extra_and_written_again() -> None:
    values = json.loads(EXAMPLE.to_json()) | {"adapter": {"scale": 0.8}}
    provenance = Provenance.from_json(json.dumps(values))
    assert provenance.extra == {"adapter": {"scale": 0.8}}
    assert json.loads(provenance.to_json()) == values


@pytest.mark.parametrize("name", ["seed", "format"])
def test_extra_under_the_name_of_a_field_is_refused(name: str) -> None:
    with pytest.raises(ProvenanceError, match=f"names of fields.*{name}"):
        dataclasses.replace(EXAMPLE, extra={name: 99})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format 2, readable is 1"),
        ({"seed": "7"}, "seed is '7', need a int"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True"),
        ({"width_px": 0}, "width_px is 0"),
        ({"prompt": None}, "prompt is None"),
        ({"weights_sha256": "abc"}, "64 lower-case"),
        ({"library_versions": {"torch": 2}}, "library_versions"),
        ({"library_versions": ["torch"]}, "library_versions"),
        ({"created_at": "yesterday"}, "ISO 8601 in UTC"),
        ({"created_at": "2025-01-02T03:04:05+02:00"}, "ISO 8601 in UTC"),
        ({"duration_s": float("inf")}, "duration_s is inf"),
    ],
)
def test_malformed_records_are_refused_with_the_field(
    change: dict[str, object], words: str
) -> None:
    values = json.loads(EXAMPLE.to_json()) | change
    with pytest.raises(ProvenanceError, match=words):
        Provenance.from_json(json.dumps(values))


def test_absent_fields_are_named() -> None:
    values = json.loads(EXAMPLE.to_json())
    del values["seed"], values["licence"]
    with pytest.raises(ProvenanceError, match="lacks seed, licence"):
        Provenance.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000])
def test_text_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ProvenanceError, match="not"):
        Provenance.from_json(text)


def test_extra_that_is_no_json_is_refused_when_written() -> None:
    with pytest.raises(ProvenanceError, match="Cannot write"):
        dataclasses.replace(EXAMPLE, extra={"when": object()}).to_json()


def test_other_tools_find_prompt_and_settings_in_words() -> None:
    with Image.open(io.BytesIO(png_bytes(picture(), EXAMPLE))) as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        assert image.text["parameters"] == (
            "polyp in the lower right, Paris Is\n"
            "Negative prompt: text\n"
            "Steps: 20, Sampler: FlowMatchEulerDiscreteScheduler, CFG scale: 3.5, Seed: 7, "
            "Size: 256x256, Model hash: 0123456789, Model: msdm-compact, Version: 1.0.0"
        )


def test_a_stripped_png_has_nothing_but_pixels() -> None:
    loaded = picture()
    exif = Image.Exif()
    exif[0x010E] = "secret"
    loaded.info.update(icc_profile=b"secret", exif=exif.tobytes(), dpi=(72, 72), msdm="secret")
    loaded.info["transparency"] = (0, 1, 2)
    content = png_bytes(loaded, None)
    assert png_chunks(content) == ["IHDR", "IDAT", "IEND"]
    assert b"secret" not in content
    assert read_provenance(content) is None


def test_stripping_removes_the_provenance_of_a_download() -> None:
    with Image.open(io.BytesIO(png_bytes(picture(), EXAMPLE))) as image:
        stripped = png_bytes(image, None)
    assert stripped == png_bytes(picture(), None)


def test_writing_leaves_the_given_image_untouched() -> None:
    image = picture()
    image.info["note"] = "kept"
    png_bytes(image, EXAMPLE)
    assert image.info == {"note": "kept"}


def test_write_png_replaces_the_file_and_leaves_no_part(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    write_png(path, GeneratedImage(picture(), EXAMPLE))
    assert read_provenance(path) == EXAMPLE
    assert read_provenance(str(path)) == EXAMPLE
    assert [item.name for item in tmp_path.iterdir()] == ["a.png"]


def test_text_behind_the_pixels_is_read_too() -> None:
    content = png_bytes(picture(), EXAMPLE)
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append(content[at : at + 12 + length])
        at += 12 + length
    text = [chunk for chunk in chunks if chunk[4:8] == b"iTXt"]
    others = [chunk for chunk in chunks if chunk[4:8] != b"iTXt"]
    assert len(text) == 2
    moved = content[:8] + b"".join([*others[:-1], *text, others[-1]])
    assert read_provenance(moved) == EXAMPLE


def test_images_without_provenance_give_none(tmp_path: pathlib.Path) -> None:
    picture().save(tmp_path / "a.jpg")
    picture().save(tmp_path / "a.png")
    assert read_provenance(tmp_path / "a.jpg") is None
    assert read_provenance(tmp_path / "a.png") is None


def test_files_that_are_no_images_and_broken_records_are_errors(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ImageReadError, match="not an image"):
        read_provenance(b"no image")
    with pytest.raises(ImageReadError, match=r"absent\.png"):
        read_provenance(tmp_path / "absent.png")
    text = PngImagePlugin.PngInfo()
    text.add_itxt("msdm", "{}")
    picture().save(tmp_path / "a.png", pnginfo=text)
    with pytest.raises(ProvenanceError, match="format None"):
        read_provenance(tmp_path / "a.png")


@given(st.data())
def test_damaged_files_give_a_record_or_a_known_error(data: st.DataObject) -> None:
    content = bytearray(png_bytes(picture(), EXAMPLE))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        provenance = read_provenance(bytes(content[: data.draw(st.integers(0, len(content)))]))
    except (ImageReadError, ProvenanceError):
        return
    assert provenance is None or isinstance(provenance, Provenance)


def test_later_changes_of_the_callers_dictionary_do_not_reach_the_record() -> None:
    versions = {"torch": "2.0"}
    provenance = dataclasses.replace(EXAMPLE, library_versions=versions)
    versions["torch"] = "3.0"
    assert provenance.library_versions == {"torch": "2.0"}


def test_pixel_hash_depends_on_mode_size_and_pixels_alone() -> None:
    image = picture()
    same = image.copy()
    same.info["comment"] = "other"
    assert pixel_sha256(same) == pixel_sha256(image)
    changed = image.copy()
    changed.putpixel((0, 0), (9, 9, 9))
    reshaped = Image.frombytes("RGB", (6, 5), image.tobytes())
    grey = Image.frombytes("L", (15, 6), image.tobytes())
    assert len({pixel_sha256(item) for item in (image, changed, reshaped, grey)}) == 4


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Polyp, lower-right!", "polyp-lower-right_msdm-compact_seed7_03.png"),
        ("Ösophagitis Grad A", "osophagitis-grad-a_msdm-compact_seed7_03.png"),
        ("../../etc/passwd\0", "etc-passwd_msdm-compact_seed7_03.png"),
        (
            "generate an image containing a polyp in the lower right",
            "generate-an-image-containing-a-polyp-in_msdm-compact_seed7_03.png",
        ),
        ("x" * 300, "x" * 40 + "_msdm-compact_seed7_03.png"),
    ],
)
def test_file_names_tell_prompt_model_seed_and_index(prompt: str, expected: str) -> None:
    assert filename_for(dataclasses.replace(EXAMPLE, prompt=prompt), 3) == expected


def test_prompts_without_latin_letters_get_different_names() -> None:
    names = {
        filename_for(dataclasses.replace(EXAMPLE, prompt=text)) for text in ("息肉", "溃疡", "")
    }
    assert len(names) == 3
    assert all(name.startswith("image-") for name in names)


def test_versions_are_those_installed_and_absent_ones_are_left_out() -> None:
    versions = installed_versions(("numpy", "no-such-distribution"))
    assert versions == {"numpy": np.__version__}


def test_the_present_time_is_accepted_as_creation_time() -> None:
    assert dataclasses.replace(EXAMPLE, created_at=utc_now()).created_at.endswith("+00:00")
