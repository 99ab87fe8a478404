"""Near-duplicate images: perceptual hashes propose pairs, small grey pictures confirm them."""

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from data.errors import DataValueError
from data.images import load_rgb
from data.records import ImageRecord
from data.splits import DisjointSets

THUMBNAIL_PX: Final = 32
HASH_SIDE: Final = 8
# Set by eye on endoscopy and ultrasound frames: looser limits join different patients whose
# frames share a border, and a wrong join costs a split nothing while a missed one leaks.
DEFAULT_MAX_DISTANCE_BITS: Final = 8
DEFAULT_MIN_CORRELATION: Final = 0.965

# Comparisons and thumbnail pairs held in memory at once.
_BLOCK: Final = 4_000_000
_PAIR_BLOCK: Final = 4096


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What is kept of an image for comparison.

    Args:
        hash_bits: 64 bits: signs of the low frequencies around their median.
        thumbnail: (32, 32), uint8, grey.
    """

    hash_bits: int
    thumbnail: npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True)
class DuplicatePair:
    """Two images that show the same; correlation of their thumbnails in [-1, 1]."""

    first: str
    second: str
    distance_bits: int
    correlation: float


def fingerprint(image: Image.Image) -> Fingerprint:
    """Return the perceptual hash and the thumbnail of an image.

    The hash takes the 8 x 8 lowest frequencies of a discrete cosine transform of the 32 x 32
    thumbnail and compares each with the median of all but the mean brightness; it is little
    moved by scaling, JPEG and brightness, and not made for flips and crops.

    Source: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions,
        2010, section 3.2.1.
    """
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    grey = image.convert("L").resize(size, Image.Resampling.BOX, reducing_gap=None)
    thumbnail = np.asarray(grey, dtype=np.uint8)
    basis = _cosine_basis()
    low = (basis @ thumbnail.astype(np.float64) @ basis.T).ravel()
    bits = low > np.median(low[1:])
    return Fingerprint(int.from_bytes(np.packbits(bits).tobytes()), thumbnail)


def find_pairs(
    image_ids: Sequence[str],
    fingerprints: Sequence[Fingerprint],
    *,
    max_distance_bits: int = DEFAULT_MAX_DISTANCE_BITS,
    min_correlation: float = DEFAULT_MIN_CORRELATION,
) -> Iterator[DuplicatePair]:
    """Yield every pair of images close by hash and confirmed by thumbnail.

    All pairs are compared, 64 bits at a time and in blocks: 20,000 images take about a second,
    80,000 about ten, and memory stays linear.

    Args:
        image_ids:         One name an image.
        fingerprints:      In the same order.
        max_distance_bits: Largest number of differing hash bits, 0 to 64.
        min_correlation:   Least Pearson correlation of the thumbnails, -1 to 1.

    Raises:
        DataValueError: If a limit is outside its range.
    """
    if not 0 <= max_distance_bits <= 64 or not -1 <= min_correlation <= 1:
        raise DataValueError(
            f"max_distance_bits is {max_distance_bits} (allowed 0 to 64), min_correlation is "
            f"{min_correlation} (allowed -1 to 1)."
        )
    if len(fingerprints) < 2:
        return
    hashes = np.array([item.hash_bits for item in fingerprints], dtype=np.uint64)
    thumbnails = np.stack([item.thumbnail for item in fingerprints])
    block_rows = max(1, _BLOCK // len(hashes))
    for start in range(0, len(hashes), block_rows):
        rows = hashes[start : start + block_rows, None]
        distance = np.bitwise_count(rows ^ hashes[None, start:])
        first, second = np.nonzero(distance <= max_distance_bits)
        is_later = second > first
        first, second = first[is_later], second[is_later]
        bits = distance[first, second]
        correlation = _correlations(thumbnails, first + start, second + start)
        for at in np.nonzero(correlation >= min_correlation)[0]:
            one, other = int(first[at]) + start, int(second[at]) + start
            yield DuplicatePair(
                image_ids[one], image_ids[other], int(bits[at]), float(correlation[at])
            )


def group_pairs(pairs: Iterable[DuplicatePair]) -> dict[str, str]:
    """Return the name of its group by image_id, only for images that have a duplicate.

    A group is everything that pairs connect; its name is its smallest image_id.
    """
    sets = DisjointSets()
    members: set[str] = set()
    for pair in pairs:
        sets.join(pair.first, pair.second)
        members.update((pair.first, pair.second))
    groups: dict[object, list[str]] = defaultdict(list)
    for image_id in sorted(members):
        groups[sets.find(image_id)].append(image_id)
    return {image_id: group[0] for group in groups.values() for image_id in group}


def find_duplicates(
    records: Sequence[ImageRecord],
    *,
    max_distance_bits: int = DEFAULT_MAX_DISTANCE_BITS,
    min_correlation: float = DEFAULT_MIN_CORRELATION,
) -> dict[str, str]:
    """Return groups of near-duplicate images, fit for `make_splits(groups=...)`.

    Args:
        records:           Their images are read once.
        max_distance_bits: As for `find_pairs`.
        min_correlation:   As for `find_pairs`.

    Returns:
        The name of its group by image_id, only for images that have a duplicate.

    Raises:
        ImageReadError: If an image cannot be read.
    """
    fingerprints = [fingerprint(load_rgb(record.path)) for record in records]
    pairs = find_pairs(
        [record.image_id for record in records],
        fingerprints,
        max_distance_bits=max_distance_bits,
        min_correlation=min_correlation,
    )
    return group_pairs(pairs)


@functools.cache
def _cosine_basis() -> npt.NDArray[np.float64]:
    position = (2 * np.arange(THUMBNAIL_PX) + 1) / (2 * THUMBNAIL_PX)
    frequency = np.arange(HASH_SIDE)[:, None]
    return np.asarray(np.cos(np.pi * frequency * position))  # (8, 32), DCT-II


def _normed(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    # A picture of one value correlates with nothing; two such pictures count as equal.
    flat[length[:, 0] == 0] = 1 / THUMBNAIL_PX
    length[length == 0] = 1
    return np.asarray(flat / length, dtype=np.float32)


def _correlations(
    thumbnails: npt.NDArray[np.uint8], first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]
) -> npt.NDArray[np.float32]:
    parts = [np.empty(0, dtype=np.float32)]
    for start in range(0, len(first), _PAIR_BLOCK):
        at = slice(start, start + _PAIR_BLOCK)
        one, other = _normed(thumbnails[first[at]]), _normed(thumbnails[second[at]])
        parts.append(np.einsum("ij,ij->i", one, other))
    return np.concatenate(parts)
