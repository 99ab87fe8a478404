"""Stand-ins: drawn pictures for a rehearsal without data, three models and real images in name.

They show nothing medical. Each is a lit, folded tube with a spot in it, drawn by a few formulas;
the three models and what stands for real images differ in how rough and reddish they are drawn.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from rating.errors import RehearsalError
from rating.study.offered import REAL_ARM, OfferedImage
from rating.study.protocol import Display
from rating.study.seeded import Draws

SIZE_PX: Final = 256
ARMS: Final = ("stand-in-a", "stand-in-b", "stand-in-c")
MOST_PROMPTS: Final = 200
MOST_REALS: Final = 200
PRACTICE: Final = 3
# Arm -> roughness of the surface, share of red, sharpness of the folds.
_STYLES: Final = {
    "stand-in-a": (0.020, 0.58, 5.0),
    "stand-in-b": (0.035, 0.62, 3.5),
    "stand-in-c": (0.060, 0.52, 2.0),
    REAL_ARM: (0.012, 0.60, 6.0),
}
_FINDINGS: Final = ("polyp", "ulcer", "fold", "reddened patch", "small vessel", "flat lesion")
_PLACES: Final = (
    "upper left", "upper right", "lower left", "lower right", "centre", "left", "right",
)  # fmt: skip
_SIZES: Final = ("small", "medium-sized", "large", "barely visible", "well demarcated")

Pixels = npt.NDArray[np.float64]


def stand_in_images(
    display: Display = "single", prompts: int = 10, reals: int = 10
) -> list[OfferedImage]:
    """Return drawn pictures of three models and of what stands for real images, and practice.

    Args:
        display: Side by side there are no real images, and a practice item needs a picture for
                 each slot.
        prompts: Of the models, 1 to 200.
        reals:   Single display: how many stand for real images, 0 to 200.

    Raises:
        RehearsalError: The numbers are out of range.
    """
    if not 1 <= prompts <= MOST_PROMPTS or not 0 <= reals <= MOST_REALS:
        raise RehearsalError(
            f"{prompts} prompts and {reals} real images cannot be drawn; allowed are 1 to "
            f"{MOST_PROMPTS} prompts and 0 to {MOST_REALS} real images."
        )
    is_single = display == "single"
    texts = _texts(prompts + (reals if is_single else 0) + PRACTICE)
    images = [
        _offered(arm, text, seed, "main") for seed, text in enumerate(texts[:prompts])
        for arm in ARMS
    ]  # fmt: skip
    if is_single:
        images += [
            _offered(REAL_ARM, text, 10_000 + index, "main")
            for index, text in enumerate(texts[prompts : prompts + reals])
        ]
    images += [
        _offered("", text, 20_000 + 10 * index + slot, "practice")
        for index, text in enumerate(texts[-PRACTICE:])
        for slot in range(1 if is_single else len(ARMS))
    ]
    return images


def _texts(count: int) -> list[str]:
    every = [
        f"a {size} {finding}, {place}"
        for size in _SIZES for finding in _FINDINGS for place in _PLACES
    ]  # fmt: skip
    texts = Draws("stand-in texts").shuffled(every)
    rounds = range(1 + count // len(texts))
    return [text if not turn else f"{text}, view {turn + 1}" for turn in rounds for text in texts][
        :count
    ]


def _offered(arm: str, text: str, seed: int, role: str) -> OfferedImage:
    is_real = arm == REAL_ARM
    reading: Callable[[], Image.Image] = partial(_draw, arm or ARMS[seed % len(ARMS)], seed)
    made = {"model_id": arm, "model_label": f"Stand-in {arm[-1:].upper()}", "seed": seed}
    return OfferedImage(
        read=reading, arm=arm, is_real=is_real, prompt_id="", prompt=text, role=role,
        selection_rule="random" if is_real else "first_seed", candidate_count=1,
        provenance=made if arm and not is_real else {}, source_name=f"{arm or role}-{seed}.png",
    )  # fmt: skip


def _draw(arm: str, seed: int) -> Image.Image:
    """Return a picture of 256 px, another one for every arm and seed."""
    roughness, red, sharpness = _STYLES[arm]
    draws = Draws("stand-in", arm, seed)
    grid = np.linspace(-1, 1, SIZE_PX)
    x, y = np.meshgrid(grid, grid)
    centre_x, centre_y = 0.6 * draws.share() - 0.3, 0.6 * draws.share() - 0.3
    depth = np.hypot(x - centre_x, y - centre_y)
    angle = np.arctan2(y - centre_y, x - centre_x)
    folds = np.cos((4 + 3 * draws.share()) * depth * np.pi + 2 * np.sin(2 * angle))
    light = 0.25 + 0.6 * np.clip(depth, 0, 1) + 0.12 * np.tanh(sharpness * folds)
    light += roughness * _noise(draws)
    spot_x, spot_y = 1.2 * draws.share() - 0.6, 1.2 * draws.share() - 0.6
    spot = np.exp(-((x - spot_x) ** 2 + (y - spot_y) ** 2) / (0.02 + 0.05 * draws.share()))
    light = np.clip(light + 0.25 * spot, 0, 1)
    colours = np.stack([light * 1.25, light * (1.15 - red), light * (1.0 - red)], axis=-1)
    return Image.fromarray((255 * np.clip(colours, 0, 1)).astype(np.uint8))


def _noise(draws: Draws) -> Pixels:
    """Return a rough surface, of waves that a stream draws."""
    grid = np.arange(SIZE_PX)
    surface = np.zeros((SIZE_PX, SIZE_PX))
    for _ in range(12):
        wave_x, wave_y = 2 * draws.share() - 1, 2 * draws.share() - 1
        phase = 2 * np.pi * draws.share()
        surface += np.cos(np.add.outer(wave_y * grid, wave_x * grid) + phase)
    return surface / 2
