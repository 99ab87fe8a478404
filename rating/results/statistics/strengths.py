"""How strong arms are by what was chosen: findings of Luce's model, with their intervals."""

import dataclasses
from typing import Final

import numpy as np
from scipy import special, stats  # type: ignore[import-untyped]

from .crossed import Indices, Numbers
from .finding import Finding, Settings
from .formatting import counted
from .luce import Choices, Fit, clustered, design, fit, linked_arms

LEAST_CHOICES: Final = 10
LEAST_RATERS: Final = 5
LEAST_PROMPTS: Final = 5
MODEL: Final = (
    "Luce's choice model, which for two arms is that of Bradley and Terry, by largest likelihood"
)
FEW_RATERS: Final = (
    f"Fewer than {LEAST_RATERS} raters: the intervals speak for these raters and prompts such as "
    "these; they do not generalise to other raters."
)
FEW_PROMPTS: Final = (
    f"Fewer than {LEAST_PROMPTS} prompts: the intervals speak for these prompts and raters such as "
    "these; they do not generalise to other prompts."
)
FEW_BOTH: Final = (
    f"No intervals: they need {LEAST_RATERS} raters or {LEAST_PROMPTS} prompts, so that choices "
    "that go together can be told from independent ones."
)


@dataclasses.dataclass(frozen=True)
class _Group:
    """The fit of arms between which choices lead both ways; `base` has the ability 0."""

    arms: tuple[int, ...]
    base: int
    choices: Choices
    fit: Fit

    def contrast(self, weights: dict[int, float]) -> Numbers:
        """Return the weights of arms as weights of coefficients."""
        return np.array([weights.get(arm, 0.0) for arm in self.arms if arm != self.base])


class Strengths:
    """Abilities of arms relative to a reference arm, and chances to be chosen among all.

    Args:
        choices:  Choices, arms by their index in the settings.
        settings: Of the analysis.
        n:        What all of it rests on.
    """

    def __init__(self, choices: Choices, settings: Settings, n: str) -> None:
        """Find which arms can be compared, and fit them."""
        self._n, self._level = n, 1 - settings.alpha
        codes = [arm.code for arm in settings.arms]
        self._labels = [arm.label for arm in settings.arms]
        self._reference = codes.index(settings.reference_arm)
        self._shown = np.bincount(choices.arm[choices.shown], minlength=len(codes))
        self._chosen = np.bincount(choices.winners, minlength=len(codes))
        self._absent = ""
        if np.count_nonzero(self._shown) < 2 or choices.count < LEAST_CHOICES:
            self._absent = (
                f"{counted(choices.count, 'choice')} between "
                f"{counted(int(np.count_nonzero(self._shown)), 'arm')}: from {LEAST_CHOICES} "
                "choices between two arms on strengths can be told."
            )
        self.has_raters = len(np.unique(choices.rater)) >= LEAST_RATERS
        self.has_prompts = len(np.unique(choices.prompt)) >= LEAST_PROMPTS
        self._groups = linked_arms(choices, len(codes))
        self._own = self._fitted(choices, self._reference)
        self._top = self._fitted(choices, self._strongest(choices))

    @property
    def note(self) -> str:
        """What intervals speak for; "" for raters and prompts such as these."""
        if self._absent:
            return ""
        if not self.has_raters:
            return FEW_RATERS if self.has_prompts else FEW_BOTH
        return "" if self.has_prompts else FEW_PROMPTS

    @property
    def method(self) -> str:
        """Name of the model and of its intervals."""
        ways = [name for name, has in (("rater", self.has_raters), ("prompt", self.has_prompts))
                if has]  # fmt: skip
        if not ways:
            return MODEL
        return (
            f"{MODEL}; interval by Student's t and the sandwich standard error, choices of one "
            f"{' or one '.join(ways)} depending on each other (Cameron, Gelbach & Miller 2011)"
        )

    def ability(self, arm: int) -> tuple[Finding, float | None]:
        """Return the ability of an arm relative to the reference arm, and the p value of 0."""
        if self._absent:
            return Finding.missing(self._absent, n=self._n), None
        if arm == self._reference:
            note = "The reference arm."
            return Finding(0.0, None, None, self._n, self.method, note, self._level), None
        if self._own is None or arm not in self._own.arms:
            return Finding.missing(self._why_apart(arm), n=self._n, method=self.method), None
        value, error, df = self._estimate(self._own, {arm: 1.0, self._reference: -1.0})
        if error is None:
            return self._finding(value), None
        half = float(stats.t.ppf((1 + self._level) / 2, df)) * error
        p = 2 * float(stats.t.sf(abs(value) / error, df))
        return self._finding(value, value - half, value + half), p

    def probability(self, arm: int) -> Finding:
        """Return the chance of an arm to be chosen where all are shown."""
        if self._absent:
            return Finding.missing(self._absent, n=self._n)
        if self._top is None or arm not in self._top.arms:
            return Finding.missing(self._why_none(arm), n=self._n, method=self.method)
        arms = self._top.arms
        values = dict(zip((one for one in arms if one != self._top.base), self._top.fit.values,
                          strict=True)) | {self._top.base: 0.0}  # fmt: skip
        strength = special.softmax([values[one] for one in arms])
        chance = dict(zip(arms, (float(one) for one in strength), strict=True))
        weights = {one: -chance[one] / (1 - chance[arm]) for one in arms if one != arm}
        _, error, df = self._estimate(self._top, weights | {arm: 1.0})
        if error is None:
            return self._finding(chance[arm])
        half = float(stats.t.ppf((1 + self._level) / 2, df)) * error
        # The interval of the log odds keeps within 0 and 1.
        ends = special.expit(special.logit(chance[arm]) + np.array([-half, half]))
        return self._finding(chance[arm], float(ends[0]), float(ends[1]))

    def _finding(
        self, value: float, low: float | None = None, high: float | None = None
    ) -> Finding:
        return Finding(value, low, high, self._n, self.method, self.note, self._level)

    def _fitted(self, choices: Choices, base: int | None) -> _Group | None:
        """Return the fit of the group of an arm; None where it is alone."""
        if self._absent or base is None:
            return None
        arms = tuple(int(arm) for arm in np.flatnonzero(self._groups == self._groups[base]))
        if len(arms) < 2:
            return None
        among = choices.among(self._groups == self._groups[base])
        found = fit(among, design(among, [arm for arm in arms if arm != base]))
        return None if found is None else _Group(arms, base, among, found)

    def _strongest(self, choices: Choices) -> int | None:
        """Return an arm of the group that lost to no other; None where there are several."""
        group = self._groups[choices.arm]
        beaten = group[choices.shown & (group != self._groups[choices.winners][:, None])]
        left = np.setdiff1d(self._groups[self._shown > 0], beaten)
        if len(left) != 1:
            return None
        members = np.flatnonzero(self._groups == left[0])
        return self._reference if self._reference in members else int(members[0])

    def _estimate(
        self, group: _Group, weights: dict[int, float]
    ) -> tuple[float, float | None, int]:
        """Return a weighted sum of abilities, its standard error and degrees of freedom."""
        contrast = group.contrast(weights)
        value = float(contrast @ group.fit.values)
        ways = [_renumbered(group.choices.rater)] if self.has_raters else []
        ways += [_renumbered(group.choices.prompt)] if self.has_prompts else []
        counts = [int(way.max()) + 1 for way in ways]
        if not ways or min(counts) < 2:
            return value, None, 0
        variances = [float(contrast @ one @ contrast) for one in clustered(group.fit, ways)]
        if len(ways) == 2:
            both = _renumbered(ways[0] * counts[1] + ways[1])
            shared = float(contrast @ clustered(group.fit, [both])[0] @ contrast)
            # The sum of two ways less what they share can fall below either of them by chance.
            variances.append(sum(variances) - shared)
        return value, float(np.sqrt(max(variances))), min(counts) - 1

    def _why_apart(self, arm: int) -> str:
        """Return why an arm has no finite ability relative to the reference arm."""
        reference = self._labels[self._reference]
        if not self._shown[self._reference]:
            return f"{reference}, the reference arm, was not shown."
        for one, name in ((arm, "It"), (self._reference, f"{reference}, the reference arm,")):
            if not self._chosen[one]:
                return f"{name} was never chosen: no finite ability fits."
            if self._chosen[one] == self._shown[one]:
                return f"{name} was chosen every time: no finite ability fits."
        return f"Choices do not lead both ways between it and {reference}: no finite ability fits."

    def _why_none(self, arm: int) -> str:
        """Return why an arm has no chance between 0 and 1."""
        if not self._chosen[arm]:
            return f"Never chosen in {counted(int(self._shown[arm]), 'choice')}."
        if self._chosen[arm] == self._shown[arm]:
            return f"Chosen every time in {counted(int(self._shown[arm]), 'choice')}."
        return "Choices do not link all arms: chances among all cannot be told."


def _renumbered(groups: Indices) -> Indices:
    found: Indices = np.unique(groups, return_inverse=True)[1]
    return found
