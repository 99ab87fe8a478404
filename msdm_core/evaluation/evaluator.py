"""The evaluators: small networks that read attributes from images, one for each domain.

They are trained on real images alone and never take part in training or conditioning a generator.
Their features serve distances between sets of images; figures of different feature networks do not
compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch

from data.domains import Domain, Facts, get_domain
from msdm_core.errors import CheckpointError
from msdm_core.training.image_store import to_tensor

ATTRIBUTES: Final = MappingProxyType({
    "endoscopy": (
        "procedure:colonoscopy",
        "finding:polyp",
        "finding:ulcerative colitis",
        "finding:oesophagitis",
        "instrument",
        "box",
        "text",
    ),
    "radiology": (
        "modality:X-ray",
        "modality:ultrasound",
        "region:chest",
        "region:head",
        "region:abdomen",
        "view:anteroposterior",
        "finding:mass",
        "finding:malignant mass",
        "finding:pneumonia",
        "normal",
        "sex:male",
    ),
})  # fmt: skip
"""Domain -> what its evaluator reads: target names of the domain that enough images show."""

IMAGE_PX = 256


@dataclass(frozen=True, slots=True)
class Reading:
    """What the evaluator sees in N images.

    Attributes:
        probabilities: (N, K) float32 in [0, 1], one column for each of `attributes_of`.
        features: (N, D) float32, the pooled features before the last layer.
    """

    probabilities: np.ndarray
    features: np.ndarray


def truths(facts: Sequence[Facts], names: Sequence[str]) -> np.ndarray:
    """Return (N, K) float32: 1 present, 0 absent, nan unknown, what is not mentioned absent."""
    return _as_array([entry.targets(closed_world=True) for entry in facts], names)


def stated(facts: Sequence[Facts], names: Sequence[str]) -> np.ndarray:
    """Return (N, K) float32: 1 stated or implied, 0 denied, nan where nothing is said."""
    return _as_array([entry.targets() for entry in facts], names)


def _as_array(rows: Sequence[Mapping[str, bool | None]], names: Sequence[str]) -> np.ndarray:
    values = {True: 1.0, False: 0.0, None: np.nan}
    return np.array([[values[row[n]] for n in names] for row in rows], dtype=np.float32)


def attributes_of(model: Any) -> tuple[str, ...]:
    """Return what an evaluator reads, in the order of its outputs."""
    return tuple(model.config.id2label[index] for index in range(model.config.num_labels))


def domain_of(model: Any) -> Domain:
    """Return the domain whose images an evaluator from `load_evaluator` reads."""
    names = attributes_of(model)
    return get_domain(next(name for name, read in ATTRIBUTES.items() if read == names))


def build_evaluator(names: Sequence[str] = ATTRIBUTES["endoscopy"]) -> Any:
    """Return a freshly initialised network: a small ResNet (He et al. 2015, arXiv:1512.03385).

    Args:
        names: What it is to read.
    """
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        embedding_size=32,
        hidden_sizes=[32, 64, 128, 256],
        depths=[1, 2, 2, 2],
        layer_type="basic",
        downsample_in_first_stage=True,
        problem_type="multi_label_classification",
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )
    return ResNetForImageClassification(config)


def load_evaluator(folder: Path) -> Any:
    """Return the network of a folder, in float32 and eval mode.

    Raises:
        CheckpointError: It does not load, or reads other attributes.
    """
    from transformers import ResNetForImageClassification

    try:
        model = ResNetForImageClassification.from_pretrained(folder, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"No evaluator loads from {folder}: {error}") from error
    labels = attributes_of(model)
    if labels not in ATTRIBUTES.values():
        known = "; or ".join(f"of {name} {', '.join(read)}" for name, read in ATTRIBUTES.items())
        raise CheckpointError(
            f"The evaluator in {folder} reads {', '.join(labels)}; this version needs {known}."
        )
    return model.eval().requires_grad_(False)


@torch.no_grad()
def read_images(model: Any, images: np.ndarray, batch_size: int = 32) -> Reading:
    """Return what the evaluator sees.

    Args:
        model: From `load_evaluator`.
        images: (N, 256, 256, 3) uint8.
        batch_size: Images at once.
    """
    probabilities, features = [], []
    device = next(model.parameters()).device
    for start in range(0, len(images), batch_size):
        batch = to_tensor(images[start : start + batch_size]).to(device)
        pooled = model.resnet(batch).pooler_output
        features.append(pooled.flatten(1).cpu().numpy())
        probabilities.append(torch.sigmoid(model.classifier(pooled)).cpu().numpy())
    return Reading(np.concatenate(probabilities), np.concatenate(features))


def balanced_accuracy(
    probabilities: np.ndarray, truth: np.ndarray, names: Sequence[str]
) -> dict[str, float]:
    """Return, for each attribute, the mean of sensitivity and specificity at 0.5.

    Args:
        probabilities: (N, K).
        truth: (N, K) of 1, 0 and nan (left out).
        names: Of the K attributes.

    Returns:
        Attribute -> balanced accuracy; nan where a class is absent. "mean" is over the rest.
    """
    figures: dict[str, float] = {}
    for index, name in enumerate(names):
        seen, asked = probabilities[:, index] >= 0.5, truth[:, index]
        present, absent = asked == 1, asked == 0
        if present.any() and absent.any():
            figures[name] = float((seen[present].mean() + (~seen[absent]).mean()) / 2)
        else:
            figures[name] = float("nan")
    figures["mean"] = mean_over(figures, names)
    return figures


def mean_over(figures: Mapping[str, float], names: Sequence[str]) -> float:
    """Return the mean of the named figures that are known; nan where none is."""
    known = [figures[name] for name in names if not np.isnan(figures[name])]
    return float(np.mean(known)) if known else float("nan")
