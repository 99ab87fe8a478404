"""Where findings lie in the images of a folder: the boxes of `polyp_boxes.csv`."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Final

from data.errors import DatasetTableError, DataValueError
from data.images import FitMode
from data.records import image_id_of
from data.tables import read_table

BOX_FILE: Final = "polyp_boxes.csv"
BOX_COLUMNS: Final = ("Filename", "xmin", "ymin", "xmax", "ymax")


@dataclasses.dataclass(frozen=True, slots=True)
class FindingBox:
    """A box around a finding, in shares of the width (x) and the height (y), from upper left."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float

    def in_square(self, width: int, height: int, fit: FitMode = "pad") -> "FindingBox":
        """Return the box in shares of the square that `fit_square` makes of the picture.

        Args:
            width:  Of the picture, in pixels.
            height: Likewise.
            fit:    How the picture is made square. What "crop" cuts off is cut off the box.
        """
        if fit == "stretch":
            return self
        side = max(width, height) if fit == "pad" else min(width, height)
        left, top = (side - width) / 2, (side - height) / 2
        xmin, xmax = ((x * width + left) / side for x in (self.xmin, self.xmax))
        ymin, ymax = ((y * height + top) / side for y in (self.ymin, self.ymax))
        return FindingBox(*(min(max(value, 0.0), 1.0) for value in (xmin, ymin, xmax, ymax)))


def has_finding_boxes(folder: pathlib.Path) -> bool:
    """Return whether the folder has boxes of findings."""
    return (folder / BOX_FILE).is_file()


def read_finding_boxes(folder: pathlib.Path) -> dict[str, tuple[FindingBox, ...]]:
    """Return the boxes of each image_id, in the order of the table.

    Args:
        folder: Has polyp_boxes.csv (`Filename,xmin,ymin,xmax,ymax`, shares of width and height).

    Raises:
        DatasetTableError: If the table cannot be read, or a row is no box within the picture.
    """
    table = folder / BOX_FILE
    boxes: dict[str, list[FindingBox]] = {}
    for row in read_table(table, BOX_COLUMNS):
        try:
            box = parse_finding_box(row.values)
        except DataValueError as error:
            raise DatasetTableError(f"{table}, line {row.line}: {error}") from error
        boxes.setdefault(image_id_of(row.values["Filename"]), []).append(box)
    return {image_id: tuple(found) for image_id, found in boxes.items()}


def parse_finding_box(values: Mapping[str, str]) -> FindingBox:
    """Return the box of a row.

    Raises:
        DataValueError: If the row names no image, or is no box within the picture.
    """
    try:
        xmin, ymin, xmax, ymax = (float(values[name]) for name in BOX_COLUMNS[1:])
    except ValueError:
        xmin = ymin = xmax = ymax = math.nan
    is_inside = 0 <= xmin < xmax <= 1 and 0 <= ymin < ymax <= 1
    if not is_inside or not image_id_of(values["Filename"]):
        raise DataValueError(
            "a row is a file name and xmin, ymin, xmax, ymax in shares of width and height, from 0 "
            "to 1, the smaller before the larger"
        )
    return FindingBox(xmin, ymin, xmax, ymax)
