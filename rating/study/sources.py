"""Where the images of a study come from: the hand-over, a manifest, a folder, a ZIP, a dataset.

Nothing here writes. Each source is read as a whole and offers all of its images, or raises one
StimulusError that lists everything that is wrong with it.
"""

import dataclasses
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args

from PIL import Image

from data.errors import DataError, ImageReadError, StudyInboxError
from data.folders import read_folder
from data.images import load_rgb
from data.manifest import MANIFEST_FILE, ManifestRow
from data.manifest_reading import scan_manifest
from data.provenance import filename_for, pixel_sha256
from data.records import ImageRecord
from data.study_inbox import InboxEntry, StudyInbox
from rating.errors import StimulusError
from rating.study.archive_upload import from_zip, zip_intake
from rating.study.image_files import Defaults, is_junk, take_files, take_rows
from rating.study.image_table import read_image_table
from rating.study.offered import (
    REAL_ARM,
    SELECTION_RULES,
    Intake,
    OfferedImage,
    raise_faults,
)

__all__ = [
    "REAL_ARM",
    "SELECTION_RULES",
    "Intake",
    "OfferedImage",
    "folder_intake",
    "from_dataset",
    "from_folder",
    "from_inbox",
    "from_manifest",
    "from_zip",
    "zip_intake",
]

Choice = Literal["first_seed", "random", "all"]

MOST_FILES: Final = 20_000
MOST_FILE_BYTES: Final = 256 * 2**20


def from_inbox(inbox: StudyInbox, ids: Sequence[str] | None = None) -> list[OfferedImage]:
    """Return images that Generate has handed over.

    Args:
        inbox: Of the workspace.
        ids:   Of the entries to take, in this order; None takes all.

    Raises:
        StimulusError: The inbox is damaged, or has no such image.
    """
    source = "the study inbox"
    try:
        entries = {entry.id: entry for entry in inbox.entries()}
    except StudyInboxError as error:
        raise_faults(source, [str(error)])
        raise
    faults = [
        f"there is no image {wanted!r}; it may have been removed: reload the list."
        for wanted in ids or ()
        if wanted not in entries
    ]
    chosen = entries.values() if ids is None else (entries[i] for i in ids if i in entries)
    offered = [_of_inbox(inbox, entry) for entry in chosen]
    faults += _unreadable(offered)
    raise_faults(source, faults)
    return offered


def from_manifest(path: Path, *, rule: Choice = "first_seed", seed: int = 0) -> list[OfferedImage]:
    """Return images of a batch: of each prompt and arm one candidate, or all.

    Args:
        path: The manifest, or the folder that it lies in.
        rule: "first_seed": the candidate listed first, which was fixed before anything was drawn;
              "random": one drawn from `seed`; "all".
        seed: For "random": the same one chooses the same images, in whatever order rows stand.

    Raises:
        StimulusError: The manifest or a chosen image is damaged or missing.
    """
    if rule not in get_args(Choice):
        raise StimulusError(f"The rule is {rule!r}, allowed are {', '.join(get_args(Choice))}.")
    path = path / MANIFEST_FILE if path.is_dir() else path
    manifest = scan_manifest(path)
    faults = [str(fault) for fault in manifest.faults]
    groups: defaultdict[tuple[str, str], list[ManifestRow]] = defaultdict(list)
    for row in manifest.rows:
        groups[row.prompt_id, row.arm].append(row)
    offered = []
    for (prompt_id, arm), rows in groups.items():
        chosen = _chosen(rows, rule, seed)
        for row in chosen:
            if row.is_done:
                offered.append(_of_manifest(path.parent, row, rows, rule))
        if not any(row.is_done for row in chosen):
            faults.append(
                f"of the prompt {prompt_id} the arm {arm} has no image under the rule {rule} "
                f"({chosen[0].message or 'not drawn'}); run the batch again, which draws what is "
                "missing."
            )
    if not manifest.rows and not faults:
        faults.append("it lists no images.")
    faults += _unreadable(offered)
    raise_faults(str(path), faults)
    return offered


def from_folder(
    folder: Path,
    csv: Path | None = None,
    *,
    arm: str = "",
    is_real: bool = False,
    role: str = "main",
) -> list[OfferedImage]:
    """Return the images of a folder, see `folder_intake`."""
    return list(folder_intake(folder, csv, arm=arm, is_real=is_real, role=role).images)


def folder_intake(
    folder: Path,
    csv: Path | None = None,
    *,
    arm: str = "",
    is_real: bool = False,
    role: str = "main",
) -> Intake:
    """Return the images of a folder, and words on what was passed over.

    Args:
        folder:  With image files, at any depth; hidden files are passed over.
        csv:     Names each image by `filename`, relative to the folder, with its `arm` (a model,
                 or "real") and `prompt`; optional columns are prompt_id, role, selection_rule,
                 candidates, expected, and any other is kept as provenance. None takes the CSV in
                 the folder; without one, images downloaded from Generate tell themselves.
        arm:     Of images of which nothing says it.
        is_real: Whether all of them are real images.
        role:    "main", "practice" or "check", where the CSV does not say.

    Raises:
        StimulusError: With everything that is wrong.
    """
    if not folder.is_dir():
        state = "is a file, not a folder" if folder.exists() else "does not exist"
        raise StimulusError(f"No image was taken: {folder} {state}.")
    faults: list[str] = []
    files = _files_of(folder, faults)
    defaults = Defaults(arm, is_real, role)
    if csv is None:
        intake = take_files(files, None, defaults, faults)
    else:
        intake = _take_with_table(csv, files, defaults, faults)
    raise_faults(str(folder), faults)
    return intake


def from_dataset(
    folder: Path, count: int, seed: int = 0, split: str | None = "val"
) -> list[OfferedImage]:
    """Return real images of a dataset, drawn at random, as the control arm.

    At most one image of a group (patient, case, sequence) is taken while there are others, and of
    several captions of an image one is drawn.

    Args:
        folder: In the layout of MedVQA-GI or ROCOv2.
        count:  How many images, 1 or more.
        seed:   The same one draws the same images, in whatever order the tables stand.
        split:  "train", "val" or "test"; None takes all. Images that models were trained on are a
                weaker control, so it is "val" unless asked otherwise.

    Raises:
        StimulusError: The folder cannot be read, or has too few such images.
    """
    if count < 1:
        raise StimulusError(f"count is {count}; ask for 1 or more real images.")
    try:
        records = read_folder(folder, missing="skip")
    except DataError as error:
        raise StimulusError(f"No image was taken: {error}") from error
    eligible = [record for record in records if split is None or record.split == split]
    if len(eligible) < count:
        there = sorted({str(record.split) for record in records if record.split is not None})
        of_split = "" if split is None else f" of the split {split!r}"
        raise StimulusError(
            f"No image was taken from {folder}: it has {len(eligible)} images{of_split}, asked for "
            f"are {count}. Ask for fewer, or another split ({', '.join(there) or 'it has none'})."
        )
    chosen = _drawn(eligible, count, seed)
    offered = [_of_dataset(record, len(eligible), seed) for record in chosen]
    raise_faults(str(folder), _unreadable(offered))
    return offered


def _of_inbox(inbox: StudyInbox, entry: InboxEntry) -> OfferedImage:
    values = entry.provenance.to_dict()
    prompt = values.pop("prompt")

    def read() -> Image.Image:
        return inbox.image(entry.id).image.convert("RGB")

    return OfferedImage(
        read=read,
        arm=entry.provenance.model_id,
        is_real=False,
        prompt_id="",
        prompt=prompt.strip(),
        selection_rule=entry.selection_rule,
        candidate_count=entry.candidate_count,
        provenance=values,
        source_name=filename_for(entry.provenance),
    )


def _chosen(rows: Sequence[ManifestRow], rule: Choice, seed: int) -> list[ManifestRow]:
    """Return the rows that the rule takes of the candidates of one prompt and arm."""
    if rule == "first_seed":
        return [rows[0]]
    done = [row for row in rows if row.is_done] or [rows[0]]
    if rule == "all":
        return done
    return [min(done, key=lambda row: _rank(seed, row.image_id))]


def _of_manifest(
    folder: Path, row: ManifestRow, rows: Sequence[ManifestRow], rule: Choice
) -> OfferedImage:
    values = {
        name: value
        for name, value in dataclasses.asdict(row).items()
        if value not in (None, "") and name not in _NOT_PROVENANCE
    }
    path = folder / row.file_name
    return OfferedImage(
        read=partial(_read_unchanged, path, row.file_name, row.pixel_sha256),
        arm=row.arm,
        is_real=False,
        prompt_id=row.prompt_id,
        prompt=row.prompt.strip(),
        selection_rule=rule,
        candidate_count=max(row.candidates, len(rows)),
        provenance=values,
        source_name=row.file_name,
    )


_NOT_PROVENANCE: Final = frozenset(
    ("arm", "prompt", "prompt_id", "status", "message", "selection_rule", "candidates")
)


def _read_unchanged(path: Path, name: str, sha256: str) -> Image.Image:
    picture = load_rgb(path)
    if pixel_sha256(picture) != sha256:
        raise ImageReadError(
            f"{name} has other pixels than when it was drawn; draw it again with the batch."
        )
    return picture


def _files_of(folder: Path, faults: list[str]) -> dict[str, Callable[[], bytes]]:
    """Return how to read each file in a folder, by its relative name."""
    files: dict[str, Callable[[], bytes]] = {}
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        for name in sorted(names):
            path = Path(top, name)
            relative = path.relative_to(folder).as_posix()
            if is_junk(relative):
                continue
            if len(files) == MOST_FILES:
                faults.append(f"it has more files than {MOST_FILES}; name a smaller folder.")
                return files
            files[relative] = partial(_content, path, relative)
    return files


def _content(path: Path, name: str) -> bytes:
    if (size := path.stat().st_size) > MOST_FILE_BYTES:
        raise ImageReadError(f"{name} has {size} bytes, allowed are {MOST_FILE_BYTES}.")
    return path.read_bytes()


def _take_with_table(
    csv: Path, files: dict[str, Callable[[], bytes]], defaults: Defaults, faults: list[str]
) -> Intake:
    """Return the images that a CSV names, wherever that lies."""
    try:
        table = read_image_table(csv.read_bytes(), csv.name)
    except OSError as error:
        faults.append(f"{csv} cannot be opened: {error.strerror or error}.")
        return Intake(())
    return take_rows(table, csv.name, files, defaults, faults)


def _drawn(eligible: Sequence[ImageRecord], count: int, seed: int) -> list[ImageRecord]:
    """Return `count` records in a drawn order, those of new groups before others."""
    ranked = sorted(eligible, key=lambda record: _rank(seed, record.image_id))
    groups: set[str] = set()
    first, others = [], []
    for record in ranked:
        is_new = record.group is None or record.group not in groups
        (first if is_new else others).append(record)
        if record.group is not None:
            groups.add(record.group)
    return (first + others)[:count]


def _of_dataset(record: ImageRecord, eligible: int, seed: int) -> OfferedImage:
    captions = sorted(record.captions, key=lambda text: _rank(seed, f"{record.image_id}\n{text}"))
    values: dict[str, Any] = {
        "dataset": record.source,
        "image_id": record.image_id,
        "drawn_with_seed": seed,
    }
    values |= {"split": record.split} if record.split else {}
    values |= {"group": record.group} if record.group else {}
    return OfferedImage(
        read=partial(load_rgb, record.path),
        arm=REAL_ARM,
        is_real=True,
        prompt_id="",
        prompt=captions[0].strip(),
        selection_rule="random",
        candidate_count=eligible,
        provenance=values,
        source_name=record.path.name,
    )


def _unreadable(offered: Iterable[OfferedImage]) -> list[str]:
    """Return what is wrong with those images that cannot be read."""
    faults = []
    for image in offered:
        try:
            image.read()
        except (DataError, OSError) as error:
            faults.append(f"{image.source_name}: {error}")
    return faults


def _rank(seed: int, name: str) -> bytes:
    """Return where a name stands in the order that a seed draws."""
    return hashlib.sha256(f"{seed}\n{name}".encode("utf-8", errors="replace")).digest()
