"""The measures of agreement of a panel of raters, each as a finding or the sentence for it."""

import dataclasses
from collections.abc import Iterator
from typing import Final

import numpy as np

from .crossed import Numbers
from .finding import Finding, Settings
from .intraclass import Intraclass, intraclass, mean_rater_count, squares_of
from .kappa import Kappa, cohen, fleiss, pair_tables
from .krippendorff import alpha, coincidences, pair_shares
from .panel import STIMULUS, Panel
from .resampling import LEAST_UNITS, Statistic, bootstrap_interval, sample_count

ALPHA_ORDINAL: Final = "Krippendorff's alpha, ordinal"
ALPHA_NOMINAL: Final = "Krippendorff's alpha, nominal"
ICC_ONE: Final = "ICC(2,1), one rater"
ICC_MEAN: Final = "ICC(2,k), mean of raters"
FLEISS: Final = "Fleiss' kappa"
EXACT: Final = "Pairs with the same answer"
CLOSE: Final = "Pairs within one point"
LEAST_JUDGED: Final = 5  # units, below which nothing is said
WELL_JUDGED: Final = 50  # units, from which on intervals of Fleiss' kappa cover what they promise
LEAST_SHARED: Final = 10  # units that two raters share, below which nothing is said of the pair


def panel_measures(
    panel: Panel, settings: Settings, *, is_whole: bool
) -> Iterator[tuple[str, Finding]]:
    """Yield the measures of a panel by name.

    Args:
        panel:    Of units that two raters or more judged.
        settings: Of the analysis.
        is_whole: Whether it is of all arms; within one only alpha and the correlations are told,
                  which differences between arms raise.
    """
    names = [ALPHA_NOMINAL] if panel.is_nominal else [ALPHA_ORDINAL, ICC_ONE, ICC_MEAN]
    if is_whole:
        names += [FLEISS, EXACT] if panel.is_nominal else [ALPHA_NOMINAL, FLEISS, EXACT, CLOSE]
    absent = _too_few(panel)
    for name in names:
        if absent:
            yield name, Finding.missing(absent, n=panel.described())
        elif name in (ICC_ONE, ICC_MEAN):
            yield name, _intraclass(panel, settings, is_mean=name == ICC_MEAN)
        elif name == FLEISS:
            yield name, _fleiss(panel, settings)
        elif name in (EXACT, CLOSE):
            yield name, _share(panel, settings, within=int(name == CLOSE))
        else:
            yield name, _alpha(panel, settings, is_ordinal=name == ALPHA_ORDINAL)


def pair_findings(panel: Panel, settings: Settings) -> Iterator[tuple[str, str, Finding]]:
    """Yield the code of each two raters and their kappa, weighted unless points have no order."""
    level = 1 - settings.alpha
    method = kappa_method(is_weighted=not panel.is_nominal)
    for first, second, table in pair_tables(panel):
        codes = panel.rater_codes[first], panel.rater_codes[second]
        shared = int(table.sum())
        n = str(shared)
        if shared < LEAST_SHARED:
            sentence = f"Fewer than {LEAST_SHARED} judged by both."
            yield *codes, Finding.missing(sentence, n=n, method=method)
            continue
        found = cohen(table, level, is_weighted=not panel.is_nominal)
        if found is None:
            sentence = "One of them gave the same answer to all that both judged."
            yield *codes, Finding.missing(sentence, n=n, method=method)
        else:
            yield *codes, kappa_finding(found, n, method, level)


def kappa_method(*, is_weighted: bool) -> str:
    """Return the method of Cohen's kappa."""
    name = "Quadratically weighted kappa" if is_weighted else "Cohen's kappa"
    return f"{name}; interval by the standard error of Fleiss, Cohen & Everitt (1969)"


def kappa_finding(found: Kappa, n: str, method: str, level: float) -> Finding:
    """Return a kappa as a finding, without an interval where nobody disagrees."""
    if found.high - found.low <= 1e-12:
        note = "No interval: all answers are the same in pairs."
        return Finding(found.value, None, None, n, method, note, level)
    return Finding(found.value, found.low, found.high, n, method, level=level)


def _too_few(panel: Panel) -> str:
    if panel.rater_count < 2:
        return "Agreement needs two raters or more who judged the same."
    if panel.unit_count < LEAST_JUDGED:
        return (
            f"Two raters or more judged {panel.counted_units()}; from {LEAST_JUDGED} on agreement "
            "can be told."
        )
    return ""


def _unvaried(panel: Panel) -> str:
    """Return the sentence on answers that are all the same; "" where they are not."""
    if len(np.unique(panel.point)) > 1:
        return ""
    return (
        f"Every answer is the same ({panel.points[panel.point[0]]:g} of the scale): where nothing "
        "differs, agreement beyond chance cannot be told."
        if not panel.is_nominal
        else "The same arm was preferred every time: where nothing differs, agreement beyond "
        "chance cannot be told."
    )


def _bootstrapped(
    panel: Panel, sums: Numbers, statistic: Statistic, settings: Settings, method: str
) -> Finding:
    """Return a statistic of sums over units with its bootstrap interval."""
    value = float(statistic(sums.sum(axis=0)))
    level, n = 1 - settings.alpha, panel.described()
    if panel.unit_count < LEAST_UNITS:
        note = f"No interval: of fewer than {LEAST_UNITS} units the bootstrap's is too narrow."
        return Finding(value, None, None, n, method, note, level)
    ends = bootstrap_interval(sums, statistic, level=level, seed=settings.seed)
    noun = "stimuli" if panel.noun == STIMULUS else "prompts"
    method += (
        f"; bias-corrected accelerated bootstrap over {noun}, "
        f"{sample_count(panel.unit_count)} samples, seed {settings.seed}"
    )
    if ends is None:
        note = "No interval: the answers differ too little for one."
        return Finding(value, None, None, n, method, note, level)
    return Finding(value, *ends, n, method, level=level)


def _alpha(panel: Panel, settings: Settings, *, is_ordinal: bool) -> Finding:
    metric = "ordinal" if is_ordinal else "nominal"
    method = f"Krippendorff (2011), {metric} metric"
    if sentence := _unvaried(panel):
        return Finding.missing(sentence, n=panel.described(), method=method)
    size = len(panel.points)

    def statistic(sums: Numbers) -> Numbers:
        matrix = sums.reshape(*sums.shape[:-1], size, size)
        return alpha(matrix, "ordinal" if is_ordinal else "nominal", panel.points)

    sums = coincidences(panel.counts()).reshape(panel.unit_count, -1)
    return _bootstrapped(panel, sums, statistic, settings, method)


def _share(panel: Panel, settings: Settings, *, within: int) -> Finding:
    method = "Share of the pairs of answers to one stimulus"
    if panel.noun != STIMULUS:
        method = "Share of the pairs of answers to one prompt"

    def statistic(sums: Numbers) -> Numbers:
        share: Numbers = sums[..., 0] / sums[..., 1]
        return share

    sums = np.stack(pair_shares(panel.counts(), within), axis=1)
    return _bootstrapped(panel, sums, statistic, settings, method)


def _intraclass(panel: Panel, settings: Settings, *, is_mean: bool) -> Finding:
    n, level = panel.described(), 1 - settings.alpha
    method = _intraclass_method(panel)
    squares = squares_of(panel.rater, panel.unit, panel.values)
    if sentence := _unvaried(panel):
        return Finding.missing(sentence, n=n, method=method)
    if squares is None:
        return Finding.missing(
            "Raters and stimuli overlap too little to tell their variances apart.",
            n=n, method=method,
        )  # fmt: skip
    count = mean_rater_count(panel.unit) if is_mean else 1.0
    found = intraclass(squares, count, level)
    if found is None:
        return Finding.missing(
            "The raters' mean answers to all stimuli are the same: where stimuli do not differ, "
            "a correlation cannot be told.",
            n=n, method=method,
        )  # fmt: skip
    remarks = ([f"k = {count:.3g}."] if is_mean else []) + _remarks(found)
    return Finding(found.value, found.low, found.high, n, method, " ".join(remarks), level)


def _intraclass_method(panel: Panel) -> str:
    if panel.is_complete:
        return "Two-way analysis of variance, raters random; interval by F (McGraw & Wong 1996)"
    return (
        "Variance components by Henderson's method 3, raters random; approximate interval by F "
        "(McGraw & Wong 1996, with the layout's degrees of freedom)"
    )


def _remarks(found: Intraclass) -> list[str]:
    if found.low is None:
        return ["No interval: all raters gave the same answers."]
    return ["Below 0: raters agree no more than by chance."] if found.value < 0 else []


def _fleiss(panel: Panel, settings: Settings) -> Finding:
    n, level = panel.described(), 1 - settings.alpha
    method = "Fleiss (1971); interval by the standard error of Gwet (2008)"
    if not panel.is_complete:
        return Finding.missing(
            "Raters judged different stimuli; Fleiss' kappa is of raters who all judged the same. "
            "Krippendorff's nominal alpha takes its place.",
            n=n, method=method,
        )  # fmt: skip
    found = fleiss(panel.counts(), level)
    if found is None:
        return Finding.missing(_unvaried(panel), n=n, method=method)
    finding = kappa_finding(found, n, method, level)
    if finding.low is None or panel.unit_count >= WELL_JUDGED:
        return finding
    note = f"The interval is somewhat too narrow: fewer than {WELL_JUDGED} units."
    return dataclasses.replace(finding, note=note)
