"""Tests of ranks on the means of prompts: of these raters only.

Scores of a prompt are averaged over the raters, and the prompts are the sample. So nothing is
concluded for other raters; the differences of mean scores do that.
"""

import dataclasses
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import pandas as pd
from scipy import stats  # type: ignore[import-untyped]

from .comparison import is_paired, why_no_answers
from .components import cell_means
from .crossed import Numbers
from .finding import Finding, Scale, Settings, Table
from .formatting import NONE, arm_label, counted, interval_of, number, p_value, percent
from .tables import asked, main_answers

RESAMPLES: Final = 2000
LEAST_PROMPTS: Final = 6  # with fewer no signed rank test can come below 0.03
MOST_EXACT: Final = 49  # pairs, as R takes them
THESE_RATERS: Final = "These raters only: nothing is concluded for other raters."
NO_PAIRS: Final = "These arms have prompts of their own, so that there are no pairs."
RANK_BISERIAL: Final = (
    "Matched-pairs rank biserial correlation; percentile bootstrap over prompts"
)
KENDALL: Final = "Kendall's W; percentile bootstrap over prompts"


@dataclasses.dataclass(frozen=True, slots=True)
class RankTest:
    """A test of ranks on means of prompts.

    Args:
        question:  Code.
        kind:      "Friedman": do the arms differ at all; "Wilcoxon": two arms.
        arms:      Codes; of Wilcoxon the arm and the reference.
        statistic: Chi-squared, or the sum of the ranks of positive differences (V); None where
                   there is none, and `effect` says why.
        p:         Two-sided, not adjusted.
        effect:    Kendall's W, 0 to 1, or the matched-pairs rank biserial correlation, -1 to 1,
                   above 0 where the arm has the higher scores.
    """

    question: str
    kind: Literal["Friedman", "Wilcoxon"]
    arms: tuple[str, ...]
    statistic: float | None
    p: float | None
    effect: Finding


def rank_tests(ratings: pd.DataFrame, settings: Settings) -> tuple[RankTest, ...]:
    """Return Friedman's test of all arms with the same prompts, and Wilcoxon's of each contrast.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Of the analysis; its seed draws the bootstrap samples.

    Source: Friedman (1937), Journal of the American Statistical Association 32, 675-701; Wilcoxon
    (1945), Biometrics Bulletin 1, 80-83; Kerby (2014), Comprehensive Psychology 3, for the rank
    biserial correlation of matched pairs; Kendall & Babington Smith (1939), Annals of Mathematical
    Statistics 10, 275-287, for W.
    """
    if settings.display == "side_by_side":
        return ()
    found: list[RankTest] = []
    for scale in settings.scales:
        if scale.kind != "scale":
            continue
        shown = asked(ratings, settings, scale.code)
        answers = main_answers(ratings, settings, scale.code)
        arms = _arms_with_same_prompts(shown, settings)
        if len(arms) > 2:
            found.append(_friedman(answers, settings, scale, arms))
        for arm in settings.contrast_arms:
            pair = (arm, settings.reference_arm)
            why = why_no_answers(shown, answers, settings, pair)
            if not why and not is_paired(shown, *pair):
                why = NO_PAIRS
            if why:
                missing = Finding.missing(why)
                found.append(RankTest(scale.code, "Wilcoxon", pair, None, None, missing))
            else:
                found.append(_wilcoxon(answers, settings, scale, pair))
    return tuple(found)


def _arms_with_same_prompts(shown: pd.DataFrame, settings: Settings) -> tuple[str, ...]:
    there = set(shown["arm"].dropna())
    codes = [arm.code for arm in settings.arms if arm.code in there]
    return tuple(code for code in codes if is_paired(shown, codes[0], code))


def _prompt_means(answers: pd.DataFrame, arms: Sequence[str]) -> tuple[Numbers, str]:
    """Return means of prompts (prompts, arms) over raters who judged all arms, and their number."""
    kept = answers[answers["arm"].isin(list(arms))]
    if kept["arm"].nunique() < len(arms):
        return np.empty((0, len(arms))), ""
    cells = cell_means(kept).dropna()
    means = cells["mean"].groupby(level="prompt_id").mean()
    raters = cells.index.get_level_values("rater_code").nunique()
    n = (
        f"{counted(len(means), 'prompt')}, {counted(raters, 'rater')}, "
        f"{counted(int(cells['count'].to_numpy().sum()), 'answer')}"
    )
    # Means that are equal must stay equal, and so be ties.
    return np.round(means[list(arms)].to_numpy(float), 9), n


def _wilcoxon(
    answers: pd.DataFrame, settings: Settings, scale: Scale, pair: tuple[str, str]
) -> RankTest:
    means, n = _prompt_means(answers, pair)
    differences = np.round(means[:, 0] - means[:, 1], 9)
    nonzero = differences[differences != 0]
    if why := _why_none(means, len(nonzero) == 0):
        return RankTest(scale.code, "Wilcoxon", pair, None, None, Finding.missing(why, n=n))
    has_ties = len(np.unique(np.abs(nonzero))) < len(differences)
    is_exact = not has_ties and len(nonzero) <= MOST_EXACT
    method = "exact" if is_exact else "asymptotic"
    p = stats.wilcoxon(nonzero, correction=not is_exact, method=method).pvalue
    ranks = stats.rankdata(np.abs(nonzero))
    draws = _draws(settings, len(differences))
    effect = _effect(
        float(rank_biserial(differences)), rank_biserial(differences[draws]), n, RANK_BISERIAL,
        settings, len(differences),
    )  # fmt: skip
    statistic = float(ranks[nonzero > 0].sum())
    return RankTest(scale.code, "Wilcoxon", pair, statistic, float(p), effect)


def _friedman(
    answers: pd.DataFrame, settings: Settings, scale: Scale, arms: tuple[str, ...]
) -> RankTest:
    means, n = _prompt_means(answers, arms)
    is_flat = not len(means) or bool(np.all(means == means[:, :1]))
    if why := _why_none(means, is_flat):
        return RankTest(scale.code, "Friedman", arms, None, None, Finding.missing(why, n=n))
    statistic, p = stats.friedmanchisquare(*means.T)
    draws = _draws(settings, len(means))
    effect = _effect(
        float(kendall_w(means)), kendall_w(means[draws]), n, KENDALL, settings, len(means)
    )
    return RankTest(scale.code, "Friedman", arms, float(statistic), float(p), effect)


def _why_none(means: Numbers, is_flat: bool) -> str:
    if not len(means):
        return "No rater has judged all of these arms for the same prompt."
    if len(means) < 2:
        return "One prompt is too few."
    return "All means of prompts agree between the arms." if is_flat else ""


def _draws(settings: Settings, count: int) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    return np.random.default_rng(settings.seed).integers(0, count, (RESAMPLES, count))


def _effect(
    value: float, resampled: Numbers, n: str, method: str, settings: Settings, prompts: int
) -> Finding:
    level = 1 - settings.alpha
    if prompts < LEAST_PROMPTS:
        note = f"Fewer than {LEAST_PROMPTS} prompts: no interval. {THESE_RATERS}"
        return Finding(value, None, None, n, method, note, level)
    low, high = np.quantile(resampled, (settings.alpha / 2, 1 - settings.alpha / 2))
    return Finding(value, float(low), float(high), n, method, THESE_RATERS, level)


def rank_biserial(differences: Numbers) -> Numbers:
    """Return (sum of positive ranks - sum of negative ranks) / sum of ranks; 0 where all are 0.

    Args:
        differences: (..., pairs); zeros have no rank.
    """
    zeros = np.sum(differences == 0, axis=-1, keepdims=True)
    ranks = stats.rankdata(np.abs(differences), axis=-1) - zeros
    ranks = np.where(differences == 0, 0.0, ranks)
    total = np.sum(ranks, axis=-1)
    balance = np.sum(np.sign(differences) * ranks, axis=-1)
    share: Numbers = np.divide(balance, total, out=np.zeros_like(balance), where=total > 0)
    return share


def kendall_w(scores: Numbers) -> Numbers:
    """Return Kendall's W with correction for ties, 0 (no order of arms) to 1; 0 where all tie.

    Args:
        scores: (..., prompts, arms).
    """
    prompts, arms = scores.shape[-2:]
    ranks = stats.rankdata(scores, axis=-1)
    sums = np.sum(ranks, axis=-2)
    spread = 12 * np.sum((sums - prompts * (arms + 1) / 2) ** 2, axis=-1)
    equal = np.sum(scores[..., :, None] == scores[..., None, :], axis=-1)  # size of each one's tie
    ties = np.sum(equal**2 - 1, axis=(-2, -1))
    most = prompts**2 * (arms**3 - arms) - prompts * ties
    w: Numbers = np.divide(spread, most, out=np.zeros_like(spread), where=most > 0)
    return w


def rank_table(tests: Sequence[RankTest], settings: Settings) -> Table:
    """Return the table of rank tests, labelled as being of these raters only.

    Args:
        tests:    See `rank_tests`.
        settings: Of the analysis.
    """
    level = percent(1 - settings.alpha)
    columns = (
        "Question", "Test", "Arms", "Statistic", "p", "Effect", f"{level} interval", "Based on"
    )  # fmt: skip
    rows, notes = [], [THESE_RATERS]
    said: dict[str, list[str]] = {}  # a remark of many tests is told once
    for one in tests:
        mark = ", " if one.kind == "Friedman" else " - "
        arms = mark.join(arm_label(settings, code) for code in one.arms)
        rows.append((
            one.question, one.kind, arms, number(one.statistic), p_value(one.p),
            number(one.effect.value), interval_of(one.effect), one.effect.n or NONE,
        ))  # fmt: skip
        if own := one.effect.note.replace(THESE_RATERS, "").strip():
            said.setdefault(own, []).append(f"{one.question}, {one.kind}, {arms}")
    notes += [f"{'; '.join(of)}: {own}" for own, of in said.items()]
    notes.append("p values are not adjusted; a prompt's scores are averaged over raters first.")
    kinds = {one.kind for one in tests if one.statistic is not None}
    if "Wilcoxon" in kinds:
        notes.append(f"Wilcoxon: V, the sum of positive ranks. Effect: {RANK_BISERIAL}.")
    if "Friedman" in kinds:
        notes.append(
            f"Friedman: chi-squared. Effect: {KENDALL}. W is never below 0, so that its interval "
            "does not reach 0 even where arms do not differ; p tells that."
        )
    title = "Rank tests on means of prompts (these raters only)"
    return Table("rank_tests", title, columns, tuple(rows), tuple(notes))
