"""Contract: for every model it is told whether it can run here, and if not, why and what changes
that: from files and the machine's own account of its memory, without torch.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from msdm_core.errors import CheckpointError
from msdm_core.generation import memory
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.memory import parse_gpus, read_memory
from msdm_core.generation.weights import LoraEntry, WeightsSource
from tests.hub_server import NETWORK, pipeline_files, weights, write_files

ROOT = Path(__file__).parents[2]
COMMIT = "1" * 40
SD = ModelEntry(
    "mine", "stable_diffusion", "Mine", "MIT", 64, (64,), WeightsSource(hub="lab/model"),
    download_bytes=4_300_000_000,
)  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and nobody logged in."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def put_in_cache(cache: Path, hub: str, files: dict[str, bytes]) -> Path:
    repository = cache / f"models--{hub.replace('/', '--')}"
    write_files(repository, {"refs/main": COMMIT.encode()})
    return write_files(repository / "snapshots" / COMMIT, files)


def test_a_folder_that_is_not_there_is_missing(tmp_path: Path):
    entry = dataclasses.replace(SD, weights=WeightsSource(path=str(tmp_path / "none")))
    found = entry.availability()
    assert found.state == "missing"
    assert "none" in found.why
    assert found.next_step


def test_a_shipped_checkpoint_that_is_gone_is_restored_by_git():
    entry = dataclasses.replace(SD, weights=WeightsSource(checkpoint="gone"))
    found = entry.availability()
    assert found.state == "missing"
    assert found.next_step == "Restore it: git checkout -- data/checkpoints/gone"


def test_a_hub_model_that_is_not_here_names_its_size_and_the_one_command():
    found = SD.availability()
    assert found.state == "download"
    assert "lab/model" in found.why
    assert "4.3 GB" in found.why
    assert found.next_step == "Download it: python -m msdm_core download mine"
    with pytest.raises(CheckpointError, match="python -m msdm_core download mine"):
        SD.require_ready()


def test_a_whole_download_is_ready_without_the_parts_that_are_never_loaded(cache: Path):
    files = pipeline_files("StableDiffusionPipeline")
    unused = ("safety_checker", "feature_extractor")
    kept = {name: content for name, content in files.items() if not name.startswith(unused)}
    folder = put_in_cache(cache, "lab/model", kept)
    assert SD.availability().is_ready
    assert SD.folders() == {"": folder}
    pinned = dataclasses.replace(SD, weights=WeightsSource(hub="lab/model", revision=COMMIT))
    assert pinned.availability().is_ready
    other = dataclasses.replace(SD, weights=WeightsSource(hub="lab/model", revision="2" * 40))
    assert other.availability().state == "download"


@pytest.mark.parametrize(
    "absent",
    [
        f"unet/{NETWORK}-00002-of-00003.safetensors",
        f"vae/{NETWORK}.safetensors",
        "tokenizer/",
        "text_encoder/config.json",
        "model_index.json",
    ],
)
def test_a_download_that_lacks_a_file_is_to_be_downloaded_and_not_ready(cache: Path, absent: str):
    files = pipeline_files("StableDiffusionPipeline", {"unet": 3})
    kept = {name: content for name, content in files.items() if not name.startswith(absent)}
    assert kept.keys() < files.keys()
    put_in_cache(cache, "lab/model", kept)
    found = SD.availability()
    assert found.state == "download"
    assert "in part" in found.why
    assert SD.weights.folder is None
    with pytest.raises(CheckpointError):
        SD.folders()


def test_a_link_to_a_file_that_is_not_there_counts_as_absent(cache: Path):
    folder = put_in_cache(cache, "lab/model", pipeline_files("StableDiffusionPipeline"))
    path = folder / "unet" / f"{NETWORK}.safetensors"
    path.unlink()
    path.symlink_to(cache / "nowhere")
    assert SD.availability().state == "download"


def test_a_truncated_file_of_a_download_is_broken_and_repaired_by_the_same_command(cache: Path):
    folder = put_in_cache(cache, "lab/model", pipeline_files("StableDiffusionPipeline"))
    assert SD.availability().is_ready
    path = folder / "unet" / f"{NETWORK}.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    found = SD.availability()
    assert found.state == "broken"
    assert "damaged" in found.why
    assert "python -m msdm_core download mine" in found.next_step


def test_a_foreign_pipeline_is_broken(cache: Path):
    put_in_cache(cache, "lab/model", pipeline_files("FluxPipeline"))
    found = SD.availability()
    assert found.state == "broken"
    assert "holds a FluxPipeline; this family needs StableDiffusionPipeline" in found.why


@pytest.mark.parametrize(
    ("family", "pipeline"), [("flux", "FluxPipeline"), ("msdm", "MSDMPipeline")]
)
def test_a_whole_folder_of_each_family_is_ready(tmp_path: Path, family, pipeline: str):
    folder = write_files(tmp_path / "model", pipeline_files(pipeline))
    entry = dataclasses.replace(SD, family=family, weights=WeightsSource(path=str(folder)))
    assert entry.availability().is_ready
    assert entry.resolved_defaults() == (12, 2.5)


def kandinsky(tmp_path: Path) -> ModelEntry:
    write_files(tmp_path / "prior", pipeline_files("KandinskyV22PriorPipeline"))
    write_files(tmp_path / "decoder", pipeline_files("KandinskyV22Pipeline"))
    return dataclasses.replace(SD, family="kandinsky", weights=WeightsSource(path=str(tmp_path)))


def test_kandinsky_needs_both_of_its_folders(tmp_path: Path):
    entry = kandinsky(tmp_path)
    assert entry.availability().is_ready
    assert entry.folders() == {"prior": tmp_path / "prior", "decoder": tmp_path / "decoder"}
    (tmp_path / "prior" / "image_encoder" / "model.safetensors").unlink()
    found = entry.availability()
    assert found.state == "broken"
    assert "image_encoder" in found.why


def test_the_halves_of_kandinsky_are_not_exchanged(tmp_path: Path):
    entry = kandinsky(tmp_path)
    swapped = dataclasses.replace(
        entry,
        weights=WeightsSource(path=str(tmp_path / "prior")),
        prior=WeightsSource(path=str(tmp_path / "decoder")),
    )
    assert swapped.availability().state == "broken"


def test_half_of_kandinsky_in_the_cache_leaves_a_download(cache: Path):
    entry = dataclasses.replace(
        SD, family="kandinsky", weights=WeightsSource(hub="lab/decoder"),
        prior=WeightsSource(hub="lab/prior"),
    )  # fmt: skip
    put_in_cache(cache, "lab/prior", pipeline_files("KandinskyV22PriorPipeline"))
    found = entry.availability()
    assert found.state == "download"
    assert found.why.startswith("lab/decoder is not downloaded")


def test_lora_weights_count_as_the_model_does(tmp_path: Path, cache: Path):
    folder = write_files(tmp_path / "model", pipeline_files("FluxPipeline"))
    plain = dataclasses.replace(SD, family="flux", weights=WeightsSource(path=str(folder)))
    hub = dataclasses.replace(plain, loras=(LoraEntry("", WeightsSource(hub="lab/style")),))
    assert hub.availability().state == "download"
    put_in_cache(cache, "lab/style", {"pytorch_lora_weights.safetensors": weights()})
    assert hub.availability().is_ready
    source = WeightsSource(path=str(tmp_path / "style"))
    local = dataclasses.replace(plain, loras=(LoraEntry("", source, "mine.safetensors"),))
    found = local.availability()
    assert found.state == "missing"
    assert "mine.safetensors" in found.why
    write_files(tmp_path / "style", {"mine.safetensors": weights()[:-3]})
    assert local.availability().state == "broken"
    write_files(tmp_path / "style", {"mine.safetensors": weights()})
    assert local.availability().is_ready
    assert local.weights_sha256() != plain.weights_sha256()


def test_a_gated_model_tells_where_to_accept_until_somebody_is_logged_in(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    entry = dataclasses.replace(SD, is_gated=True)
    found = entry.availability()
    assert found.state == "gated"
    assert "https://huggingface.co/lab/model" in found.next_step
    assert "hf auth login" in found.next_step
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    assert entry.availability().state == "download"
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text("hf_x")
    assert entry.availability().state == "download"
    (tmp_path / "token").unlink()
    put_in_cache(cache, "lab/model", pipeline_files("StableDiffusionPipeline"))
    assert entry.availability().is_ready


def test_memory_that_no_machine_has_is_told_with_what_was_asked_and_found():
    found = dataclasses.replace(SD, least_memory_gib=1e6, least_gpu_memory_gib=2e6).availability()
    assert found.state == "memory"
    assert "a GPU with 2e+06 GiB or 1e+06 GiB of main memory" in found.why
    assert f"found: {read_memory().total_bytes / memory.GIB:.1f} GiB" in found.why
    assert "not downloaded" in found.why
    assert found.next_step


def write_driver(folder: Path, line: str) -> Path:
    """Writes a program that answers as the driver of a card does."""
    path = folder / "bin" / "nvidia-smi"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path.parent


@pytest.fixture
def path_of_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def use(line: str) -> None:
        folder = write_driver(tmp_path, line)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(memory, "_gpus", None)

    yield use
    memory._gpus = None


def test_a_card_that_holds_the_model_makes_up_for_main_memory(path_of_driver):
    path_of_driver('echo "0, GPU-1, Card A, 24564, 20000"')
    asks = dataclasses.replace(SD, least_memory_gib=1e6, least_gpu_memory_gib=23.0, needs_gpu=True)
    assert asks.availability().state == "download"
    assert asks.availability("cpu").state == "memory"
    small = dataclasses.replace(asks, least_gpu_memory_gib=30.0)
    found = small.availability()
    assert found.state == "memory"
    assert "a GPU with 24.0 GiB" in found.why


def test_a_small_card_is_enough_where_the_rest_waits_in_main_memory(path_of_driver):
    path_of_driver('echo "0, GPU-1, Card A, 8192, 8000"')
    asks = dataclasses.replace(SD, least_memory_gib=0.1, least_gpu_memory_gib=30.0, needs_gpu=True)
    assert asks.availability().state == "download"
    assert dataclasses.replace(asks, offload="none").availability().state == "memory"


def test_a_model_of_a_card_alone_needs_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "_gpus", (time.monotonic(), ()))
    found = dataclasses.replace(SD, needs_gpu=True, least_gpu_memory_gib=24.0).availability()
    assert found.state == "memory"
    assert "It needs a GPU with 24 GiB; found:" in found.why
    assert "no NVIDIA GPU" in found.why


def test_a_driver_that_does_not_answer_is_given_up(path_of_driver, monkeypatch):
    monkeypatch.setattr(memory, "GPU_QUERY_LIMIT_S", 0.2)
    path_of_driver("exec sleep 30")
    started_s = time.monotonic()
    assert read_memory().gpus == ()
    assert time.monotonic() - started_s < 5


def test_cards_are_those_the_process_may_see():
    answer = (
        "0, GPU-a1, Card A, 24564, 20000\n1, GPU-b2, Card B, 8192, 8000\n2, GPU-c3, C, [N/A], 1"
    )
    assert [card.name for card in parse_gpus(answer)] == ["Card A", "Card B"]
    assert [card.name for card in parse_gpus(answer, "1")] == ["Card B"]
    assert [card.name for card in parse_gpus(answer, "GPU-a1")] == ["Card A"]
    assert parse_gpus(answer)[0].total_bytes == 24564 * 2**20


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/a/b\n", {"sys/fs/cgroup/a/memory.max": b"1000000\n",
                       "sys/fs/cgroup/a/b/memory.max": b"max\n",
                       "sys/fs/cgroup/a/memory.current": b"700000\n",
                       "sys/fs/cgroup/a/memory.stat": b"anon 5\ninactive_file 100000\n"}),
        ("5:memory:/a\n", {"sys/fs/cgroup/memory/a/memory.limit_in_bytes": b"1000000\n",
                           "sys/fs/cgroup/memory/memory.limit_in_bytes": b"9223372036854771712\n",
                           "sys/fs/cgroup/memory/a/memory.usage_in_bytes": b"600000\n"}),
    ],
    ids=["version 2", "version 1"],
)  # fmt: skip
def test_the_limit_of_a_container_is_respected(tmp_path: Path, own: str, files: dict[str, bytes]):
    write_files(tmp_path, {"proc/self/cgroup": own.encode(), **files})
    found = read_memory(tmp_path)
    assert (found.total_bytes, found.available_bytes) == (1_000_000, 400_000)


def test_asking_again_is_cheap_and_sees_every_change(tmp_path: Path):
    folder = write_files(tmp_path / "model", pipeline_files("FluxPipeline", {"transformer": 3}))
    entry = dataclasses.replace(SD, family="flux", weights=WeightsSource(path=str(folder)))
    assert entry.availability().is_ready
    started_s = time.monotonic()
    for _ in range(100):
        assert entry.availability().is_ready
    assert time.monotonic() - started_s < 1.0
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": "Other"}))
    assert entry.availability().state == "broken"


def test_the_state_of_every_shipped_model_is_known_without_torch():
    code = (
        "import sys; from msdm_core.generation.catalogue import Catalogue; "
        "print([m.availability().state for m in Catalogue.read()], 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip().endswith("False")
    for model in Catalogue.read():
        found = model.availability()
        assert found.is_ready == (not found.why) == (not found.next_step)
