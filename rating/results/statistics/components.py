"""Variance components of scores: what the next study is planned with."""

import itertools
from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from .crossed import Layout, Numbers, mean_squares
from .finding import Scale, Settings, Table
from .formatting import number
from .tables import main_answers

NAMES: Final = ("rater", "prompt", "rater_arm", "prompt_arm", "rater_prompt", "residual")
PLANNED_RANGE: Final = 4  # of the scale of 1 to 5 that the plan of studies takes variances on


def pair_components(
    layout: Layout, first: Numbers, second: Numbers, replicates: float = 1.0
) -> Mapping[str, float]:
    """Return the variance components of two arms that the same raters judged for the same prompts.

    Differences of the arms hold twice what an arm adds to a rater, a prompt and a single score;
    of the means of both arms, what is left is of raters and prompts whatever the arm.

    Args:
        layout:     Cells that both arms have.
        first:      (cells,) scores of one arm.
        second:     (cells,) of the other.
        replicates: Images of an arm in a cell, of which the scores are means.

    Returns:
        By the names of the plan of studies, in squared points, as estimated: they can be negative.
        Empty where the layout cannot tell them apart.
    """
    difference = mean_squares(layout, first - second)
    mean = mean_squares(layout, (first + second) / 2)
    if not (difference.residual_df and difference.rater_df and difference.prompt_df):
        return {}
    of_raters, of_prompts = difference.rater_component, difference.prompt_component
    return {
        "rater": float(mean.rater_component - of_raters / 4),
        "prompt": float(mean.prompt_component - of_prompts / 4),
        "rater_arm": float(of_raters / 2),
        "prompt_arm": float(of_prompts / 2),
        "rater_prompt": float(mean.residual - difference.residual / 4),
        "residual": replicates * float(difference.residual / 2),
    }


def cell_layout(cells: pd.Index) -> Layout:
    """Return the layout of cells indexed by rater_code and prompt_id."""
    raters, prompts = (
        pd.factorize(cells.get_level_values(name), sort=True)[0]
        for name in ("rater_code", "prompt_id")
    )
    return Layout(raters.astype(np.intp), prompts.astype(np.intp))


def cell_means(answers: pd.DataFrame) -> pd.DataFrame:
    """Return means and counts of answers by rater and prompt, in columns (mean or count, arm)."""
    return answers.pivot_table(
        index=["rater_code", "prompt_id"], columns="arm", values="value", aggfunc=["mean", "count"]
    )


def score_components(ratings: pd.DataFrame, settings: Settings, scale: Scale) -> dict[str, float]:
    """Return the variance components of a question: means over all pairs of synthetic arms.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Of the analysis.
        scale:    The question.

    Returns:
        By the names of the plan of studies, in squared points of the question's own scale, none
        below 0. Empty where there are no two synthetic arms that two raters or more judged for the
        same two prompts or more.
    """
    answers = main_answers(ratings, settings, scale.code)
    codes = [arm.code for arm in settings.arms if not arm.is_real]
    found = []
    for pair in itertools.combinations(codes, 2):
        both = answers[answers["arm"].isin(pair)]
        if both["arm"].nunique() < 2:
            continue
        cells = cell_means(both).dropna()
        if cells.empty:
            continue
        counts = 1 / float(np.mean(1 / cells["count"].to_numpy(float)))
        first, second = (cells["mean", code].to_numpy(float) for code in pair)
        if one := pair_components(cell_layout(cells.index), first, second, counts):
            found.append(one)
    if not found:
        return {}
    return {name: max(sum(one[name] for one in found) / len(found), 0.0) for name in NAMES}


def components(ratings: pd.DataFrame, settings: Settings) -> dict[str, dict[str, float]]:
    """Return `score_components` of every scale question by its code; none side by side."""
    if settings.display == "side_by_side":
        return {}
    return {
        scale.code: score_components(ratings, settings, scale)
        for scale in settings.scales
        if scale.kind == "scale"
    }


def component_table(found: Mapping[str, Mapping[str, float]], settings: Settings) -> Table:
    """Return the table of variance components, and how to plan a next study with them.

    Args:
        found:    See `components`.
        settings: Of the analysis.
    """
    rows = [
        (code, *(number(one.get(name), 3) for name in NAMES)) for code, one in found.items()
    ]
    notes = []
    if primary := found.get(settings.primary_question):
        scale = settings.scale(settings.primary_question)
        factor = (PLANNED_RANGE / max(scale.maximum - scale.minimum, 1)) ** 2
        given = " ".join(f"--variance {name}={number(factor * primary[name], 3)}" for name in NAMES)
        notes.append(f"To plan a next study with those of {scale.code}: {given}")
    notes.append(
        "Squared points of each question's own scale, by the method of moments, means over all "
        "pairs of synthetic arms, without intervals; an estimate below 0 is shown as 0. With few "
        "raters they are rough. The plan takes them on a scale of 1 to 5."
    )
    title = "Variance components of a score"
    return Table("variance_components", title, ("Question", *NAMES), tuple(rows), tuple(notes))
