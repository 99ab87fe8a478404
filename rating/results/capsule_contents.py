"""What a capsule takes from the database itself: pictures, protocol, events, audits, locked rows.

Each function writes its files into a folder; which ones, and what the public variant leaves out,
is told by the README of the capsule.
"""

import csv
import dataclasses
import datetime
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from rating.errors import CapsuleError
from rating.storage.database import Database
from rating.storage.events import locked_lines
from rating.storage.models import (
    Arm,
    AuditReport,
    Event,
    ProtocolVersion,
    Stimulus,
    StimulusImage,
    Study,
)

NONE: Final = "NA"
IMAGES: Final = "images/images.csv"
IMAGE_COLUMNS: Final = (
    "file", "stimulus_sha256", "pixel_sha256", "width_px", "height_px", "colour_mode", "is_real"
)  # fmt: skip
EVENTS: Final = "events/events.jsonl"
LOCKED_ROWS: Final = "events/locked_rows.jsonl"
VERSIONS: Final = "protocol/versions.csv"
_OFFICES: Final = frozenset(("coordinator", "command line", "audit"))
_ROWS_AT_ONCE: Final = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a study: `is_real` is None of practice images and checks, of which no arm says.

    `stimulus_id` is of one of the stimuli that have these very bytes.
    """

    stimulus_id: int
    png_sha256: str
    pixel_sha256: str
    width_px: int
    height_px: int
    colour_mode: str
    is_real: bool | None

    @property
    def file(self) -> str:
        """Name in the capsule, which tells nothing but the hash of its bytes."""
        return f"images/{self.png_sha256}.png"


def pictures(session: Session, study: Study) -> tuple[Picture, ...]:
    """Return every picture of a study once, by hash; one that a real arm shows too is real."""
    rows = session.execute(
        select(Stimulus, Arm.is_real)
        .outerjoin(Arm, Stimulus.arm_id == Arm.id)
        .where(Stimulus.study_id == study.id)
        .order_by(Stimulus.id)
    )
    found: dict[str, Picture] = {}
    for stimulus, is_real in rows:
        before = found.get(stimulus.png_sha256)
        if before is not None and (is_real is False or before.is_real):
            continue  # what is real, or of unknown origin, stays so
        found[stimulus.png_sha256] = Picture(
            stimulus.id, stimulus.png_sha256, stimulus.pixel_sha256, stimulus.width_px,
            stimulus.height_px, stimulus.colour_mode, is_real,
        )  # fmt: skip
    return tuple(found[sha256] for sha256 in sorted(found))


class StimulusPngs(Mapping[int, bytes]):
    """The pictures of stimuli by id, each read from the database when it is asked for."""

    def __init__(self, database: Database, stimulus_ids: Iterable[int]) -> None:
        """Offer these stimuli and no others."""
        self._database = database
        self._ids = tuple(stimulus_ids)
        self._known = frozenset(self._ids)

    def __getitem__(self, stimulus_id: int) -> bytes:
        """Return the PNG of a stimulus; KeyError where it is not offered."""
        if stimulus_id not in self._known:
            raise KeyError(stimulus_id)
        with self._database.read() as session:
            png = session.scalar(
                select(StimulusImage.png).where(StimulusImage.stimulus_id == stimulus_id)
            )
        if png is None:
            raise KeyError(stimulus_id)
        return bytes(png)

    def __iter__(self) -> Iterator[int]:
        """Iterate over the ids."""
        return iter(self._ids)

    def __len__(self) -> int:
        """Return how many pictures are offered."""
        return len(self._ids)


def write_image_index(found: Sequence[Picture], included: frozenset[str], folder: Path) -> None:
    """Write `images.csv`: every picture with its hashes, also those that are left out."""
    rows = (
        (
            picture.file if picture.png_sha256 in included else NONE,
            picture.png_sha256, picture.pixel_sha256, picture.width_px, picture.height_px,
            picture.colour_mode, NONE if picture.is_real is None else int(picture.is_real),
        )
        for picture in found
    )  # fmt: skip
    write_table(folder / IMAGES, IMAGE_COLUMNS, rows)


def write_protocols(session: Session, study: Study, folder: Path, *, is_public: bool) -> None:
    """Write the exact hashed bytes of every version of the protocol, and the plan to be read."""
    versions = session.scalars(
        select(ProtocolVersion)
        .where(ProtocolVersion.study_id == study.id)
        .order_by(ProtocolVersion.version)
    ).all()
    rows = []
    for version in versions:
        name = f"protocol/protocol_v{version.version}.json"
        write_bytes(folder / name, version.content.encode("utf-8"))
        after = version.created_at - versions[0].created_at
        moment = int(after.total_seconds()) if is_public else told_moment(version.created_at)
        rows.append((version.version, version.sha256, name, version.reason, moment))
    when = "since_opening_s" if is_public else "created_at"
    write_table(
        folder / VERSIONS, ("protocol_version", "protocol_sha256", "file", "reason", when), rows
    )
    if versions:
        plan = json.loads(versions[-1].content).get("plan")
        write_json(folder / "protocol/analysis_plan.json", plan)


def protocol_hashes(session: Session, study: Study) -> dict[int, str]:
    """Return the SHA-256 of every version of the protocol."""
    rows = session.execute(
        select(ProtocolVersion.version, ProtocolVersion.sha256)
        .where(ProtocolVersion.study_id == study.id)
        .order_by(ProtocolVersion.version)
    )
    return {version: sha256 for version, sha256 in rows}


def last_event(session: Session, study: Study) -> tuple[int, str]:
    """Return number and hash of the last event."""
    row = session.execute(
        select(Event.sequence, Event.hash)
        .where(Event.study_id == study.id)
        .order_by(Event.sequence.desc())
        .limit(1)
    ).first()
    if row is None:
        raise CapsuleError(f"Study {study.code} has no events: its log was removed. Use a backup.")
    return row.sequence, row.hash


def write_events(session: Session, study: Study, folder: Path, *, is_public: bool) -> None:
    """Write the event log, one JSON object a line.

    The public variant has number, kind, who (no code of a rater) and whole seconds since the first
    event. It has no hash of a single event: a hash covers the moment, which could be found from it
    by trying.
    """
    first = session.scalar(select(func.min(Event.at)).where(Event.study_id == study.id))
    events = session.scalars(
        select(Event)
        .where(Event.study_id == study.id)
        .order_by(Event.sequence)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    path = folder / EVENTS
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for event in events:
            told: dict[str, Any] = {"sequence": event.sequence, "kind": event.kind}
            if is_public and first is not None:
                told["actor"] = event.actor if event.actor in _OFFICES else "rater"
                told["since_first_s"] = int((event.at - first).total_seconds())
            else:
                told |= {
                    "at": told_moment(event.at), "actor": event.actor, "details": event.details,
                    "previous_hash": event.previous_hash, "hash": event.hash,
                }  # fmt: skip
            file.write(json.dumps(told, ensure_ascii=False) + "\n")


def write_locked_rows(session: Session, study: Study, folder: Path) -> None:
    """Write the very bytes that the root hash is the SHA-256 of."""
    path = folder / LOCKED_ROWS
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in locked_lines(session, study):
            file.write(f"{line}\n")


def write_audits(session: Session, study: Study, folder: Path, *, is_public: bool) -> None:
    """Write every report of a blinding audit, or the one line that there is none."""
    reports = session.scalars(
        select(AuditReport).where(AuditReport.study_id == study.id).order_by(AuditReport.id)
    ).all()
    for number, kept in enumerate(reports, start=1):
        report: dict[str, Any] = {"number": number, **kept.report}
        if is_public:
            # Findings quote what was received, and moments are absolute.
            known = ("number", "is_passed", "clients", "received", "arms", "finding_count")
            report = {name: report[name] for name in known if name in report}
            if study.opened_at is not None:
                report["since_opening_s"] = int((kept.at - study.opened_at).total_seconds())
        write_json(folder / f"audit/blinding_audit_{number}.json", report)
    if not reports:
        write_bytes(folder / "audit/none.txt", b"No blinding audit was run for this study.\n")


def told_moment(moment: datetime.datetime) -> str:
    """Return a moment in UTC as the tables write it."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def write_json(path: Path, values: Any) -> None:
    """Write JSON for people and programs to read."""
    text = json.dumps(values, indent=1, ensure_ascii=False, sort_keys=True)
    write_bytes(path, f"{text}\n".encode())


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV: UTF-8, line feeds, quoted where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, its folder made where it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
