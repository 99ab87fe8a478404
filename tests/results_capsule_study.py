"""A locked study and its two capsules, made once for all tests, with secrets to be searched for."""

import dataclasses
import functools
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from rating.results.capsule import CapsuleFacts, write_capsule
from rating.results.capsule_archive import FileFacts, write_archive
from rating.results.manifest import MANIFEST, SUMS, read_manifest, sums
from rating.storage.database import Database, sqlite_url
from rating.storage.events import record_event
from rating.storage.models import Arm, AuditReport, Stimulus, StimulusImage
from rating.study.desk import RatingDesk
from rating.study.harmonisation import Harmonisation
from rating.study.lookup import claim_study
from rating.study.protocol import Consent
from rating.study.studies import Studies
from tests.rating_play import sent
from tests.rating_study import TITLE, invite, study_images, write_draft

REMARK = "REMARK-quetzal: the lesion looks odd"
CLOSING = "CLOSING-quetzal: thank you"
SOURCE = "SOURCE-quetzal-ward7"
FINDING = "FINDING-quetzal-quoted"
YEARS = 61
VIEWPORT = [12_837, 9_743]
RATIO = 3.4375


@dataclasses.dataclass(frozen=True)
class Written:
    """The study's database and code, and the facts of its two capsules."""

    database: Database
    code: str
    full: CapsuleFacts
    public: CapsuleFacts


def play_all(database: Database, code: str, count: int, remark: str = "") -> None:
    """Has raters answer everything; each is 61 years in the field and has an odd window."""
    for number, (rater_code, link) in enumerate(invite(database, code, count)):
        desk = RatingDesk(database, "0.1.0")
        rater_id = desk.rater_of_link(link)
        state = desk.state(rater_id)
        desk.consent(rater_id, state["consent"]["sha256"], True)
        state = desk.profile(rater_id, "Gastroenterology", YEARS)
        step = number
        while state["phase"] in ("practice", "rating"):
            step += 1
            item = state["item"]
            is_last = item["step"] == item.get("step_count", item["step"])
            values = {
                question["code"]: question["points"][(step * 7 + number) % 5 % len(
                    question["points"])]["value"]
                for question in item["questions"]
            }  # fmt: skip
            request = sent(
                item, answers=values, viewport=VIEWPORT, device_pixel_ratio=RATIO,
                remark=remark if is_last else "",
            )  # fmt: skip
            state = desk.answer(rater_id, request).state
        if remark:
            desk.closing(rater_id, CLOSING)
        assert rater_code


def write_played(
    database: Database, *, arms: int = 3, prompts: int = 4, reals: int = 4, raters: int = 5,
    kind: str = "main", remark: str = "", is_locked: bool = True,
) -> str:  # fmt: skip
    """Returns the code of a study that was played, and locked where that is wanted."""
    code = write_draft(
        database, arms, prompts, 0, 2, 1, kind=kind, items_per_rater=None, repeat_share=0.0,
        consent=Consent(contact="study@example.org"),
    )
    images = study_images(0, 0, reals, 0, 0)
    Studies(database).add_images(
        code, [dataclasses.replace(each, source_name=f"{SOURCE}-{number}.jpg",
                                   provenance={"file": f"{SOURCE}-{number}.jpg"})
               for number, each in enumerate(images)],
        Harmonisation(size_px=64),
    )  # fmt: skip
    Studies(database).attest_identifiers(code, "A. Tester")
    Studies(database).open(code)
    play_all(database, code, raters, remark)
    if is_locked:
        Studies(database).lock(code, TITLE)
    return code


@functools.cache
def written() -> Written:
    """Returns the study and its capsules, made at the first call."""
    folder = Path(_kept().name)
    database = Database.open(sqlite_url(folder))
    code = write_played(database, remark=REMARK, is_locked=False)
    with database.write() as session:
        study = claim_study(session, code, "open")
        event = record_event(session, study, "blinding_audited", "audit", {"is_passed": False})
        report = {
            "at": event.at.isoformat(), "is_passed": False, "clients": ["http"],
            "received": {"http": 3}, "arms": {}, "finding_count": 1,
            "findings": [{"kind": "term", "where": FINDING, "message": FINDING}],
        }  # fmt: skip
        session.add(
            AuditReport(study_id=study.id, at=event.at, is_passed=False, report=report)
        )
    Studies(database).extend(code, planned_raters=9, reason="more are needed")
    Studies(database).lock(code, TITLE)
    full = write_capsule(database, code, folder / "full.zip", software_version="0.1.0")
    public = write_capsule(
        database, code, folder / "public.zip", variant="public", software_version="0.1.0"
    )
    return Written(database, code, full, public)


@functools.cache
def _kept() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="capsules-")


def contents_of(path: Path) -> dict[str, bytes]:
    """Returns every file of a ZIP by its name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_forged(
    target: Path, contents: Mapping[str, bytes], change: Callable[[dict[str, Any]], None] | None
) -> Path:
    """Writes a capsule whose manifest and hashes fit whatever its files now are."""
    files = {name: content for name, content in contents.items() if name not in (MANIFEST, SUMS)}
    values = json.loads(contents[MANIFEST])
    if change is not None:
        change(values)
    values["files"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(files.items())
    }
    told = (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()
    facts = {
        name: FileFacts(each["bytes"], each["sha256"]) for name, each in values["files"].items()
    }
    facts[MANIFEST] = FileFacts(len(told), hashlib.sha256(told).hexdigest())
    write_archive(
        target,
        {name: (lambda content=content: content) for name, content in files.items()},
        lambda _: {MANIFEST: told, SUMS: sums(facts)},
    )
    if values["format_version"] == 1:
        read_manifest(told)
    return target


def unpacked(path: Path, folder: Path) -> Path:
    """Returns a folder with the files of a ZIP."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


def real_pngs(database: Database) -> list[bytes]:
    """Returns the bytes of all real images, and of those whose origin no arm tells."""
    with database.read() as session:
        rows = session.execute(
            select(StimulusImage.png, Stimulus.arm_id)
            .join(Stimulus, StimulusImage.stimulus_id == Stimulus.id)
        )
        real = set(session.scalars(select(Arm.id).where(Arm.is_real)))
        return [bytes(png) for png, arm_id in rows if arm_id is None or arm_id in real]


@pytest.fixture(scope="module")
def capsules() -> Written:
    """As `written`."""
    return written()
