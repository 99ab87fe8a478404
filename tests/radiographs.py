"""Drawn stand-ins for radiology: grey shapes on black, and a folder of them in ROCOv2's layout."""

import csv
import random
from pathlib import Path

from PIL import Image, ImageDraw

VALIDATION_COUNT = 8
KINDS = ("normal", "pneumonia", "benign mass", "normal tissue", "scan")


def caption_of(index: int) -> str:
    """Returns the caption of a picture, in the words of real ones."""
    view = ("Posteroanterior", "Anteroposterior")[index % 2]
    patient = f"{20 + index % 60}-year-old {('man', 'woman')[index // 2 % 2]}"
    return {
        "normal": f"{view} chest radiograph of a {patient} showing no finding.",
        "pneumonia": f"{view} chest radiograph of a {patient} showing effusion and pneumonia.",
        "benign mass": "Breast ultrasound image showing a benign mass.",
        "normal tissue": "Breast ultrasound image showing normal breast tissue.",
        "scan": "Axial MRI of the head.",
    }[KINDS[index % len(KINDS)]]


def draw_radiograph(index: int, size_px: int = 64) -> Image.Image:
    """Returns a grey picture, mode L, the same for the same index."""
    rng = random.Random(index)
    picture = Image.new("L", (size_px, size_px))
    draw = ImageDraw.Draw(picture)
    kind = KINDS[index % len(KINDS)]
    draw.rectangle((4, 4, size_px - 5, size_px - 5), fill=90)
    if kind in ("normal", "pneumonia"):
        for left in (10, size_px // 2 + 4):
            draw.ellipse((left, 12, left + size_px // 3, size_px - 12), fill=30)
    else:
        draw.ellipse((16, 16, size_px - 17, size_px - 17), fill=60)
    if kind in ("pneumonia", "benign mass"):
        draw.ellipse((34, 30, 50, 44), fill=200 if kind == "pneumonia" else 10)
    for _ in range(40):
        x, y = (rng.randrange(size_px) for _ in range(2))
        shade = rng.randrange(40, 240)
        draw.line((x, y, x + rng.randrange(9), y + rng.randrange(9)), fill=shade)
    return picture


def write_rocov2(folder: Path, count: int = 32, coloured: int = 0) -> Path:
    """Writes a folder in the layout of ROCOv2 and returns it.

    Args:
        folder: Made.
        count: Pictures, the last eight of them for validation.
        coloured: How many training pictures have a coloured patch, as Doppler has.
    """
    for split, indices in (
        ("train", range(count - VALIDATION_COUNT)),
        ("valid", range(count - VALIDATION_COUNT, count)),
    ):
        (folder / f"{split}_images").mkdir(parents=True)
        rows = []
        for index in indices:
            picture = draw_radiograph(index)
            if index < coloured:
                picture = picture.convert("RGB")
                ImageDraw.Draw(picture).rectangle((20, 20, 34, 34), fill=(220, 40, 30))
            picture.save(folder / f"{split}_images" / f"drawn_{index:02d}.png")
            rows.append((f"drawn_{index:02d}", caption_of(index)))
        with (folder / f"{split}_captions.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("ID", "Caption"), *rows])
    return folder
