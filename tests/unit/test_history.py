"""Contract: the history keeps jobs and images over a restart, newest first, in pages, and calls a
job that a stopped program left behind interrupted.
"""

import multiprocessing
import threading
from pathlib import Path

import pytest

from msdm_core.errors import JobNotFoundError, WorkspaceError
from msdm_core.generation.history import History, JobStatus
from msdm_core.generation.request import GenerationRequest
from msdm_core.generation.workspace_lock import WorkspaceLock


def asked(seed: int = 7, prompt: str = "a polyp") -> GenerationRequest:
    return GenerationRequest("tiny", prompt, seed, 64, 2, None, 3.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "generation.sqlite"


@pytest.fixture
def history(path: Path):
    history = History(path)
    yield history
    history.close()


def test_a_job_and_its_images_are_there_after_a_restart(path: Path, history: History):
    prompt = "polyp; DROP TABLE job; -- 'öñ"
    job_id = history.add_job(asked(prompt=prompt), owner="browser")
    second = history.add_image(job_id, 1, 8, "job/01.png", {"seed": 8})
    first = history.add_image(job_id, 0, 7, "job/00.png", {"seed": 7, "prompt": "ö"})
    history.set_status(job_id, JobStatus.DONE)
    history.close()
    again = History(path)
    job = again.job(job_id)
    assert job.request == asked(prompt=prompt)
    assert (job.status, job.owner, job.images) == (JobStatus.DONE, "browser", (first, second))
    assert again.image(first.id) == (job, first)
    again.close()


def test_jobs_are_listed_newest_first_in_pages_that_do_not_overlap(history: History):
    ids = [history.add_job(asked(seed)) for seed in range(5)]
    newest = history.jobs(limit=2)
    older = history.jobs(limit=2, before=newest[-1].number)
    assert [job.id for job in newest + older] == ids[::-1][:4]


def test_jobs_can_be_limited_to_one_browser(history: History):
    history.add_job(asked(), owner="a")
    own = history.add_job(asked(), owner="b")
    assert [job.id for job in history.jobs(owner="b")] == [own]


def test_unfinished_jobs_become_interrupted_and_finished_ones_stay(history: History):
    unfinished = [history.add_job(asked()) for _ in range(4)]
    stages = (JobStatus.QUEUED, JobStatus.LOADING, JobStatus.RUNNING, JobStatus.SAVING)
    for job_id, status in zip(unfinished, stages, strict=True):
        history.set_status(job_id, status)
    done = history.add_job(asked())
    history.set_status(done, JobStatus.DONE)
    assert history.mark_interrupted() == 4
    assert {history.job(job_id).status for job_id in unfinished} == {JobStatus.INTERRUPTED}
    assert history.job(unfinished[0]).message
    assert history.job(done).status is JobStatus.DONE
    assert history.mark_interrupted() == 0


def test_an_unknown_id_is_refused(history: History):
    for find in (history.job, history.image):
        with pytest.raises(JobNotFoundError, match="nothing"):
            find("nothing")


def test_many_threads_write_at_once_and_nothing_is_lost(history: History):
    def add() -> None:
        for seed in range(10):
            history.set_status(history.add_job(asked(seed)), JobStatus.DONE)

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs = history.jobs(limit=100)
    assert len({job.id for job in jobs}) == 60
    assert {job.status for job in jobs} == {JobStatus.DONE}


def test_a_file_that_is_no_database_is_refused_with_its_name(path: Path):
    path.write_text("this is a text file, long enough to be no SQLite header at all")
    with pytest.raises(WorkspaceError, match=r"generation\.sqlite"):
        History(path)


def _hold(home: Path, is_held, may_die) -> None:
    lock = WorkspaceLock(home)
    is_held.set()
    may_die.wait(30)
    del lock


def test_a_workspace_has_one_app_and_is_free_again_when_that_one_is_killed(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    is_held, may_die = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, is_held, may_die))
    other.start()
    assert is_held.wait(30)
    with pytest.raises(WorkspaceError, match="in use"):
        WorkspaceLock(tmp_path)
    other.kill()
    other.join()
    WorkspaceLock(tmp_path).release()
