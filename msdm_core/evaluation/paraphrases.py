"""The figures of the 2025 MEDVQA-GI evaluator: fidelity, agreement, diversity, Frechet distance.

Each prompt is said in two ways, A and B, and several images are made of both. Source: the official
evaluator of ImageCLEFmed MEDVQA-GI 2025, which uses the features of a BiomedCLIP ViT-B/16; figures
of other networks do not compare with published ones.
"""

from __future__ import annotations

import random

import numpy as np

from data.domains import ENDOSCOPY, Domain, Facts
from msdm_core.errors import RequestError
from msdm_core.evaluation.distribution import feature_diversity, frechet_distance, unit_length

LEAST_IMAGES = 2
TRIES = 50


def two_wordings(
    attributes: Facts, seed: int, domain: Domain = ENDOSCOPY
) -> tuple[str, str]:
    """Return two texts that say the same in different words; equal where there is one way only.

    Args:
        attributes: What both say.
        seed: Of the wording.
        domain: Whose language they are in.
    """
    rng = random.Random(seed)
    first = second = domain.say(attributes, rng)
    for _ in range(TRIES):
        second = domain.say(attributes, rng)
        if second != first and domain.read(second) == domain.read(first):
            return first, second
    return first, first


def paraphrase_figures(
    first: np.ndarray, second: np.ndarray, real: np.ndarray
) -> dict[str, float]:
    """Return what the official evaluator calls fidelity, agreement, diversity and FBD.

    Args:
        first:  (P, n, D) features of n images of each of P prompts, in wording A.
        second: (P, n, D), in wording B.
        real:   (R, D) features of real images.

    Returns:
        "fidelity": mean over prompts of 1000 / (1 + d), d the mean Frechet distance of the
        prompt's A and B to the real images; "agreement": mean cosine of A's and B's images of a
        prompt, -1 to 1; "diversity": mean distance of unit features within a prompt's A and within
        its B, 0 to 2; "fbd": Frechet distance of all images to the real ones.

    Raises:
        RequestError: Fewer than two images of a wording, or of real ones.
    """
    if first.shape != second.shape or first.shape[1] < LEAST_IMAGES or len(real) < LEAST_IMAGES:
        raise RequestError(
            f"{first.shape[1]} and {second.shape[1]} images a prompt and {len(real)} real ones; "
            f"at least {LEAST_IMAGES} of each and as many of both wordings are needed."
        )
    fidelity, agreement, diversity = [], [], []
    for of_first, of_second in zip(first, second, strict=True):
        distance = (frechet_distance(real, of_first) + frechet_distance(real, of_second)) / 2
        fidelity.append(1000 / (1 + distance))
        agreement.append(float((unit_length(of_first) @ unit_length(of_second).T).mean()))
        diversity.append((feature_diversity(of_first) + feature_diversity(of_second)) / 2)
    width = first.shape[-1]
    everything = np.concatenate([first.reshape(-1, width), second.reshape(-1, width)])
    return {
        "fidelity": float(np.mean(fidelity)),
        "agreement": float(np.mean(agreement)),
        "diversity": float(np.mean(diversity)),
        "fbd": frechet_distance(real, everything),
    }
