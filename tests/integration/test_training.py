"""Contract: the training commands run, resume to the same state, and refuse what cannot work.

The real commands run as processes of their own on drawn pictures, at a preset of toy size.
"""

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

from data.attributes import names_side
from data.folders import read_folder
from msdm_core.__main__ import main
from msdm_core.evaluation.evaluator import ATTRIBUTES, load_evaluator, read_images
from msdm_core.msdm.autoencoder import encode
from msdm_core.msdm.loading import load_component, load_pipeline
from msdm_core.msdm.pipeline import MSDMPipeline
from msdm_core.msdm.presets import PRESETS, build_denoiser
from msdm_core.msdm.text_encoder import encode_text, load_text_encoder
from msdm_core.training.image_store import to_tensor
from msdm_core.training.state import list_checkpoints
from msdm_core.training.wording import Wording, wordings
from tests.drawings import draw_scene, scenes
from tests.tiny_model import TINY

ROOT = Path(__file__).parents[2]
KINDS_OF_FILE = {".json", ".jsonl", ".npy", ".png", ".safetensors", ".txt"}
QUICK = ("--preset", "tiny", "--batch-size", "4", "--warmup-steps", "2", "--threads", "1")
BRIEF = ("--max-steps", "1", "--crop-px", "64")
START_LIMIT_S = 540


def command(part: str, data: Path, out: Path, *rest: object) -> list[str]:
    arguments = ["train", part, "--data", data, "--out", out, *QUICK, *rest]
    return [sys.executable, "-m", "tests.tiny_model", *map(str, arguments)]


def start(arguments: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(arguments: list[str], **variables: str) -> str:
    """Runs a command to its end and returns what it said."""
    done = subprocess.run(
        arguments, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True,
        timeout=START_LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def run_here(arguments: list[str]) -> int:
    """Runs a command in this process, where the tiny preset is known, and returns its status."""
    return main(arguments[3:])


@pytest.fixture
def tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "tiny", TINY)


def wait_for_checkpoint(process: "subprocess.Popen[str]", run: Path) -> int:
    """Returns the step of the newest checkpoint, as soon as there is one past step 3."""
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit:
        assert process.poll() is None, process.communicate()[1][-3000:]
        found = list_checkpoints(run / "checkpoints")
        if found and (step := int(found[-1].name.removeprefix("step-"))) > 3:
            return step
        time.sleep(0.02)
    raise AssertionError("no checkpoint came")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.relative_to(folder)} {name}": value
        for path in sorted(folder.rglob("*.safetensors"))
        for name, value in load_file(path).items()
    }


def assert_same_state(one: Path, other: Path) -> None:
    first, second = (weights(list_checkpoints(run / "checkpoints")[-1]) for run in (one, other))
    assert first.keys() == second.keys()
    different = [name for name, value in first.items() if not torch.equal(value, second[name])]
    assert not different, f"{len(different)} of {len(first)} tensors differ: {different[:3]}"


def assert_run_is_whole(run: Path) -> None:
    """Everything that the documentation promises is there, and nothing else."""
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert {"command", "commit", "config", "options", "seed"} <= record.keys()
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    kinds = {json.loads(line)["kind"] for line in lines}
    assert kinds == {"train", "validation"}
    assert list((run / "sheets").glob("step-*.png"))
    files = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    assert {path.suffix for path in files} <= KINDS_OF_FILE
    assert not [path for path in files if "partial" in str(path.relative_to(run))]
    for array in run.rglob("*.npy"):
        np.load(array, allow_pickle=False)


@dataclass(frozen=True)
class Parts:
    """Runs of an autoencoder and a text encoder, which a denoiser needs."""

    autoencoder: Path
    text_encoder: Path

    def options(self) -> tuple[object, ...]:
        return (
            "--autoencoder", self.autoencoder / "export",
            "--text-encoder", self.text_encoder / "export",
        )  # fmt: skip


@pytest.fixture(scope="module")
def parts(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    runs = tmp_path_factory.mktemp("runs")
    autoencoder, text_encoder = runs / "autoencoder", runs / "text"
    finish(
        command("autoencoder", tiny_dataset, autoencoder, "--max-steps", 6, "--crop-px", 64,
                "--adversarial-weight", 0.05)
    )  # fmt: skip
    finish(command("text-encoder", tiny_dataset, text_encoder, "--max-steps", 6))
    return Parts(autoencoder, text_encoder)


@pytest.fixture(scope="module")
def unbroken(parts: Parts, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A denoiser's run of 40 steps without a break."""
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    finish(command("denoiser", tiny_dataset, run, "--max-steps", 40, *parts.options()))
    return run


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_preset")
def test_whitening_sets_how_unlike_the_latent_channels_are(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    drawn = np.stack([np.asarray(draw_scene(scene, TINY.image_px)) for scene in scenes()])
    pictures, unlike = to_tensor(drawn), []
    for whitening in (1, 0):
        run = tmp_path / str(whitening)
        assert run_here(
            command("autoencoder", tiny_dataset, run, *BRIEF, "--learning-rate", 1e-9,
                    "--whitening", whitening)
        ) == 0  # fmt: skip
        model = load_component(run / "export", "vae").eval()
        with torch.no_grad():
            spread = encode(model, pictures).std((0, 2, 3))
        unlike.append(float(spread.max() / spread.min()))
    assert unlike[0] < 1.5, unlike
    assert unlike[1] > 3, unlike


@pytest.mark.slow
def test_an_autoencoder_is_trained_and_loads(parts: Parts) -> None:
    assert_run_is_whole(parts.autoencoder)
    model = load_component(parts.autoencoder / "export", "vae")
    assert type(model).__name__ == TINY.autoencoder_class
    assert "discriminator" not in {path.stem for path in (parts.autoencoder / "export").iterdir()}


@pytest.mark.slow
def test_a_text_encoder_is_trained_and_loads(parts: Parts) -> None:
    assert_run_is_whole(parts.text_encoder)
    states = encode_text(*load_text_encoder(str(parts.text_encoder / "export")), ["a polyp"], 48)
    assert states.pooled.shape == (1, 32) and torch.isfinite(states.pooled).all()


@pytest.mark.slow
def test_a_denoiser_is_trained_and_its_pipeline_draws(unbroken: Path) -> None:
    assert_run_is_whole(unbroken)
    pipeline = MSDMPipeline.from_pretrained(unbroken / "export")
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator("cpu").manual_seed(1)
    picture = pipeline("a polyp", generator=generator, output_type="np").images
    assert picture.shape == (1, 64, 64, 3) and np.isfinite(picture).all()


@pytest.mark.slow
def test_a_denoiser_goes_on_from_a_checkpoint_and_starts_with_its_weights(
    unbroken: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    finish(command("denoiser", tiny_dataset, run, "--init", unbroken / "export",
                   "--max-steps", 1, "--learning-rate", 1e-9, "--warmup-steps", 0))  # fmt: skip
    before, after = (MSDMPipeline.from_pretrained(r / "export") for r in (unbroken, run))
    for name, value in before.unet.state_dict().items():
        assert torch.equal(value, after.unet.state_dict()[name]), name
    assert json.loads((run / "run.json").read_text())["config"]["origin"].startswith("export@")


@pytest.mark.usefixtures("tiny_preset")
def test_going_on_from_a_checkpoint_with_another_text_encoder_that_fits_or_says_so(
    unbroken: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=64, vocab_size=300)  # fmt: skip
    for width in (32, 48):
        config.hidden_size, config.num_attention_heads = width, 2
        BertModel(config).save_pretrained(tmp_path / str(width) / "text_encoder")
        shutil.copytree(unbroken / "export" / "tokenizer", tmp_path / str(width) / "tokenizer")
    arguments = command("denoiser", tiny_dataset, tmp_path / "run", "--init", unbroken / "export",
                        "--max-steps", "1", "--text-encoder")  # fmt: skip
    assert run_here([*arguments, str(tmp_path / "48")]) == 2
    assert "width 32" in capsys.readouterr().err
    assert run_here([*arguments, str(tmp_path / "32")]) == 0
    pipeline = load_pipeline(tmp_path / "run" / "export")
    assert pipeline.text_encoder.config.num_hidden_layers == 2


@pytest.fixture(scope="module")
def guided(unbroken: Path, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guide's run of 12 steps without a break."""
    run = tmp_path_factory.mktemp("runs") / "guide"
    finish(command("guide", tiny_dataset, run, "--model", unbroken / "export", "--max-steps", 12,
                   "--guide-scale", 1.7))  # fmt: skip
    return run


@pytest.mark.slow
def test_a_guide_is_trained_and_the_rest_of_its_checkpoint_stays(
    guided: Path, unbroken: Path
) -> None:
    assert_run_is_whole(guided)
    before, after = (weights(run / "export") for run in (unbroken, guided))
    added = {name for name in after if name.startswith("guide/")}
    assert added and after.keys() - added == before.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert sum(after[name].numel() for name in added) < 0.4 * sum(
        value.numel() for name, value in before.items() if name.startswith("unet/")
    )
    pipeline = load_pipeline(guided / "export")
    assert pipeline.config.default_guide_scale == 1.7
    pipeline.set_progress_bar_config(disable=True)
    drawn = [
        pipeline("a polyp", generator=torch.Generator().manual_seed(1), output_type="np",
                 **scale).images
        for scale in ({}, {"guide_scale": 1.7}, {"guide_scale": 1.0})
    ]  # fmt: skip
    assert np.array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0] - drawn[2]).mean() > 1e-3


@pytest.mark.slow
def test_a_guide_resumes_to_the_state_of_an_unbroken_run(
    guided: Path, unbroken: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    arguments = command("guide", tiny_dataset, run, "--model", unbroken / "export",
                        "--guide-scale", 1.7)  # fmt: skip
    finish([*arguments, "--max-steps", "5"])
    assert "resumed at step 5" in finish([*arguments, "--max-steps", "12"])
    assert_same_state(guided, run)


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.parametrize(
    ("options", "message"),
    [(("--preset", "compact"), "not of the preset"), (("--guide-scale", "0"), "above 0")],
)
def test_a_guide_that_cannot_be_is_refused(
    options: tuple[str, ...], message: str, unbroken: Path, tiny_dataset: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = command("guide", tiny_dataset, tmp_path / "run", "--model", unbroken / "export")
    assert run_here([*arguments, *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.slow
def test_focus_weighs_the_error_where_findings_lie(
    unbroken: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_dataset, data)
    names = [record.path.name for record in read_folder(data) if record.split == "train"]
    rows = "".join(f"{name},0.0,0.0,1.0,1.0\n" for name in names)
    losses = []
    for focus in (1, 5):
        arguments = command("denoiser", data, tmp_path / str(focus), "--init", unbroken / "export",
                            "--max-steps", "1", "--drop-text", "0", "--focus", focus)  # fmt: skip
        if focus > 1:
            assert run_here(arguments) == 2
            assert "polyp_boxes.csv" in capsys.readouterr().err
            (data / "polyp_boxes.csv").write_text("Filename,xmin,ymin,xmax,ymax\n" + rows)
        assert run_here(arguments) == 0
        lines = (tmp_path / str(focus) / "metrics.jsonl").read_text().splitlines()
        losses.append(json.loads(lines[0]))
    assert losses[1]["mse"] == pytest.approx(losses[0]["mse"], rel=1e-6)
    assert losses[0]["denoiser_loss"] == pytest.approx(losses[0]["mse"], rel=1e-6)
    # Texts without a finding keep their weight of 1, so it is less than five times as much.
    assert 1.2 < losses[1]["denoiser_loss"] / losses[0]["denoiser_loss"] <= 5.001


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.slow
def test_images_with_findings_are_drawn_more_often(
    unbroken: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_dataset, data)
    names = [record.path.name for record in read_folder(data) if record.split == "train"]
    arguments = command("denoiser", data, tmp_path / "run", "--init", unbroken / "export",
                        "--max-steps", "1")  # fmt: skip
    assert run_here([*arguments, "--oversample", "3"]) == 2
    assert "--oversample needs to know where findings lie" in capsys.readouterr().err
    (data / "polyp_boxes.csv").write_text(
        f"Filename,xmin,ymin,xmax,ymax\n{names[0]},0.1,0.1,0.4,0.4\n"
    )
    assert run_here([*arguments, "--oversample", "0"]) == 2
    assert "from 1, none, to 100" in capsys.readouterr().err
    assert run_here([*arguments, "--oversample", "3"]) == 0
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert config["draws_from"] == config["images"] + 2
    # Another share is another run.
    assert run_here([*arguments, "--oversample", "2"]) == 2
    assert "other settings" in capsys.readouterr().err


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.slow
def test_time_shifts_are_kept_with_the_run_and_refused_where_they_do_nothing(
    unbroken: Path, parts: Parts, tiny_dataset: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = command("denoiser", tiny_dataset, tmp_path / "run", "--init", unbroken / "export",
                        "--max-steps", "1")  # fmt: skip
    for wrong in ("", "0", "3,nan", "1;12", "101"):
        with pytest.raises(SystemExit) as stopped:
            run_here([*arguments, "--time-shifts", wrong])
        assert stopped.value.code == 2
        assert "is not numbers from 0.1 to 100 with commas" in capsys.readouterr().err
    assert run_here([*arguments, "--time-shifts", "1,12"]) == 0
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert config["time_shifts"] == [1, 12]
    assert run_here(arguments) == 2
    assert "other settings" in capsys.readouterr().err
    discrete = command("denoiser", tiny_dataset, tmp_path / "discrete", *parts.options(),
                       "--prediction-type", "epsilon", "--time-shifts", "12",
                       "--max-steps", "1")  # fmt: skip
    assert run_here(discrete) == 2
    assert "learns epsilon" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("prediction_type", ["flow_prediction", "epsilon", "v_prediction"])
def test_what_a_denoiser_predicts_can_be_chosen_and_is_kept(
    prediction_type: str, parts: Parts, tiny_dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    finish(command("denoiser", tiny_dataset, run, *parts.options(), "--max-steps", 2,
                   "--prediction-type", prediction_type))  # fmt: skip
    pipeline = load_pipeline(run / "export")
    assert pipeline.scheduler.config.prediction_type == prediction_type
    pipeline.set_progress_bar_config(disable=True)
    assert np.asarray(pipeline("a polyp", num_inference_steps=2).images[0]).std() > 0


def test_going_on_from_a_checkpoint_keeps_what_it_predicts_and_says_so(
    unbroken: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command("denoiser", tiny_dataset, tmp_path / "run", "--init", unbroken / "export",
                        "--prediction-type", "epsilon")  # fmt: skip
    assert run_here(arguments) == 2
    assert "leave --prediction-type out" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_exported_are_the_averaged_weights_in_half_precision(unbroken: Path) -> None:
    exported = load_file(unbroken / "export" / "unet" / "diffusion_pytorch_model.safetensors")
    newest = list_checkpoints(unbroken / "checkpoints")[-1]
    average = load_file(newest / "denoiser.ema.safetensors")
    last = load_file(newest / "denoiser.model.safetensors")
    assert {value.dtype for value in exported.values()} == {torch.float16}
    with torch.device("meta"):
        names = [name for name, _ in build_denoiser(TINY, 32).named_parameters()]
    assert len(names) == len(average) == len(exported)
    for index, name in enumerate(names):
        assert torch.equal(exported[name], average[str(index)].half()), name
    assert sum(not torch.equal(average[str(i)], last[n]) for i, n in enumerate(names)) > 10


@pytest.mark.slow
def test_an_evaluator_is_trained_and_reads_pictures(tiny_dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "evaluator"
    finish(command("evaluator", tiny_dataset, run, "--max-steps", 4))
    assert_run_is_whole(run)
    pictures = np.zeros((2, 64, 64, 3), np.uint8)
    reading = read_images(load_evaluator(run / "export"), pictures)
    assert reading.probabilities.shape == (2, len(ATTRIBUTES["endoscopy"]))
    assert 0 <= reading.probabilities.min() <= reading.probabilities.max() <= 1


@pytest.mark.slow
def test_a_run_killed_at_any_moment_resumes_to_the_state_of_an_unbroken_one(
    unbroken: Path, parts: Parts, tiny_dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    arguments = command("denoiser", tiny_dataset, run, *parts.options())
    process = start([*arguments, "--max-steps", "1000000", "--checkpoint-minutes", "0.0001"])
    step = wait_for_checkpoint(process, run)
    process.kill()
    process.communicate(timeout=START_LIMIT_S)
    assert process.returncode == -signal.SIGKILL
    killed_at = int(list_checkpoints(run / "checkpoints")[-1].name.removeprefix("step-"))
    assert step <= killed_at < 40, "the machine was too fast for this test: kill it earlier"
    said = finish([*arguments, "--max-steps", "40"])
    assert f"resumed at step {killed_at}" in said
    assert_same_state(unbroken, run)
    assert_run_is_whole(run)


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.slow
def test_an_autoencoder_with_an_adversary_resumes_to_the_same_state_too(
    parts: Parts, tiny_dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "halves"
    arguments = command(
        "autoencoder", tiny_dataset, run, "--crop-px", 64, "--adversarial-weight", 0.05
    )
    assert run_here([*arguments, "--max-steps", "2"]) == 0
    assert run_here([*arguments, "--max-steps", "6"]) == 0
    assert_same_state(parts.autoencoder, run)


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.slow
def test_a_decoder_learns_from_what_a_denoiser_draws_and_resumes_to_the_same_state(
    unbroken: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    drawer = unbroken / "export"
    whole, halves = (
        command("autoencoder", tiny_dataset, tmp_path / name, "--init", drawer, "--freeze-encoder",
                "--crop-px", 64, "--adversarial-weight", 0.05, "--adversary-scales", 3,
                "--drawn-by", drawer, "--drawn-count", 16, "--cache", tmp_path / "cache")
        for name in ("whole", "halves")
    )  # fmt: skip
    assert run_here([*whole, "--max-steps", "4"]) == 0
    assert run_here([*halves, "--max-steps", "2"]) == 0
    assert run_here([*halves, "--max-steps", "4"]) == 0
    assert_same_state(tmp_path / "whole", tmp_path / "halves")
    told = json.loads((tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()[0])
    assert {"drawn", "change", "real", "fake"} <= told.keys()
    before, after = weights(drawer / "vae"), weights(tmp_path / "whole" / "export")
    moved = {name.split()[1].split(".")[0] for name, value in before.items()
             if not torch.equal(value.float(), after[name].float())}  # fmt: skip
    assert moved == {"decoder"}
    drawn = np.load(next((tmp_path / "cache").glob("drawn-*.npy")))
    assert len(drawn) == 16
    assert drawn.std(axis=0).mean() > 0.1  # not one latent again and again


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.slow
def test_latents_of_another_autoencoder_are_not_learnt_from(
    parts: Parts, unbroken: Path, tiny_dataset: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    other = tmp_path / "other"
    assert run_here(command("autoencoder", tiny_dataset, other, *BRIEF, "--seed", 5)) == 0
    arguments = command(
        "autoencoder", tiny_dataset, tmp_path / "run", *BRIEF, "--init", other / "export",
        "--freeze-encoder", "--adversarial-weight", 0.05, "--drawn-by", unbroken / "export",
        "--drawn-count", 16,
    )  # fmt: skip
    capsys.readouterr()
    assert run_here(arguments) == 2
    assert "another autoencoder" in capsys.readouterr().err


@pytest.mark.slow
def test_a_polite_signal_ends_the_run_with_its_state_saved(
    unbroken: Path, parts: Parts, tiny_dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "stopped"
    arguments = command("denoiser", tiny_dataset, run, *parts.options())
    process = start([*arguments, "--checkpoint-minutes", "0.0001"])
    wait_for_checkpoint(process, run)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=START_LIMIT_S)
    assert process.returncode == 0, said[-3000:]
    assert "exported to" in said
    assert_run_is_whole(run)


@pytest.mark.slow
def test_two_processes_train_together_and_end_together(
    parts: Parts, tiny_dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "two"
    options = "-m torch.distributed.run --standalone --nproc-per-node 2"
    launch = [sys.executable, *options.split()]
    one = command("denoiser", tiny_dataset, run, *parts.options(), "--max-steps", 3)
    said = finish([*launch, *one[1:]], ACCELERATE_USE_CPU="true")
    assert said.count("exported to") == 1
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["processes"] == 2
    assert_run_is_whole(run)


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--seed", "1"), "seed"),
        (("--batch-size", "3"), "batch_size"),
        (("--drop-text", "0.5"), "drop_text"),
        (("--no-mirror",), "mirror"),
    ],
)
@pytest.mark.slow
def test_a_run_with_other_settings_is_not_resumed(
    unbroken: Path,
    parts: Parts,
    tiny_dataset: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, ...],
    told: str,
) -> None:
    before = weights(list_checkpoints(unbroken / "checkpoints")[-1])
    arguments = command("denoiser", tiny_dataset, unbroken, *parts.options(), "--max-steps", 99)
    assert run_here([*arguments, *change]) == 2
    said = capsys.readouterr().err
    assert "other settings" in said and told in said and "--out" in said
    after = weights(list_checkpoints(unbroken / "checkpoints")[-1])
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.slow
def test_a_run_that_goes_on_elsewhere_is_left_alone(
    parts: Parts, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command("text-encoder", tiny_dataset, parts.text_encoder, "--max-steps", 99)
    with (parts.text_encoder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run_here(arguments) == 2
    assert "Another process trains" in capsys.readouterr().err


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.slow
def test_a_run_folder_of_another_part_is_refused(
    parts: Parts, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(command("evaluator", tiny_dataset, parts.autoencoder)) == 2
    assert "holds a run" in capsys.readouterr().err


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--batch-size", "0"), "--batch-size is 0"),
        (("--learning-rate", "0"), "--learning-rate is 0"),
        (("--ema-decay", "1"), "--ema-decay is 1"),
        (("--checkpoint-minutes", "-1"), "--checkpoint-minutes is -1"),
        (("--max-minutes", "-1"), "--max-minutes is -1"),
        (("--max-steps", "-5"), "--max-steps is -5"),
        (("--seed", "-1"), "--seed is -1"),
        (("--warmup-steps", "-1"), "--warmup-steps is -1"),
        (("--crop-px", "0"), "--crop-px is 0"),
        (("--crop-px", "80"), "--crop-px is 80"),
        (("--crop-px", "60"), "--crop-px is 60"),
        (("--preset", "huge"), "'huge'"),
        (("--preset", "compact", "--whitening", "1.5"), "--whitening is 1.5"),
        (("--preset", "compact", "--whitening", "nan"), "--whitening is nan"),
        (("--preset", "paper", "--whitening", "0.2"), "the preset 'paper' does not have"),
        (("--whitening", "0.2", "--init", "no/such/folder"), "cannot be given with --init"),
        (("--init", "no/such/folder"), "no/such/folder"),
        (("--adversary-scales", "4"), "--adversary-scales is 4"),
        (("--drawn-by", "msdm-compact-gi"), "--drawn-by needs an adversary"),
        (("--drawn-by", "msdm-compact-gi", "--adversarial-weight", "1"), "needs --freeze-encoder"),
        (("--drawn-by", "no-such-model", "--adversarial-weight", "1", "--freeze-encoder"),
         "no-such-model"),
        (("--drawn-by", "msdm-compact-gi", "--adversarial-weight", "1", "--freeze-encoder",
          "--drawn-count", "3"), "--drawn-count is 3"),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name_and_value(
    tiny_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, ...],
    told: str,
) -> None:
    arguments = command("autoencoder", tiny_dataset, tmp_path / "run", *BRIEF)
    assert run_here([*arguments, *change]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.usefixtures("tiny_preset")
@pytest.mark.parametrize("kind", ["empty", "absent", "images missing", "no validation images"])
def test_a_data_folder_that_cannot_be_trained_on_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    folder = tmp_path / "data"
    if kind != "absent":
        folder.mkdir()
    if kind in {"images missing", "no validation images"}:
        (folder / "prompt-gt.csv").write_text("Prompt;Filename\na polyp;a.png\n", encoding="utf-8")
    if kind == "no validation images":
        from PIL import Image

        Image.new("RGB", (64, 64), "red").save(folder / "a.png")
    assert run_here(command("autoencoder", folder, tmp_path / "run", *BRIEF)) == 2
    said = capsys.readouterr().err
    expected = {
        "empty": "an empty folder",
        "absent": "does not exist",
        "images missing": "a.png",
        "no validation images": "0 validation images",
    }
    assert expected[kind] in said and str(folder) in said


@pytest.mark.usefixtures("tiny_preset")
def test_an_out_folder_that_cannot_be_written_is_refused(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    out = tmp_path / "file" / "run"
    assert run_here(command("autoencoder", tiny_dataset, out, *BRIEF)) == 2
    assert f"{out} cannot be written" in capsys.readouterr().err


@pytest.mark.usefixtures("tiny_preset")
def test_a_denoiser_without_its_parts_is_refused(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = ("--autoencoder", tmp_path / "none", "--text-encoder", tmp_path / "none")
    assert run_here(command("denoiser", tiny_dataset, tmp_path / "run", *missing)) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
    gone = ("--init", tmp_path / "none")
    assert run_here(command("denoiser", tiny_dataset, tmp_path / "run", *gone)) == 2
    assert f"There is no checkpoint {tmp_path / 'none'}" in capsys.readouterr().err
    own = ("--autoencoder", tmp_path / "none")
    assert run_here(command("denoiser", tiny_dataset, tmp_path / "run", *own)) == 2
    assert "train text-encoder" in capsys.readouterr().err


def test_the_paper_preset_says_that_its_text_encoder_is_ready_made(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "text-encoder", "--data", str(tiny_dataset),
                 "--out", str(tmp_path / "run"), "--preset", "paper"]  # fmt: skip
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "nothing to train" in said and "--text-encoder" in said


def drawn_wordings(folder: Path) -> list[Wording]:
    return wordings(read_folder(folder))


def test_no_picture_is_flipped_whose_words_name_a_side(tiny_dataset: Path) -> None:
    rng = random.Random(0)
    sided = 0
    for words in drawn_wordings(tiny_dataset):
        for _ in range(60):
            text = words.draw(rng)
            if names_side(text):
                sided += 1
                assert not words.may_mirror(text), text
    assert sided > 50


def test_pictures_without_overlays_are_flipped_where_no_side_is_named(tiny_dataset: Path) -> None:
    flipped = [words.may_mirror("a polyp at colonoscopy") for words in drawn_wordings(tiny_dataset)]
    assert any(flipped) and not all(flipped)


def test_writing_and_the_box_are_never_mirrored(tiny_dataset: Path) -> None:
    for words in drawn_wordings(tiny_dataset):
        assert words.attributes is not None
        if words.attributes.has_text or words.attributes.has_box:
            assert not words.may_mirror("a polyp")


def test_a_dropped_text_is_drawn_as_often_as_asked(tiny_dataset: Path) -> None:
    rng = random.Random(0)
    [words, *_] = drawn_wordings(tiny_dataset)
    empty = sum(words.draw(rng, drop=0.25) == "" for _ in range(2_000))
    assert 420 < empty < 580
    assert all(words.draw(rng, drop=0.0) for _ in range(200))


def test_the_environment_of_the_tests_is_offline() -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"
