"""Luce's model of a choice among several, which of two is that of Bradley and Terry.

The chance that an arm is chosen is its strength over the sum of the strengths of all arms shown;
its ability is the logarithm of its strength, relative to one arm. Places on the screen may have
strengths of their own.
"""

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse  # type: ignore[import-untyped]
from scipy.sparse import csgraph  # type: ignore[import-untyped]

from .crossed import Indices, Numbers

STEPS: Final = 100
CLOSE_ENOUGH: Final = 1e-10

Flags = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Choices:
    """Choices among pictures, one row a choice and one column a place on the screen.

    Args:
        arm:    Index of the arm shown, (choices, slots).
        shown:  Whether there was a picture, (choices, slots).
        chosen: Slot of the picture chosen, (choices,).
        rater:  Index of the rater who chose, (choices,).
        prompt: Index of the prompt, (choices,).
    """

    arm: Indices
    shown: Flags
    chosen: Indices
    rater: Indices
    prompt: Indices

    @property
    def count(self) -> int:
        """Number of choices."""
        return len(self.chosen)

    @property
    def winners(self) -> Indices:
        """Arm that was chosen, (choices,)."""
        return self.arm[np.arange(self.count), self.chosen]

    def among(self, arms: Flags) -> "Choices":
        """Return the choices of some arms, as if only these had been shown.

        Luce's model is the only one in which this leaves their relative strengths unchanged.

        Args:
            arms: Whether an arm is kept, by index.
        """
        shown = self.shown & arms[self.arm]
        kept = arms[self.winners] & (shown.sum(axis=1) >= 2)
        return Choices(
            self.arm[kept], shown[kept], self.chosen[kept], self.rater[kept], self.prompt[kept]
        )


@dataclasses.dataclass(frozen=True)
class Fit:
    """Coefficients of largest likelihood.

    Args:
        values:   (coefficients,).
        bread:    Inverse of the information, (coefficients, coefficients).
        scores:   What each choice adds to the slope of the likelihood, (choices, coefficients).
        log_likelihood: At the values.
    """

    values: Numbers
    bread: Numbers
    scores: Numbers
    log_likelihood: float


def linked_arms(choices: Choices, arm_count: int) -> Indices:
    """Return the group of each arm; within a group abilities are finite.

    Two arms are of one group where choices lead from each to the other: it was chosen over one that
    was chosen over one ... and back. Between groups no finite ability fits best.

    Source: Ford (1957), American Mathematical Monthly 64 (8, part 2), 28-33; Hunter (2004), Annals
    of Statistics 32, 384-406, assumption 1.
    """
    slots = choices.shown.shape[1]
    is_beaten = choices.shown & (np.arange(slots) != choices.chosen[:, None])
    winners = np.broadcast_to(choices.winners[:, None], is_beaten.shape)[is_beaten]
    losers = choices.arm[is_beaten]
    links = sparse.coo_array((np.ones(len(losers)), (winners, losers)), (arm_count, arm_count))
    groups: Indices = csgraph.connected_components(links, directed=True, connection="strong")[1]
    return groups


def design(choices: Choices, arms: Sequence[int], slots: Sequence[int] = ()) -> Numbers:
    """Return what each coefficient adds to the strength of each picture.

    Args:
        choices: Choices.
        arms:    Indices of arms that have a coefficient; the others are what they are held against.
        slots:   Likewise of places.

    Returns:
        (choices, slots, coefficients)
    """
    columns = [choices.arm == arm for arm in arms]
    places = np.broadcast_to(np.arange(choices.shown.shape[1]), choices.shown.shape)
    columns += [places == slot for slot in slots]
    return np.stack(columns, axis=-1).astype(float)


def fit(choices: Choices, columns: Numbers) -> Fit | None:
    """Return the coefficients of largest likelihood; None where there are no finite ones.

    Args:
        choices: Choices.
        columns: See `design`.

    Source: Luce (1959), Individual Choice Behavior; Bradley & Terry (1952), Biometrika 39, 324-345;
    McFadden (1974), Conditional logit analysis of qualitative choice behavior. By Newton's steps,
    halved where they lead down; the logarithm of the likelihood is concave.
    """
    values = np.zeros(columns.shape[-1])
    current = _log_likelihood(choices, columns, values)
    for _ in range(STEPS):
        scores, information = _slopes(choices, columns, values)
        if np.linalg.cond(information) > 1 / CLOSE_ENOUGH:
            return None
        step = np.linalg.solve(information, scores.sum(axis=0))
        for _ in range(STEPS):
            reached = _log_likelihood(choices, columns, values + step)
            if reached >= current - CLOSE_ENOUGH:
                break
            step = step / 2
        values, current = values + step, reached
        if np.max(np.abs(step)) < CLOSE_ENOUGH:
            scores, information = _slopes(choices, columns, values)
            bread: Numbers = np.linalg.inv(information).astype(np.float64)
            return Fit(values, bread, scores, current)
    return None


def _chances(choices: Choices, columns: Numbers, values: Numbers) -> Numbers:
    """Return the chance of each picture to be chosen, (choices, slots)."""
    strength = np.where(choices.shown, columns @ values, -np.inf)
    strength = np.exp(strength - strength.max(axis=1, keepdims=True))
    chances: Numbers = strength / strength.sum(axis=1, keepdims=True)
    return chances


def _log_likelihood(choices: Choices, columns: Numbers, values: Numbers) -> float:
    chances = _chances(choices, columns, values)
    of_chosen = chances[np.arange(choices.count), choices.chosen]
    with np.errstate(divide="ignore"):
        return float(np.sum(np.log(of_chosen)))


def _slopes(choices: Choices, columns: Numbers, values: Numbers) -> tuple[Numbers, Numbers]:
    """Return the score of each choice and the information of all."""
    chances = _chances(choices, columns, values)
    expected = np.einsum("ns,nsp->np", chances, columns)
    of_chosen = columns[np.arange(choices.count), choices.chosen]
    second = np.einsum("ns,nsp,nsq->pq", chances, columns, columns)
    return of_chosen - expected, second - expected.T @ expected


def clustered(fit: Fit, groups: Sequence[Indices]) -> list[Numbers]:
    """Return the sandwich covariance of the coefficients for each way of grouping choices.

    Choices of one group may depend on each other in any way; groups are independent.

    Args:
        fit:    See `fit`.
        groups: Index of the group of each choice, one array for each way.

    Returns:
        (coefficients, coefficients) each, times groups / (groups - 1).

    Source: Liang & Zeger (1986), Biometrika 73, 13-22; Cameron, Gelbach & Miller (2011), Journal of
    Business & Economic Statistics 29, 238-249, equation 2.11 for two ways at once.
    """
    found = []
    for group in groups:
        count = int(group.max()) + 1
        sums = np.stack(
            [np.bincount(group, column, minlength=count) for column in fit.scores.T], axis=1
        )
        found.append(fit.bread @ (sums.T @ sums) @ fit.bread * count / (count - 1))
    return found
