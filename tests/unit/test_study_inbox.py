"""Contract: an image handed over to studies is there whole with its provenance, how it was selected
and out of how many; never twice; and a set of images is handed over wholly or not at all.
"""

import errno
import json
import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from data.errors import DataValueError, StudyInboxError
from data.provenance import GeneratedImage, pixel_sha256, read_provenance
from data.study_inbox import StudyInbox, Submission
from msdm_core.generation.request import ImageRequest
from tests.brush import provenance


def generated(red: int = 1, model: str = "tiny", mode: str = "RGB") -> GeneratedImage:
    picture = Image.new("RGB", (8, 8), (red, 0, 0)).convert(mode)
    return GeneratedImage(picture, provenance(ImageRequest(model, "a polyp", red, 8)))


def submission(red: int = 1, model: str = "tiny", count: int = 4) -> Submission:
    return Submission(generated(red, model), "hand_picked", count)


@pytest.fixture
def inbox(tmp_path: Path) -> StudyInbox:
    return StudyInbox(tmp_path / "study_inbox")


def test_an_image_arrives_with_its_record(inbox: StudyInbox, tmp_path: Path):
    sent = submission(red=3)
    assert inbox.add([sent]) == 1
    (entry,) = StudyInbox(tmp_path / "study_inbox").entries()
    assert entry.provenance == sent.generated.provenance
    assert (entry.selection_rule, entry.candidate_count) == ("hand_picked", 4)
    found = inbox.image(entry.id)
    assert found.provenance == sent.generated.provenance
    assert pixel_sha256(found.image) == entry.pixel_sha256 == pixel_sha256(sent.generated.image)
    (path,) = (tmp_path / "study_inbox").glob("*/image.png")
    assert read_provenance(path) == sent.generated.provenance


def test_the_same_image_is_never_there_twice(inbox: StudyInbox):
    assert inbox.add([submission(1), submission(1), submission(2)]) == 2
    assert inbox.add([submission(2), submission(3)]) == 1
    assert len(inbox.entries()) == 3


def test_equal_pixels_of_two_models_are_two_images(inbox: StudyInbox):
    assert inbox.add([submission(1, "tiny"), submission(1, "other")]) == 2


def test_a_picture_with_a_palette_is_found_unchanged(inbox: StudyInbox):
    inbox.add([Submission(generated(mode="P"), "all_of_comparison", 1)])
    (entry,) = inbox.entries()
    assert inbox.image(entry.id).image.mode == "RGB"


def test_a_disk_that_is_full_leaves_none_of_a_set_behind(
    inbox: StudyInbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    inbox.add([submission(9)])
    calls = 0

    def full_at_the_fifth(_descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_at_the_fifth)
        with pytest.raises(OSError, match="No space"):
            inbox.add([submission(1), submission(2)])
    assert len(inbox.entries()) == 1
    assert len(list((tmp_path / "study_inbox").iterdir())) == 1
    assert inbox.add([submission(1), submission(2)]) == 2


def test_what_a_killed_program_left_is_not_listed_and_swept_when_it_is_old(
    inbox: StudyInbox, tmp_path: Path
):
    inbox.add([submission(1)])
    young, old = (tmp_path / "study_inbox" / f".part-{name}" for name in ("young", "old"))
    for folder in (young, old):
        folder.mkdir()
        (folder / "image.png").write_bytes(b"half")
    os.utime(old, (0, 0))
    assert len(inbox.entries()) == 1
    inbox.add([submission(2)])
    assert young.exists()
    assert not old.exists()


def test_an_image_is_removed_at_once_and_wholly(inbox: StudyInbox, tmp_path: Path):
    inbox.add([submission(1)])
    (entry,) = inbox.entries()
    assert inbox.remove(entry.id)
    assert inbox.entries() == ()
    assert not inbox.remove(entry.id)
    assert list((tmp_path / "study_inbox").iterdir()) == []
    with pytest.raises(StudyInboxError, match="has no image"):
        inbox.image(entry.id)
    assert inbox.add([submission(1)]) == 1


def test_many_senders_at_once_leave_each_image_once(inbox: StudyInbox):
    added: list[int] = []

    def send() -> None:
        added.append(inbox.add([submission(red) for red in range(5)]))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inbox.entries()) == 5
    assert sum(added) == 5


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "0" * 63, "A" * 64])
def test_an_id_that_is_none_is_refused(inbox: StudyInbox, name: str):
    for use in (inbox.image, inbox.remove):
        with pytest.raises(StudyInboxError, match="is no id"):
            use(name)


def test_a_damaged_or_newer_record_is_refused_with_its_name(inbox: StudyInbox, tmp_path: Path):
    inbox.add([submission(1)])
    (path,) = (tmp_path / "study_inbox").glob("*/record.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"format": 99}))
    with pytest.raises(StudyInboxError, match=r"record\.json has format 99"):
        inbox.entries()
    path.write_text("{")
    with pytest.raises(StudyInboxError, match=r"record\.json is damaged"):
        inbox.entries()


def test_a_picture_that_was_exchanged_is_noticed(inbox: StudyInbox, tmp_path: Path):
    inbox.add([submission(1)])
    (entry,) = inbox.entries()
    (path,) = (tmp_path / "study_inbox").glob("*/image.png")
    Image.new("RGB", (8, 8), (9, 9, 9)).save(path)
    with pytest.raises(StudyInboxError, match="has changed"):
        inbox.image(entry.id)
    path.write_bytes(b"no picture")
    with pytest.raises(StudyInboxError, match="Cannot read the PNG"):
        inbox.image(entry.id)


@pytest.mark.parametrize(("rule", "count"), [("guessed", 1), ("hand_picked", 0)])
def test_a_selection_that_means_nothing_is_refused(rule: str, count: int):
    with pytest.raises(DataValueError):
        Submission(generated(), rule, count)  # type: ignore[arg-type]
