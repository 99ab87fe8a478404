"""Contract: verifying a capsule names every file that was changed, added, removed, renamed or
swapped, down to a byte; finds answers that were forged with all hashes written anew; refuses what
is hostile before reading it; and executes nothing.
"""

import contextlib
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rating.__main__ import main
from rating.errors import CapsuleError, NewerCapsuleError
from rating.results.capsule_archive import write_archive
from rating.results.capsule_hashes import checked_manifest
from rating.results.capsule_reading import CapsuleLimits, opened_capsule
from rating.results.verification import Verification, verify_capsule
from tests.results_capsule_study import Written, contents_of, write_forged
from tests.results_capsule_study import capsules as capsules  # the fixture

KINDS = (
    "README.md", "CITATION.cff", "LICENCE.md", "methods.md", "checklists.md", "manifest.json",
    "SHA256SUMS", "data/ratings_long.csv", "data/assignments.csv", "data/dictionary.md",
    "data/excel/ratings_long.csv", "images/images.csv", "protocol/protocol_v1.json",
    "protocol/versions.csv", "events/events.jsonl", "events/locked_rows.jsonl",
    "audit/blinding_audit_1.json", "figures/forest.png", "figures/forest.svg",
    "results/results.md", "results/main_table.txt", "results/tables/main.csv",
    "results/settings.json", "scripts/recompute.py", "scripts/study_statistics/finding.py",
    "scripts/requirements.txt",
)  # fmt: skip


def rewrite(target: Path, contents: dict[str, bytes]) -> Path:
    """Writes files into a plain ZIP, in their order."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return target


def hashes_checked(path: Path) -> list[str]:
    """Returns what names, sizes and hashes say, without computing any statistic."""
    with opened_capsule(path) as capsule:
        checked_manifest(capsule)
        return capsule.faults


def named(faults: tuple[str, ...] | list[str], name: str) -> bool:
    return any(fault.startswith(f"{name}: ") for fault in faults)


def flipped(content: bytes, at: int, bit: int = 0) -> bytes:
    return content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]


def test_capsules_as_written_are_whole(capsules: Written) -> None:
    full, public = verify_capsule(capsules.full.path), verify_capsule(capsules.public.path)
    assert (full.faults, full.notes, public.faults) == ((), (), ())
    assert full.is_whole and public.is_whole
    assert full.main_table == public.main_table == capsules.full.main_table
    assert full.checked_files == capsules.full.files - 2  # the two lists of hashes
    assert full.manifest is not None and full.manifest.root_hash == capsules.full.root_hash
    assert "full one alone" in " ".join(public.notes)


def test_a_changed_byte_is_named_by_file_whatever_kind_of_file(
    capsules: Written, tmp_path: Path
) -> None:
    contents = contents_of(capsules.full.path)
    image = next(name for name in contents if name.startswith("images/") and name.endswith("g"))
    for name in (*KINDS, image):
        changed = {**contents, name: flipped(contents[name], len(contents[name]) // 2)}
        faults = hashes_checked(rewrite(tmp_path / "c.zip", changed))
        assert named(faults, name), (name, faults)
        if name not in ("manifest.json", "SHA256SUMS"):
            assert len(faults) == 1, (name, faults)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_of_any_file_that_is_flipped_is_named(
    capsules: Written, tmp_path: Path, data: st.DataObject
) -> None:
    contents = contents_of(data.draw(st.sampled_from([capsules.full.path, capsules.public.path])))
    name = data.draw(st.sampled_from(sorted(contents)))
    at = data.draw(st.integers(0, len(contents[name]) - 1))
    bit = data.draw(st.integers(0, 7))
    changed = {**contents, name: flipped(contents[name], at, bit)}
    try:
        faults = hashes_checked(rewrite(tmp_path / "flipped.zip", changed))
    except NewerCapsuleError:  # the number of the format itself
        assert name == "manifest.json"
        return
    assert named(faults, name), faults


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_of_the_zip_itself_that_is_flipped_is_found(
    capsules: Written, tmp_path: Path, data: st.DataObject
) -> None:
    content = capsules.public.path.read_bytes()
    # Half of the places in the list of files and at the end, where few of the bytes are.
    first = data.draw(st.sampled_from([0, len(content) - 12_000, len(content) - 100]))
    at = data.draw(st.integers(first, len(content) - 1))
    target = tmp_path / "flipped.zip"
    target.write_bytes(flipped(content, at, data.draw(st.integers(0, 7))))
    try:
        faults = hashes_checked(target)
    except CapsuleError as error:
        faults = [str(error)]
    assert faults, at


def test_a_capsule_that_was_cut_is_no_capsule(capsules: Written, tmp_path: Path) -> None:
    content = capsules.full.path.read_bytes()
    for kept in (0, 10, len(content) // 2, len(content) - 200):
        (tmp_path / "cut.zip").write_bytes(content[:kept])
        found = verify_capsule(tmp_path / "cut.zip")
        assert named(found.faults, "the ZIP itself"), kept
        assert found.main_table == ""
    with pytest.raises(CapsuleError, match="There is no file"):
        verify_capsule(tmp_path / "nowhere.zip")


def test_a_zip_packed_anew_is_whole_and_a_note_says_so(capsules: Written, tmp_path: Path) -> None:
    found = verify_capsule(rewrite(tmp_path / "c.zip", contents_of(capsules.full.path)))
    assert found.faults == ()
    assert "packed anew" in " ".join(found.notes)


def test_added_removed_renamed_and_swapped_files_are_named(
    capsules: Written, tmp_path: Path
) -> None:
    contents = contents_of(capsules.full.path)
    target = tmp_path / "c.zip"
    added = hashes_checked(rewrite(target, {**contents, "data/more.csv": b"x"}))
    assert named(added, "data/more.csv") and "does not belong" in added[0]

    removed = {name: content for name, content in contents.items() if name != "methods.md"}
    assert hashes_checked(rewrite(target, removed)) == ["methods.md: is missing."]

    renamed = {("other.md" if name == "methods.md" else name): content
               for name, content in contents.items()}  # fmt: skip
    faults = hashes_checked(rewrite(target, renamed))
    assert named(faults, "methods.md") and named(faults, "other.md")
    assert "content of methods.md" in " ".join(faults)

    one, other = "data/ratings_long.csv", "data/assignments.csv"
    swapped = {**contents, one: contents[other], other: contents[one]}
    faults = hashes_checked(rewrite(target, swapped))
    assert named(faults, one) and named(faults, other) and len(faults) == 2

    for name in ("manifest.json", "SHA256SUMS"):
        removed = {each: content for each, content in contents.items() if each != name}
        assert named(verify_capsule(rewrite(target, removed)).faults, name)


# Forgeries whose hashes fit


def forged(
    capsules: Written, tmp_path: Path, changes: dict[str, Callable[[bytes], bytes | None]],
    change: Callable[[dict[str, Any]], None] | None = None, variant: str = "full",
) -> Verification:  # fmt: skip
    """Returns what is found of a capsule changed with all its hashes written anew."""
    contents = contents_of(getattr(capsules, variant).path)
    for name, make in changes.items():
        made = make(contents.pop(name, b""))
        if made is not None:
            contents[name] = made
    return verify_capsule(write_forged(tmp_path / "forged.zip", contents, change))


def with_other_answer(csv_bytes: bytes) -> bytes:
    header, *rows = csv_bytes.decode().splitlines()
    value, question = header.split(",").index("value"), header.split(",").index("question")
    for number, row in enumerate(rows):
        cells = row.split(",")
        if cells[question] == "realism" and cells[value] == "5":
            cells[value] = "1"
            rows[number] = ",".join(cells)
            break
    return ("\n".join([header, *rows]) + "\n").encode()


def test_an_answer_forged_with_all_hashes_is_found_by_what_was_locked(
    capsules: Written, tmp_path: Path
) -> None:
    found = forged(capsules, tmp_path, {"data/ratings_long.csv": with_other_answer})
    assert any(
        fault.startswith("data/ratings_long.csv: line") and "locked" in fault
        for fault in found.faults
    )
    assert named(found.faults, "results/all_tables.txt")


def test_an_answer_left_out_or_given_twice_is_found(capsules: Written, tmp_path: Path) -> None:
    fewer = forged(
        capsules, tmp_path, {"data/ratings_long.csv": lambda old: b"\n".join(
            [*old.split(b"\n")[:-2], b""])},
    )  # fmt: skip
    assert "data/ratings_long.csv: 1 answers that were locked are not in it." in fewer.faults
    more = forged(
        capsules, tmp_path, {"data/ratings_long.csv": lambda old: old + old.split(b"\n")[1] + b"\n"}
    )
    assert named(more.faults, "data/ratings_long.csv")


def test_a_forged_result_is_found_in_the_public_variant_too(
    capsules: Written, tmp_path: Path
) -> None:
    for name, make in (
        ("results/main_table.txt", lambda old: old.replace(b"0.", b"9.")),
        ("data/ratings_long.csv", with_other_answer),
    ):
        found = forged(capsules, tmp_path, {name: make}, variant="public")
        assert named(found.faults, "results/all_tables.txt") or named(found.faults, name)


def test_a_forged_event_protocol_plan_or_picture_is_found(
    capsules: Written, tmp_path: Path
) -> None:
    contents = contents_of(capsules.full.path)
    one, other = [name for name in contents if name.endswith(".png") and "images" in name][:2]

    def other_actor(old: bytes) -> bytes:
        return old.replace(b'"actor": "coordinator"', b'"actor": "command line"', 1)

    def other_words(old: bytes) -> bytes:
        return old.replace(b"Judge", b"judge")

    def other_primary(old: bytes) -> bytes:
        return old.replace(b'"primary_question": "realism"', b'"primary_question": "alignment"')

    found = forged(capsules, tmp_path, {
        "events/events.jsonl": other_actor, "protocol/protocol_v1.json": other_words,
        "results/settings.json": other_primary, one: lambda _: contents[other],
    })  # fmt: skip
    assert "events/events.jsonl: event 0 (created) was changed." in found.faults
    assert named(found.faults, "protocol/protocol_v1.json")
    assert any("analysis plan says 'realism'" in fault for fault in found.faults)
    assert named(found.faults, one)

    def without_an_event(old: bytes) -> bytes:
        lines = old.split(b"\n")
        return b"\n".join([*lines[:3], *lines[4:]])

    found = forged(
        capsules, tmp_path, {"events/events.jsonl": without_an_event, one: lambda _: None}
    )
    assert "events/events.jsonl: event 3 is missing." in found.faults
    assert "events/events.jsonl: event 4 does not follow the one before it." in found.faults
    assert named(found.faults, one)


def test_another_root_hash_or_locked_row_is_found(capsules: Written, tmp_path: Path) -> None:
    def other_root(values: dict[str, Any]) -> None:
        values["root_hash"] = "ab" * 32

    found = forged(capsules, tmp_path, {}, other_root)
    assert named(found.faults, "events/locked_rows.jsonl")
    assert named(found.faults, "events/events.jsonl")
    for make in (lambda old: old.replace(b"quetzal", b"q"), lambda _: None):
        found = forged(capsules, tmp_path, {"events/locked_rows.jsonl": make})
        assert named(found.faults, "events/locked_rows.jsonl")


# Hostile files


def test_scripts_in_a_capsule_are_never_executed_and_strange_ones_are_told(
    capsules: Written, tmp_path: Path
) -> None:
    trace = tmp_path / "executed"
    code = f"from pathlib import Path\nPath({str(trace)!r}).touch()\n".encode()
    found = forged(capsules, tmp_path, {
        name: lambda old: code + old
        for name in ("scripts/recompute.py", "scripts/study_statistics/__init__.py",
                     "scripts/study_statistics/finding.py")
    } | {"conftest.py": lambda _: code, "scripts/sitecustomize.py": lambda _: code})  # fmt: skip
    assert not trace.exists()
    assert found.main_table == capsules.full.main_table
    told = " ".join(found.notes)
    assert "scripts/recompute.py" in told and "scripts/sitecustomize.py (only there)" in told


@pytest.mark.parametrize(
    "name", ["../out.txt", "/out.txt", "data/../../out.txt", "data\\..\\out.txt", "C:out.txt",
             "data//x.csv", "./x.csv", "a\nb", "folder/"],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused_and_nothing_is_written(
    capsules: Written, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    contents = {**contents_of(capsules.public.path), name: b"out"}
    faults = hashes_checked(rewrite(folder / "c.zip", contents))
    assert any("leads elsewhere" in fault for fault in faults)
    assert [*tmp_path.rglob("*out.txt")] == []


def test_links_encrypted_and_strangely_packed_files_are_refused(
    capsules: Written, tmp_path: Path
) -> None:
    target = rewrite(tmp_path / "c.zip", contents_of(capsules.public.path))
    with zipfile.ZipFile(target, "a") as archive:
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("packed.txt", b"x" * 100, zipfile.ZIP_LZMA)
    faults = hashes_checked(target)
    assert named(faults, "link") and named(faults, "packed.txt")


def test_names_that_stand_twice_are_told(capsules: Written, tmp_path: Path) -> None:
    target = rewrite(tmp_path / "c.zip", contents_of(capsules.public.path))
    with zipfile.ZipFile(target, "a") as archive:
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("methods.md", b"another")
        archive.writestr("Readme.MD", b"another")
    faults = hashes_checked(target)
    assert any("methods.md: stands in the ZIP twice" in fault for fault in faults)
    assert any("Readme.MD: stands in the ZIP twice" in fault for fault in faults)


def test_bombs_are_refused_before_they_are_unpacked(capsules: Written, tmp_path: Path) -> None:
    target = tmp_path / "bomb.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b" " * (40 * 2**20))
    assert any("as bombs do" in fault for fault in verify_capsule(target).faults)

    small = CapsuleLimits(total_bytes=1000)
    assert "would unpack to" in verify_capsule(capsules.full.path, limits=small).faults[0]
    few = CapsuleLimits(files=3)
    assert "nothing was read" in verify_capsule(capsules.full.path, limits=few).faults[0]
    short = CapsuleLimits(directory_bytes=100)
    assert "list of files" in verify_capsule(capsules.full.path, limits=short).faults[0]
    narrow = CapsuleLimits(text_bytes=100)
    assert named(verify_capsule(capsules.full.path, limits=narrow).faults, "manifest.json")


def test_a_size_that_lies_is_found(capsules: Written, tmp_path: Path) -> None:
    content = bytearray(capsules.public.path.read_bytes())
    with zipfile.ZipFile(capsules.public.path) as archive:
        entry = archive.getinfo("data/ratings_long.csv")
        directory = archive.start_dir
    at = content.index(b"data/ratings_long.csv", directory) - 46
    assert content[at : at + 4] == b"PK\x01\x02"
    struct.pack_into("<L", content, at + 24, entry.file_size - 100)
    (tmp_path / "lies.zip").write_bytes(content)
    assert named(hashes_checked(tmp_path / "lies.zip"), "data/ratings_long.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("events/events.jsonl", b"[" * 100_000),
        ("events/events.jsonl", b'{"sequence": 0, "kind": 5}\n'),
        ("events/events.jsonl", b"\xff\xfe"),
        ("protocol/versions.csv", b"a,b\n1\n"),
        ("protocol/versions.csv", b"protocol_version,protocol_sha256,file\n1,x,../../etc/passwd\n"),
        ("images/images.csv", b"nothing\n1\n"),
        ("results/settings.json", b"{}"),
        ("results/settings.json", b"[[["),
        ("data/ratings_long.csv", b"rater_code\nR01\n"),
        ("data/ratings_long.csv", b""),
        ("data/assignments.csv", b"\x00\xff"),
    ],
)
def test_forged_files_of_any_content_are_faults_and_no_crash(
    capsules: Written, tmp_path: Path, name: str, content: bytes
) -> None:
    found = forged(capsules, tmp_path, {name: lambda _: content}, variant="public")
    assert found.faults


def test_a_scale_without_end_is_refused(capsules: Written, tmp_path: Path) -> None:
    def endless(old: bytes) -> bytes:
        values = json.loads(old)
        values["scales"][0]["maximum"] = 10**12
        return json.dumps(values).encode()

    found = forged(capsules, tmp_path, {"results/settings.json": endless}, variant="public")
    assert any("scale has more than" in fault for fault in found.faults)


def test_a_picture_that_is_none_is_named(capsules: Written, tmp_path: Path) -> None:
    contents = contents_of(capsules.public.path)
    name = next(each for each in contents if each.startswith("images/") and "png" in each)
    found = forged(capsules, tmp_path, {name: lambda _: b"no picture"}, variant="public")
    assert named(found.faults, name)


def test_a_capsule_of_a_newer_version_is_refused(capsules: Written, tmp_path: Path) -> None:
    def newer(values: dict[str, Any]) -> None:
        values["format_version"] = 2

    with pytest.raises(NewerCapsuleError, match="newer version of this software"):
        forged(capsules, tmp_path, {}, newer)


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b'{"format": 1}', b"\xff", b"[" * 50_000])
def test_a_manifest_that_is_none_is_named(tmp_path: Path, manifest: bytes) -> None:
    target = tmp_path / "c.zip"
    write_archive(target, {"manifest.json": lambda: manifest}, lambda _: {})
    assert named(verify_capsule(target).faults, "manifest.json")


# The command


def test_the_command_verifies_a_capsule_by_its_name(
    capsules: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(capsules.full.path)]) == 0
    told = capsys.readouterr().out
    assert capsules.full.root_hash in told
    assert capsules.full.main_table in told
    contents = contents_of(capsules.full.path)
    contents["methods.md"] = flipped(contents["methods.md"], 5)
    assert main(["verify", str(rewrite(tmp_path / "c.zip", contents))]) == 1
    assert "methods.md: was changed" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "nowhere.zip")]) == 2
    assert "There is no file" in capsys.readouterr().err


def test_the_command_still_verifies_a_study(capsules: Written) -> None:
    folder = Path(str(capsules.database.engine.url.database)).parent
    with contextlib.redirect_stdout(io.StringIO()) as told:
        assert main(["verify", capsules.code, "--home", str(folder)]) == 0
    assert capsules.full.root_hash in told.getvalue()
