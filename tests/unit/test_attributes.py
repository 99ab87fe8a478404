"""Contract: prompts, templates and free text alike, are read into what they say and no more."""

from __future__ import annotations

import csv
import json
import os
import time
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.attributes import (
    TARGET_NAMES,
    Attributes,
    AttributeValueError,
    names_side,
    read_attributes,
)
from data.domain import PROCEDURE_OF
from data.grid import CELLS


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Generate an image containing text.", {"has_text": True}),
        ("Generate an image not containing text.", {"has_text": False}),
        ("Generate an image not containing a green/black box artefact.", {"has_box": False}),
        ("Generate an image from a gastroscopy procedure.", {"procedure": "gastroscopy"}),
        ("Generate an image with no instruments.", {"instrument_count": 0}),
        ("Generate an image containing polyp snareandtube.", ["polyp snare", "tube"]),
        ("biopsy forcepsandmetal clip.", ["biopsy forceps", "metal clip"]),
        ("Generate an image with 16 polyps.", {"polyp_count": 16}),
        ("Generate polyps of type paris is and paris iia.", {"paris_types": ("Is", "IIa")}),
        ("Generate an image with a polyp of size < 5mm.", {"polyp_sizes": ("<5 mm",)}),
        ("Generate an image with a polyp of size >20mm.", {"polyp_sizes": (">20 mm",)}),
        ("Generate an image with an abnormality with the color pale pink.", {"colours": ("pink",)}),
        ("an abnormality with the colors ink and white", {"colours": ("pink", "white")}),
        ("Generate an image with Pink findings.", {"colours": ("pink",), "has_finding": True}),
        ("Generate an image containing barretts.", {"findings": ("Barrett's oesophagus",)}),
        (
            "Generate an image containing a polypandoesophagitis.",
            {"findings": ("polyp", "oesophagitis")},
        ),
        (
            "Generate an image with an an anatomical landmark located in the center, "
            "upper-right and lower-rigth.",
            {"landmark_cells": ("upper-right", "center", "lower-right")},
        ),
    ],
)
def test_a_data_set_prompt_is_understood_in_spite_of_its_slips(
    prompt: str, expected: dict[str, object] | list[str]
) -> None:
    if isinstance(expected, list):
        expected = {"instruments": tuple(expected)}
    assert read_attributes(prompt) == Attributes(**expected)  # type: ignore[arg-type]


POLYP = {"findings": ("polyp",)}
LOW_RIGHT = {"finding_cells": ("lower-right",)}


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (
            "A sessile polyp (Paris Is) in the right lower quadrant at colonoscopy, no instrument",
            {**POLYP, **LOW_RIGHT, "paris_types": ("Is",), "procedure": "colonoscopy"}
            | {"instrument_count": 0},
        ),
        ("polyp in the bottom right", POLYP | LOW_RIGHT),
        ("lower-right polyp", POLYP | LOW_RIGHT),
        ("In the lower right, a polyp", POLYP | LOW_RIGHT),
        ("colonoscopy, polyp, lower right", {**POLYP, **LOW_RIGHT, "procedure": "colonoscopy"}),
        ("A polyp is in the lower right", POLYP | LOW_RIGHT),
        ("polyp at the top", {**POLYP, "finding_cells": ("upper-center",)}),
        (
            "polyp on the left side",
            {**POLYP, "finding_cells": ("upper-left", "center-left", "lower-left")},
        ),
        ("diffuse UC", {"findings": ("ulcerative colitis",), "finding_cells": CELLS}),
        ("a polyp of the left colon", {**POLYP, "procedure": "colonoscopy"}),
        ("pedunculated polyp of 7 mm", {"paris_types": ("Ip",), "polyp_sizes": ("5-10 mm",)}),
        ("flat elevated lesion, 1.5 cm", {"paris_types": ("IIa",), "polyp_sizes": ("11-20 mm",)}),
        ("polyp smaller than 5 mm", {"polyp_sizes": ("<5 mm",)}),
        ("polyp between 5 and 10 mm", {"polyp_sizes": ("5-10 mm",)}),
        ("polyp smaller than 10 mm", POLYP),
        ("a smaller than 10 mm polyp", POLYP),
        ("a 7 x 22 mm polyp", {"polyp_sizes": (">20 mm",)}),
        ("a polyp of 12 mm x 4 mm", {"polyp_sizes": ("11-20 mm",)}),
        ("a polyp of 1,5 cm", {"polyp_sizes": ("11-20 mm",)}),
        ("the 2nd polyp", POLYP),
        ("two polyps", {"polyp_count": 2}),
        ("two small sessile polyps", {"polyp_count": 2, "paris_types": ("Is",)}),
        (
            "one polyp in the center and one polyp in the lower right",
            {"polyp_count": 2} | {"finding_cells": ("center", "lower-right")},
        ),
        ("several polyps", {"several": ("polyp",)}),
        ("z-line at 38 cm", {"landmarks": ("z-line",)}),
        ("EGD with esophagitis", {"procedure": "gastroscopy", "findings": ("oesophagitis",)}),
        ("upper endoscopy of the Z line", {"procedure": "gastroscopy", "landmarks": ("z-line",)}),
        ("the caecum", {"landmarks": ("cecum",)}),
        (
            "snare in the upper left, polyp in the lower right",
            {**POLYP, **LOW_RIGHT}
            | {"instruments": ("polyp snare",), "instrument_cells": ("upper-left",)},
        ),
        ("text in the upper left, polyp", {**POLYP, "has_text": True}),
        ("a white tube and a red polyp", {"instruments": ("tube",), "colours": ("red",), **POLYP}),
        ("burned-in text and ScopeGuide box", {"has_text": True, "has_box": True}),
        ("picture-in-picture, overlay", {"has_text": True, "has_box": True}),
        ("number of polyps: 2", {"polyp_count": 2}),
        ("polyps: 0; text: none", {"polyp_count": 0, "has_text": False}),
        ("a non-sessile polyp", POLYP),
        (
            "the upper right shows a polyp, the lower right a snare",
            {**POLYP, "finding_cells": ("upper-right",), "instruments": ("polyp snare",)}
            | {"instrument_cells": ("lower-right",)},
        ),
        ("normal pink mucosa", {"finding_count": 0}),
    ],
)
def test_free_text_is_understood(prompt: str, expected: dict[str, object]) -> None:
    assert read_attributes(prompt) == Attributes(**expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("no instrument, one polyp", {"instrument_count": 0, "polyp_count": 1}),
        ("no instrument, polyp", {"instrument_count": 0, **POLYP}),
        ("no polyps or instruments", {"instrument_count": 0, "polyp_count": 0}),
        (
            "no polyps, instruments or text",
            {"instrument_count": 0, "polyp_count": 0} | {"has_text": False},
        ),
        ("without text or a box, but with a polyp", {"has_text": False, "has_box": False, **POLYP}),
        ("free of text", {"has_text": False}),
        ("a polyp, text-free", {"has_text": False, **POLYP}),
        ("text is not visible, polyp", {"has_text": False, **POLYP}),
        (
            "Instruments: none. Text: no. Finding: polyp",
            {"instrument_count": 0, "has_text": False} | POLYP,
        ),
        ("neither polyps nor instruments", {"instrument_count": 0, "polyp_count": 0}),
        ("there is no evidence of polyps", {"polyp_count": 0}),
        ("the image should not contain any text", {"has_text": False}),
        ("0 polyps", {"polyp_count": 0}),
        ("no polyp snare, one polyp", {"polyp_count": 1, "absent": ("instrument:polyp snare",)}),
        ("no polyp in the lower right", {"polyp_count": 0}),
        ("no polyp at colonoscopy", {"polyp_count": 0, "procedure": "colonoscopy"}),
        ("one polyp, no other findings", {"polyp_count": 1}),
        ("no sessile polyps", {}),
        ("no ulcerative colitis", {"absent": ("finding:ulcerative colitis",)}),
        ("No text. Polyp.", {"has_text": False, **POLYP}),
    ],
)
def test_negation_reaches_as_far_as_it_does_in_english(
    prompt: str, expected: dict[str, object]
) -> None:
    assert read_attributes(prompt) == Attributes(**expected)  # type: ignore[arg-type]


def test_prompts_of_one_image_are_merged_and_presence_outweighs_absence() -> None:
    merged = read_attributes(
        ["Generate an image with no findings.", "a polyp", "colonoscopy", "with no polyps", "text"]
    )
    assert merged == Attributes(procedure="colonoscopy", findings=("polyp",), has_text=True)


def test_targets_fill_in_what_follows() -> None:
    targets = read_attributes("a Paris Is polyp in the center").targets()
    assert targets["finding:polyp"] is True
    assert targets["finding"] is True
    assert targets["finding cell:center"] is True
    assert targets["finding cell:upper-left"] is False
    assert targets["paris:Ip"] is None
    assert targets["procedure:colonoscopy"] is None
    assert targets["text"] is None


def test_no_findings_denies_every_detail_of_a_finding() -> None:
    targets = read_attributes("no findings").targets()
    for name in ("finding", "finding:polyp", "size:<5 mm", "paris:Is", "colour:red"):
        assert targets[name] is False
    assert targets["finding cell:center"] is False
    assert targets["instrument"] is None


def test_the_domain_settles_the_procedure_both_ways() -> None:
    assert read_attributes("ulcerative colitis").targets()["procedure:gastroscopy"] is False
    assert read_attributes("z-line").targets()["procedure:gastroscopy"] is True
    assert read_attributes("colonoscopy").targets()["finding:oesophagitis"] is False
    odd = read_attributes("colonoscopy with the z-line")
    assert odd.targets()["landmark:z-line"] is True
    assert odd.unusual() == ("z-line occurs in gastroscopy only, not in colonoscopy",)


def test_a_closed_world_denies_what_is_never_mentioned_but_not_missing_details() -> None:
    targets = read_attributes(["colonoscopy", "a polyp", "no instruments"]).targets(True)
    assert targets["finding:ulcerative colitis"] is False
    assert targets["text"] is False
    assert targets["landmark cell:center"] is False
    assert targets["size:<5 mm"] is None
    assert targets["finding cell:center"] is None


def test_target_names_are_distinct_and_cover_the_domain() -> None:
    assert len(set(TARGET_NAMES)) == len(TARGET_NAMES)
    assert set(PROCEDURE_OF) <= set(TARGET_NAMES)
    assert tuple(Attributes().targets()) == TARGET_NAMES


def test_attributes_survive_json_and_are_hashable() -> None:
    said = read_attributes("2 polyps of type Paris Is, 5-10 mm, lower left, no text, snare")
    assert Attributes.from_dict(json.loads(json.dumps(said.to_dict()))) == said
    assert len({said, Attributes.from_dict(said.to_dict())}) == 1


def test_values_outside_the_vocabulary_are_refused_by_name() -> None:
    with pytest.raises(AttributeValueError, match=r"findings cannot hold 'ulcer'.*allowed: polyp"):
        Attributes(findings=("ulcer",))
    with pytest.raises(AttributeValueError, match="unknown attribute 'colour'"):
        Attributes.from_dict({"colour": "red"})
    with pytest.raises(AttributeValueError, match="polyp_count cannot be -1"):
        Attributes(polyp_count=-1)


def test_conflicts_are_named_and_resolved_in_favour_of_presence() -> None:
    odd = Attributes(finding_count=0, findings=("polyp",), absent=("finding:ulcerative colitis",))
    assert odd.conflicts() == ("0 findings are stated, but at least 1 described",)
    assert odd.resolved().finding_count is None
    assert odd.resolved().conflicts() == ()


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("polyp in the lower right", True),
        ("lower-rigth", True),
        ("upperleft", True),
        ("left-sided colitis", True),
        ("a bright polyp in the center", False),
        ("copyright text", False),
        ("upper-center", False),
    ],
)
def test_names_side_sees_left_and_right_as_words(prompt: str, expected: bool) -> None:
    assert names_side(prompt) is expected


@pytest.mark.parametrize(
    "unit",
    [
        "no polyp in the lower right, ",
        "a",
        "and",
        "5-",
        "no ",
        "center ",
        "Paris is and ",
        "(",
        "<",
    ],
)
def test_a_long_prompt_is_read_in_linear_time(unit: str) -> None:
    def seconds(chars: int) -> float:
        prompt = (unit * chars)[:chars]
        best = float("inf")
        for _ in range(3):
            start = time.process_time()  # other programs on the machine do not count
            read_attributes(prompt)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(40_000) < 16 * seconds(10_000) + 0.02
    assert seconds(10_000) < 0.5  # generous for a busy machine; some milliseconds when idle


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_can_be_read_and_contradicts_nothing(prompt: str) -> None:
    assert read_attributes(prompt).conflicts() == ()


_WORDS = (
    "no not without polyp polyps snare tube text box in the lower upper left right center and or "
    ", . : ; ( ) two 2 5-10 mm < > 7 cm paris is Is 0-IIa IIa sessile red pink normal findings "
    "z-line colonoscopy but with visible a none free of absent UC half mucosa"
).split()


@given(st.lists(st.sampled_from(_WORDS), max_size=25))
@settings(max_examples=300, deadline=None)
def test_any_order_of_the_vocabulary_can_be_read(words: list[str]) -> None:
    said = read_attributes(" ".join(words))
    assert said.conflicts() == ()
    assert Attributes.from_dict(said.to_dict()) == said


def test_every_prompt_of_the_real_set_says_something_and_images_are_settled() -> None:
    root = os.environ.get("MSDM_DATASETS")
    if not root or not (Path(root) / "medvqa_gi" / "prompt-gt.csv").is_file():
        pytest.skip("MSDM_DATASETS does not point to the shared data sets")
    prompts = defaultdict(list)
    with (Path(root) / "medvqa_gi" / "prompt-gt.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter=";"):
            prompts[row["Filename"]].append(row["Prompt"])
            assert read_attributes(row["Prompt"]) != Attributes(), row["Prompt"]
    for image in prompts.values():
        targets = read_attributes(image).targets(closed_world=True)
        for name in ("procedure:colonoscopy", "finding", "instrument", "text", "box"):
            assert targets[name] is not None
