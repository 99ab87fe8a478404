"""Contract: what is seen of a job adds up: its images in the order of the screen, its share done,
and the same from the history as from the queue.
"""

import pytest

from msdm_core.generation.history import History, JobStatus, SavedImage
from msdm_core.generation.job_view import ColumnView, JobView, view_of_saved
from msdm_core.generation.request import GenerationRequest
from msdm_core.generation.routes import state_of

REQUEST = GenerationRequest(("b", "a"), "a polyp", 7, 64, 2)


def image(model_id: str, row: int) -> SavedImage:
    return SavedImage(f"{model_id}{row}", row, 7 + row, "x.png", {}, model_id, {"duration_s": 1.0})


def view(status: JobStatus, *columns: ColumnView) -> JobView:
    return JobView("job", "", status, "", REQUEST, columns)


def test_images_come_row_by_row_in_the_order_of_the_columns():
    columns = (
        ColumnView("b", JobStatus.DONE, images=(image("b", 0), image("b", 1))),
        ColumnView("a", JobStatus.QUEUED, images=(image("a", 0),)),
    )
    images = view(JobStatus.RUNNING, *columns).images
    assert [(image.model_id, image.position) for image in images] == [("b", 0), ("a", 0), ("b", 1)]


@pytest.mark.parametrize(
    ("column", "drawn"),
    [
        (ColumnView("a", JobStatus.QUEUED), 0),
        (ColumnView("a", JobStatus.LOADING, image_position=0, step=0), 0),
        (ColumnView("a", JobStatus.RUNNING, step=5, total_steps=10), 0.5),
        (ColumnView("a", JobStatus.SAVING, step=10, total_steps=10), 1),
        (ColumnView("a", JobStatus.QUEUED, images=(image("a", 0),), step=10, total_steps=10), 1),
        (
            ColumnView("a", JobStatus.RUNNING, "", (image("a", 0),), 1, step=5, total_steps=10),
            1.5,
        ),
        # Saved already, and its last step still stands.
        (ColumnView("a", JobStatus.SAVING, "", (image("a", 0),), 0, step=10, total_steps=10), 1),
        (ColumnView("a", JobStatus.FAILED, "No picture."), 2),
    ],
)
def test_the_share_done_never_counts_an_image_twice(column: ColumnView, drawn: float):
    assert column.drawn(2) == drawn
    other = ColumnView("b", JobStatus.QUEUED)
    assert view(JobStatus.RUNNING, other, column).fraction == pytest.approx(drawn / 4)


def test_a_waiting_job_has_done_nothing_and_a_done_one_all():
    failed = ColumnView("a", JobStatus.FAILED, "No picture.")
    assert view(JobStatus.QUEUED, ColumnView("b", JobStatus.QUEUED)).fraction == 0
    assert view(JobStatus.DONE, failed, ColumnView("b", JobStatus.DONE)).fraction == 1


def test_the_history_alone_shows_the_same_comparison(tmp_path):
    history = History(tmp_path / "generation.sqlite")
    job_id = history.add_job(REQUEST, "browser")
    for model_id in ("a", "b"):
        history.add_image(job_id, model_id, 0, "x.png", {"seed": 7})
    history.set_column(job_id, "a", JobStatus.FAILED, "No picture.")
    history.set_status(job_id, JobStatus.DONE, "A failed.")
    seen = view_of_saved(history.job(job_id))
    history.close()
    assert (seen.request, seen.owner, seen.message) == (REQUEST, "browser", "A failed.")
    assert [column.status for column in seen.columns] == [JobStatus.DONE, JobStatus.FAILED]
    assert [len(column.images) for column in seen.columns] == [1, 1]


def test_the_state_for_scripts_names_every_column_and_image():
    running = ColumnView("a", JobStatus.RUNNING, "", (image("a", 0),), 1, 3, 10, left_s=2.5)
    state = state_of(view(JobStatus.RUNNING, ColumnView("b", JobStatus.QUEUED), running))
    assert (state["status"], state["is_final"], state["seed"]) == ("running", False, 7)
    waiting, drawing = state["columns"]
    assert (waiting["model_id"], waiting["step"], waiting["images"]) == ("b", None, [])
    assert (drawing["step"], drawing["total_steps"], drawing["left_s"]) == (3, 10, 2.5)
    assert drawing["images"] == [
        {"id": "a0", "url": "/generated/images/a0.png", "row": 1, "seed": 7,
         "cost": {"duration_s": 1.0}},
    ]  # fmt: skip
