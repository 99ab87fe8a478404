"""Contract: training noises latents exactly as the sampler will take the noise away."""

import math

import pytest
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler

from msdm_core.msdm.presets import PRESETS, build_scheduler
from msdm_core.training.noise import TIME_SHIFTS, flow_noised, mixed_sigmas, noised
from msdm_core.training.randomness import step_random

SHAPE = (512, 2, 2, 2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def clean() -> torch.Tensor:
    return torch.randn(SHAPE, generator=generator(99))


def flow_scheduler(shift: float = 1.0) -> DPMSolverMultistepScheduler:
    return DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )


def variance_preserving(prediction: str) -> DPMSolverMultistepScheduler:
    settings = {**PRESETS["paper"].scheduler, "prediction_type": prediction}
    return DPMSolverMultistepScheduler(**settings)


def test_flow_inputs_lie_on_the_straight_path_and_the_target_is_its_direction() -> None:
    latents, noise = clean(), torch.randn(SHAPE, generator=generator(1))
    sigmas = torch.linspace(0.01, 0.99, len(latents))
    batch = flow_noised(latents, noise, sigmas)
    share = sigmas[:, None, None, None]
    torch.testing.assert_close(batch.inputs - share * batch.target, latents)
    torch.testing.assert_close(batch.inputs + (1 - share) * batch.target, noise)
    torch.testing.assert_close(batch.timesteps, sigmas * 1000)
    assert torch.equal(batch.weight, torch.ones(len(latents)))


def test_the_sampler_recovers_the_latents_from_a_true_flow_prediction() -> None:
    """Ties training to sampling: a denoiser that hit its target would give the picture back."""
    scheduler = build_scheduler(PRESETS["compact"])
    scheduler.set_timesteps(10)
    latents, noise = clean(), torch.randn(SHAPE, generator=generator(1))
    state = noise
    for time in scheduler.timesteps:
        state = scheduler.step(noise - latents, time, state, return_dict=False)[0]
    torch.testing.assert_close(state, latents, atol=2e-2, rtol=1e-2)


def test_the_sampler_asks_at_the_times_that_training_gave() -> None:
    scheduler = build_scheduler(PRESETS["compact"])
    scheduler.set_timesteps(10)
    expected = scheduler.sigmas[:-1] * 1000
    torch.testing.assert_close(scheduler.timesteps.float(), expected, atol=1.0, rtol=0)


def test_flow_times_are_logit_normal_and_half_of_them_are_moved_towards_noise() -> None:
    latents = torch.zeros(20_000, 1, 1, 1)
    times = noised(flow_scheduler(), latents, generator()).timesteps / 1000
    # The moved half is logit-normal around log 3.
    normal = torch.logit(times)
    assert float(normal.mean()) == pytest.approx(math.log(3) / 2, abs=0.03)
    assert float(normal.var()) == pytest.approx(1 + (math.log(3) / 2) ** 2, abs=0.05)


def test_larger_shifts_visit_high_noise_more_often() -> None:
    usual, moved = (
        mixed_sigmas(20_000, generator(), shifts) for shifts in (TIME_SHIFTS, (1.0, 3.0, 12.0))
    )
    assert float((usual > 0.95).float().mean()) == pytest.approx(0.0155, abs=0.005)
    # P(logit > log 19) of a normal around log 12, and of the other two.
    assert float((moved > 0.95).float().mean()) == pytest.approx(0.118, abs=0.01)
    # One shift for all is one logit-normal.
    logit = torch.logit(mixed_sigmas(20_000, generator(), (5.0,)))
    assert float(logit.mean()) == pytest.approx(math.log(5), abs=0.03)
    assert float(logit.var()) == pytest.approx(1, abs=0.05)


def test_the_times_of_training_do_not_hang_on_the_shift_of_the_sampler() -> None:
    plain = noised(flow_scheduler(), clean(), generator()).timesteps
    assert torch.equal(noised(flow_scheduler(shift=3.0), clean(), generator()).timesteps, plain)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_diffusion_inputs_are_what_the_scheduler_adds(prediction: str) -> None:
    latents = clean()
    batch = noised(variance_preserving(prediction), latents, generator(3))
    noise = torch.randn(SHAPE, generator=generator(3))
    published = DDPMScheduler(
        num_train_timesteps=1000, beta_start=0.002, beta_end=0.02, beta_schedule="scaled_linear"
    )
    expected = published.add_noise(latents, noise, batch.timesteps)
    torch.testing.assert_close(batch.inputs, expected)


def test_the_epsilon_target_is_the_noise_itself() -> None:
    batch = noised(variance_preserving("epsilon"), clean(), generator(3))
    assert torch.equal(batch.target, torch.randn(SHAPE, generator=generator(3)))


def test_the_velocity_target_gives_the_latents_back() -> None:
    """Salimans and Ho 2022, arXiv:2202.00512, appendix D: x = a z - s v."""
    scheduler, latents = variance_preserving("v_prediction"), clean()
    batch = noised(scheduler, latents, generator(3))
    alpha_bar = scheduler.alphas_cumprod[batch.timesteps][:, None, None, None]
    recovered = alpha_bar.sqrt() * batch.inputs - (1 - alpha_bar).sqrt() * batch.target
    torch.testing.assert_close(recovered, latents, atol=1e-4, rtol=1e-4)


def test_epsilon_weights_are_min_snr() -> None:
    """Hang et al. 2023, arXiv:2303.09556, section 3.4: min(snr, gamma) / snr."""
    scheduler = variance_preserving("epsilon")
    batch = noised(scheduler, clean(), generator(), min_snr_gamma=5.0)
    alpha_bar = scheduler.alphas_cumprod[batch.timesteps]
    snr = alpha_bar / (1 - alpha_bar)
    torch.testing.assert_close(batch.weight, torch.minimum(snr, torch.tensor(5.0)) / snr)
    assert batch.weight.max() == 1.0 and batch.weight.min() < 0.2


def test_diffusion_times_cover_the_whole_range() -> None:
    times = noised(variance_preserving("epsilon"), clean(), generator()).timesteps
    assert 0 <= times.min() < 30 and 970 < times.max() <= 999


def test_the_same_generator_gives_the_same_batch_and_another_another() -> None:
    first, again, other = (
        noised(flow_scheduler(), clean(), generator(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, other.inputs)


def test_random_sources_depend_on_seed_step_and_process_alone() -> None:
    def draw(seed: int, step: int, process: int = 0) -> tuple[float, float, float]:
        source = step_random(seed, step, process)
        return (
            float(torch.rand((), generator=source.torch)),
            float(source.numpy.random()),
            source.python.random(),
        )

    assert draw(1, 7) == draw(1, 7)
    drawn = [draw(1, 7), draw(2, 7), draw(1, 8), draw(1, 7, 1)]
    assert len({value for triple in drawn for value in triple}) == 12
