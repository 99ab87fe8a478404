"""Where the images of a study come from: the hand-over, a manifest, a folder, a ZIP, a dataset.

Nothing here writes. Each source is read as a whole and offers all of its images, or raises one
StimulusError that lists everything that is wrong with it.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from PIL import Image

from data.errors import ImageReadError, StudyInboxError
from data.provenance import filename_for
from data.study_inbox import InboxEntry, StudyInbox
from rating.errors import StimulusError
from rating.study.archive_upload import from_zip, zip_intake
from rating.study.batch_source import from_manifest
from rating.study.dataset_source import from_dataset
from rating.study.image_files import Defaults, is_junk, take_files, take_rows
from rating.study.image_table import read_image_table
from rating.study.offered import (
    REAL_ARM,
    SELECTION_RULES,
    Intake,
    OfferedImage,
    raise_faults,
    unreadable,
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
    faults += unreadable(offered)
    raise_faults(source, faults)
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
