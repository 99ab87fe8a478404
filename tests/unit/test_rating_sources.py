"""Contract: each source of images offers all of them with arm, prompt and how they were chosen, or
takes none and tells everything that is wrong at once, with what to do; names are found as people
spell them, files that contradict their table are refused, and draws are the same for the same seed.
"""

import csv
import dataclasses
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from data.manifest import IMAGE_FOLDER, MANIFEST_FILE, ManifestRow, write_manifest
from data.provenance import GeneratedImage, Provenance, pixel_sha256, png_bytes
from data.study_inbox import StudyInbox, Submission
from rating.errors import StimulusError
from rating.study.image_table import read_image_table
from rating.study.offered import SELECTION_RULES
from rating.study.sources import (
    OfferedImage,
    folder_intake,
    from_dataset,
    from_folder,
    from_inbox,
    from_manifest,
)
from tests.drawings import draw_scene, scenes, write_dataset

NOW = "2025-05-05T12:00:00+00:00"
SCENES = scenes(24)


def provenance(model: str = "msdm", prompt: str = "a polyp", seed: int = 7, **extra) -> Provenance:
    return Provenance(
        model_id=model, model_label=model.upper(), weights_sha256="ab" * 32, prompt=prompt,
        seed=seed, steps=20, guidance=4.5, scheduler="DDIM", width_px=64, height_px=64,
        library_versions={"torch": "2"}, device="cpu", dtype="float32", duration_s=1.0,
        created_at=NOW, app_version="1", licence="CC0", extra=extra,
    )  # fmt: skip


def write_table(path: Path, rows: list[tuple], separator: str = ",", encoding: str = "utf-8"):
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=separator).writerows(rows)


def folder_of(tmp_path: Path, *names: str) -> Path:
    for index, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        draw_scene(SCENES[index]).save(tmp_path / name)
    return tmp_path


def faults_of(call, *arguments, **named) -> str:
    with pytest.raises(StimulusError) as caught:
        call(*arguments, **named)
    return str(caught.value)


# A folder with a CSV


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_folder_gives_what_its_table_says(tmp_path: Path, separator: str, encoding: str):
    folder = folder_of(tmp_path, "a.png", "b.png", "c.jpg")
    rows = [
        ("Prompt", "FILENAME", "arm", "seed", "selection_rule", "candidates"),
        ("a polyp, of the oesophagus; „flat“", "a.png", "msdm", "7", "First seed", "4"),
        ("x\ty", "b.png", "flux", "8", "hand-picked", ""),
        ("a real one", "c.jpg", "Real", "", "", ""),
    ]
    write_table(folder / "images.csv", rows, separator, encoding)
    a, b, c = from_folder(folder)
    assert (a.arm, a.prompt, a.is_real) == ("msdm", rows[1][0], False)
    assert (a.selection_rule, a.candidate_count, a.provenance) == ("first_seed", 4, {"seed": "7"})
    assert (b.selection_rule, b.candidate_count, b.source_name) == ("hand_picked", 1, "b.png")
    assert (c.arm, c.is_real, c.selection_rule) == ("real", True, "unstated")
    assert a.read().tobytes() == draw_scene(SCENES[0]).tobytes()
    assert [image.role for image in (a, b, c)] == ["main"] * 3


def test_a_table_elsewhere_names_images_relative_to_the_folder(tmp_path: Path):
    folder = folder_of(tmp_path / "f", "msdm/1.png", "images/2.png")
    table = tmp_path / "t.csv"
    write_table(
        table,
        [("filename", "arm", "prompt"), ("msdm/1.png", "msdm", "x"), ("2.png", "flux", "x")],
    )
    assert [image.source_name for image in from_folder(folder, table)] == [
        "msdm/1.png", "images/2.png",
    ]  # fmt: skip


def test_names_are_found_as_people_spell_them_and_it_is_told(tmp_path: Path):
    accented = unicodedata.normalize("NFD", "café.png")
    folder = folder_of(tmp_path, "IMG_1.PNG", accented, "deep/er/three.png", "left.png")
    rows = [("filename", "arm", "prompt")]
    rows += [("img_1.png", "m", "x"), (unicodedata.normalize("NFC", "café.png"), "m", "y")]
    rows += [("three.png", "m", "z")]
    write_table(folder / "t.csv", rows)
    intake = folder_intake(folder)
    assert [image.source_name for image in intake.images] == [
        "IMG_1.PNG", accented, "deep/er/three.png",
    ]  # fmt: skip
    assert any("img_1.png is IMG_1.PNG" in note for note in intake.notes)
    assert any("1 image is not in the CSV and left out: left.png" in n for n in intake.notes)


def test_everything_wrong_with_a_folder_is_told_at_once(tmp_path: Path):
    folder = folder_of(tmp_path, "a.png", "b.png", "x/same.png", "y/same.png", "c.png")
    (folder / "text.png").write_text("not an image")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / "scan.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 100)
    rows = [
        ("filename", "arm", "prompt", "role", "candidates", "selection_rule", "expected"),
        ("gone.png", "m", "p", "", "", "", ""),
        ("../a.png", "m", "p", "", "", "", ""),
        ("/etc/passwd", "m", "p", "", "", "", ""),
        ("C:\\a.png", "m", "p", "", "", "", ""),
        ("same.png", "m", "p", "", "", "", ""),
        ("text.png", "m", "p", "", "", "", ""),
        ("cut.png", "m", "p", "", "", "", ""),
        ("scan.dcm", "m", "p", "", "", "", ""),
        ("a.png", "", "p", "", "", "", ""),
        ("b.png", "m", "", "", "", "", ""),
        ("b.png", "m", "p", "", "", "", ""),
        ("c.png", "m", "p", "judge", "0", "best", "origin"),
        ("", "m", "p", "", "", "", ""),
        ("one field",),
    ]
    write_table(folder / "t.csv", rows)
    told = faults_of(from_folder, folder)
    for part in (
        "line 2: there is no file 'gone.png'",
        "line 3: '../a.png' leads out of the folder",
        "line 4: '/etc/passwd' leads out",
        "line 5: 'C:\\\\a.png' leads out",
        "line 6: 'same.png' could be any of x/same.png, y/same.png",
        "line 7: Cannot read text.png: it is not an image",
        "line 8: Cannot read cut.png: it is damaged",
        "scan.dcm is a DICOM file, which is not read: export it to PNG",
        "line 10: of a.png is not said: the arm",
        "line 11: of b.png is not said: the prompt",
        "line 12: b.png stands in line 11 too",
        "line 13: role is 'judge', allowed are main, practice, check",
        "line 13: candidates is '0', need a number of images, 1 or more",
        "line 13: selection_rule is 'best', allowed are first_seed",
        "line 13: expected is 'origin', need accepted answers such as origin=5/6",
        "line 14: the filename is empty",
        "line 15: has 1 fields, the first line 7",
    ):
        assert part in told


def test_many_faults_are_counted_and_not_all_spelled_out(tmp_path: Path):
    rows = [("filename", "arm", "prompt"), *((f"{n}.png", "m", "p") for n in range(100))]
    write_table(tmp_path / "t.csv", rows)
    told = faults_of(from_folder, tmp_path)
    assert "and 70 more" in told
    assert len(told.splitlines()) == 32


def test_practice_and_checks_need_no_arm_but_checks_say_what_is_expected(tmp_path: Path):
    folder = folder_of(tmp_path, "a.png", "b.png", "c.png")
    rows = [
        ("filename", "prompt", "role", "expected"),
        ("a.png", "x", "practice", ""),
        ("b.png", "y", "check", "origin=6/5 realism=1"),
    ]
    write_table(folder / "t.csv", rows)
    a, b = from_folder(folder)
    assert (a.role, a.arm, a.expected) == ("practice", "", None)
    assert (b.role, b.expected) == ("check", {"origin": [5, 6], "realism": [1]})
    write_table(folder / "t.csv", [*rows, ("c.png", "z", "check", "")])
    assert "expected answers of an attention check" in faults_of(from_folder, folder)


def test_defaults_hold_where_the_table_is_silent(tmp_path: Path):
    folder = folder_of(tmp_path, "a.png", "b.png")
    write_table(folder / "t.csv", [("filename", "prompt"), ("a.png", "x"), ("b.png", "y")])
    real = from_folder(folder, arm="real", is_real=True)
    assert [(image.arm, image.is_real) for image in real] == [("real", True)] * 2
    assert [image.arm for image in from_folder(folder, arm="flux")] == ["flux"] * 2
    assert {image.role for image in from_folder(folder, role="practice")} == {"practice"}


def test_an_image_said_to_be_real_must_not_say_that_it_was_generated(tmp_path: Path):
    made = png_bytes(draw_scene(SCENES[0]), provenance("flux"))
    (tmp_path / "a.png").write_bytes(made)
    write_table(tmp_path / "t.csv", [("filename", "arm", "prompt"), ("a.png", "real", "x")])
    assert "the file says that flux generated it" in faults_of(from_folder, tmp_path)
    write_table(tmp_path / "t.csv", [("filename", "arm", "prompt"), ("a.png", "m", "x")])
    assert "all images here are taken as real" in faults_of(from_folder, tmp_path, is_real=True)


def test_downloads_of_generate_tell_themselves_without_a_table(tmp_path: Path):
    for model in ("msdm", "flux"):
        picture = draw_scene(SCENES[len(model)])
        made = provenance(model, " a polyp ", note="a\0b\ud800")
        (tmp_path / f"{model}.png").write_bytes(png_bytes(picture, made))
    flux, msdm = from_folder(tmp_path)
    assert (flux.arm, msdm.arm, flux.prompt) == ("flux", "msdm", "a polyp")
    assert flux.provenance["seed"] == 7
    assert flux.provenance["note"] == "ab?"  # what no database takes in a text
    assert "prompt" not in flux.provenance
    folder_of(tmp_path, "unknown.png")
    told = faults_of(from_folder, tmp_path)
    assert "there is no CSV, and 1 of the images do not tell" in told
    assert "unknown.png. Put a CSV with the columns filename, arm, prompt" in told


def test_hidden_files_and_leftovers_of_systems_are_passed_over(tmp_path: Path):
    folder = folder_of(tmp_path, "a.png", ".hidden/b.png", "__MACOSX/._a.png")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / "__MACOSX" / "t.csv").write_text("junk")
    write_table(folder / "t.csv", [("filename", "arm", "prompt"), ("a.png", "m", "x")])
    intake = folder_intake(folder)
    assert [image.source_name for image in intake.images] == ["a.png"]
    assert intake.notes == ()


def test_of_several_tables_the_right_one_must_be_named(tmp_path: Path):
    folder = folder_of(tmp_path, "a.png")
    for name in ("one.csv", "two.csv"):
        write_table(folder / name, [("filename", "arm", "prompt"), ("a.png", name, "x")])
    assert "there are 2 CSV files: one.csv, two.csv" in faults_of(from_folder, folder)
    (image,) = from_folder(folder, folder / "two.csv")
    assert image.arm == "two.csv"


def test_a_folder_that_is_none_or_empty_is_told(tmp_path: Path):
    assert "does not exist" in faults_of(from_folder, tmp_path / "gone")
    (tmp_path / "file").write_text("x")
    assert "is a file, not a folder" in faults_of(from_folder, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "there are no images" in faults_of(from_folder, tmp_path / "empty")
    assert "cannot be opened" in faults_of(from_folder, tmp_path / "empty", tmp_path / "no.csv")


def test_pictures_are_upright_and_bare(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    exif[0x010E] = "Mrs Doe"
    Image.new("RGB", (40, 20), "red").save(tmp_path / "a.jpg", exif=exif)
    write_table(tmp_path / "t.csv", [("filename", "arm", "prompt"), ("a.jpg", "real", "x")])
    picture = from_folder(tmp_path)[0].read()
    assert (picture.size, picture.mode) == ((20, 40), "RGB")
    assert not picture.getexif()
    assert "exif" not in picture.info


# The table alone


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "its first line is ''"),
        (b"a,b\n1,2\n", "its first line is 'a,b', but it must name the columns"),
        (b"filename,arm,ARM\n", "has columns twice: arm"),
        ("filename,prompt\na,ärger\n".encode("latin-1"), "line 2: byte 0xe4 is not UTF-8"),
        ("filename,prompt\na,b\n".encode("utf-16"), "is not UTF-8"),
        (b"filename,prompt\na,\0\n", "line 2: has zero bytes"),
        (b"filename,prompt\n", "has no rows"),
        (b'filename,prompt\na,"open\n', "line 2: cannot be read"),
        (b"filename,prompt\na," + b"x" * 4001, "prompt has 4001 characters, allowed are 4000"),
        (b"x" * (8 * 2**20 + 1), "bytes, allowed are"),
    ],
)
def test_a_damaged_table_is_told(content: bytes, told: str):
    table = read_image_table(content, "t.csv")
    assert table.rows == () or b"4001" not in content
    assert any(told in fault and "t.csv" in fault for fault in table.faults)


def test_the_line_that_tells_spreadsheets_the_separator_is_passed_over():
    table = read_image_table(b"sep=;\r\nfilename;arm\r\na.png;m\r\n", "t.csv")
    assert not table.faults
    assert (table.rows[0].line, table.rows[0].arm) == (3, "m")


# A batch


def batch(folder: Path, seeds: int = 3, failed: tuple[str, ...] = ()) -> Path:
    (folder / IMAGE_FOLDER).mkdir(parents=True)
    rows = []
    for m, model in enumerate(("msdm", "flux")):
        for p in range(2):
            for seed in range(seeds):
                name = f"{model}-p{p}-{seed}"
                picture = draw_scene(SCENES[m * 12 + p * 6 + seed])
                is_done = name not in failed
                if is_done:
                    picture.save(folder / IMAGE_FOLDER / f"{name}.png")
                rows.append(
                    ManifestRow(
                        image_id=name, file_name=f"{IMAGE_FOLDER}/{name}.png" if is_done else "",
                        prompt_id=f"p{p}", prompt=f"prompt {p}", model_id=model,
                        model_label=model.upper(), arm=model, family="f", seed=seed, steps=4,
                        width_px=64, height_px=64, weights_sha256="ab" * 32 if is_done else "",
                        settings_sha256="cd" * 32, licence="CC0", duration_s=1.0,
                        pixel_sha256=pixel_sha256(picture) if is_done else "",
                        selection_rule="all", candidates=seeds, device="cpu", created_at=NOW,
                        app_version="1", status="done" if is_done else "failed",
                        message="" if is_done else "out of memory", carried={"topic": "gi"},
                    )
                )  # fmt: skip
    write_manifest(folder / MANIFEST_FILE, rows)
    return folder


def named(images: list[OfferedImage]) -> list[str]:
    return [Path(image.source_name).stem for image in images]


def test_the_first_seed_of_each_prompt_and_arm_is_taken_from_a_batch(tmp_path: Path):
    images = from_manifest(batch(tmp_path))
    assert named(images) == ["msdm-p0-0", "msdm-p1-0", "flux-p0-0", "flux-p1-0"]
    assert {(i.selection_rule, i.candidate_count, i.is_real) for i in images} == {
        ("first_seed", 3, False)
    }
    assert {(i.prompt_id, i.prompt) for i in images} == {("p0", "prompt 0"), ("p1", "prompt 1")}
    assert images[0].provenance["seed"] == 0
    assert images[0].provenance["carried"] == {"topic": "gi"}
    assert images[0].read().tobytes() == draw_scene(SCENES[0]).tobytes()


def test_a_random_candidate_depends_on_the_seed_and_not_on_the_order_of_rows(tmp_path: Path):
    folder = batch(tmp_path)
    drawn = {seed: from_manifest(folder, rule="random", seed=seed) for seed in range(12)}
    assert all(len(images) == 4 for images in drawn.values())
    assert len({tuple(named(images)) for images in drawn.values()}) > 3
    lines = (folder / MANIFEST_FILE).read_text().splitlines(keepends=True)
    (folder / MANIFEST_FILE).write_text("".join([lines[0], *reversed(lines[1:])]))
    again = from_manifest(folder / MANIFEST_FILE, rule="random", seed=5)
    assert sorted(named(again)) == sorted(named(drawn[5]))
    assert {image.selection_rule for image in again} == {"random"}


def test_all_candidates_are_taken_if_asked(tmp_path: Path):
    images = from_manifest(batch(tmp_path), rule="all")
    assert len(images) == 12
    assert {image.selection_rule for image in images} == {"all"}


def test_a_first_seed_that_was_not_drawn_is_no_licence_to_take_the_second(tmp_path: Path):
    folder = batch(tmp_path, failed=("flux-p1-0",))
    told = faults_of(from_manifest, folder)
    assert "prompt p1 the arm flux has no image under the rule first_seed (out of memory)" in told
    assert len(from_manifest(folder, rule="random")) == 4
    assert len(from_manifest(folder, rule="all")) == 11


def test_all_damage_of_a_batch_is_told(tmp_path: Path):
    folder = batch(tmp_path)
    (folder / IMAGE_FOLDER / "msdm-p0-0.png").unlink()
    draw_scene(SCENES[20]).save(folder / IMAGE_FOLDER / "flux-p0-0.png")
    (folder / IMAGE_FOLDER / "flux-p1-0.png").write_bytes(b"no")
    told = faults_of(from_manifest, folder)
    assert "msdm-p0-0.png" in told
    assert "flux-p0-0.png has other pixels than when it was drawn" in told
    assert "flux-p1-0.png" in told
    assert "cannot be opened" in faults_of(from_manifest, tmp_path / "no.csv")
    assert "allowed are first_seed, random, all" in faults_of(from_manifest, folder, rule="best")


def test_the_manifest_of_a_batch_is_a_table_of_a_folder_too(tmp_path: Path):
    images = from_folder(batch(tmp_path, failed=("flux-p1-0",)))
    assert len(images) == 11
    assert {image.selection_rule for image in images} == {"all"}
    assert images[0].provenance["model_label"] == "MSDM"


# What Generate hands over


@pytest.fixture
def inbox(tmp_path: Path) -> StudyInbox:
    inbox = StudyInbox(tmp_path / "inbox")
    inbox.add(
        [
            Submission(
                GeneratedImage(draw_scene(SCENES[index]), provenance(model)), rule, count
            )
            for index, (model, rule, count) in enumerate(
                [("msdm", "hand_picked", 5), ("flux", "all_of_comparison", 1)]
            )
        ]
    )
    return inbox


def test_the_inbox_gives_its_images_with_how_they_were_chosen(inbox: StudyInbox):
    images = {image.arm: image for image in from_inbox(inbox)}
    msdm, flux = images["msdm"], images["flux"]
    assert (msdm.selection_rule, msdm.candidate_count) == ("hand_picked", 5)
    assert (flux.selection_rule, flux.candidate_count) == ("all_of_comparison", 1)
    assert (msdm.prompt, msdm.prompt_id, msdm.role) == ("a polyp", "", "main")
    assert msdm.provenance["model_label"] == "MSDM"
    assert msdm.read().tobytes() == draw_scene(SCENES[0]).tobytes()


def test_of_the_inbox_the_named_images_are_taken(inbox: StudyInbox):
    entry = inbox.entries()[1]
    (image,) = from_inbox(inbox, [entry.id])
    assert image.arm == entry.provenance.model_id
    assert from_inbox(inbox, []) == []
    told = faults_of(from_inbox, inbox, ["0" * 64, entry.id])
    assert "there is no image '000" in told


def test_a_damaged_inbox_is_told(inbox: StudyInbox, tmp_path: Path):
    entry = inbox.entries()[0]
    (tmp_path / "inbox" / entry.id / "image.png").write_bytes(b"no")
    assert "Cannot read the PNG" in faults_of(from_inbox, inbox)
    (tmp_path / "inbox" / entry.id / "record.json").write_text("no")
    assert "is damaged" in faults_of(from_inbox, inbox)


# Real images of a dataset


def test_real_images_are_drawn_at_random_from_the_split(tmp_path: Path):
    folder = write_dataset(tmp_path / "d")
    images = from_dataset(folder, 3, seed=1)
    assert all(image.is_real and image.arm == "real" for image in images)
    assert {image.provenance["split"] for image in images} == {"val"}
    assert {(image.selection_rule, image.candidate_count) for image in images} == {("random", 4)}
    assert all(image.prompt.startswith("Generate an image") for image in images)
    assert from_dataset(folder, 3, seed=1)[0].prompt == images[0].prompt
    chosen = {tuple(i.source_name for i in from_dataset(folder, 3, seed=s)) for s in range(20)}
    assert len(chosen) > 5
    assert len(from_dataset(folder, 24, split=None)) == 24


def test_at_most_one_image_of_a_group_is_drawn_while_there_are_others(tmp_path: Path):
    folder = write_dataset(tmp_path / "d")
    rows = [("Filename", "Split", "Group")]
    rows += [(f"scene_{n:02d}.png", "val", "patient" if n < 20 else f"p{n}") for n in range(24)]
    write_table(folder / "split.csv", rows)
    for seed in range(10):
        groups = [image.provenance["group"] for image in from_dataset(folder, 5, seed=seed)]
        assert len(set(groups)) == 5
    assert len(from_dataset(folder, 6)) == 6


def test_what_a_dataset_lacks_is_told(tmp_path: Path):
    folder = write_dataset(tmp_path / "d")
    told = faults_of(from_dataset, folder, 5)
    assert "it has 4 images of the split 'val', asked for are 5" in told
    assert "(train, val)" in told
    assert "ask for 1 or more" in faults_of(from_dataset, folder, 0)
    assert "Expected one of" in faults_of(from_dataset, tmp_path, 1)
    for path in (folder / "images").iterdir():
        path.write_bytes(b"no")
    assert faults_of(from_dataset, folder, 3).count("it is not an image") == 3


def test_rules_that_sources_use_are_known_and_fit_the_database():
    assert {"first_seed", "random", "all", "hand_picked", "all_of_comparison"} <= set(
        SELECTION_RULES
    )
    assert all(len(rule) <= 24 for rule in SELECTION_RULES)


def test_an_offered_image_cannot_be_changed(tmp_path: Path):
    image = from_dataset(write_dataset(tmp_path / "d"), 1)[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        image.arm = "msdm"
