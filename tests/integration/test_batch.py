"""Contract: a batch draws every prompt with every model and seed into one folder, lists them, and
goes on after any end without drawing an image twice; a folder never mixes two versions of a model;
what fails is told and leaves nothing half-written; the images load as an image folder.
"""

import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from data.manifest import ManifestRow, write_manifest
from data.manifest_reading import read_manifest, validate_manifest
from data.provenance import GeneratedImage, read_provenance
from msdm_core.__main__ import main
from msdm_core.generation.adapters import Adapter, OnStep, make_adapter
from msdm_core.generation.batch import run_batch
from msdm_core.generation.batch_cell import plan_batch
from msdm_core.generation.batch_folder import BatchFolder
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.prompt_file import read_prompts
from msdm_core.generation.request import ImageRequest
from tests.hub_layout import write_compact_flux, write_kandinsky
from tests.server import ROOT, clean_environment

ENTRY = """
[[model]]
id = "{id}"
family = "msdm"
label = "Model {id}"
path = "{path}"
licence = "CC BY-NC 4.0"
native_size_px = 64
"""
FAMILIES = """
[[model]]
id = "tiny-flux"
family = "flux"
label = "Tiny FLUX"
path = "flux"
licence = "MIT"
native_size_px = 64
guidance_kind = "classifier_free"
max_text_tokens = 24

[[model]]
id = "tiny-kandinsky"
family = "kandinsky"
label = "Tiny Kandinsky"
path = "kandinsky"
licence = "Apache-2.0"
native_size_px = 64
default_prior_steps = 2
default_prior_guidance = 1.5
"""
PROMPTS = 'prompt,prompt_id,organ\n"a polyp, sessile",one,colon\nan ulcer,two,stomach\n'


@pytest.fixture(scope="module")
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with other weights than `tiny_checkpoint`. Read only."""
    from tests.tiny_model import write_tiny_checkpoint

    return write_tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "other", seed=1)


@pytest.fixture
def place(tmp_path: Path, tiny_checkpoint: Path, other_checkpoint: Path) -> Path:
    """A folder with prompts, and a workspace that offers the models tiny-a and tiny-b."""
    (tmp_path / "home").mkdir()
    offer(tmp_path, {"tiny-a": tiny_checkpoint, "tiny-b": other_checkpoint})
    (tmp_path / "prompts.csv").write_text(PROMPTS, encoding="utf-8")
    return tmp_path


def offer(place: Path, models: dict[str, Path], extra: str = "") -> None:
    text = "".join(ENTRY.format(id=key, path=path.as_posix()) for key, path in models.items())
    (place / "home" / "catalogue.toml").write_text(text + extra, encoding="utf-8")


def command(place: Path, *options: str, out: str = "out") -> list[str]:
    """Returns the arguments; later options win over those given here."""
    return [
        "generate", "--prompts", str(place / "prompts.csv"), "--models", "tiny-a,tiny-b",
        "--seeds", "0-1", "--steps", "2", "--home", str(place / "home"),
        "--out", str(place / out), *options,
    ]  # fmt: skip


def draw(place: Path, *options: str, status: int = 0, out: str = "out") -> list[ManifestRow]:
    """Runs the command and returns the rows of its manifest, which fits its images."""
    assert main(command(place, *options, out=out)) == status
    return checked(place / out)


def checked(out: Path) -> list[ManifestRow]:
    """Returns the rows of a folder in which everything fits and nothing is left over."""
    manifest = validate_manifest(out / "manifest.csv")
    assert manifest.faults == ()
    done = [row for row in manifest.rows if row.is_done]
    images = {path.name for path in (out / "images").iterdir()}
    assert images == {"metadata.csv", *(f"{row.image_id}.png" for row in done)}
    assert {path.name for path in out.iterdir()} == {".lock", "images", "manifest.csv"}
    with (out / "images" / "metadata.csv").open(encoding="utf-8", newline="") as file:
        listed = [(row["file_name"], row["text"]) for row in csv.DictReader(file)]
    assert listed == [(f"{row.image_id}.png", row.prompt) for row in done]
    return list(manifest.rows)


def times(out: Path) -> dict[str, int]:
    """Returns when each image was written."""
    return {path.name: path.stat().st_mtime_ns for path in (out / "images").glob("*.png")}


def content(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def pixels(rows: list[ManifestRow]) -> list[tuple[str, str, int, str]]:
    return [(row.model_id, row.prompt_id, row.seed, row.pixel_sha256) for row in rows]


def test_every_model_draws_every_prompt_with_every_seed(
    place: Path, capsys: pytest.CaptureFixture[str]
):
    rows = draw(place)
    told = capsys.readouterr()
    assert "8 images asked for, 8 drawn now, 0 there already, 0 failed" in told.out
    assert [told.err.count(f"Loading Model tiny-{name}") for name in "ab"] == [1, 1]
    assert "Image 5 of 8, Model tiny-b, step 2 of 2" in told.err
    assert [row[:3] for row in pixels(rows)] == [
        (model, prompt, seed)
        for model in ("tiny-a", "tiny-b") for prompt in ("one", "two") for seed in (0, 1)
    ]  # fmt: skip
    assert len({row.pixel_sha256 for row in rows}) == 8
    first = rows[0]
    assert (first.prompt, first.steps, first.guidance) == ("a polyp, sessile", 2, 3)
    assert (first.arm, first.selection_rule, first.candidates) == ("tiny-a", "all", 2)
    assert first.carried == {"organ": "colon"}
    assert {row.width_px for row in rows} == {64}
    for row in rows:
        made = read_provenance(place / "out" / row.file_name)
        assert made is not None
        assert (made.prompt, made.seed, made.model_id) == (row.prompt, row.seed, row.model_id)
        assert made.weights_sha256 == row.weights_sha256
        assert made.extra["batch"]["prompt_id"] == row.prompt_id


def test_three_families_draw_the_same_prompts_and_seeds(
    place: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
):
    write_compact_flux(place / "home" / "flux")
    write_kandinsky(place / "home" / "kandinsky")
    offer(place, {"tiny-a": tiny_checkpoint}, FAMILIES)
    rows = draw(place, "--models", "msdm,flux,kandinsky", "--guidance", "3")
    assert [(row.arm, row.family) for row in rows[::4]] == [
        ("tiny-a", "msdm"), ("tiny-flux", "flux"), ("tiny-kandinsky", "kandinsky"),
    ]  # fmt: skip
    priors = [(row.prior_steps, row.prior_guidance) for row in rows[::4]]
    assert priors == [(None, None), (None, None), (2, 1.5)]
    assert [row.licence for row in rows[::4]] == ["CC BY-NC 4.0", "MIT", "Apache-2.0"]
    for row in rows:
        assert row.parameters and row.flops and row.duration_s
    assert len({row.weights_sha256 for row in rows}) == 3
    capsys.readouterr()
    assert draw(place, "--models", "msdm,flux,kandinsky", "--guidance", "3") == rows
    assert "0 drawn now, 12 there already" in capsys.readouterr().out


def test_a_batch_draws_the_pixels_of_a_single_image(place: Path):
    rows = draw(place, "--models", "tiny-a", "--seeds", "1")
    single = place / "single"
    assert main(
        ["generate", "an ulcer", "--models", "tiny-a", "--seed", "1", "--steps", "2",
         "--home", str(place / "home"), "--out", str(single)]
    ) == 0  # fmt: skip
    [path] = single.iterdir()
    from data.images import load_rgb
    from data.provenance import pixel_sha256

    assert pixel_sha256(load_rgb(path)) == rows[1].pixel_sha256


def test_the_same_command_draws_nothing_again(place: Path, capsys: pytest.CaptureFixture[str]):
    draw(place)
    before = content(place / "out"), times(place / "out")
    capsys.readouterr()
    draw(place)
    told = capsys.readouterr()
    assert "0 drawn now, 8 there already" in told.out
    assert "Loading" not in told.err
    assert (content(place / "out"), times(place / "out")) == before


def test_a_longer_command_draws_only_what_is_missing(place: Path):
    draw(place, "--models", "tiny-a", "--seeds", "0")
    before = times(place / "out")
    (place / "prompts.csv").write_text(PROMPTS + "new,three,\n", encoding="utf-8")
    rows = draw(place)
    after = times(place / "out")
    assert len(rows) == 12
    assert {name: after[name] for name in before} == before
    assert {row.candidates for row in rows} == {2}


def test_an_image_that_was_removed_is_drawn_with_the_same_pixels(place: Path):
    rows = draw(place)
    before = times(place / "out")
    (place / "out" / rows[2].file_name).unlink()
    assert pixels(draw(place)) == pixels(rows)
    after = times(place / "out")
    assert [name for name in before if after[name] != before[name]] == [f"{rows[2].image_id}.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")
def test_a_killed_batch_goes_on_to_the_result_of_an_unbroken_one(place: Path):
    options = ("--seeds", "0-4", "--steps", "3")
    process = subprocess.Popen(
        [sys.executable, "-m", "msdm_core", *command(place, *options)],
        cwd=ROOT, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    manifest = place / "out" / "manifest.csv"
    deadline_s = time.monotonic() + 120
    # In the second model: the first has ten images.
    while not manifest.exists() or manifest.read_bytes().count(b"\n") < 13:
        assert process.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.002)
    process.kill()
    process.communicate()
    before = times(place / "out")
    assert 12 <= len(before) < 20
    rows = draw(place, *options)
    after = times(place / "out")
    assert {name: after[name] for name in before} == before
    unbroken = draw(place, *options, out="unbroken")
    assert pixels(rows) == pixels(unbroken)
    assert [row.image_id for row in rows] == [row.image_id for row in unbroken]


@pytest.mark.parametrize("lost", ["row", "half a row", "manifest", "metadata", "half a file"])
def test_what_a_kill_between_two_writes_leaves_is_made_whole(place: Path, lost: str):
    """Each is the state after a kill at one moment; no image is drawn again for it."""
    rows = draw(place)
    out = place / "out"
    manifest, metadata = out / "manifest.csv", out / "images" / "metadata.csv"
    before = times(out)
    if lost == "row":
        write_manifest(manifest, rows[:-1])
    elif lost == "half a row":
        manifest.write_bytes(manifest.read_bytes()[:-40])
    elif lost == "manifest":
        manifest.unlink()
    elif lost == "metadata":
        metadata.write_bytes(metadata.read_bytes()[:-5])
    else:
        (out / "images" / ".img-1.png.00aa11bb.part").write_bytes(b"half")
        (out / ".manifest.csv.00aa11bb.part").write_bytes(b"half")
    assert draw(place) == rows
    assert times(out) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--steps", "3"], "steps 2, now 3"),
        (["--guidance", "2"], "guidance 3.0, now 2.0"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
):
    draw(place)
    before = content(place / "out")
    capsys.readouterr()
    assert main(command(place, *options)) == 2
    told = capsys.readouterr().err
    assert said in told and "--out" in told and "(8)" in told
    assert content(place / "out") == before


def test_another_prompt_under_the_same_identifier_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
):
    draw(place)
    before = content(place / "out")
    (place / "prompts.csv").write_text(PROMPTS.replace("an ulcer", "no ulcer"), encoding="utf-8")
    assert main(command(place, "--seeds", "7")) == 2
    assert "prompt two was 'an ulcer', now 'no ulcer'" in capsys.readouterr().err
    assert content(place / "out") == before


@pytest.mark.parametrize("seeds", ["0-1", "7"])
def test_other_weights_in_the_same_folder_are_refused(
    place: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str], seeds: str
):
    """Also for images that are not there yet: one arm of a study is one model."""
    draw(place)
    before = content(place / "out")
    offer(place, {"tiny-a": tiny_checkpoint, "tiny-b": tiny_checkpoint})
    assert main(command(place, "--seeds", seeds)) == 2
    assert "weights of tiny-b have changed" in capsys.readouterr().err
    assert content(place / "out") == before
    draw(place, out="new")


def test_a_file_in_the_way_is_not_overwritten(place: Path, capsys: pytest.CaptureFixture[str]):
    rows = draw(place, "--models", "tiny-a")
    shutil.rmtree(place / "out")
    image = place / "out" / rows[0].file_name
    image.parent.mkdir(parents=True)
    image.write_bytes(b"mine")
    assert main(command(place)) == 2
    assert "in the way" in capsys.readouterr().err
    assert image.read_bytes() == b"mine"


def test_a_damaged_manifest_is_told_and_left_alone(place: Path, capsys: pytest.CaptureFixture[str]):
    draw(place)
    manifest = place / "out" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",done,", ",perhaps,", 1))
    before = content(place / "out")
    assert main(command(place)) == 2
    told = capsys.readouterr().err
    assert "line 2: status is 'perhaps'" in told and "--out" in told
    assert content(place / "out") == before


def test_a_second_process_is_told_that_the_folder_is_in_use(
    place: Path, capsys: pytest.CaptureFixture[str]
):
    holder = BatchFolder(place / "out")
    assert main(command(place)) == 2
    told = capsys.readouterr().err
    assert "being written by another process" in told and "--out" in told
    holder.close()
    draw(place)


def change_weights(source: Path, target: Path, value: float) -> Path:
    """Copies a checkpoint with one layer of its denoiser filled with `value`."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    path = target / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["conv_out.bias"].fill_(value)
    save_file(tensors, path, metadata={"format": "pt"})
    return target


def test_a_model_that_fails_is_listed_with_its_reason_and_the_others_go_on(
    place: Path, tiny_checkpoint: Path, other_checkpoint: Path, capsys: pytest.CaptureFixture[str]
):
    nan = change_weights(tiny_checkpoint, place / "nan", float("nan"))
    offer(place, {"tiny-a": nan, "tiny-b": other_checkpoint})
    rows = draw(place, status=3)
    told = capsys.readouterr()
    assert "8 images asked for, 4 drawn now, 0 there already, 4 failed" in told.out
    assert "Failed: Model tiny-a, prompt one, seed 0: " in told.err
    assert [row.status for row in rows] == ["failed"] * 4 + ["done"] * 4
    assert "not numbers" in rows[0].message and not rows[0].file_name

    offer(place, {"tiny-a": tiny_checkpoint, "tiny-b": other_checkpoint})
    before = times(place / "out")
    again = draw(place)
    assert {row.status for row in again} == {"done"}
    assert {name: times(place / "out")[name] for name in before} == before


def test_a_model_that_cannot_be_loaded_is_listed_and_the_others_go_on(
    place: Path, tiny_checkpoint: Path, other_checkpoint: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(tiny_checkpoint, place / "bad")
    path = place / "bad" / "unet" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"block_out_channels": [8, 8]}))
    offer(place, {"tiny-a": place / "bad", "tiny-b": other_checkpoint})
    rows = draw(place, status=3)
    assert [row.status for row in rows] == ["failed"] * 4 + ["done"] * 4
    assert "could not be loaded" in rows[0].message
    assert capsys.readouterr().err.count("could not be loaded") == 1


def test_a_device_that_is_not_there_is_no_failure_of_the_models(
    place: Path, capsys: pytest.CaptureFixture[str]
):
    device = "cuda" if sys.platform == "darwin" else "mps"
    assert main(command(place, "--device", device)) == 2
    assert device in capsys.readouterr().err
    assert not (place / "out" / "manifest.csv").exists() or checked(place / "out") == []


class Interrupted:
    """A real adapter that gets Ctrl-C while it draws an image."""

    def __init__(self, entry: ModelEntry, at_image: int) -> None:
        self._adapter: Adapter = make_adapter(entry)
        self._images_left = at_image
        self.load, self.unload = self._adapter.load, self._adapter.unload
        self.is_current, self.cost = self._adapter.is_current, None

    def generate(self, request: ImageRequest, on_step: OnStep) -> GeneratedImage:
        self._images_left -= 1
        if self._images_left == 0:
            signal.raise_signal(signal.SIGINT)
        return self._adapter.generate(request, on_step)


def test_ctrl_c_keeps_and_lists_what_is_drawn(place: Path):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test worker ignores it
    try:
        _interrupted_and_finished(place)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted_and_finished(place: Path) -> None:
    models = [Catalogue.read(place / "home")[name] for name in ("tiny-a", "tiny-b")]
    cells = plan_batch(models, read_prompts(place / "prompts.csv"), (0, 1), steps=2)
    with pytest.raises(KeyboardInterrupt):
        run_batch(cells, place / "out", partial(Interrupted, at_image=3))
    assert len(checked(place / "out")) == 2
    before = times(place / "out")
    assert len(draw(place)) == 8
    assert {name: times(place / "out")[name] for name in before} == before


@contextmanager
def small_disk() -> Iterator[None]:
    """No file may grow beyond 2,500 bytes, which is how a full disk looks to the one who writes.

    It holds for the whole process, so also for a file that pytest writes its report to.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_500, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a file")
def test_a_full_disk_ends_the_batch_with_nothing_half_written(
    place: Path, capsys: pytest.CaptureFixture[str]
):
    with small_disk():
        status = main(command(place))
    assert status == 2
    told = capsys.readouterr().err
    assert "cannot be written" in told and "Free some space" in told
    checked(place / "out")


def test_a_folder_that_cannot_be_made_is_named(place: Path, capsys: pytest.CaptureFixture[str]):
    (place / "file").touch()
    assert main(command(place, "--out", str(place / "file" / "out"))) == 2
    told = capsys.readouterr().err
    assert str(place / "file" / "out") in told and "--out" in told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--models", "tiny"], "tiny-a or tiny-b"),
        (["--models", "tiny-a,none"], "No model is called 'none'"),
        (["--models", "lost"], "lost cannot be used"),
        (["--seeds", "4-1"], "Seeds cannot be"),
        (["--steps", "0"], "1 to 200"),
        (["--size", "100"], "100"),
        (["--prompts", "none.csv"], "none.csv"),
        (["a prompt"], "either a prompt"),
        (["--count", "3"], "--seeds"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_is_made(
    place: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str],
    options: list[str], said: str,
):  # fmt: skip
    models = {name: tiny_checkpoint for name in ("tiny-a", "tiny-b")}
    offer(place, models | {"lost": place / "nowhere"})
    assert main(command(place, *options)) == 2
    assert said in capsys.readouterr().err
    assert not (place / "out").exists()


def test_a_batch_needs_a_folder_to_write_to(place: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["generate", "--prompts", str(place / "prompts.csv"), "--home", str(place / "home")]
    assert main(arguments) == 2
    assert "--out FOLDER" in capsys.readouterr().err


def test_the_images_are_a_folder_as_readers_of_image_folders_want_it(place: Path):
    """Names hold no word that such readers take for a split, and nothing is listed that is not."""
    (place / "prompts.csv").write_text("prompt_id,prompt\ntest-dev,train validation\n")
    rows = draw(place, "--models", "tiny-a", "--seeds", "0")
    assert {path.suffix for path in (place / "out" / "images").iterdir()} == {".csv", ".png"}
    assert not any(c.isupper() or c in "/\\ " for c in rows[0].file_name.removeprefix("images/"))
    letters = set(rows[0].image_id.removeprefix("img-"))
    assert letters <= set("0123456789abcdef")  # spells neither train, test, dev nor valid


@pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="the package datasets is not installed"
)
@pytest.mark.parametrize("folder", ["out", "out/images"])
def test_the_folder_loads_as_an_image_folder(place: Path, folder: str):
    rows = draw(place)
    code = (
        "import sys, datasets\n"
        "made = datasets.load_dataset('imagefolder', data_dir=sys.argv[1], cache_dir=sys.argv[2])\n"
        "assert list(made) == ['train'], list(made)\n"
        "made = made['train']\n"
        "print(made[0]['image'].size, len(made))\n"
        "print('\\n'.join(sorted(made['text'])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(place / folder), str(place / "cache")],
        capture_output=True, text=True, timeout=300, check=False,
        env={**clean_environment(), "HF_HOME": str(place / "hf"), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, *texts = done.stdout.strip().splitlines()
    assert first == "(64, 64) 8"
    assert texts == sorted(row.prompt for row in rows)


def test_a_study_reads_the_manifest_without_the_models(place: Path):
    rows = draw(place)
    code = (
        "import sys, pathlib\n"
        "from data.manifest_reading import read_manifest\n"
        "rows = read_manifest(pathlib.Path(sys.argv[1]))\n"
        "print(len(rows), {'torch', 'msdm_core'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(place / "out" / "manifest.csv")],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == f"{len(rows)} set()"
    assert read_manifest(place / "out" / "manifest.csv") == tuple(rows)
