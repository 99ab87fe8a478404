"""What is wrong with the images of a draft: pure functions of a list of pictures."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from rating.study.picture import Picture
from rating.study.problem import Problem, named
from rating.study.protocol import Protocol


def image_problems(
    pictures: Sequence[Picture], protocol: Protocol, is_pilot: bool
) -> Iterator[Problem]:
    """Yield everything wrong with the images of a draft, in the order in which to mend it."""
    main = [picture for picture in pictures if picture.role == "main"]
    synthetic = [picture for picture in main if not picture.is_real]
    if not main:
        yield Problem(
            "no_images",
            "there are no images to rate; add those of at least two arms.",
            "images",
        )
        return
    yield from _arm_problems(main, synthetic, protocol, is_pilot)
    yield from _prompt_set_problems(synthetic, protocol, is_pilot)
    yield from _prompt_text_problems(pictures)
    yield from _likeness_problems(pictures)
    yield from _duplicate_problems(pictures)
    yield from _outside_problems(pictures, protocol)
    yield from _expected_problems(pictures, protocol)


def _arm_problems(
    main: Sequence[Picture], synthetic: Sequence[Picture], protocol: Protocol, is_pilot: bool
) -> Iterator[Problem]:
    arms = sorted({picture.arm for picture in main})
    models = sorted({picture.arm for picture in synthetic})
    is_side_by_side = protocol.display == "side_by_side"
    if len(models if is_side_by_side else arms) < 2:
        there = models if is_side_by_side else arms
        kind = "models" if is_side_by_side else "arms"
        yield Problem(
            "too_few_arms",
            f"at least two {kind} are compared, here is {named(there) or 'none'}; add images of "
            "another one, made from the same prompts.",
            "arms",
            is_warning=is_pilot and not is_side_by_side,
        )
    if is_side_by_side and len(models) > 6:
        yield Problem(
            "too_many_arms",
            f"side by side compares at most 6 models, here are {len(models)}; remove some, or use "
            "the single display.",
            "arms",
        )


def _prompt_set_problems(
    synthetic: Sequence[Picture], protocol: Protocol, is_pilot: bool
) -> Iterator[Problem]:
    """Every prompt in every synthetic arm, and equally often."""
    arms = sorted({picture.arm for picture in synthetic})
    texts = {picture.prompt_code: picture.prompt for picture in synthetic}
    counts = Counter((picture.prompt_code, picture.arm) for picture in synthetic)
    is_side_by_side = protocol.display == "side_by_side"
    replicated = 0
    for code, text in texts.items():
        per_arm = {arm: counts[code, arm] for arm in arms}
        if missing := [arm for arm, count in per_arm.items() if count == 0]:
            yield Problem(
                "prompt_missing",
                f"no image of {named(missing)} for {_quoted(text)}; add it, or remove this "
                "prompt's images from the other arms.",
                f"prompt {code}",
                is_warning=is_pilot and not is_side_by_side,
            )
        there = {arm: count for arm, count in per_arm.items() if count}
        if len(set(there.values())) > 1 or (is_side_by_side and max(there.values()) > 1):
            told = ", ".join(f"{count} of {arm}" for arm, count in there.items())
            need = "one of each" if is_side_by_side else "equally many"
            yield Problem(
                "prompt_uneven",
                f"{_quoted(text)} has {told}; {need} are needed: remove what is too much.",
                f"prompt {code}",
                is_warning=is_pilot and not is_side_by_side,
            )
        elif max(there.values()) > 1:
            replicated += 1
    if replicated:
        yield Problem(
            "prompt_replicated",
            f"{replicated} prompts have several images of each arm, and raters get all of them; "
            "remove images if one was meant.",
            "prompts",
            is_warning=True,
        )


def _prompt_text_problems(pictures: Sequence[Picture]) -> Iterator[Problem]:
    texts = {picture.prompt_code: picture.prompt for picture in pictures}
    empty = [picture.name for picture in pictures if not picture.prompt.strip()]
    if empty:
        yield Problem(
            "prompt_empty",
            f"{len(empty)} images have no prompt, but raters are asked how well the image shows "
            f"it; remove them and add them with a prompt: {named(empty)}.",
            "prompts",
        )
    codes = defaultdict(list)
    for code, text in texts.items():
        if text.strip():
            codes[" ".join(text.split()).casefold()].append(code)
    for same in codes.values():
        if len(same) > 1:
            yield Problem(
                "prompt_twice",
                f"{_quoted(texts[same[0]])} stands under {len(same)} prompt ids: {named(same)}. "
                "Arms are matched by these; remove the images and add them with one id and one "
                "spelling.",
                f"prompt {same[0]}",
            )


def _likeness_problems(pictures: Sequence[Picture]) -> Iterator[Problem]:
    for code, what, keys in (
        ("sizes_differ", "sizes", [f"{p.width_px} x {p.height_px} px" for p in pictures]),
        ("colour_modes_differ", "colour modes", [p.colour_mode for p in pictures]),
    ):
        groups: dict[str, list[str]] = defaultdict(list)
        for key, picture in zip(keys, pictures, strict=True):
            groups[key].append(picture.name)
        if len(groups) > 1:
            told = "; ".join(f"{key}: {len(names)}" for key, names in groups.items())
            rarest = min(groups.values(), key=len)
            yield Problem(
                code,
                f"images have different {what} ({told}), which tells arms apart; remove all images "
                f"and add them with a crop that makes squares. For example {named(rarest)}.",
                "harmonisation",
            )


def _duplicate_problems(pictures: Sequence[Picture]) -> Iterator[Problem]:
    """The same pixels twice: within an arm, across arms, or in practice and study."""
    groups: dict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        groups[picture.pixel_sha256].append(picture)
    for same in groups.values():
        if len(same) < 2:
            continue
        roles = {picture.role for picture in same}
        arms = {picture.arm for picture in same if picture.role == "main"}
        names = [f"{picture.name} ({picture.role})" for picture in same]
        if "main" in roles and len(roles) > 1:
            code = "practice_not_outside" if "practice" in roles else "check_not_outside"
            told = "practice and attention checks must show other images than the study"
        elif len(arms) > 1:
            code, told = "duplicate_across_arms", "one picture cannot belong to several arms"
        else:
            code, told = "duplicate", "raters would see it twice, apart from hidden repeats"
        message = f"the same pixels: {named(names)}; {told}. Remove all but one."
        yield Problem(code, message, names[0])


def _outside_problems(pictures: Sequence[Picture], protocol: Protocol) -> Iterator[Problem]:
    main = {picture.prompt_code for picture in pictures if picture.role == "main"}
    practice = [picture for picture in pictures if picture.role == "practice"]
    if shared := sorted({p.source_name for p in practice if p.prompt_code in main}):
        yield Problem(
            "practice_prompt_shared",
            f"practice images with a prompt of the study, which raters then know beforehand: "
            f"{named(shared)}. Better give them other prompts.",
            "practice",
            is_warning=True,
        )
    if len(practice) < protocol.practice_items:
        yield Problem(
            "practice_few",
            f"practice_items is {protocol.practice_items}, but there are {len(practice)} practice "
            "images; raters practise with those. Add images from outside the study.",
            "practice",
            is_warning=True,
        )


def _expected_problems(pictures: Sequence[Picture], protocol: Protocol) -> Iterator[Problem]:
    points = {question.code: len(question.labels) for question in protocol.questions}
    for picture in pictures:
        if picture.role != "check":
            continue
        expected = picture.expected or {}
        wrong = [
            f"{code}={value}"
            for code, values in expected.items()
            for value in values
            if not 1 <= value <= points.get(code, 0)
        ]
        if wrong or not expected:
            allowed = ", ".join(f"{code} 1 to {count}" for code, count in points.items() if count)
            told = f"expects {named(wrong)}" if wrong else "says no expected answers"
            yield Problem(
                "check_expected",
                f"the attention check {told}, asked are {allowed}; remove it and add it with "
                "expected answers to these.",
                picture.source_name,
            )


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}...")
