"""The study capsule: one ZIP with everything that a study's results rest on.

The same study gives the same bytes. It is written whole or not at all: its parts go into a hidden
folder beside the target, pictures straight from the database into the ZIP.
"""

import dataclasses
import errno
import hashlib
import os
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from rating.errors import CapsuleError
from rating.results import capsule_contents as contents
from rating.results.capsule_archive import CHUNK_BYTES, FileFacts, Source, write_archive
from rating.results.capsule_contents import Picture, StimulusPngs
from rating.results.capsule_results import write_results, write_scripts
from rating.results.capsule_texts import Inside, citation, licence, readme
from rating.results.manifest import MANIFEST, SUMS, VARIANTS, Manifest, Variant, sums
from rating.storage.database import Database
from rating.storage.models import Stimulus, Study
from rating.study import locking, unblinding
from rating.study.lookup import find_study

PILOT_NOTE: Final = "PILOT.txt"


@dataclasses.dataclass(frozen=True, slots=True)
class CapsuleFacts:
    """What was written.

    Args:
        path:        The ZIP.
        study_code:  Of the study.
        is_pilot:    Whether it is a pilot, and marked as one.
        variant:     "full" or "public".
        root_hash:   Of the lock; "" of a pilot that is not locked.
        files:       How many are inside.
        images:      How many of them are pictures of stimuli.
        images_left_out: Pictures that are given by their hash alone.
        size_bytes:  Of the ZIP.
        sha256:      Of the ZIP.
        main_table:  Its text, as the capsule's own script prints it.
    """

    path: Path
    study_code: str
    is_pilot: bool
    variant: Variant
    root_hash: str
    files: int
    images: int
    images_left_out: int
    size_bytes: int
    sha256: str
    main_table: str


def capsule_name(code: str, kind: str, variant: str) -> str:
    """Return the name of a capsule's file; that of a pilot says so."""
    return f"{'PILOT-' if kind == 'pilot' else ''}study-{code}-{variant}.zip"


def write_capsule(
    database: Database,
    code: str,
    target: Path,
    *,
    variant: Variant = "full",
    excluded: Mapping[str, str] | None = None,
    real_licence: str = "",
    shares_real_images: bool | None = None,
    software_version: str = "",
) -> CapsuleFacts:
    """Write the capsule of a study and return what was written.

    Args:
        database:           Of the study.
        code:               Of a locked study, or of an open pilot.
        target:             ZIP file to write, not there yet; or a folder, which gets one by the
                            name that `capsule_name` returns.
        variant:            "full", or "public" without what could identify raters or patients.
        excluded:           Code of each rater left out of the analysis -> why.
        real_licence:       Terms of the real images, in words.
        shares_real_images: Whether real images are inside; None: in the full variant only. Without
                            them practice images and checks stay out too: no arm tells their origin.
        software_version:   Of this software.

    Raises:
        StudyNotFoundError: There is none of this code.
        UnblindingError: It is a main study that is not locked, or a draft.
        CapsuleError: The target is there already or cannot be written, the disk is full, or the
            study is not what was logged and locked.
    """
    if variant not in VARIANTS:
        raise CapsuleError(f"The variant is {variant!r}; allowed are {' and '.join(VARIANTS)}.")
    with database.read() as session:
        study = find_study(session, code)
        unblinding.require_unblinded(study)
        if faults := locking.verify(session, study):
            raise CapsuleError(
                f"Study {code} is not what was logged and locked, so no capsule was written: "
                f"{' '.join(faults)} Restore a backup."
            )
        if target.is_dir():
            target = target / capsule_name(code, study.kind, variant)
    target = target.absolute()
    if target.suffix.lower() != ".zip":
        raise CapsuleError(f"A capsule is a ZIP; {target.name!r} has to end in .zip.")
    if target.exists():
        raise CapsuleError(f"{target} is there already; name a file that is not.")
    shares = variant == "full" if shares_real_images is None else shares_real_images
    order = _Order(database, code, variant, dict(excluded or {}), real_licence.strip(), shares,
                   software_version)  # fmt: skip
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            return _written(order, Path(folder), target)
    except FileExistsError:
        raise CapsuleError(f"{target} is there already; name a file that is not.") from None
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise CapsuleError(
            f"The capsule cannot be written to {target}: {why}. Nothing was left behind; name "
            "another place."
        ) from error


@dataclasses.dataclass(frozen=True, slots=True)
class _Order:
    """What is to be written."""

    database: Database
    code: str
    variant: Variant
    excluded: Mapping[str, str]
    real_licence: str
    shares_real_images: bool
    software_version: str

    @property
    def is_public(self) -> bool:
        return self.variant == "public"


def _written(order: _Order, folder: Path, target: Path) -> CapsuleFacts:
    parts, unfinished = folder / "parts", folder / "capsule.zip"
    parts.mkdir()
    with order.database.read() as session:
        study = find_study(session, order.code)
        manifest = _manifest(session, study, order)
        found = contents.pictures(session, study)
        inside = tuple(each for each in found if order.shares_real_images or each.is_real is False)
        shown = _shown(session, study, {each.png_sha256 for each in inside})
        _write_contents(session, study, order, parts, found, inside)
        arms = [(arm.code, arm.label) for arm in unblinding.arms(session, study)]
    pngs = StimulusPngs(order.database, shown)
    main_table = write_results(
        order.database, order.code, parts,
        is_public=order.is_public, excluded=order.excluded, images=pngs,
    )  # fmt: skip
    write_scripts(parts)
    sources = _sources(parts)
    sources |= {each.file: partial(pngs.__getitem__, each.stimulus_id) for each in inside}
    left_out = [each for each in found if each not in inside]
    told = Inside(tuple(sources), left_out, order.real_licence, arms)
    for name, text in (("README.md", readme(manifest, told)), ("CITATION.cff", citation(manifest)),
                       ("LICENCE.md", licence(manifest, told))):  # fmt: skip
        contents.write_bytes(parts / name, text.encode("utf-8"))
        sources[name] = parts / name
    files = write_archive(unfinished, sources, partial(_closing, manifest))
    facts = CapsuleFacts(
        target, order.code, manifest.is_pilot, order.variant, manifest.root_hash, len(files),
        len(inside), len(left_out), unfinished.stat().st_size, _sha256(unfinished), main_table,
    )  # fmt: skip
    _give_name(unfinished, target)
    return facts


def _manifest(session: Session, study: Study, order: _Order) -> Manifest:
    """Return the manifest before its files are known."""
    return Manifest(
        study_code=study.code,
        title=study.title,
        kind=study.kind,
        status=study.status,
        variant=order.variant,
        has_real_images=order.shares_real_images,
        root_hash=study.root_hash or "",
        last_event=contents.last_event(session, study),
        protocols=contents.protocol_hashes(session, study),
        software_version=order.software_version,
        files={},
    )


def _shown(session: Session, study: Study, included: set[str]) -> list[int]:
    """Return the stimuli whose pictures are inside."""
    rows = session.execute(
        select(Stimulus.id, Stimulus.png_sha256)
        .where(Stimulus.study_id == study.id)
        .order_by(Stimulus.id)
    )
    return [id_ for id_, sha256 in rows if sha256 in included]


def _write_contents(
    session: Session, study: Study, order: _Order, parts: Path,
    found: tuple[Picture, ...], inside: tuple[Picture, ...],
) -> None:  # fmt: skip
    included = frozenset(each.png_sha256 for each in inside)
    contents.write_image_index(found, included, parts)
    contents.write_protocols(session, study, parts, is_public=order.is_public)
    contents.write_events(session, study, parts, is_public=order.is_public)
    contents.write_audits(session, study, parts, is_public=order.is_public)
    if study.status == "locked" and not order.is_public:
        contents.write_locked_rows(session, study, parts)
    if study.kind == "pilot":
        note = f"Study {study.code} is a pilot.\nIts figures serve to plan a study, no more.\n"
        contents.write_bytes(parts / PILOT_NOTE, note.encode("utf-8"))


def _sources(parts: Path) -> dict[str, Source]:
    files = (path for path in parts.rglob("*") if path.is_file())
    return {path.relative_to(parts).as_posix(): path for path in files}


def _closing(manifest: Manifest, files: Mapping[str, FileFacts]) -> dict[str, bytes]:
    """Return the files that tell the hashes of all others."""
    told = dataclasses.replace(manifest, files=files).to_bytes()
    facts = FileFacts(len(told), hashlib.sha256(told).hexdigest())
    return {MANIFEST: told, SUMS: sums({**files, MANIFEST: facts})}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _give_name(unfinished: Path, target: Path) -> None:
    """Let the finished file appear under its name; FileExistsError where it is taken."""
    with unfinished.open("rb+") as file:
        os.fsync(file.fileno())
    try:
        # A link fails where another program has made the target meanwhile; a rename would not.
        os.link(unfinished, target)
    except FileExistsError:
        raise
    except OSError:  # some file systems know no links
        target.touch(exist_ok=False)
        unfinished.replace(target)
