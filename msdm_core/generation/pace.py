"""How long a picture of a model takes here, measured, so that waiting can be told in seconds."""

from collections.abc import Iterable

from msdm_core.generation.history import SavedImage, SavedJob
from msdm_core.generation.request import ImageRequest

_WEIGHT_OF_LATEST = 0.5


class Pace:
    """Time per step and per loading, by model."""

    def __init__(self) -> None:
        """Knows nothing yet."""
        self._step_s: dict[tuple[str, int], float] = {}
        self._load_s: dict[str, float] = {}
        self._default_steps: dict[tuple[str, int], int] = {}

    def learn_from(self, images: Iterable[tuple[SavedJob, SavedImage]]) -> None:
        """Learns from what the history knows, the oldest first."""
        for job, image in images:
            self.learn(job.request.image(image.model_id, image.position), image)

    def learn(self, request: ImageRequest, image: SavedImage) -> None:
        """Learns from one image and the request that it was made for."""
        key = (request.model_id, request.size_px)
        duration_s, steps = image.cost.get("duration_s"), image.cost.get("steps")
        if duration_s and steps:
            latest = duration_s / steps
            before = self._step_s.get(key, latest)
            self._step_s[key] = before + _WEIGHT_OF_LATEST * (latest - before)
            if request.steps is None:
                self._default_steps[key] = steps
        # 0 says that the model was in memory already, not that loading is free.
        if load_s := image.cost.get("load_s"):
            self._load_s[request.model_id] = load_s

    def image_s(self, request: ImageRequest) -> float | None:
        """Returns how long an image takes once its model is loaded; None while unknown."""
        key = (request.model_id, request.size_px)
        steps = request.steps or self._default_steps.get(key)
        step_s = self._step_s.get(key)
        return None if steps is None or step_s is None else steps * step_s

    def load_s(self, model_id: str) -> float | None:
        """Returns how long it takes to load a model; None while unknown."""
        return self._load_s.get(model_id)
