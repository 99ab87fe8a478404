"""The process that computes results for the app, so that no rater waits for a computation.

It takes orders one after the other, a JSON object a line, and answers each with lines that say how
far it is and one that says what came of it; nothing is pickled. It ends when the app closes the
pipe or is gone, and leaves nothing on the disk.
"""

import _thread
import dataclasses
import json
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rating import errors
from rating.errors import RatingError
from rating.results.results import Results
from rating.storage.database import Database

Say = Callable[[Mapping[str, Any]], None]

_NICENESS: Final = 5  # requests of raters go first where there are few cores


def told_error(error: Exception) -> dict[str, str]:
    """Return an error as JSON values; `read_error` makes it one again."""
    if isinstance(error, RatingError):
        known = next(each for each in type(error).__mro__ if hasattr(errors, each.__name__))
        return {"error": known.__name__, "message": str(error)}
    if isinstance(error, OSError):
        return {"error": "OSError", "message": str(error)}
    return {"error": "", "message": "".join(traceback.format_exception(error))}


def read_error(values: Mapping[str, str]) -> Exception:
    """Return the error that `told_error` told; one that nobody expected with its traceback."""
    name, message = values["error"], values["message"]
    if name == "OSError":
        return OSError(message)
    if not name:
        return RuntimeError(message)
    try:
        error: Exception = getattr(errors, name)(message)
    except TypeError:  # a kind that is made of more than words
        return RatingError(message)
    return error


def do(results: Results, order: Mapping[str, Any], say: Say) -> Any:
    """Do what an order asks and return what came of it as JSON values."""

    def tell(words: str) -> None:
        say({"stage": words})

    what, code, excluded = order["do"], order["code"], order["excluded"]
    if what == "compute":
        return results.computed(code, excluded, tell).to_dict()
    if what == "draw":
        drawn = results.figures(code, excluded, order["theme"], tell)
        return [figure.to_dict() for figure in drawn]
    choices = {"excluded": excluded, **order["choices"]}
    facts = dataclasses.asdict(results.capsule(code, Path(order["target"]), **choices))
    return facts | {"path": str(facts["path"])}


def work(orders: "queue.SimpleQueue[dict[str, Any] | None]", say: Say) -> None:
    """Do orders until there are no more; the first says where the studies are."""
    place, results = orders.get(), None
    while place is not None and (order := orders.get()) is not None:
        try:
            if results is None:
                database = Database.open(place["database"])
                results = Results(database, software_version=place["version"])
            answer = {"done": do(results, order, say)}
        except Exception as error:  # told to the app, which shows or logs it
            answer = told_error(error)
        say(answer)


def _listen(orders: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
    """Queue what comes; afterwards end the process, whatever it is computing."""
    for line in sys.stdin.buffer:
        orders.put(json.loads(line))
    orders.put(None)
    _thread.interrupt_main(signal.SIGTERM)


def main() -> None:
    """Work for the app until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the app, which closes the pipe
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # what is on the disk is removed
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints goes to the log
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    if hasattr(os, "nice"):
        os.nice(_NICENESS)

    def say(answer: Mapping[str, Any]) -> None:
        try:
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.flush()
        except BrokenPipeError:  # the app is gone
            sys.exit(0)

    orders: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    work(orders, say)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it has ended as it should


if __name__ == "__main__":
    main()
