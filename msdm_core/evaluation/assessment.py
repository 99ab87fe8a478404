"""All that is measured of one set of generated images, gathered into one report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.domains import ENDOSCOPY, Domain
from msdm_core.errors import CheckpointError
from msdm_core.evaluation.distribution import (
    half_sample_error,
    inception_score,
    joint_logits,
    unit_length,
)
from msdm_core.evaluation.evaluate import PromptCase, measure, spectrum_figures
from msdm_core.evaluation.evaluator import domain_of, load_evaluator, read_images
from msdm_core.evaluation.features import ClipFeatures, load_clip, load_features, require_same_size
from msdm_core.evaluation.material import RealImages
from msdm_core.evaluation.measures import memorisation, set_figures, with_interval
from msdm_core.evaluation.nearest import Nearest
from msdm_core.evaluation.paraphrases import paraphrase_figures
from msdm_core.evaluation.position import PolypLocator, asked_cells, position_figures


@dataclass(frozen=True, slots=True)
class Wordings:
    """Images of prompts that are each said in two ways.

    Attributes:
        first: (P, n, S, S, 3) uint8, n images of each prompt in wording A.
        second: (P, n, S, S, 3) uint8, in wording B.
    """

    first: np.ndarray
    second: np.ndarray


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was measured.

    Attributes:
        figures: As `report.write_report` takes them.
        nearest: The nearest training image of each generated one, by the first network's features.
    """

    figures: dict[str, Any]
    nearest: Nearest


def assess(
    made: np.ndarray,
    cases: Sequence[PromptCase] | None,
    real: RealImages,
    evaluator_folder: Path,
    *,
    networks: Sequence[str] = ("evaluator",),
    clip: str = "",
    closed_world: bool = False,
    wordings: Wordings | None = None,
    domain: Domain = ENDOSCOPY,
) -> Assessment:
    """Return the figures of generated images beside real ones.

    Args:
        made: (N, S, S, 3) uint8.
        cases: What was asked for, None where that is unknown.
        real: Real images in two parts.
        evaluator_folder: Of the evaluator and of its reader of places, where there is one.
        networks: Feature networks, see `load_features`; the first one finds nearest images.
        clip: A CLIP-like model for the CLIP score; empty for none.
        closed_world: What a prompt does not mention is absent.
        wordings: Images for the figures of the 2025 MEDVQA-GI evaluator.
        domain: Of the images. Where the evaluator is of another one, what it reads is left out.

    Raises:
        CoreError: A network does not load, or there are too few images.
    """
    require_same_size(real.held_out_images, made)
    figures: dict[str, Any] = {
        "images": len(made),
        "real_images": len(real.held_out),
        "reference_images": len(real.reference),
    }
    if domain is not ENDOSCOPY:
        figures["domain"] = domain.name
    evaluator = load_evaluator(evaluator_folder)
    if domain_of(evaluator) is domain:
        figures |= _read_figures(
            evaluator, made, cases, real, evaluator_folder, closed_world=closed_world
        )
    else:
        figures["evaluator_domain"] = domain_of(evaluator).name
    figures["distributions"] = {}
    nearest = None
    for name in networks:
        network = load_features(name, evaluator_folder)
        _say(f"features of {network.name}")
        of_reference, of_held_out, of_made = (
            network.features(part)
            for part in (real.reference_images, real.held_out_images, made)
        )
        figures["distributions"][network.name] = set_figures(of_reference, of_made, of_held_out)
        if nearest is None:
            _say("nearest training images")
            figures["memorisation"], nearest = memorisation(
                (of_reference, real.reference_images), real.groups,
                (of_made, made), (of_held_out, real.held_out_images),
            )  # fmt: skip
            if wordings is not None:
                figures["paraphrases"] = _paraphrases(network, wordings, of_reference)
    if clip and cases is not None:
        _say(f"CLIP score by {clip}")
        figures["clip_score"] = _clip_scores(load_clip(clip), made, cases, real)
    figures |= spectrum_figures(made, real.held_out_images)
    if nearest is None:
        raise CheckpointError("No feature network is named.")
    return Assessment(figures, nearest)


def _read_figures(
    evaluator: Any,
    made: np.ndarray,
    cases: Sequence[PromptCase] | None,
    real: RealImages,
    folder: Path,
    *,
    closed_world: bool,
) -> dict[str, Any]:
    """Return what the evaluator reads."""
    figures: dict[str, Any] = {}
    if cases is not None and real.has_captions:
        figures |= measure(
            evaluator, made, cases, real.held_out_images, real.held_out, closed_world=closed_world
        )
    figures["inception_score"] = _inception_scores(evaluator, made, real.held_out_images)
    if cases is not None:
        figures |= _positions(evaluator, folder, made, cases, real)
    return figures


def _say(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr, flush=True)


def _inception_scores(evaluator: Any, made: np.ndarray, held_out: np.ndarray) -> dict[str, float]:
    """Return the scores of as many generated as real images."""
    count = min(len(made), len(held_out))
    logits = (joint_logits(read_images(evaluator, part[:count]).probabilities)
              for part in (made, held_out))
    return dict(zip(("generated", "real"), map(inception_score, logits), strict=True))


def _positions(
    evaluator: Any, folder: Path, made: np.ndarray, cases: Sequence[PromptCase], real: RealImages
) -> dict[str, Any]:
    try:
        locator = PolypLocator.load(folder)
    except CheckpointError:
        return {}  # an evaluator of one's own need not have a reader of places
    found = {"generated": position_figures(
        locator.logits(evaluator, made), asked_cells([case.facts for case in cases])
    )}  # fmt: skip
    if real.has_captions:
        read = domain_of(evaluator).read
        stated = asked_cells([read(record.captions) for record in real.held_out])
        found["real"] = position_figures(locator.logits(evaluator, real.held_out_images), stated)
    return {"position": found}


def _paraphrases(network: Any, wordings: Wordings, reference: np.ndarray) -> dict[str, Any]:
    prompts, each = wordings.first.shape[:2]
    first, second = (
        network.features(images.reshape(-1, *images.shape[2:])).reshape(prompts, each, -1)
        for images in (wordings.first, wordings.second)
    )
    return {
        "network": network.name, "prompts": prompts, "images": each,
        **paraphrase_figures(first, second, reference),
    }  # fmt: skip


def _clip_scores(
    network: ClipFeatures, made: np.ndarray, cases: Sequence[PromptCase], real: RealImages
) -> dict[str, Any]:
    """Return 100 times the mean cosine of images and texts, negative ones counted as 0.

    Source: Hessel et al. 2021, arXiv:2104.08718, with the factor of torchmetrics.
    """
    scores = {"generated": _scores(network, made, [case.prompt for case in cases])}
    if real.has_captions:
        captions = [record.captions[0] for record in real.held_out]
        scores["real"] = _scores(network, real.held_out_images, captions)
    figures: dict[str, Any] = {"network": network.name}
    for name, values in scores.items():
        error = half_sample_error(lambda part: float(part.mean()), (values,))
        figures[name] = with_interval(float(values.mean()), error, 0.0, 100.0)
    return figures


def _scores(network: ClipFeatures, images: np.ndarray, texts: list[str]) -> np.ndarray:
    of_images, of_texts = network.features(images), network.text_features(texts)
    cosines = (unit_length(of_images) * unit_length(of_texts)).sum(axis=1)
    return np.asarray(np.maximum(100 * cosines, 0))
