"""Numbers as tables of results show them."""

import math
from typing import Final

from .finding import Finding, Settings

NONE: Final = "-"


def number(value: float | None, decimals: int = 2) -> str:
    """Return a number with so many decimals, never "-0.00"; "-" where there is none."""
    if value is None or math.isnan(value):
        return NONE
    return f"{settled(value):z.{decimals}f}"


def settled(value: float) -> float:
    """Return a number without the digits beyond the tenth, which differ between processors.

    A mean of a few whole numbers often lies between two numbers as shown, as 0.0625 does with three
    decimals; the last bit of a sum would decide which of them is told.
    """
    return float(f"{value:.10g}")


def interval(low: float | None, high: float | None, decimals: int = 2) -> str:
    """Return "0.12 to 0.40"; "-" where there is no interval."""
    if low is None or high is None:
        return NONE
    return f"{number(low, decimals)} to {number(high, decimals)}"


def interval_of(finding: Finding, decimals: int = 2) -> str:
    """Return the interval of a finding; "-" where it has none."""
    return interval(finding.low, finding.high, decimals)


def p_value(p: float | None) -> str:
    """Return a p value with three decimals, "<0.001" below; "-" where there is none."""
    if p is None:
        return NONE
    return "<0.001" if settled(p) < 0.001 else f"{settled(p):.3f}"


def percent(level: float) -> str:
    """Return a level in percent, such as "95 %"."""
    return f"{100 * level:.4g} %"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: "1 rater", "2 raters"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def arm_label(settings: Settings, code: str) -> str:
    """Return how tables name an arm: its label, and its code where another has the same label."""
    labels = {arm.code: arm.label.strip() or arm.code for arm in settings.arms}
    label = labels.get(code, code)
    is_alone = list(labels.values()).count(label) < 2
    return label if is_alone else f"{label} ({code})"
