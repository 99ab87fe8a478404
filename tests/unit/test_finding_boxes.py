"""Contract: boxes of findings are read, follow a picture into its square, and weigh positions."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from PIL import Image

from data.errors import DatasetTableError
from data.finding_boxes import FindingBox, has_finding_boxes, read_finding_boxes
from data.images import FitMode, fit_square
from data.records import ImageRecord
from msdm_core.training.focus import focus_weights, oversampled
from msdm_core.training.latent_batches import LatentOptions, draw_batch
from msdm_core.training.randomness import step_random
from msdm_core.training.wording import wordings

HEADER = "Filename,xmin,ymin,xmax,ymax\n"


def test_boxes_are_read_by_image_in_their_order(tmp_path: pathlib.Path) -> None:
    assert not has_finding_boxes(tmp_path)
    table = tmp_path / "polyp_boxes.csv"
    table.write_text(HEADER + "a.jpg,0.1,0.2,0.3,0.4\nb.png,0,0,1,1\na.jpg,0.5,0.5,0.6,0.9\n")
    assert has_finding_boxes(tmp_path)
    assert read_finding_boxes(tmp_path) == {
        "a": (FindingBox(0.1, 0.2, 0.3, 0.4), FindingBox(0.5, 0.5, 0.6, 0.9)),
        "b": (FindingBox(0, 0, 1, 1),),
    }


@pytest.mark.parametrize(
    "row",
    ["a.jpg,0.3,0.2,0.1,0.4", "a.jpg,0,0,1.2,1", "a.jpg,12,40,80,90", "a.jpg,x,0,1,1",
     "a.jpg,nan,0,1,1", ",0,0,1,1", "a.jpg,0,0,1"],
)  # fmt: skip
def test_a_row_that_is_no_box_is_told_with_its_line(tmp_path: pathlib.Path, row: str) -> None:
    (tmp_path / "polyp_boxes.csv").write_text(HEADER + "b.jpg,0,0,1,1\n" + row + "\n")
    with pytest.raises(DatasetTableError, match="line 3"):
        read_finding_boxes(tmp_path)


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(120, 80), (80, 120), (90, 90)])
def test_a_box_lies_where_its_pixels_are_in_the_square(
    size: tuple[int, int], fit: FitMode
) -> None:
    width, height = size
    box = FindingBox(0.35, 0.4, 0.65, 0.7)
    picture = np.zeros((height, width, 3), np.uint8)
    rows = slice(round(box.ymin * height), round(box.ymax * height))
    picture[rows, round(box.xmin * width) : round(box.xmax * width)] = 255
    lit = np.asarray(fit_square(Image.fromarray(picture), 240, fit))[..., 0] > 127
    square = box.in_square(width, height, fit)
    expected = [square.xmin, square.ymin, square.xmax, square.ymax]
    ys, xs = np.nonzero(lit)
    found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) / 240
    assert found == pytest.approx(expected, abs=0.012)


def test_a_box_outside_of_a_crop_is_cut_off() -> None:
    assert FindingBox(0, 0, 0.1, 1).in_square(200, 100, "crop") == FindingBox(0, 0, 0, 1)


def test_positions_weigh_by_how_much_of_them_a_box_covers(tmp_path: pathlib.Path) -> None:
    records = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (64, 64)).save(path)
        records.append(ImageRecord(name, path, ("a polyp",), "train", None, "test"))
    boxes = {"a": (FindingBox(0.25, 0, 0.625, 0.5), FindingBox(0.5, 0, 0.625, 0.25))}
    weights = focus_weights(records, boxes, side=4, fit="pad", focus=5)
    assert weights.shape == (2, 2, 1, 4, 4)
    expected = [[1, 5, 3, 1], [1, 5, 3, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert np.array_equal(weights[0, 0, 0], expected)
    assert np.array_equal(weights[0, 1, 0], np.array(expected)[:, ::-1])
    assert np.all(weights[1] == 1)


def test_images_with_a_box_are_drawn_as_often_as_is_asked_for(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.png"
    records = [ImageRecord(n, path, ("a polyp",), "train", None, "test") for n in "abcd"]
    pool = oversampled(records, {"b": (FindingBox(0, 0, 1, 1),)}, 5)
    assert pool.tolist() == [0, 1, 1, 1, 1, 1, 2, 3]
    latents = np.arange(4, dtype=np.float16).reshape(4, 1, 1, 1, 1).repeat(2, axis=1)
    options = LatentOptions(batch_size=4000)

    def shares(pool: np.ndarray | None) -> np.ndarray:
        drawn = draw_batch(latents, wordings(records), options, step_random(0, 0), None, pool)
        return np.bincount(drawn.latents.flatten().long().numpy(), minlength=4) / 4000

    assert shares(pool) == pytest.approx([1 / 8, 5 / 8, 1 / 8, 1 / 8], abs=0.03)
    assert shares(None) == pytest.approx([1 / 4] * 4, abs=0.03)
