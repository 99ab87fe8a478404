"""The truth that simulated raters answer from: means of arms, variances, sensitivity, preference.

A score starts as a number on a continuous scale, the sum of its arm's centre and the effects of
`rating.precision.Components`, and becomes the nearest point of the question's scale, so that the
thresholds lie halfway between points. The centre is chosen such that the mean of those points, over
all raters and prompts there could be, is the mean that was planted.
"""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rating.errors import RehearsalError
from rating.precision import TYPICAL, Components
from rating.study.protocol import ALIGNMENT, REAL_OR_SYNTHETIC, QuestionText
from rating.study.seeded import Draws

NORMAL: Final = statistics.NormalDist()
# Of the range of a scale, and of d', from the best synthetic arm to the worst.
_BEST, _WORST, _REAL = 0.62, 0.34, 0.80
_HARDEST_DPRIME, _EASIEST_DPRIME = 0.6, 1.8
_STRONGEST: Final = 0.8  # log odds against an arm of middling strength
_CRITERIA_FROM_MIDDLE: Final = 1.2


@dataclasses.dataclass(frozen=True, slots=True)
class PlantedScale:
    """A labelled scale and what every arm gets on it.

    Args:
        code:       Of the question.
        points:     Of its scale, from 1 up.
        means:      Arm -> mean over all raters and prompts there could be, in points.
        components: Variances before rounding to points, on this scale.
    """

    code: str
    points: int
    means: Mapping[str, float]
    components: Components

    def __post_init__(self) -> None:
        """Check that every mean can be reached."""
        for arm, mean in self.means.items():
            if not 1 < mean < self.points:
                raise RehearsalError(
                    f"The mean of {self.code!r} planted for {arm!r} is {mean:g}; allowed are "
                    f"values between 1 and {self.points}."
                )

    def centre(self, arm: str) -> float:
        """Return where an arm's scores are centred before they are rounded to points."""
        spread = math.sqrt(self.components.total)
        return centre_of(self.means[arm], spread, self.points)

    def to_dict(self) -> dict[str, Any]:
        """Return what was planted as JSON values."""
        centres = {arm: self.centre(arm) for arm in self.means}
        return {**dataclasses.asdict(self), "means": dict(self.means), "centres": centres}


@dataclasses.dataclass(frozen=True, slots=True)
class PlantedOrigin:
    """The real-or-synthetic question as signal detection: evidence, cut by ordered criteria.

    Evidence for *synthetic* has the variance 1 within a rater, about 0 for real images and about d'
    of the arm for synthetic ones.

    Args:
        code:           Of the question.
        points:         Of its scale; the highest is *certainly synthetic*.
        dprimes:        Synthetic arm -> d' of a typical rater.
        bias_sd:        How raters differ in where they cut.
        sensitivity_sd: How raters differ in the d' of an arm.
        image_share:    Share of the evidence's variance that belongs to the image, the same for all
                        raters and for a repeat.
    """

    code: str
    points: int
    dprimes: Mapping[str, float]
    bias_sd: float = 0.3
    sensitivity_sd: float = 0.15
    image_share: float = 0.3

    @property
    def criteria(self) -> tuple[float, ...]:
        """Where evidence is cut, one less than there are points, about half of the mean d'."""
        middle = statistics.fmean(self.dprimes.values()) / 2 if self.dprimes else 0.0
        cuts = self.points - 1
        if cuts == 1:
            return (middle,)
        step = 2 * _CRITERIA_FROM_MIDDLE / (cuts - 1)
        return tuple(middle - _CRITERIA_FROM_MIDDLE + step * cut for cut in range(cuts))

    def mean(self, dprime: float) -> float:
        """Return the mean value over all raters there could be; a `dprime` of 0 is a real image."""
        own = self.sensitivity_sd if dprime else 0.0
        spread = math.sqrt(1 + self.bias_sd**2 + own**2)
        return 1 + math.fsum(NORMAL.cdf((dprime - cut) / spread) for cut in self.criteria)

    def area(self, dprime: float) -> float:
        """Return the area under a typical rater's curve of an arm against real images."""
        return NORMAL.cdf(dprime / math.sqrt(2))

    def to_dict(self) -> dict[str, Any]:
        """Return what was planted as JSON values."""
        means = {arm: self.mean(dprime) for arm, dprime in self.dprimes.items()}
        areas = {arm: self.area(dprime) for arm, dprime in self.dprimes.items()}
        return {
            **dataclasses.asdict(self), "dprimes": dict(self.dprimes), "areas": areas,
            "means": {**means, "(real)": self.mean(0.0)}, "criteria": list(self.criteria),
        }  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class PlantedPreference:
    """Which picture is preferred: the chance of an arm is proportional to exp(strength).

    Source: Bradley & Terry (1952), for several at once Luce (1959).

    Args:
        code:         Of the question.
        strengths:    Arm -> strength of a typical rater and prompt.
        rater_arm_sd: How raters differ in an arm's strength.
        prompt_arm_sd: How prompts do.
    """

    code: str
    strengths: Mapping[str, float]
    rater_arm_sd: float = 0.15
    prompt_arm_sd: float = 0.25

    def to_dict(self) -> dict[str, Any]:
        """Return what was planted as JSON values."""
        return {**dataclasses.asdict(self), "strengths": dict(self.strengths)}


@dataclasses.dataclass(frozen=True, slots=True)
class Habits:
    """What simulated raters do besides judging; shares from 0 to 1.

    Args:
        cannot_judge: Share of answers that say *cannot judge*, whatever is shown.
        revised:      Share of items whose last answers were a slip and are put right at once.
        tagged:       Share of pictures with a defect tag; half of them have a mark as well.
        remarked:     Share of items with a remark.
        attentive:    Share of attention checks answered as expected.
    """

    cannot_judge: float = 0.01
    revised: float = 0.02
    tagged: float = 0.15
    remarked: float = 0.04
    attentive: float = 0.97


@dataclasses.dataclass(frozen=True, slots=True)
class Truth:
    """Everything that simulated raters answer from; the same truth gives the same answers.

    Args:
        seed:    Of all draws.
        scales:  Of the labelled scales but the real-or-synthetic one.
        origin:  Of the real-or-synthetic question; None where it is not asked.
        choices: Of the preferences.
        habits:  See `Habits`.
    """

    seed: int
    scales: tuple[PlantedScale, ...] = ()
    origin: PlantedOrigin | None = None
    choices: tuple[PlantedPreference, ...] = ()
    habits: Habits = Habits()

    def scale(self, code: str) -> PlantedScale:
        """Return what is planted of a scale; KeyError where nothing is."""
        for scale in self.scales:
            if scale.code == code:
                return scale
        raise KeyError(code)

    def to_dict(self) -> dict[str, Any]:
        """Return the truth as JSON values."""
        return {
            "seed": self.seed,
            "scales": [scale.to_dict() for scale in self.scales],
            "origin": self.origin.to_dict() if self.origin else None,
            "preferences": [choice.to_dict() for choice in self.choices],
            "habits": dataclasses.asdict(self.habits),
        }


def plant(
    questions: Sequence[QuestionText],
    synthetic_arms: Sequence[str],
    real_arm: str | None,
    seed: int,
    components: Components = TYPICAL,
) -> Truth:
    """Return a truth for a study: arms a stated distance apart, in an order drawn by the seed.

    Args:
        questions:      Of the protocol.
        synthetic_arms: Their codes.
        real_arm:       Code of the real images, the most realistic of all; None where there are
                        none.
        seed:           0 or more.
        components:     On a scale of 1 to 5; scaled to each question's.
    """
    order = Draws("order of arms", seed).shuffled(sorted(synthetic_arms))
    steps = [index / max(1, len(order) - 1) for index in range(len(order))]
    scales, choices, origin = [], [], None
    for question in questions:
        points = len(question.labels)
        if question.kind == "preference":
            strengths = {
                arm: round(_STRONGEST * (1 - 2 * step), 4)
                for arm, step in zip(order, steps, strict=True)
            }
            choices.append(PlantedPreference(question.code, strengths))
        elif question.code == REAL_OR_SYNTHETIC:
            wide = _EASIEST_DPRIME - _HARDEST_DPRIME
            dprimes = {
                arm: round(_HARDEST_DPRIME + wide * step, 4)
                for arm, step in zip(order, steps, strict=True)
            }
            origin = PlantedOrigin(question.code, points, dprimes)
        else:
            shift = 0.06 if question.code == ALIGNMENT else 0.0  # no two questions quite alike
            shares = {
                arm: _BEST + shift - (_BEST - _WORST) * step
                for arm, step in zip(order, steps, strict=True)
            }
            if real_arm is not None:
                shares[real_arm] = _REAL
            means = {arm: round(1 + share * (points - 1), 4) for arm, share in shares.items()}
            scales.append(
                PlantedScale(question.code, points, means, components.scaled(points))
            )
    return Truth(seed, tuple(scales), origin, tuple(choices))


def expected_value(centre: float, spread: float, points: int) -> float:
    """Return the mean of the points that a normal score about `centre` is rounded to."""
    if not spread:
        return float(min(points, max(1, math.floor(centre + 0.5))))
    return 1 + math.fsum(
        NORMAL.cdf((centre - point - 0.5) / spread) for point in range(1, points)
    )


def centre_of(mean: float, spread: float, points: int) -> float:
    """Return the centre about which normal scores, rounded to points, have this mean."""
    low, high = 1 - 10 * (spread + 1), points + 10 * (spread + 1)
    for _ in range(80):
        middle = (low + high) / 2
        if expected_value(middle, spread, points) < mean:
            low = middle
        else:
            high = middle
    return (low + high) / 2
