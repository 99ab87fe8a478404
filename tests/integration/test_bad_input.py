"""Contract: whatever is typed, missing, damaged or full is answered with a clear message; the app
lives on, and nothing half-written stays.
"""

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from msdm_core.errors import CheckpointError, GenerationError, RequestError
from msdm_core.generation.adapters import make_adapter
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.comparison_panel import render_job
from msdm_core.generation.history import JobStatus
from msdm_core.generation.panel import TermGroup, render_history, render_terms
from msdm_core.generation.request import MAX_PROMPT_CHARACTERS, check_image_request, check_request
from msdm_core.generation.service import GenerationService
from msdm_core.generation.weights import WeightsSource
from msdm_core.settings import read_settings
from tests.server import offer_checkpoint

ENTRY = ModelEntry("tiny", "msdm", "Tiny MSDM", "MIT", 64, (64,), WeightsSource(path="nowhere"))


def open_service(home: Path) -> GenerationService:
    service = GenerationService(read_settings(environment={"MSDM_HOME": str(home)}))
    service.start()
    return service


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """The checkpoint that the app offers; a test that damages it makes it whole again."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("served") / "checkpoint"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Path:
    home = tmp_path_factory.mktemp("served") / "home"
    offer_checkpoint(home, served, size_px=64)
    return home


@pytest.fixture(scope="module")
def service(home: Path):
    """One for all tests, since its process takes seconds to start."""
    service = open_service(home)
    yield service
    service.close()


def asked(service: GenerationService, prompt: str = "a polyp", **values: float):
    return check_request([service.catalogue["tiny"]], prompt, seed=1, **{"steps": 2, **values})


def finished(service: GenerationService, request):
    view = service.queue.wait(service.submit(request, "").id, timeout_s=120)
    assert view.status.is_final
    return view


@pytest.mark.parametrize("prompt", [None, "", "  \n\t ", "\u200b\ufeff"])
def test_an_empty_prompt_is_refused(prompt: str | None):
    with pytest.raises(RequestError, match="empty"):
        check_request([ENTRY], prompt)


def test_a_prompt_too_long_is_refused_with_both_lengths():
    with pytest.raises(RequestError, match=r"10,000 .* 2,000"):
        check_request([ENTRY], "a" * 10_000)
    longest = "polyp " * (MAX_PROMPT_CHARACTERS // 6)
    assert check_request([ENTRY], longest).prompt == longest.strip()


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\ud800", "\ue000"])
def test_a_control_character_is_refused_with_its_place(character: str):
    with pytest.raises(RequestError, match=r"U\+.* position 3"):
        check_request([ENTRY], f"a {character}polyp")


def test_line_breaks_and_invisible_marks_of_pasted_text_are_cleaned():
    pasted = "  a\u00ad\r\n sessile\u00a0polyp\u200b, ce\u0301cum "
    assert check_request([ENTRY], pasted).prompt == "a sessile polyp, c\u00e9cum"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seed": -1}, "Seed cannot be -1"),
        ({"seed": 2**32}, "Seed cannot be 4294967296"),
        ({"seed": 1.5}, "Seed cannot be 1.5"),
        ({"seed": float("nan")}, "Seed"),
        ({"steps": 0}, "Steps cannot be 0"),
        ({"steps": 1000}, "1 to 200"),
        ({"guidance": 0.5}, "Guidance cannot be 0.5"),
        ({"guidance": float("inf")}, "Guidance"),
        ({"image_count": 0}, "1 to 8"),
        ({"image_count": 9}, "1 to 8"),
        ({"image_count": None}, "empty"),
        ({"size_px": 63}, "64 x 64"),
    ],
)
def test_a_number_outside_what_is_allowed_is_refused(values: dict[str, float], said: str):
    with pytest.raises(RequestError, match=said):
        check_request([ENTRY], "a polyp", **values)


def test_one_step_is_enough_for_a_picture(service: GenerationService):
    assert finished(service, asked(service, steps=1)).status is JobStatus.DONE


def test_a_prompt_longer_than_the_model_reads_still_gives_a_picture(service: GenerationService):
    view = finished(service, asked(service, "polyp " * 300))
    assert view.status is JobStatus.DONE


def test_a_checkpoint_that_is_removed_is_told_at_once(service: GenerationService, served: Path):
    request = asked(service)
    served.rename(served.with_name("removed"))
    with pytest.raises(CheckpointError, match="does not exist"):
        service.submit(request, "")
    served.with_name("removed").rename(served)
    assert finished(service, request).status is JobStatus.DONE


def test_a_checkpoint_damaged_between_two_jobs_fails_the_second_alone(
    service: GenerationService, served: Path
):
    assert finished(service, asked(service)).status is JobStatus.DONE
    weights = next((served / "unet").glob("*.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    view = service.queue.wait(service.queue.submit(asked(service)), timeout_s=120)
    assert view.status is JobStatus.FAILED
    assert "damaged" in view.message
    assert view.columns[0].message == view.message
    weights.write_bytes(whole)
    assert finished(service, asked(service)).status is JobStatus.DONE


def test_weights_of_another_shape_are_refused_in_plain_words(checkpoint: Path):
    config = checkpoint / "unet" / "config.json"
    values = json.loads(config.read_text())
    values["block_out_channels"] = [2 * width for width in values["block_out_channels"]]
    config.write_text(json.dumps(values))
    entry = ModelEntry(
        "tiny", "msdm", "Tiny MSDM", "MIT", 64, (64,), WeightsSource(path=str(checkpoint))
    )
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        make_adapter(entry).load()


def test_weights_that_are_not_numbers_end_the_job_with_advice(checkpoint: Path):
    from safetensors.torch import load_file, save_file

    path = next((checkpoint / "unet").glob("*.safetensors"))
    spoiled = {
        name: torch.full_like(value, float("nan")) for name, value in load_file(path).items()
    }
    save_file(spoiled, path)
    entry = ModelEntry(
        "tiny", "msdm", "Tiny MSDM", "MIT", 64, (64,), WeightsSource(path=str(checkpoint))
    )
    adapter = make_adapter(entry)
    adapter.load()
    with pytest.raises(GenerationError, match="not numbers at step 1"):
        adapter.generate(check_image_request(entry, "a polyp", seed=1, steps=2), lambda *_: None)


def test_a_job_cancelled_while_drawing_leaves_no_file(service: GenerationService, home: Path):
    view = service.submit(asked(service, steps=200, image_count=8), "")
    service.queue.cancel(view.id)
    assert service.queue.wait(view.id, timeout_s=120).status is JobStatus.CANCELLED
    assert not list(home.rglob("*.part"))
    assert finished(service, asked(service)).status is JobStatus.DONE


def test_two_jobs_at_once_both_get_their_own_picture(service: GenerationService):
    views = [service.submit(asked(service, prompt), "") for prompt in ("a polyp", "an instrument")]
    done = [service.queue.wait(view.id, timeout_s=120) for view in views]
    assert [view.status for view in done] == [JobStatus.DONE] * 2
    assert [view.images[0].provenance["prompt"] for view in done] == ["a polyp", "an instrument"]


def test_what_a_person_typed_is_shown_as_text_and_never_as_markup(service: GenerationService):
    typed = '<img src=x onerror="alert(1)"> ${1+1} {{x}}'
    view = finished(service, asked(service, typed))
    pages = (
        render_job(view, service.catalogue),
        render_history(service.jobs("", 5), [], view.id, has_more=False),
        render_terms([TermGroup(typed, ((typed, typed),), (typed,), ())]),
    )
    for page in pages:
        assert "<img src=x" not in page
        assert 'onerror="' not in page
        assert "&lt;img src=x" in page


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of 20 MiB, which only root can mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small disk needs root")
    command = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_fills_up_fails_the_job_and_the_app_recovers(
    small_disk: Path, checkpoint: Path
):
    offer_checkpoint(small_disk, checkpoint, size_px=64)
    service = open_service(small_disk)
    try:
        assert finished(service, asked(service)).status is JobStatus.DONE
        filler = small_disk / "filler"
        request = asked(service, image_count=8)
        job_id = service.queue.submit(request)
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"\0" * 4096):
                pass
        view = service.queue.wait(job_id, timeout_s=120)
        assert view.status is JobStatus.FAILED
        assert "full" in view.message
        assert not list(small_disk.rglob("*.part"))
        filler.unlink()
        assert finished(service, asked(service)).status is JobStatus.DONE
    finally:
        service.close()
