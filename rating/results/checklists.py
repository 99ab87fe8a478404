"""Reporting checklists: which items the generated texts answer, and which are left to authors.

Items are told in our own words and shortly; the sources have them in full, with explanations.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rating.results.facts import StudyFacts
from rating.results.statistics.finding import Table

if TYPE_CHECKING:  # the libraries behind it are loaded when results are asked for
    from rating.results.statistics.analysis import Analysis

OPEN: Final = "open"
PARTLY: Final = "partly"
ANSWERED: Final = "answered"
COLUMNS: Final = ("No.", "Item", "Here", "Where, or what is left to the authors")
GRRAS_SOURCE: Final = (
    "Kottner J, Audigé L, Brorson S, et al. Guidelines for Reporting Reliability and Agreement "
    "Studies (GRRAS) were proposed. Journal of Clinical Epidemiology 2011; 64: 96-106, table 1; "
    "items in our words."
)
CLAIM_SOURCE: Final = (
    "Tejani AS, Klontzas ME, Gatti AA, et al. Checklist for Artificial Intelligence in Medical "
    "Imaging (CLAIM): 2024 Update. Radiology: Artificial Intelligence 2024; 6: e240300; items in "
    "our words. Check numbers and wording against the source before submission."
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Item:
    """An item: `state` is "answered", "partly" or "open"; `where` says where, or what is left."""

    text: str
    state: str = OPEN
    where: str = "Authors."


def checklist_tables(facts: StudyFacts, analysis: "Analysis") -> tuple[Table, ...]:
    """Return the items of GRRAS and CLAIM as tables, each answered here or left to the authors.

    Args:
        facts:    What was planned and what happened, see `study_facts`.
        analysis: Of the same study.
    """
    return (
        _table("grras", "GRRAS: reliability and agreement", _grras(facts, analysis), GRRAS_SOURCE),
        _table(
            "claim", "CLAIM: artificial intelligence in medical imaging",
            _claim(facts, analysis), CLAIM_SOURCE,
        ),
    )  # fmt: skip


def _table(name: str, title: str, items: Sequence[_Item], source: str) -> Table:
    rows = tuple(
        (str(number), item.text, item.state, item.where)
        for number, item in enumerate(items, start=1)
    )
    counts = {state: sum(item.state == state for item in items) for state in (ANSWERED, PARTLY)}
    left = len(items) - counts[ANSWERED] - counts[PARTLY]
    told = (
        f"Of {len(items)} items, answered in the generated texts: {counts[ANSWERED]}; partly: "
        f"{counts[PARTLY]}; left to the authors: {left}."
    )
    return Table(name, title, COLUMNS, rows, (told, f"Source: {source}"))


def _grras(facts: StudyFacts, analysis: "Analysis") -> list[_Item]:
    return [
        _Item("Title or abstract says that agreement or reliability was studied"),
        _Item(
            "The instrument of measurement is named and described",
            ANSWERED, "Methods, Questions: every question with its scale.",
        ),
        _Item(
            "Which subjects it is meant for",
            PARTLY, "Methods, Images tells which images; authors: of which patients.",
        ),
        _Item(
            "Which raters it is meant for",
            PARTLY, "Methods, Raters tells who took part; authors: whom they stand for.",
        ),
        _Item("What is known already, and why this study"),
        _Item(
            "Sample size and how it was chosen",
            PARTLY,
            "Methods, Study design and Order: planned raters, items, repeats; authors: why so many "
            "(`python -m rating plan`).",
        ),
        _Item(
            "How subjects and raters were sampled",
            PARTLY, "Methods, Images: selection rule; authors: how raters were found.",
        ),
        _Item(
            "The rating process: intervals, information given, blinding",
            ANSWERED, "Methods, Questions, Order and Blinding.",
        ),
        _Item(
            "Whether ratings were independent of each other",
            PARTLY,
            "Each rater had a link and an order of their own and saw no answer of others; authors: "
            "whether raters talked.",
        ),
        _Item("The statistical analysis", ANSWERED, "Methods, Statistical analysis."),
        _Item(
            "How many raters, subjects and repeated ratings there were in the end",
            ANSWERED, "Methods, Order, Raters, and Deviations.",
        ),
        _raters_item(facts),
        _agreement_item(analysis),
        _Item("What the results mean for practice"),
        _Item(
            "Detailed results are available",
            PARTLY, "The study capsule holds all answers; authors: where it is deposited.",
        ),
    ]  # fmt: skip


def _raters_item(facts: StudyFacts) -> _Item:
    text = "Characteristics of raters and subjects"
    if any(rater.specialty is not None for rater in facts.enrolled):
        where = "Methods, Raters: specialty, years, independence; authors: patients, training."
        return _Item(text, PARTLY, where)
    return _Item(text)


def _agreement_item(analysis: "Analysis") -> _Item:
    text = "Estimates of agreement with their uncertainty"
    findings = [one.finding for one in analysis.agreement.measures]
    if any(found.value is not None and found.low is not None for found in findings):
        return _Item(text, ANSWERED, "Results, Agreement, and the tables of agreement.")
    if any(found.value is not None for found in findings):
        return _Item(text, PARTLY, "Results, Agreement: figures without intervals.")
    return _Item(text, OPEN, "Too few answers for any; the tables of agreement say why.")


def _claim(facts: StudyFacts, analysis: "Analysis") -> list[_Item]:
    return [*_claim_front(facts), *_claim_data(facts), *_claim_model(facts, analysis),
            *_claim_results(facts, analysis)]  # fmt: skip


def _claim_front(facts: StudyFacts) -> list[_Item]:
    plan = facts.protocol.plan
    goal = _Item("Goal of the study")
    if plan is not None:
        goal = _Item(
            "Goal of the study", PARTLY,
            "Methods, Statistical analysis: estimand and primary question; authors: the goal.",
        )  # fmt: skip
    return [
        _Item("Title or abstract names the kind of artificial intelligence"),
        _Item("Abstract with design, methods, results and conclusions"),
        _Item("Background, intended use and clinical role"),
        _Item("Aims and hypotheses"),
        _Item(
            "Prospective or retrospective",
            ANSWERED, "Methods, Study design: ratings were collected after the protocol was fixed.",
        ),
        goal,
    ]  # fmt: skip


def _claim_data(facts: StudyFacts) -> list[_Item]:
    has_repeats = any(rater.submitted.get("repeat") for rater in facts.enrolled)
    attested = _Item("De-identification")
    if facts.attested_at is not None:
        attested = _Item(
            "De-identification", PARTLY,
            "Methods, Images: looked for in the pictures; authors: how data sets were cleared.",
        )  # fmt: skip
    return [
        _Item(
            "Sources of the data",
            PARTLY, "Table of stimuli: model, seed and source of each; authors: data sets.",
        ),
        _Item(
            "Inclusion and exclusion criteria",
            PARTLY, "Methods, Statistical analysis: rule for raters; authors: for images.",
        ),
        _Item("Preprocessing", ANSWERED, "Methods, Images: harmonisation of all images."),
        _Item("Selection of subsets", ANSWERED, "Methods, Images: selection rule, candidates."),
        attested,
        _Item(
            "How missing data were handled",
            ANSWERED, "Methods, Statistical analysis and Deviations.",
        ),
        _Item("How images were acquired"),
        _Item(
            "How the reference standard was obtained",
            PARTLY, "Raters' answers are the outcome; authors: of what they are a standard.",
        ),
        _Item("Why this reference standard"),
        _Item(
            "Who annotated, with which qualification",
            ANSWERED if any(rater.specialty for rater in facts.enrolled) else OPEN,
            "Methods, Raters.",
        ),
        _Item("How the test set was annotated", ANSWERED, "Methods, Questions and Order."),
        _Item(
            "Variability between and within annotators",
            ANSWERED if has_repeats else PARTLY,
            "Results, Agreement."
            if has_repeats
            else "Results, Agreement: between raters; nothing was repeated.",
        ),
        _Item("How data were assigned to partitions"),
        _Item("At which level partitions are disjoint"),
        _Item(
            "Intended sample size",
            PARTLY, "Methods, Study design: planned raters; authors: why so many.",
        ),
    ]  # fmt: skip


def _claim_model(facts: StudyFacts, analysis: "Analysis") -> list[_Item]:
    return [
        _Item(
            "Description of the models",
            PARTLY, "Table of arms: model and hash of its weights; authors: architecture.",
        ),
        _Item(
            "Software and its versions",
            PARTLY, "Methods, Software: of the study; authors: of training.",
        ),
        _Item("How parameters were initialised"),
        _Item("How models were trained"),
        _Item("How the final model was selected"),
        _Item("Ensembles, where there are any"),
        _Item("Measures of performance", ANSWERED, "Methods, Questions and Statistical analysis."),
        _Item(
            "Statistical significance and uncertainty",
            ANSWERED, "Methods, Statistical analysis; Results.",
        ),
        _Item(
            "Robustness or sensitivity analyses",
            PARTLY if analysis.ranks else OPEN,
            "Tests of ranks beside the primary analysis." if analysis.ranks else "Authors.",
        ),
        _Item("Methods for explaining what models do"),
        _Item("Evaluation on internal data"),
        _Item("Testing on external data"),
        _Item(
            "Registration of the trial, where it is one",
            OPEN, "Authors; the hash of the protocol and the root hash can be deposited.",
        ),
    ]  # fmt: skip


def _claim_results(facts: StudyFacts, analysis: "Analysis") -> list[_Item]:
    accuracy = _Item("Diagnostic accuracy with its precision", OPEN, "Not asked in this study.")
    if analysis.detection is not None:
        accuracy = _Item(
            "Diagnostic accuracy with its precision", PARTLY,
            "Tables of detection: of raters telling real from synthetic images.",
        )  # fmt: skip
    deposit = "The study capsule is made to be deposited; authors: where, and the models."
    return [
        _Item(
            "Numbers included and excluded, with a flow diagram",
            PARTLY, "Methods, Images, Raters and Deviations; authors: patients, diagram.",
        ),
        _Item("Demographic and clinical characteristics of cases"),
        _Item(
            "Performance with its uncertainty",
            ANSWERED if _has_result(analysis) else OPEN,
            "Results; main table and figures." if _has_result(analysis) else "Too few answers.",
        ),
        accuracy,
        _Item(
            "Analysis of failures",
            PARTLY, "Defect tags, remarks, and the figure of best and worst images.",
        ),
        _Item("Limitations"),
        _Item("Implications for practice"),
        _Item(
            "Where the full protocol is",
            ANSWERED if facts.versions else OPEN, "In the study capsule, with its hash.",
        ),
        _Item("Availability of software, models and data", PARTLY, deposit),
        _Item("Funding and the role of funders"),
    ]  # fmt: skip


def _has_result(analysis: "Analysis") -> bool:
    found = [one.finding for one in analysis.contrasts]
    if analysis.preference is not None:
        found += [arm.probability for asked in analysis.preference.questions for arm in asked.arms]
    return any(each.value is not None and each.low is not None for each in found)
