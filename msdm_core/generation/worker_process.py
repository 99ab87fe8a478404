"""The app's side of the process that draws: start, send, watch, restart.

This side never imports a learning framework. When the process ends while it draws, that one
drawing fails with a message and the next is drawn by a fresh process.
"""

import json
import logging
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from data.provenance import Provenance
from msdm_core.errors import GenerationError, JobCancelled, WorkerError
from msdm_core.generation.frames import read_frame, write_frame
from msdm_core.generation.request import ImageRequest
from msdm_core.generation.worker import order_of

logger = logging.getLogger(__name__)

POLL_S = 0.05
CANCEL_GRACE_S = 30.0  # longer than importing the libraries takes
SILENCE_LIMIT_S = 3600.0
CLOSE_GRACE_S = 3.0
WATCH_INTERVAL_S = 1.0
ROOT = Path(__file__).parents[2]

OnEvent = Callable[[Mapping[str, Any], bytes], None]
"""Called with each answer to a drawing before its last, and with its JPEG if it has one."""


class Child(Protocol):
    """A started process, as `subprocess.Popen` is one."""

    @property
    def stdin(self) -> BinaryIO:
        """Where orders go."""

    @property
    def stdout(self) -> BinaryIO:
        """Where answers come from."""

    def poll(self) -> int | None:
        """Returns the exit status, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Returns the exit status once it has ended."""

    def kill(self) -> None:
        """Ends it at once."""


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """A picture as PNG with its record, as the process that draws has handed it over."""

    content: bytes
    provenance: Provenance


def start_worker(home: Path, device: str, threads: int, memory_budget_gib: float) -> Child:
    """Returns a fresh process that draws; its log joins that of the app."""
    command = [
        sys.executable, "-m", "msdm_core.generation.worker", "--home", str(home),
        "--device", device, "--threads", str(threads),
        "--memory-budget-gib", str(memory_budget_gib),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return process  # type: ignore[return-value]  # its pipes are there, which the types do not say


class _Line:
    """One process and what it says, read by a thread of its own."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.answers: queue.SimpleQueue[tuple[dict[str, Any], bytes] | None] = queue.SimpleQueue()
        self._sending = threading.Lock()
        threading.Thread(target=self._listen, name="answers", daemon=True).start()

    def send(self, order: Mapping[str, Any]) -> bool:
        """Sends an order; returns whether the process still takes any."""
        try:
            with self._sending:
                write_frame(self.child.stdin, order)
        except (OSError, ValueError):  # a pipe that broke, or one that is closed here
            return False
        return True

    def end(self, grace_s: float) -> int:
        """Ends the process, forcibly after `grace_s`, and returns its exit status."""
        try:
            self.child.stdin.close()
        except OSError:  # what was still to be flushed has no reader
            pass
        if grace_s <= 0:
            self.child.kill()
        try:
            return self.child.wait(max(grace_s, CLOSE_GRACE_S))
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.wait()

    def _listen(self) -> None:
        try:
            while (frame := read_frame(self.child.stdout)) is not None:
                self.answers.put(frame)
        except (WorkerError, OSError, ValueError):
            logger.exception("What the process that draws says cannot be read.")
        finally:
            self.answers.put(None)
            self.child.stdout.close()


class WorkerProcess:
    """The process that draws, started when it is first needed and again whenever it has ended."""

    def __init__(
        self,
        launch: Callable[[], Child],
        cancel_grace_s: float = CANCEL_GRACE_S,
        silence_limit_s: float = SILENCE_LIMIT_S,
    ) -> None:
        """Starts nothing yet.

        Args:
            launch: starts a process.
            cancel_grace_s: how long a cancelled drawing may go on before its process is stopped;
                twice its longest pause between two steps is added.
            silence_limit_s: how long a drawing may give no sign before its process is stopped.
        """
        self._launch = launch
        self._cancel_grace_s = cancel_grace_s
        self._silence_limit_s = silence_limit_s
        self._line: _Line | None = None
        self._guard = threading.Lock()
        self._is_closed = False
        self._number = 0
        self._watched_at_s = 0.0
        self._resident: tuple[str, ...] = ()

    @property
    def resident(self) -> tuple[str, ...]:
        """The models in memory, the least recently used first."""
        return self._resident

    def warm_up(self) -> None:
        """Starts the process and has it import what every model needs; returns at once."""
        with self._guard:
            is_running = self._line is not None and self._line.child.poll() is None
        if is_running or self._is_closed:
            return
        try:
            self._connected().send({"do": "warm"})
        except (OSError, WorkerError):  # told to whoever asks for a picture; nobody has asked yet
            logger.exception("The process that draws could not be started early.")

    def watch(self) -> None:
        """Has previews made for the next few seconds."""
        now_s = time.monotonic()
        line = self._line
        if line is not None and now_s - self._watched_at_s >= WATCH_INTERVAL_S:
            self._watched_at_s = now_s
            line.send({"do": "watch"})

    def draw(
        self, request: ImageRequest, on_event: OnEvent, is_cancelled: Callable[[], bool]
    ) -> DrawnImage:
        """Returns the image of a request; called by one thread at a time.

        Raises:
            GenerationError: the model gave no picture; the message says why.
            WorkerError: the process ended or hung.
            JobCancelled: `is_cancelled` became true.
        """
        drawn = self._try(request, on_event, is_cancelled)
        # It had ended while nobody needed it: a fresh one takes the order.
        drawn = drawn or self._try(request, on_event, is_cancelled)
        if drawn is None:
            raise WorkerError(
                "The process that draws ends as soon as it is started. The log of the app says why."
            )
        return drawn

    def _try(
        self, request: ImageRequest, on_event: OnEvent, is_cancelled: Callable[[], bool]
    ) -> DrawnImage | None:
        """Returns the image, None when the process had ended before it took the order."""
        self._number += 1
        line = self._connected()
        self._watched_at_s = 0.0
        drawing = _Drawing(line, self._number, on_event, is_cancelled, self._resident)
        if not line.send(order_of(request, self._number)):
            self._forget(line)
            return None
        try:
            return self._follow(drawing)
        except WorkerError:
            if drawing.has_begun or self._is_closed:
                raise
            return None
        finally:
            self._resident = drawing.resident
            if drawing.has_ended:
                self._forget(line)

    def close(self) -> None:
        """Ends the process; a drawing under way fails."""
        with self._guard:
            self._is_closed = True
            line, self._line = self._line, None
        if line is not None:
            line.end(CLOSE_GRACE_S)

    def _connected(self) -> _Line:
        with self._guard:
            if self._is_closed:
                raise WorkerError("The program is stopping.")
            if self._line is not None and self._line.child.poll() is not None:
                self._line.end(0)
                self._line = None
            if self._line is None:
                self._resident = ()
                self._line = _Line(self._launch())
            return self._line

    def _forget(self, line: _Line) -> None:
        """Makes sure that the process has ended and is not used again."""
        with self._guard:
            if self._line is line:
                self._line = None
                self._resident = ()
        line.end(0)

    def _follow(self, drawing: "_Drawing") -> DrawnImage:
        while (drawn := drawing.next()) is None:
            self._resident = drawing.resident
            limit_s = self._cancel_grace_s + 2 * drawing.longest_pause_s
            if drawing.cancelled_for_s() > limit_s:
                logger.warning("A cancelled drawing did not stop in %.0f s: ending it.", limit_s)
                drawing.has_ended = True
                raise JobCancelled
            if drawing.silent_for_s() > self._silence_limit_s:
                drawing.has_begun = drawing.has_ended = True
                raise WorkerError(
                    f"The model gave no sign for {self._silence_limit_s / 60:.0f} minutes and was "
                    "stopped. Try fewer steps, or a smaller model."
                )
        return drawn


class _Drawing:
    """One drawing under way, seen from the app."""

    def __init__(
        self,
        line: _Line,
        number: int,
        on_event: OnEvent,
        is_cancelled: Callable[[], bool],
        resident: tuple[str, ...],
    ) -> None:
        self._line = line
        self._number = number
        self._on_event = on_event
        self._is_cancelled = is_cancelled
        self._cancelled_at_s: float | None = None
        self._heard_at_s = time.monotonic()
        self.longest_pause_s = 0.0
        self.has_begun = False
        self.has_ended = False
        self.resident = resident

    def cancelled_for_s(self) -> float:
        """Returns for how long it has been cancelled, 0 while it is not."""
        return 0.0 if self._cancelled_at_s is None else time.monotonic() - self._cancelled_at_s

    def silent_for_s(self) -> float:
        """Returns how long ago the process last gave a sign."""
        return time.monotonic() - self._heard_at_s

    def next(self) -> DrawnImage | None:
        """Waits a moment for an answer; returns the picture when it is the last one."""
        if self._cancelled_at_s is None and self._is_cancelled():
            self._cancelled_at_s = time.monotonic()
            self._line.send({"do": "cancel", "number": self._number})
        try:
            answer = self._line.answers.get(timeout=POLL_S)
        except queue.Empty:
            return None
        if answer is None:
            self.has_ended = True
            raise WorkerError(death_message(self._line.end(CLOSE_GRACE_S)))
        message, content = answer
        if message["number"] != self._number:
            return None
        return self._take(message, content)

    def _take(self, message: Mapping[str, Any], content: bytes) -> DrawnImage | None:
        event = message["event"]
        self.has_begun = True
        if event == "step":
            self.longest_pause_s = max(self.longest_pause_s, self.silent_for_s())
        self._heard_at_s = time.monotonic()
        self.resident = tuple(message.get("resident", self.resident))
        if event == "cancelled":
            raise JobCancelled
        if event == "failed":
            raise GenerationError(message["message"])
        if event == "drawn":
            return DrawnImage(content, Provenance.from_json(json.dumps(message["provenance"])))
        self._on_event(message, content)
        return None


def death_message(status: int) -> str:
    """Returns what to tell a person about a process that ended by itself with `status`."""
    if -status == getattr(signal, "SIGKILL", 9):
        return (
            "The model was stopped by the system, most likely because it ran out of memory. Close "
            "other programs, choose a smaller model, or run on a machine with more memory."
        )
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        return (
            f"The model crashed ({name}) and was stopped. Try again; if it crashes again, a "
            "library it uses does not suit this machine, and the log of the app says more."
        )
    return (
        f"The process that draws ended unexpectedly with status {status}. Its log says why; "
        "try again."
    )
