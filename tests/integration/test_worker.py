"""Contract: models run in a process of their own. Whatever becomes of it ends one column with a
message that a person understands; the rest goes on in a fresh one, and none is left behind.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file, save_file

from data.provenance import pixel_sha256
from data.study_inbox import open_png
from msdm_core.errors import WorkerError
from msdm_core.generation.history import JobStatus
from msdm_core.generation.request import ImageRequest, check_request
from msdm_core.generation.service import GenerationService
from msdm_core.generation.worker_process import WorkerProcess
from msdm_core.settings import read_settings
from tests.brush import Studio, start_brush
from tests.server import ROOT, clean_environment, offer_checkpoint

MODELS = ("tiny", "second", "third")
WAIT_S = 120
posix_only = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX are sent")

# Draws until it is killed; prints the id of the process that draws once it has begun.
ABANDONED = """
import sys, time
from msdm_core.generation.request import check_request
from msdm_core.generation.service import GenerationService
from msdm_core.settings import read_settings
service = GenerationService(read_settings(environment={"MSDM_HOME": sys.argv[1]}))
service.start()
asked = check_request([service.catalogue["tiny"]], "a polyp", seed=1, steps=200, image_count=8)
view = service.submit(asked, "")
waiting = [service.submit(check_request([service.catalogue["tiny"]], "later", seed=2, steps=1), "")
           for _ in range(2)]
while not service.queue.view(view.id).images: time.sleep(0.01)
import psutil
print(psutil.Process().children()[0].pid, view.id, *[job.id for job in waiting], flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A copy whose weights a test may change."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("worker") / "checkpoint"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    home = tmp_path_factory.mktemp("worker") / "home"
    offer_checkpoint(home, checkpoint, 64, MODELS)
    return home


@pytest.fixture(scope="module")
def service(home: Path):
    service = GenerationService(read_settings(environment={"MSDM_HOME": str(home)}))
    service.start()
    yield service
    service.close()
    assert workers() == []


@pytest.fixture
def studio(tmp_path: Path):
    """A queue whose pictures are painted by a process that starts at once."""
    studio = Studio(tmp_path, worker=WorkerProcess(start_brush, cancel_grace_s=0.3))
    yield studio
    studio.close()
    assert brushes() == []


def workers(module: str = "msdm_core.generation.worker") -> list[psutil.Process]:
    """Returns the processes that draw for this one."""
    return [child for child in psutil.Process().children() if module in child.cmdline()]


def brushes() -> list[psutil.Process]:
    return workers("tests.brush")


def until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def submit(service: GenerationService, models=MODELS, steps: int = 2, count: int = 1) -> str:
    entries = [service.catalogue[name] for name in models]
    asked = check_request(entries, "a polyp", seed=1, steps=steps, image_count=count)
    return service.submit(asked, "").id


def finish(service: GenerationService, job_id: str):
    view = service.queue.wait(job_id, WAIT_S)
    assert view.status.is_final
    return view


def test_warming_up_starts_the_process_once_and_does_not_wait_for_it(service: GenerationService):
    assert workers() == []
    started_s = time.monotonic()
    service.warm_up()
    service.warm_up()
    assert time.monotonic() - started_s < 1
    assert len(workers()) == 1
    pid = workers()[0].pid
    assert finish(service, submit(service, ("tiny",))).status is JobStatus.DONE
    assert [worker.pid for worker in workers()] == [pid]


def test_three_models_draw_the_same_request_in_one_process(service: GenerationService):
    view = finish(service, submit(service, count=2))
    assert view.status is JobStatus.DONE, view.message
    assert len(workers()) == 1
    # The three are one checkpoint here, so equal pictures show that all had the same start.
    pictures = [open_png(service.store.read(image.file_name)) for image in view.images]
    assert len({pixel_sha256(picture) for picture in pictures[:3]}) == 1
    assert len({pixel_sha256(picture) for picture in pictures}) == 2
    assert [image.seed for image in view.images] == [1, 1, 1, 2, 2, 2]
    first, second = view.columns[1].images
    assert first.cost["load_s"] > 0
    assert second.cost["load_s"] == 0
    assert min(first.cost["duration_s"], second.cost["duration_s"]) > 0


@posix_only
def test_a_process_killed_for_its_memory_fails_its_column_and_a_fresh_one_goes_on(
    service: GenerationService,
):
    job_id = submit(service, steps=100)
    until(lambda: service.queue.view(job_id).columns[0].step > 3)
    killed = workers()[0]
    drawing = next(c for c in service.queue.view(job_id).columns if c.step > 3)
    killed.kill()
    view = finish(service, job_id)
    assert view.status is JobStatus.DONE
    failed = [column for column in view.columns if column.status is JobStatus.FAILED]
    assert [column.model_id for column in failed] == [drawing.model_id]
    assert "ran out of memory" in failed[0].message
    assert "Tiny MSDM failed" in view.message
    assert [worker.pid for worker in workers()] != [killed.pid]


@posix_only
def test_a_crash_is_told_as_a_crash_and_the_other_columns_finish(studio: Studio):
    job_id = studio.submit(count=8, models=("tiny", "other"))
    until(lambda: studio.queue.view(job_id).columns[1].step > 0)
    brushes()[0].send_signal(signal.SIGSEGV)
    view = studio.wait(job_id)
    assert view.status is JobStatus.DONE
    failed, other = sorted(view.columns, key=lambda column: column.status is JobStatus.DONE)
    assert failed.status is JobStatus.FAILED
    assert "crashed (SIGSEGV)" in failed.message
    assert len(other.images) == 8
    assert [image.position for image in failed.images] == list(range(len(failed.images)))


@posix_only
def test_a_process_that_died_while_nobody_needed_it_is_not_noticed(studio: Studio):
    studio.wait(studio.submit())
    brushes()[0].kill()
    assert studio.wait(studio.submit()).status is JobStatus.DONE


@posix_only
def test_a_process_that_hangs_is_ended_soon_after_a_cancel(studio: Studio):
    job_id = studio.submit(count=8)
    until(lambda: studio.queue.view(job_id).columns[0].step > 0)
    hanging = brushes()[0]
    hanging.suspend()
    waiting = studio.submit()
    studio.queue.cancel(job_id)
    started_s = time.monotonic()
    assert studio.wait(job_id).status is JobStatus.CANCELLED
    assert time.monotonic() - started_s < 10
    assert studio.wait(waiting).status is JobStatus.DONE
    assert [brush.pid for brush in brushes()] != [hanging.pid]


@posix_only
def test_a_process_that_gives_no_sign_is_ended_with_a_message(tmp_path: Path):
    studio = Studio(tmp_path, worker=WorkerProcess(start_brush, silence_limit_s=3.0))
    try:
        job_id = studio.submit(count=8)
        until(lambda: studio.queue.view(job_id).columns[0].step > 0)
        brushes()[0].suspend()
        view = studio.wait(job_id)
        assert view.status is JobStatus.FAILED
        assert "gave no sign" in view.message
    finally:
        studio.close()
    assert brushes() == []


def test_a_process_that_cannot_start_is_told_and_not_tried_for_ever(tmp_path: Path):
    started = []

    def launch():
        started.append(1)
        return subprocess.Popen(
            [sys.executable, "-c", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    worker = WorkerProcess(launch)
    with pytest.raises(WorkerError, match="as soon as it is started"):
        worker.draw(ImageRequest("tiny", "a polyp", 1, 64), lambda *_: None, lambda: False)
    assert len(started) == 2
    worker.close()


def test_closing_in_the_middle_of_a_drawing_leaves_no_process(studio: Studio):
    job_id = studio.submit(count=8)
    until(lambda: studio.queue.view(job_id).columns[0].step > 0)
    started_s = time.monotonic()
    studio.queue.close()
    assert time.monotonic() - started_s < 10
    assert brushes() == []
    assert studio.queue.view(job_id).status is JobStatus.INTERRUPTED
    with pytest.raises(WorkerError, match="stopping"):
        studio.worker.draw(ImageRequest("tiny", "a polyp", 1, 8), lambda *_: None, lambda: False)


@posix_only
def test_a_killed_app_takes_its_process_along_and_the_next_knows_what_waited(
    tmp_path: Path, tiny_checkpoint: Path
):
    home = tmp_path / "home"
    offer_checkpoint(home, tiny_checkpoint, 64)
    abandoned = subprocess.Popen(
        [sys.executable, "-c", ABANDONED, str(home)],
        cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert abandoned.stdout is not None
    pid, running, *waiting = abandoned.stdout.readline().split()
    abandoned.kill()
    abandoned.wait()
    abandoned.stdout.close()
    until(lambda: not _is_alive(int(pid)))
    service = GenerationService(read_settings(environment={"MSDM_HOME": str(home)}))
    try:
        view = service.queue.view(running)
        assert view.status is JobStatus.INTERRUPTED
        assert 1 <= len(view.images) < 8
        assert f"{len(view.images)} of 8 images are kept" in view.message
        assert [service.queue.view(job_id).queue_position for job_id in waiting] == [1, 2]
    finally:
        service.close()


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_weights_that_changed_on_the_disk_are_loaded_anew(
    service: GenerationService, checkpoint: Path
):
    path = next((checkpoint / "unet").glob("*.safetensors"))
    whole = path.read_bytes()
    before = finish(service, submit(service, ("tiny",))).images[0]
    save_file({name: value + 0.01 for name, value in load_file(path).items()}, path)
    after = finish(service, submit(service, ("tiny",))).images[0]
    path.write_bytes(whole)
    assert before.provenance["weights_sha256"] != after.provenance["weights_sha256"]
    assert after.cost["load_s"] > 0
