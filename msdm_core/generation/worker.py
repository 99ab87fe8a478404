"""The process that draws: `python -m msdm_core.generation.worker`, started by the app.

It holds the models and the learning framework, so that whatever they do ends one picture and not
the app. Orders come on standard input and answers go to standard output, as frames; it ends when
its input is closed, which also happens when the app is killed.

Orders: `warm`; `draw` with a number and a request; `cancel` with the number; `watch`, which asks
for previews for a while. Answers to a drawing: `loading`, `loaded`, `step` (with a JPEG as preview
now and then), and at last one of `drawn` (with the PNG), `cancelled` and `failed`.
"""

import argparse
import functools
import io
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from data.provenance import GeneratedImage, png_bytes
from msdm_core.errors import CoreError, JobCancelled
from msdm_core.generation.adapters import make_adapter
from msdm_core.generation.catalogue import Catalogue
from msdm_core.generation.checkpoint import read_model_index
from msdm_core.generation.frames import read_frame, write_frame
from msdm_core.generation.messages import person_message
from msdm_core.generation.model_cache import ModelCache, ProcessMeter, is_out_of_memory
from msdm_core.generation.request import ImageRequest

logger = logging.getLogger(__name__)

PREVIEW_INTERVAL_S = 0.4
WATCHED_FOR_S = 5.0
JPEG_QUALITY = 82
_FIRST_TO_GO = "500"  # what the system adds to the score by which it chooses whom to stop


class Worker:
    """Takes orders one after the other; a cancel reaches the drawing under way."""

    def __init__(
        self,
        reader: BinaryIO,
        writer: BinaryIO,
        cache: ModelCache,
        on_closed: Callable[[], None] = lambda: None,
        warm: Callable[[], None] = lambda: None,
    ) -> None:
        """Does nothing before `run`.

        Args:
            reader: where orders come from.
            writer: where answers go.
            cache: the models.
            on_closed: called in a thread of its own once the input is closed.
            warm: imports what every model needs.
        """
        self._reader = reader
        self._writer = writer
        self._cache = cache
        self._on_closed = on_closed
        self._warm = warm
        self._orders: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._is_closed = threading.Event()
        self._watched_until_s = 0.0
        self._preview_made_at_s = 0.0

    def run(self) -> None:
        """Works until the input is closed."""
        threading.Thread(target=self._listen, name="orders", daemon=True).start()
        while (order := self._orders.get()) is not None:
            if order["do"] == "warm":
                self._warm()
            else:
                self._draw(int(order["number"]), ImageRequest(**order["request"]))
        self._cache.clear()

    def _listen(self) -> None:
        try:
            while (frame := read_frame(self._reader)) is not None:
                order, _ = frame
                if order["do"] == "cancel":
                    self._cancelled.add(int(order["number"]))
                elif order["do"] == "watch":
                    self._watched_until_s = time.monotonic() + WATCHED_FOR_S
                else:
                    self._orders.put(order)
        finally:
            self._is_closed.set()
            self._orders.put(None)
            self._on_closed()

    def _answer(self, event: str, number: int, content: bytes = b"", **values: object) -> None:
        write_frame(self._writer, {"event": event, "number": number, **values}, content)

    def _draw(self, number: int, request: ImageRequest) -> None:
        try:
            generated = self._generate(number, request)
            provenance = generated.provenance
            content = png_bytes(generated.image, provenance)
            self._cache.settle(request.model_id)
        except JobCancelled:
            self._answer("cancelled", number, resident=self._cache.resident)
        except Exception as error:  # whatever a model does must not end the process
            self._cache.drop(request.model_id)
            is_plain = is_out_of_memory(error) and not isinstance(error, CoreError)
            message = person_message(MemoryError() if is_plain else error)
            self._answer("failed", number, message=message, resident=self._cache.resident)
        else:
            self._answer(
                "drawn", number, content, provenance=provenance.to_dict(),
                resident=self._cache.resident,
            )  # fmt: skip
        finally:
            self._cancelled.discard(number)

    def _generate(self, number: int, request: ImageRequest) -> GeneratedImage:
        self._stop_if_cancelled(number)
        self._answer("loading", number)
        self._warm()
        try:
            return self._generate_once(number, request)
        except Exception as error:
            if not is_out_of_memory(error) or self._cache.resident in {(), (request.model_id,)}:
                raise
            logger.warning("%s did not fit beside other models: alone again.", request.model_id)
        # Outside of the handler, whose error holds on to what was computed so far.
        self._cache.clear()
        return self._generate_once(number, request)

    def _generate_once(self, number: int, request: ImageRequest) -> GeneratedImage:
        adapter, load_s = self._cache.loaded(request.model_id)
        self._answer("loaded", number, load_s=load_s, resident=self._cache.resident)
        self._stop_if_cancelled(number)
        generated = adapter.generate(
            request, lambda step, total, preview: self._on_step(number, step, total, preview)
        )
        self._stop_if_cancelled(number)
        return _with_cost(generated, load_s)

    def _on_step(
        self, number: int, step: int, total: int, preview: Callable[[], Image.Image | None]
    ) -> None:
        self._stop_if_cancelled(number)
        now_s = time.monotonic()
        is_due = now_s - self._preview_made_at_s >= PREVIEW_INTERVAL_S and step < total
        content = b""
        if is_due and now_s < self._watched_until_s:
            content = _jpeg(preview())
            self._preview_made_at_s = time.monotonic()
        self._answer("step", number, content, step=step, total=total)

    def _stop_if_cancelled(self, number: int) -> None:
        if number in self._cancelled or self._is_closed.is_set():
            raise JobCancelled


def _with_cost(generated: GeneratedImage, load_s: float) -> GeneratedImage:
    """Returns the image with what is known here added to the cost that its adapter tells."""
    provenance = generated.provenance
    known = {"duration_s": provenance.duration_s, "load_s": round(load_s, 3)}
    cost = known | dict(provenance.extra.get("cost", {}))
    # A model that was in memory already cost nothing to load, whatever its adapter remembers.
    cost["load_s"] = known["load_s"]
    extra = {**provenance.extra, "cost": cost}
    return GeneratedImage(generated.image, replace(provenance, extra=extra))


def _jpeg(image: Image.Image | None) -> bytes:
    if image is None:
        return b""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def import_libraries(catalogue: Catalogue) -> None:
    """Imports what the models that are ready here need; it takes longer than to load a small one.

    The classes of a checkpoint are named in its folder; looking one up is what imports it.
    """
    import diffusers
    import torch  # noqa: F401 - imported for the time it takes
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    libraries = {"diffusers": diffusers, "transformers": transformers}
    for folder in _ready_folders(catalogue):
        index = read_model_index(folder)
        for value in [["diffusers", index.get("_class_name")], *index.values()]:
            if isinstance(value, list) and len(value) == 2 and value[0] in libraries:
                getattr(libraries[value[0]], str(value[1]), None)


def _ready_folders(catalogue: Catalogue) -> Iterator[Path]:
    for entry in catalogue:
        try:
            if entry.availability().is_ready:
                yield from entry.folders().values()
        except CoreError:  # a checkpoint that is being replaced has nothing to be imported early
            logger.warning("The checkpoint of %s could not be looked at.", entry.id)


def order_of(request: ImageRequest, number: int) -> dict[str, Any]:
    """Returns the order to draw an image."""
    return {"do": "draw", "number": number, "request": asdict(request)}


def _has_cuda(device: str) -> bool:
    import torch

    return device in {"auto", "cuda"} and torch.cuda.is_available()


def take_standard_output() -> BinaryIO:
    """Returns the pipe to the app; whatever a library prints goes to the log instead."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return pipe


def _offer_itself_to_the_system() -> None:
    """Asks to be stopped before the app when the machine runs out of memory."""
    try:
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    except OSError:  # only Linux has it, and a container may forbid it
        return


def main(arguments: Sequence[str] | None = None) -> int:
    """Works for the app until it closes the pipe."""
    parser = argparse.ArgumentParser(prog="python -m msdm_core.generation.worker")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--memory-budget-gib", type=float, required=True)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the app, which closes the pipe
    writer = take_standard_output()
    _offer_itself_to_the_system()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    make = functools.partial(make_adapter, device=options.device, threads=options.threads)
    catalogue = Catalogue.read(options.home)
    cache = ModelCache(
        catalogue,
        make,
        lambda: ProcessMeter(options.memory_budget_gib, _has_cuda(options.device)),
    )
    # A drawing that hangs must not keep the process alive: it leaves without asking it.
    warm = functools.cache(lambda: import_libraries(catalogue))
    worker = Worker(sys.stdin.buffer, writer, cache, on_closed=lambda: os._exit(0), warm=warm)
    try:
        worker.run()
    except BrokenPipeError:  # the app is gone
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
