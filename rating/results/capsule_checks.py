"""What the files of a capsule must say of each other: chain, protocols, pictures, locked rows.

Hashes of files show changes by accident; here one file is proved by another, so that whoever
changes an answer and writes every hash anew is found too, up to the root hash that was deposited.
"""

import csv
import datetime
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any, Final

from PIL import Image

from data.images import MAX_PIXELS
from data.provenance import pixel_sha256
from rating.errors import CapsuleError
from rating.results.capsule_contents import EVENTS, IMAGES, LOCKED_ROWS, NONE, VERSIONS
from rating.results.capsule_reading import Capsule
from rating.results.capsule_results import RATINGS, SETTINGS
from rating.results.manifest import Manifest
from rating.storage.events import FIRST_HASH, LOCKED_COLUMNS, event_hash
from rating.storage.models import Event, Study

_MOST_FAULTS: Final = 5  # of one kind in one file; more of them say nothing new


def check_protocols(capsule: Capsule, manifest: Manifest) -> None:
    """Compare the bytes of every version of the protocol with its hash, and the plan with them."""
    plan = None
    rows = list(table_rows(capsule, VERSIONS))
    told = {int(row["protocol_version"]): row["protocol_sha256"] for row in rows}
    if told != dict(manifest.protocols):
        capsule.faults.append(f"{VERSIONS}: names other versions than the manifest.")
    for row in rows:
        name = row["file"]
        content = capsule.text_bytes(name)
        if hashlib.sha256(content).hexdigest() != row["protocol_sha256"]:
            capsule.faults.append(f"{name}: its bytes are not those that were hashed at opening.")
        plan = json.loads(content).get("plan")
    if SETTINGS in capsule.intact and plan:
        settings = json.loads(capsule.text_bytes(SETTINGS))
        for field in ("primary_question", "reference_arm", "equivalence_margin", "cannot_judge"):
            if plan[field] not in ("", settings[field]):
                capsule.faults.append(
                    f"{SETTINGS}: {field} is {settings[field]!r}, the protocol's analysis plan "
                    f"says {plan[field]!r}."
                )
        for field in ("holm_family", "contrast_arms"):
            if plan[field] and set(plan[field]) != set(settings[field]):
                capsule.faults.append(f"{SETTINGS}: {field} is not that of the analysis plan.")


def check_images(capsule: Capsule, _manifest: Manifest) -> None:
    """Compare file and pixels of every picture with its hashes."""
    listed = set()
    for row in table_rows(capsule, IMAGES):
        name = row["file"]
        if name == NONE:
            continue
        listed.add(name)
        if name not in capsule.names:
            capsule.faults.append(f"{name}: is missing, {IMAGES} lists it.")
            continue
        png = capsule.image_bytes(name)
        sha256 = hashlib.sha256(png).hexdigest()
        if not sha256 == row["stimulus_sha256"] == name.removeprefix("images/")[:-4]:
            capsule.faults.append(f"{name}: its name or {IMAGES} tells another SHA-256 than it has")
        elif _pixels(png, name) != row["pixel_sha256"]:
            capsule.faults.append(f"{name}: its pixels are not those of {IMAGES}.")
    strays = {name for name in capsule.names if name.startswith("images/")} - listed - {IMAGES}
    capsule.faults += [f"{name}: is not in {IMAGES}." for name in sorted(strays)]


def _pixels(png: bytes, name: str) -> str:
    with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise CapsuleError(f"{name}: has more than {MAX_PIXELS} pixels.")
        return pixel_sha256(picture)


def check_events(capsule: Capsule, manifest: Manifest) -> None:
    """Recompute the chain of events; of the public variant only the last number can be compared."""
    study = Study(code=manifest.study_code)
    previous, expected, root = FIRST_HASH, 0, ""
    for line in capsule.lines(EVENTS):
        told = json.loads(line)
        if told["sequence"] != expected:
            capsule.faults.append(f"{EVENTS}: event {expected} is missing.")
        if not manifest.is_public:
            if told["previous_hash"] != previous:
                capsule.faults.append(
                    f"{EVENTS}: event {told['sequence']} does not follow the one before it."
                )
            if event_hash(study, _event(told)) != told["hash"]:
                capsule.faults.append(
                    f"{EVENTS}: event {told['sequence']} ({told['kind']!s:.40}) was changed."
                )
            previous = told["hash"]
            if told["kind"] == "locked":
                root = json.loads(told["details"]).get("root_hash", "")
        expected = told["sequence"] + 1
    last = (expected - 1, manifest.last_event[1] if manifest.is_public else previous)
    if last != manifest.last_event:
        capsule.faults.append(f"{EVENTS}: does not end with the event that the manifest names.")
    if not manifest.is_public and root != manifest.root_hash:
        capsule.faults.append(f"{EVENTS}: the lock names another root hash than the manifest.")


def _event(told: dict[str, Any]) -> Event:
    return Event(
        sequence=told["sequence"],
        at=datetime.datetime.fromisoformat(told["at"]),
        kind=told["kind"],
        actor=told["actor"],
        details=told["details"],
        previous_hash=told["previous_hash"],
    )


def check_locked_rows(capsule: Capsule, manifest: Manifest) -> None:
    """Compute the root hash, and compare protocols, pictures and answers with what was locked."""
    if capsule.facts(LOCKED_ROWS).sha256 != manifest.root_hash:
        capsule.faults.append(
            f"{LOCKED_ROWS}: its SHA-256 is not the root hash of the lock, {manifest.root_hash}."
        )
        return
    locked = _Locked(capsule)
    faults = []
    if (locked.code, locked.kind) != (manifest.study_code, manifest.kind):
        faults.append("manifest.json: names another study than was locked.")
    if locked.protocols != dict(manifest.protocols):
        faults.append("manifest.json: names other protocols than were locked.")
    if locked.event != _event_before_lock(capsule):
        faults.append(f"{EVENTS}: the event before the lock is not the one that was locked.")
    told = {(row["stimulus_sha256"], row["pixel_sha256"]) for row in table_rows(capsule, IMAGES)}
    if told != locked.images:
        faults.append(f"{IMAGES}: its pictures are not those that were locked.")
    capsule.faults += faults
    if RATINGS in capsule.intact:
        locked.compare(capsule)


def _event_before_lock(capsule: Capsule) -> tuple[int | None, str | None]:
    last: tuple[int | None, str | None] = (None, None)
    for line in capsule.lines(EVENTS):
        told = json.loads(line)
        if told["kind"] == "locked":
            return last
        last = (told["sequence"], told["hash"])
    return last


class _Locked:
    """What the locked rows say of a study, as far as the other files repeat it."""

    def __init__(self, capsule: Capsule) -> None:
        self.code = self.kind = ""
        self.protocols: dict[int, str] = {}
        self.images: set[tuple[str, str]] = set()
        self.event: tuple[int | None, str | None] = (None, None)
        self._names: dict[str, dict[int, str]] = {
            name: {} for name in ("question", "arm", "prompt")
        }
        self._stimuli: dict[int, tuple[str, int | None]] = {}
        self._items: dict[int, tuple[str, int]] = {}
        self._raters: dict[int, tuple[str, bool]] = {}
        self._assignments: dict[int, tuple[int, int]] = {}
        self._slots: set[tuple[int, int]] = set()
        self._answers: dict[tuple[int, int], int | None] = {}
        for line in capsule.lines(LOCKED_ROWS):
            self._take(json.loads(line))

    def _take(self, line: list[Any]) -> None:
        table, *values = line
        if table == "event":
            self.event = (values[0], values[1])
        if table not in LOCKED_COLUMNS:
            return
        row = dict(zip(LOCKED_COLUMNS[table].split(), values, strict=True))
        if table in self._names:
            self._names[table][row["id"]] = row["code"]
        elif table == "study":
            self.code, self.kind = row["code"], row["kind"]
        elif table == "protocol_version":
            sha256 = hashlib.sha256(row["content"].encode("utf-8")).hexdigest()
            self.protocols[row["version"]] = sha256
        elif table == "stimulus":
            self.images.add((row["png_sha256"], row["pixel_sha256"]))
            self._stimuli[row["id"]] = (row["png_sha256"], row["arm_id"])
        elif table == "item":
            self._items[row["id"]] = (row["kind"], row["prompt_id"])
        elif table == "rater":
            self._raters[row["id"]] = (row["code"], row["is_audit"])
        elif table == "assignment":
            self._assignments[row["id"]] = (row["rater_id"], row["item_id"])
        elif table == "assignment_slot":
            self._slots.add((row["assignment_id"], row["stimulus_id"]))
        elif table == "answer":
            self._answers[row["assignment_id"], row["question_id"]] = row["value"]

    def compare(self, capsule: Capsule) -> None:
        """Tell every answer of the table that is not the one that was locked, and lost ones."""
        questions = {code: key for key, code in self._names["question"].items()}
        seen: set[tuple[int, int]] = set()
        wrong = 0
        for number, row in enumerate(table_rows(capsule, RATINGS), start=2):
            key = (int(row["assignment_id"]), questions.get(row["question"], -1))
            if key not in self._answers or key in seen or not self._is_same(key, row):
                wrong += 1
                if wrong <= _MOST_FAULTS:
                    capsule.faults.append(f"{RATINGS}: line {number} is not what was locked.")
            seen.add(key)
        if wrong > _MOST_FAULTS:
            capsule.faults.append(f"{RATINGS}: {wrong} lines in all are not what was locked.")
        if lost := sum(self._is_told(key) and key not in seen for key in self._answers):
            capsule.faults.append(f"{RATINGS}: {lost} answers that were locked are not in it.")

    def _is_told(self, key: tuple[int, int]) -> bool:
        """Return whether an answer is in the tables: those of blinding audits are not."""
        return not self._raters[self._assignments[key[0]][0]][1]

    def _is_same(self, key: tuple[int, int], row: dict[str, str]) -> bool:
        value = self._answers[key]
        rater_id, item_id = self._assignments[key[0]]
        kind, prompt_id = self._items[item_id]
        expected = {
            "rater_code": self._raters[rater_id][0],
            "item_kind": kind,
            "prompt_id": self._names["prompt"][prompt_id],
            "value": NONE if value is None else str(value),
            "cannot_judge": str(int(value is None)),
        }
        if row["stimulus_id"] != NONE:
            stimulus_id = int(row["stimulus_id"])
            sha256, arm_id = self._stimuli[stimulus_id]
            arm = NONE if arm_id is None else self._names["arm"][arm_id]
            expected |= {"stimulus_sha256": sha256, "arm": arm}
            if (key[0], stimulus_id) not in self._slots:
                return False
        return all(row[column] == text for column, text in expected.items())


def table_rows(capsule: Capsule, name: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV by column.

    Raises:
        CapsuleError: A row has more or fewer cells than the header.
    """
    # Cells may have line feeds, which `lines` takes away.
    reader = csv.reader(f"{line}\n" for line in capsule.lines(name))
    header = next(reader, [])
    for row in reader:
        if len(row) != len(header):
            raise CapsuleError(f"{name}: a row has {len(row)} cells, the header {len(header)}.")
        yield dict(zip(header, row, strict=True))
