"""The sentences of the results: what was found, in words that claim no more than was found."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rating.results.naming import arm_name
from rating.results.statistics.finding import Finding, Settings
from rating.results.statistics.formatting import interval, p_value, settled
from rating.results.statistics.formatting import number as decimal
from rating.results.wording import code, listed, number, plain

if TYPE_CHECKING:  # the libraries behind it are loaded when results are asked for
    from rating.results.statistics.agreement import Agreement
    from rating.results.statistics.analysis import Analysis
    from rating.results.statistics.contrast import Contrast
    from rating.results.statistics.detection import Detections
    from rating.results.statistics.preference import Preference

UNDECIDED = "this shows neither that the two differ nor that they do not"


def result_sentences(analysis: "Analysis") -> Iterator[tuple[str, list[str]]]:
    """Yield a heading and its sentences for each part of the results, the primary one first."""
    settings = analysis.settings
    primary = [one for one in analysis.contrasts if one.question == settings.primary_question]
    others = [one for one in analysis.contrasts if one.question != settings.primary_question]
    preferences = analysis.preference.questions if analysis.preference is not None else ()
    if primary:
        yield "Primary question", [*_contrasts(primary, settings), *_not_generalised(primary)]
    for asked in preferences:
        is_primary = asked.question == settings.primary_question
        heading = "Primary question" if is_primary else "Preference"
        yield heading, _preference(asked, settings)
    if not primary and not any(
        asked.question == settings.primary_question for asked in preferences
    ):
        yield "Primary question", [
            f"there is no contrast of {code(settings.primary_question)}: nothing was compared"
        ]
    if others:
        yield "Other questions", _contrasts(others, settings)
    if analysis.detection is not None and (told := _detection(analysis.detection, settings)):
        yield "Real or synthetic", told
    if sentences := _agreement(analysis.agreement, settings):
        yield "Agreement", sentences


def _contrasts(contrasts: list["Contrast"], settings: Settings) -> list[str]:
    return [
        sentence for one in contrasts for sentence in (_difference(one, settings),
                                                       *_equivalence(one, settings))
    ]  # fmt: skip


def _difference(one: "Contrast", settings: Settings) -> str:
    arm, reference = arm_name(settings, one.arm), arm_name(settings, one.reference)
    value = one.finding.value
    of = f"on {code(one.question)}"
    if value is None:
        return f"{of}, {arm} could not be compared with {reference}: {plain(one.finding.note)}"
    size = decimal(abs(value))
    if size == "0.00":
        told = f"{of}, the mean scores of {arm} and {reference} agreed to two decimals"
    else:
        side = "below" if value < 0 else "above"
        points = "point" if size == "1.00" else "points"
        told = f"{of}, the mean score of {arm} was {size} {points} {side} that of {reference}"
    p = one.p_holm if one.is_in_family else one.p
    if p is None:
        return f"{told}, without an interval: {plain(one.finding.note)}"
    corrected = " after Holm's correction" if one.is_in_family else ", not corrected"
    told += f" (difference {_figure(one.finding)}, {p_text(p)}{corrected})"
    return told if p < settings.alpha else f"{told}; {UNDECIDED}"


def _equivalence(one: "Contrast", settings: Settings) -> list[str]:
    found = one.equivalence
    if found is None:
        return []
    arm, reference = arm_name(settings, one.arm), arm_name(settings, one.reference)
    margin = f"{number(found.margin, 3)} {'point' if found.margin == 1 else 'points'}"
    level = number(100 * (1 - 2 * settings.alpha))
    ends = f"{level} % interval {interval(found.low90, found.high90)}"
    if not found.is_equivalent:
        return [f"equivalence of {arm} and {reference} within {margin} was not shown ({ends})"]
    return [
        f"{arm} and {reference} were equivalent within the margin of {margin} "
        f"({ends}, {p_text(found.p_tost)} of the two one-sided tests)"
    ]


def _not_generalised(contrasts: list["Contrast"]) -> list[str]:
    if not any(one.is_fixed_raters for one in contrasts):
        return []
    return [
        "with fewer than five raters these intervals hold for these raters and do not generalise "
        "to other raters"
    ]


def _preference(asked: "Preference", settings: Settings) -> list[str]:
    sentences = []
    for one in asked.arms:
        arm, of = arm_name(settings, one.arm), f"on {code(asked.question)}"
        if one.probability.value is None:
            why = plain(one.probability.note)
            sentences.append(f"{of}, nothing can be said of {arm}: {why}")
            continue
        told = (
            f"{of}, {arm} was chosen {one.chosen} of {one.shown} times; its probability of being "
            f"chosen among all was {_figure(one.probability)}"
        )
        p = one.p_holm if one.p_holm is not None else one.p
        if one.arm != asked.reference_arm and p is not None:
            corrected = " after Holm's correction" if one.p_holm is not None else ""
            reference = arm_name(settings, asked.reference_arm)
            told += f"; compared with {reference}, {p_text(p)}{corrected}"
            if p >= settings.alpha:
                told += f", and {UNDECIDED}"
        sentences.append(told)
    return sentences


def _detection(found: "Detections", settings: Settings) -> list[str]:
    """Return how well raters told each arm from the real images, as means of raters."""
    if found.note:
        return [f"nothing is reported: {plain(found.note)}"]
    sentences = []
    for one in found.pooled:
        if not one.arm:  # all arms together are secondary and stand in the table
            continue
        arm = arm_name(settings, one.arm)
        if one.area.value is None:
            sentences.append(f"nothing can be said of {arm}: {plain(one.area.note)}")
            continue
        told = (
            f"{arm} was told from real images with a mean area under the curve of "
            f"{_figure(one.area, 3)} (0.5 is chance)"
        )
        if one.dprime.value is not None:
            told += f", d' {_figure(one.dprime)}"
        sentences.append(told)
    if any(one.is_fixed_raters for one in found.pooled):
        sentences.append("these intervals hold for these raters and do not generalise to others")
    return sentences


def _agreement(told: "Agreement", settings: Settings) -> list[str]:
    """Return how far raters agreed on the primary question, and with themselves."""
    primary = settings.primary_question
    between = [
        (one.name, one.finding)
        for one in told.measures
        if one.question == primary and not one.arm
    ]
    within = [(one.name, one.finding) for one in told.repeats if one.question == primary]
    return [
        *_measures(f"between raters, on {code(primary)}", between),
        *_measures(f"of raters with themselves, on {code(primary)}", within),
    ]


def _measures(of: str, measures: list[tuple[str, Finding]]) -> list[str]:
    """Return the figures there are in one sentence, and in others which are missing and why."""
    figures = [
        f"{plain(name)}: {_figure(finding, 3)}"
        for name, finding in measures
        if finding.value is not None
    ]
    missing: dict[str, list[str]] = {}
    for name, finding in measures:
        if finding.value is None:
            missing.setdefault(plain(finding.note), []).append(plain(name))
    sentences = [f"{of}: {'; '.join(figures)}"] if figures else []
    for why, names in missing.items():
        if len(names) == len(measures):
            sentences.append(f"{of}, nothing is reported: {why}")
        else:
            verb = "is" if len(names) == 1 else "are"
            sentences.append(f"{of}, {listed(names)} {verb} not reported: {why}")
    return sentences


def _figure(finding: Finding, decimals: int = 2) -> str:
    """Return a figure with its interval, such as "-0.56, 95 % interval -0.90 to -0.22"."""
    told = decimal(finding.value, decimals)
    if finding.low is None or finding.high is None:
        return f"{told} without an interval"
    level = number(100 * finding.level)
    return f"{told}, {level} % interval {interval(finding.low, finding.high, decimals)}"


def p_text(p: float) -> str:
    """Return "p = 0.012" or "p < 0.001"."""
    return "p < 0.001" if settled(p) < 0.001 else f"p = {p_value(p)}"
