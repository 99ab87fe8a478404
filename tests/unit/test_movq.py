"""Contract: the movq is a stock VQModel whose encoder is a principal component analysis."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import VQModel

from msdm_core.kandinsky.linear_movq import linear_start
from msdm_core.kandinsky.presets import MOVQ, MOVQ_IMAGE_PX, MOVQS, build_movq
from msdm_core.msdm.autoencoder import decode, encode
from msdm_core.training.image_store import to_tensor
from msdm_core.training.losses import psnr
from tests.drawings import draw_scene, scenes
from tests.tiny_movq import TINY_MOVQ, TINY_MOVQ_IMAGE_PX


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    drawn = [np.asarray(draw_scene(scene, TINY_MOVQ_IMAGE_PX)) for scene in scenes()]
    return to_tensor(np.stack(drawn))


def build(**changes: Any) -> VQModel:
    arguments = TINY_MOVQ | changes
    torch.manual_seed(0)
    return VQModel(**arguments)


@pytest.fixture(scope="module")
def started(pictures: torch.Tensor) -> VQModel:
    model = build()
    linear_start(model, pictures)
    return model.eval()


def explicit_pca(images: torch.Tensor, patch_px: int, count: int) -> torch.Tensor:
    """Returns the images as their patches' leading principal components give them back."""
    cells = torch.nn.functional.pixel_unshuffle(images, patch_px)
    rows = cells.movedim(1, -1).flatten(0, -2).double()
    _, vectors = torch.linalg.eigh(rows.T @ rows)
    axes = vectors[:, -count:]
    kept = (rows @ axes @ axes.T).float().unflatten(0, (len(images), *cells.shape[-2:]))
    return torch.nn.functional.pixel_shuffle(kept.movedim(-1, 1), patch_px)


def read_out(model: VQModel, images: torch.Tensor, patch_px: int) -> torch.Tensor:
    """Returns the images as the best linear map of each latent gives them back."""
    cells = torch.nn.functional.pixel_unshuffle(images, patch_px)
    targets = cells.movedim(1, -1).flatten(0, -2).double()
    latents = encode(model, images)
    rows = latents.movedim(1, -1).flatten(0, -2).double()
    found = (rows @ torch.linalg.lstsq(rows, targets).solution).float()
    shaped = found.unflatten(0, (len(images), *latents.shape[-2:]))
    return torch.nn.functional.pixel_shuffle(shaped.movedim(-1, 1), patch_px)


def test_the_compact_movq_makes_32_by_16_by_16_of_256_pixels_and_takes_6_megabytes() -> None:
    with torch.device("meta"), torch.no_grad():
        model = build_movq()
        pictures = torch.empty(1, 3, MOVQ_IMAGE_PX, MOVQ_IMAGE_PX)
        latents = encode(model, pictures)
        assert decode(model, latents).shape == pictures.shape
    assert tuple(latents.shape) == (1, 32, 16, 16)
    assert type(model) is VQModel
    assert sum(p.numel() for p in model.parameters()) * 2 < 6.3e6


def test_the_compact_layout_carries_the_linear_path() -> None:
    torch.manual_seed(0)
    model = build_movq()
    linear_start(model, torch.rand(1, 3, 64, 64) * 2 - 1)
    assert "compact" in MOVQS and MOVQ["scaling_factor"] == 1.0


@torch.no_grad()
def test_the_latents_hold_what_principal_components_hold(
    started: VQModel, pictures: torch.Tensor
) -> None:
    held = psnr(read_out(started, pictures, 8), pictures).mean()
    best_linear = psnr(explicit_pca(pictures, 8, 8), pictures).mean()
    # A hierarchy of components keeps a little less than one analysis of whole patches.
    assert best_linear - 0.6 < held < best_linear + 0.01


@torch.no_grad()
def test_the_encoder_is_linear(started: VQModel, pictures: torch.Tensor) -> None:
    one, other = pictures[:1], pictures[1:2]
    mixed = encode(started, 0.3 * one + 0.7 * other)
    expected = 0.3 * encode(started, one) + 0.7 * encode(started, other)
    torch.testing.assert_close(mixed, expected, atol=5e-3, rtol=5e-3)


@torch.no_grad()
def test_latents_of_a_crop_on_the_grid_are_the_crop_of_the_latents(
    started: VQModel, pictures: torch.Tensor
) -> None:
    whole = encode(started, pictures[:2])
    part = encode(started, pictures[:2, :, 16:48, 8:40])
    torch.testing.assert_close(part, whole[:, :, 2:6, 1:5], atol=5e-3, rtol=5e-3)


@torch.no_grad()
@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_the_latents_have_mean_square_1_at_every_whitening(
    pictures: torch.Tensor, whitening: float
) -> None:
    model = build()
    linear_start(model, pictures, whitening=whitening)
    squares = encode(model, pictures).square().mean(dim=(0, 2, 3))
    assert float(squares.mean()) == pytest.approx(1.0, abs=0.02)
    if whitening == 1.0:
        torch.testing.assert_close(squares, torch.ones_like(squares), atol=0.02, rtol=0)
    else:
        assert squares[0] > 2 * squares[-1]


@torch.no_grad()
def test_half_precision_keeps_the_latents(started: VQModel, pictures: torch.Tensor) -> None:
    rounded = build()
    rounded.load_state_dict(started.state_dict())
    rounded.half().float()
    torch.testing.assert_close(
        encode(rounded, pictures), encode(started, pictures), atol=2e-2, rtol=0
    )


@torch.no_grad()
def test_the_start_reconstructs_far_better_than_random_weights(
    started: VQModel, pictures: torch.Tensor
) -> None:
    untrained = build()
    reconstructed = psnr(decode(started, encode(started, pictures)), pictures).mean()
    assert reconstructed > psnr(decode(untrained, encode(untrained, pictures)), pictures).mean() + 6


@torch.no_grad()
def test_decoding_is_what_the_stock_pipeline_does(
    started: VQModel, pictures: torch.Tensor
) -> None:
    """No scale, no codebook: `KandinskyV22Pipeline` decodes just so."""
    latents = encode(started, pictures[:1])
    expected = started.decode(latents, force_not_quantize=True)["sample"]
    assert torch.equal(decode(started, latents), expected)
    started.register_to_config(scaling_factor=0.18215)
    try:
        assert torch.equal(decode(started, encode(started, pictures[:1])), expected)
    finally:
        started.register_to_config(scaling_factor=1.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layers_per_block", 2),
        ("mid_block_add_attention", True),
        ("norm_num_groups", 8),
        ("block_out_channels", (16, 16, 48, 48)),
        ("block_out_channels", (16, 24, 32, 48)),
        ("vq_embed_dim", 4),
    ],
)
def test_a_layout_that_cannot_carry_the_linear_path_is_refused(
    pictures: torch.Tensor, name: str, value: Any
) -> None:
    with pytest.raises(ValueError, match="linear start needs"):
        linear_start(build(**{name: value}), pictures)
