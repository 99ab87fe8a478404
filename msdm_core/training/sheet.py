"""Contact sheets: pictures side by side, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def write_sheet(
    path: Path, rows: Sequence[np.ndarray], labels: Sequence[str] | None = None, gap_px: int = 2
) -> None:
    """Write rows of pictures as one image, JPEG or PNG by the path's suffix.

    Args:
        path: File to write.
        rows: Each (N, H, W, 3) uint8, all of one picture size.
        labels: A line of text above each row.
        gap_px: Space between pictures.
    """
    height, width = rows[0].shape[1:3]
    columns = max(len(row) for row in rows)
    label_px = 16 if labels else 0
    size = (columns * (width + gap_px), len(rows) * (height + gap_px + label_px))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for y, row in enumerate(rows):
        top = y * (height + gap_px + label_px)
        if labels:
            draw.text((2, top + 2), labels[y], fill="black")
        for x, picture in enumerate(row):
            sheet.paste(Image.fromarray(picture), (x * (width + gap_px), top + label_px))
    sheet.save(path, quality=88)
