"""Contract: paraphrases say what the attributes hold, in correct English, and invent nothing."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data.attributes import Attributes, AttributeValueError, read_attributes
from data.domain import (
    ABSENT_NAMES,
    COLOURS,
    FINDINGS,
    INSTRUMENTS,
    LANDMARKS,
    PARIS_TYPES,
    POLYP_SIZES,
    PROCEDURES,
    SEVERAL,
)
from data.grid import CELLS
from data.paraphrase import (
    ALL_FACTS,
    canonical_prompt,
    choose_facts,
    correct_spelling,
    facts_of,
    paraphrase,
    say,
)
from data.prompt_builder import PROMPT_CHOICES, build_prompt


def _some(values: tuple[str, ...], most: int = 9) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=most, unique=True).map(tuple)


_COUNT = st.none() | st.integers(0, 12)
_FLAG = st.none() | st.booleans()
ATTRIBUTES = st.builds(
    Attributes,
    procedure=st.none() | st.sampled_from(PROCEDURES),
    findings=_some(FINDINGS),
    has_finding=st.booleans(),
    finding_count=_COUNT,
    polyp_count=_COUNT,
    instrument_count=_COUNT,
    several=_some(SEVERAL),
    finding_cells=_some(CELLS),
    colours=_some(COLOURS, 4),
    polyp_sizes=_some(POLYP_SIZES, 3),
    paris_types=_some(PARIS_TYPES, 3),
    instruments=_some(INSTRUMENTS),
    has_instrument=st.booleans(),
    instrument_cells=_some(CELLS),
    landmarks=_some(LANDMARKS),
    has_landmark=st.booleans(),
    landmark_cells=_some(CELLS),
    has_text=_FLAG,
    has_box=_FLAG,
    absent=_some(ABSENT_NAMES, 4),
).map(Attributes.resolved)
SEEDS = st.integers(0, 2**32)


@given(ATTRIBUTES, SEEDS)
@settings(max_examples=500, deadline=None)
def test_a_paraphrase_of_all_facts_reads_back_exactly(said: Attributes, seed: int) -> None:
    rng = random.Random(seed)
    prompt = paraphrase(said, rng, min_facts=ALL_FACTS)
    assert read_attributes(prompt).targets() == said.targets(), prompt
    assert read_attributes(prompt) == said, prompt


@given(ATTRIBUTES, SEEDS)
@settings(max_examples=500, deadline=None)
def test_a_paraphrase_says_the_chosen_facts_and_contradicts_nothing(
    said: Attributes, seed: int
) -> None:
    rng = random.Random(seed)
    chosen = choose_facts(said, rng)
    prompt = say(chosen, rng)
    read = read_attributes(prompt)
    assert read == chosen, prompt
    assume(not said.unusual())  # a z-line and a cecum imply procedures that exclude each other
    known = said.targets()
    for name, value in read.targets().items():
        assert value is None or known[name] in (None, value), (prompt, name)


@given(ATTRIBUTES)
@settings(max_examples=300, deadline=None)
def test_the_canonical_prompt_reads_back_exactly(said: Attributes) -> None:
    assert read_attributes(canonical_prompt(said)) == said


@given(ATTRIBUTES, SEEDS)
@settings(max_examples=200, deadline=None)
def test_paraphrases_have_no_broken_articles_or_spaces(said: Attributes, seed: int) -> None:
    prompt = paraphrase(said, random.Random(seed))
    assert not re.search(r"\ba [aeiou]|\ban [^aeiouAEIOU81]|  | [,.;]|\.\.|,,", prompt), prompt
    assert prompt == prompt.strip() != ""


def test_the_number_of_facts_stays_within_its_limits() -> None:
    said = read_attributes("colonoscopy, 1 polyp, lower left, Paris Is, no text, no instruments")
    rng = random.Random(1)
    total = len(facts_of(said))
    sizes = {len(facts_of(choose_facts(said, rng, min_facts=2, max_facts=3))) for _ in range(300)}
    assert total >= 6
    assert max(sizes) <= 4  # a number of polyps names the polyp as well
    assert min(sizes) >= 2


def test_the_same_seed_gives_the_same_prompt_and_seeds_vary_it() -> None:
    said = read_attributes("colonoscopy, 1 polyp, lower left, Paris Is, no text, no instruments")
    assert paraphrase(said, random.Random(7)) == paraphrase(said, random.Random(7))
    assert len({paraphrase(said, random.Random(seed)) for seed in range(200)}) > 150


def test_nothing_known_still_gives_a_prompt() -> None:
    for seed in range(20):
        prompt = paraphrase(Attributes(), random.Random(seed))
        assert prompt
        assert read_attributes(prompt) == Attributes()


def test_nine_cells_may_be_said_as_the_whole_image() -> None:
    said = Attributes(findings=("ulcerative colitis",), finding_cells=CELLS)
    prompts = {paraphrase(said, random.Random(s), min_facts=ALL_FACTS) for s in range(100)}
    assert any("throughout the image" in prompt for prompt in prompts)


def test_both_spellings_occur() -> None:
    said = Attributes(findings=("oesophagitis",))
    prompts = " ".join(paraphrase(said, random.Random(seed)) for seed in range(40))
    assert re.search(r"(?<!o)esophagitis", prompts)
    assert "oesophagitis" in prompts


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (
            "Generate an image with an an abnormality located in the lower-rigth.",
            "Generate an image with an abnormality located in the lower-right.",
        ),
        (
            "Generate an image containing polyp snareandtube.",
            "Generate an image containing a polyp snare and a tube.",
        ),
        (
            "Generate an image containing a polypandoesophagitis.",
            "Generate an image containing a polyp and oesophagitis.",
        ),
        ("Generate a polyp of type paris is.", "Generate a polyp of type Paris Is."),
        (
            "Generate an image with polyps of size < 5mm and 5-10mm.",
            "Generate an image with polyps of size <5 mm and 5-10 mm.",
        ),
        (
            "Generate an image with an abnormality with the color pink/red.",
            "Generate an image with an abnormality with the colors pink and red.",
        ),
        ("A polyp in the lower right.", "A polyp in the lower right."),
    ],
)
def test_slips_are_corrected_and_the_meaning_stays(prompt: str, expected: str) -> None:
    assert correct_spelling(prompt) == expected
    assert read_attributes(expected) == read_attributes(prompt)


def test_a_built_prompt_says_the_choices() -> None:
    prompt = build_prompt(
        procedure="colonoscopy",
        findings=["polyp"],
        paris_types="Is",
        finding_cells=["lower-right"],
        has_text=False,
        instruments=[],
        has_box=None,
    )
    assert read_attributes(prompt) == Attributes(
        procedure="colonoscopy",
        findings=("polyp",),
        paris_types=("Is",),
        finding_cells=("lower-right",),
        has_text=False,
    )


def test_every_choice_on_offer_can_be_built_and_read_back() -> None:
    for field, values in PROMPT_CHOICES.items():
        for value in values:
            read = getattr(read_attributes(build_prompt(**{field: value})), field)
            assert read == value or read == (value,)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"findings": ["polyp"], "finding_count": 0}, "exclude each other"),
        ({"findings": ["ulcer"]}, "findings cannot be 'ulcer'"),
        ({"weather": "fine"}, "unknown prompt field 'weather'"),
        ({"has_text": 1}, "has_text cannot be 1"),
    ],
)
def test_impossible_choices_are_refused(choices: dict[str, object], message: str) -> None:
    with pytest.raises(AttributeValueError, match=message):
        build_prompt(**choices)
