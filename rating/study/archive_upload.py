"""ZIP files of images: read whole into memory under limits, nothing is ever written to disk.

A ZIP is untrusted: its names may lead elsewhere, its declared sizes may lie, and a few kilobytes
may unpack to gigabytes of bytes or of pixels. Names serve only to find an image that the table
names, contents decide what a file is, and every limit holds for what was really unpacked.
"""

import dataclasses
import io
import stat
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Final

from PIL import Image

from data.images import MAX_PIXELS, READABLE_FORMATS
from rating.study.image_files import Defaults, is_junk, is_zip, take_files
from rating.study.offered import Intake, OfferedImage, raise_faults

_ENCRYPTED: Final = 0x1
_CHUNK_BYTES: Final = 2**16
_RATIO_FREE_BYTES: Final = 2**20  # small files may shrink as much as they like


@dataclasses.dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What a ZIP may hold at most, unpacked.

    Args:
        archive_bytes: Of the ZIP file itself.
        files:         Entries, folders and leftovers of systems included.
        file_bytes:    Of one file.
        total_bytes:   Of all files together.
        ratio:         Of unpacked to packed bytes, of files above 1 MiB.
        pixels:        Of one image.
        total_pixels:  Of all images together.
    """

    archive_bytes: int = 512 * 2**20
    files: int = 4000
    file_bytes: int = 64 * 2**20
    total_bytes: int = 512 * 2**20
    ratio: float = 200.0
    pixels: int = MAX_PIXELS
    total_pixels: int = 2_000_000_000


LIMITS: Final = ArchiveLimits()


def from_zip(
    path: Path,
    *,
    arm: str = "",
    is_real: bool = False,
    role: str = "main",
    limits: ArchiveLimits = LIMITS,
) -> list[OfferedImage]:
    """Return the images of a ZIP file, see `zip_intake`."""
    return list(zip_intake(path, arm=arm, is_real=is_real, role=role, limits=limits).images)


def zip_intake(
    source: Path | bytes,
    *,
    arm: str = "",
    is_real: bool = False,
    role: str = "main",
    limits: ArchiveLimits = LIMITS,
) -> Intake:
    """Return the images of a ZIP file, and words on what was passed over.

    Args:
        source:  The file or its content: images and one CSV, as in a folder. The content is read
                 once, so that a file replaced or removed afterwards changes nothing.
        arm:     Of images of which nothing says it.
        is_real: Whether all of them are real images.
        role:    "main", "practice" or "check", where the CSV does not say.
        limits:  What the ZIP may hold at most.

    Raises:
        StimulusError: With everything that is wrong.
    """
    name = "the ZIP file" if isinstance(source, bytes) else source.name
    faults: list[str] = []
    notes: list[str] = []
    contents = _contents(source, limits, faults, notes)
    if contents and not faults:
        _check_pixels(contents, limits, faults)
    # With the archive itself at fault, what it seems to lack would only be noise.
    if faults:
        raise_faults(name, faults)
    files = {file: _reader(content) for file, content in contents.items()}
    intake = take_files(files, None, Defaults(arm, is_real, role), faults)
    raise_faults(name, faults)
    return Intake(intake.images, (*notes, *intake.notes))


def _contents(
    source: Path | bytes, limits: ArchiveLimits, faults: list[str], notes: list[str]
) -> dict[str, bytes]:
    """Return the files of a ZIP by their names, with "/" between folders; no junk, no ZIPs."""
    try:
        with _opened(source, limits, faults) as file:
            if faults:
                return {}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # names that stand twice are told as a fault
                with zipfile.ZipFile(file) as archive:
                    return _unpacked(archive, limits, faults, notes)
    except OSError as error:
        faults.append(f"it cannot be read: {error.strerror or error}.")
    except Exception as error:  # damaged archives make zipfile raise many kinds of errors
        faults.append(f"it is not a ZIP file, or damaged ({error}). Make it again.")
    return {}


def _opened(source: Path | bytes, limits: ArchiveLimits, faults: list[str]) -> IO[bytes]:
    file: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size > limits.archive_bytes:
        faults.append(
            f"it has {_mebibytes(size)}, allowed are {_mebibytes(limits.archive_bytes)}. Send the "
            "images in several ZIP files, or name a folder on the command line."
        )
    return file


def _unpacked(
    archive: zipfile.ZipFile, limits: ArchiveLimits, faults: list[str], notes: list[str]
) -> dict[str, bytes]:
    entries = archive.infolist()
    if len(entries) > limits.files:
        faults.append(f"it has {len(entries)} entries, allowed are {limits.files}. Send several.")
        return {}
    contents: dict[str, bytes] = {}
    lower: dict[str, str] = {}
    zips: list[str] = []
    left = limits.total_bytes
    for entry in entries:
        if entry.is_dir() or is_junk(entry.filename.replace("\\", "/")):
            continue
        if fault := _entry_fault(entry):
            faults.append(fault)
            continue
        name = str(PurePosixPath(entry.filename.replace("\\", "/")))
        if (other := lower.setdefault(name.casefold(), name)) != name or name in contents:
            faults.append(f"{_shown(name)} is there twice, as {_shown(other)} too; keep one.")
            continue
        content, fault = _content(archive, entry, limits, left)
        if fault:
            faults.append(fault)
            if content is None:
                break
            continue
        assert content is not None
        left -= len(content)
        if is_zip(content):
            zips.append(_shown(name))
        else:
            contents[name] = content
    if zips:
        notes.append(f"ZIP files inside the ZIP are not opened: {', '.join(zips[:5])}.")
    return contents


def _entry_fault(entry: zipfile.ZipInfo) -> str:
    """Return what is wrong with an entry before it is read; "" where nothing is."""
    # `orig_filename` is the name before zipfile cuts it at a zero byte.
    name, original = entry.filename.replace("\\", "/"), entry.orig_filename
    path = PurePosixPath(name)
    shown = _shown(original)
    if not name or "\0" in original or not name.isprintable():
        return f"{shown}: the name has characters that are not allowed; rename the file."
    if path.is_absolute() or (len(name) > 1 and name[1] == ":") or ".." in path.parts:
        return f"{shown}: the name leads out of the ZIP; make it again from inside the folder."
    if len(name) > 400:
        return f"{shown}: the name has {len(name)} characters, allowed are 400."
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return f"{shown}: it is a link or another special file; put in the image itself."
    if entry.flag_bits & _ENCRYPTED:
        return f"{shown}: it is encrypted; make the ZIP without a password."
    return ""


def _content(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: ArchiveLimits, left: int
) -> tuple[bytes | None, str]:
    """Return the content of an entry and what is wrong; None where reading must end."""
    shown = _shown(entry.filename)
    most_by_ratio = max(_RATIO_FREE_BYTES, int(entry.compress_size * limits.ratio))
    most = min(limits.file_bytes, most_by_ratio, left)
    pieces = bytearray()
    try:
        with archive.open(entry) as file:
            while piece := file.read(_CHUNK_BYTES):
                pieces += piece
                if len(pieces) > most:
                    break
    except NotImplementedError as error:
        return b"", f"{shown}: it is packed in a way that is not read ({error}); use plain ZIP."
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        return b"", f"{shown}: it is damaged ({error}). Make the ZIP again."
    if len(pieces) <= most:
        return bytes(pieces), ""
    if most == left:
        return None, (
            f"all files together unpack to more than {_mebibytes(limits.total_bytes)}. Send them "
            "in several ZIP files."
        )
    if most == limits.file_bytes:
        return b"", f"{shown}: it unpacks to more than {_mebibytes(limits.file_bytes)}."
    return b"", (
        f"{shown}: it unpacks to more than {limits.ratio:.0f} times its size, as bombs do. Save "
        "the image as PNG or JPEG."
    )


def _check_pixels(
    contents: dict[str, bytes], limits: ArchiveLimits, faults: list[str]
) -> None:
    """Add what is wrong with the sizes that images declare, before any is decoded."""
    total = 0
    for name, content in contents.items():
        if PurePosixPath(name).suffix.lower() == ".csv":
            continue
        count = _pixel_count(content)
        total += count
        if count > limits.pixels:
            faults.append(
                f"{_shown(name)}: it has {count} pixels, allowed are {limits.pixels}. Downscale it."
            )
    if total > limits.total_pixels:
        faults.append(
            f"all images together have {total} pixels, allowed are {limits.total_pixels}. "
            "Downscale them, or send them in several ZIP files."
        )


def _pixel_count(content: bytes) -> int:
    """Return width x height as an image declares them; 0 where it is none that can be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=READABLE_FORMATS) as image:
                return image.width * image.height
    except Image.DecompressionBombError:
        return 4 * MAX_PIXELS
    except Exception:  # told with its reason where the image is read
        return 0


def _reader(content: bytes) -> Callable[[], bytes]:
    return lambda: content


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count} bytes"


def _shown(name: str) -> str:
    """Return a name as a message may show it."""
    text = name if name.isprintable() else ascii(name)
    return text if len(text) <= 120 else f"{text[:120]}..."


__all__ = ["LIMITS", "ArchiveLimits", "from_zip", "zip_intake"]
