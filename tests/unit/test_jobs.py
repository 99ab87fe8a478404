"""Contract: jobs run one at a time in their order, can be observed and cancelled at every stage,
save each image whole before showing it, and a failure ends its own job alone.
"""

import errno
import io
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from data.provenance import GeneratedImage, Provenance, read_provenance, utc_now
from msdm_core.errors import GenerationError, JobNotFoundError, RequestError
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.history import History, JobStatus
from msdm_core.generation.jobs import JobQueue
from msdm_core.generation.request import GenerationRequest
from msdm_core.generation.store import ImageStore

STEPS = 4
WAIT_S = 20


class Brush:
    """A family of its own that paints one colour per seed, as slowly as a test lets it."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.stop_at = ""
        self.error: Exception | None = None
        self.running = 0
        self.most_running = 0
        self.loads = 0
        self.previews = 0

    def _pass(self, *stages: str) -> None:
        if self.stop_at in stages:
            self.reached.set()
            assert self.gate.wait(WAIT_S)

    def load(self) -> None:
        self.loads += 1
        self._pass("loading")

    def is_current(self) -> bool:
        return True

    def unload(self) -> None:
        pass

    def generate(self, request: GenerationRequest, on_step: Callable) -> GeneratedImage:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            image = Image.new("RGB", (8, 8), (request.seed % 256, 0, 0))
            for step in range(1, STEPS + 1):
                self._pass(f"step {step}", f"seed {request.seed} step {step}")
                on_step(step, STEPS, lambda: self._preview(image))
            if self.error is not None:
                raise self.error
            self._pass("decoding")
            return GeneratedImage(image, provenance(request))
        finally:
            self.running -= 1

    def _preview(self, image: Image.Image) -> Image.Image:
        self.previews += 1
        return image


def provenance(request: GenerationRequest) -> Provenance:
    return Provenance(
        model_id=request.model_id, model_label="Brush", weights_sha256=None,
        prompt=request.prompt, seed=request.seed, steps=STEPS, guidance=None, scheduler="none",
        width_px=8, height_px=8, library_versions={}, device="cpu", dtype="float32",
        duration_s=0.0, created_at=utc_now(), app_version="test", licence="MIT",
    )  # fmt: skip


class Studio:
    """A queue with its history, store and brush."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.brush = Brush()
        self.history = History(home / "generation.sqlite")
        self.store = ImageStore(home / "generated")
        models = ("tiny", "other")
        entries = {name: ModelEntry(name, "msdm", name, "MIT", 8, (8,)) for name in models}
        self.queue = JobQueue(
            Catalogue(entries), self.history, self.store, lambda _entry: self.brush, queue_limit=3
        )
        self.queue.start()

    def submit(self, seed: int = 1, count: int = 1, model: str = "tiny", owner: str = "") -> str:
        return self.queue.submit(GenerationRequest(model, "a polyp", seed, 8, count), owner)

    def hold_at(self, stage: str) -> None:
        self.brush.gate.clear()
        self.brush.reached.clear()
        self.brush.stop_at = stage

    def release(self) -> None:
        self.brush.gate.set()

    def go_on_to(self, stage: str) -> None:
        """Lets a held job go on and holds it again at `stage`."""
        self.brush.reached.clear()
        self.brush.stop_at = stage
        self.brush.gate.set()
        self.brush.gate.clear()
        assert self.brush.reached.wait(WAIT_S)

    def wait(self, job_id: str):
        view = self.queue.wait(job_id, WAIT_S)
        assert view.status.is_final
        return view

    def files(self) -> list[str]:
        folder = self.home / "generated"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))


@pytest.fixture
def studio(tmp_path: Path):
    studio = Studio(tmp_path)
    yield studio
    studio.release()
    studio.queue.close()
    studio.history.close()


def test_a_job_saves_every_image_with_the_seed_that_made_it(studio: Studio):
    view = studio.wait(studio.submit(seed=2**32 - 1, count=2))
    assert view.status is JobStatus.DONE
    assert [image.seed for image in view.images] == [2**32 - 1, 0]
    content = studio.store.read(view.images[1].file_name)
    found = read_provenance(content)
    assert found is not None
    assert found.seed == 0
    assert found.to_dict() == view.images[1].provenance


def test_jobs_run_one_at_a_time_in_the_order_they_came(studio: Studio):
    studio.hold_at("step 1")
    ids = [studio.submit(seed) for seed in range(3)]
    assert studio.brush.reached.wait(WAIT_S)
    assert [view.id for view in studio.queue.active()] == ids
    assert [studio.queue.view(job_id).queue_position for job_id in ids] == [0, 1, 2]
    studio.release()
    views = [studio.wait(job_id) for job_id in ids]
    assert [view.status for view in views] == [JobStatus.DONE] * 3
    assert studio.brush.most_running == 1
    assert studio.brush.loads == 1


def test_another_model_is_loaded_when_it_is_asked_for(studio: Studio):
    studio.wait(studio.submit(model="tiny"))
    studio.wait(studio.submit(model="other"))
    assert studio.brush.loads == 2


def test_progress_is_seen_by_step(studio: Studio):
    studio.hold_at("step 3")
    job_id = studio.submit(count=2)
    assert studio.brush.reached.wait(WAIT_S)
    view = studio.queue.view(job_id)
    assert (view.status, view.step, view.total_steps) == (JobStatus.RUNNING, 2, STEPS)
    assert view.fraction == pytest.approx(0.25)


def test_previews_are_made_only_while_somebody_looks(studio: Studio):
    studio.wait(studio.submit())
    assert studio.brush.previews == 0
    studio.hold_at("step 1")
    job_id = studio.submit()
    assert studio.brush.reached.wait(WAIT_S)
    assert studio.queue.preview(job_id) is None
    studio.go_on_to("step 3")
    content = studio.queue.preview(job_id)
    assert content is not None
    assert Image.open(io.BytesIO(content)).format == "JPEG"
    studio.release()
    studio.wait(job_id)
    assert studio.queue.preview(job_id) is None


@pytest.mark.parametrize("stage", ["loading", "step 1", "step 4", "decoding"])
def test_a_cancelled_job_ends_without_an_image_at_every_stage(studio: Studio, stage: str):
    studio.hold_at(stage)
    job_id = studio.submit()
    assert studio.brush.reached.wait(WAIT_S)
    studio.queue.cancel(job_id)
    assert studio.queue.view(job_id).is_cancelling
    studio.release()
    assert studio.wait(job_id).status is JobStatus.CANCELLED
    assert studio.files() == []
    assert studio.history.job(job_id).status is JobStatus.CANCELLED


def test_a_job_cancelled_while_its_file_is_written_leaves_nothing(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
):
    job_ids: list[str] = []
    sync = os.fsync

    def cancel_and_sync(descriptor: int) -> None:
        studio.queue.cancel(job_ids[0])
        sync(descriptor)

    studio.hold_at("decoding")
    job_ids.append(studio.submit())
    assert studio.brush.reached.wait(WAIT_S)
    monkeypatch.setattr(os, "fsync", cancel_and_sync)
    studio.release()
    assert studio.wait(job_ids[0]).status is JobStatus.CANCELLED
    assert studio.files() == []


def test_a_waiting_job_is_cancelled_at_once_and_twice_changes_nothing(studio: Studio):
    studio.hold_at("step 1")
    running, waiting = studio.submit(), studio.submit()
    assert studio.brush.reached.wait(WAIT_S)
    studio.queue.cancel(waiting)
    assert studio.queue.view(waiting).status is JobStatus.CANCELLED
    studio.queue.cancel(waiting)
    studio.release()
    assert studio.wait(running).status is JobStatus.DONE


def test_images_saved_before_the_cancel_are_kept(studio: Studio):
    studio.hold_at("seed 2 step 3")
    job_id = studio.submit(seed=1, count=3)
    assert studio.brush.reached.wait(WAIT_S)
    studio.queue.cancel(job_id)
    studio.release()
    view = studio.wait(job_id)
    assert view.status is JobStatus.CANCELLED
    assert "1 of 3" in view.message
    assert studio.files() == [view.images[0].file_name]


def test_a_job_of_another_browser_cannot_be_cancelled(studio: Studio):
    studio.hold_at("step 1")
    job_id = studio.submit(owner="mine")
    with pytest.raises(JobNotFoundError, match="another browser"):
        studio.queue.cancel(job_id, owner="yours")
    studio.release()
    assert studio.wait(job_id).status is JobStatus.DONE


def test_a_known_failure_ends_its_job_alone_with_its_message(studio: Studio):
    studio.brush.error = GenerationError("The model gave no picture.")
    view = studio.wait(studio.submit())
    assert (view.status, view.message) == (JobStatus.FAILED, "The model gave no picture.")
    studio.brush.error = None
    assert studio.wait(studio.submit()).status is JobStatus.DONE


def test_an_unknown_failure_is_logged_under_the_reference_that_is_shown(
    studio: Studio, caplog: pytest.LogCaptureFixture
):
    studio.brush.error = ZeroDivisionError("secret detail")
    view = studio.wait(studio.submit())
    reference = view.message.split()[-1].rstrip(".")
    assert "secret detail" not in view.message
    assert reference in caplog.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (MemoryError(), "memory"),
    ],
)
def test_a_full_machine_is_told_in_plain_words(studio: Studio, error: Exception, said: str):
    studio.brush.error = error
    assert said in studio.wait(studio.submit()).message


def test_a_full_disk_fails_the_job_and_leaves_nothing_half_written(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
):
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        view = studio.wait(studio.submit())
    assert view.status is JobStatus.FAILED
    assert "disk is full" in view.message
    assert studio.files() == []
    assert studio.wait(studio.submit()).status is JobStatus.DONE


def test_more_jobs_than_allowed_are_refused_and_those_waiting_stay(studio: Studio):
    studio.hold_at("step 1")
    ids = [studio.submit()]
    assert studio.brush.reached.wait(WAIT_S)
    ids += [studio.submit() for _ in range(3)]
    with pytest.raises(RequestError, match="3 jobs are waiting"):
        studio.submit()
    studio.release()
    assert {studio.wait(job_id).status for job_id in ids} == {JobStatus.DONE}


def test_closing_stops_the_running_job_as_interrupted(studio: Studio):
    studio.hold_at("step 2")
    job_id = studio.submit()
    assert studio.brush.reached.wait(WAIT_S)
    closing = threading.Thread(target=studio.queue.close)
    closing.start()
    time.sleep(0.05)
    studio.release()
    closing.join(WAIT_S)
    assert studio.history.job(job_id).status is JobStatus.INTERRUPTED


def test_what_a_killed_program_left_half_written_is_removed_at_the_next_start(tmp_path: Path):
    folder = tmp_path / "generated" / "job"
    folder.mkdir(parents=True)
    (folder / ".00.png.0123abcd.part").write_bytes(b"half")
    (folder / "01.png").write_bytes(b"whole")
    ImageStore(tmp_path / "generated")
    assert [path.name for path in folder.iterdir()] == ["01.png"]
