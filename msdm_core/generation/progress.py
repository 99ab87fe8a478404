"""Progress of a command on standard error, with the time left."""

import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from msdm_core.generation.quantities import show_duration


class Progress:
    """One line that tells model, image, step and time left.

    A terminal sees it change with every step, a log file gets one line an image.
    """

    def __init__(
        self, counts: Mapping[str, int], image_s: Mapping[str, float] | None = None
    ) -> None:
        """Counts what is to be done.

        Args:
            counts: images to draw by model, in the order of work.
            image_s: seconds an image takes by model, where known from before.
        """
        self._left = dict(counts)
        self._total = sum(counts.values())
        self._image_s = dict(image_s or {})
        self._model = ""
        self._label = ""
        self._measured: list[float] = []
        self._started_at = 0.0
        self._first_step_at: float | None = None
        self._is_terminal = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Shows a text in place of the progress."""
        if self._is_terminal:
            # A line that wraps could not be removed again.
            shown = text[: shutil.get_terminal_size().columns - 1]
            print(f"\r\x1b[K{shown}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Prints a text that stays."""
        self.clear()
        print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Removes the line, where it can be removed."""
        if self._is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def start_model(self, model_id: str, label: str) -> None:
        """Goes on to another model."""
        self._model, self._label, self._measured = model_id, label, []
        self.say(f"Loading {label}")

    def start_image(self) -> None:
        """Starts the clock of an image."""
        self._started_at = time.monotonic()
        self._first_step_at = None

    def end_image(self, *, is_drawn: bool = True) -> None:
        """Counts an image as dealt with; only drawn ones tell how long one takes."""
        if is_drawn:
            # The first image of a model warms caches: later ones tell more.
            self._measured = [*self._measured[-20:], time.monotonic() - self._started_at]
            times = self._measured[1:] or self._measured
            self._image_s[self._model] = sum(times) / len(times)
        self._left[self._model] -= 1
        self.clear()

    def step(self, step: int, total: int, _preview: Callable[[], Any]) -> None:
        """Shows a step of the present image; an `OnStep`."""
        now = time.monotonic()
        image_s = self._image_s.get(self._model)
        if self._first_step_at is None:
            self._first_step_at = now
        elif image_s is None:
            image_s = (now - self._first_step_at) / max(step - 1, 1) * total
        if self._is_terminal or step == total:
            left = "" if image_s is None else f", {self._time_left(image_s, step / total)}"
            number = self._total - sum(self._left.values()) + 1
            place = f"Image {number} of {self._total}"
            self.say(f"{place}, {self._label}, step {step} of {total}{left}")

    def _time_left(self, image_s: float, share: float) -> str:
        """Returns the time left in words; models never timed make it a lower bound."""
        left_s = (self._left[self._model] - share) * image_s
        others = {m: n for m, n in self._left.items() if m != self._model and n}
        left_s += sum(count * self._image_s.get(model, 0.0) for model, count in others.items())
        least = "at least " if others.keys() - self._image_s.keys() else ""
        return f"{least}{show_duration(left_s)} left"
