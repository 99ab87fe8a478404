"""Where generated images wait for whoever builds a study: the hand-over between the two sides.

One folder an image, with the PNG and a record: its provenance, how it was selected and out of how
many. An image is there whole or not at all, and never twice.
"""

import contextlib
import errno
import hashlib
import io
import json
import pathlib
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from PIL import Image

from data.errors import DataValueError, ImageReadError, ProvenanceError, StudyInboxError
from data.provenance import GeneratedImage, Provenance, pixel_sha256, png_bytes, utc_now
from data.whole_file import sync_folder, write_synced

SelectionRule = Literal["hand_picked", "all_of_comparison"]

FORMAT: Final = 1
_IMAGE: Final = "image.png"
_RECORD: Final = "record.json"
_ID: Final = re.compile(r"[0-9a-f]{64}")
_UNFINISHED: Final = ".part-"
_REMOVED: Final = ".removed-"
_LEFT_BEHIND_S: Final = 3600.0  # no program takes that long to write one image


@dataclass(frozen=True, slots=True)
class Submission:
    """An image that is handed over.

    `candidate_count` says out of how many images of the same prompt and model it was chosen, itself
    included.
    """

    generated: GeneratedImage
    selection_rule: SelectionRule
    candidate_count: int

    def __post_init__(self) -> None:
        """Check the values, since a study stands on them."""
        if self.selection_rule not in get_args(SelectionRule):
            raise DataValueError(
                f"selection_rule is {self.selection_rule!r}, "
                f"need one of {', '.join(get_args(SelectionRule))}."
            )
        if self.candidate_count < 1:
            raise DataValueError(f"candidate_count is {self.candidate_count}, need 1 or more.")


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """An image in the inbox; `id` is the same for the same pixels of the same model."""

    id: str
    provenance: Provenance
    pixel_sha256: str
    selection_rule: SelectionRule
    candidate_count: int
    sent_at: str


class StudyInbox:
    """The images handed over in one workspace."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Use `folder`, which is made with the first image."""
        self._folder = folder

    def add(self, submissions: Sequence[Submission]) -> int:
        """Hand images over and return how many of them were new; all of them or, failing, none.

        Raises:
            OSError: The disk is full or cannot be written; nothing new is then in the inbox.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        written: dict[str, pathlib.Path] = {}
        added: list[pathlib.Path] = []
        try:
            for submission in submissions:
                entry = _entry_of(submission)
                if entry.id not in written and not (self._folder / entry.id).exists():
                    written[entry.id] = self._write(entry, submission.generated)
            for name, unfinished in written.items():
                if _rename_unless_there(unfinished, self._folder / name):
                    added.append(self._folder / name)
            sync_folder(self._folder)
        except BaseException:
            for path in added:
                shutil.rmtree(path, ignore_errors=True)
            raise
        finally:
            for unfinished in written.values():
                shutil.rmtree(unfinished, ignore_errors=True)
        return len(added)

    def entries(self) -> tuple[InboxEntry, ...]:
        """Return what is in the inbox, the earliest first.

        Raises:
            StudyInboxError: If a record cannot be read; the message names it.
        """
        if not self._folder.is_dir():
            return ()
        names = [path.name for path in self._folder.iterdir() if _ID.fullmatch(path.name)]
        found = []
        for name in names:
            # Another program may remove an image between the listing and the reading.
            with contextlib.suppress(FileNotFoundError):
                found.append(self._read(name))
        return tuple(sorted(found, key=lambda entry: (entry.sent_at, entry.id)))

    def image(self, entry_id: str) -> GeneratedImage:
        """Return the image of an entry.

        Raises:
            StudyInboxError: If it is not there, or damaged.
        """
        try:
            entry = self._read(_checked(entry_id))
            picture = open_png((self._folder / entry_id / _IMAGE).read_bytes())
        except FileNotFoundError:
            raise StudyInboxError(f"The study inbox has no image {entry_id!r}.") from None
        except ImageReadError as error:
            raise StudyInboxError(f"The image {entry_id!r} of the study inbox: {error}") from error
        if pixel_sha256(picture) != entry.pixel_sha256:
            raise StudyInboxError(
                f"The image {entry_id!r} of the study inbox has changed since it was handed over. "
                "Remove it and send it again."
            )
        return GeneratedImage(picture, entry.provenance)

    def remove(self, entry_id: str) -> bool:
        """Remove an entry, at once and wholly; return whether it was there."""
        removed = self._folder / f"{_REMOVED}{secrets.token_hex(8)}"
        try:
            (self._folder / _checked(entry_id)).rename(removed)
        except FileNotFoundError:
            return False
        shutil.rmtree(removed, ignore_errors=True)
        return True

    def _write(self, entry: InboxEntry, generated: GeneratedImage) -> pathlib.Path:
        """Write the image into a folder that nobody lists yet and return that folder."""
        folder = self._folder / f"{_UNFINISHED}{secrets.token_hex(8)}"
        folder.mkdir()
        record = {
            "format": FORMAT,
            "pixel_sha256": entry.pixel_sha256,
            "selection_rule": entry.selection_rule,
            "candidate_count": entry.candidate_count,
            "sent_at": entry.sent_at,
            "provenance": entry.provenance.to_dict(),
        }
        try:
            write_synced(folder / _IMAGE, png_bytes(generated.image, generated.provenance))
            write_synced(folder / _RECORD, json.dumps(record, indent=1).encode())
            sync_folder(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def _read(self, name: str) -> InboxEntry:
        path = self._folder / name / _RECORD
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["format"] != FORMAT:
                raise StudyInboxError(
                    f"{path} has format {record['format']!r}, readable is {FORMAT}. "
                    "A newer version of this software may read it."
                )
            return InboxEntry(
                id=name,
                provenance=Provenance.from_json(json.dumps(record["provenance"])),
                pixel_sha256=record["pixel_sha256"],
                selection_rule=record["selection_rule"],
                candidate_count=record["candidate_count"],
                sent_at=record["sent_at"],
            )
        except (ValueError, KeyError, TypeError, ProvenanceError) as error:
            raise StudyInboxError(
                f"{path} is damaged: {error}. Remove its folder and send the image again."
            ) from error

    def _sweep(self) -> None:
        """Remove what a killed program has left half written or half removed."""
        for path in self._folder.glob(".*"):
            with contextlib.suppress(FileNotFoundError):
                is_ours = path.name.startswith((_UNFINISHED, _REMOVED))
                if is_ours and time.time() - path.stat().st_mtime > _LEFT_BEHIND_S:
                    shutil.rmtree(path, ignore_errors=True)


def open_png(content: bytes) -> Image.Image:
    """Return the picture of a PNG, RGB or L, without its texts.

    Raises:
        ImageReadError: If it is no PNG or is damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            picture = image.copy()
    except Exception as error:  # Pillow's decoders answer a damaged file with any error
        raise ImageReadError(f"Cannot read the PNG: {error}.") from error
    picture.info.clear()
    return picture


def _entry_of(submission: Submission) -> InboxEntry:
    generated = submission.generated
    # As the PNG will hold them: it has no palette and no transparency.
    pixels = pixel_sha256(open_png(png_bytes(generated.image, None)))
    # Two models may draw the same pixels, as plain ones are; they are two images of a study.
    name = hashlib.sha256(f"{generated.provenance.model_id}\n{pixels}".encode()).hexdigest()
    return InboxEntry(
        id=name,
        provenance=generated.provenance,
        pixel_sha256=pixels,
        selection_rule=submission.selection_rule,
        candidate_count=submission.candidate_count,
        sent_at=utc_now(),
    )


def _checked(entry_id: str) -> str:
    if not _ID.fullmatch(entry_id):
        raise StudyInboxError(f"{entry_id!r} is no id of the study inbox: 64 hexadecimal digits.")
    return entry_id


def _rename_unless_there(folder: pathlib.Path, target: pathlib.Path) -> bool:
    """Rename a folder and return True; False where another program has made the target."""
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in {errno.EEXIST, errno.ENOTEMPTY} or target.exists():
            return False
        raise
    return True
