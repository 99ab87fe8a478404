"""What an observer sees of a job: one column a model, one row a seed."""

from dataclasses import dataclass

from msdm_core.generation.history import JobStatus, SavedImage, SavedJob
from msdm_core.generation.request import GenerationRequest


@dataclass(frozen=True, slots=True)
class ColumnView:
    """What an observer sees of one model's part of a job.

    `status` is "queued" also between two rows of the column, while another column is drawn.
    `images` are ordered by their row, `SavedImage.position`. `image_position` is the row being
    drawn; `step` and `total_steps` count the steps of that image; `left_s` is what the rest of this
    column takes alone, None while unknown.
    """

    model_id: str
    status: JobStatus
    message: str = ""
    images: tuple[SavedImage, ...] = ()
    image_position: int = 0
    step: int = 0
    total_steps: int = 0
    has_preview: bool = False
    left_s: float | None = None

    def drawn(self, image_count: int) -> float:
        """Returns how many images of `image_count` are made, the share of a begun one included."""
        if self.status.is_final:
            return float(image_count)
        is_begun = self.status in {JobStatus.RUNNING, JobStatus.SAVING} and self.total_steps
        begun = self.step / self.total_steps if is_begun else 0.0
        # Between the saving of an image and the start of the next one both would count.
        return min(len(self.images) + begun, self.image_position + 1.0, float(image_count))


@dataclass(frozen=True, slots=True)
class JobView:
    """What an observer sees of a job; `columns` are in the order of `request.model_ids`.

    `queue_position` is 1 for the next to run, 0 once it runs. `left_s` is the time until the job
    is done, the jobs before it included while it waits; None while unknown.
    """

    id: str
    owner: str
    status: JobStatus
    message: str
    request: GenerationRequest
    columns: tuple[ColumnView, ...]
    queue_position: int = 0
    is_cancelling: bool = False
    left_s: float | None = None

    @property
    def images(self) -> tuple[SavedImage, ...]:
        """All images, row by row and each row in the order of the columns."""
        order = {model_id: index for index, model_id in enumerate(self.request.model_ids)}
        images = (image for column in self.columns for image in column.images)
        return tuple(sorted(images, key=lambda image: (image.position, order[image.model_id])))

    @property
    def fraction(self) -> float:
        """The share of the job that is done, 0 to 1; a column that failed has nothing left."""
        if self.status is JobStatus.DONE:
            return 1.0
        if self.status is JobStatus.QUEUED:
            return 0.0
        count = self.request.image_count
        return sum(column.drawn(count) for column in self.columns) / (count * len(self.columns))


def view_of_saved(job: SavedJob) -> JobView:
    """Returns the view of a job that only the history still knows."""
    return JobView(
        id=job.id,
        owner=job.owner,
        status=job.status,
        message=job.message,
        request=job.request,
        columns=tuple(
            ColumnView(
                column.model_id,
                column.status,
                column.message,
                tuple(image for image in job.images if image.model_id == column.model_id),
            )
            for column in job.columns
        ),
    )
