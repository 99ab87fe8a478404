"""Contract: `train sampler` sets how a checkpoint is sampled, and the stock classes follow it.

Folders are copies of the shipped checkpoints; what is told to a denoiser is read at its own door.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from msdm_core.__main__ import main
from msdm_core.generation.adapters import make_adapter
from msdm_core.generation.catalogue import Catalogue
from msdm_core.generation.request import check_image_request
from msdm_core.generation.weights import WeightsSource
from msdm_core.msdm.pipeline import MSDMPipeline
from msdm_core.msdm.presets import build_guide
from tests.tiny_model import TINY

CHECKPOINTS = Path(__file__).parents[2] / "data" / "checkpoints"
DENOISERS = {"msdm": "unet", "flux": "transformer", "kandinsky": "unet"}
UNITS = {"msdm": 1, "flux": 1000, "kandinsky": 1}  # FLUX counts to 1, the others to 1,000


def copied(name: str, tmp_path: Path) -> Path:
    folder = tmp_path / name
    shutil.copytree(CHECKPOINTS / f"{name}-compact-gi", folder)
    return folder


def set_sampler(folder: Path, *options: object) -> int:
    return main(["train", "sampler", "--model", str(folder), *map(str, options)])


def told_timesteps(name: str, folder: Path) -> tuple[list[float], list[float]]:
    """Return what the denoiser is told at each step, and the noise that there is."""
    from dataclasses import replace

    entry = Catalogue.read()[f"{name}-compact-gi"]
    entry = replace(entry, weights=WeightsSource(path=str(folder)), prior=None)
    adapter: Any = make_adapter(entry, threads=1)
    adapter.load()
    pipe = next(p for p in adapter._pipelines.values() if hasattr(p, DENOISERS[name]))
    told: list[float] = []

    def seen(_module: object, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        time = options["timestep"] if "timestep" in options else arguments[1]
        told.append(float(torch.as_tensor(time).flatten()[0]) * UNITS[name])

    hook = getattr(pipe, DENOISERS[name]).register_forward_pre_hook(seen, with_kwargs=True)
    adapter.generate(check_image_request(entry, "a polyp", seed=1, steps=3, guidance=1),
                     lambda *_: None)  # fmt: skip
    hook.remove()
    return told, [float(s) for s in pipe.scheduler.sigmas]


@pytest.mark.slow
@pytest.mark.parametrize("name", DENOISERS)
def test_a_denoiser_is_told_of_the_share_of_the_noise_that_was_set(
    name: str, tmp_path: Path
) -> None:
    folder = copied(name, tmp_path)
    for share in (1.0, 0.9):
        assert set_sampler(folder, "--told-noise", share) == 0
        told, sigmas = told_timesteps(name, folder)
        assert len(told) == 3
        assert told == pytest.approx([1000 * share * s for s in sigmas[:3]], rel=2e-3)
        assert sigmas[0] > 0.98  # the noise itself stays what it was


def test_default_steps_and_guidance_are_those_of_the_pipeline(tmp_path: Path) -> None:
    folder = copied("msdm", tmp_path)
    assert set_sampler(folder, "--steps", 7, "--guidance", 1.5) == 0
    index = json.loads((folder / "model_index.json").read_text())
    assert (index["default_steps"], index["default_guidance"]) == (7, 1.5)
    assert set_sampler(folder, "--steps", 9) == 0
    index = json.loads((folder / "model_index.json").read_text())
    assert (index["default_steps"], index["default_guidance"]) == (9, 1.5)


def test_a_guide_scale_is_set_where_there_is_a_guide(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_checkpoint, folder)
    assert set_sampler(folder, "--guide-scale", 1.6) == 2
    assert "has no guide" in capsys.readouterr().err
    assert set_sampler(folder, "--guide-scale", -1) == 2
    assert "--guide-scale is -1" in capsys.readouterr().err
    pipeline = MSDMPipeline.from_pretrained(folder)
    pipeline.register_modules(guide=build_guide(TINY, pipeline.unet))
    pipeline.save_pretrained(folder)
    assert set_sampler(folder, "--guide-scale", 1.6) == 0
    assert MSDMPipeline.from_pretrained(folder).config.default_guide_scale == 1.6


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "Give what to set"),
        (("--told-noise", 0.5), "--told-noise is 0.5"),
        (("--told-noise", "nan"), "--told-noise is nan"),
        (("--steps", 0), "--steps is 0"),
        (("--guidance", -1), "--guidance is -1"),
    ],
)
def test_a_value_that_is_not_allowed_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[object, ...], told: str
) -> None:
    folder = copied("msdm", tmp_path)
    files = [folder / "model_index.json", folder / "scheduler" / "scheduler_config.json"]
    before = [path.read_bytes() for path in files]
    assert set_sampler(folder, *options) == 2
    assert told in capsys.readouterr().err
    assert [path.read_bytes() for path in files] == before


def test_a_checkpoint_that_cannot_be_set_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set_sampler(tmp_path / "nothing", "--told-noise", 0.9) == 2
    assert "cannot be read" in capsys.readouterr().err
    folder = copied("flux", tmp_path)
    assert set_sampler(folder, "--steps", 9) == 2
    assert "catalogue" in capsys.readouterr().err
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({"_class_name": "DDPMScheduler", "num_train_timesteps": 1000}))
    assert set_sampler(folder, "--told-noise", 0.9) == 2
    assert "flow matching" in capsys.readouterr().err
