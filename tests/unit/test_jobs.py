"""Contract: one job at a time, fair between browsers, each a comparison of models that starts from
the same seeds; seen and cancelled at every stage, saved whole before it is shown. A failure ends
its own column alone, and what waited is taken up by the next app.
"""

import errno
import io
import os
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from data.provenance import read_provenance
from msdm_core.errors import GenerationError, JobNotFoundError, RequestError
from msdm_core.generation.history import JobStatus
from msdm_core.generation.store import ImageStore
from tests.brush import STEPS, WAIT_S, Studio


@pytest.fixture
def studio(tmp_path: Path):
    studio = Studio(tmp_path)
    yield studio
    studio.close()


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
    studio.reach()
    assert [view.id for view in studio.queue.active()] == ids
    assert [studio.queue.view(job_id).queue_position for job_id in ids] == [0, 1, 2]
    studio.release()
    views = [studio.wait(job_id) for job_id in ids]
    assert [view.status for view in views] == [JobStatus.DONE] * 3
    assert studio.brush.most_running == 1
    assert studio.brush.loads == ["tiny"]


def test_each_model_is_loaded_once_where_memory_allows(studio: Studio):
    studio.wait(studio.submit(models=("tiny", "other")))
    studio.wait(studio.submit(models=("other", "tiny")))
    assert studio.brush.loads == ["tiny", "other"]


def test_progress_is_seen_by_step(studio: Studio):
    studio.hold_at("step 3")
    job_id = studio.submit(count=2)
    studio.reach()
    studio.until(lambda: studio.queue.view(job_id).columns[0].step == 2)
    view = studio.queue.view(job_id)
    (column,) = view.columns
    assert (view.status, column.status) == (JobStatus.RUNNING, JobStatus.RUNNING)
    assert (column.step, column.total_steps) == (2, STEPS)
    assert view.fraction == pytest.approx(0.25)


def test_previews_are_made_only_while_somebody_looks(studio: Studio):
    studio.wait(studio.submit())
    assert studio.brush.previews == 0
    studio.hold_at("step 1")
    job_id = studio.submit()
    studio.reach()
    assert studio.queue.preview(job_id, "tiny") is None
    time.sleep(0.1)  # the wish for previews travels through the pipe
    studio.go_on_to("step 3")
    studio.until(lambda: studio.queue.view(job_id).columns[0].has_preview)
    content = studio.queue.preview(job_id, "tiny")
    assert content is not None
    assert Image.open(io.BytesIO(content)).format == "JPEG"
    studio.release()
    studio.wait(job_id)
    assert studio.queue.preview(job_id, "tiny") is None


@pytest.mark.parametrize("stage", ["loading", "step 1", "step 4", "decoding"])
def test_a_cancelled_job_ends_without_an_image_at_every_stage(studio: Studio, stage: str):
    studio.hold_at(stage)
    job_id = studio.submit()
    studio.reach()
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
    studio.reach()
    monkeypatch.setattr(os, "fsync", cancel_and_sync)
    studio.release()
    assert studio.wait(job_ids[0]).status is JobStatus.CANCELLED
    assert studio.files() == []


def test_a_waiting_job_is_cancelled_at_once_and_twice_changes_nothing(studio: Studio):
    studio.hold_at("step 1")
    running, waiting = studio.submit(), studio.submit()
    studio.reach()
    studio.queue.cancel(waiting)
    assert studio.queue.view(waiting).status is JobStatus.CANCELLED
    studio.queue.cancel(waiting)
    studio.release()
    assert studio.wait(running).status is JobStatus.DONE


def test_images_saved_before_the_cancel_are_kept(studio: Studio):
    studio.hold_at("seed 2 step 3")
    job_id = studio.submit(seed=1, count=3)
    studio.reach()
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
    studio.brush.errors["tiny"] = GenerationError("The model gave no picture.")
    view = studio.wait(studio.submit())
    assert (view.status, view.message) == (JobStatus.FAILED, "The model gave no picture.")
    studio.brush.errors.clear()
    assert studio.wait(studio.submit()).status is JobStatus.DONE


def test_an_unknown_failure_is_logged_under_the_reference_that_is_shown(
    studio: Studio, caplog: pytest.LogCaptureFixture
):
    studio.brush.errors["tiny"] = ZeroDivisionError("secret detail")
    view = studio.wait(studio.submit())
    reference = view.message.split()[-1].rstrip(".")
    assert "secret detail" not in view.message
    assert reference in caplog.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (MemoryError(), "not enough memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), "not enough memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "not enough"),
    ],
)
def test_a_full_machine_is_told_in_plain_words(studio: Studio, error: Exception, said: str):
    studio.brush.errors["tiny"] = error
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
    studio.reach()
    ids += [studio.submit() for _ in range(3)]
    with pytest.raises(RequestError, match="3 jobs are waiting"):
        studio.submit()
    studio.release()
    assert {studio.wait(job_id).status for job_id in ids} == {JobStatus.DONE}


def test_closing_stops_the_running_job_as_interrupted(studio: Studio):
    studio.hold_at("step 2")
    job_id = studio.submit()
    studio.reach()
    closing = threading.Thread(target=studio.queue.close)
    closing.start()
    time.sleep(0.05)
    studio.release()
    closing.join(WAIT_S)
    assert studio.queue.view(job_id).columns[0].status is JobStatus.INTERRUPTED
    assert studio.history.job(job_id).status is JobStatus.INTERRUPTED


def test_every_column_of_a_comparison_starts_from_the_same_seeds(studio: Studio):
    view = studio.wait(studio.submit(seed=5, count=2, models=("tiny", "other", "third")))
    assert view.status is JobStatus.DONE
    assert [column.model_id for column in view.columns] == ["tiny", "other", "third"]
    assert [[image.seed for image in column.images] for column in view.columns] == [[5, 6]] * 3
    assert [(image.model_id, image.seed) for image in view.images] == studio.brush.drawn
    assert len(set(studio.files())) == 6
    assert view.images[0].cost["duration_s"] == 0.5
    assert view.images[0].cost["load_s"] > 0
    assert view.images[3].cost["load_s"] == 0


def test_rows_are_filled_one_after_the_other_while_all_models_fit_into_memory(studio: Studio):
    studio.wait(studio.submit(seed=1, count=2, models=("tiny", "other")))
    assert studio.brush.drawn == [("tiny", 1), ("other", 1), ("tiny", 2), ("other", 2)]


def test_a_model_in_memory_draws_first(studio: Studio):
    studio.wait(studio.submit(models=("other",)))
    studio.wait(studio.submit(seed=3, models=("tiny", "other")))
    assert studio.brush.drawn[1:] == [("other", 3), ("tiny", 3)]


def test_where_memory_holds_one_model_each_is_loaded_once_or_twice_and_never_per_row(
    tmp_path: Path,
):
    studio = Studio(tmp_path, budget_bytes=150)
    try:
        studio.wait(studio.submit(seed=1, count=3, models=("tiny", "other")))
        assert studio.brush.loads == ["tiny", "other", "tiny"]
        assert studio.brush.drawn == [
            ("tiny", 1), ("other", 1), ("other", 2), ("other", 3), ("tiny", 2), ("tiny", 3),
        ]  # fmt: skip
        assert studio.brush.used_bytes == 100
    finally:
        studio.close()


def test_a_model_that_runs_out_of_memory_beside_others_draws_without_them(studio: Studio):
    studio.brush.hungry.add("other")
    view = studio.wait(studio.submit(count=2, models=("tiny", "other")))
    assert view.status is JobStatus.DONE, view.message
    assert [len(column.images) for column in view.columns] == [2, 2]
    assert studio.brush.drawn[1:3] == [("other", 1), ("other", 2)]


def test_a_failing_column_tells_why_and_the_others_finish(studio: Studio):
    studio.brush.errors["other"] = GenerationError("The model gave no picture.")
    view = studio.wait(studio.submit(count=2, models=("tiny", "other", "third")))
    assert view.status is JobStatus.DONE
    assert view.message == "Other failed: The model gave no picture."
    done, failed, last = view.columns
    assert (failed.status, failed.message) == (JobStatus.FAILED, "The model gave no picture.")
    assert [len(column.images) for column in (done, failed, last)] == [2, 0, 2]
    assert view.fraction == 1.0
    saved = studio.history.job(view.id)
    assert [column.status for column in saved.columns] == [c.status for c in view.columns]
    assert saved.columns[1].message == failed.message


def test_a_job_whose_every_column_fails_has_failed(studio: Studio):
    for name in ("tiny", "other"):
        studio.brush.errors[name] = GenerationError(f"No picture of {name}.")
    view = studio.wait(studio.submit(models=("tiny", "other")))
    assert view.status is JobStatus.FAILED
    assert "No picture of tiny." in view.message
    assert "No picture of other." in view.message


def test_a_column_that_is_not_drawn_now_waits_and_shows_what_it_has(studio: Studio):
    studio.hold_at("other step 2")
    job_id = studio.submit(count=2, models=("tiny", "other", "third"))
    studio.reach()
    studio.until(lambda: studio.queue.view(job_id).columns[1].step == 1)
    view = studio.queue.view(job_id)
    assert [column.status for column in view.columns] == [
        JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.QUEUED,
    ]  # fmt: skip
    assert [len(column.images) for column in view.columns] == [1, 0, 0]
    assert view.fraction == pytest.approx((1 + 1 / STEPS) / 6)
    studio.release()
    studio.wait(job_id)


def test_a_cancelled_comparison_keeps_its_done_columns(studio: Studio):
    studio.hold_at("other step 2")
    job_id = studio.submit(models=("tiny", "other", "third"))
    studio.reach()
    studio.queue.cancel(job_id)
    studio.release()
    view = studio.wait(job_id)
    assert view.message == "Cancelled. 1 of 3 images are kept."
    assert [column.status for column in view.columns] == [
        JobStatus.DONE, JobStatus.CANCELLED, JobStatus.CANCELLED,
    ]  # fmt: skip


def test_browsers_take_turns_and_each_keeps_its_own_order(tmp_path: Path):
    studio = Studio(tmp_path, queue_limit=32)
    try:
        studio.hold_at("step 1")
        running = studio.submit(seed=0, owner="a")
        studio.reach()
        a = [studio.submit(seed=seed, owner="a") for seed in (1, 2, 3)]
        b = [studio.submit(seed=seed, owner="b") for seed in (11, 12)]
        c = studio.submit(seed=21, owner="c")
        expected = [b[0], c, a[0], b[1], a[1], a[2]]
        assert [view.id for view in studio.queue.active()] == [running, *expected]
        assert [studio.queue.view(job_id).queue_position for job_id in expected] == [
            1, 2, 3, 4, 5, 6,
        ]  # fmt: skip
        studio.release()
        for job_id in expected:
            studio.wait(job_id)
        assert [seed for _, seed in studio.brush.drawn] == [0, 11, 21, 1, 12, 2, 3]
    finally:
        studio.close()


def test_one_browser_cannot_take_every_place_in_the_queue(tmp_path: Path):
    studio = Studio(tmp_path, queue_limit=8)
    try:
        studio.hold_at("step 1")
        studio.submit(owner="a")
        studio.reach()
        for _ in range(6):
            studio.submit(owner="a")
        with pytest.raises(RequestError, match="6 jobs are waiting"):
            studio.submit(owner="a")
        studio.submit(owner="b")
        studio.submit(owner="c")
        with pytest.raises(RequestError, match="8 jobs are waiting"):
            studio.submit(owner="d")
    finally:
        studio.close()


def test_time_left_is_unknown_at_first_then_measured_and_counts_the_jobs_before(studio: Studio):
    studio.hold_at("step 1")
    first = studio.submit(count=2)
    studio.reach()
    assert studio.queue.view(first).left_s is None
    assert studio.queue.view(first).columns[0].left_s is None
    studio.release()
    studio.wait(first)
    studio.hold_at("step 1")
    running, waiting = studio.submit(count=2), studio.submit(count=3)
    unknown = studio.submit(models=("other",))
    studio.reach()
    # Each image is said to take half a second; nothing of the first is done yet.
    assert studio.queue.view(running).left_s == pytest.approx(1.0)
    assert studio.queue.view(waiting).left_s == pytest.approx(1.0 + 1.5)
    assert studio.queue.view(unknown).left_s is None
    studio.release()
    assert studio.wait(running).left_s is None


def test_a_fresh_app_estimates_from_what_the_history_knows(studio: Studio):
    studio.wait(studio.submit())
    studio.close()
    again = Studio(studio.home)
    try:
        again.hold_at("loading")
        job_id = again.submit(count=2)
        again.reach()
        left_s = again.queue.view(job_id).left_s
        assert left_s is not None
        assert 1.0 < left_s < 2.0  # two images, and a little to load the model
    finally:
        again.close()


def test_what_waited_when_the_app_ended_is_taken_up_in_its_order(studio: Studio):
    studio.hold_at("step 2")
    running = studio.submit(seed=0, count=2)
    studio.reach()
    waiting = [studio.submit(seed=seed, models=("tiny", "other")) for seed in (1, 2)]
    closing = threading.Thread(target=studio.queue.close)
    closing.start()
    studio.release()
    closing.join(WAIT_S)
    studio.history.close()
    again = Studio(studio.home)
    try:
        assert again.queue.view(running).status is JobStatus.INTERRUPTED
        assert [again.wait(job_id).status for job_id in waiting] == [JobStatus.DONE] * 2
        assert [seed for model, seed in again.brush.drawn if model == "tiny"] == [1, 2]
    finally:
        again.close()


def test_what_a_killed_program_left_half_written_is_removed_at_the_next_start(tmp_path: Path):
    folder = tmp_path / "generated" / "job"
    folder.mkdir(parents=True)
    (folder / ".00.png.0123abcd.part").write_bytes(b"half")
    (folder / "01.png").write_bytes(b"whole")
    ImageStore(tmp_path / "generated")
    assert [path.name for path in folder.iterdir()] == ["01.png"]
