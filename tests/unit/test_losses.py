"""Contract: losses are what their sources define, and the texture loss asks for detail."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from msdm_core.training.losses import (
    haar_bands,
    psnr,
    structural_similarity,
    texture_energy_loss,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def blurred(images: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(images, 5, 1, 2)


def test_the_haar_transform_keeps_energy() -> None:
    images = noise(2, 3, 16, 16)
    low, details = haar_bands(images)
    energy = low.square().sum() + details.square().sum()
    torch.testing.assert_close(energy, images.square().sum())


def test_the_haar_bands_of_a_known_cell_are_as_computed_by_hand() -> None:
    low, details = haar_bands(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]))
    assert low.flatten().tolist() == [6.0]
    assert details.flatten().tolist() == [-2.0, -3.0, 1.0]


def test_a_flat_picture_has_no_detail() -> None:
    low, details = haar_bands(torch.full((1, 3, 8, 8), 0.25))
    assert details.abs().max() == 0
    assert torch.equal(low, torch.full((1, 3, 4, 4), 0.5))


def test_detail_bands_stay_with_their_own_channel() -> None:
    images = torch.zeros(1, 3, 8, 8)
    images[:, 1] = noise(8, 8)
    _, details = haar_bands(images)
    assert details[:, 3:6].abs().max() > 0.1
    assert details[:, :3].abs().max() == details[:, 6:].abs().max() == 0


def test_equal_pictures_have_no_loss() -> None:
    images = noise(2, 3, 64, 64)
    assert texture_energy_loss(images, images) == 0
    assert structural_similarity(images, images) == pytest.approx(1.0)


def test_blur_costs_texture_and_other_detail_of_the_same_strength_does_not() -> None:
    target = 0.3 * noise(2, 3, 64, 64)
    other = 0.3 * noise(2, 3, 64, 64, seed=1)
    soft = texture_energy_loss(blurred(target), target)
    moved = texture_energy_loss(other, target)
    assert soft > 4 * moved


def test_a_pixel_loss_prefers_the_blur_that_the_texture_loss_refuses() -> None:
    target, other = 0.3 * noise(1, 3, 64, 64), 0.3 * noise(1, 3, 64, 64, seed=1)
    assert (blurred(target) - target).abs().mean() < (other - target).abs().mean()


def test_the_texture_loss_pulls_detail_out_of_a_flat_picture() -> None:
    target = 0.3 * noise(1, 3, 64, 64)
    image = (0.01 * noise(1, 3, 64, 64, seed=2)).requires_grad_()
    texture_energy_loss(image, target).backward()
    assert image.grad is not None
    stronger = (image - 0.5 * image.grad / image.grad.norm() * image.norm()).detach()
    assert stronger.std() > image.std()


@given(shift=st.floats(0.01, 1.0))
@settings(max_examples=25, deadline=None)
def test_psnr_of_a_constant_shift_is_its_definition(shift: float) -> None:
    target = torch.full((1, 3, 8, 8), -0.5)
    got = psnr(target + shift, target)
    assert float(got) == pytest.approx(20 * math.log10(2.0 / shift), abs=1e-3)


def test_psnr_is_one_figure_a_picture_and_clips_what_no_screen_shows() -> None:
    target = torch.ones(2, 3, 8, 8)
    images = target.clone()
    images[0] += 3.0
    images[1] -= 0.5
    figures = psnr(images, target)
    assert figures[0] > 100
    assert figures[1] == pytest.approx(20 * math.log10(4.0), abs=1e-3)


def test_structural_similarity_falls_with_noise_and_is_low_for_strangers() -> None:
    target = blurred(noise(2, 3, 64, 64))
    target = target / target.abs().max()
    little = structural_similarity(target + 0.02 * noise(2, 3, 64, 64, seed=1), target)
    much = structural_similarity(target + 0.2 * noise(2, 3, 64, 64, seed=1), target)
    stranger = structural_similarity(blurred(noise(2, 3, 64, 64, seed=3)), target)
    assert 1 > little > much > stranger
    assert abs(stranger) < 0.2


def test_structural_similarity_of_opposites_is_negative() -> None:
    side = torch.arange(64)
    board = ((side[:, None] + side) % 2 - 0.5).expand(1, 3, 64, 64)
    assert structural_similarity(-board, board) < -0.9
