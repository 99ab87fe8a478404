"""Evaluation of a model: make images for the prompts of unseen real ones, and measure both."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.domains import ENDOSCOPY, Domain
from data.images import fit_square
from data.records import ImageRecord
from msdm_core.errors import RequestError
from msdm_core.evaluation.evaluator import (
    Reading,
    attributes_of,
    balanced_accuracy,
    domain_of,
    mean_over,
    read_images,
    stated,
    truths,
)
from msdm_core.evaluation.paraphrases import two_wordings
from msdm_core.evaluation.spectrum import octave_powers, octave_ratios, octaves
from msdm_core.generation.adapters import Adapter
from msdm_core.generation.request import ImageRequest

BOOTSTRAP_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class PromptCase:
    """One image to make.

    Attributes:
        record: Index of the real image the prompt belongs to, -1 where it belongs to none.
        prompt: The text.
        seed: Seed of the image.
        facts: What the real image shows, as far as the prompt states it; of the type that the
            domain reads.
    """

    record: int
    prompt: str
    seed: int
    facts: Any


def prompt_cases(
    records: Sequence[ImageRecord], count: int, kind: str, domain: Domain = ENDOSCOPY
) -> list[PromptCase]:
    """Return what to generate.

    Args:
        records: Unseen real images with their captions.
        count: Images to make; records are gone through in order, again and again.
        kind: "full": one text that states all that the captions of a record state;
            "single": one of its captions, another one in each round.
        domain: Whose language the captions are in.

    Raises:
        RequestError: Another kind.
    """
    if kind not in ("full", "single"):
        raise RequestError(f"No kind of prompt {kind!r}; there are full and single.")
    cases = []
    for number in range(count):
        index, turn = number % len(records), number // len(records)
        captions = records[index].captions
        if kind == "full":
            prompt = domain.full_prompt(captions)
            facts = domain.read(captions)
        else:
            prompt = domain.correct(captions[(index * 7 + turn * 3) % len(captions)])
            facts = domain.read(prompt)
        cases.append(PromptCase(index, prompt, number, facts))
    return cases


def wording_cases(
    records: Sequence[ImageRecord], each: int, domain: Domain = ENDOSCOPY
) -> tuple[list[PromptCase], list[PromptCase]]:
    """Return `each` images to make of every record's facts, in wording A and in wording B.

    Args:
        records: Unseen real images with their captions.
        each: Images of a wording.
        domain: Whose language the captions are in.
    """
    first: list[PromptCase] = []
    second: list[PromptCase] = []
    for index, record in enumerate(records):
        facts = domain.read(record.captions)
        texts = two_wordings(facts, index, domain)
        for cases, text in zip((first, second), texts, strict=True):
            seeds = range(index * each, (index + 1) * each)
            cases += [PromptCase(index, text, seed, facts) for seed in seeds]
    return first, second


def generate_images(
    adapter: Adapter, requests: Sequence[ImageRequest], folder: Path, size_px: int
) -> np.ndarray:
    """Return the images of the requests, making those that the folder does not hold yet.

    Args:
        adapter: The model.
        requests: What to make.
        folder: Where PNGs are kept as they were made; a later call goes on from there.
        size_px: Width and height of what is returned.

    Returns:
        (N, size_px, size_px, 3) uint8.

    Raises:
        CoreError: The model cannot be loaded, or gives no usable picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05d}.png" for number in range(len(requests))]
    wanted = [number for number, path in enumerate(paths) if not path.is_file()]
    start = time.monotonic()
    for done, number in enumerate(wanted, start=1):
        made = adapter.generate(requests[number], lambda _step, _total, _preview: None)
        partial = paths[number].with_suffix(".partial")
        made.image.save(partial, format="PNG")
        partial.replace(paths[number])
        left_s = (time.monotonic() - start) / done * (len(wanted) - done)
        print(f"\r{done} of {len(wanted)} images, {left_s / 60:.1f} min left ", end="",
              file=sys.stderr, flush=True)
    if wanted:
        print(file=sys.stderr)
    pictures = (fit_square(Image.open(path).convert("RGB"), size_px) for path in paths)
    return np.stack([np.asarray(picture) for picture in pictures])


def measure(
    evaluator: Any,
    generated: np.ndarray,
    cases: Sequence[PromptCase],
    real: np.ndarray,
    records: Sequence[ImageRecord],
    *,
    closed_world: bool,
) -> dict[str, Any]:
    """Return what is read in generated images beside what is read in real ones.

    Args:
        evaluator: From `load_evaluator`.
        generated: (N, S, S, 3) uint8, one for each case.
        cases: What was asked for.
        real: (M, S, S, 3) uint8, the real images of the records.
        records: Unseen real images, of which the cases' prompts may be.
        closed_world: What a prompt does not mention is absent (full prompts), or unknown.
    """
    real_reading = read_images(evaluator, real)
    reading = read_images(evaluator, generated)
    names, domain = attributes_of(evaluator), domain_of(evaluator)
    real_truth = truths([domain.read(record.captions) for record in records], names)
    wanted = [case.facts for case in cases]
    asked = truths(wanted, names) if closed_world else stated(wanted, names)
    on_real = balanced_accuracy(real_reading.probabilities, real_truth, names)
    on_generated = balanced_accuracy(reading.probabilities, asked, names)
    rng = np.random.default_rng(0)
    draws = [
        _resampled(rng, reading, asked, cases, real_reading, real_truth, names)
        for _ in range(BOOTSTRAP_DRAWS)
    ]
    return {
        "balanced_accuracy": {
            name: {"real": on_real[name], "generated": on_generated[name]}
            for name in (*names, "mean")
        },
        "reading_ratio": on_generated["mean"] / on_real["mean"],
        "reading_ratio_interval": _interval([_ratio(*draw, names) for draw in draws]),
        "balanced_accuracy_intervals": {
            name: {
                kind: _interval([draw[index][name] for draw in draws])
                for index, kind in enumerate(("real", "generated"))
                if not np.isnan((on_real, on_generated)[index][name])
            }
            for name in (*names, "mean")
        },
    }


def spectrum_figures(generated: np.ndarray, real: np.ndarray) -> dict[str, Any]:
    """Return the power in each octave as a multiple of the real images', with the floor.

    Args:
        generated: (N, S, S, 3) uint8.
        real: (M, S, S, 3) uint8.
    """
    bands = [f"{low}-{high}" for low, high in octaves(real.shape[1])]
    real_power = octave_powers(real)
    spectrum = octave_powers(generated) / real_power
    halves = octave_ratios(real[::2], real[1::2])
    return {
        "octave_power_real": dict(zip(bands, map(float, real_power), strict=True)),
        "octave_power_ratio": dict(zip(bands, map(float, spectrum), strict=True)),
        "octave_power_ratio_real_halves": dict(zip(bands, map(float, halves), strict=True)),
        "pixel_diversity": {"real": _diversity(real), "generated": _diversity(generated)},
    }


def _resampled(
    rng: np.random.Generator,
    reading: Reading,
    asked: np.ndarray,
    cases: Sequence[PromptCase],
    real_reading: Reading,
    real_truth: np.ndarray,
    names: Sequence[str],
) -> tuple[dict[str, float], dict[str, float]]:
    """Return what is read in a bootstrap sample of real images, and in those of their prompts.

    Prompts that belong to no real image are drawn by themselves.
    """
    counts = np.bincount(rng.integers(0, len(real_truth), len(real_truth)),
                         minlength=len(real_truth))
    real_rows = np.repeat(np.arange(len(real_truth)), counts)
    if any(case.record < 0 for case in cases):
        rows = rng.integers(0, len(cases), len(cases))
    else:
        rows = np.repeat(np.arange(len(cases)), [counts[c.record] for c in cases])
    on_real = balanced_accuracy(
        real_reading.probabilities[real_rows], real_truth[real_rows], names
    )
    return on_real, balanced_accuracy(reading.probabilities[rows], asked[rows], names)


def _ratio(on_real: dict[str, float], made: dict[str, float], names: Sequence[str]) -> float:
    """Return how well generated images are read over real ones, by the attributes of both."""
    both = [n for n in names if not np.isnan(on_real[n] + made[n])]
    return mean_over(made, both) / mean_over(on_real, both)


def _interval(values: Sequence[float]) -> list[float]:
    """Return the 95 % percentile interval of bootstrap values; of nan where none is known."""
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return [float("nan"), float("nan")]
    return [float(value) for value in np.percentile(known, [2.5, 97.5])]


def _diversity(images: np.ndarray) -> float:
    """Return the mean absolute difference of random pairs, in [0, 255], at 32 pixels."""
    small = images.reshape(len(images), 32, images.shape[1] // 32, 32, -1, 3).mean(axis=(2, 4))
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, len(small), (2, 2000))
    differ = first != second
    return float(np.abs(small[first[differ]] - small[second[differ]]).mean())
