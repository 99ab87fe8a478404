"""A model family of the tests that paints one colour per seed, and a queue that draws with it.

The worker runs in a thread here, behind the same pipes and frames as in its process; or, with
`python -m tests.brush`, in a process that is started at once, since it needs no learning framework.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from data.provenance import GeneratedImage, Provenance, utc_now
from msdm_core.generation.catalogue import Catalogue, ModelEntry
from msdm_core.generation.history import History
from msdm_core.generation.jobs import JobQueue
from msdm_core.generation.model_cache import ModelCache
from msdm_core.generation.request import GenerationRequest, ImageRequest
from msdm_core.generation.store import ImageStore
from msdm_core.generation.worker import Worker, take_standard_output
from msdm_core.generation.worker_process import WorkerProcess

STEPS = 4
WAIT_S = 20
MODELS = ("tiny", "other", "third")


def entry(model_id: str, **values: object) -> ModelEntry:
    """Returns an entry of the catalogue that no file belongs to."""
    return ModelEntry(
        model_id,
        "msdm",
        model_id.capitalize(),
        "MIT",
        8,
        (8,),
        **values,  # type: ignore[arg-type]
    )


def provenance(request: ImageRequest, **values: object) -> Provenance:
    """Returns the record of an image that a brush has painted."""
    known = {
        "model_id": request.model_id, "model_label": "Brush", "weights_sha256": None,
        "prompt": request.prompt, "seed": request.seed, "steps": request.steps or STEPS,
        "guidance": None, "scheduler": "none", "width_px": 8, "height_px": 8,
        "library_versions": {}, "device": "cpu", "dtype": "float32", "duration_s": 0.5,
        "created_at": utc_now(), "app_version": "test", "licence": "MIT",
    }  # fmt: skip
    return Provenance(**(known | values))


class Brush:
    """What all models of the tests paint with, as slowly as a test lets them."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.stop_at = ""
        self.errors: dict[str, Exception] = {}
        self.running = 0
        self.most_running = 0
        self.loads: list[str] = []
        self.drawn: list[tuple[str, int]] = []
        self.previews = 0
        self.used_bytes = 0
        self.step_s = 0.0
        self.hungry: set[str] = set()  # models that draw only while no other is in memory

    def adapter(self, model: ModelEntry) -> "BrushAdapter":
        return BrushAdapter(self, model)

    def pass_by(self, *stages: str) -> None:
        if self.stop_at in stages:
            self.reached.set()
            assert self.gate.wait(WAIT_S)


class BrushAdapter:
    """One model; loading takes 100 bytes of the memory that the brush pretends to use."""

    def __init__(self, brush: Brush, model: ModelEntry) -> None:
        self.brush = brush
        self.model = model
        self.is_loaded = False

    def load(self) -> None:
        self.brush.loads.append(self.model.id)
        self.brush.pass_by("loading", f"loading {self.model.id}")
        time.sleep(0.01)  # a loading that can be measured
        self.brush.used_bytes += 100
        self.is_loaded = True

    def is_current(self) -> bool:
        return True

    def unload(self) -> None:
        if self.is_loaded:
            self.brush.used_bytes -= 100
        self.is_loaded = False

    def generate(self, request: ImageRequest, on_step: Callable) -> GeneratedImage:
        brush = self.brush
        brush.running += 1
        brush.most_running = max(brush.most_running, brush.running)
        try:
            if request.model_id in brush.hungry and brush.used_bytes > 100:
                raise MemoryError
            image = Image.new("RGB", (8, 8), (request.seed % 256, 0, 0))
            for step in range(1, STEPS + 1):
                name = f"step {step}"
                time.sleep(brush.step_s)
                brush.pass_by(name, f"seed {request.seed} {name}", f"{request.model_id} {name}")
                on_step(step, STEPS, lambda: self._preview(image))
            if (error := brush.errors.get(request.model_id)) is not None:
                raise error
            brush.pass_by("decoding")
            brush.drawn.append((request.model_id, request.seed))
            return GeneratedImage(image, provenance(request))
        finally:
            brush.running -= 1

    def _preview(self, image: Image.Image) -> Image.Image:
        self.brush.previews += 1
        return image


class BrushMeter:
    """The memory that the brush pretends to use."""

    def __init__(self, brush: Brush, budget_bytes: int) -> None:
        self._brush = brush
        self.budget: tuple[int, ...] = (budget_bytes,)

    def used(self) -> tuple[int, ...]:
        return (self._brush.used_bytes,)

    def needed(self, model: ModelEntry) -> tuple[int, ...]:
        return (100,)


def brush_cache(brush: Brush, budget_bytes: int = 1_000) -> ModelCache:
    """Returns a cache of the models of the tests."""
    return ModelCache(catalogue(), brush.adapter, lambda: BrushMeter(brush, budget_bytes))


def catalogue() -> Catalogue:
    """Returns the models of the tests."""
    return Catalogue({name: entry(name) for name in MODELS})


class ThreadChild:
    """A worker in a thread, with the face of a process."""

    def __init__(self, cache: ModelCache) -> None:
        order_in, order_out = os.pipe()
        answer_in, answer_out = os.pipe()
        self.stdin, self._reader = os.fdopen(order_out, "wb"), os.fdopen(order_in, "rb")
        self.stdout, self._writer = os.fdopen(answer_in, "rb"), os.fdopen(answer_out, "wb")
        self._ended = threading.Event()
        self._worker = Worker(self._reader, self._writer, cache)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with contextlib.suppress(BrokenPipeError):
                self._worker.run()
        finally:
            self._ended.set()
            self._reader.close()
            with contextlib.suppress(BrokenPipeError):
                self._writer.close()

    def poll(self) -> int | None:
        return 0 if self._ended.is_set() else None

    def wait(self, timeout: float | None = None) -> int:
        self._ended.wait(timeout)
        return 0

    def kill(self) -> None:
        pass


class Studio:
    """A queue with its history, store and brush."""

    def __init__(
        self,
        home: Path,
        budget_bytes: int = 1_000,
        queue_limit: int = 3,
        worker: WorkerProcess | None = None,
    ) -> None:
        self.home = home
        self.brush = Brush()
        self.history = History(home / "generation.sqlite")
        self.history.mark_interrupted()
        self.store = ImageStore(home / "generated")
        cache = brush_cache(self.brush, budget_bytes)
        self.worker = worker or WorkerProcess(lambda: ThreadChild(cache))
        self.queue = JobQueue(catalogue(), self.history, self.store, self.worker, queue_limit)
        self.queue.start()

    def submit(
        self, seed: int = 1, count: int = 1, models: tuple[str, ...] = ("tiny",), owner: str = ""
    ) -> str:
        return self.queue.submit(GenerationRequest(models, "a polyp", seed, 8, count), owner)

    def hold_at(self, stage: str) -> None:
        self.brush.gate.clear()
        self.brush.reached.clear()
        self.brush.stop_at = stage

    def reach(self) -> None:
        assert self.brush.reached.wait(WAIT_S)

    def release(self) -> None:
        self.brush.gate.set()

    def go_on_to(self, stage: str) -> None:
        """Lets a held job go on and holds it again at `stage`."""
        self.brush.reached.clear()
        self.brush.stop_at = stage
        self.brush.gate.set()
        self.brush.gate.clear()
        self.reach()

    def until(self, is_so: Callable[[], bool]) -> None:
        """Waits for what another thread brings about."""
        deadline_s = time.monotonic() + WAIT_S
        while not is_so():
            assert time.monotonic() < deadline_s
            time.sleep(0.005)

    def wait(self, job_id: str):
        view = self.queue.wait(job_id, WAIT_S)
        assert view.status.is_final
        return view

    def files(self) -> list[str]:
        folder = self.home / "generated"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))

    def close(self) -> None:
        self.release()
        self.queue.close()
        self.history.close()


def start_brush() -> subprocess.Popen[bytes]:
    """Returns a process that paints one step in 20 ms."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.brush"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def main() -> None:
    """Works for the process that has started this one, as the real worker does."""
    brush = Brush()
    brush.step_s = 0.02
    writer = take_standard_output()
    print("what a library prints must not reach the app")
    Worker(sys.stdin.buffer, writer, brush_cache(brush), on_closed=lambda: os._exit(0)).run()


if __name__ == "__main__":
    main()
