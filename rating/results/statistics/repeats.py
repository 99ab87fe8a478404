"""Agreement of raters with themselves, on what they were shown twice without being told."""

import dataclasses
from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats  # type: ignore[import-untyped]

from .agreement_measures import kappa_finding, kappa_method
from .crossed import Indices
from .finding import Finding, Settings
from .formatting import counted
from .intraclass import intraclass, squares_of
from .kappa import cohen
from .panel import panel_of_answers
from .tables import main_answers

LEAST_PAIRS: Final = 30
KAPPA_AGAIN: Final = "Kappa of first and second answer"
ICC_AGAIN: Final = "ICC(2,1) of first and second answer"
SAME_AGAIN: Final = "Same answer twice"


@dataclasses.dataclass(frozen=True)
class Twice:
    """Answers of raters to what they saw twice.

    Args:
        first:       Point of the first answer, (pairs,).
        second:      Point of the second.
        points:      What the points are worth.
        rater_count: Raters that have a pair.
        is_nominal:  Whether points have no order.
    """

    first: Indices
    second: Indices
    points: tuple[float, ...]
    rater_count: int
    is_nominal: bool

    @property
    def pair_count(self) -> int:
        """Number of pairs."""
        return len(self.first)


def twice_answered(ratings: pd.DataFrame, settings: Settings, question: str) -> Twice:
    """Return the answers to hidden repeats beside the first answers.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Of the analysis.
        question: Code of the question.
    """
    first = main_answers(ratings, settings, question)
    again = ratings[(ratings["item_kind"] == "repeat") & ratings["repeat_of_item_id"].notna()]
    again = again.assign(item_kind="main", item_id=again["repeat_of_item_id"].astype("int64"))
    second = main_answers(again, settings, question)
    columns = ["rater_code", "item_id", "arm", "value"]
    pairs = first[columns].merge(
        second[columns], on=["rater_code", "item_id"], suffixes=("", "_again"), how="inner"
    )
    panel = panel_of_answers(first, settings, question)
    if panel.is_nominal:
        codes = [arm.code for arm in settings.arms]
        one, two = (
            pd.Categorical(pairs[name], categories=codes).codes.astype(np.intp)
            for name in ("arm", "arm_again")
        )
    else:
        minimum = settings.scale(question).minimum
        one, two = (
            pairs[name].to_numpy(float).astype(np.intp) - minimum
            for name in ("value", "value_again")
        )
    return Twice(one, two, panel.points, int(pairs["rater_code"].nunique()), panel.is_nominal)


def repeat_measures(
    ratings: pd.DataFrame, settings: Settings, question: str
) -> Iterator[tuple[str, Finding]]:
    """Yield measures of agreement of raters with themselves, by name; nothing without repeats.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Of the analysis.
        question: Code of the question.
    """
    if not (ratings["item_kind"] == "repeat").any():
        return
    twice = twice_answered(ratings, settings, question)
    names = (KAPPA_AGAIN, SAME_AGAIN) if twice.is_nominal else (KAPPA_AGAIN, ICC_AGAIN, SAME_AGAIN)
    n = f"{counted(twice.pair_count, 'pair')}, {counted(twice.rater_count, 'rater')}"
    few = (
        f"{counted(twice.pair_count, 'pair')} of first and second answers; agreement of raters "
        f"with themselves is told from {LEAST_PAIRS} pairs on."
    )
    for name in names:
        if twice.pair_count < LEAST_PAIRS:
            yield name, Finding.missing(few, n=n)
        elif name == KAPPA_AGAIN:
            yield name, _kappa(twice, n, 1 - settings.alpha)
        elif name == ICC_AGAIN:
            yield name, _intraclass(twice, n, 1 - settings.alpha)
        else:
            yield name, _same(twice, n, 1 - settings.alpha)


def _kappa(twice: Twice, n: str, level: float) -> Finding:
    size = len(twice.points)
    table = np.bincount(twice.first * size + twice.second, minlength=size**2).reshape(size, size)
    found = cohen(table.astype(float), level, is_weighted=not twice.is_nominal)
    method = kappa_method(is_weighted=not twice.is_nominal)
    if found is None:
        return Finding.missing(
            "All first or all second answers are the same: where nothing differs, agreement beyond "
            "chance cannot be told.",
            n=n, method=method,
        )  # fmt: skip
    return kappa_finding(found, n, method, level)


def _intraclass(twice: Twice, n: str, level: float) -> Finding:
    method = "Two-way analysis of variance, showings random; interval by F (McGraw & Wong 1996)"
    showing = np.repeat(np.arange(2), twice.pair_count)
    unit = np.tile(np.arange(twice.pair_count), 2)
    points = np.asarray(twice.points)
    squares = squares_of(showing, unit, points[np.concatenate([twice.first, twice.second])])
    found = intraclass(squares, 1.0, level) if squares is not None else None
    if found is None:
        return Finding.missing(
            "The answers differ too little for a correlation.", n=n, method=method
        )
    note = "No interval: all second answers are as the first." if found.low is None else ""
    return Finding(found.value, found.low, found.high, n, method, note, level)


def _same(twice: Twice, n: str, level: float) -> Finding:
    same = int(np.sum(twice.first == twice.second))
    ends = stats.binomtest(same, twice.pair_count).proportion_ci(level, method="wilson")
    value = same / twice.pair_count
    return Finding(
        value, float(ends.low), float(ends.high), n, "Share of pairs; interval by Wilson (1927)",
        level=level,
    )  # fmt: skip
