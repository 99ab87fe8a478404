"""Agreement of raters with each other and with themselves."""

import dataclasses
from collections.abc import Iterator
from statistics import median
from typing import Final

import numpy as np
import pandas as pd

from .agreement_measures import pair_findings, panel_measures
from .finding import Finding, Settings, Table
from .formatting import counted, interval_of, number, percent
from .panel import Panel, panel_of
from .repeats import repeat_measures

MOST_PAIRS: Final = 45  # of raters, listed one by one
ENDS: Final = 10
NOTES: Final = (
    "Over all stimuli, differences between arms count as differences between stimuli: they raise "
    "alpha and ICC. Within an arm it shows how far raters agree on single stimuli of a kind.",
    "The intervals of ICC speak for raters such as these; those of alpha, Fleiss' kappa and shares "
    "of pairs for these raters and stimuli such as these.",
    "Where nearly all answers are at one end of the scale, alpha, ICC and kappa are low although "
    "raters give the same answers: read them beside the shares of pairs.",
)
REPEAT_NOTES: Final = (
    "Pairs of all raters together; intervals take pairs as independent. Raters who differ in their "
    "level raise kappa and ICC, as differences between stimuli do.",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Measure:
    """A measure of agreement on a question.

    Args:
        question: Code.
        arm:      Code of the arm whose stimuli it is of; "" for all.
        name:     For example "ICC(2,1), one rater".
        finding:  Its figure.
    """

    question: str
    arm: str
    name: str
    finding: Finding


@dataclasses.dataclass(frozen=True, slots=True)
class PairAgreement:
    """Kappa of two raters, in the order of their codes."""

    question: str
    first: str
    second: str
    finding: Finding


@dataclasses.dataclass(frozen=True, slots=True)
class Agreement:
    """How far raters agree.

    Args:
        measures: Of all raters with each other, by question, all stimuli first, then each arm.
        pairs:    Of every two raters.
        repeats:  Of raters with themselves, on stimuli they saw twice without being told.
    """

    measures: tuple[Measure, ...]
    pairs: tuple[PairAgreement, ...]
    repeats: tuple[Measure, ...]


def agreement_findings(ratings: pd.DataFrame, settings: Settings) -> Agreement:
    """Return the agreement on every question.

    Args:
        ratings:  See `tables.read_ratings`.
        settings: Of the analysis.
    """
    measures: list[Measure] = []
    pairs: list[PairAgreement] = []
    repeats: list[Measure] = []
    for scale in settings.scales:
        panel = panel_of(ratings, settings, scale.code).paired()
        measures += (
            Measure(scale.code, arm, name, finding)
            for arm, part in _parts(panel, settings)
            for name, finding in panel_measures(part, settings, is_whole=not arm)
        )
        pairs += (PairAgreement(scale.code, *pair) for pair in pair_findings(panel, settings))
        repeats += (
            Measure(scale.code, "", name, finding)
            for name, finding in repeat_measures(ratings, settings, scale.code)
        )
    return Agreement(tuple(measures), tuple(pairs), tuple(repeats))


def _parts(panel: Panel, settings: Settings) -> Iterator[tuple[str, Panel]]:
    """Yield all units, then those of each arm, of which there are some."""
    yield "", panel
    arms = [arm.code for arm in settings.arms if np.any(panel.unit_arms == arm.code)]
    if len(arms) > 1:
        yield from ((arm, panel.of_arm(arm)) for arm in arms)


def agreement_tables(agreement: Agreement, settings: Settings) -> tuple[Table, ...]:
    """Return the tables of all raters, of every two, and of raters with themselves.

    Args:
        agreement: See `agreement_findings`.
        settings:  Of the analysis.
    """
    interval = f"{percent(1 - settings.alpha)} interval"
    last = ("Value", interval, "Rests on", "Remark")
    labels = {arm.code: arm.label for arm in settings.arms} | {"": "all"}
    tables = [
        Table(
            "agreement",
            "Agreement of raters with each other",
            ("Question", "Stimuli", "Measure", *last),
            tuple(
                (measure.question, labels[measure.arm], measure.name, *_cells(measure.finding))
                for measure in agreement.measures
            ),
            (*_methods(agreement.measures), *NOTES),
        )
    ]
    if agreement.pairs:
        tables.append(_pair_table(agreement.pairs, ("Kappa", interval, "Judged by both", "Remark")))
    if agreement.repeats:
        tables.append(
            Table(
                "agreement_repeats",
                "Agreement of raters with themselves",
                ("Question", "Measure", *last),
                tuple(
                    (measure.question, measure.name, *_cells(measure.finding))
                    for measure in agreement.repeats
                ),
                (*_methods(agreement.repeats), *REPEAT_NOTES),
            )
        )
    return tuple(tables)


def _pair_table(pairs: tuple[PairAgreement, ...], last: tuple[str, ...]) -> Table:
    rows: list[tuple[str, ...]] = []
    notes = list(dict.fromkeys(f"{pair.finding.method}." for pair in pairs))
    for question in dict.fromkeys(pair.question for pair in pairs):
        asked = [pair for pair in pairs if pair.question == question]
        told = sorted(
            (pair for pair in asked if pair.finding.value is not None),
            key=lambda pair: (pair.finding.value, pair.first, pair.second),
        )
        if told:
            values = [pair.finding.value or 0.0 for pair in told]
            notes.append(
                f"{question}: median kappa of {counted(len(told), 'pair')} of raters "
                f"{number(median(values), 3)}, lowest {number(values[0], 3)}, highest "
                f"{number(values[-1], 3)}."
            )
        if len(asked) > MOST_PAIRS:
            notes.append(
                f"{question}: of {len(asked)} pairs the {ENDS} lowest and the {ENDS} highest."
            )
            asked = [*told[:ENDS], *told[ENDS:][-ENDS:]]
        rows += ((question, pair.first, pair.second, *_cells(pair.finding)) for pair in asked)
    return Table(
        "agreement_pairs",
        "Agreement of every two raters",
        ("Question", "Rater", "Other rater", *last),
        tuple(rows),
        tuple(notes),
    )


def _cells(finding: Finding) -> tuple[str, str, str, str]:
    return number(finding.value, 3), interval_of(finding, 3), finding.n, finding.note


def _methods(measures: tuple[Measure, ...]) -> list[str]:
    """Return a sentence for each measure and method, once."""
    told = (
        f"{measure.name}: {measure.finding.method}." for measure in measures
        if measure.finding.method
    )  # fmt: skip
    return list(dict.fromkeys(told))
