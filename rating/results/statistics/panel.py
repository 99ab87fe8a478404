"""Who judged what with which answer: the form in which agreement between raters is computed."""

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from .crossed import Indices, Numbers
from .finding import Settings
from .formatting import counted
from .tables import main_answers

STIMULUS: Final = "stimulus"
PROMPT: Final = "prompt"


@dataclasses.dataclass(frozen=True)
class Panel:
    """The answers of raters to one question, one entry an answer, no rater twice to one unit.

    Args:
        rater_codes: Of the raters.
        rater:       Index of the rater of each answer, into `rater_codes`.
        unit:        Index of what was judged, 0 to unit_count - 1; each has an answer.
        point:       Index of the point of the scale, or of the arm preferred.
        points:      What the points are worth, ascending; of a preference 0, 1, ...
        unit_arms:   Arm of each unit; "" where it shows several.
        noun:        What a unit is: "stimulus", or "prompt" where several pictures are judged.
        is_nominal:  Whether the points have no order (which arm is preferred).
    """

    rater_codes: tuple[str, ...]
    rater: Indices
    unit: Indices
    point: Indices
    points: tuple[float, ...]
    unit_arms: npt.NDArray[np.str_]
    noun: str = STIMULUS
    is_nominal: bool = False

    @property
    def rater_count(self) -> int:
        """Number of raters."""
        return len(self.rater_codes)

    @property
    def unit_count(self) -> int:
        """Number of units."""
        return len(self.unit_arms)

    @property
    def answer_count(self) -> int:
        """Number of answers."""
        return len(self.unit)

    @property
    def is_complete(self) -> bool:
        """Whether every rater judged every unit."""
        return self.answer_count == self.rater_count * self.unit_count

    @property
    def values(self) -> Numbers:
        """What each answer is worth, (answers,)."""
        return np.asarray(self.points, float)[self.point]

    def counts(self) -> Numbers:
        """Return how many raters gave each unit each point, (units, points)."""
        shape = (self.unit_count, len(self.points))
        flat = np.bincount(self.unit * shape[1] + self.point, minlength=shape[0] * shape[1])
        return flat.reshape(shape).astype(float)

    def units(self, kept: npt.NDArray[np.bool_]) -> "Panel":
        """Return the panel of some units, and of the raters who judged any of them.

        Args:
            kept: (units,)
        """
        chosen = kept[self.unit]
        present, rater = np.unique(self.rater[chosen], return_inverse=True)
        return dataclasses.replace(
            self,
            rater_codes=tuple(self.rater_codes[index] for index in present),
            rater=rater,
            unit=(np.cumsum(kept) - 1)[self.unit[chosen]],
            point=self.point[chosen],
            unit_arms=self.unit_arms[kept],
        )

    def paired(self) -> "Panel":
        """Return the panel of the units that two raters or more judged."""
        return self.units(np.bincount(self.unit, minlength=self.unit_count) >= 2)

    def of_arm(self, arm: str) -> "Panel":
        """Return the panel of the units of an arm."""
        return self.units(self.unit_arms == arm)

    def described(self) -> str:
        """Return what a statistic rests on: "6 raters, 30 stimuli, 180 answers"."""
        return ", ".join(
            (
                counted(self.rater_count, "rater"),
                self.counted_units(),
                counted(self.answer_count, "answer"),
            )
        )

    def counted_units(self) -> str:
        """Return the number of units with their noun."""
        if self.noun == STIMULUS and self.unit_count != 1:
            return f"{self.unit_count} stimuli"
        return counted(self.unit_count, self.noun)


def panel_of(ratings: pd.DataFrame, settings: Settings, question: str) -> Panel:
    """Return the panel of a question, of the answers that all statistics use.

    A unit is a stimulus; where pictures are side by side it is the prompt they were made from, and
    the point of a preference is the arm of the picture preferred, not its place on the screen.

    Args:
        ratings:  See `read_ratings`.
        settings: Of the analysis.
        question: Code of the question.
    """
    return panel_of_answers(main_answers(ratings, settings, question), settings, question)


def panel_of_answers(answers: pd.DataFrame, settings: Settings, question: str) -> Panel:
    """Return the panel of answers as `main_answers` gives them."""
    scale = settings.scale(question)
    is_nominal = scale.kind == "preference"
    is_about_one = settings.display == "single" and not is_nominal
    unit_column = "stimulus_id" if is_about_one else "item_id"
    answers = answers.drop_duplicates(["rater_code", unit_column])
    if is_nominal:
        codes = [arm.code for arm in settings.arms]
        answers = answers[answers["arm"].isin(codes)]
        point = pd.Categorical(answers["arm"], categories=codes).codes.astype(np.intp)
        points = tuple(float(index) for index in range(len(codes)))
    else:
        point = answers["value"].to_numpy(float).astype(np.intp) - scale.minimum
        points = tuple(float(value) for value in range(scale.minimum, scale.maximum + 1))
    rater, rater_codes = pd.factorize(answers["rater_code"].astype(str), sort=True)
    unit, units = pd.factorize(answers[unit_column].to_numpy(np.int64), sort=True)
    arms = np.full(len(units), "", dtype=object)
    if is_about_one:
        arms[unit] = answers["arm"].astype(str).to_numpy()
    return Panel(
        rater_codes=tuple(str(code) for code in rater_codes),
        rater=np.asarray(rater, np.intp),
        unit=np.asarray(unit, np.intp),
        point=np.asarray(point, np.intp),
        points=points,
        unit_arms=arms.astype(str),
        noun=STIMULUS if is_about_one else PROMPT,
        is_nominal=is_nominal,
    )
