"""Contract: a manifest is read as it was written, whatever prompts hold; a row cut short by a kill
is noticed and left out; everything wrong with a manifest or its images is told at once; and its
columns are documented.
"""

import dataclasses
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.errors import ManifestError
from data.manifest import (
    COLUMN_NAMES,
    COLUMNS,
    ManifestRow,
    carried_columns,
    metadata_values,
    row_values,
    write_manifest,
)
from data.manifest_reading import read_manifest, scan_manifest, validate_manifest
from data.provenance import pixel_sha256
from data.row_file import RowFile, csv_line, whole_lines

ROOT = Path(__file__).parents[2]
HASH = "ab" * 32
ROW = ManifestRow(
    image_id="img-1",
    file_name="images/img-1.png",
    prompt_id="p1",
    prompt='a polyp, "sessile"',
    model_id="msdm",
    model_label="MSDM",
    arm="msdm",
    family="msdm",
    seed=3,
    steps=4,
    guidance=2.5,
    width_px=8,
    height_px=8,
    weights_sha256=HASH,
    settings_sha256=HASH,
    licence="CC BY-NC 4.0",
    duration_s=0.25,
    parameters=340_800_000_000,
    pixel_sha256=HASH,
    selection_rule="first_seed",
    candidates=1,
    device="cpu",
    created_at="2026-01-02T03:04:05+00:00",
    app_version="0.1.0",
    status="done",
    carried={"difficulty": "hard", "organ": "colon"},
)
FAILED = dataclasses.replace(
    ROW, image_id="img-2", seed=4, file_name="", status="failed", message="not a number",
    weights_sha256="", pixel_sha256="", duration_s=None, parameters=None, device="",
)  # fmt: skip


def faults(path: Path, **options: bool) -> str:
    return "\n".join(map(str, validate_manifest(path, **options).faults))


def edit(path: Path, **values: str) -> None:
    """Writes a manifest of one row with some of its fields replaced."""
    fields = dict(zip(COLUMN_NAMES, row_values(ROW), strict=True)) | values
    path.write_bytes(csv_line(list(fields)) + csv_line(list(fields.values())))


def folder_of_one(folder: Path) -> tuple[Path, ManifestRow]:
    """Writes a manifest with one image that is really there."""
    image = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    (folder / "images").mkdir()
    image.save(folder / ROW.file_name)
    row = dataclasses.replace(ROW, pixel_sha256=pixel_sha256(image))
    write_manifest(folder / "manifest.csv", [row, FAILED])
    return folder / "manifest.csv", row


def test_rows_are_read_as_they_were_written(tmp_path: Path):
    write_manifest(tmp_path / "manifest.csv", [ROW, FAILED])
    assert read_manifest(tmp_path / "manifest.csv") == (ROW, FAILED)
    assert carried_columns([ROW, FAILED]) == ("difficulty", "organ")


@given(
    prompt=st.text(min_size=1).filter(lambda text: text.strip()),
    carried=st.text(),
    guidance=st.none() | st.floats(0, 100),
)
def test_any_text_survives_on_one_line(
    tmp_path_factory: pytest.TempPathFactory, prompt: str, carried: str, guidance: float | None
):
    path = tmp_path_factory.mktemp("any") / "manifest.csv"
    row = dataclasses.replace(ROW, prompt=prompt, guidance=guidance, carried={"note": carried})
    write_manifest(path, [row])
    assert path.read_bytes().count(b"\n") == 2
    if not " ".join(prompt.splitlines()):
        return
    [read] = read_manifest(path)
    shown = prompt.encode(errors="replace").decode()
    assert read.prompt == " ".join(shown.splitlines())
    assert read.guidance == guidance


def test_rows_with_other_carried_columns_share_one_table(tmp_path: Path):
    other = dataclasses.replace(FAILED, carried={"note": "x"})
    write_manifest(tmp_path / "manifest.csv", [ROW, other])
    first, second = read_manifest(tmp_path / "manifest.csv")
    assert first.carried == {"difficulty": "hard", "organ": "colon", "note": ""}
    assert second.carried == {"difficulty": "", "organ": "", "note": "x"}


@pytest.mark.parametrize("lost_bytes", [1, 30, 200])
def test_a_row_cut_short_is_left_out_while_it_grows_and_a_fault_after(
    tmp_path: Path, lost_bytes: int
):
    path = tmp_path / "manifest.csv"
    write_manifest(path, [ROW, FAILED])
    path.write_bytes(path.read_bytes()[:-lost_bytes])
    growing = scan_manifest(path, is_growing=True)
    assert (growing.rows, growing.faults) == ((ROW,), ())
    with pytest.raises(ManifestError, match="in the middle of a row"):
        read_manifest(path)


def test_appended_rows_follow_those_written_before(tmp_path: Path):
    file = RowFile(tmp_path / "rows.csv", ["a", "b"])
    file.rewrite([["1", "x, y"]])
    file.append(["2", "line\nbreak"])
    file.rewrite([["3", ""]])
    file.append(["4", 'quote"'])
    file.close()
    assert (tmp_path / "rows.csv").read_text() == 'a,b\n3,\n4,"quote"""\n'
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a file")
def test_a_row_that_finds_no_space_leaves_the_file_as_it_was(tmp_path: Path):
    import resource

    file = RowFile(tmp_path / "rows.csv", ["a"])
    file.rewrite([["1"]])
    before = (tmp_path / "rows.csv").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, hard))
    try:
        with pytest.raises(OSError):
            file.append(["0123456789"])
        with pytest.raises(OSError):
            file.rewrite([["0123456789"] * 10])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "rows.csv").read_bytes() == before
    file.append(["2"])
    file.close()
    assert (tmp_path / "rows.csv").read_bytes() == before + b"2\n"
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_whole_lines_leaves_out_an_unfinished_one():
    assert whole_lines(b"a\nb\nc") == b"a\nb\n"
    assert whole_lines(b"a") == b""


def test_a_manifest_with_its_image_has_no_fault(tmp_path: Path):
    path, row = folder_of_one(tmp_path)
    assert faults(path) == ""
    assert metadata_values(row)[:2] == ("img-1.png", 'a polyp, "sessile"')


def test_an_image_that_is_missing_or_changed_is_named(tmp_path: Path):
    path, row = folder_of_one(tmp_path)
    image = tmp_path / row.file_name
    Image.new("RGB", (8, 8), "red").save(image)
    assert "img-1.png has other pixels" in faults(path)
    Image.new("RGB", (9, 8)).save(image)
    assert "9 x 8 px, listed as 8 x 8" in faults(path)
    image.write_bytes(b"no image")
    assert "img-1.png" in faults(path)
    assert faults(path, check_images=False) == ""
    image.unlink()
    assert "img-1.png is missing" in faults(path, check_images=False)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seed": "-1"}, "seed is '-1'"),
        ({"seed": "1.0"}, "seed is '1.0'"),
        ({"prompt": ""}, "prompt is ''"),
        ({"guidance": "nan"}, "guidance is 'nan'"),
        ({"guidance": "much"}, "guidance is 'much'"),
        ({"weights_sha256": "AB" * 32}, "weights_sha256"),
        ({"pixel_sha256": ""}, "pixel_sha256 is ''"),
        ({"created_at": "2026-01-02T03:04:05"}, "created_at"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"status": "half"}, "status is 'half'"),
        ({"selection_rule": "best"}, "selection_rule"),
        ({"file_name": "../../secret.png"}, "inside the folder"),
        ({"file_name": "/etc/secret.png"}, "inside the folder"),
        ({"file_name": "images\\..\\x.png"}, "inside the folder"),
    ],
)
def test_a_wrong_value_is_told_with_its_line_and_column(
    tmp_path: Path, values: dict[str, str], said: str
):
    edit(tmp_path / "manifest.csv", **values)
    with pytest.raises(ManifestError, match="line 2") as caught:
        read_manifest(tmp_path / "manifest.csv")
    assert said in str(caught.value)


def test_all_faults_are_told_at_once(tmp_path: Path):
    path = tmp_path / "manifest.csv"
    again = dataclasses.replace(ROW, prompt="another", weights_sha256="cd" * 32)
    write_manifest(path, [ROW, again])
    path.write_bytes(path.read_bytes() + b"a,b\n" + b'"open\n')
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    for said in (
        "line 3: image_id img-1 stands in line 2 too",
        "line 3: model, prompt and seed msdm, p1, 3 stands in line 2 too",
        "line 3: file_name images/img-1.png stands in line 2 too",
        "line 3: prompt of p1 is another than in line 2",
        "line 3: weights_sha256 of msdm is another than in line 2",
        "line 4: has 2 fields",
        "line 5: cannot be read",
    ):
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"image_id,prompt\n", "lacks the columns file_name"),
        (b"image_id,image_id\n", "lacks"),
        (b"\xff\xfe\n", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, content: bytes, said: str):
    path = tmp_path / "manifest.csv"
    path.write_bytes(content)
    assert said in faults(path)


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ManifestError, match=r"manifest\.csv"):
        read_manifest(tmp_path / "manifest.csv")


def test_a_table_program_may_have_saved_it_with_its_own_line_ends(tmp_path: Path):
    path = tmp_path / "manifest.csv"
    write_manifest(path, [ROW])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_manifest(path) == (ROW,)


def test_the_columns_are_those_of_a_row_and_every_one_is_documented():
    fields = [field.name for field in dataclasses.fields(ManifestRow)]
    assert [*COLUMN_NAMES, "carried"] == fields
    page = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
    table = page.split("## The manifest")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.MULTILINE)
    assert documented == [(column.name, column.filled) for column in COLUMNS]
