"""Contract: find_terms marks the words a model knows and those without effect, at their places."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from data.attributes import read_attributes
from data.concepts import CONCEPTS
from data.domain import TARGET_NAMES
from data.lexer import read_items
from data.prompt_builder import example_prompts
from data.vocabulary import find_terms, wordings


def test_known_and_ignored_words_are_told_apart() -> None:
    report = find_terms("Generate an image of a fluffy sessile polyp in the lower right")
    assert [(term.text, term.concept) for term in report.known] == [
        ("sessile", "paris:Is"),
        ("polyp", "finding:polyp"),
        ("lower right", "cell:lower-right"),
    ]
    assert [span.text for span in report.ignored] == ["fluffy"]


def test_the_longest_term_wins_and_glued_terms_come_apart() -> None:
    report = find_terms("polyp snareandtube")
    assert [(term.text, term.concept) for term in report.known] == [
        ("polyp snare", "instrument:polyp snare"),
        ("tube", "instrument:tube"),
    ]
    assert report.ignored == ()


def test_a_model_may_know_fewer_concepts() -> None:
    report = find_terms("polyp with text in the center", concepts=["finding:polyp"])
    assert [term.text for term in report.known] == ["polyp"]
    assert [span.text for span in report.ignored] == ["text", "center"]
    with_cells = find_terms("polyp in the center", concepts=["finding cell:center"])
    assert [term.text for term in with_cells.known] == ["center"]


def test_a_readable_but_untrained_paris_class_is_ignored() -> None:
    assert [span.text for span in find_terms("Paris Isp polyp").ignored] == ["Paris Isp"]


def test_negations_and_numbers_are_neither_known_nor_ignored() -> None:
    report = find_terms("no instruments, two polyps")
    assert [term.text for term in report.known] == ["instruments", "polyps"]
    assert report.ignored == ()


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_spans_lie_in_order_inside_any_prompt(prompt: str) -> None:
    report = find_terms(prompt)
    for spans in (report.known, report.ignored):
        for span in spans:
            assert prompt[span.start : span.end] == span.text != ""
        starts = [span.start for span in spans]
        assert starts == sorted(starts)


def test_every_wording_in_the_table_is_read_as_its_concept() -> None:
    for concept, table_wordings in CONCEPTS.items():
        for wording in table_wordings:
            items = [item for item in read_items(wording) if item.kind == "concept"]
            assert [item.concepts[0] for item in items] == [concept], wording
        assert wordings(concept) == table_wordings


def test_every_target_with_a_name_of_its_own_has_wordings() -> None:
    measured = ("size", "paris", "finding count", "polyp count", "instrument count")
    for name in TARGET_NAMES:
        if " cell:" not in name and not name.startswith(measured):
            assert wordings(name), name


def test_the_example_prompts_hold_known_words_only() -> None:
    prompts = example_prompts()
    assert len(prompts) >= 12
    for prompt in prompts:
        assert find_terms(prompt).ignored == ()
        assert read_attributes(prompt).to_dict()
