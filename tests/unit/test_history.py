"""Contract: the history keeps comparisons and images over a restart, newest first, in pages; calls
a job that a stopped program left half done interrupted; and renews a file of an older version
without losing any of it.
"""

import multiprocessing
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from msdm_core.errors import JobNotFoundError, WorkspaceError
from msdm_core.generation.history import History, JobStatus
from msdm_core.generation.history_schema import VERSION, backup_path
from msdm_core.generation.request import GenerationRequest
from msdm_core.generation.workspace_lock import WorkspaceLock


def asked(seed: int = 7, prompt: str = "a polyp") -> GenerationRequest:
    return GenerationRequest(("tiny", "other"), prompt, seed, 64, 2, None, 3.0)


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
    cost = {"load_s": 1.5, "flops": 10**12}
    record = {"seed": 8, "duration_s": 0.5, "steps": 20, "cost": cost}
    last = history.add_image(job_id, "other", 1, "job/01-01.png", record)
    middle = history.add_image(job_id, "tiny", 1, "job/00-01.png", {"seed": 8})
    first = history.add_image(job_id, "other", 0, "job/01-00.png", {"seed": 7, "prompt": "ö"})
    history.set_status(job_id, JobStatus.DONE)
    history.close()
    again = History(path)
    job = again.job(job_id)
    assert job.request == asked(prompt=prompt)
    assert (job.status, job.owner) == (JobStatus.DONE, "browser")
    assert job.images == (first, middle, last)
    assert [image.model_id for image in job.images] == ["other", "tiny", "other"]
    assert last.cost == {"duration_s": 0.5, "steps": 20, "load_s": 1.5, "flops": 10**12}
    assert again.image(first.id) == (job, first)
    again.close()


def test_the_second_image_of_one_place_is_refused(history: History):
    job_id = history.add_job(asked())
    history.add_image(job_id, "tiny", 0, "job/00-00.png", {"seed": 7})
    with pytest.raises(IntegrityError):
        history.add_image(job_id, "tiny", 0, "job/00-00.png", {"seed": 7})


def test_each_column_keeps_how_it_ended(history: History):
    job_id = history.add_job(asked())
    history.set_column(job_id, "other", JobStatus.FAILED, "No picture.")
    assert [column.status for column in history.job(job_id).columns] == [
        JobStatus.QUEUED, JobStatus.FAILED,
    ]  # fmt: skip
    history.set_status(job_id, JobStatus.CANCELLED, "Cancelled.")
    tiny, other = history.job(job_id).columns
    assert (tiny.status, tiny.message) == (JobStatus.CANCELLED, "")
    assert (other.status, other.message) == (JobStatus.FAILED, "No picture.")


def test_jobs_are_listed_newest_first_in_pages_that_do_not_overlap(history: History):
    ids = [history.add_job(asked(seed)) for seed in range(5)]
    newest = history.jobs(limit=2)
    older = history.jobs(limit=2, before=newest[-1].number)
    assert [job.id for job in newest + older] == ids[::-1][:4]


def test_jobs_can_be_limited_to_one_browser(history: History):
    history.add_job(asked(), owner="a")
    own = history.add_job(asked(), owner="b")
    assert [job.id for job in history.jobs(owner="b")] == [own]


def test_begun_jobs_become_interrupted_while_waiting_and_finished_ones_stay(history: History):
    waiting = history.add_job(asked())
    begun = [history.add_job(asked()) for _ in range(3)]
    stages = (JobStatus.LOADING, JobStatus.RUNNING, JobStatus.SAVING)
    for job_id, status in zip(begun, stages, strict=True):
        history.set_status(job_id, status)
    history.add_image(begun[1], "tiny", 0, "job/00-00.png", {"seed": 7})
    history.set_column(begun[1], "other", JobStatus.FAILED, "No picture.")
    done = history.add_job(asked())
    history.set_status(done, JobStatus.DONE)
    assert history.mark_interrupted() == 3
    assert {history.job(job_id).status for job_id in begun} == {JobStatus.INTERRUPTED}
    assert [column.status for column in history.job(begun[1]).columns] == [
        JobStatus.INTERRUPTED, JobStatus.FAILED,
    ]  # fmt: skip
    assert history.job(begun[0]).message
    assert "1 of 4 images are kept" in history.job(begun[1]).message
    assert history.job(done).status is JobStatus.DONE
    assert [job.id for job in history.queued()] == [waiting]
    assert history.mark_interrupted() == 0


def test_different_images_of_a_prompt_are_counted_by_model(history: History):
    for prompt, seed in (("a polyp", 7), ("a polyp", 7), ("a polyp", 8), ("an ulcer", 7)):
        job_id = history.add_job(asked(seed, prompt))
        history.add_image(job_id, "tiny", 0, f"{job_id}/00-00.png", {"seed": seed})
    assert history.count_images("a polyp", "tiny") == 2
    assert history.count_images("a polyp", "other") == 0


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


# A file as version 1 of this software has written it, which noted no version.
VERSION_1 = """
CREATE TABLE job (
    number INTEGER NOT NULL, id VARCHAR NOT NULL, owner VARCHAR NOT NULL,
    created_at VARCHAR NOT NULL, finished_at VARCHAR, status VARCHAR NOT NULL,
    message VARCHAR NOT NULL, model_id VARCHAR NOT NULL, prompt VARCHAR NOT NULL,
    seed INTEGER NOT NULL, image_count INTEGER NOT NULL, size_px INTEGER NOT NULL,
    steps INTEGER, guidance FLOAT, PRIMARY KEY (number), UNIQUE (id));
CREATE INDEX ix_job_owner ON job (owner);
CREATE INDEX ix_job_status ON job (status);
CREATE TABLE image (
    id VARCHAR NOT NULL, job_number INTEGER NOT NULL, position INTEGER NOT NULL,
    seed INTEGER NOT NULL, file_name VARCHAR NOT NULL, created_at VARCHAR NOT NULL,
    provenance VARCHAR NOT NULL, PRIMARY KEY (id),
    FOREIGN KEY(job_number) REFERENCES job (number));
CREATE INDEX ix_image_job_number ON image (job_number);
INSERT INTO job VALUES
    (3, 'done', 'browser', '2026-01-02T03:04:05.678+00:00', '2026-01-02T03:04:09.000+00:00', 'done',
     '', 'msdm-compact-gi', 'a polyp', 4294967295, 2, 256, NULL, 2.5),
    (7, 'failed', '', '2026-01-03T03:04:05.678+00:00', NULL, 'failed', 'The disk is full.',
     'own', 'an ulcer', 5, 1, 128, 30, NULL),
    (9, 'running', '', '2026-01-04T03:04:05.678+00:00', NULL, 'running', '', 'own', 'x', 5, 1, 128,
     30, NULL);
INSERT INTO image VALUES
    ('second', 3, 1, 0, 'done/01.png', '2026-01-02T03:04:07+00:00',
     '{"seed": 0, "duration_s": 1.5, "steps": 20}'),
    ('first', 3, 0, 4294967295, 'done/00.png', '2026-01-02T03:04:06+00:00',
     '{"seed": 4294967295, "duration_s": 1.25, "steps": 20}');
"""


def write_version_1(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode=WAL")
        file.executescript(VERSION_1)


def test_a_file_of_the_first_version_is_renewed_with_all_it_holds(path: Path):
    write_version_1(path)
    history = History(path)
    done = history.job("done")
    assert done.request == GenerationRequest(
        ("msdm-compact-gi",), "a polyp", 4294967295, 256, 2, None, 2.5
    )
    assert (done.number, done.owner, done.status) == (3, "browser", JobStatus.DONE)
    assert done.created_at.isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert [column.status for column in done.columns] == [JobStatus.DONE]
    assert [(image.id, image.seed, image.file_name) for image in done.images] == [
        ("first", 4294967295, "done/00.png"), ("second", 0, "done/01.png"),
    ]  # fmt: skip
    assert done.images[0].model_id == "msdm-compact-gi"
    assert done.images[0].cost == {"duration_s": 1.25, "steps": 20}
    failed = history.job("failed")
    assert failed.columns[0].message == failed.message == "The disk is full."
    assert history.mark_interrupted() == 1
    new = history.add_job(asked())
    assert history.job(new).number == 10
    history.close()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert file.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_renewed_file_has_the_same_tables_as_a_new_one(tmp_path: Path):
    def schema(path: Path) -> set[tuple[str, str]]:
        with closing(sqlite3.connect(path)) as file:
            rows = file.execute("SELECT name, sql FROM sqlite_master").fetchall()
        return {(name, str(sql)) for name, sql in rows}

    write_version_1(tmp_path / "old.sqlite")
    for name in ("old", "new"):
        History(tmp_path / f"{name}.sqlite").close()
    assert schema(tmp_path / "old.sqlite") == schema(tmp_path / "new.sqlite")


def test_the_old_file_is_kept_beside_the_renewed_one(path: Path):
    write_version_1(path)
    History(path).close()
    History(path).close()
    with closing(sqlite3.connect(backup_path(path, 1))) as copy:
        assert copy.execute("SELECT count(*) FROM job").fetchone() == (3,)
        assert copy.execute("SELECT model_id FROM job WHERE id='failed'").fetchone() == ("own",)
    assert not list(path.parent.glob("*.part"))


def test_a_file_that_cannot_be_renewed_stays_as_it_was(path: Path):
    write_version_1(path)
    with closing(sqlite3.connect(path)) as file:
        # Two images of one place, which no version allows.
        file.execute("INSERT INTO image SELECT 'again', 3, 0, seed, '', '', '{}' FROM job LIMIT 1")
        file.commit()
    with pytest.raises(WorkspaceError, match=r"generation\.sqlite cannot be opened"):
        History(path)
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM image").fetchone() == (3,)
        assert file.execute("SELECT model_id FROM job WHERE id='failed'").fetchone() == ("own",)


def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path):
    History(path).close()
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"PRAGMA user_version={VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(WorkspaceError, match=f"version {VERSION + 1}.*Update the software"):
        History(path)
    assert path.read_bytes() == before


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
