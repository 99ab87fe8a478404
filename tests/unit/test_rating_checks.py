"""Contract: before a study opens all that keeps it from it is told at once, each with what to do;
what a reviewer will ask about is a warning; a faultless draft has neither; a pilot may more.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from rating.errors import NotReadyError
from rating.storage.database import Database, sqlite_url
from rating.study.checks import Problem
from rating.study.harmonisation import Harmonisation
from rating.study.offered import OfferedImage
from rating.study.protocol import PREFERENCE_QUESTIONS, Consent, Protocol
from rating.study.studies import Studies
from tests.rating_study import ARMS, draw, offered, plan, study_images

SETTINGS = Harmonisation(size_px=60)
CONSENT = Consent(ethics_approval="EK 12/2025", contact="trial office")
PROTOCOL = Protocol(plan=plan(), washout_items=4, consent=CONSENT)


@pytest.fixture
def studies(tmp_path: Path):
    database = Database.open(sqlite_url(tmp_path))
    yield Studies(database)
    database.close()


def drafted(
    studies: Studies,
    images: Sequence[OfferedImage],
    protocol: Protocol = PROTOCOL,
    *,
    kind: str = "main",
    settings: Harmonisation = SETTINGS,
    is_attested: bool = True,
) -> str:
    code = studies.create("T", kind=kind, protocol=protocol)
    if images:
        studies.add_images(code, images, settings)
    if is_attested:
        studies.attest_identifiers(code, "A. Tester")
    return code


def found(studies: Studies, images: Sequence[OfferedImage], *rest, **named) -> dict[str, Problem]:
    problems = studies.problems(drafted(studies, images, *rest, **named))
    stops_first = [problem.is_warning for problem in problems]
    assert stops_first == sorted(stops_first)
    for problem in problems:
        assert problem.message.endswith((".", "?", ")"))
    return {problem.code: problem for problem in problems}


def stops(problems: dict[str, Problem]) -> set[str]:
    return {code for code, problem in problems.items() if not problem.is_warning}


def picture_of(seed: int, size: tuple[int, int], **named) -> OfferedImage:
    return dataclasses.replace(
        offered(seed, **named), read=lambda: draw(seed).resize(size, Image.Resampling.BICUBIC)
    )


def test_a_faultless_draft_has_no_problem_and_opens(studies: Studies):
    code = drafted(studies, study_images())
    assert studies.problems(code) == []
    studies.open(code)


def test_everything_is_told_at_once_and_nothing_opens(studies: Studies):
    images = [
        offered(1, ARMS[0], "x"), offered(2, ARMS[1], "y"), offered(3, ARMS[0], ""),
        offered(1, ARMS[1], "x"), offered(1, "", "z", role="practice"),
        offered(9, "", "z", role="check", expected={"origin": [9]}),
    ]  # fmt: skip
    protocol = dataclasses.replace(PROTOCOL, plan=None)
    problems = found(studies, images, protocol, is_attested=False)
    assert stops(problems) == {
        "prompt_missing", "prompt_empty", "practice_not_outside", "check_expected", "plan_missing",
        "identifiers_not_attested",
    }  # fmt: skip
    code = drafted(studies, images, protocol, is_attested=False)
    with pytest.raises(NotReadyError) as caught:
        studies.open(code)
    for code in stops(problems):
        assert problems[code].message in str(caught.value)


def test_a_draft_without_images_is_told_what_to_add(studies: Studies):
    problems = found(studies, [], is_attested=False)
    assert "add those of at least two arms" in problems["no_images"].message
    assert "identifiers_not_attested" not in problems
    assert "design" not in problems


def test_every_prompt_is_needed_in_every_synthetic_arm(studies: Studies):
    images = study_images(3, 4, 2)
    left = [image for image in images if (image.arm, image.prompt) != (ARMS[1], images[0].prompt)]
    problem = found(studies, left)["prompt_missing"]
    assert (problem.is_warning, problem.where.startswith("prompt p-")) == (False, True)
    assert f"no image of {ARMS[1]} for {images[0].prompt!r}" in problem.message


def test_real_images_have_prompts_of_their_own(studies: Studies):
    problems = found(studies, study_images(2, 8, 5))
    assert problems == {}


def test_one_arm_is_none_but_a_pilot_may_have_it(studies: Studies):
    images = study_images(1, 16, 0)
    assert "too_few_arms" in stops(found(studies, images))
    problems = found(studies, images, dataclasses.replace(PROTOCOL, plan=None), kind="pilot")
    assert problems["too_few_arms"].is_warning
    assert stops(problems) == set()


def test_a_pilot_needs_no_plan_and_may_lack_prompts(studies: Studies):
    images = study_images(2, 12, 4)[1:]
    protocol = Protocol(washout_items=4)
    problems = found(studies, images, protocol, kind="pilot")
    assert stops(problems) == set()
    assert problems["prompt_missing"].is_warning
    assert {"plan_missing", "prompt_missing"} <= stops(found(studies, images, protocol))


def test_arms_must_have_equally_many_images_of_a_prompt(studies: Studies):
    images = study_images(2, 6, 3)
    extra = offered(999, ARMS[0], images[0].prompt)
    problem = found(studies, [*images, extra])["prompt_uneven"]
    assert f"2 of {ARMS[1]}" not in problem.message
    assert f"2 of {ARMS[0]}, 1 of {ARMS[1]}" in problem.message.replace(
        f"1 of {ARMS[1]}, 2 of {ARMS[0]}", f"2 of {ARMS[0]}, 1 of {ARMS[1]}"
    )
    both = [*images, extra, offered(998, ARMS[1], images[0].prompt)]
    problems = found(studies, both)
    assert problems["prompt_replicated"].is_warning
    assert "prompt_uneven" not in problems


def test_side_by_side_takes_one_image_of_each_model(studies: Studies):
    protocol = dataclasses.replace(
        Protocol.of("side_by_side"), plan=plan("preference"), washout_items=2, consent=CONSENT,
        practice_items=0,
    )  # fmt: skip
    assert protocol.questions == PREFERENCE_QUESTIONS
    images = study_images(3, 6, 0, 0)
    assert found(studies, images, protocol) == {}
    more = [*images, *(offered(900 + n, ARMS[n], images[0].prompt) for n in range(3))]
    assert "one of each are needed" in found(studies, more, protocol)["prompt_uneven"].message
    one = [image for image in images if image.arm == ARMS[0]]
    for kind in ("main", "pilot"):
        assert "too_few_arms" in stops(found(studies, one, protocol, kind=kind))
    pilot = found(studies, images[1:], dataclasses.replace(protocol, plan=None), kind="pilot")
    assert "prompt_missing" in stops(pilot)


def test_the_same_text_under_two_ids_is_told(studies: Studies):
    images = study_images(2, 4, 2)
    other = [
        dataclasses.replace(image, prompt_id="P1", prompt=f"  {image.prompt.upper()}")
        if image.arm == ARMS[1] and image.prompt == images[0].prompt
        else image
        for image in images
    ]
    problems = found(studies, other)
    assert "stands under 2 prompt ids" in problems["prompt_twice"].message
    assert "P1" in problems["prompt_twice"].message


def test_sizes_that_differ_are_told(studies: Studies):
    images = study_images(2, 4, 2)
    wide = picture_of(77, (120, 60), arm="real", prompt="wide", is_real=True)
    settings = Harmonisation(crop="none", size_px=60)
    problem = found(studies, [*images, wide], settings=settings)["sizes_differ"]
    assert "60 x 30 px: 1" in problem.message
    assert "real: real-77.png" in problem.message


def swap_mode(studies: Studies, code: str) -> None:
    """Makes one stored picture grey, as no harmonisation would."""
    from sqlalchemy import update

    from rating.storage.models import Stimulus

    with studies._database.write() as session:
        first = studies.stimuli(code)[0].id
        session.execute(update(Stimulus).where(Stimulus.id == first).values(colour_mode="L"))


def test_colour_modes_that_differ_are_told(studies: Studies):
    code = drafted(studies, study_images())
    swap_mode(studies, code)
    assert [problem.code for problem in studies.problems(code)] == ["colour_modes_differ"]


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        (lambda: offered(1000, ARMS[0], "another prompt"), "duplicate"),
        (lambda: offered(1000, "real", "real prompt", is_real=True), "duplicate_across_arms"),
        (lambda: offered(1000, "", "p", role="practice"), "practice_not_outside"),
        (lambda: offered(1000, "", "p", role="check", expected={"origin": [1]}),
         "check_not_outside"),
    ],
)  # fmt: skip
def test_the_same_pixels_twice_are_told_with_both_names(
    studies: Studies, extra: Callable[[], OfferedImage], code: str
):
    problem = found(studies, [*study_images(2, 6, 3), extra()])[code]
    assert not problem.is_warning
    assert f"{ARMS[0]}-1000.png" in problem.message
    assert "Remove all but one" in problem.message


def test_practice_images_are_counted_and_should_have_other_prompts(studies: Studies):
    images = study_images(2, 6, 3, 0)
    shared = offered(5, "", images[0].prompt, role="practice")
    problems = found(studies, [*images, shared])
    assert problems["practice_prompt_shared"].is_warning
    assert "there are 1 practice images" in problems["practice_few"].message
    assert stops(problems) == set()


def test_a_design_that_cannot_be_is_told_by_the_design(studies: Studies):
    protocol = dataclasses.replace(PROTOCOL, washout_items=100)
    problem = found(studies, study_images(), protocol)["design"]
    assert "washout_items is 100" in problem.message
    checks = dataclasses.replace(PROTOCOL, check_items=2)
    assert "check_items is 2" in found(studies, study_images(), checks)["design"].message


def test_a_check_says_answers_that_can_be_given(studies: Studies):
    def check(expected: dict | None) -> OfferedImage:
        return offered(5, "", "grey", role="check", expected=expected)

    images = study_images()
    assert found(studies, [*images, check({"origin": [5, 6], "realism": [1]})]) == {}
    for expected, told in (
        ({"origin": [7]}, "expects origin=7"),
        ({"beauty": [1]}, "expects beauty=1"),
        (None, "says no expected answers"),
    ):
        problem = found(studies, [*images, check(expected)])["check_expected"]
        assert told in problem.message
        assert "origin 1 to 6" in problem.message


def test_the_plan_must_name_arms_and_questions_that_are_there(studies: Studies):
    wrong = dataclasses.replace(plan(), reference_arm="gone")
    problems = found(studies, study_images(), dataclasses.replace(PROTOCOL, plan=wrong))
    assert "no arm has the code 'gone'" in problems["plan"].message
    assert stops(problems) == {"plan"}


def test_attestation_ends_with_new_images(studies: Studies):
    code = drafted(studies, study_images())
    studies.add_images(code, [offered(4242, "real", "new", is_real=True)], SETTINGS)
    assert [problem.code for problem in studies.problems(code)] == ["identifiers_not_attested"]


def test_what_raters_will_look_for_on_the_consent_page_is_a_warning(studies: Studies):
    problems = found(studies, study_images(), dataclasses.replace(PROTOCOL, consent=Consent()))
    assert stops(problems) == set()
    assert "no ethics approval number and no contact" in problems["consent_incomplete"].message


# Warnings about what images there are


def changed(images: Sequence[OfferedImage], arm: str, **values) -> list[OfferedImage]:
    return [
        dataclasses.replace(image, **values) if image.arm == arm else image for image in images
    ]


def test_hand_picking_is_a_warning_and_not_a_stop(studies: Studies):
    images = changed(study_images(), ARMS[1], selection_rule="hand_picked", candidate_count=8)
    problems = found(studies, images)
    assert stops(problems) == set()
    assert f"6 images of {ARMS[1]} are chosen by eye" in problems["hand_picked"].message
    assert f"{ARMS[1]}: hand_picked of 8" in problems["selection_differs"].message


def test_selection_that_is_not_said_is_a_warning(studies: Studies):
    problems = found(studies, changed(study_images(), "real", selection_rule="unstated"))
    assert set(problems) == {"selection_unstated"}


def test_missing_controls_are_a_warning(studies: Studies):
    problems = found(studies, study_images(reals=0))
    assert set(problems) == {"no_real_images"}


def test_real_images_that_models_were_trained_on_are_a_warning(studies: Studies):
    images = changed(study_images(), "real", provenance={"split": "train"})
    problems = found(studies, images)
    assert set(problems) == {"real_from_training"}
    assert "6 real images" in problems["real_from_training"].message


def test_what_resizing_does_unequally_is_a_warning_with_a_better_size(studies: Studies):
    images = study_images(2, 6, 3)
    kept = found(studies, images, settings=Harmonisation(size_px=64))
    assert set(kept) == {"native_size_kept"}
    assert "a size_px of 60 suits all of them" in kept["native_size_kept"].message
    enlarged = found(studies, images, settings=Harmonisation(size_px=100))
    assert set(enlarged) == {"enlarged"}
    much = found(studies, images, settings=Harmonisation(size_px=32))
    assert set(much) == {"shrunk_much"}


def test_models_that_draw_at_other_sizes_are_a_warning(studies: Studies):
    images = [
        dataclasses.replace(image, read=lambda read=image.read: read().resize((128, 128)))
        if image.arm == ARMS[1]
        else image
        for image in study_images(2, 6, 3)
    ]
    problems = found(studies, images)
    assert set(problems) == {"scales_differ"}
    assert f"{ARMS[1]} 0.47, {ARMS[0]} 0.94" in problems["scales_differ"].message


def test_practice_pictures_are_harmonised_alike(studies: Studies):
    code = drafted(studies, study_images())
    assert {view.width_px for view in studies.stimuli(code)} == {60}
