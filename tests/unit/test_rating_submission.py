"""Contract: whatever a browser sends is either a submission within its limits or an AnswerError."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating.errors import AnswerError
from rating.study.submission import MOST_REMARK_CHARACTERS, MOST_VISIBLE_MS, read_submission

GOOD: dict[str, Any] = {
    "item": "a" * 32, "step": 1, "key": "0a0a0a0a-0a0a-4a0a-8a0a-0a0a0a0a0a0a",
    "answers": {"origin": 5}, "cannot_judge": ["realism"], "is_seen_before": True,
    "tags": [{"slot": 0, "tag": "anatomy"}], "marks": [{"slot": 0, "x": 0, "y": 1.0, "tag": None}],
    "remark": "a fold", "visible_ms": 12.7, "viewport": [390, 844], "device_pixel_ratio": 3,
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=5)
    | st.dictionaries(st.text(max_size=12) | st.sampled_from(sorted(GOOD)), inner, max_size=6),
    max_leaves=20,
)


def test_a_whole_submission_is_read() -> None:
    sent = read_submission(GOOD)
    assert sent.answers == {"origin": 5} and sent.cannot_judge == {"realism"}
    assert sent.marks[0].y == 1.0 and sent.tags[0].tag == "anatomy"
    assert (sent.visible_ms, sent.viewport_width_px, sent.device_pixel_ratio) == (12, 390, 3)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_anything_at_all_is_read_or_refused(values: Any) -> None:
    try:
        sent = read_submission(values)
    except AnswerError as error:
        assert error.fields
    else:
        assert sent.item and sent.key


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(GOOD)), JSON)
def test_a_field_of_any_value_is_read_within_its_limits_or_named(name: str, value: Any) -> None:
    try:
        sent = read_submission({**GOOD, name: value})
    except AnswerError as error:
        assert error.fields
    else:
        assert 0 <= sent.visible_ms <= MOST_VISIBLE_MS
        assert len(sent.remark) <= MOST_REMARK_CHARACTERS and "\0" not in sent.remark
        assert all(0 <= mark.x <= 1 and 0 <= mark.y <= 1 for mark in sent.marks)
        assert all(type(number) is int for number in sent.answers.values())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"step": True}, "step"),
        ({"step": 0}, "step"),
        ({"key": "short"}, "key"),
        ({"item": None}, "item"),
        ({"answers": {"origin": 2.5}}, "origin"),
        ({"answers": {"origin": True}}, "origin"),
        ({"answers": {"origin": 1}, "cannot_judge": ["origin"]}, "origin"),
        ({"marks": [{"slot": 0, "x": 1.01, "y": 0}]}, "marks"),
        ({"marks": [{"slot": 0, "x": float("nan"), "y": 0}]}, "marks"),
        ({"marks": [{"slot": 0, "x": 0, "y": 0}] * 21}, "marks"),
        ({"remark": "x" * (MOST_REMARK_CHARACTERS + 1)}, "remark"),
        ({"remark": "a\0b"}, "remark"),
        ({"marks": [{"slot": 0, "x": 10**400, "y": 0}]}, "marks"),
        ({"viewport": [10**400, 800]}, "viewport"),
        ({"visible_ms": -1}, "visible_ms"),
        ({"visible_ms": -(10**400)}, "visible_ms"),
        ({"viewport": [0, 10]}, "viewport"),
        ({"device_pixel_ratio": "2"}, "device_pixel_ratio"),
        ({"arm": "real"}, "arm"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(AnswerError) as refused:
        read_submission({**GOOD, **changes})
    assert field in refused.value.fields


def test_a_page_left_open_over_a_weekend_is_no_mistake() -> None:
    for visible_ms in (10**12, 10**400, 1e300):
        sent = read_submission({**GOOD, "visible_ms": visible_ms})
        assert sent.visible_ms == MOST_VISIBLE_MS


def test_a_name_that_cannot_be_sent_back_is_told_in_signs_that_can() -> None:
    with pytest.raises(AnswerError) as refused:
        read_submission({**GOOD, "\ud800": 1})
    assert json.dumps(refused.value.fields, ensure_ascii=False).encode("utf-8")


def test_control_characters_are_taken_out_of_a_remark_and_line_breaks_stay() -> None:
    sent = read_submission({**GOOD, "remark": " a\x1b\x07\r\nb\ud800\u200d "})
    assert sent.remark == "a\nb\u200d"
