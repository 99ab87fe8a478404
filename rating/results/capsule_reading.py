"""Reading a capsule that nobody vouches for: names, sizes and hashes before anything is believed.

Nothing in a capsule is ever executed, and nothing of it is written to a place that its names say.
Limits hold for what is really unpacked; whatever is wrong is told by the name of its file.
"""

import dataclasses
import hashlib
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final

from rating.errors import CapsuleError
from rating.results.capsule_archive import CHUNK_BYTES, FileFacts, seal_faults

_ENCRYPTED: Final = 0x1
_RATIO_FREE_BYTES: Final = 2**20  # small files may shrink as much as they like
_END: Final = struct.Struct("<4s4H2LH")


@dataclasses.dataclass(frozen=True, slots=True)
class CapsuleLimits:
    """What a capsule may hold at most.

    Args:
        directory_bytes: Of the ZIP's list of files, which is read as a whole.
        files:           Entries.
        file_bytes:      Of one file, unpacked.
        total_bytes:     Of all files together, unpacked.
        ratio:           Of unpacked to packed bytes, of files above 1 MiB.
        text_bytes:      Of one of the files that are read as a whole, such as the manifest.
        image_bytes:     Of one picture.
    """

    directory_bytes: int = 32 * 2**20
    files: int = 100_000
    file_bytes: int = 8 * 2**30
    total_bytes: int = 32 * 2**30
    ratio: float = 500.0
    text_bytes: int = 32 * 2**20
    image_bytes: int = 64 * 2**20


LIMITS: Final = CapsuleLimits()


class Capsule:
    """An open capsule whose names and sizes were checked.

    Attributes:
        faults: What is wrong, each beginning with the name of a file; grows.
        notes:  What else is to be known.
        intact: Names of the files whose bytes are those of the manifest.
    """

    def __init__(
        self, archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], limits: CapsuleLimits
    ) -> None:
        """Use `opened_capsule`."""
        self._archive = archive
        self._entries = entries
        self._limits = limits
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.intact: set[str] = set()

    @property
    def names(self) -> frozenset[str]:
        """Names of all files inside."""
        return frozenset(self._entries)

    def chunks(self, name: str, most_bytes: int | None = None) -> Iterator[bytes]:
        """Yield the content of a file piece by piece.

        Raises:
            CapsuleError: It cannot be unpacked, or has more bytes than allowed.
        """
        allowed = self._limits.file_bytes if most_bytes is None else most_bytes
        count = 0
        try:
            with self._archive.open(self._entries[name]) as file:
                while chunk := file.read(CHUNK_BYTES):
                    count += len(chunk)
                    if count > allowed:
                        raise CapsuleError(f"{name}: has more than {allowed} bytes.")
                    yield chunk
        except CapsuleError:
            raise
        except Exception as error:  # damaged archives make zipfile raise many kinds of errors
            raise CapsuleError(f"{name}: was changed; it cannot be unpacked ({error}).") from error

    def text_bytes(self, name: str) -> bytes:
        """Return the content of a small file."""
        return b"".join(self.chunks(name, self._limits.text_bytes))

    def image_bytes(self, name: str) -> bytes:
        """Return the content of a picture."""
        return b"".join(self.chunks(name, self._limits.image_bytes))

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines of a text file, each without its line feed.

        Raises:
            CapsuleError: A line is longer than a small file may be, or is no UTF-8.
        """
        rest = b""
        for chunk in self.chunks(name):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (_decoded(line, name) for line in whole)
            if len(rest) > self._limits.text_bytes:
                raise CapsuleError(f"{name}: has a line of more than {len(rest)} bytes.")
        if rest:
            yield _decoded(rest, name)

    def copy(self, name: str, target: Path) -> None:
        """Write the content of a file to a place of our own."""
        with target.open("wb") as file:
            for chunk in self.chunks(name):
                file.write(chunk)

    def facts(self, name: str) -> FileFacts:
        """Return size and SHA-256 of a file; CapsuleError where it cannot be unpacked."""
        digest, count = hashlib.sha256(), 0
        for chunk in self.chunks(name):
            digest.update(chunk)
            count += len(chunk)
        return FileFacts(count, digest.hexdigest())

    def check(self, name: str, run: Callable[[], None]) -> None:
        """Run a check of a file and keep what stops it as a fault of that file."""
        try:
            run()
        except CapsuleError as error:
            self.faults.append(str(error))
        except ImportError:  # says something of this installation, nothing of the file
            raise
        except Exception as error:  # a forged file may make any reader raise anything
            what = f"{type(error).__name__}: {error}"
            self.faults.append(f"{name}: cannot be read as what it should be ({what:.200}).")


def _decoded(line: bytes, name: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CapsuleError(f"{name}: is no UTF-8 ({error}).") from error


@contextmanager
def opened_capsule(path: Path, limits: CapsuleLimits = LIMITS) -> Iterator[Capsule]:
    """Yield a capsule, its names and sizes checked before anything is unpacked.

    Raises:
        CapsuleError: It cannot be opened, is no ZIP, or is too large or hostile to look further.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise CapsuleError(f"{path} cannot be opened: {error.strerror or error}.") from error
    with file:
        _check_directory(file, limits)
        try:
            archive = zipfile.ZipFile(file)
        except Exception as error:  # damaged archives make zipfile raise many kinds of errors
            raise CapsuleError(
                f"the ZIP itself: was changed or cut; it cannot be opened ({error})."
            ) from error
        with archive:
            faults: list[str] = []
            entries = _checked_entries(archive.infolist(), limits, faults)
            capsule = Capsule(archive, entries, limits)
            found, is_sealed = seal_faults(file)
            capsule.faults += [*faults, *found]
            if not is_sealed:
                capsule.notes.append(
                    "The ZIP has no seal: it was packed anew, so only the files in it were checked."
                )
            yield capsule


def _check_directory(file: IO[bytes], limits: CapsuleLimits) -> None:
    """Refuse a ZIP whose list of files alone would fill the memory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 2**16 - _END.size))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise CapsuleError("the ZIP itself: is no ZIP file, or was cut. Fetch it again.")
    length = _END.unpack_from(tail, at)[5]
    if length > limits.directory_bytes:
        raise CapsuleError(
            f"the ZIP itself: its list of files has {length} bytes, allowed are "
            f"{limits.directory_bytes}; this is no capsule."
        )


def _checked_entries(
    found: list[zipfile.ZipInfo], limits: CapsuleLimits, faults: list[str]
) -> dict[str, zipfile.ZipInfo]:
    """Return the entries that may be unpacked, by name; all others are faults."""
    if len(found) > limits.files:
        raise CapsuleError(
            f"the ZIP itself: has {len(found)} files, allowed are {limits.files}; nothing was read."
        )
    if (total := sum(entry.file_size for entry in found)) > limits.total_bytes:
        raise CapsuleError(
            f"the ZIP itself: would unpack to {total} bytes, allowed are {limits.total_bytes}; "
            "nothing was read."
        )
    entries: dict[str, zipfile.ZipInfo] = {}
    folded: dict[str, str] = {}
    for entry in found:
        name = entry.orig_filename
        if reason := _refused(entry, limits):
            faults.append(f"{shown(name)}: {reason}")
        elif (twin := folded.setdefault(name.casefold(), name)) in entries:
            faults.append(f"{shown(name)}: stands in the ZIP twice, as {shown(twin)} too.")
        else:
            entries[name] = entry
    return entries


def _refused(entry: zipfile.ZipInfo, limits: CapsuleLimits) -> str:
    """Return why an entry is not unpacked; "" when it may be."""
    name = entry.orig_filename
    path = PurePosixPath(name)
    if (
        not name or name != str(path) or path.is_absolute() or ".." in path.parts
        or "\\" in name or ":" in name or not name.isprintable()
    ):  # fmt: skip
        return "is no name that a capsule may have: it leads elsewhere, or is a folder."
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "is no plain file but a link, folder or device."
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted; capsules are not."
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is packed in way {entry.compress_type}, allowed are stored and deflated."
    if entry.file_size > limits.file_bytes:
        return f"would have {entry.file_size} bytes, allowed are {limits.file_bytes}."
    if (
        entry.file_size > _RATIO_FREE_BYTES
        and entry.file_size > limits.ratio * max(1, entry.compress_size)
    ):  # fmt: skip
        return f"would unpack to more than {limits.ratio:.0f} times its size, as bombs do."
    return ""


def shown(name: str) -> str:
    """Return a name as a message may show it."""
    text = name if name.isprintable() else ascii(name)
    return text if len(text) <= 120 else f"{text[:120]}..."
