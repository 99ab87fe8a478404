"""What is wrong with the images of a draft: pure functions of a list of pictures."""

import dataclasses
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rating.study.harmonisation import suggested_size_px
from rating.study.problem import Problem, named
from rating.study.protocol import REAL_OR_SYNTHETIC, Protocol

# Above this ratio between models, how far pictures were shrunk shows in their sharpness.
MOST_SCALE_RATIO: Final = 1.05
LEAST_KEPT_SCALE: Final = 0.96  # above it the JPEG grid is not resampled away
LEAST_SCALE: Final = 0.6


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """What the checks need to know of a stimulus; `arm` is "" for practice and checks."""

    id: int
    role: str
    arm: str
    is_real: bool
    prompt_id: int
    prompt_code: str
    prompt: str
    width_px: int
    height_px: int
    colour_mode: str
    pixel_sha256: str
    selection_rule: str
    candidate_count: int
    source_name: str
    log: Mapping[str, Any]
    provenance: Mapping[str, Any]
    expected: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """How a message names it: the arm, where there is one, and the file."""
        return f"{self.arm}: {self.source_name}" if self.arm else self.source_name


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


def image_warnings(pictures: Sequence[Picture], protocol: Protocol) -> Iterator[Problem]:
    """Yield what a reviewer will ask about: controls, selection, native sizes, training images."""
    main = [picture for picture in pictures if picture.role == "main"]
    asks_origin = any(question.code == REAL_OR_SYNTHETIC for question in protocol.questions)
    if main and asks_origin and not any(picture.is_real for picture in main):
        yield Problem(
            "no_real_images",
            "raters are asked what is real, but no real images are among the items, so that the "
            "answers have nothing to be compared with; add a control arm of real images.",
            "real images",
            is_warning=True,
        )
    yield from _selection_warnings(main)
    yield from _scale_warnings(main)
    trained = [p.name for p in main if p.is_real and p.provenance.get("split") == "train"]
    if trained:
        yield Problem(
            "real_from_training",
            f"{len(trained)} real images are from the training split, which the models have seen; "
            f"better take them from val or test: {named(trained)}.",
            "real images",
            is_warning=True,
        )


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
                f"and add them with the crop centre_square. For example {named(rarest)}.",
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


def _selection_warnings(main: Sequence[Picture]) -> Iterator[Problem]:
    for rule, code, told in (
        ("hand_picked", "hand_picked",
         "chosen by eye; the methods text will say so. First seeds or random draws would not need "
         "to be defended"),
        ("unstated", "selection_unstated",
         "taken without saying how they were chosen; say it in the column selection_rule"),
    ):  # fmt: skip
        if chosen := [picture for picture in main if picture.selection_rule == rule]:
            arms = sorted({picture.arm for picture in chosen})
            yield Problem(
                code,
                f"{len(chosen)} images of {named(arms)} are {told}.",
                "selection",
                is_warning=True,
            )
    ways: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for picture in main:
        if not picture.is_real:
            ways[picture.arm].add((picture.selection_rule, picture.candidate_count))
    if len({frozenset(way) for way in ways.values()}) > 1:
        told = "; ".join(
            f"{arm}: {', '.join(f'{rule} of {count}' for rule, count in sorted(way))}"
            for arm, way in sorted(ways.items())
        )
        yield Problem(
            "selection_differs",
            f"arms were chosen in different ways ({told}), which favours the one with more choice; "
            "better use one rule and as many candidates for all.",
            "selection",
            is_warning=True,
        )


def _scale_warnings(main: Sequence[Picture]) -> Iterator[Problem]:
    """What resizing did to arms unequally; "where" is the setting that mends it."""
    scales: dict[str, list[float]] = defaultdict(list)
    for picture in main:
        if (scale := picture.log.get("scale")) is not None:
            scales[picture.arm].append(float(scale))
    sides = [_native_side(picture) for picture in main if picture.log.get("crop_box")]
    shortest = min(sides, default=0)
    better = f"a size_px of {suggested_size_px(shortest)} suits all of them"
    if enlarged := sorted(arm for arm, found in scales.items() if max(found) > 1):
        yield _scale_warning(
            "enlarged",
            f"images of {named(enlarged)} are smaller than asked for and were enlarged, which "
            f"blurs them; {better}.",
        )
    kept = [p for p in main if p.is_real and LEAST_KEPT_SCALE < p.log.get("scale", 0) <= 1]
    if kept:
        yield _scale_warning(
            "native_size_kept",
            f"{len(kept)} real images kept their native size and with it the grid of their JPEG "
            f"files, which generated ones do not have; {better}.",
        )
    if sides and max(map(max, scales.values())) < LEAST_SCALE:
        yield _scale_warning(
            "shrunk_much",
            f"all images are much larger than raters will see them, the smallest {shortest} px; "
            f"{better}.",
        )
    models = {p.arm for p in main if not p.is_real}
    middles = {arm: statistics.median(found) for arm, found in scales.items() if arm in models}
    if middles and max(middles.values()) / min(middles.values()) > MOST_SCALE_RATIO:
        told = ", ".join(f"{arm} {scale:.2f}" for arm, scale in sorted(middles.items()))
        yield _scale_warning(
            "scales_differ",
            f"models draw at different sizes and were resized by different factors ({told}), which "
            "can show in their sharpness; draw all at one size, or say so in the report.",
        )


def _scale_warning(code: str, message: str) -> Problem:
    return Problem(code, message, "harmonisation", is_warning=True)


def _native_side(picture: Picture) -> int:
    """Return the longer side of what was kept of a picture before it was resized."""
    left, top, right, bottom = picture.log["crop_box"]
    return int(max(right - left, bottom - top))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}...")
