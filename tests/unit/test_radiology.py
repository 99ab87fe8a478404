"""Contract: radiology captions are read into what they state plainly, said again in other words
without a fact more, and their terms are told from words that no model knows.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.domains import RADIOLOGY, get_domain
from data.errors import DataValueError
from data.facts import AttributeValueError
from data.prompt_builder import example_prompts
from data.radiology.facts import (
    AGE_GROUPS,
    FINDINGS,
    IMPLIED,
    MODALITIES,
    PLANES,
    REGIONS,
    SEXES,
    SIDES,
    TARGET_NAMES,
    VIEWS,
    RadiologyFacts,
    age_group,
)
from data.radiology.lexer import read_items
from data.radiology.reading import find_terms, read_facts
from data.radiology.terms import COMPOUNDS, CONCEPTS
from data.radiology.wording import canonical_prompt, choose_facts, say, short_form
from data.trained_terms import count_terms, read_trained_terms, trained_domain, write_trained_terms

CHEST = {"modalities": ("X-ray",), "regions": ("chest",)}
BREAST = {"modalities": ("ultrasound",), "regions": ("breast",)}


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        (
            "Posteroanterior chest radiograph of a 52-year-old man showing no finding.",
            {**CHEST, "views": ("posteroanterior",), "is_normal": True}
            | {"sex": "male", "age_years": 52},
        ),
        (
            "Anteroposterior chest radiograph of a 42-year-old woman showing edema, effusion, "
            "infiltration and pneumonia.",
            {**CHEST, "views": ("anteroposterior",), "sex": "female", "age_years": 42}
            | {"findings": ("pneumonia", "effusion", "infiltration", "oedema")},
        ),
        ("Breast ultrasound image showing a benign mass.", {**BREAST}
         | {"findings": ("benign mass",)}),
        ("Breast ultrasound image showing normal breast tissue.", {**BREAST, "is_normal": True}),
        ("Scan of the head.", {"regions": ("head",)}),
        (
            "Axial MRI of the head.",
            {"modalities": ("MRI",), "regions": ("head",), "planes": ("axial",)},
        ),
        (
            "Axial contrast-enhanced CT of the abdomen showing a cystic lesion in the right kidney "
            "(arrow), no lymphadenopathy or stone.",
            {"modalities": ("CT",), "regions": ("abdomen",), "planes": ("axial",)}
            | {"sides": ("right",), "has_contrast": True, "findings": ("cyst",)}
            | {"absent": ("stone", "lymphadenopathy")},
        ),
        (
            "Non-contrast CT brain with left-sided subdural haematoma",
            {"modalities": ("CT",), "regions": ("head",), "sides": ("left",)}
            | {"has_contrast": False, "findings": ("haemorrhage",)},
        ),
        ("FDG-PET/CT: metastases", {"modalities": ("CT", "PET"), "findings": ("metastasis",)}),
        ("CTA of the neck", {"modalities": ("CT", "angiography"), "regions": ("neck",)}),
        (
            "T2-weighted sagittal MRI of the lumbar spine",
            {"modalities": ("MRI",), "planes": ("sagittal",), "regions": ("spine",)},
        ),
        ("Mammogram, microcalcifications", {"modalities": ("mammography",), "regions": ("breast",)}
         | {"findings": ("calcification",)}),
        ("Echocardiogram of the left ventricle", {"modalities": ("ultrasound",)}
         | {"regions": ("heart",)}),
        ("chest X-ray, pneumonia", {**CHEST, "findings": ("pneumonia",)}),
        ("CXR, lateral view", {"modalities": ("X-ray",), "views": ("lateral",)}),
        ("Lateral chest radiograph", {**CHEST, "views": ("lateral",)}),
        ("Bilateral pleural effusions on chest radiograph", {**CHEST, "sides": ("bilateral",)}
         | {"findings": ("effusion",)}),
        ("normal chest x-ray", {**CHEST, "is_normal": True}),
        ("chest x-ray, normal", {**CHEST, "is_normal": True}),
    ],
)  # fmt: skip
def test_a_caption_states_what_a_person_reads_in_it(caption: str, expected: dict[str, Any]) -> None:
    assert read_facts(caption) == RadiologyFacts(**expected)


@pytest.mark.parametrize(
    ("caption", "present", "absent"),
    [
        ("No pneumothorax or effusion.", (), ("effusion", "pneumothorax")),
        ("no effusion, nodule or mass, fracture of the rib", ("fracture",),
         ("effusion", "nodule", "mass")),
        ("Without evidence of fracture. Nodule.", ("nodule",), ("fracture",)),
        ("Fracture is not seen, but there is a cyst", ("cyst",), ("fracture",)),
        ("Opacity suspicious for carcinoma", (), ()),
        ("Possible pneumonia, effusion", ("effusion",), ()),
        ("CT after resection of a mass", (), ()),
        ("History of metastases; new nodule", ("nodule",), ()),
        ("mass effect", (), ()),
        ("a malignant mass", ("malignant mass",), ()),
        ("no mass, a benign mass", ("benign mass",), ()),
    ],
)  # fmt: skip
def test_what_is_denied_guessed_or_past_is_not_in_the_picture(
    caption: str, present: tuple[str, ...], absent: tuple[str, ...]
) -> None:
    facts = read_facts(caption)
    assert (facts.findings, facts.absent) == (present, absent)


@pytest.mark.parametrize(
    "caption", ["The heart size is normal.", "normal heart size", "not normal", "normal liver"]
)
def test_a_normal_part_is_no_normal_image(caption: str) -> None:
    assert not read_facts(caption).is_normal


def test_an_abbreviation_counts_in_capitals_where_it_is_another_word() -> None:
    assert read_facts("show us a breast").modalities == ()
    assert read_facts("US of the breast").modalities == ("ultrasound",)


def test_captions_of_one_image_are_read_together_and_what_is_there_wins() -> None:
    facts = read_facts(["Chest radiograph, no nodule.", "A nodule in a 50-year-old man."])
    assert facts == RadiologyFacts(**CHEST, findings=("nodule",), sex="male", age_years=50)


def test_every_wording_is_read_as_its_concept() -> None:
    for concept, wordings in CONCEPTS.items():
        for wording in wordings:
            items = [item for item in read_items(wording) if item.kind == "concept"]
            assert [concept] == [name for item in items for name in item.concepts], wording
    for wording, concepts in COMPOUNDS.items():
        [item] = read_items(wording)
        assert item.concepts == concepts, wording


def test_known_and_ignored_words_are_told_apart() -> None:
    report = find_terms("Fluffy AP chest X-ray of a 30-year-old man, no pneumonia")
    assert [(term.text, term.concept) for term in report.known] == [
        ("AP", "view:anteroposterior"),
        ("chest", "region:chest"),
        ("X-ray", "modality:X-ray"),
        ("30-year-old", "age:18-39"),
        ("man", "sex:male"),
        ("pneumonia", "finding:pneumonia"),
    ]
    assert [span.text for span in report.ignored] == ["Fluffy"]


def test_a_concept_that_no_training_image_stated_is_ignored(tmp_path: Path) -> None:
    counts = count_terms([read_facts("Chest X-ray, pneumonia")], RADIOLOGY)
    write_trained_terms(tmp_path, counts, RADIOLOGY)
    assert (read_trained_terms(tmp_path), trained_domain(tmp_path)) == (counts, "radiology")
    trained = [name for name, images in counts.items() if images]
    report = find_terms("chest X-ray, pneumonia, nodule, polyp", trained)
    assert [term.text for term in report.known] == ["chest", "X-ray", "pneumonia"]
    assert [span.text for span in report.ignored] == ["nodule", "polyp"]


def subsets(values: tuple[str, ...], most: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=most, unique=True).map(tuple)


FACTS = st.builds(
    RadiologyFacts,
    modalities=subsets(MODALITIES, 2),
    regions=subsets(REGIONS, 3),
    views=subsets(VIEWS, 2),
    planes=subsets(PLANES, 2),
    sides=subsets(SIDES, 1),
    has_contrast=st.sampled_from((None, True, False)),
    findings=subsets(FINDINGS, 4),
    is_normal=st.booleans(),
    sex=st.sampled_from((None, *SEXES)),
    age_years=st.none() | st.integers(1, 100),
)


@given(FACTS, st.integers(0, 9999))
def test_what_is_said_is_read_back_as_the_same_facts(facts: RadiologyFacts, seed: int) -> None:
    assert read_facts(canonical_prompt(facts)) == facts
    assert read_facts(say(facts, random.Random(seed))) == facts


@given(FACTS, subsets(FINDINGS, 2), st.integers(0, 9999))
def test_a_short_form_adds_no_fact(
    facts: RadiologyFacts, absent: tuple[str, ...], seed: int
) -> None:
    if facts.is_normal:
        absent = ()
    facts = RadiologyFacts(
        **{name: getattr(facts, name) for name in facts.__slots__ if name != "absent"},
        absent=tuple(set(absent) - {IMPLIED.get(name, name) for name in facts.findings}),
    )
    known = facts.targets()
    for name, value in read_facts(short_form(facts, random.Random(seed))).targets().items():
        assert value is None or value == known[name], name


@given(st.text(max_size=200))
def test_any_text_is_read_and_spans_lie_in_order_inside_it(text: str) -> None:
    read_facts(text)
    report = find_terms(text)
    for spans in (report.known, report.ignored):
        for span in spans:
            assert text[span.start : span.end] == span.text != ""
        assert [s.start for s in spans] == sorted(s.start for s in spans)


def test_a_side_is_left_out_of_a_short_form_where_it_could_move() -> None:
    facts = read_facts("Chest X-ray: right effusion, nodule")
    assert facts.sides == ("right",)
    assert all(not choose_facts(facts, random.Random(seed)).sides for seed in range(50))
    alone = read_facts("Chest X-ray: right effusion")
    assert any(choose_facts(alone, random.Random(seed)).sides for seed in range(50))


def test_time_is_linear_in_the_length_of_a_text() -> None:
    started_s = time.monotonic()
    read_facts("no effusion, nodule, " * 20_000)
    assert time.monotonic() - started_s < 20


def test_targets_follow_from_the_words_alone() -> None:
    targets = read_facts("Breast ultrasound, benign mass, no calcification").targets()
    assert set(targets) == set(TARGET_NAMES)
    assert targets["finding:mass"] and targets["finding:benign mass"]
    assert targets["finding:calcification"] is targets["modality:CT"] is False
    assert targets["finding:cyst"] is targets["view:lateral"] is None
    assert read_facts("chest X-ray, normal").targets()["finding:mass"] is False
    assert [age_group(years) for years in (17, 18, 64, 65)] == [*AGE_GROUPS][:2] + [*AGE_GROUPS][2:]


def test_values_outside_the_vocabulary_are_refused() -> None:
    with pytest.raises(AttributeValueError, match="polyp"):
        RadiologyFacts(findings=("polyp",))
    with pytest.raises(AttributeValueError, match="151"):
        RadiologyFacts(age_years=151)


def test_a_prompt_is_built_of_choices() -> None:
    prompt = RADIOLOGY.build_prompt(
        modalities=["X-ray"], regions="chest", views=[], findings=["pneumonia"], sex="female",
        age_years=60, is_normal="", has_contrast=None,
    )  # fmt: skip
    assert prompt == "Chest radiograph of a 60-year-old woman showing pneumonia."


@pytest.mark.parametrize(
    ("choices", "what"),
    [
        ({"colour": "red"}, "colour"),
        ({"regions": ["colon"]}, "colon"),
        ({"sex": True}, "True"),
        ({"is_normal": True, "findings": ["mass"]}, "exclude"),
        ({"absent": ["mass"], "findings": ["mass"]}, "exclude"),
    ],
)
def test_choices_that_cannot_be_said_are_refused(choices: dict[str, Any], what: str) -> None:
    with pytest.raises(AttributeValueError, match=what):
        RADIOLOGY.build_prompt(**choices)


def test_every_field_of_the_builder_says_each_of_its_values() -> None:
    for field in RADIOLOGY.fields:
        for value in field.values:
            prompt = RADIOLOGY.build_prompt(**{field.name: value})
            said = getattr(read_facts(prompt), field.name)
            assert said == ((value,) if field.is_list else value), prompt


def test_the_example_prompts_hold_known_words_only() -> None:
    prompts = example_prompts(RADIOLOGY.examples)
    assert len(prompts) >= 12
    for prompt in prompts:
        assert find_terms(prompt).ignored == ()
        assert read_facts(prompt).to_dict()


def test_an_unknown_domain_is_refused_by_name() -> None:
    with pytest.raises(DataValueError, match="dermatology"):
        get_domain("dermatology")


def test_the_real_captions_are_read_without_a_word_left_over(shared_datasets: Path) -> None:
    from data.folders import read_folder

    for record in read_folder(shared_datasets / "rocov2_style"):
        [caption] = record.captions
        assert find_terms(caption).ignored == ()
        assert read_facts(caption) != RadiologyFacts()
        assert read_facts(canonical_prompt(read_facts(caption))) == read_facts(caption)
