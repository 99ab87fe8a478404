"""How precise a difference of two arms is: its error, interval and power from variance components.

A score is a sum of independent random effects: of the rater, the prompt, rater x arm, prompt x arm,
rater x prompt, and a residual. Raters and prompts are both samples, and what is concluded is meant
for raters and prompts such as these. Every synthetic arm is seen by the same raters for the same
prompts, so that rater, prompt and rater x prompt cancel from a difference of two of them. Real
images have prompts of their own: from their difference with a synthetic arm only the rater cancels.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

QUADRATURE_NODES: Final = 200
MOST_DF: Final = 1e6  # where nothing varies


@dataclasses.dataclass(frozen=True, slots=True)
class Components:
    """Variance components of a score, in squared points of a scale of 1 to 5.

    Args:
        name:         Of the case, as tables show it.
        rater:        Some raters give higher scores than others.
        prompt:       Some prompts get higher scores than others, whatever the arm.
        rater_arm:    Raters differ in how much they prefer an arm.
        prompt_arm:   Arms differ in which prompts they do well; with one image for each, also that
                      this image came out well.
        rater_prompt: Raters differ in which prompts they score high, whatever the arm.
        residual:     All else, such as the same rater scoring the same image twice.
    """

    name: str
    rater: float
    prompt: float
    rater_arm: float
    prompt_arm: float
    rater_prompt: float
    residual: float

    @property
    def total(self) -> float:
        """Variance of a single score about the mean of its arm."""
        return math.fsum(getattr(self, name) for name in COMPONENT_NAMES)

    def scaled(self, points: int) -> "Components":
        """Return the components on a scale of so many points: as the square of its range."""
        factor = ((points - 1) / 4) ** 2
        scaled = {name: factor * getattr(self, name) for name in COMPONENT_NAMES}
        return dataclasses.replace(self, **scaled)


COMPONENT_NAMES: Final = (
    "rater", "prompt", "rater_arm", "prompt_arm", "rater_prompt", "residual"
)  # fmt: skip

# Assumptions, not measurements; docs/design-of-studies.md gives the reasoning. A pilot's own
# estimates are better than either.
TYPICAL: Final = Components("typical", 0.20, 0.15, 0.03, 0.15, 0.10, 0.45)
PESSIMISTIC: Final = Components("pessimistic", 0.35, 0.25, 0.10, 0.30, 0.15, 0.70)


def synthetic_error(
    components: Components, raters: int, prompts: int, replicates: int = 1, judged: float = 1.0
) -> tuple[float, float]:
    """Return the standard error of the difference of two synthetic arms, and its df.

    With differences d of a rater and a prompt, the variance of their mean is
    [MS(rater) + MS(prompt) - MS(rater x prompt)] / (raters * prompts), of which expected values are
    taken here. MS(rater) has raters - 1 degrees of freedom; what prompts add has prompts - 1.

    Args:
        components: On the scale in use.
        raters:     At least 1.
        prompts:    At least 1.
        replicates: Images of each arm for each prompt.
        judged:     Share of the prompts that one rater has, above 0 up to 1.

    Source: analysis of variance of crossed raters and cases, Obuchowski & Rockette (1995); degrees
    of freedom in the manner of Hillis (2007), with the term for prompts kept, which he leaves out
    for many cases.
    """
    arm_variance = 2 * components.rater_arm
    arm_variance += 2 * components.residual / (replicates * prompts * judged)
    prompt_variance = 2 * components.prompt_arm
    return _error([(arm_variance / raters, raters - 1), (prompt_variance / prompts, prompts - 1)])


def real_error(
    components: Components,
    raters: int,
    prompts: int,
    reals: int,
    replicates: int = 1,
    judged: float = 1.0,
) -> tuple[float, float]:
    """Return the standard error of the difference of a synthetic and the real arm, and its df.

    Their prompts differ, so that prompts count fully, once for each arm, and only the rater
    cancels.

    Args:
        components: On the scale in use.
        raters:     At least 1.
        prompts:    Of the synthetic arm, at least 1.
        reals:      Real images, at least 1.
        replicates: Images of the synthetic arm for each prompt.
        judged:     Share of them that one rater has, above 0 up to 1.
    """
    of_prompt = components.prompt + components.prompt_arm
    within = (components.rater_prompt + components.residual / replicates) / (prompts * judged)
    within += (components.rater_prompt + components.residual) / (reals * judged)
    terms = [
        ((2 * components.rater_arm + within) / raters, raters - 1),
        (of_prompt / prompts, prompts - 1),
        (of_prompt / reals, reals - 1),
    ]
    return _error(terms)


def _error(terms: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Return the error and Satterthwaite's df of a sum of variances, each with its own df.

    Source: Satterthwaite (1946), Biometrics Bulletin 2, 110-114.
    """
    variance = sum(term for term, _ in terms)
    if any(term > 0 and df == 0 for term, df in terms):
        return math.sqrt(variance), 0.0
    spread = sum(term**2 / df for term, df in terms if term > 0)
    return math.sqrt(variance), variance**2 / spread if spread else MOST_DF


def _special() -> Any:
    # Loaded when a study is planned: it takes as long as half of the start of the app.
    from scipy import special  # type: ignore[import-untyped]

    return special


def t_quantile(share: float, df: float) -> float:
    """Return the quantile of Student's t of any degrees of freedom above 0."""
    special = _special()
    return float(special.stdtrit(df, share))


def half_width(standard_error: float, df: float, alpha: float = 0.05) -> float:
    """Return the half width of the two-sided interval; infinite without degrees of freedom."""
    return t_quantile(1 - alpha / 2, df) * standard_error if df else math.inf


def power_of(difference: float, standard_error: float, df: float, alpha: float = 0.05) -> float:
    """Return the power of the two-sided t test of a true difference, from 0 to 1.

    The mean over the distribution of the estimated error is taken by quadrature, since library
    functions of the noncentral t fail far from its centre.
    """
    if not df:
        return 0.0
    if not standard_error:
        return 1.0 if difference else alpha
    special = _special()
    errors, weights = _error_quantiles(df)
    critical = t_quantile(1 - alpha / 2, df) * errors
    shift = difference / standard_error
    rejected = special.ndtr(shift - critical) + special.ndtr(-critical - shift)
    return float(np.sum(weights * rejected))


@functools.lru_cache(maxsize=256)
def _error_quantiles(df: float) -> tuple[Numbers, Numbers]:
    """Return quantiles of the estimated over the true error at Gauss's nodes, and their weights."""
    nodes, weights = np.polynomial.legendre.leggauss(QUADRATURE_NODES)
    return np.sqrt(2 * _special().gammaincinv(df / 2, (nodes + 1) / 2) / df), weights / 2


def detectable_difference(
    standard_error: float, df: float, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Return the true difference that a two-sided t test finds with the power asked."""
    if not df or not standard_error:
        return math.inf if not df else 0.0
    low, high = 0.0, 10.0
    while power_of(high, 1.0, df, alpha) < power:
        low, high = high, 2 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (
            (middle, high) if power_of(middle, 1.0, df, alpha) < power else (low, middle)
        )
    return high * standard_error


def equivalence_margin(
    standard_error: float, df: float, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Return the least margin within which two one-sided tests put a difference that is zero."""
    if not df:
        return math.inf
    return (t_quantile(1 - alpha, df) + t_quantile((1 + power) / 2, df)) * standard_error
