"""What a reviewer will ask about the images of a draft: controls, selection, sizes, training."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from rating.study.harmonisation import suggested_size_px
from rating.study.picture import Picture
from rating.study.problem import Problem, named
from rating.study.protocol import REAL_OR_SYNTHETIC, Protocol

# Above this ratio between models, how far pictures were shrunk shows in their sharpness.
MOST_SCALE_RATIO: Final = 1.05
LEAST_KEPT_SCALE: Final = 0.96  # above it the JPEG grid is not resampled away
LEAST_SCALE: Final = 0.6


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
