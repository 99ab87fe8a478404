"""Contract: the power spectrum tells at which scale detail is missing."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from msdm_core.evaluation.spectrum import octave_powers, octave_ratios, octaves, power_spectrum

SIZE_PX = 64


def noise_images(count: int = 8, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(128, 25, (count, SIZE_PX, SIZE_PX, 1))
    return np.repeat(values.clip(0, 255), 3, axis=3).astype(np.uint8)


def blurred(images: np.ndarray, radius_px: float) -> np.ndarray:
    softened = [Image.fromarray(i).filter(ImageFilter.GaussianBlur(radius_px)) for i in images]
    return np.stack([np.asarray(i) for i in softened])


def wave(cycles: int) -> np.ndarray:
    phase = 2 * np.pi * cycles * np.arange(SIZE_PX) / SIZE_PX
    row = (128 + 60 * np.sin(phase)).astype(np.uint8)
    return np.broadcast_to(row[None, None, :, None], (1, SIZE_PX, SIZE_PX, 3))


def test_octaves_double_up_to_half_the_side() -> None:
    assert octaves(64) == [(1, 2), (2, 4), (4, 8), (8, 16), (16, 32)]
    assert octaves(256)[-1] == (64, 128)


def test_white_noise_is_flat() -> None:
    powers = octave_powers(noise_images(32))[1:]
    assert powers.max() / powers.min() < 1.25


def test_the_power_of_white_noise_is_its_variance_times_the_window() -> None:
    sigma = 25 / 255
    window = np.outer(np.hanning(SIZE_PX), np.hanning(SIZE_PX))
    expected = sigma**2 * (window**2).sum()
    assert power_spectrum(noise_images(32))[8:].mean() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("cycles", [4, 10, 25])
def test_a_wave_peaks_at_its_own_frequency(cycles: int) -> None:
    assert int(power_spectrum(wave(cycles)).argmax()) + 1 == cycles


def test_blur_takes_the_finest_octave_and_spares_the_coarsest() -> None:
    real = noise_images(16)
    ratios = octave_ratios(blurred(real, 1.0), real)
    assert ratios[-1] < 0.2
    assert ratios[0] == pytest.approx(1.0, abs=0.1)
    assert list(ratios) == sorted(ratios, reverse=True)


def test_a_factor_of_three_in_power_is_seen() -> None:
    real = noise_images(16)
    weaker = (128 + (real.astype(float) - 128) / np.sqrt(3)).round().astype(np.uint8)
    assert octave_ratios(weaker, real) == pytest.approx(1 / 3, rel=0.1)


def test_the_same_images_have_ratio_one() -> None:
    real = noise_images(4)
    assert octave_ratios(real, real) == pytest.approx(1.0)


def test_brightness_alone_has_no_power() -> None:
    assert power_spectrum(np.full((1, SIZE_PX, SIZE_PX, 3), 200, np.uint8)).max() < 1e-12


def test_the_spectrum_is_the_mean_over_the_images() -> None:
    one, other = noise_images(1, seed=1), noise_images(1, seed=2)
    both = power_spectrum(np.concatenate([one, other]))
    assert both == pytest.approx((power_spectrum(one) + power_spectrum(other)) / 2)
