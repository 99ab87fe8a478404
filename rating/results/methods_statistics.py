"""The methods text on how the answers were analysed."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from rating.results.facts import StudyFacts
from rating.results.naming import arm_name
from rating.results.statistics.finding import Settings
from rating.results.wording import code, counted, listed, number, paragraph, quoted

if TYPE_CHECKING:  # the libraries behind it are loaded when results are asked for
    from rating.results.statistics.analysis import Analysis

_REPEAT_PAIRS: Final = 30  # below which agreement of raters with themselves is not reported


def analysis_paragraph(facts: StudyFacts, analysis: "Analysis") -> str:
    """Return the paragraph on the statistics, each with its method by name."""
    settings = analysis.settings
    return paragraph(
        "Statistical analysis",
        *_plan(facts, settings),
        *_primary(analysis),
        f"intervals have a coverage of {number(100 * (1 - settings.alpha))} % and tests are "
        f"two-sided at {number(settings.alpha, 3)}, where nothing else is said",
        *_correction(analysis),
        _equivalence(analysis),
        _unable(settings),
        *_others(analysis),
        *_agreement(analysis),
        analysis.data_used,
    )


def _plan(facts: StudyFacts, settings: Settings) -> list[str]:
    plan = facts.protocol.plan
    if plan is None or not settings.has_plan or not facts.versions:
        return [
            "no analysis plan was fixed before the study opened, so that every analysis is "
            "exploratory and was done with the software's defaults"
        ]
    first = facts.versions[0]
    return [
        f"the analysis plan was fixed when the study opened (protocol version {first.version}, "
        f"SHA-256 {code(first.sha256)})",
        f"estimand, in the words of the plan: {quoted(plan.estimand)}",
        f"rule for exclusions, in its words: {quoted(plan.exclusions)}",
    ]


def _primary(analysis: "Analysis") -> list[str]:
    settings = analysis.settings
    primary = code(settings.primary_question)
    sentences = [f"the primary question was {primary}"]
    contrasts = [
        one for one in analysis.contrasts if one.question == settings.primary_question
    ]
    if contrasts:
        several = len(contrasts) > 1
        arms = listed([arm_name(settings, one.arm) for one in contrasts])
        sentences.append(
            f"the mean {'scores' if several else 'score'} of {arms} "
            f"{'were each' if several else 'was'} compared with that of "
            f"{arm_name(settings, settings.reference_arm)}"
        )
    sentences += _methods(
        "the contrast",
        ((arm_name(settings, one.arm), one.finding.method) for one in analysis.contrasts),
    )
    if any(one.is_fixed_raters for one in analysis.contrasts):
        sentences.append(
            "with fewer than five raters these intervals hold for these raters and do not "
            "generalise to others"
        )
    for asked in analysis.preference.questions if analysis.preference is not None else ():
        found = [finding for arm in asked.arms for finding in (arm.ability, arm.probability)]
        sentences += _methods("answers", ((code(asked.question), one.method) for one in found))
    return sentences


def _methods(what: str, methods: Iterable[tuple[str, str]]) -> list[str]:
    """Return each method once, as findings name it, and of what it was the method."""
    subjects: dict[str, dict[str, None]] = {}
    for subject, method in methods:
        if method:
            subjects.setdefault(method.rstrip("."), {})[subject] = None
    sentences = []
    for method, named in subjects.items():
        link = "to" if what == "answers" else "of"
        noun = what if what == "answers" or len(named) == 1 else f"{what}s"
        sentences.append(f"method for {noun} {link} {listed(list(named))}: {method}")
    return sentences


def _correction(analysis: "Analysis") -> list[str]:
    family = [one for one in analysis.contrasts if one.is_in_family]
    if not family:
        return []
    asked = listed([code(name) for name in dict.fromkeys(one.question for one in family)])
    if len(family) == 1:
        return [f"one contrast was planned ({asked}), so that its p value needs no correction"]
    return [
        f"the p values of the {counted(len(family), 'contrast')} of {asked} were corrected "
        "together by Holm's method; other p values, and all intervals, are not adjusted"
    ]


def _equivalence(analysis: "Analysis") -> str:
    settings = analysis.settings
    if settings.equivalence_margin is None:
        return "no margin of equivalence was planned, and equivalence was not tested"
    return (
        f"equivalence was tested by two one-sided tests, each at {number(settings.alpha, 3)}, "
        f"against a margin of {number(settings.equivalence_margin, 3)} points of "
        f"{code(settings.primary_question)}"
    )


def _unable(settings: Settings) -> str:
    if all(scale.kind == "preference" for scale in settings.scales):
        return "answers of *no preference* were left out"
    if settings.cannot_judge == "worst":
        return "answers of *cannot judge* were counted as the worst value of their scale"
    return "answers of *cannot judge* were left out"


def _others(analysis: "Analysis") -> list[str]:
    sentences = []
    if analysis.descriptives:
        sentences.append(
            "distributions, medians, quartiles and mean scores are given of every arm and question"
        )
    if kinds := [*dict.fromkeys(test.kind for test in analysis.ranks)]:
        noun = "tests" if len(kinds) > 1 else "test"
        named = listed([f"{kind}'s" for kind in kinds])
        sentences.append(
            f"{named} {noun} on the means of prompts hold for these raters only"
        )
    if analysis.detection is not None:
        sentences.append(
            f"answers to {code(analysis.settings.origin_question)} were analysed as signal "
            "detection: d' (with the log-linear correction), area under the curve, sensitivity and "
            "specificity of each model's images against the same real images, for each rater and "
            "pooled over raters"
        )
    return sentences


def _agreement(analysis: "Analysis") -> list[str]:
    told = analysis.agreement
    names = list(dict.fromkeys(measure.name for measure in told.measures))
    sentences = []
    if names:
        sentences.append(f"agreement between raters was measured by {listed(names)}")
    if told.pairs:
        sentences.append("kappa is given for every two raters")
    if told.repeats:
        sentences.append(
            "hidden repeats served the agreement of raters with themselves and nothing else; it is "
            f"not reported from fewer than {_REPEAT_PAIRS} pairs"
        )
    return sentences
