"""What an evaluation compares: real images, their captions, and images that were made before."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.domains import ENDOSCOPY, Domain
from data.duplicates import find_duplicates
from data.errors import ManifestError
from data.folders import read_folder
from data.manifest import MANIFEST_FILE
from data.manifest_reading import read_manifest
from data.records import IMAGE_SUFFIXES, ImageRecord
from msdm_core.errors import RequestError
from msdm_core.evaluation.evaluate import PromptCase
from msdm_core.training.image_store import open_images

LEAST_IMAGES = 8
HELD_OUT_SHARE = 5  # of a folder without splits, one image in five


@dataclass(frozen=True, slots=True)
class RealImages:
    """Real images in two parts.

    Attributes:
        reference: The training images, or most of a folder without splits.
        held_out: The images of the validation split, or the rest of such a folder.
        groups: One name for each of the reference: patient, or set of near-duplicates.
        has_captions: Whether the records say what the images show.
        reference_images: (R, S, S, 3) uint8.
        held_out_images: (V, S, S, 3) uint8.
    """

    reference: Sequence[ImageRecord]
    held_out: Sequence[ImageRecord]
    groups: Sequence[str]
    has_captions: bool
    reference_images: np.ndarray
    held_out_images: np.ndarray


def read_real(
    folder: Path, *, size_px: int, fit: str, cache: Path, has_captions: bool = True
) -> RealImages:
    """Return the real images of a folder.

    Args:
        folder: With captions one that `python -m data validate` accepts, with a validation split;
            without captions any folder of images, of which one in five is held out.
        size_px: Width and height.
        fit: How pictures are made square: "pad", "crop" or "stretch".
        cache: Folder for arrays.
        has_captions: See `folder`.

    Raises:
        RequestError: A part holds fewer than 8 images.
        DataError: The folder cannot be read.
    """
    if has_captions:
        records = read_folder(folder)
        reference = [r for r in records if r.split == "train"]
        held_out = [r for r in records if r.split == "val"]
    else:
        records = _plain_records(folder)
        held_out = records[::HELD_OUT_SHARE]
        reference = [r for i, r in enumerate(records) if i % HELD_OUT_SHARE]
    for name, part in (("reference", reference), ("held-out", held_out)):
        if len(part) < LEAST_IMAGES:
            why = "it needs a training and a validation split, see `python -m data split`"
            raise RequestError(
                f"{folder} gives {len(part)} {name} images; at least {LEAST_IMAGES} are needed"
                f"{'; ' + why if has_captions else ''}."
            )
    twins = find_duplicates(reference)
    groups = [twins.get(r.image_id) or r.group or r.image_id for r in reference]
    images = (open_images(p, size_px=size_px, fit=fit, cache=cache) for p in (reference, held_out))
    return RealImages(reference, held_out, groups, has_captions, *images)


def _plain_records(folder: Path) -> list[ImageRecord]:
    return [
        ImageRecord(path.stem, path, (), None, None, folder.name) for path in image_files(folder)
    ]


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder by name.

    Raises:
        RequestError: There is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise RequestError(f"There is no folder {folder}.")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise RequestError(f"{folder} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    return paths


def read_prompt_lines(path: Path) -> list[str]:
    """Return the prompts of images made before, one a line; the same one may come again.

    Raises:
        RequestError: The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} cannot be read as UTF-8 text: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def cases_of_prompts(
    prompts: Sequence[str], count: int, domain: Domain = ENDOSCOPY
) -> list[PromptCase]:
    """Return what to generate from a list of prompts, gone through again and again."""
    return [
        PromptCase(-1, prompt, number, domain.read(prompt))
        for number, prompt in enumerate(itertools.islice(itertools.cycle(prompts), count))
    ]


def read_generated(
    folder: Path,
    prompts: Sequence[str] | None,
    *,
    size_px: int,
    cache: Path,
    domain: Domain = ENDOSCOPY,
) -> tuple[np.ndarray, list[PromptCase] | None]:
    """Return images that were made before, and what was asked for where that is known.

    Args:
        folder: One that `generate --prompts` wrote, whose manifest names the prompts, or any
            folder of images.
        prompts: One for each image of such a folder in the order of names, or None.
        size_px: Width and height.
        cache: Folder for arrays.
        domain: Whose language the prompts are in.

    Raises:
        RequestError: There are too few images, or another number of prompts.
    """
    seeds: list[int]
    if prompts is None and (folder / MANIFEST_FILE).is_file():
        try:
            rows = [row for row in read_manifest(folder / MANIFEST_FILE) if row.is_done]
        except ManifestError as error:
            raise RequestError(str(error)) from error
        paths = [folder / row.file_name for row in rows]
        prompts, seeds = [row.prompt for row in rows], [row.seed for row in rows]
    else:
        paths = image_files(folder)
        seeds = [0] * len(paths)
    if len(paths) < LEAST_IMAGES:
        raise RequestError(
            f"{folder} holds {len(paths)} images; at least {LEAST_IMAGES} are needed."
        )
    if prompts is not None and len(prompts) != len(paths):
        raise RequestError(
            f"There are {len(prompts)} prompts for {len(paths)} images; one a line, in the order "
            "of the images' names, is expected."
        )
    records = [ImageRecord(p.stem, p, (), None, None, folder.name) for p in paths]
    images = open_images(records, size_px=size_px, fit="pad", cache=cache)
    if prompts is None:
        return images, None
    cases = cases_of_prompts(list(prompts), len(prompts), domain)
    return images, [replace(c, seed=s) for c, s in zip(cases, seeds, strict=True)]
