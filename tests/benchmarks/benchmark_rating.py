"""Measures how long raters wait from saving an answer to the next item, many of them at once.

    python tests/benchmarks/benchmark_rating.py [--seconds 120] [--raters 50] [--think-s 2]
        [--database-url postgresql://USER@HOST/NAME]

The real app in a process of its own, its raters in processes of their own, over HTTP. All enrol
at once. Then each answers every step after a time of thought and loads the pictures that the page
would load; one request in twenty is sent twice, as after a lost connection. Afterwards the database
is compared with what was acknowledged: nothing lost, nothing twice, exposure of the items balanced.
Without `--database-url` it runs on SQLite in a temporary folder; a PostgreSQL database must be
empty.
"""

import argparse
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from sqlalchemy import select

from rating.storage.database import Database, sqlite_url
from rating.storage.models import (
    Answer,
    Arm,
    Assignment,
    Item,
    ItemStimulus,
    Question,
    Stimulus,
    Submission,
)
from rating.study.harmonisation import Harmonisation
from rating.study.protocol import Protocol
from rating.study.studies import Studies
from tests.rating_study import plan, study_images
from tests.server import running_app

TWICE_SHARE = 0.05
IMAGE_PX = 256
JSON_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Load:
    """Who rates, how long, how fast; `items` of one rater, by default enough for the time."""

    raters: int = 50
    seconds: float = 120.0
    think_s: float = 2.0
    items: int | None = None
    processes: int = 4


@dataclass
class Told:
    """What the raters of one process saw."""

    enrol_s: list[float] = field(default_factory=list)
    save_and_next_s: list[float] = field(default_factory=list)
    image_s: list[float] = field(default_factory=list)
    acknowledged: list[dict[str, Any]] = field(default_factory=list)
    repeated: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass
class Report:
    """What was measured, and what the database says of it."""

    raters: int
    assigned: int
    steps: int
    steps_per_s: float
    p50_ms: float
    p95_ms: float
    longest_ms: float
    image_p95_ms: float
    enrol_p95_ms: float
    sent_twice: int
    lost: int
    unexpected: int
    exposure_spread: int
    faults: list[str]


class RaterClient:
    """A rater's browser as far as HTTP goes: one connection kept open, one cookie."""

    def __init__(self, port: int, told: Told, dice: random.Random) -> None:
        """Connect to the app on this machine."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._cookie = ""
        self._told, self._dice = told, dice

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Returns status and body of an answer."""
        headers = {**JSON_HEADERS, "Cookie": self._cookie}
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, headers)
        answer = self._connection.getresponse()
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            if cookie.startswith("msdm_session="):
                self._cookie = cookie.split(";", 1)[0]
        return answer.status, answer.read()

    def json(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Returns the JSON of an answer that must be a success."""
        status, content = self.ask(method, path, body)
        if status != 200:
            raise AssertionError(f"{method} {path}: {status} {content[:300]!r}")
        return json.loads(content)

    def enrol(self, token: str) -> dict[str, Any]:
        """Goes from the link to the first item and returns the state."""
        status, _ = self.ask("POST", f"/join/{token}")
        assert status == 303, status
        consent = self.json("GET", "/rate/api/state")["consent"]
        values = {"consent_sha256": consent["sha256"], "is_agreed": True, "is_independent": True}
        self.json("POST", "/rate/api/consent", values)
        values = {"specialty": "Gastroenterology", "years_experience": 9}
        return self.json("POST", "/rate/api/profile", values)

    def load_images(self, state: dict[str, Any], loaded: set[str]) -> None:
        """Loads the pictures of this item and the next that are not there yet."""
        own = [image["url"] for image in state["item"]["images"]]
        for url in dict.fromkeys([*own, *state["next_images"]]):
            if url not in loaded:
                started_s = time.perf_counter()
                status, content = self.ask("GET", url)
                self._told.image_s.append(time.perf_counter() - started_s)
                if status != 200 or not content.startswith(b"\x89PNG"):
                    self._told.faults.append(f"{url}: {status}")
                loaded.add(url)

    def answer(self, item: dict[str, Any]) -> dict[str, Any]:
        """Answers the present step and returns the state after it."""
        body = {
            "item": item["token"], "step": item["step"], "key": str(uuid.uuid4()),
            "answers": {
                each["code"]: self._dice.choice(each["points"])["value"]
                for each in item["questions"]
            },
            "visible_ms": 1_000, "viewport": [1440, 900], "device_pixel_ratio": 1,
        }  # fmt: skip
        started_s = time.perf_counter()
        saved = self.json("POST", "/rate/api/answers", body)
        self._told.save_and_next_s.append(time.perf_counter() - started_s)
        self._told.acknowledged.append({name: body[name] for name in ("item", "step", "answers")})
        if saved["result"] != "saved":
            self._told.faults.append(f"first submission: {saved['result']}")
        if self._dice.random() < TWICE_SHARE:
            again = self.json("POST", "/rate/api/answers", body)
            self._told.repeated += 1
            if again["result"] != "already_saved" or again["state"] != saved["state"]:
                self._told.faults.append(f"second submission: {again['result']}")
        return saved["state"]


def rate(
    port: int, token: str, load: Load, seed: int, told: Told, start: threading.Barrier
) -> None:
    """Enrols, waits for all others, and rates as one rater until time or items are over."""
    dice = random.Random(seed)
    client = RaterClient(port, told, dice)
    state: dict[str, Any] = {"phase": "none"}
    try:
        started_s = time.perf_counter()
        state = client.enrol(token)
        told.enrol_s.append(time.perf_counter() - started_s)
    except Exception as error:  # told to the process that counts
        told.faults.append(f"{type(error).__name__}: {error}")
    start.wait()
    start.wait()
    try:
        loaded: set[str] = set()
        until_s = time.monotonic() + load.seconds
        time.sleep(dice.uniform(0, load.think_s))
        while state["phase"] in {"practice", "rating"} and time.monotonic() < until_s:
            client.load_images(state, loaded)
            time.sleep(dice.uniform(0.5, 1.5) * load.think_s)
            state = client.answer(state["item"])
    except Exception as error:  # told to the process that counts
        told.faults.append(f"{type(error).__name__}: {error}")


def run_client() -> None:
    """Plays the raters that standard input names, one thread each, and prints what they saw."""
    asked = json.loads(sys.stdin.readline())
    load, told = Load(**asked["load"]), Told()
    start = threading.Barrier(len(asked["raters"]) + 1)
    threads = [
        threading.Thread(target=rate, args=(asked["port"], token, load, seed, told, start))
        for seed, token in asked["raters"]
    ]
    for thread in threads:
        thread.start()
    start.wait()
    print("enrolled", flush=True)
    sys.stdin.readline()
    start.wait()
    for thread in threads:
        thread.join()
    json.dump(asdict(told), sys.stdout)


def play(port: int, tokens: Sequence[str], load: Load) -> tuple[Told, float]:
    """Runs all raters in processes of their own; returns what they saw, and for how long."""
    numbered = list(enumerate(tokens))
    clients = []
    for index in range(load.processes):
        client = subprocess.Popen(
            [sys.executable, __file__, "--client"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        raters = numbered[index :: load.processes]
        asked = {"port": port, "raters": raters, "load": asdict(load)}
        client.stdin.write(json.dumps(asked) + "\n")
        client.stdin.flush()
        clients.append(client)
    for client in clients:
        assert client.stdout.readline() == "enrolled\n"
    for client in clients:
        client.stdin.write("go\n")
        client.stdin.close()
    started_s = time.monotonic()
    together = Told()
    for client in clients:
        seen = Told(**json.loads(client.stdout.read()))
        client.stdout.close()
        assert client.wait() == 0
        together.enrol_s += seen.enrol_s
        together.save_and_next_s += seen.save_and_next_s
        together.image_s += seen.image_s
        together.acknowledged += seen.acknowledged
        together.repeated += seen.repeated
        together.faults += seen.faults
    return together, time.monotonic() - started_s


def prepare(database: Database, load: Load) -> list[str]:
    """Writes an open study with items enough for the load; returns the links of its raters."""
    items = load.items or int(load.seconds / max(load.think_s, 0.2) / 2) + 10
    # A rater gets about two thirds of the items, so that there is something to balance.
    prompts = max(4, items * 3 // 2 // 4 + 1)
    protocol = Protocol(
        plan=plan(), planned_raters=load.raters, items_per_rater=items,
        washout_items=min(10, items // 4),
    )
    studies = Studies(database)
    code = studies.create("Benchmark", protocol=protocol, seed=1)
    images = study_images(arms=3, prompts=prompts, reals=prompts, practice=3)
    studies.add_images(code, images, Harmonisation(size_px=IMAGE_PX))
    studies.attest_identifiers(code, "Benchmark")
    studies.open(code)
    return [invitation.token for invitation in studies.invite(code, load.raters)]


def compare(database: Database, told: Told) -> tuple[int, int, int]:
    """Returns how many answers were lost, are there unexpectedly, and the spread of exposure."""
    with database.read() as session:
        stored = {
            (token, code): value
            for token, code, value in session.execute(
                select(Assignment.token, Question.code, Answer.value)
                .join(Answer, Answer.assignment_id == Assignment.id)
                .join(Question, Question.id == Answer.question_id)
            )
        }
        requests = len(session.scalars(select(Submission.id)).all())
        spread = exposure_spread(session)
    sent = {
        (each["item"], code): value
        for each in told.acknowledged
        for code, value in each["answers"].items()
    }
    lost = sum(stored.get(name) != value for name, value in sent.items())
    unexpected = len(stored.keys() - sent.keys()) + abs(requests - len(told.acknowledged))
    return lost, unexpected, spread


def exposure_spread(session: Any) -> int:
    """Returns by how much items of one kind, synthetic or real, differ in their raters."""
    kinds = dict(
        session.execute(
            select(Item.id, Arm.is_real)
            .join(ItemStimulus, ItemStimulus.item_id == Item.id)
            .join(Stimulus, Stimulus.id == ItemStimulus.stimulus_id)
            .join(Arm, Arm.id == Stimulus.arm_id)
            .where(Item.kind == "main")
        ).all()
    )
    had = Counter(session.scalars(select(Assignment.item_id)).all())
    spreads = []
    for kind in (False, True):
        counts = [had[item] for item, is_real in kinds.items() if is_real == kind]
        spreads.append(max(counts) - min(counts))
    return max(spreads)


def percentile(values: Sequence[float], share: float) -> float:
    """Returns a percentile in milliseconds."""
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def measure(home: Path, url: str, load: Load) -> Report:
    """Runs the load against the app in `home` on an empty database and returns the report."""
    home.mkdir(parents=True, exist_ok=True)
    database = Database.open(url or sqlite_url(home))
    try:
        tokens = prepare(database, load)
        variables = {"MSDM_DATABASE_URL": url} if url else {}
        with running_app(home, variables=variables) as (address, _):
            told, took_s = play(int(address.rsplit(":", 1)[1]), tokens, load)
        lost, unexpected, spread = compare(database, told)
        with database.read() as session:
            assigned = len(session.scalars(select(Assignment.id)).all())
    finally:
        database.close()
    return Report(
        raters=load.raters,
        assigned=assigned,
        steps=len(told.acknowledged),
        steps_per_s=len(told.acknowledged) / took_s,
        p50_ms=1000 * statistics.median(told.save_and_next_s or [0.0]),
        p95_ms=percentile(told.save_and_next_s, 0.95),
        longest_ms=percentile(told.save_and_next_s, 1.0),
        image_p95_ms=percentile(told.image_s, 0.95),
        enrol_p95_ms=percentile(told.enrol_s, 0.95),
        sent_twice=told.repeated,
        lost=lost,
        unexpected=unexpected,
        exposure_spread=spread,
        faults=told.faults,
    )


def show(report: Report, load: Load, name: str) -> str:
    """Returns the report as text."""
    rows = [
        ("database", name),
        ("raters at once", str(report.raters)),
        ("thought before each step", f"{load.think_s:g} s, half as much more or less"),
        ("steps saved", f"{report.steps}, {report.steps_per_s:.1f} a second"),
        ("save and next, median", f"{report.p50_ms:.0f} ms"),
        ("save and next, 95th percentile", f"{report.p95_ms:.0f} ms"),
        ("save and next, longest", f"{report.longest_ms:.0f} ms"),
        ("a picture, 95th percentile", f"{report.image_p95_ms:.0f} ms"),
        ("from link to first item, all at once, 95th", f"{report.enrol_p95_ms:.0f} ms"),
        ("sent twice", str(report.sent_twice)),
        ("lost", str(report.lost)),
        ("duplicate or unexpected", str(report.unexpected)),
        ("exposure, most minus least", str(report.exposure_spread)),
        ("failures", str(len(report.faults))),
    ]
    lines = [f"{label:<46}{value}" for label, value in rows]
    return "\n".join(lines + [f"  {fault}" for fault in report.faults[:10]])


def main() -> int:
    """Runs the benchmark; status 1 where an answer was lost, came twice or failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=120.0, metavar="S")
    parser.add_argument("--raters", type=int, default=50, metavar="N")
    parser.add_argument("--think-s", type=float, default=2.0, metavar="S")
    parser.add_argument("--items", type=int, default=None, metavar="N")
    parser.add_argument("--processes", type=int, default=4, metavar="N")
    parser.add_argument("--database-url", default="", metavar="URL")
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        run_client()
        return 0
    load = Load(
        options.raters, options.seconds, options.think_s, options.items, options.processes
    )
    print(f"{os.cpu_count()} CPU cores, shared by the app, its database and the raters")
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder) / "home", options.database_url, load)
    print(show(report, load, "PostgreSQL" if options.database_url else "SQLite"))
    return 1 if report.lost or report.unexpected or report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
