"""Measures how long raters wait while a coordinator has the results of a large study computed.

    python tests/benchmarks/benchmark_results.py [--raters 5] [--rounds 3] [--quiet-s 40]

The real app on SQLite in a temporary folder. Raters answer a study over HTTP all the time. Now and
then a coordinator asks for the results of another, a pilot of 200 images with as many raters as
`--answered-by` says; each time another rater is left out, so that all is computed again. What
raters waited meanwhile is told beside what they waited in between, of the same run.
"""

import argparse
import http.client
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from rating.storage.database import Database, sqlite_url
from tests.benchmarks.benchmark_rating import Load, RaterClient, Told, percentile, prepare
from tests.rating_study import write_study
from tests.results_bulk import write_many_answers
from tests.server import coordinator_token, running_app

PROMPTS = 50  # with three arms, and as many real images, 200 images
THINK_S = 0.5
MOST_S = 60  # that a computation may take, for which raters have items

Span = tuple[float, float]


class Raters:
    """Raters who answer until they are stopped, and what they waited, by the moment."""

    def __init__(self, port: int, tokens: Sequence[str]) -> None:
        """Let the raters of these links begin."""
        self.waited: list[tuple[float, float]] = []
        self.faults: list[str] = []
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._rate, args=(port, token, seed))
            for seed, token in enumerate(tokens)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends all of them."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _rate(self, port: int, token: str, seed: int) -> None:
        dice, told, loaded = random.Random(seed), Told(), set[str]()
        client = RaterClient(port, told, dice)
        try:
            state = client.enrol(token)
            while not self._over.wait(dice.uniform(0.5, 1.5) * THINK_S):
                client.load_images(state, loaded)
                started_s, count = time.monotonic(), len(told.save_and_next_s)
                state = client.answer(state["item"])
                self.waited.append((started_s, told.save_and_next_s[count]))
        except Exception as error:  # told at the end
            self.faults.append(f"{type(error).__name__}: {error}")
        self.faults += told.faults


def coordinator(port: int, token: str) -> Callable[[str], int]:
    """Signs in and returns what gets an address and returns the status."""

    def ask(method: str, path: str, cookie: str = "") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        connection.request(method, path, headers={"Cookie": cookie})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.headers.get("Set-Cookie", "").split(";", 1)[0]

    _, cookie = ask("POST", f"/coordinator/{token}")
    return lambda path: ask("GET", path, cookie)[0]


def compute(get: Callable[[str], int], code: str, rounds: int, quiet_s: float) -> list[Span]:
    """Has results computed `rounds` times, `quiet_s` before and after each; returns when."""
    spans = []
    for number in range(rounds):
        time.sleep(quiet_s)
        query = urlencode({"exclude": f"M{number + 1}=round {number}"})
        started_s = time.monotonic()
        for name in ("results.txt", "figures/forest.svg"):
            status = get(f"/results/{code}/{name}?{query}")
            assert status == 200, f"{name}: {status}"
        spans.append((started_s, time.monotonic()))
    time.sleep(quiet_s)
    return spans


def row(label: str, seconds: Iterable[float]) -> str:
    """Returns a row of the table of what raters waited."""
    waited = list(seconds)
    median = 1000 * statistics.median(waited)
    return (
        f"{label:<30}{len(waited):>8}{median:>10.0f} ms{percentile(waited, 0.95):>10.0f} ms"
        f"{percentile(waited, 1.0):>10.0f} ms"
    )


def measure(home: Path, options: argparse.Namespace) -> tuple[int, list[Span], Raters]:
    """Returns how many answers the results rest on, when they were computed, and the raters."""
    home.mkdir()
    database = Database.open(sqlite_url(home))
    code = write_study(database, 3, PROMPTS, PROMPTS, 1, kind="pilot")
    answers = write_many_answers(database, code, options.answered_by)
    most_s = (options.rounds + 1) * options.quiet_s + MOST_S * options.rounds
    items = int(most_s / THINK_S / 2) + 10
    tokens = prepare(database, Load(options.raters, most_s, THINK_S, items))
    database.close()
    with running_app(home) as (url, _):
        port = int(url.rsplit(":", 1)[1])
        get = coordinator(port, coordinator_token(home))
        raters = Raters(port, tokens)
        try:
            spans = compute(get, code, options.rounds, options.quiet_s)
        finally:
            raters.stop()
    return answers, spans, raters


def main() -> int:
    """Runs the benchmark; status 1 where a rater met a failure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--raters", type=int, default=5, metavar="N")
    parser.add_argument("--answered-by", type=int, default=50, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--quiet-s", type=float, default=40.0, metavar="S")
    options = parser.parse_args()
    print(f"{os.cpu_count()} CPU cores, shared by the app, the computation and the raters")
    with tempfile.TemporaryDirectory() as folder:
        answers, spans, raters = measure(Path(folder) / "home", options)
    during, between = [], []
    for moment, waited in raters.waited:
        is_during = any(start <= moment < end for start, end in spans)
        (during if is_during else between).append(waited)
    took_s = statistics.median(end - start for start, end in spans)
    print(f"results of {answers:,} answers, computed {len(spans)} times, {took_s:.0f} s each")
    print(f"{'save and next':<30}{'steps':>8}{'median':>13}{'95th':>13}{'longest':>13}")
    print(row("in between", between))
    print(row("while results are computed", during))
    print("\n".join(raters.faults[:10]))
    return 1 if raters.faults else 0


if __name__ == "__main__":
    sys.exit(main())
