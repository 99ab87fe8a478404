"""Contract: a protocol is read from plain values or TOML with everything wrong told at once, comes
back unchanged, has one hash, and its file explains every field.
"""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.errors import ProtocolError
from rating.study.protocol import (
    AnalysisPlan,
    Consent,
    Protocol,
    QuestionText,
    problems,
)
from rating.study.protocol_file import NOTES, from_toml, read_toml, to_toml, write_toml

EXAMPLE = Path(__file__).parents[2] / "docs" / "protocol-example.toml"
PLAN = AnalysisPlan(reference_arm="real", contrast_arms=("msdm",), equivalence_margin=0.5)
FULL = Protocol(
    items_per_rater=40,
    consent=Consent(text="Yes?", ethics_approval="REK 123", contact="study@example.org"),
    plan=PLAN,
)
PROTOCOLS = (Protocol(), Protocol.of("side_by_side"), FULL)


def faults_of(values: object) -> str:
    with pytest.raises(ProtocolError) as caught:
        Protocol.from_dict(values)
    return str(caught.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_protocol_comes_back_from_json_and_from_toml(protocol: Protocol):
    assert Protocol.from_dict(json.loads(protocol.canonical())) == protocol
    assert from_toml(to_toml(protocol)) == protocol
    assert from_toml(to_toml(protocol)).sha256() == protocol.sha256()


@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    label=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
)
def test_any_text_survives_the_file(text: str, label: str):
    protocol = dataclasses.replace(
        Protocol(), instructions=f"{text} word " * 9, specialties=(label, label + "2")
    )
    if problems(protocol):
        return
    assert from_toml(to_toml(protocol)) == protocol


def test_missing_fields_take_the_defaults_of_their_display():
    assert Protocol.from_dict({}) == Protocol()
    assert Protocol.from_dict({"display": "side_by_side"}) == Protocol.of("side_by_side")
    planned = Protocol.from_dict({"display": "side_by_side", "plan": {"reference_arm": "a"}})
    assert planned.plan is not None
    assert planned.plan.primary_question == "preference"


def test_every_fault_is_told_at_once():
    told = faults_of(
        {
            "colour": "red",
            "display": "triple",
            "items_per_rater": "all",
            "can_revise": 1,
            "repeat_share": float("nan"),
            "specialties": "Radiology",
            "questions": [{"code": "origin", "text": 3}, 7],
            "consent": {"text": "a\0b"},
            "plan": {"equivalence_margin": True, "cannot_judge": "maybe"},
        }
    )
    for part in (
        "colour: no such field", "display: 'triple' is not one of single, side_by_side",
        "items_per_rater: a whole number is needed, not 'all'", "can_revise: true or false",
        "repeat_share: a number", "specialties: a list", "questions[1].text: a text",
        "questions[1].labels: is missing", "questions[2]: a group",
        "consent.text: the text has a NUL",
        "plan.equivalence_margin: a number", "plan.cannot_judge: 'maybe' is not one of",
    ):  # fmt: skip
        assert part in told


@pytest.mark.parametrize("values", [None, [], "x", 3])
def test_what_is_no_group_of_fields_is_refused(values: object):
    assert "a group of fields is needed" in faults_of(values)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"items_per_rater": 0}, "items_per_rater: 0 is not from 1"),
        ({"repeat_share": 0.51}, "repeat_share: 0.51 is not from 0 to 0.5"),
        ({"washout_items": -1}, "washout_items: -1"),
        ({"check_items": 11}, "check_items: 11"),
        ({"smallest_display_px": 100}, "smallest_display_px: 100"),
        ({"planned_raters": 0}, "planned_raters: 0"),
        ({"instructions": " "}, "instructions: needs text"),
        ({"specialties": ()}, "specialties: raters need at least one"),
        ({"defect_tags": ("a", "a")}, "defect_tags: one is listed twice"),
        ({"questions": ()}, "at least one must be asked in step 1"),
        ({"questions": (QuestionText("1a", "?", ("x", "y")),)}, "the code needs"),
        ({"questions": (QuestionText("a", "?", ("x",)),)}, "needs 2 to 11 labels, has 1"),
        ({"questions": (QuestionText("a", "?", ("x", "")),)}, "every point needs a label"),
        ({"questions": (QuestionText("a", "?", ("x", "x")),)}, "two points have the same label"),
        ({"questions": (QuestionText("a", "?", ("x", "y"), step=3),)}, "the step is 3"),
        ({"questions": (QuestionText("a", "?", ("x", "y")),) * 2}, "the code 'a' is there twice"),
        ({"questions": (QuestionText("a", "?", (), kind="preference"),)}, "needs the display"),
        ({"display": "side_by_side"}, 'needs one of the kind "preference"'),
        ({"plan": AnalysisPlan(primary_question="beauty")}, "'beauty' is not asked"),
        ({"plan": AnalysisPlan(holm_family=())}, "plan.holm_family: name at least one"),
        ({"plan": AnalysisPlan(equivalence_margin=4.0)}, "not above 0 and below 4"),
        ({"plan": AnalysisPlan(estimand=" ")}, "plan.estimand: say it in words"),
        (
            {"plan": AnalysisPlan(reference_arm="a", contrast_arms=("a",))},
            "is the reference arm itself",
        ),
    ],
)
def test_what_cannot_be_carried_out_is_refused(change: dict[str, object], told: str):
    protocol = dataclasses.replace(Protocol(), **change)
    assert any(told in fault for fault in problems(protocol))
    assert told in faults_of(protocol.to_dict())


def test_a_plan_is_held_against_the_arms_that_are_there():
    assert problems(FULL, ["msdm", "real"]) == []
    assert "no arm has the code 'real'" in " ".join(problems(FULL, ["msdm", "flux"]))
    without = dataclasses.replace(Protocol(), plan=AnalysisPlan())
    assert problems(without) == []
    assert "name the arm to compare with" in problems(without, ["a", "b"])[0]


def test_the_hash_is_of_the_canonical_text_and_changes_with_any_field():
    seen = {Protocol().sha256()}
    for change in ({"washout_items": 9}, {"plan": PLAN}, {"planned_raters": 4}):
        seen.add(dataclasses.replace(Protocol(), **change).sha256())
    assert len(seen) == 4


def test_the_file_explains_every_field_and_the_commented_plan_can_be_used():
    names = {field.name for field in dataclasses.fields(Protocol)}
    for group, part in (("consent", Consent), ("questions", QuestionText), ("plan", AnalysisPlan)):
        names |= {f"{group}.{field.name}" for field in dataclasses.fields(part)}
    assert set(NOTES) == names
    text = to_toml(Protocol())
    before, plan = text.split("# [plan]")
    lines = (
        line.removeprefix("# ") for line in plan.split("\n") if " = " in line or "#     " in line
    )
    loaded = from_toml(before + "[plan]\n" + "\n".join(lines))
    assert loaded.plan == AnalysisPlan(reference_arm="real", equivalence_margin=0.5)


def test_the_documented_example_loads_and_has_a_plan():
    protocol = read_toml(EXAMPLE)
    assert protocol.plan is not None
    assert problems(protocol, ["real", "msdm-compact-gi", "flux-compact-gi"]) == []


def test_a_file_that_cannot_be_used_says_why(tmp_path: Path):
    path = tmp_path / "protocol.toml"
    with pytest.raises(ProtocolError, match="cannot be opened: No such file"):
        read_toml(path)
    path.write_bytes(b"planned_raters = \xff")
    with pytest.raises(ProtocolError, match="not UTF-8"):
        read_toml(path)
    path.write_text("planned_raters = = 3")
    with pytest.raises(ProtocolError, match=r"not TOML: .* line 1"):
        read_toml(path)
    path.write_text("planned_raters = 'x'\nwashout = 1")
    with pytest.raises(ProtocolError) as caught:
        read_toml(path)
    assert "planned_raters: a whole number" in str(caught.value)
    assert "washout: no such field" in str(caught.value)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path):
    path = tmp_path / "protocol.toml"
    path.write_text("planned_raters = 7", encoding="utf-8-sig")
    assert read_toml(path).planned_raters == 7


def test_a_file_is_never_overwritten(tmp_path: Path):
    path = tmp_path / "protocol.toml"
    write_toml(Protocol(), path)
    assert read_toml(path) == Protocol()
    with pytest.raises(ProtocolError, match="is there already"):
        write_toml(FULL, path)
    assert read_toml(path) == Protocol()
