"""Colours of figures: ramps that stay in order in greyscale and to the colour-blind."""

import dataclasses
from collections.abc import Sequence
from typing import Final, Literal

ThemeName = Literal["light", "dark"]


@dataclasses.dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a figure, each "#rrggbb".

    Args:
        name:   "light" (print, and screens with a light page) or "dark".
        ground: Of the paper.
        ink:    Of text and of lines that carry the result.
        soft:   Of text that explains.
        grid:   Of lines that only guide the eye.
        band:   Of shaded regions under the data, such as an equivalence margin.
        edge:   Around filled shapes.
        accent: Of the result itself.
        frame:  Of a frame in place of an image.
    """

    name: ThemeName
    ground: str
    ink: str
    soft: str
    grid: str
    band: str
    edge: str
    accent: str
    frame: str


LIGHT: Final = Theme(
    "light", "#ffffff", "#1a1a1a", "#555555", "#d4d4d4", "#dde4ec", "#4d4d4d", "#005a8e", "#c9c9c9"
)
DARK: Final = Theme(
    "dark", "#15181c", "#f2f2f2", "#b9bec4", "#3f454c", "#2c3b4b", "#c4c8cc", "#6cc0f0", "#4a4f55"
)
THEMES: Final[dict[ThemeName, Theme]] = {"light": LIGHT, "dark": DARK}

# From the lowest point of a scale to the highest, light to dark in even steps of lightness, warm to
# cold: two cues, of which greyscale keeps the first and every kind of colour vision both.
_SCALE_STOPS: Final = ("#fdeacb", "#edb566", "#9b8f86", "#3f6690", "#0a2447")
# Of agreement from 0 to 1.
_HEAT_STOPS: Final = ("#f6f3e6", "#aebfc4", "#5f8aa8", "#2a5380", "#0a2447")


def scale_colours(count: int) -> tuple[str, ...]:
    """Return a colour for each point of a scale, the lowest first.

    Args:
        count: Points, 2 or more.
    """
    return tuple(_between(_SCALE_STOPS, index / max(1, count - 1)) for index in range(count))


def heat_colour(share: float) -> str:
    """Return the colour of an agreement; below 0 as 0.

    Args:
        share: 1 is perfect.
    """
    return _between(_HEAT_STOPS, min(1.0, max(0.0, share)))


def on(colour: str) -> str:
    """Return black or white, whichever reads better on a colour."""
    return "#000000" if luminance(colour) > 0.18 else "#ffffff"


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, 0 to 1.

    Source: W3C (2018), Web Content Accessibility Guidelines 2.1, "relative luminance".
    """
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in _channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _between(stops: Sequence[str], share: float) -> str:
    place = share * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    low, high = _channels(stops[index]), _channels(stops[index + 1])
    mixed = (
        round(first + (second - first) * (place - index))
        for first, second in zip(low, high, strict=True)
    )
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))
