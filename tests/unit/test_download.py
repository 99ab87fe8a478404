"""Contract: `python -m msdm_core download NAME` brings exactly what the pipeline loads, goes on
where it stopped, checks every file, and says in one line what is in its way.

The command itself runs, against a server on this machine that speaks the hub's API.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import constants

from msdm_core.__main__ import main
from msdm_core.generation.catalogue import Catalogue
from tests.hub_server import (
    NETWORK,
    TOKEN,
    Hub,
    Repository,
    pipeline_files,
    running_hub,
    weights,
    write_files,
)

ROOT = Path(__file__).parents[2]
HUB_NAME = "lab/model"
UNET = f"unet/{NETWORK}.safetensors"
ENTRY = """
[[model]]
id = "mine"
family = "stable_diffusion"
label = "Mine"
licence = "MIT"
native_size_px = 64
hub = "lab/model"
"""
KANDINSKY = """
[[model]]
id = "mine"
family = "kandinsky"
label = "Mine"
licence = "MIT"
native_size_px = 64
hub = "lab/decoder"
[model.prior]
hub = "lab/prior"
[[model.lora]]
part = "decoder"
hub = "lab/style"
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        hub.repositories[HUB_NAME] = Repository(pipeline_files("StableDiffusionPipeline"))
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "catalogue.toml").write_text(ENTRY, encoding="utf-8")
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def client(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points the client of the hub to our server, as its variables do when it is imported."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home.parent / "hub" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home.parent / "hub" / "token"))
    point_to(hub.address, monkeypatch)


def point_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_URL_HOSTS", frozenset({"127.0.0.1"}))


@dataclass
class Done:
    returncode: int
    stderr: str


Download = Callable[[], Done]


@pytest.fixture
def download(home: Path, capfd: pytest.CaptureFixture[str]) -> Download:
    def run() -> Done:
        capfd.readouterr()
        code = main(["download", "mine", "--home", str(home)])
        return Done(code, capfd.readouterr().err)

    return run


def process_environment(hub: Hub, home: Path) -> dict[str, str]:
    names = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE")
    own = {name: value for name, value in os.environ.items() if name not in names}
    return own | {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(home.parent / "hub"),
        "MSDM_HOME": str(home),
    }


def state(home: Path) -> str:
    return Catalogue.read(home)["mine"].availability().state


def snapshot(home: Path, name: str = HUB_NAME) -> Path:
    folder = home.parent / "hub" / "hub" / f"models--{name.replace('/', '--')}"
    return folder / "snapshots" / ("1" * 40)


def last_line(done: Done) -> str:
    return done.stderr.strip().splitlines()[-1]


def test_exactly_what_the_pipeline_loads_is_fetched_and_the_model_is_ready(
    hub: Hub, home: Path, download: Download
):
    files = hub.repositories[HUB_NAME].files
    needed = {name for name in files if not name.startswith(("safety_checker", "feature_ext"))}
    files |= {
        f"unet/{NETWORK}.fp16.safetensors": weights(7),
        f"unet/{NETWORK}.non_ema.safetensors": weights(8),
        f"unet/{NETWORK}.bin": b"pickle",
        "vae/model.onnx": b"graph",
        "text_encoder/flax_model.msgpack": b"flax",
        "v1-5-pruned.ckpt": b"pickle",
        "v1-5-pruned.safetensors": weights(9),
        "picture.png": b"png",
        "README.md": b"card",
    }
    assert state(home) == "download"
    done = download()
    assert done.returncode == 0, done.stderr
    assert set(hub.fetched()) == needed | {"README.md"}
    assert "downloaded and verified" in done.stderr
    assert "Downloading mine" in done.stderr
    assert state(home) == "ready"


def test_sharded_weights_come_whole_and_without_the_single_file(
    hub: Hub, home: Path, download: Download
):
    files = pipeline_files("StableDiffusionPipeline", {"unet": 3})
    hub.repositories[HUB_NAME].files = files | {UNET: weights(9)}
    done = download()
    assert done.returncode == 0, done.stderr
    assert UNET not in hub.fetched()
    assert len([name for name in hub.fetched() if "-of-00003" in name]) == 3
    assert state(home) == "ready"


def test_both_halves_and_the_lora_weights_of_kandinsky_are_fetched(
    hub: Hub, home: Path, download: Download
):
    (home / "catalogue.toml").write_text(KANDINSKY, encoding="utf-8")
    hub.repositories |= {
        "lab/prior": Repository(pipeline_files("KandinskyV22PriorPipeline")),
        "lab/decoder": Repository(pipeline_files("KandinskyV22Pipeline")),
        "lab/style": Repository({"pytorch_lora_weights.safetensors": weights()}),
    }
    done = download()
    assert done.returncode == 0, done.stderr
    assert (snapshot(home, "lab/prior") / "image_encoder" / "model.safetensors").is_file()
    assert (snapshot(home, "lab/style") / "pytorch_lora_weights.safetensors").is_file()
    assert state(home) == "ready"


def test_a_second_run_says_so_verifies_and_fetches_nothing(
    hub: Hub, home: Path, download: Download
):
    assert download().returncode == 0
    hub.asked.clear()
    done = download()
    assert done.returncode == 0
    assert "already downloaded" in done.stderr
    assert hub.fetched() == []


def test_a_file_that_was_damaged_later_is_found_and_fetched_again(
    hub: Hub, home: Path, download: Download
):
    assert download().returncode == 0
    whole = (snapshot(home) / UNET).read_bytes()
    (snapshot(home) / UNET).resolve().write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    hub.asked.clear()
    done = download()
    assert done.returncode == 0, done.stderr
    assert "is damaged; fetching it again" in done.stderr
    assert hub.fetched() == [UNET]
    assert (snapshot(home) / UNET).read_bytes() == whole


def test_content_with_another_hash_than_promised_is_refused_and_not_kept(
    hub: Hub, home: Path, download: Download
):
    hub.repositories[HUB_NAME].promised[UNET] = "0" * 64
    done = download()
    assert done.returncode == 2
    assert UNET in last_line(done)
    assert "does not have the hash" in last_line(done)
    assert not (snapshot(home) / UNET).exists()
    assert not list((home.parent / "hub").rglob("blobs/0000*"))
    assert state(home) == "download"


def test_a_small_file_with_another_hash_is_refused_too(hub: Hub, home: Path, download: Download):
    hub.repositories[HUB_NAME].promised["unet/config.json"] = "0" * 40
    done = download()
    assert done.returncode == 2
    assert "unet/config.json" in last_line(done)
    assert not (snapshot(home) / "unet" / "config.json").exists()


def test_a_broken_connection_is_taken_up_again_within_the_run(
    hub: Hub, home: Path, download: Download
):
    hub.repositories[HUB_NAME].files[UNET] = weights(count=3 * 2**20)
    hub.cut_after = 11 * 2**20
    done = download()
    assert done.returncode == 0, done.stderr
    assert state(home) == "ready"


def test_an_interrupted_run_goes_on_where_it_stopped(hub: Hub, home: Path, download: Download):
    hub.repositories[HUB_NAME].files[UNET] = weights(count=6 * 2**20)
    hub.stall_after = 12 * 2**20
    process = subprocess.Popen(
        [sys.executable, "-m", "msdm_core", "download", "mine"], cwd=ROOT,
        env=process_environment(hub, home), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        # A test run in the background hands down that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and not any(
        path.stat().st_size for path in (home.parent / "hub").rglob("*.partial")
    ):
        assert process.poll() is None
        time.sleep(0.05)
    (partial,) = (home.parent / "hub").rglob("*.partial")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    kept = partial.stat().st_size
    assert 0 < kept < len(hub.repositories[HUB_NAME].files[UNET])
    assert state(home) == "download"
    hub.stall_after = None
    hub.released.set()
    hub.asked.clear()
    done = download()
    assert done.returncode == 0, done.stderr
    assert hub.ranges() == [f"bytes={kept}-"]
    assert state(home) == "ready"


def test_a_gated_model_says_where_to_accept_and_a_token_opens_it(
    hub: Hub, home: Path, download: Download, monkeypatch: pytest.MonkeyPatch
):
    hub.repositories[HUB_NAME].is_gated = True
    done = download()
    assert done.returncode == 2
    assert f"https://huggingface.co/{HUB_NAME}" in last_line(done)
    assert "hf auth login" in last_line(done)
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    refused = download()
    assert refused.returncode == 2
    assert "has not been given access" in last_line(refused)
    assert "hf_of_somebody_else" not in refused.stderr
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert download().returncode == 0
    assert state(home) == "ready"
    assert hub.store_logins == 0


def test_a_repository_that_is_not_there_is_named(hub: Hub, home: Path, download: Download):
    hub.repositories.clear()
    done = download()
    assert done.returncode == 2
    assert f"no repository '{HUB_NAME}'" in last_line(done)


def test_a_revision_that_is_gone_is_named(hub: Hub, home: Path, download: Download):
    (home / "catalogue.toml").write_text(ENTRY + f'revision = "{"5" * 40}"\n', encoding="utf-8")
    done = download()
    assert done.returncode == 2
    assert f"no revision '{'5' * 40}'" in last_line(done)


def test_weights_that_are_only_pickled_are_refused(hub: Hub, home: Path, download: Download):
    files = hub.repositories[HUB_NAME].files
    files[UNET.replace("safetensors", "bin")] = files.pop(UNET)
    done = download()
    assert done.returncode == 2
    assert "no .safetensors file in unet" in last_line(done)


def test_without_a_network_the_first_download_says_so(
    download: Download, monkeypatch: pytest.MonkeyPatch
):
    point_to("http://127.0.0.1:9", monkeypatch)
    done = download()
    assert done.returncode == 2
    assert "cannot be reached" in last_line(done)


def test_where_going_online_is_forbidden_the_message_names_the_variable(
    download: Download, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = download()
    assert done.returncode == 2
    assert "HF_HUB_OFFLINE" in last_line(done)


def test_without_a_network_what_is_here_is_verified(
    home: Path, download: Download, monkeypatch: pytest.MonkeyPatch
):
    assert download().returncode == 0
    point_to("http://127.0.0.1:9", monkeypatch)
    done = download()
    assert done.returncode == 0, done.stderr
    assert "mine is whole" in done.stderr
    blob = (snapshot(home) / UNET).resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    damaged = download()
    assert damaged.returncode == 2
    assert "is damaged" in last_line(damaged)


def test_too_little_space_is_told_before_anything_is_fetched(
    hub: Hub, home: Path, download: Download
):
    """A listing may promise any size: more than any disk has, here."""
    hub.repositories[HUB_NAME].sizes[UNET] = 10**18
    done = download()
    assert done.returncode == 2
    assert "Not enough space: 1000000000 GB" in last_line(done)
    assert "HF_HOME" in last_line(done)
    assert UNET not in hub.fetched()


def test_an_unknown_name_lists_the_known_ones(
    hub: Hub, home: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["download", "nothing", "--home", str(home)]) == 2
    assert "mine" in capsys.readouterr().err
    assert hub.asked == []


def test_a_folder_of_this_machine_is_nothing_to_download(hub: Hub, home: Path, download: Download):
    write_files(home / "own", pipeline_files("StableDiffusionPipeline"))
    text = ENTRY.replace(f'hub = "{HUB_NAME}"', 'path = "own"')
    (home / "catalogue.toml").write_text(text, encoding="utf-8")
    done = download()
    assert done.returncode == 0
    assert "nothing to download" in done.stderr
    assert hub.asked == []
