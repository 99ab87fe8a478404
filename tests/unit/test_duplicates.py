"""Contract: copies of a picture are found through JPEG, scaling and brightness, others are not."""

import io
import os
import pathlib
import time

import numpy as np
import pytest
from PIL import Image, ImageFilter

from data.__main__ import main
from data.duplicates import (
    Fingerprint,
    find_duplicates,
    find_pairs,
    fingerprint,
    group_pairs,
)
from data.errors import DataValueError, ImageReadError
from data.folders import read_folder
from data.records import ImageRecord


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Return a smooth random picture, as different from others as photographs are."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Return the image after JPEG compression."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def pairs_of(images: list[Image.Image]) -> set[tuple[str, str]]:
    """Return the names of the pairs found among images named by their position."""
    names = [str(position) for position in range(len(images))]
    found = find_pairs(names, [fingerprint(image) for image in images])
    return {(pair.first, pair.second) for pair in found}


@pytest.mark.parametrize(
    "change",
    [
        lambda image: as_jpeg(image, 30),
        lambda image: image.resize((61, 47)),
        lambda image: image.point(lambda value: 20 + value * 0.8),
        lambda image: image.filter(ImageFilter.GaussianBlur(1)),
        lambda image: image.convert("L").convert("RGB"),
    ],
    ids=["jpeg", "scaled", "brightness", "blurred", "grey"],
)
def test_changed_copies_are_paired_with_their_original(change: object) -> None:
    assert callable(change)
    images = [scene(seed) for seed in range(20)]
    assert pairs_of([*images, change(images[7])]) == {("7", "20")}


def test_different_pictures_are_not_paired() -> None:
    assert pairs_of([scene(seed) for seed in range(200)]) == set()


def test_a_common_dark_border_makes_no_pair() -> None:
    framed = []
    for seed in range(40):
        frame = Image.new("RGB", (200, 160))
        frame.paste(scene(seed), (20, 20))
        framed.append(frame)
    assert pairs_of(framed) == set()


def test_pictures_of_one_value_pair_only_with_their_like() -> None:
    images = [Image.new("RGB", (50, 50), "black"), scene(1), Image.new("RGB", (60, 60), "black")]
    assert pairs_of(images) == {("0", "2")}


def test_pairs_are_the_same_as_by_comparing_one_by_one() -> None:
    generator = np.random.default_rng(3)
    seeds = generator.integers(0, 2**6, 1200)  # crosses the blocks in which pairs are searched
    thumbnail = fingerprint(scene(0)).thumbnail
    prints = [Fingerprint(int(seed), thumbnail) for seed in seeds]
    names = [str(position) for position in range(len(prints))]
    found = {
        (pair.first, pair.second, pair.distance_bits)
        for pair in find_pairs(names, prints, max_distance_bits=1)
    }
    expected = {
        (str(one), str(other), int(seeds[one] ^ seeds[other]).bit_count())
        for one in range(len(seeds))
        for other in range(one + 1, len(seeds))
        if int(seeds[one] ^ seeds[other]).bit_count() <= 1
    }
    assert found == expected


def test_a_near_hash_without_a_like_thumbnail_makes_no_pair() -> None:
    one, other = fingerprint(scene(1)), fingerprint(scene(2))
    pairs = find_pairs(["a", "b"], [one, Fingerprint(one.hash_bits, other.thumbnail)])
    assert list(pairs) == []


def test_groups_connect_chains_and_are_named_by_their_smallest_member() -> None:
    base = [scene(1), scene(2)]
    images = [base[0], base[1], as_jpeg(base[0], 60), as_jpeg(base[0], 40)]
    names = ["d", "z", "b", "c"]
    groups = group_pairs(find_pairs(names, [fingerprint(image) for image in images]))
    assert groups == {"b": "b", "c": "b", "d": "b"}


def test_three_thousand_images_are_compared_in_seconds() -> None:
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**63, 3000)
    thumbnails = generator.integers(0, 256, (3000, 32, 32), dtype=np.uint8)
    prints = [Fingerprint(int(h), t) for h, t in zip(hashes, thumbnails, strict=True)]
    start = time.process_time()
    assert list(find_pairs([str(i) for i in range(3000)], prints)) == []
    assert time.process_time() - start < 20


@pytest.mark.parametrize(("distance", "correlation"), [(-1, 0.9), (65, 0.9), (8, 1.1)])
def test_limits_outside_their_range_are_refused(distance: int, correlation: float) -> None:
    with pytest.raises(DataValueError, match="allowed"):
        list(find_pairs([], [], max_distance_bits=distance, min_correlation=correlation))


def endoscopy(folder: pathlib.Path) -> pathlib.Path:
    """Write a dataset of six images, two of them copies, one damaged."""
    (folder / "images").mkdir(parents=True)
    for number in range(5):
        scene(number).save(folder / f"images/i{number}.png")
    as_jpeg(scene(2), 50).save(folder / "images/copy.png")
    names = [*(f"i{number}.png" for number in range(5)), "copy.png"]
    rows = "".join(f"polyp;{name}\n" for name in names)
    (folder / "prompt-gt.csv").write_text(f"Prompt;Filename\n{rows}")
    return folder


def test_find_duplicates_reads_the_images_of_records(tmp_path: pathlib.Path) -> None:
    records = read_folder(endoscopy(tmp_path))
    assert find_duplicates(records) == {"copy": "copy", "i2": "copy"}
    absent = ImageRecord("x", tmp_path / "x.png", ("polyp",), None, None, "made here")
    with pytest.raises(ImageReadError, match=r"x\.png"):
        find_duplicates([absent])


def test_the_commands_list_duplicates_and_keep_them_in_one_split(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = endoscopy(tmp_path)
    assert main(["duplicates", str(folder)]) == 0
    assert "copy  i2\ngroups of near-duplicates: 1, with 2 of 6 images" in capsys.readouterr().out
    shares = ["--train", "0.4", "--val", "0.3", "--test", "0.3"]
    for seed in range(5):
        assert main(["split", str(folder), *shares, "--seed", str(seed), "--overwrite"]) == 0
        splits = {record.image_id: record.split for record in read_folder(folder)}
        assert splits["copy"] == splits["i2"]


def test_the_split_command_never_replaces_a_file_unasked(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = endoscopy(tmp_path)
    (folder / "split.csv").write_text("Filename,Split\ni0.png,test\n")
    assert main(["split", str(folder)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (folder / "split.csv").read_text() == "Filename,Split\ni0.png,test\n"


def test_damaged_images_are_left_out_with_a_note(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = endoscopy(tmp_path)
    (folder / "images/i0.png").write_bytes(b"no image")
    assert main(["duplicates", "--json", str(folder)]) == 0
    captured = capsys.readouterr()
    assert "i0.png" in captured.err
    assert '"i2"' in captured.out


@pytest.mark.skipif("MSDM_DATASETS" not in os.environ, reason="MSDM_DATASETS is not set")
def test_the_shipped_split_of_the_real_endoscopy_set_has_no_duplicates_across_parts() -> None:
    records = read_folder(pathlib.Path(os.environ["MSDM_DATASETS"]) / "medvqa_gi")
    groups = find_duplicates(records)
    split_of = {record.image_id: record.split for record in records}
    assert len(groups) >= 30
    assert all(split_of[image_id] == split_of[group] for image_id, group in groups.items())
