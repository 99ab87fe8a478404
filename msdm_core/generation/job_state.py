"""A job while the queue knows it: its columns, which picture is next, and what is left to do."""

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from msdm_core.generation.history import JobStatus, SavedImage
from msdm_core.generation.job_view import ColumnView, JobView
from msdm_core.generation.pace import Pace
from msdm_core.generation.request import GenerationRequest


@dataclass(slots=True)
class Column:
    """One model of a job."""

    model_id: str
    status: JobStatus = JobStatus.QUEUED
    message: str = ""
    images: list[SavedImage] = field(default_factory=list)
    position: int = 0  # the row being drawn
    step: int = 0
    total_steps: int = 0
    preview: bytes | None = None
    first_step_at_s: float | None = None
    steps_since_first: int = 0

    def begin(self, position: int) -> None:
        """Gets ready for the image of a row."""
        self.position, self.step, self.preview = position, 0, None
        self.first_step_at_s, self.steps_since_first = None, 0

    def count_step(self, step: int, total: int) -> None:
        """Notes that a step is done."""
        if self.first_step_at_s is None:
            self.first_step_at_s = time.monotonic()
        else:
            self.steps_since_first += 1
        self.step, self.total_steps = step, total

    def step_s(self) -> float | None:
        """Returns the time a step of the image being drawn takes; None before two of them."""
        if self.first_step_at_s is None or not self.steps_since_first:
            return None
        return (time.monotonic() - self.first_step_at_s) / (self.steps_since_first + 1)

    def left_s(
        self, request: GenerationRequest, pace: Pace, resident: Collection[str]
    ) -> float | None:
        """Returns how long the rest of the column takes, None while unknown."""
        if self.status.is_final:
            return 0.0
        step_s = self.step_s()
        image_s = pace.image_s(request.image(self.model_id, 0))
        if image_s is None and step_s is not None:
            image_s = step_s * self.total_steps
        if image_s is None:
            return None
        rows = request.image_count - len(self.images)
        if self.status in {JobStatus.RUNNING, JobStatus.SAVING}:
            share = self.step / self.total_steps if self.total_steps else 0.0
            begun_s = image_s * (1 - share)
            if step_s is not None:
                begun_s = step_s * (self.total_steps - self.step)
            return max(0, rows - 1) * image_s + begun_s
        load_s = 0.0 if self.model_id in resident else pace.load_s(self.model_id)
        return None if load_s is None else load_s + rows * image_s

    def view(self, request: GenerationRequest, pace: Pace, resident: Collection[str]) -> ColumnView:
        """Returns what an observer sees."""
        return ColumnView(
            model_id=self.model_id,
            status=self.status,
            message=self.message,
            images=tuple(self.images),
            image_position=self.position,
            step=self.step,
            total_steps=self.total_steps,
            has_preview=self.preview is not None,
            left_s=None if self.status.is_final else self.left_s(request, pace, resident),
        )


@dataclass(slots=True, eq=False)
class Job:
    """One comparison, waiting or running."""

    id: str
    owner: str
    request: GenerationRequest
    columns: list[Column]
    status: JobStatus = JobStatus.QUEUED
    message: str = ""
    is_cancelled: threading.Event = field(default_factory=threading.Event)
    loaded: set[str] = field(default_factory=set)
    is_by_column: bool = False
    latest: Column | None = None

    @classmethod
    def of(cls, job_id: str, owner: str, request: GenerationRequest) -> "Job":
        """Returns a waiting job."""
        return cls(job_id, owner, request, [Column(model_id) for model_id in request.model_ids])

    def next_cell(self, resident: Collection[str]) -> tuple[Column, int] | None:
        """Returns the column and row to draw next, None when nothing is left.

        Row by row, so that what belongs side by side is there first; in a row, models in memory
        come first, since their pictures are there soonest. Once the models of the job turn out not
        to fit into memory together, column by column, so that each is loaded once.
        """
        pending = [column for column in self.columns if not column.status.is_final]
        if not pending:
            return None
        if self.is_by_column and self.latest in pending:
            chosen = self.latest
        else:
            fewest = min(len(column.images) for column in pending)
            chosen = min(
                (c for c in pending if self.is_by_column or len(c.images) == fewest),
                key=lambda column: column.model_id not in resident,
            )
        self.latest = chosen
        return chosen, len(chosen.images)

    def note_loaded(self, resident: Collection[str]) -> None:
        """Notes which models are in memory, and whether one had to go that is still needed."""
        needed = {column.model_id for column in self.columns if not column.status.is_final}
        if (self.loaded & needed) - set(resident):
            self.is_by_column = True
        self.loaded |= needed & set(resident)

    def left_s(self, pace: Pace, resident: Collection[str]) -> float | None:
        """Returns how long the rest of the job takes, None while unknown."""
        known = [column.left_s(self.request, pace, resident) for column in self.columns]
        return None if None in known else sum(left for left in known if left is not None)

    def view(
        self,
        queue_position: int,
        left_s: float | None,
        pace: Pace,
        resident: Collection[str],
    ) -> JobView:
        """Returns what an observer sees."""
        return JobView(
            id=self.id,
            owner=self.owner,
            status=self.status,
            message=self.message,
            request=self.request,
            columns=tuple(column.view(self.request, pace, resident) for column in self.columns),
            queue_position=queue_position,
            is_cancelling=self.is_cancelled.is_set() and not self.status.is_final,
            left_s=None if self.status.is_final else left_s,
        )
