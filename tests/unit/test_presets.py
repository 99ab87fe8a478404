"""Contract: presets build stock models of the sizes they promise, and a linear start is a PCA."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderDC, UNet2DConditionModel

from msdm_core.errors import TrainingError
from msdm_core.msdm.autoencoder import decode, encode
from msdm_core.msdm.linear_autoencoder import linear_start
from msdm_core.msdm.presets import (
    PRESETS,
    build_autoencoder,
    build_denoiser,
    build_scheduler,
    get_preset,
)
from msdm_core.training.image_store import to_tensor
from msdm_core.training.losses import psnr
from tests.drawings import draw_scene, scenes
from tests.tiny_model import TINY

CLINICAL_BERT_WIDTH = 768
PUBLISHED_DENOISER = 326.5e6
PUBLISHED_AUTOENCODER = 13.37e6


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    drawn = [np.asarray(draw_scene(scene, TINY.image_px)) for scene in scenes()]
    return to_tensor(np.stack(drawn))


@pytest.fixture(scope="module")
def started(pictures: torch.Tensor) -> AutoencoderDC:
    torch.manual_seed(0)
    model = build_autoencoder(TINY)
    linear_start(model, pictures, whitening=1.0)
    return model.eval()


def test_the_paper_denoiser_has_about_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = build_denoiser(PRESETS["paper"], CLINICAL_BERT_WIDTH)
    assert parameters(model) == pytest.approx(PUBLISHED_DENOISER, rel=0.06)


def test_the_paper_autoencoder_has_about_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = build_autoencoder(PRESETS["paper"])
    assert parameters(model) == pytest.approx(PUBLISHED_AUTOENCODER, rel=0.03)


def test_the_paper_latents_are_8_by_32_by_32() -> None:
    with torch.device("meta"), torch.no_grad():
        latents = encode(build_autoencoder(PRESETS["paper"]), torch.empty(1, 3, 256, 256))
    assert tuple(latents.shape) == (1, 8, 32, 32)


def test_the_paper_denoiser_attends_to_the_text_at_sides_32_16_and_8() -> None:
    with torch.device("meta"), torch.no_grad():
        model = build_denoiser(PRESETS["paper"], CLINICAL_BERT_WIDTH)
        sides: set[int] = set()
        for name, module in model.named_modules():
            if name.endswith("attn2"):
                module.register_forward_hook(
                    lambda _m, args, _out: sides.add(round(args[0].shape[1] ** 0.5))
                )
        model(
            torch.empty(1, 8, 32, 32),
            torch.empty(1),
            encoder_hidden_states=torch.empty(1, 5, CLINICAL_BERT_WIDTH),
            class_labels=torch.empty(1, CLINICAL_BERT_WIDTH),
        )
    assert sides == {32, 16, 8}


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_fits_together(name: str) -> None:
    """Latents of its autoencoder are what its denoiser takes and gives, at its picture size."""
    preset = PRESETS[name]
    with torch.device("meta"), torch.no_grad():
        autoencoder = build_autoencoder(preset)
        denoiser = build_denoiser(preset, 64)
        pictures = torch.empty(2, 3, preset.image_px, preset.image_px)
        latents = encode(autoencoder, pictures)
        predicted = denoiser(
            latents,
            torch.empty(2),
            encoder_hidden_states=torch.empty(2, 3, 64),
            class_labels=torch.empty(2, 64),
        ).sample
        assert decode(autoencoder, latents).shape == pictures.shape
    assert predicted.shape == latents.shape
    assert latents.shape[-1] == preset.denoiser["sample_size"]
    assert isinstance(denoiser, UNet2DConditionModel)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_text_of_a_preset_fits_its_encoder(name: str) -> None:
    encoder = PRESETS[name].text_encoder
    positions = 512 if isinstance(encoder, str) else encoder["max_position_embeddings"]
    assert 0 < PRESETS[name].text_tokens <= positions


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_sampler_of_a_preset_runs_its_default_steps(name: str) -> None:
    preset = PRESETS[name]
    scheduler = build_scheduler(preset)
    scheduler.set_timesteps(preset.default_steps)
    times = scheduler.timesteps.tolist()
    assert len(times) == preset.default_steps
    assert times == sorted(times, reverse=True)
    assert 0 <= times[-1] < times[0] <= 1000


def test_the_compact_checkpoint_stays_under_30_megabytes_in_half_precision() -> None:
    preset = PRESETS["compact"]
    assert isinstance(preset.text_encoder, dict)
    width = preset.text_encoder["hidden_size"]
    with torch.device("meta"):
        count = parameters(build_autoencoder(preset)) + parameters(build_denoiser(preset, width))
    words, layers = 1200, preset.text_encoder["num_hidden_layers"]
    count += words * width + layers * 12 * width**2  # a transformer layer has at most 12 width^2
    assert count * 2 < 30e6


def test_an_unknown_preset_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(TrainingError, match=r"'huge'.*compact.*paper"):
        get_preset("huge")


def explicit_pca(images: torch.Tensor, patch_px: int, count: int) -> torch.Tensor:
    """Returns the images as their patches' leading principal components give them back."""
    cells = torch.nn.functional.pixel_unshuffle(images, patch_px)
    rows = cells.movedim(1, -1).flatten(0, -2).double()
    _, vectors = torch.linalg.eigh(rows.T @ rows)
    axes = vectors[:, -count:]
    kept = (rows @ axes @ axes.T).float().unflatten(0, (len(images), *cells.shape[-2:]))
    return torch.nn.functional.pixel_shuffle(kept.movedim(-1, 1), patch_px)


@torch.no_grad()
def test_a_linear_start_reconstructs_as_well_as_principal_components(
    started: AutoencoderDC, pictures: torch.Tensor
) -> None:
    reconstructed = psnr(decode(started, encode(started, pictures)), pictures).mean()
    best_linear = psnr(explicit_pca(pictures, 8, 8), pictures).mean()
    # A hierarchy of components keeps a little less than one analysis of whole patches.
    assert reconstructed > best_linear - 0.6
    torch.manual_seed(0)
    untrained = build_autoencoder(TINY)
    assert reconstructed > psnr(decode(untrained, encode(untrained, pictures)), pictures).mean() + 6


@torch.no_grad()
def test_a_linear_start_is_linear(started: AutoencoderDC, pictures: torch.Tensor) -> None:
    one, other = pictures[:1], pictures[1:2]
    mixed = encode(started, 0.3 * one + 0.7 * other)
    expected = 0.3 * encode(started, one) + 0.7 * encode(started, other)
    torch.testing.assert_close(mixed, expected, atol=2e-4, rtol=1e-3)


@torch.no_grad()
def test_whitening_1_gives_every_latent_channel_mean_square_1(
    started: AutoencoderDC, pictures: torch.Tensor
) -> None:
    squares = encode(started, pictures).square().mean(dim=(0, 2, 3))
    torch.testing.assert_close(squares, torch.ones_like(squares), atol=2e-3, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("whitening", [0.0, 0.5])
def test_less_whitening_keeps_leading_channels_stronger_at_mean_square_1(
    pictures: torch.Tensor, whitening: float
) -> None:
    torch.manual_seed(0)
    model = build_autoencoder(TINY)
    linear_start(model, pictures, whitening=whitening)
    squares = encode(model, pictures).square().mean(dim=(0, 2, 3))
    assert float(squares.mean()) == pytest.approx(1.0, abs=2e-3)
    assert squares.tolist() == sorted(squares.tolist(), reverse=True)
    assert squares[0] > 2 * squares[-1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder_layers_per_block", [1, 1, 1, 1]),
        ("decoder_layers_per_block", [0, 1, 0, 1]),
        ("downsample_block_type", "pixel_unshuffle"),
        ("upsample_block_type", "interpolate"),
    ],
)
def test_a_layout_that_cannot_carry_the_linear_path_is_refused(
    pictures: torch.Tensor, name: str, value: Any
) -> None:
    preset = dataclasses.replace(TINY, autoencoder={**TINY.autoencoder, name: value})
    with pytest.raises(ValueError, match="linear start needs"):
        linear_start(build_autoencoder(preset), pictures)
