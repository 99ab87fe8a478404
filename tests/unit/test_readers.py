"""Contract: either dataset layout reads into the same records, or fails with what to do."""

import collections
import os
import pathlib

import pytest
from PIL import Image

from data.errors import DatasetLayoutError, DatasetTableError, MissingImagesError, SplitError
from data.folders import detect_layout, read_folder
from data.records import find_image, image_id_of
from data.rocov2 import read_concepts
from data.tables import scan_table


def write(path: pathlib.Path, text: str, encoding: str = "utf-8") -> None:
    """Write a text file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def picture(path: pathlib.Path, colour: tuple[int, int, int] = (90, 40, 30)) -> None:
    """Write a small image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 36), colour).save(path)


def endoscopy(folder: pathlib.Path) -> pathlib.Path:
    """Write a MedVQA-GI folder of two images."""
    write(
        folder / "prompt-gt.csv",
        "Prompt;Filename\nan an polyp, lower-rigth;a.jpg\nsnareandtube;b.jpg\ncolonoscopy;a.jpg\n",
    )
    picture(folder / "images/a.jpg")
    picture(folder / "images/b.jpg")
    return folder


def radiology(folder: pathlib.Path) -> pathlib.Path:
    """Write a ROCOv2 folder of three images, the validation part in the older layout."""
    write(folder / "train_captions.csv", 'ID,Caption\nR1,"Chest, frontal"\nR2,Ultrasound\n')
    write(folder / "valid_captions.csv", "ID,Caption\nR3,Axial CT\n")
    picture(folder / "train_images/R1.jpg")
    picture(folder / "train_images/R2.jpg")
    picture(folder / "valid/R3.jpg")
    return folder


def test_medvqa_gi_prompts_are_collected_per_image_in_order_and_as_spelt(
    tmp_path: pathlib.Path,
) -> None:
    a, b = read_folder(endoscopy(tmp_path))
    assert (a.image_id, a.captions) == ("a", ("an an polyp, lower-rigth", "colonoscopy"))
    assert (b.image_id, b.captions) == ("b", ("snareandtube",))
    assert a.path == tmp_path / "images/a.jpg"
    assert (a.split, a.group, a.source) == (None, None, "MedVQA-GI")


def test_medvqa_gi_images_beside_the_table_are_found(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "prompt-gt.csv", "Prompt;Filename\npolyp;a.png\n")
    picture(tmp_path / "a.png")
    assert [record.path for record in read_folder(tmp_path)] == [tmp_path / "a.png"]


def test_split_csv_gives_split_and_group_and_leaves_the_unlisted_without(
    tmp_path: pathlib.Path,
) -> None:
    endoscopy(tmp_path)
    write(tmp_path / "split.csv", "Filename,Split,Group\na.jpg,valid,case 1\n")
    a, b = read_folder(tmp_path)
    assert (a.split, a.group) == ("val", "case 1")
    assert (b.split, b.group) == (None, None)


def test_unknown_word_for_a_split_is_an_error_with_its_line(tmp_path: pathlib.Path) -> None:
    endoscopy(tmp_path)
    write(tmp_path / "split.csv", "Filename,Split\na.jpg,train\nb.jpg,holdout\n")
    with pytest.raises(SplitError, match=r"line 3.*'holdout'.*validation"):
        read_folder(tmp_path)


def test_rocov2_reads_both_folder_conventions_and_the_split_of_the_table(
    tmp_path: pathlib.Path,
) -> None:
    records = {record.image_id: record for record in read_folder(radiology(tmp_path))}
    assert records["R1"].captions == ("Chest, frontal",)
    assert [records[name].split for name in ("R1", "R2", "R3")] == ["train", "train", "val"]
    assert records["R3"].path == tmp_path / "valid/R3.jpg"
    assert records["R1"].source == "ROCOv2"


def test_rocov2_sources_give_source_and_group(tmp_path: pathlib.Path) -> None:
    radiology(tmp_path)
    write(tmp_path / "train_sources.csv", "ID,Source,Group\nR1,NIH,nih:1\nR2,BUSI,\n")
    records = {record.image_id: record for record in read_folder(tmp_path)}
    assert (records["R1"].source, records["R1"].group) == ("NIH", "nih:1")
    assert (records["R2"].source, records["R2"].group) == ("BUSI", None)


def test_rocov2_concepts_are_read_by_image(tmp_path: pathlib.Path) -> None:
    radiology(tmp_path)
    write(tmp_path / "train_concepts.csv", "ID,CUIs\nR1,C0040405;C1306645\n")
    assert read_concepts(tmp_path) == {"R1": ("C0040405", "C1306645")}


def test_split_csv_overrides_the_published_split_of_rocov2(tmp_path: pathlib.Path) -> None:
    radiology(tmp_path)
    write(tmp_path / "split.csv", "Filename,Split\nR1.jpg,test\n")
    assert {r.image_id: r.split for r in read_folder(tmp_path)} == {
        "R1": "test",
        "R2": "train",
        "R3": "val",
    }


def test_byte_order_mark_windows_lines_and_umlauts_are_read(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "prompt-gt.csv", "Prompt;Filename\r\nBarrett-Ösophagus;a.jpg\r\n", "utf-8-sig")
    picture(tmp_path / "images/a.jpg")
    assert read_folder(tmp_path)[0].captions == ("Barrett-Ösophagus",)


def test_columns_are_found_by_name_in_any_order(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "prompt-gt.csv", "filename;Extra;PROMPT\na.jpg;x;polyp\n")
    picture(tmp_path / "images/a.jpg")
    assert read_folder(tmp_path)[0].captions == ("polyp",)


def test_unknown_layout_names_what_was_found_and_what_is_expected(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "captions.txt", "")
    with pytest.raises(DatasetLayoutError, match=r"captions\.txt") as caught:
        read_folder(tmp_path)
    assert "prompt-gt.csv" in str(caught.value)
    assert "train_captions.csv" in str(caught.value)


def test_absent_folder_file_and_empty_folder_are_layout_errors(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "file", "")
    (tmp_path / "empty").mkdir()
    for name, words in (("none", "does not exist"), ("file", "is a file"), ("empty", "empty")):
        with pytest.raises(DatasetLayoutError, match=words):
            read_folder(tmp_path / name)


def test_tables_of_both_layouts_in_one_folder_are_refused(tmp_path: pathlib.Path) -> None:
    radiology(endoscopy(tmp_path))
    with pytest.raises(DatasetLayoutError, match="both layouts"):
        detect_layout(tmp_path)


@pytest.mark.parametrize("build", [endoscopy, radiology])
def test_missing_image_is_an_error_unless_skipping_is_asked_for(
    tmp_path: pathlib.Path, build: collections.abc.Callable[[pathlib.Path], pathlib.Path]
) -> None:
    folder = build(tmp_path)
    complete = read_folder(folder)
    complete[0].path.unlink()
    with pytest.raises(MissingImagesError, match=f"1 of {len(complete)} images"):
        read_folder(folder)
    assert read_folder(folder, missing="skip") == complete[1:]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("Prompt,Filename\npolyp,a.jpg\n", "separated by ','"),
        ("Text;File\npolyp;a.jpg\n", "Prompt;Filename"),
        ("Prompt;Filename\npolyp\n", "line 2: has 1 fields"),
        ("Prompt;Filename\n ;a.jpg\n", "line 2: the prompt is empty"),
        ("Prompt;Filename\npolyp;\n", "line 2: the file name is empty"),
        ("Prompt;Filename\npolyp;a.jpg\npolyp;a.png\n", "line 3.*share the name"),
        ("", "lacks the columns"),
    ],
)
def test_faulty_prompt_table_is_an_error_with_its_line(
    tmp_path: pathlib.Path, table: str, words: str
) -> None:
    write(tmp_path / "prompt-gt.csv", table)
    picture(tmp_path / "images/a.jpg")
    with pytest.raises(DatasetTableError, match=words):
        read_folder(tmp_path)


def test_latin_1_table_is_an_error_that_says_where(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "prompt-gt.csv", "Prompt;Filename\npolyp;a.jpg\nÖdem;b.jpg\n", "latin-1")
    with pytest.raises(DatasetTableError, match="line 3: byte 0xd6 is not UTF-8"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("second", "words"), [("R1,Other", "another caption"), ('R1,"Chest, frontal"', "before")]
)
def test_rocov2_id_used_twice_is_an_error(tmp_path: pathlib.Path, second: str, words: str) -> None:
    radiology(tmp_path)
    write(tmp_path / "train_captions.csv", f'ID,Caption\nR1,"Chest, frontal"\n{second}\n')
    with pytest.raises(DatasetTableError, match=rf"line 3.*{words}"):
        read_folder(tmp_path)


@pytest.mark.parametrize("rows", [1, 40000])
def test_unclosed_quotes_do_not_swallow_the_other_rows_silently(
    tmp_path: pathlib.Path, rows: int
) -> None:
    write(tmp_path / "t.csv", 'ID,Caption\nR1,"open\n' + "R3,c\n" * rows)
    table = scan_table(tmp_path / "t.csv", ("ID", "Caption"))
    assert {fault.code for fault in table.faults} == {"row"}


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/x.jpg", "..\\secret.jpg", "", "a\0.jpg"])
def test_names_that_lead_out_of_the_folder_are_never_followed(
    tmp_path: pathlib.Path, name: str
) -> None:
    picture(tmp_path / "secret.jpg")
    (tmp_path / "set").mkdir()
    assert find_image((tmp_path / "set",), name) is None


@pytest.mark.parametrize(
    ("name", "image_id"),
    [("a.jpg", "a"), ("x/a.JPEG", "a"), ("a.b.png", "a.b"), ("v1.5", "v1.5"), (" a.tif ", "a")],
)
def test_image_id_is_the_name_without_folder_and_image_extension(name: str, image_id: str) -> None:
    assert image_id_of(name) == image_id


@pytest.mark.skipif("MSDM_DATASETS" not in os.environ, reason="MSDM_DATASETS is not set")
def test_the_real_training_sets_read_completely() -> None:
    root = pathlib.Path(os.environ["MSDM_DATASETS"])
    endoscopic = read_folder(root / "medvqa_gi")
    assert collections.Counter(r.split for r in endoscopic) == {"train": 1703, "val": 99}
    assert sum(len(record.captions) for record in endoscopic) == 18232
    radiological = read_folder(root / "rocov2_style")
    assert len(radiological) == 1883
    assert all(record.group for record in radiological)
