"""Contract: `train movq` keeps its encoder from the start, resumes, and exports a stock VQModel."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import VQModel
from safetensors.torch import load_file

from msdm_core.__main__ import main
from msdm_core.kandinsky.linear_movq import finders
from msdm_core.kandinsky.presets import MOVQS
from msdm_core.msdm.autoencoder import decode, encode
from msdm_core.msdm.presets import PRESETS
from msdm_core.training.autoencoder import AutoencoderOptions, AutoencoderTask
from msdm_core.training.state import list_checkpoints
from tests.drawings import draw_scene, scenes
from tests.tiny_model import TINY
from tests.tiny_movq import TINY_MOVQ

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module", autouse=True)
def tiny_sizes() -> "pytest.MonkeyPatch":
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        patch.setitem(MOVQS, "tiny", TINY_MOVQ)
        yield patch


def arguments(data: Path, run: Path, *rest: object) -> list[str]:
    fixed = ["train", "movq", "--data", data, "--out", run, "--preset", "tiny", "--crop-px", 32,
             "--batch-size", 4, "--warmup-steps", 2, "--threads", 1]  # fmt: skip
    return [str(argument) for argument in (*fixed, *rest)]


def train(data: Path, run: Path, *rest: object) -> int:
    return main(arguments(data, run, *rest))


@pytest.fixture(scope="module")
def trained(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "movq"
    assert train(tiny_dataset, run, "--max-steps", 6) == 0
    return run


@pytest.mark.slow
def test_the_encoder_of_the_start_is_the_encoder_of_the_export(trained: Path) -> None:
    start, export = (load_file(trained / part / WEIGHTS) for part in ("start", "export"))
    assert start.keys() == export.keys()
    for name, value in start.items():
        if not name.startswith(("decoder", "post_quant_conv")):
            assert torch.equal(value, export[name]), name
            assert torch.equal(value, value.half().float()), f"{name} is not exact in float16"
    moved = [name for name in start if not torch.equal(start[name], export[name])]
    assert len(moved) > 20
    blocks = finders(VQModel(**TINY_MOVQ))
    assert blocks and not [name for name in moved if name.startswith(blocks)]


@pytest.mark.slow
def test_the_export_is_a_stock_model_without_paths(trained: Path) -> None:
    model = VQModel.from_pretrained(trained / "export").eval()
    with torch.no_grad():
        picture = model.decode(torch.randn(1, 8, 8, 8), force_not_quantize=True)["sample"]
    assert picture.shape == (1, 3, 64, 64) and torch.isfinite(picture).all()
    assert "_name_or_path" not in json.loads((trained / "export" / "config.json").read_text())


@pytest.mark.slow
def test_a_broken_run_resumes_to_the_state_of_an_unbroken_one(
    trained: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "halves"
    assert train(tiny_dataset, run, "--max-steps", 3) == 0
    assert train(tiny_dataset, run, "--max-steps", 6) == 0
    one, other = (list_checkpoints(folder / "checkpoints")[-1] for folder in (trained, run))
    for path in sorted(one.glob("*.safetensors")):
        first, second = load_file(path), load_file(other / path.name)
        assert all(torch.equal(value, second[name]) for name, value in first.items()), path.name


@pytest.mark.slow
def test_a_run_goes_on_from_an_export_with_an_adversary_and_the_same_latents(
    trained: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "more"
    assert train(tiny_dataset, run, "--init", trained / "export", "--max-steps", 1,
                 "--adversarial-weight", 0.05) == 0  # fmt: skip
    before, after = (VQModel.from_pretrained(folder / "export") for folder in (trained, run))
    for name, value in before.encoder.state_dict().items():
        assert torch.equal(value, after.encoder.state_dict()[name]), name


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--crop-px", "40"), "--crop-px is 40"),
        (("--crop-px", "96"), "--crop-px is 96"),
        (("--preset", "paper"), "'paper'"),
        (("--init", "no/such/folder"), "no/such/folder"),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name_and_value(
    tiny_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, ...],
    told: str,
) -> None:
    assert train(tiny_dataset, tmp_path / "run", "--max-steps", 1, *change) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.json").exists()


@torch.no_grad()
def test_known_latents_are_those_of_the_crops_they_come_with() -> None:
    from msdm_core.kandinsky.linear_movq import linear_start
    from msdm_core.training.image_store import to_tensor
    from msdm_core.training.randomness import step_random

    images = np.stack([np.asarray(draw_scene(scene, 64)) for scene in scenes()[:12]])
    torch.manual_seed(0)
    model = VQModel(**TINY_MOVQ).eval()
    linear_start(model, to_tensor(images))
    both = [encode(model, pictures) for pictures in (to_tensor(images), to_tensor(images).flip(-1))]
    task = AutoencoderTask(
        model, images, images, AutoencoderOptions(batch_size=8, crop_px=32, is_encoder_frozen=True),
        "tiny", torch.stack(both, 1).numpy(),
    )  # fmt: skip
    crops, latents = task._crops(step_random(0, 3, 0), torch.device("cpu"))
    assert latents is not None and crops.shape == (8, 3, 32, 32)
    torch.testing.assert_close(encode(model, crops), latents, atol=5e-3, rtol=5e-3)


@torch.no_grad()
def test_an_export_with_a_trained_encoder_carries_the_scale_in_its_weights(tmp_path: Path) -> None:
    from msdm_core.training.image_store import to_tensor

    images = np.stack([np.asarray(draw_scene(scene, 64)) for scene in scenes()[:8]])
    torch.manual_seed(0)
    model = VQModel(**TINY_MOVQ).eval()
    task = AutoencoderTask(model, images, images, AutoencoderOptions(), "tiny")
    pictures = to_tensor(images)
    before = decode(model, encode(model, pictures))
    task.export(tmp_path)
    exported = VQModel.from_pretrained(tmp_path).eval()
    latents = encode(exported, pictures)
    assert float(latents.square().mean()) == pytest.approx(1.0, rel=1e-3)
    torch.testing.assert_close(decode(exported, latents), before, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(decode(model, encode(model, pictures)), before)
