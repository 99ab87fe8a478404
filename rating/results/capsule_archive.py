"""The ZIP of a capsule: the same files give the same bytes, and every byte of it is sealed.

Entries are sorted and carry neither times nor owners. The comment at the end of the ZIP holds the
SHA-256 of all that stands before the closing record, so that a change between the files, in names
or in the directory is found too.
"""

import dataclasses
import hashlib
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Final

CHUNK_BYTES: Final = 2**20
SEAL_PREFIX: Final = b"sha256 "
SEAL_BYTES: Final = len(SEAL_PREFIX) + 64
_CLOSING: Final = struct.Struct("<4s4H2LH")  # APPNOTE.TXT 6.3.10, section 4.3.16
_MOMENT: Final = (1980, 1, 1, 0, 0, 0)  # the first that a ZIP can say
_MODE: Final = 0o100644 << 16
_PACKED_ALREADY: Final = (".png",)

Source = Path | Callable[[], bytes]


@dataclasses.dataclass(frozen=True, slots=True)
class FileFacts:
    """Size and SHA-256 of a file."""

    size: int
    sha256: str


def write_archive(
    target: Path,
    sources: Mapping[str, Source],
    closing: Callable[[Mapping[str, FileFacts]], Mapping[str, bytes]],
) -> dict[str, FileFacts]:
    """Write a sealed ZIP and return the facts of every file in it.

    Args:
        target:  Written over.
        sources: Name in the ZIP -> a file on disk, or what gives the content when its turn comes,
                 so that never more than one of them is in memory.
        closing: Returns files that need the facts of the others; they come last.
    """
    facts = {}
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(sources):
            facts[name] = _add(archive, name, sources[name])
        for name, content in closing(dict(facts)).items():
            facts[name] = _add_chunks(archive, name, [content], len(content))
        archive.comment = SEAL_PREFIX + b"0" * 64
    with target.open("r+b") as file:
        seal = _sealed(file)
        file.seek(-SEAL_BYTES, 2)
        file.write(SEAL_PREFIX + seal.encode("ascii"))
    return facts


def seal_faults(file: IO[bytes]) -> tuple[list[str], bool]:
    """Return what the seal of a ZIP says against it, and whether it has a seal at all.

    A ZIP that was unpacked and packed anew has none; its files are checked all the same.
    """
    size = file.seek(0, 2)
    if size < SEAL_BYTES + _CLOSING.size:
        return [], False
    file.seek(-SEAL_BYTES - _CLOSING.size, 2)
    end = file.read()
    closing, comment = end[: _CLOSING.size], end[_CLOSING.size :]
    signature, disk, first, here, entries, length, offset, told = _CLOSING.unpack(closing)
    if signature != b"PK\x05\x06" and not comment.startswith(SEAL_PREFIX):
        return [], False
    is_whole = signature == b"PK\x05\x06" and told == SEAL_BYTES
    is_whole &= (disk, first, here) == (0, 0, entries)
    is_large = 0xFFFFFFFF in (length, offset) or entries == 0xFFFF
    if not is_large and length + offset != size - len(end):
        is_whole = False
    if not is_whole or comment != SEAL_PREFIX + _sealed(file).encode("ascii"):
        return ["the ZIP itself: was changed; its seal does not fit its bytes."], True
    return [], True


def _sealed(file: IO[bytes]) -> str:
    """Return the SHA-256 of all bytes before the closing record."""
    left = file.seek(0, 2) - SEAL_BYTES - _CLOSING.size
    file.seek(0)
    digest = hashlib.sha256()
    while left:
        chunk = file.read(min(left, CHUNK_BYTES))
        if not chunk:
            break
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()


def _add(archive: zipfile.ZipFile, name: str, source: Source) -> FileFacts:
    if isinstance(source, Path):
        with source.open("rb") as file:
            chunks = iter(lambda: file.read(CHUNK_BYTES), b"")
            return _add_chunks(archive, name, chunks, source.stat().st_size)
    content = source()
    return _add_chunks(archive, name, [content], len(content))


def _add_chunks(
    archive: zipfile.ZipFile, name: str, chunks: Iterable[bytes], size: int
) -> FileFacts:
    entry = zipfile.ZipInfo(name, _MOMENT)
    entry.create_system = 3
    entry.external_attr = _MODE
    is_packed = name.endswith(_PACKED_ALREADY)
    entry.compress_type = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
    entry.file_size = size  # decides on the large format; what was written is put in afterwards
    digest, count = hashlib.sha256(), 0
    with archive.open(entry, "w") as part:
        for chunk in chunks:
            part.write(chunk)
            digest.update(chunk)
            count += len(chunk)
    return FileFacts(count, digest.hexdigest())
