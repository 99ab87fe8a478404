"""Contract: the command line draws the same picture for the same request, writes it with how it
was made, and when it is interrupted or wrongly used leaves nothing half-written.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.provenance import pixel_sha256, read_provenance
from msdm_core.__main__ import main
from msdm_core.generation.adapters import make_adapter
from msdm_core.generation.catalogue import Catalogue
from msdm_core.generation.checkpoint import weights_sha256
from msdm_core.generation.request import check_image_request
from tests.server import ROOT, clean_environment, offer_checkpoint

PROMPT = "Generate an image containing a polyp"
SECOND_MODEL = """
[[model]]
id = "other"
family = "msdm"
label = "The same under another name"
path = "{path}"
licence = "CC BY-NC 4.0"
native_size_px = 64
"""


@pytest.fixture
def home(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    offer_checkpoint(tmp_path / "home", tiny_checkpoint, size_px=64)
    return tmp_path / "home"


def generate(home: Path, out: Path, *options: str) -> list[Path]:
    arguments = ["generate", PROMPT, "--home", str(home), "--out", str(out), "--steps", "2"]
    assert main([*arguments, *options]) == 0
    return sorted(out.iterdir())


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "msdm_core", *arguments],
        capture_output=True, text=True, cwd=cwd, env=clean_environment(), timeout=120, check=False,
    )  # fmt: skip


def test_images_are_written_with_their_provenance(
    home: Path, tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
):
    paths = generate(home, tmp_path / "new" / "out", "--seed", "7", "--count", "2")
    assert [str(path) for path in paths] == sorted(capsys.readouterr().out.split())
    found = [read_provenance(path) for path in paths]
    assert [made.seed for made in found if made] == [7, 8]
    made = found[0]
    assert made is not None
    assert (made.prompt, made.steps, made.model_id, made.device) == (PROMPT, 2, "tiny", "cpu")
    assert made.weights_sha256 == weights_sha256(tiny_checkpoint)
    assert pixels(paths[0]).shape == (64, 64, 3)


def test_the_same_request_gives_the_same_pixels_alone_or_in_a_series(home: Path, tmp_path: Path):
    series = generate(home, tmp_path / "series", "--seed", "4", "--count", "2")
    alone = generate(home, tmp_path / "alone", "--seed", "5")
    assert (pixels(series[1]) == pixels(alone[0])).all()
    assert (pixels(series[0]) != pixels(series[1])).any()


def test_seeds_may_be_listed(home: Path, tmp_path: Path):
    paths = generate(home, tmp_path / "out", "--seeds", "9,3-4")
    found = [read_provenance(path) for path in paths]
    assert sorted(made.seed for made in found if made) == [3, 4, 9]


def test_several_models_draw_the_same_prompt_and_seed(
    home: Path, tmp_path: Path, tiny_checkpoint: Path
):
    second = SECOND_MODEL.format(path=tiny_checkpoint.as_posix())
    catalogue = home / "catalogue.toml"
    catalogue.write_text(catalogue.read_text(encoding="utf-8") + second, encoding="utf-8")
    paths = generate(home, tmp_path / "out", "--models", "other,tiny", "--seed", "5")
    found = [read_provenance(path) for path in paths]
    assert sorted((made.model_id, made.seed) for made in found if made) == [
        ("other", 5),
        ("tiny", 5),
    ]
    # The same weights under two names.
    assert (pixels(paths[0]) == pixels(paths[1])).all()


def test_a_seed_at_the_end_goes_on_at_the_beginning(home: Path, tmp_path: Path):
    paths = generate(home, tmp_path / "out", "--seed", str(2**32 - 1), "--count", "2")
    found = [read_provenance(path) for path in paths]
    assert sorted(made.seed for made in found if made) == [0, 2**32 - 1]


def test_the_picture_follows_steps_and_guidance(home: Path, tmp_path: Path):
    first = generate(home, tmp_path / "a", "--seed", "1", "--guidance", "1")
    second = generate(home, tmp_path / "b", "--seed", "1", "--guidance", "9")
    assert (pixels(first[0]) != pixels(second[0])).any()


def test_looking_at_previews_changes_no_pixel(home: Path):
    entry = Catalogue.read(home)["tiny"]
    adapter = make_adapter(entry)
    adapter.load()
    request = check_image_request(entry, PROMPT, seed=2, steps=4)
    previews: list[Image.Image | None] = []
    plain = adapter.generate(request, lambda *_: None)
    watched = adapter.generate(request, lambda _step, _total, preview: previews.append(preview()))
    assert [preview.size for preview in previews if preview] == [(64, 64)] * 4
    assert pixel_sha256(plain.image) == pixel_sha256(watched.image)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", "-1"], "4,294,967,295"),
        (["--seed", str(2**32)], str(2**32)),
        (["--steps", "0"], "1 to 200"),
        (["--steps", "1000"], "1 to 200"),
        (["--count", "0"], "Number of images"),
        (["--guidance", "nan"], "Guidance"),
        (["--size", "100"], "64 x 64"),
        (["--model", "nothing"], "tiny"),
        (["--models", "tiny,nothing"], "nothing"),
        (["--models", "tiny,tiny"], "named twice"),
        (["--seeds", "3-1"], "0-4 or 1,5,9-12"),
        (["--seeds", "1", "--count", "2"], "--seeds or --count"),
        (["--prompts", "prompts.csv"], "--prompts FILE"),
    ],
)
def test_a_value_outside_what_is_allowed_is_refused_before_anything_is_made(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
):
    out = tmp_path / "out"
    assert main(["generate", PROMPT, "--home", str(home), "--out", str(out), *options]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_named(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").touch()
    arguments = ["generate", PROMPT, "--home", str(home), "--out", str(tmp_path / "file" / "out")]
    assert main(arguments) == 2
    assert "--out" in capsys.readouterr().err


def test_ctrl_c_ends_the_command_with_whole_files_only(home: Path, tmp_path: Path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "msdm_core", "generate", PROMPT, "--home", str(home),
         "--out", str(out), "--count", "5000", "--steps", "20"],
        cwd=ROOT, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        # A test run in the background hands down that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline_s = time.monotonic() + 90
    while not list(out.glob("*.png")) and time.monotonic() < deadline_s:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    files = list(out.iterdir())
    assert files
    for path in files:
        assert path.suffix == ".png"
        assert pixels(path).shape == (64, 64, 3)


@pytest.mark.parametrize("command", [[], ["generate"], ["models"]])
def test_help_explains_each_command_without_importing_torch(command: list[str]):
    code = (
        "import sys\n"
        "from msdm_core.__main__ import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: print('EXIT', end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"],
        capture_output=True, text=True, cwd=ROOT, env=os.environ, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.strip().endswith("EXIT 0 False")
    assert "usage: python -m msdm_core" in done.stdout


def test_a_wrong_command_is_answered_with_the_right_ones():
    done = run("draw")
    assert done.returncode == 2
    assert "generate" in done.stderr
    assert "Traceback" not in done.stderr
