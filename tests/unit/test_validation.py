"""Contract: one validation reports everything that is wrong with a folder, and only that."""

import json
import pathlib
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from data.__main__ import main
from data.errors import DataError
from data.finding_boxes import read_finding_boxes
from data.folders import read_folder
from data.report import PROBLEM_CODES, Problem, ValidationReport
from data.rocov2 import read_concepts
from data.validation import validate_folder


def scene(seed: int) -> Image.Image:
    """Return a smooth random picture unlike those of other seeds."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((80, 60), Image.Resampling.BICUBIC)


def write(path: pathlib.Path, content: str | bytes) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def endoscopy(folder: pathlib.Path) -> pathlib.Path:
    """Write a faultless MedVQA-GI folder of four images."""
    (folder / "images").mkdir(parents=True)
    for number, name in enumerate("abcd"):
        scene(number).save(folder / f"images/{name}.jpg", quality=95)
    rows = "".join(f"polyp;{name}.jpg\ncolonoscopy;{name}.jpg\n" for name in "abcd")
    write(folder / "prompt-gt.csv", f"Prompt;Filename\n{rows}")
    write(folder / "split.csv", "Filename,Split\na.jpg,train\nb.jpg,train\nc.jpg,val\nd.jpg,val\n")
    return folder


def radiology(folder: pathlib.Path) -> pathlib.Path:
    """Write a faultless ROCOv2 folder of three images with concepts and sources."""
    for number, name in enumerate(("train_images/R1", "train_images/R2", "valid_images/R3")):
        path = folder / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(number).save(path)
    write(folder / "train_captions.csv", "ID,Caption\nR1,Chest\nR2,Abdomen\n")
    write(folder / "valid_captions.csv", "ID,Caption\nR3,Skull\n")
    write(folder / "train_sources.csv", "ID,Source,Group\nR1,NIH,p1\nR2,NIH,p2\n")
    write(folder / "valid_sources.csv", "ID,Source,Group\nR3,NIH,p3\n")
    write(folder / "train_concepts.csv", "ID,CUIs\nR1,C0040405;C1306645\nR2,C0040405\n")
    return folder


def append(path: pathlib.Path, line: str) -> None:
    """Append a line to a table."""
    write(path, path.read_bytes() + line.encode() + b"\n")


def found(report: ValidationReport) -> list[tuple[str, str, str, int | None]]:
    """Return the problems without their messages."""
    return [(p.severity, p.code, p.path, p.line) for p in report.problems]


def huge_png() -> bytes:
    """Return a PNG of a few bytes that promises 3.6 thousand million pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def huge(folder: pathlib.Path) -> None:
    """Put a decompression bomb in the place of an image."""
    write(folder / "images/a.jpg", huge_png())


def large(folder: pathlib.Path) -> None:
    """Put an image over our limit but under that of the decoder in the place of an image."""
    content = bytearray(huge_png())
    content[16:24] = struct.pack(">II", 9000, 9000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    write(folder / "images/a.jpg", bytes(content))


def truncate(folder: pathlib.Path) -> None:
    """Cut an image in half."""
    content = (folder / "images/b.jpg").read_bytes()
    write(folder / "images/b.jpg", content[: len(content) // 2])


TABLE, SPLITS, BOXES = "prompt-gt.csv", "split.csv", "polyp_boxes.csv"
Change = Callable[[pathlib.Path], object]
Expected = tuple[str, str, str, int | None]

ENDOSCOPY_FAULTS: list[tuple[Change, Expected]] = [
    (lambda f: append(f / TABLE, "polyp;e.jpg"), ("error", "missing-image", TABLE, 10)),
    (lambda f: append(f / TABLE, " ;a.jpg"), ("error", "empty-caption", TABLE, 10)),
    (lambda f: append(f / TABLE, "polyp;"), ("error", "empty-name", TABLE, 10)),
    (lambda f: append(f / TABLE, "polyp;a.jpg;x"), ("error", "row", TABLE, 10)),
    (lambda f: append(f / TABLE, "polyp;a.jpg"), ("warning", "repeated-row", TABLE, 10)),
    (lambda f: append(f / TABLE, "polyp;a.png"), ("error", "conflicting-id", TABLE, 10)),
    (lambda f: append(f / TABLE, "x" * 1001 + ";a.jpg"), ("warning", "long-caption", TABLE, 10)),
    (
        lambda f: append(f / TABLE, "\u00c3\u00b6dem;a.jpg"),
        ("warning", "garbled-caption", TABLE, 10),
    ),
    (
        lambda f: write(f / TABLE, (f / TABLE).read_bytes().replace(b"colonos", b"colon\xf6s", 1)),
        ("error", "encoding", TABLE, 3),
    ),
    (
        lambda f: write(f / TABLE, (f / TABLE).read_bytes().replace(b";", b",")),
        ("error", "separator", TABLE, 1),
    ),
    (lambda f: scene(9).save(f / "images/e.jpg"), ("warning", "no-caption", "images/e.jpg", None)),
    (truncate, ("error", "unreadable-image", "images/b.jpg", None)),
    (
        lambda f: write(f / "images/b.jpg", "<html>not found</html>"),
        ("error", "unreadable-image", "images/b.jpg", None),
    ),
    (lambda f: write(f / "images/b.jpg", b""), ("error", "unreadable-image", "images/b.jpg", None)),
    (
        lambda f: scene(0).save(f / "images/a.jpg", format="PNG"),
        ("warning", "wrong-extension", "images/a.jpg", None),
    ),
    (
        lambda f: scene(0).resize((20, 15)).save(f / "images/a.jpg"),
        ("warning", "small-image", "images/a.jpg", None),
    ),
    (
        lambda f: write(f / "images/c.jpg", (f / "images/a.jpg").read_bytes()),
        ("error", "identical-across-splits", "images/c.jpg", None),
    ),
    (
        lambda f: scene(0).save(f / "images/c.jpg", quality=40),
        ("warning", "similar-across-splits", "images/c.jpg", None),
    ),
    (lambda f: append(f / SPLITS, "e.jpg,train"), ("warning", "unknown-image", SPLITS, 6)),
    (lambda f: append(f / SPLITS, "a.jpg,val"), ("error", "conflicting-id", SPLITS, 6)),
    (
        lambda f: write(
            f / SPLITS,
            "Filename,Split,Group\n"
            + "".join(f"{n}.jpg,val,{n}\n" for n in "abcda")
            + "b.jpg,val,x\n",
        ),
        ("error", "conflicting-id", SPLITS, 7),
    ),
    (lambda f: append(f / SPLITS, "a.jpg,later"), ("error", "unknown-split", SPLITS, 6)),
    (
        lambda f: write(f / SPLITS, "Filename,Split\na.jpg,train\nb.jpg,train\nc.jpg,val\n"),
        ("warning", "no-split", "images/d.jpg", None),
    ),
    (
        lambda f: write(f / BOXES, "Filename,xmin,ymin,xmax,ymax\na.jpg,0,0,1,1\na.jpg,0,0,0,1\n"),
        ("error", "malformed-box", BOXES, 3),
    ),
    (
        lambda f: write(f / BOXES, "Filename,xmin,ymin,xmax,ymax\ne.jpg,0,0,1,1\n"),
        ("warning", "unknown-image", BOXES, 2),
    ),
    (
        lambda f: write(f / BOXES, "Filename,left,top,right,bottom\na.jpg,0,0,1,1\n"),
        ("error", "columns", BOXES, 1),
    ),
]

RADIOLOGY_FAULTS: list[tuple[Change, Expected]] = [
    (
        lambda f: append(f / "train_captions.csv", "R1,Other"),
        ("error", "conflicting-id", "train_captions.csv", 4),
    ),
    (
        lambda f: append(f / "train_captions.csv", "R1,Chest"),
        ("error", "repeated-row", "train_captions.csv", 4),
    ),
    (
        lambda f: append(f / "valid_captions.csv", "R1,Chest"),
        ("error", "conflicting-id", "valid_captions.csv", 3),
    ),
    (
        lambda f: write(f / "valid_sources.csv", "ID,Source,Group\nR3,NIH,p2\n"),
        ("error", "group-across-splits", ".", None),
    ),
    (
        lambda f: append(f / "train_concepts.csv", "R9,C0040405"),
        ("warning", "unknown-image", "train_concepts.csv", 4),
    ),
    (
        lambda f: write(f / "train_concepts.csv", "ID,CUIs\nR1,chest\n"),
        ("warning", "malformed-concept", "train_concepts.csv", 2),
    ),
    (
        lambda f: write(f / "train_concepts.csv", "ID,Terms\nR1,chest\n"),
        ("error", "columns", "train_concepts.csv", 1),
    ),
]


@pytest.mark.parametrize("build", [endoscopy, radiology])
def test_a_faultless_folder_has_no_problem(
    tmp_path: pathlib.Path, build: Callable[[pathlib.Path], pathlib.Path]
) -> None:
    report = validate_folder(build(tmp_path / "set"))
    assert report.problems == ()
    assert report.is_valid
    expected = ("medvqa_gi", 4, 8) if build is endoscopy else ("rocov2", 3, 3)
    assert (report.layout, report.images, report.captions) == expected


@pytest.mark.parametrize(
    ("change", "expected"), ENDOSCOPY_FAULTS, ids=[item[1][1] for item in ENDOSCOPY_FAULTS]
)
def test_each_fault_of_an_endoscopy_folder_is_found_alone(
    tmp_path: pathlib.Path, change: Change, expected: Expected
) -> None:
    folder = endoscopy(tmp_path / "set")
    change(folder)
    assert found(validate_folder(folder)) == [expected]


@pytest.mark.parametrize(
    ("change", "expected"), RADIOLOGY_FAULTS, ids=[item[1][1] for item in RADIOLOGY_FAULTS]
)
def test_each_fault_of_a_radiology_folder_is_found_alone(
    tmp_path: pathlib.Path, change: Change, expected: Expected
) -> None:
    folder = radiology(tmp_path / "set")
    change(folder)
    assert found(validate_folder(folder)) == [expected]


@pytest.mark.parametrize(
    ("build", "change"),
    [(endoscopy, change) for change, _ in ENDOSCOPY_FAULTS]
    + [(radiology, change) for change, _ in RADIOLOGY_FAULTS],
)
def test_what_the_validation_passes_the_reader_reads(
    tmp_path: pathlib.Path, build: Callable[[pathlib.Path], pathlib.Path], change: Change
) -> None:
    folder = build(tmp_path / "set")
    change(folder)
    report = validate_folder(folder)
    if report.is_valid:
        assert len(read_folder(folder)) == report.images
    elif any(problem.line is not None for problem in report.errors):  # a table is at fault
        with pytest.raises(DataError):
            read_folder(folder)
            read_concepts(folder)
            read_finding_boxes(folder)


@pytest.mark.parametrize("change", [huge, large])
def test_huge_images_are_reported_and_never_decoded(tmp_path: pathlib.Path, change: Change) -> None:
    folder = endoscopy(tmp_path / "set")
    change(folder)
    report = validate_folder(folder)
    assert [(p.code, p.path) for p in report.errors] == [("huge-image", "images/a.jpg")]


def test_wrong_columns_are_reported_and_the_images_still_looked_at(tmp_path: pathlib.Path) -> None:
    folder = endoscopy(tmp_path / "set")
    write(folder / TABLE, "Text;Image\npolyp;a.jpg\n")
    truncate(folder)
    codes = {problem.code for problem in validate_folder(folder).problems}
    assert codes == {"columns", "no-caption", "unknown-image", "unreadable-image"}


def test_all_faults_at_once_are_all_reported(tmp_path: pathlib.Path) -> None:
    folder = endoscopy(tmp_path / "set")
    faults = [ENDOSCOPY_FAULTS[at] for at in (1, 3, 5, 7, 10, 11, 18, 21)]
    for change, _ in faults:
        change(folder)
    report = validate_folder(folder)
    assert {code for _, code, _, _ in found(report)} == {code for _, (_, code, _, _) in faults}
    assert [p.severity for p in report.problems] == sorted(p.severity for p in report.problems)


def test_a_folder_of_no_layout_is_one_error_that_says_what_is_expected(
    tmp_path: pathlib.Path,
) -> None:
    report = validate_folder(tmp_path / "absent")
    assert [(p.code, p.severity) for p in report.problems] == [("layout", "error")]
    assert "prompt-gt.csv" in report.problems[0].message
    assert report.layout is None


def test_without_opening_images_only_tables_and_names_are_checked(tmp_path: pathlib.Path) -> None:
    folder = endoscopy(tmp_path / "set")
    truncate(folder)
    append(folder / TABLE, "polyp;e.jpg")
    codes = [p.code for p in validate_folder(folder, check_images=False).problems]
    assert codes == ["missing-image"]


def test_progress_counts_every_image_once(tmp_path: pathlib.Path) -> None:
    seen: list[tuple[int, int]] = []
    validate_folder(
        endoscopy(tmp_path / "set"), on_image=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_every_kind_of_problem_has_a_test() -> None:
    tested = {code for _, (_, code, _, _) in ENDOSCOPY_FAULTS + RADIOLOGY_FAULTS}
    assert set(PROBLEM_CODES) - tested == {"layout", "huge-image", "unreadable-table"}


def test_the_table_limits_each_kind_and_counts_the_rest() -> None:
    problems = [Problem("error", "missing-image", "t.csv", line, "absent") for line in range(2, 32)]
    other = Problem("warning", "no-split", "a.jpg", None, "is in no split")
    report = ValidationReport(pathlib.Path("set"), "medvqa_gi", 30, 30, (*problems, other))
    lines = report.table(rows_per_code=3).splitlines()
    assert sum("absent" in line for line in lines) == 3
    assert any("and 27 more" in line for line in lines)
    assert any("is in no split" in line for line in lines)
    assert lines[-1] == "set: medvqa_gi, 30 images, 30 captions, errors: 30, warnings: 1"


def test_the_command_prints_a_table_or_json_and_its_status_tells_validity(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = endoscopy(tmp_path / "set")
    assert main(["validate", str(folder)]) == 0
    assert "errors: 0, warnings: 0" in capsys.readouterr().out
    append(folder / TABLE, "polyp;e.jpg")
    assert main(["validate", "--json", str(folder)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["is_valid"], report["errors"], report["images"]) == (False, 1, 5)
    assert report["problems"][0]["code"] == "missing-image"
    assert report["problems"][0]["line"] == 10
