"""Contract: the ZIP of a capsule has the same bytes for the same files in whatever order they come,
is written with no more than one of them in memory, and its seal covers every byte.
"""

import hashlib
import tracemalloc
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.errors import CapsuleError, NewerCapsuleError
from rating.results.capsule_archive import FileFacts, seal_faults, write_archive
from rating.results.capsule_results import undated
from rating.results.manifest import Manifest, read_manifest, sums

names = st.text("abc/.", min_size=1, max_size=8).filter(
    lambda name: all(part.strip(".") for part in name.split("/"))
)


def nothing(_: Mapping[str, FileFacts]) -> dict[str, bytes]:
    return {}


def seal_of(path: Path) -> tuple[list[str], bool]:
    with path.open("rb") as file:
        return seal_faults(file)


@given(st.dictionaries(names, st.binary(max_size=300), max_size=6))
def test_what_is_written_is_read_back_and_order_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("zip")
    for target, items in (("a.zip", files.items()), ("b.zip", reversed(files.items()))):
        facts = write_archive(
            folder / target,
            {name: (lambda content=content: content) for name, content in items},
            nothing,
        )
        assert facts == {
            name: FileFacts(len(content), hashlib.sha256(content).hexdigest())
            for name, content in files.items()
        }
    assert (folder / "a.zip").read_bytes() == (folder / "b.zip").read_bytes()
    with zipfile.ZipFile(folder / "a.zip") as archive:
        assert archive.namelist() == sorted(files)
        assert {name: archive.read(name) for name in files} == files
        assert {entry.date_time for entry in archive.infolist()} <= {(1980, 1, 1, 0, 0, 0)}
    assert seal_of(folder / "a.zip") == ([], True)


def test_every_single_byte_is_sealed(tmp_path: Path) -> None:
    target = tmp_path / "c.zip"
    write_archive(target, {"a.txt": lambda: b"a" * 40, "b.png": lambda: b"b"}, nothing)
    whole = target.read_bytes()
    for at in range(len(whole)):
        target.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        faults, _ = seal_of(target)
        assert faults, at


def test_a_zip_of_somebody_else_has_no_seal(tmp_path: Path) -> None:
    for files in ({}, {"a.txt": b"a" * 500}):
        with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        assert seal_of(tmp_path / "c.zip") == ([], False)


def test_never_more_than_one_picture_is_in_memory(tmp_path: Path) -> None:
    size = 2**20
    sources = {f"{n}.png": lambda n=n: bytes([n]) * size for n in range(60)}
    tracemalloc.start()
    write_archive(tmp_path / "c.zip", sources, nothing)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "c.zip").stat().st_size > 60 * size
    assert peak < 6 * size


def manifest(**changes: object) -> Manifest:
    values = {
        "study_code": "s1", "title": "A title with \u202e and \"quotes\"", "kind": "main",
        "status": "locked", "variant": "full", "has_real_images": True, "root_hash": "ab" * 32,
        "last_event": (7, "cd" * 32), "protocols": {1: "ef" * 32}, "software_version": "1.2",
        "files": {"b.txt": FileFacts(3, "00" * 32), "a.txt": FileFacts(0, "11" * 32)},
    }  # fmt: skip
    return Manifest(**(values | changes))  # type: ignore[arg-type]


def test_a_manifest_is_read_back_as_it_was_written() -> None:
    for one in (manifest(), manifest(kind="pilot", variant="public", root_hash="", files={})):
        assert read_manifest(one.to_bytes()) == one


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"\xff", b'{"format": "else", "format_version": 1}',
                b'{"format": "study capsule", "format_version": "1"}',
                b'{"format": "study capsule", "format_version": 1}'],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(CapsuleError, match=r"manifest\.json"):
        read_manifest(content)


def test_a_newer_manifest_is_refused_whatever_else_it_says() -> None:
    with pytest.raises(NewerCapsuleError, match="format 2"):
        read_manifest(b'{"format": "study capsule", "format_version": 2}')


def test_sums_are_sorted_lines_of_hash_and_name() -> None:
    assert sums(manifest().files).decode() == f"{'11' * 32}  a.txt\n{'00' * 32}  b.txt\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It was opened on 3 March 2026 and locked on 4 May 2026; items were rated from 3 March "
         "2026 to 1 May 2026.", "It was opened and locked; items were rated."),
        ("The study was paused twice (on 3 March 2026 and from 4 March 2026 to 6 March 2026).",
         "The study was paused twice."),
        ("“Approved 12 June 2025”", "“Approved (date left out)”"),
        ("Nothing in 2026.", "Nothing in 2026."),
    ],
)  # fmt: skip
def test_generated_texts_lose_their_days_in_the_public_variant(text: str, expected: str) -> None:
    assert undated(text) == expected
