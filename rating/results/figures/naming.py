"""How figures name arms, questions and numbers: within what the font can draw."""

from typing import Final

from ..statistics.finding import Scale, Settings
from ..statistics.formatting import arm_label, number, p_value
from .lettering import drawable, is_drawable, one_line

PILOT_MARK: Final = "PILOT"
THESE_RATERS: Final = "THESE RATERS ONLY"
THESE_PROMPTS: Final = "THESE PROMPTS ONLY"
NO_GLYPHS: Final = "Names that the font of the figure cannot draw are given by their code."


def arm_names(settings: Settings) -> dict[str, str]:
    """Return code -> name of each arm; the code where the font cannot draw the label."""
    names = {}
    for arm in settings.arms:
        label = arm_label(settings, arm.code)
        names[arm.code] = drawable(label if is_drawable(label) else arm.code)
    return names


def told_names(settings: Settings) -> dict[str, str]:
    """Return code -> name of each arm for descriptions, whatever the font can draw."""
    return {arm.code: one_line(arm_label(settings, arm.code)) for arm in settings.arms}


def name_notes(settings: Settings) -> tuple[str, ...]:
    """Return the sentence that some arms go by their codes; () where none does."""
    is_fine = all(is_drawable(arm_label(settings, arm.code)) for arm in settings.arms)
    return () if is_fine else (NO_GLYPHS,)


def question_name(scale: Scale) -> str:
    """Return a question's code and text; the code alone where the font cannot draw the text."""
    if not scale.text.strip() or not is_drawable(scale.text):
        return drawable(scale.code)
    return drawable(f"{scale.code}: {scale.text}")


def point_name(scale: Scale, index: int) -> str:
    """Return "1 not at all": the value of a point and its label, where the font can draw it."""
    value = str(scale.minimum + index)
    label = scale.labels[index] if index < len(scale.labels) else ""
    return drawable(f"{value} {label}") if is_drawable(label) else value


def signed(value: float | None, decimals: int = 2) -> str:
    """Return a number with a true minus sign; "-" where there is none."""
    return "-" if value is None else number(value, decimals).replace("-", "\N{MINUS SIGN}")


def between(low: float | None, high: float | None, decimals: int = 2) -> str:
    """Return "0.12 to 0.40" with true minus signs; "no interval" where there is none."""
    if low is None or high is None:
        return "no interval"
    return f"{signed(low, decimals)} to {signed(high, decimals)}"


def told_p(p: float | None) -> str:
    """Return "p = 0.012" or "p < 0.001"."""
    told = p_value(p)
    return f"p < {told[1:]}" if told.startswith("<") else f"p = {told}"


def marks(settings: Settings, *more: str) -> tuple[str, ...]:
    """Return what stands in frames above a figure."""
    return (*((PILOT_MARK,) if settings.is_pilot else ()), *more)


def told_pilot(settings: Settings, alt_text: str) -> str:
    """Return a description on one line that says first of a pilot that it is one."""
    return one_line(f"Pilot study. {alt_text}" if settings.is_pilot else alt_text)
