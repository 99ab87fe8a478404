"""Results computed in a process beside the app, in which raters and the page are served.

Python computes in one thread of a process at a time: in the app's own process a large study would
keep every rater waiting.
"""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from data.version import VERSION
from rating.errors import ResultsError
from rating.results.calculator import read_error
from rating.results.computed import Computed, FigureFiles
from rating.results.results import OnStage, Results, Theme
from rating.storage.database import Database

if TYPE_CHECKING:
    from rating.results.capsule import CapsuleFacts

_ROOT: Final = Path(__file__).parents[2]
_GRACE_S: Final = 10.0  # for the process to tidy up


class Calculator:
    """The process, started with the first order; where it has ended, the next one starts it anew.

    It takes one order at a time; who comes meanwhile waits.
    """

    def __init__(self, database: Database, software_version: str) -> None:
        """Compute of the studies of `database`; the version is told in capsules."""
        self._place = {"database": database.address(), "version": software_version}
        self._turn = threading.Lock()
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False

    def ask(self, order: Mapping[str, Any], on_stage: OnStage = lambda words: None) -> Any:
        """Return what came of an order, as JSON values.

        Args:
            order:    See `rating.results.calculator.do`.
            on_stage: Told in words what is done now.

        Raises:
            ResultsError: The process has ended meanwhile.
            Exception:    What the computation raised.
        """
        with self._turn:
            process = self._started()
            answer = _answer(process, on_stage) if _send(process, order) else None
            if answer is None:
                raise ResultsError(self._why_ended(process))
        if "error" in answer:
            raise read_error(answer)
        return answer["done"]

    def close(self) -> None:
        """End the process, whatever it is computing, and start none any more."""
        with self._starting:
            self._is_closed = True
            process = self._process
        if process is None:
            return
        _close_input(process)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with self._turn:  # who waits for an answer has noticed
            _close(process)

    def _started(self) -> "subprocess.Popen[bytes]":
        with self._starting:
            if self._is_closed:
                raise ResultsError("The server is being stopped; nothing is computed any more.")
            if self._process is not None:
                if self._process.poll() is None:
                    return self._process
                _close(self._process)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rating.results.calculator"], cwd=_ROOT,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        _send(self._process, self._place)
        return self._process

    def _why_ended(self, process: "subprocess.Popen[bytes]") -> str:
        status = process.wait()
        if self._is_closed:
            return "The server was stopped before the results were computed."
        return (
            f"The process that computes results has ended with the status {status}, as it does "
            "where memory runs out. Nothing was changed; try again."
        )


def _send(process: "subprocess.Popen[bytes]", order: Mapping[str, Any]) -> bool:
    """Send an order and return whether the process still takes any."""
    pipe = _pipe(process.stdin)
    try:
        pipe.write(json.dumps(order).encode() + b"\n")
        pipe.flush()
    except (OSError, ValueError):  # a pipe that broke, or one that is closed here
        return False
    return True


def _close_input(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(OSError):  # what was still to be written has no reader
        _pipe(process.stdin).close()


def _close(process: "subprocess.Popen[bytes]") -> None:
    _close_input(process)
    _pipe(process.stdout).close()


def _answer(process: "subprocess.Popen[bytes]", on_stage: OnStage) -> dict[str, Any] | None:
    """Return the last answer to an order; None where none comes."""
    for line in _pipe(process.stdout):
        if not line.endswith(b"\n"):  # killed in the middle of it
            return None
        answer: dict[str, Any] = json.loads(line)
        if "stage" not in answer:
            return answer
        on_stage(answer["stage"])
    return None


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # it was asked for when the process was started
    return pipe


class ResultsApart(Results):
    """Results of the studies of a database, computed in a process of their own."""

    def __init__(self, database: Database, *, software_version: str = VERSION) -> None:
        """Use the studies of `database`; nothing is started before results are asked for."""
        super().__init__(database, software_version=software_version)
        self._calculator = Calculator(database, software_version)

    def close(self) -> None:
        """End the process."""
        self._calculator.close()

    def _compute(self, code: str, excluded: Mapping[str, str], on_stage: OnStage) -> Computed:
        order = {"do": "compute", "code": code, "excluded": dict(excluded)}
        return Computed.from_dict(self._calculator.ask(order, on_stage))

    def _draw(
        self, code: str, excluded: Mapping[str, str], theme: Theme, on_stage: OnStage
    ) -> tuple[FigureFiles, ...]:
        order = {"do": "draw", "code": code, "excluded": dict(excluded), "theme": theme}
        return tuple(map(FigureFiles.from_dict, self._calculator.ask(order, on_stage)))

    def _write_capsule(self, code: str, target: Path, **choices: Any) -> "CapsuleFacts":
        from rating.results.capsule import CapsuleFacts

        excluded = choices.pop("excluded")
        facts = self._calculator.ask({
            "do": "capsule", "code": code, "excluded": dict(excluded),
            "target": str(target.absolute()), "choices": choices,
        })  # fmt: skip
        return CapsuleFacts(**{**facts, "path": target})
