"""Measures what harmonisation leaves of the history by which real images could be told.

    python tests/benchmarks/benchmark_harmonisation.py REAL [GENERATED ...]

REAL is a dataset that the readers accept, GENERATED a folder of generated images. Three
measures are taken of each picture: steps across the grid of 8 px against others (blocks), and the
power of the finest detail in brightness and in colour. A figure is the area under the ROC curve by
which that measure alone tells two sets apart: 0.5 not at all, 1 always.

Two things are compared. History: the same real pictures, shrunk by half so that nothing of their
own files is left, with and without a JPEG file of a given quality in between. Arms: real pictures
and generated ones, which differ in what the models draw too.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
from PIL import Image
from scipy.stats import rankdata

from rating.study.harmonisation import Harmonisation, harmonise, suggested_size_px
from rating.study.image_files import IMAGE_SUFFIXES
from rating.study.sources import from_dataset

MEASURES = ("blocks", "fine brightness", "fine colour")
FINEST = (0.35, 0.5)  # cycles per pixel
HISTORIES = (75, 92)


def measures(picture: Image.Image) -> tuple[float, float, float]:
    """Returns the three measures of a picture, in the order of `MEASURES`."""
    grey, blue, red = np.moveaxis(np.asarray(picture.convert("YCbCr"), dtype=float), -1, 0)
    ratios = []
    for steps in (np.abs(np.diff(grey, axis=0)).mean(1), np.abs(np.diff(grey, axis=1)).mean(0)):
        is_edge = np.arange(len(steps)) % 8 == 7
        ratios.append(steps[is_edge].mean() / max(steps[~is_edge].mean(), 1e-9))
    colour = (finest_power(blue) + finest_power(red)) / 2
    return float(np.mean(ratios)), finest_power(grey), colour


def finest_power(channel: np.ndarray) -> float:
    """Returns the logarithm of the mean power of a (H, W) channel at `FINEST`."""
    height, width = channel.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fft2((channel - channel.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    return float(np.log10(power[(radius >= FINEST[0]) & (radius < FINEST[1])].mean() + 1e-3))


def separation(one: Sequence[float], other: Sequence[float]) -> float:
    """Returns the area under the ROC curve, whichever set is the larger."""
    ranks = rankdata([*one, *other])[: len(one)]
    area = (ranks.sum() - len(one) * (len(one) + 1) / 2) / (len(one) * len(other))
    return float(max(area, 1 - area))


def through(pictures: Sequence[Image.Image], settings: Harmonisation) -> np.ndarray:
    """Returns the measures, (N, 3), of pictures as raters would get them."""
    pngs = (harmonise(picture, settings)[0] for picture in pictures)
    return np.array([measures(Image.open(io.BytesIO(png))) for png in pngs])


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """Returns the picture as a JPEG file with halved colour resolution holds it."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(file) as decoded:
        return decoded.convert("RGB")


def variants(native_px: int) -> dict[str, Harmonisation]:
    """Returns the harmonisations that are compared, for pictures of this side."""
    less = suggested_size_px(native_px)
    return {
        "size kept": Harmonisation(size_px=native_px, jpeg_quality=None),
        "size kept, JPEG 95": Harmonisation(size_px=native_px, jpeg_quality=95),
        "size kept, JPEG 75": Harmonisation(size_px=native_px, jpeg_quality=75),
        "shrunk to 15/16": Harmonisation(size_px=less, jpeg_quality=None),
        "shrunk to 15/16, JPEG 95 (default)": Harmonisation(size_px=less, jpeg_quality=95),
    }


def print_rows(title: str, native_px: int, one: list[Image.Image], other: list[Image.Image]):
    """Prints one row of the table for each variant."""
    for name, settings in variants(native_px).items():
        first, second = through(one, settings), through(other, settings)
        told = (separation(first[:, n], second[:, n]) for n in range(len(MEASURES)))
        print(f"| {title} | {name} | {' | '.join(f'{area:.2f}' for area in told)} |", flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("real", type=Path, metavar="REAL", help="dataset of real images")
    parser.add_argument("generated", type=Path, nargs="*", metavar="GENERATED", help="folders")
    parser.add_argument("--count", type=int, default=99, metavar="N", help="images a set (99)")
    options = parser.parse_args()
    real = [image.read() for image in from_dataset(options.real, options.count, seed=1)]
    side = min(min(picture.size) for picture in real)
    print(f"| sets | harmonisation | {' | '.join(MEASURES)} |")
    print(f"|{'---|' * (2 + len(MEASURES))}")
    clean = [
        picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
        for picture in real
    ]
    for quality in HISTORIES:
        history = [as_jpeg(picture, quality) for picture in clean]
        print_rows(f"JPEG {quality}, and none", side // 2, history, clean)
    for folder in options.generated:
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        drawn = [Image.open(path).convert("RGB") for path in paths[: options.count]]
        print_rows(f"real, and {folder.name}", side, real, drawn)


if __name__ == "__main__":
    main()
