"""What an observer sees of a job."""

from dataclasses import dataclass

from msdm_core.generation.history import JobStatus, SavedImage, SavedJob
from msdm_core.generation.request import GenerationRequest


@dataclass(frozen=True, slots=True)
class JobView:
    """What an observer sees of a job.

    `queue_position` is 1 for the next to run, 0 once it runs; `left_s` is None while unknown.
    """

    id: str
    owner: str
    status: JobStatus
    message: str
    request: GenerationRequest
    images: tuple[SavedImage, ...]
    queue_position: int = 0
    image_position: int = 0
    step: int = 0
    total_steps: int = 0
    has_preview: bool = False
    is_cancelling: bool = False
    left_s: float | None = None

    @property
    def fraction(self) -> float:
        """The share of the job that is done, 0 to 1."""
        if self.status is JobStatus.DONE:
            return 1.0
        if self.status in {JobStatus.QUEUED, JobStatus.LOADING}:
            return 0.0
        of_image = self.step / self.total_steps if self.total_steps else 0.0
        # The image just saved is counted by its position until the next one starts.
        done = min(self.image_position + of_image, self.request.image_count)
        return done / self.request.image_count


def view_of_saved(job: SavedJob) -> JobView:
    """Returns the view of a job that only the history still knows."""
    return JobView(
        id=job.id,
        owner=job.owner,
        status=job.status,
        message=job.message,
        request=job.request,
        images=job.images,
    )
