"""Contract: a reader of places finds where a polyp was drawn, and comes back as it was saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data.attributes import Attributes
from data.grid import CELLS
from msdm_core.errors import CheckpointError, TrainingError
from msdm_core.evaluation.evaluator import build_evaluator
from msdm_core.evaluation.position import (
    PolypLocator,
    asked_cells,
    fit_polyp_locator,
    position_figures,
)


def pictures(count: int, seed: int) -> tuple[np.ndarray, list[Attributes]]:
    """Grey pictures with a red disc in one cell."""
    rng = np.random.default_rng(seed)
    images = rng.integers(100, 130, (count, 256, 256, 3), dtype=np.uint8)
    stated = []
    for image in images:
        cell = int(rng.integers(9))
        row, column = divmod(cell, 3)
        top, left = int(row * 85 + 20), int(column * 85 + 20)
        image[top : top + 45, left : left + 45] = (220, 40, 40)
        stated.append(Attributes(findings=("polyp",), finding_cells=(CELLS[cell],)))
    return images, stated


def test_a_fitted_reader_finds_polyps_in_images_it_has_not_seen(tmp_path: Path) -> None:
    torch.manual_seed(0)
    evaluator = build_evaluator().eval()
    images, stated = pictures(90, seed=0)
    locator = fit_polyp_locator(evaluator, images, stated)
    unseen, truth = pictures(30, seed=1)
    logits = locator.logits(evaluator, unseen)
    figures = position_figures(logits, asked_cells(truth))
    assert figures["hit_rate"] > 0.85
    assert figures["chance"] == pytest.approx(1 / 9)
    locator.save(tmp_path)
    np.testing.assert_array_equal(PolypLocator.load(tmp_path).logits(evaluator, unseen), logits)


def test_images_without_a_place_do_not_count() -> None:
    asked = asked_cells([
        Attributes(findings=("polyp",), finding_cells=("center",)),
        Attributes(findings=("polyp",)),
        Attributes(findings=("ulcerative colitis",), finding_cells=("center",)),
        Attributes(findings=("polyp",), finding_cells=CELLS),
    ])  # fmt: skip
    figures = position_figures(np.eye(9)[[4, 0, 0, 0]], asked)
    assert figures == {"images": 1, "hit_rate": 1.0, "chance": pytest.approx(1 / 9)}
    assert np.isnan(position_figures(np.zeros((1, 9)), asked[1:2])["hit_rate"])


def test_too_few_images_with_a_place_are_refused_with_their_number() -> None:
    images, stated = pictures(5, seed=0)
    with pytest.raises(TrainingError, match="5 images"):
        fit_polyp_locator(build_evaluator().eval(), images, stated)


def test_a_missing_or_damaged_reader_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="polyp_locator"):
        PolypLocator.load(tmp_path)
    (tmp_path / "polyp_locator.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="train polyp-locator"):
        PolypLocator.load(tmp_path)
