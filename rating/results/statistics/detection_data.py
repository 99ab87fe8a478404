"""The answers to the real-or-synthetic question, by rater and image."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from .crossed import Indices
from .finding import Settings
from .formatting import counted
from .roc import UNSEEN, Judged
from .tables import asked, main_answers

Flags = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Trials:
    """What raters answered about synthetic and real images.

    Args:
        rater_codes:  Of the raters.
        synthetic:    Arm -> answers about its images, (raters, images); arms with none are missing.
        real:         Answers about real images.
        is_synthetic: (points,) whether a point of the scale calls an image synthetic: those above
                      the middle of the scale.
        is_real:      (points,) whether it calls it real: those below. Of an odd number of points
                      the middle one says neither.
        prompt_count: Number of prompts of all images.
    """

    rater_codes: tuple[str, ...]
    synthetic: dict[str, Judged]
    real: Judged
    is_synthetic: Flags
    is_real: Flags
    prompt_count: int

    def of(self, arms: Sequence[str]) -> Judged:
        """Return the answers about the images of some arms."""
        chosen = [self.synthetic[arm] for arm in arms]
        return Judged(
            np.concatenate([one.points for one in chosen], axis=-1),
            np.concatenate([one.prompts for one in chosen]),
        )

    def is_constant(self, rater: int) -> bool:
        """Return whether a rater, by index, gave one answer to all images."""
        every = [one.points[rater] for one in (*self.synthetic.values(), self.real)]
        points = np.concatenate(every)
        return len(np.unique(points[points != UNSEEN])) < 2

    def described(self, arms: Sequence[str], raters: Indices) -> str:
        """Return what a figure rests on: raters by index, images and answers."""
        seen = [judged.is_seen[raters] for judged in (self.of(arms), self.real)]
        counts = [int(one.any(axis=0).sum()) for one in seen]
        answers = sum(int(one.sum()) for one in seen)
        return (
            f"{counted(len(raters), 'rater')}, {counts[0]} synthetic and {counts[1]} real images, "
            f"{counted(answers, 'answer')}"
        )

    def images(self) -> str:
        """Return how many images of each kind there are."""
        return (
            f"{len(self.of(list(self.synthetic)).prompts)} synthetic and {len(self.real.prompts)} "
            "real images"
        )


def trials_of(ratings: pd.DataFrame, settings: Settings) -> Trials | str:
    """Return the answers to the real-or-synthetic question, or the sentence why there are none.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Of the analysis.
    """
    if not settings.origin_question:
        return "Raters were not asked whether images are real or synthetic."
    if settings.display == "side_by_side":
        return (
            "Side by side the real-or-synthetic question is about all pictures at once: no image "
            "has an answer of its own."
        )
    answers = main_answers(ratings, settings, settings.origin_question)
    answers = answers.drop_duplicates(["rater_code", "stimulus_id"])
    is_real = answers["is_real"].fillna(False).to_numpy(bool)
    codes = [arm.code for arm in settings.arms if not arm.is_real]
    of_arms = {code: answers[(answers["arm"] == code) & ~is_real] for code in codes}
    found = {code: part for code, part in of_arms.items() if len(part)}
    if not found or not is_real.any():
        kind = "synthetic" if is_real.any() else "real"
        if not (is_real.any() or found):
            kind = "synthetic or real"
        is_asked = len(asked(ratings, settings, settings.origin_question)) > len(answers)
        why = "all are 'cannot judge', or there are none" if is_asked else "there are none"
        return (
            f"No answers tell real from synthetic: of those about {kind} images {why}, and one "
            "kind is judged against the other."
        )
    return _arranged(found, answers[is_real], settings)


def _arranged(
    synthetic: dict[str, pd.DataFrame], real: pd.DataFrame, settings: Settings
) -> Trials:
    every = pd.concat([*synthetic.values(), real])
    raters = sorted(every["rater_code"].unique())
    prompts = sorted(every["prompt_id"].unique())
    scale = settings.scale(settings.origin_question)
    points = np.arange(scale.minimum, scale.maximum + 1)
    middle = (scale.minimum + scale.maximum) / 2
    judged = {
        code: _judged(part, raters, prompts, scale.minimum) for code, part in synthetic.items()
    }
    return Trials(
        tuple(str(code) for code in raters), judged,
        _judged(real, raters, prompts, scale.minimum), points > middle, points < middle,
        len(prompts),
    )  # fmt: skip


def _judged(
    part: pd.DataFrame, raters: list[str], prompts: list[str], minimum: int
) -> Judged:
    images = part.drop_duplicates("stimulus_id").sort_values("stimulus_id")
    place = pd.Index(images["stimulus_id"]).get_indexer(pd.Index(part["stimulus_id"]))
    rater = pd.Index(raters).get_indexer(pd.Index(part["rater_code"]))
    points = np.full((len(raters), len(images)), UNSEEN, dtype=np.intp)
    points[rater, place] = part["value"].to_numpy(float).astype(np.intp) - minimum
    prompt = pd.Index(prompts).get_indexer(pd.Index(images["prompt_id"]))
    return Judged(points, prompt.astype(np.intp))
