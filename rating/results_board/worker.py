"""Has results computed beside the requests of raters: one study after the other."""

import dataclasses
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from rating.results.results import Computed, FigureFiles, Results

Exclusions = tuple[tuple[str, str], ...]


@dataclasses.dataclass(slots=True)
class Job:
    """What is being computed, written by the worker and read by screens.

    Args:
        words:    What is done now.
        computed: The results, None until they are there.
        figures:  The figures on a light ground, None until they are drawn.
        error:    Why there are no results.
        figures_error: Why there are no figures.
        ended:    Set when nothing more comes.
    """

    words: str = "Waiting for its turn"
    computed: Computed | None = None
    figures: tuple[FigureFiles, ...] | None = None
    error: Exception | None = None
    figures_error: Exception | None = None
    ended: threading.Event = dataclasses.field(default_factory=threading.Event)

    @property
    def is_drawn(self) -> bool:
        """Whether figures are there, or known not to come."""
        return self.figures is not None or self.figures_error is not None


class Worker:
    """Takes orders; the same order twice is one job while it is not done."""

    def __init__(self, results: Results) -> None:
        """Compute with `results`."""
        self._results = results
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="results")
        self._turn = threading.Lock()
        self._jobs: dict[tuple[str, Exclusions], Job] = {}

    def order(self, code: str, excluded: Exclusions) -> Job:
        """Return the job of these results: the one that runs already, or a new one."""
        with self._turn:
            job = self._jobs.get((code, excluded))
            if job is not None and not job.ended.is_set():
                return job
            self._forget()
            job = self._jobs[code, excluded] = Job()
            self._threads.submit(self._run, job, code, dict(excluded))
        return job

    def find(self, code: str, excluded: Exclusions) -> Job | None:
        """Return the last job of these results."""
        return self._jobs.get((code, excluded))

    def _forget(self) -> None:
        """Let go of what was done: `Results` keeps what is worth it."""
        done = [key for key, job in self._jobs.items() if job.ended.is_set()]
        for key in done[:-4]:
            del self._jobs[key]

    def _run(self, job: Job, code: str, excluded: Mapping[str, str]) -> None:
        def tell(words: str) -> None:
            job.words = words

        try:
            job.computed = self._results.computed(code, excluded, tell)
        except Exception as error:  # told on the screen, see `told_error`
            job.error = error
            job.ended.set()
            return
        try:
            tell("Drawing the figures")
            job.figures = self._results.figures(code, excluded, "light")
            self._results.figures(code, excluded, "dark")
        except Exception as error:
            job.figures_error = error
        finally:
            job.ended.set()
