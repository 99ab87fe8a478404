"""Contract: what a checkpoint records of its training decides what the page calls known."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.attributes import read_attributes
from data.trained_terms import (
    FILE_NAME,
    TrainedTermsError,
    count_terms,
    images_of,
    read_trained_terms,
    write_trained_terms,
)
from data.vocabulary import find_terms

IMAGES = [
    read_attributes(["A polyp in the lower right at colonoscopy.", "No instruments."]),
    read_attributes("Two polyps, one Paris Is."),
    read_attributes("Oesophagitis."),
]


def test_what_is_denied_is_not_counted_and_what_is_implied_is() -> None:
    counts = count_terms(IMAGES)
    assert counts["finding:polyp"] == 2
    assert counts["instrument"] == 0
    assert counts["procedure:gastroscopy"] == 1
    assert counts["paris:Is"] == 1


def test_the_record_comes_back_from_a_folder(tmp_path: Path) -> None:
    assert read_trained_terms(tmp_path) is None
    counts = count_terms(IMAGES)
    write_trained_terms(tmp_path, counts)
    assert read_trained_terms(tmp_path) == counts


@pytest.mark.parametrize(
    "text", ["", "[]", '{"images_stating": 3}', '{"images_stating": {"a": "b"}}']
)
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text, encoding="utf-8")
    with pytest.raises(TrainedTermsError, match=FILE_NAME):
        read_trained_terms(tmp_path)


def test_a_place_counts_for_whatever_lies_there() -> None:
    counts = count_terms(IMAGES)
    [polyp, place] = find_terms("polyp, lower right").known
    assert (images_of(polyp, counts), images_of(place, counts)) == (2, 1)


def test_a_concept_that_no_image_stated_is_ignored_in_prompts() -> None:
    counts = count_terms(IMAGES)
    report = find_terms("a polyp and the pylorus", [n for n, images in counts.items() if images])
    assert [term.text for term in report.known] == ["polyp"]
    assert [span.text for span in report.ignored] == ["pylorus"]
