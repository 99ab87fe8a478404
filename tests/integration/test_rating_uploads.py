"""Contract: a ZIP that a coordinator sends is read within limits or refused with every reason; no
name in it leads anywhere, no lie about its sizes is believed, nothing is written to disk, and
whatever its bytes are, the answer is images or one StimulusError.
"""

import io
import os
import stat
import struct
import time
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data.provenance import png_bytes
from rating.errors import StimulusError
from rating.study.archive_upload import LIMITS, ArchiveLimits, from_zip, zip_intake
from rating.study.image_table import read_image_table
from rating.study.offered import Intake
from rating.study.sources import folder_intake
from tests.drawings import draw_scene, scenes

SCENES = scenes(8)
HEADER = "filename,arm,prompt\n"
PNG = [png_bytes(draw_scene(scene), None) for scene in SCENES]


def packed(
    entries: dict[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, content in entries.items():
                archive.writestr(name, content, method)
    return file.getvalue()


def good(**more: bytes) -> dict[str, bytes]:
    return {
        "t.csv": (HEADER + "a.png,msdm,x\nb.png,flux,x\n").encode(),
        "a.png": PNG[0],
        "b.png": PNG[1],
        **more,
    }


def faults_of(content: bytes, limits: ArchiveLimits = LIMITS) -> str:
    with pytest.raises(StimulusError) as caught:
        zip_intake(content, limits=limits)
    return str(caught.value)


def test_a_zip_gives_what_a_folder_of_the_same_files_gives(tmp_path: Path):
    for name, content in good().items():
        (tmp_path / name).write_bytes(content)
    of_folder = folder_intake(tmp_path)
    of_zip = zip_intake(packed(good()))
    assert len(of_zip.images) == 2
    for one, other in zip(of_folder.images, of_zip.images, strict=True):
        for name in ("arm", "prompt", "source_name", "role", "provenance"):
            assert getattr(one, name) == getattr(other, name)
        assert one.read().tobytes() == other.read().tobytes()


def test_images_stay_readable_when_the_file_is_gone_and_nothing_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "in" / "upload.zip"
    path.parent.mkdir()
    path.write_bytes(packed(good()))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    images = from_zip(path)
    path.unlink()
    assert images[0].read().tobytes() == draw_scene(SCENES[0]).tobytes()
    assert list((tmp_path / "tmp").iterdir()) == list(path.parent.iterdir()) == []


def test_one_folder_around_everything_and_leftovers_of_systems_do_no_harm():
    entries = {f"study/{name}": content for name, content in good().items()}
    entries |= {"__MACOSX/study/._a.png": b"junk", "__MACOSX/study/._t.csv": b"junk"}
    entries |= {"study/.DS_Store": b"x", "study/Thumbs.db": b"x", "study/sub/": b""}
    intake = zip_intake(packed(entries))
    assert [image.source_name for image in intake.images] == ["study/a.png", "study/b.png"]
    assert intake.notes == ()


def test_defaults_and_generous_spelling_are_as_with_folders():
    entries = {"t.csv": b"filename;prompt\nA.PNG;x\n", "a.png": PNG[0]}
    intake = zip_intake(packed(entries), is_real=True, role="main")
    assert (intake.images[0].arm, intake.images[0].is_real) == ("real", True)
    assert "A.PNG is a.png" in intake.notes[0]


def test_what_generate_lets_download_is_read_as_it_is():
    rows = "file,model_id,model_label,row,prompt,seed\na.png,msdm,MSDM,1,x,7\nb.png,flux,,1,x,7\n"
    entries = {"a.png": PNG[0], "b.png": PNG[1], "comparison.csv": rows.encode("utf-8-sig")}
    a, b = zip_intake(packed(entries)).images
    assert (a.arm, b.arm, a.prompt, a.selection_rule) == ("msdm", "flux", "x", "unstated")
    assert a.provenance == {"model_label": "MSDM", "row": "1", "seed": "7"}


def test_zips_inside_are_not_opened_and_it_is_told():
    inner = packed({"c.png": PNG[2]})
    intake = zip_intake(packed(good(**{"more.zip": inner, "d.png": inner})))
    assert len(intake.images) == 2
    assert "ZIP files inside the ZIP are not opened: more.zip, d.png" in intake.notes[0]


@pytest.mark.parametrize(
    "name", ["../a.png", "x/../../a.png", "/etc/a.png", "C:/a.png", "C:\\a.png", "..\\a.png",
             "\\\\server\\a.png", "a\nb.png", "x" * 401 + ".png"],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(name: str):
    told = faults_of(packed({**good(), name: PNG[2]}))
    assert "leads out" in told or "not allowed" in told or "allowed are 400" in told


def test_a_zero_byte_in_a_name_is_refused():
    content = packed({**good(), "evilX.png": PNG[2]}).replace(b"evilX", b"evil\0")
    assert "characters that are not allowed" in faults_of(content)


def test_links_and_special_files_are_refused():
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
        link = zipfile.ZipInfo("link.png")
        link.create_system = 3
        link.external_attr = (kind | 0o777) << 16
        told = faults_of(packed({**good(), link: b"/etc/passwd"}))
        assert "link.png: it is a link or another special file" in told


def test_encrypted_entries_are_refused():
    content = bytearray(packed({"a.png": PNG[0]}, zipfile.ZIP_STORED))
    content[6] |= 1  # flags of the local header
    central = content.rindex(b"PK\x01\x02")
    content[central + 8] |= 1
    assert "a.png: it is encrypted; make the ZIP without a password" in faults_of(bytes(content))


def test_a_name_that_stands_twice_is_refused_in_whatever_letter_case():
    entries = {**good(), zipfile.ZipInfo("A.png"): PNG[2]}
    assert "A.png is there twice, as a.png too" in faults_of(packed(entries))
    twice = {**good(), zipfile.ZipInfo("a.png"): PNG[2]}
    assert "a.png is there twice" in faults_of(packed(twice))


def test_what_is_no_zip_is_told(tmp_path: Path):
    assert "not a ZIP file" in faults_of(b"")
    assert "not a ZIP file" in faults_of(PNG[0])
    assert "not a ZIP file" in faults_of(packed(good())[:-40])
    with pytest.raises(StimulusError, match="cannot be read"):
        from_zip(tmp_path / "gone.zip")


def test_damage_inside_is_told_by_name():
    content = bytearray(packed(good(), zipfile.ZIP_STORED))
    content[content.index(PNG[1]) + 60] ^= 0xFF
    assert "b.png: it is damaged" in faults_of(bytes(content))


# Bombs


def test_a_file_that_unpacks_to_much_more_than_its_size_is_refused_early():
    bomb = packed({**good(), "bomb.png": b"\0" * (64 * 2**20)})
    assert len(bomb) < 200_000
    tracemalloc.start()
    told = faults_of(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "bomb.png: it unpacks to more than 200 times its size" in told
    assert peak < 40 * 2**20


def test_declared_sizes_are_not_believed():
    content = bytearray(packed({"a.png": b"\0" * (8 * 2**20)}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.rindex(signature)
        struct.pack_into("<I", content, at + offset, 100)
    told = faults_of(bytes(content), ArchiveLimits(file_bytes=2**20))
    assert "a.png" in told


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"files": 2}, "it has 3 entries, allowed are 2"),
        ({"file_bytes": 1000}, "a.png: it unpacks to more than 1000 bytes"),
        ({"total_bytes": len(PNG[0]) + 200}, "all files together unpack to more than"),
        ({"archive_bytes": 100}, "allowed are 100 bytes"),
        ({"pixels": 64 * 64 - 1}, "a.png: it has 4096 pixels, allowed are 4095"),
        ({"total_pixels": 2 * 64 * 64 - 1}, "all images together have 8192 pixels"),
    ],
)
def test_every_limit_holds(limits: dict, told: str):
    assert told in faults_of(packed(good()), ArchiveLimits(**limits))


def test_a_picture_of_too_many_pixels_is_refused_without_decoding_it():
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (30_000 * 3_751), 9)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(parts)
    started = time.monotonic()
    told = faults_of(packed({**good(), "big.png": png}, zipfile.ZIP_STORED))
    assert "big.png: it has" in told
    assert "pixels, allowed are 64000000" in told
    assert time.monotonic() - started < 5


def test_the_type_is_told_by_content_and_not_by_name():
    jpeg = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(jpeg, "JPEG")
    pdf = b"%PDF-1.4 not an image"
    entries = good(**{"c.png": jpeg.getvalue()})
    entries["t.csv"] += b"c.png,m,x\n"
    assert len(zip_intake(packed(entries)).images) == 3
    entries |= {"d.png": pdf, "e.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}
    entries |= {"f.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"}
    entries["t.csv"] += b"d.png,m,x\ne.png,m,x\nf.png,m,x\n"
    told = faults_of(packed(entries))
    for name in ("d.png", "e.png", "f.png"):
        assert f"Cannot read {name}: it is not an image" in told


def test_a_dicom_file_is_answered_with_what_to_do():
    entries = good(**{"scan": b"\0" * 128 + b"DICM" + bytes(500)})
    entries["t.csv"] += b"scan,real,x\n"
    assert "scan is a DICOM file, which is not read: export it to PNG" in faults_of(packed(entries))


def test_all_reasons_are_told_at_once():
    entries = {**good(), "../x.png": PNG[2], "A.PNG": PNG[2], "bomb.bin": b"\0" * (2 * 2**20)}
    told = faults_of(packed(entries))
    assert "leads out" in told
    assert "twice" in told
    assert "200 times" in told
    entries = good()
    entries["t.csv"] += b"gone.png,m,x\nb.png,m,x\n"
    told = faults_of(packed(entries))
    assert "no file 'gone.png'" in told
    assert "stands in line 3 too" in told


# Fuzzed

FUZZED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SMALL = ArchiveLimits(
    archive_bytes=10**6, files=50, file_bytes=10**5, total_bytes=3 * 10**5, pixels=10**5,
    total_pixels=10**6,
)  # fmt: skip


def answered(content: bytes) -> Intake | None:
    """Returns the images of a ZIP that are read in full, or None where it was refused."""
    try:
        intake = zip_intake(content, limits=SMALL)
    except StimulusError as error:
        assert 1 <= len(str(error).splitlines()) <= 32
        return None
    for image in intake.images:
        assert image.read().mode == "RGB"
        assert image.prompt
        assert ".." not in Path(image.source_name).parts
        assert not os.path.isabs(image.source_name)  # noqa: PTH117
    return intake


@FUZZED
@given(st.binary(max_size=2000))
def test_any_bytes_are_answered(content: bytes):
    assert answered(content) is None
    answered(b"PK\x03\x04" + content)


@FUZZED
@given(st.data())
def test_a_zip_changed_anywhere_is_answered(data: st.DataObject):
    content = bytearray(packed(good(), data.draw(st.sampled_from((0, 8)))))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(len(content) // 2, len(content))) :]
    answered(bytes(content))


NAMES = st.one_of(
    st.text(min_size=1, max_size=30).filter(lambda name: "\0" not in name),
    st.sampled_from(
        ("a.png", "A.PNG", "t.csv", "../a.png", "/a.png", "x/a.png", "CON", "C:a.png",
         "images/a.png", ".", "..", "./a.png", "a.png/", "\u202egnp.a", "manifest.csv")
    ),
)  # fmt: skip
ROWS = ("a.png,m,x\n", "x/a.png,real,y\n", ",,\n", '"', "a\n", "../a.png,m,x\n")
CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.sampled_from((*PNG[:3], PNG[0][:100], b"PK\x05\x06", HEADER.encode())),
    st.builds(
        lambda rows: (HEADER + "".join(rows)).encode("utf-8", "surrogatepass"),
        st.lists(st.sampled_from(ROWS)),
    ),
)  # fmt: skip


@FUZZED
@given(st.dictionaries(NAMES, CONTENTS, max_size=6))
def test_any_names_and_contents_are_answered(entries: dict[str, bytes]):
    try:
        content = packed(entries)
    except (UnicodeEncodeError, ValueError):
        return  # names that no ZIP can hold
    answered(content)


@FUZZED
@given(
    st.one_of(
        st.binary(max_size=500),
        st.text(max_size=300).map(lambda t: (HEADER + t).encode("utf-8", "surrogatepass")),
    )
)
def test_any_table_is_answered(content: bytes):
    table = read_image_table(content, "t.csv")
    assert table.rows or table.faults
    assert all(fault.startswith("t.csv") for fault in table.faults)
    for row in table.rows:
        assert row.role in ("", "main", "practice", "check")
        assert row.candidates is None or row.candidates >= 1
        assert len(row.arm) <= 64 or table.faults


@FUZZED
@given(
    st.binary(max_size=400),
    st.sampled_from(("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP")),
    st.integers(0, 400),
)
def test_a_damaged_image_of_any_format_is_answered(noise: bytes, kind: str, at: int):
    file = io.BytesIO()
    draw_scene(SCENES[3], 32).save(file, kind)
    content = bytearray(file.getvalue())
    content[at : at + len(noise)] = noise
    entries = {"t.csv": (HEADER + "a.png,m,x\n").encode(), "a.png": bytes(content)}
    answered(packed(entries))


def test_a_zip_of_many_images_is_read_quickly():
    names = [f"{n}.png" for n in range(600)]
    table = HEADER + "".join(f"{name},m,prompt {name}\n" for name in names)
    entries = {"t.csv": table.encode()} | {name: PNG[n % 8] for n, name in enumerate(names)}
    started = time.monotonic()
    assert len(zip_intake(packed(entries, zipfile.ZIP_STORED)).images) == 600
    assert time.monotonic() - started < 10
