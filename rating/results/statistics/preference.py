"""Which arm's picture is preferred where pictures of all arms stand side by side."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from .finding import Finding, Settings, Table
from .formatting import counted, interval_of, number, p_value, percent
from .luce import Choices
from .position import Position, position_of
from .strengths import Strengths
from .tables import asked, main_answers


@dataclasses.dataclass(frozen=True, slots=True)
class ArmPreference:
    """How an arm fared.

    Args:
        arm:         Code.
        shown:       Choices in which it was shown.
        chosen:      Choices that it won.
        ability:     Logarithm of its strength relative to the reference arm (0 of that arm).
        probability: Of being chosen where all arms are shown.
        p:           Two-sided, of the ability being 0; None where it has no interval.
        p_holm:      The same, corrected by Holm's method over the planned family; None where the
                     arm or the question is not in it.
    """

    arm: str
    shown: int
    chosen: int
    ability: Finding
    probability: Finding
    p: float | None = None
    p_holm: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Preference:
    """What was preferred at one question.

    Args:
        question:      Code.
        reference_arm: Code of the arm whose ability is 0.
        arms:          In the order of the settings, those that were shown.
        no_preference: Answers that preferred none, left out.
        position:      Whether the place on the screen matters.
        n:             What it rests on.
        method:        Of the abilities and their intervals.
        note:          What the intervals speak for; "" for raters and prompts such as these.
    """

    question: str
    reference_arm: str
    arms: tuple[ArmPreference, ...]
    no_preference: int
    position: Position
    n: str
    method: str
    note: str


@dataclasses.dataclass(frozen=True, slots=True)
class Preferences:
    """The preferences of a study, one for each question that asks for one."""

    questions: tuple[Preference, ...]


def preferences(
    ratings: pd.DataFrame, assignments: pd.DataFrame, settings: Settings
) -> Preferences:
    """Return what was preferred at every question that asks which picture is.

    Args:
        ratings:     See `tables.read_ratings`.
        assignments: See `tables.read_assignments`: which arms were shown, and where.
        settings:    Of the analysis.
    """
    found = [
        _preference(ratings, assignments, settings, scale.code)
        for scale in settings.scales
        if scale.kind == "preference"
    ]
    return Preferences(_holm_corrected(found, settings))


def choices_of(
    ratings: pd.DataFrame, assignments: pd.DataFrame, settings: Settings, question: str
) -> Choices:
    """Return the choices at a question, arms by their index in the settings.

    Args:
        ratings:     See `tables.read_ratings`.
        assignments: See `tables.read_assignments`.
        settings:    Of the analysis.
        question:    Code.
    """
    answers = main_answers(ratings, settings, question).drop_duplicates("assignment_id")
    slots = assignments[assignments["assignment_id"].isin(answers["assignment_id"])]
    slots = slots[slots["arm"].notna() & slots["slot"].notna()]
    answers = answers[answers["assignment_id"].isin(slots["assignment_id"])]
    row = pd.Index(answers["assignment_id"]).get_indexer(pd.Index(slots["assignment_id"]))
    slot = slots["slot"].to_numpy(np.intp)
    codes = [arm.code for arm in settings.arms]
    arm = pd.Categorical(slots["arm"].astype(str), categories=codes).codes.astype(np.intp)
    shape = (len(answers), int(slot.max()) + 1 if len(slot) else 1)
    arms, shown = np.zeros(shape, np.intp), np.zeros(shape, np.bool_)
    arms[row, slot], shown[row, slot] = np.maximum(arm, 0), arm >= 0
    chosen = answers["value"].to_numpy(float).astype(np.intp) - 1
    is_choice = (chosen < shape[1]) & (shown.sum(axis=1) >= 2)
    is_choice &= shown[np.arange(len(chosen)), np.minimum(chosen, shape[1] - 1)]
    answers = answers[is_choice]
    return Choices(
        arm=arms[is_choice],
        shown=shown[is_choice],
        chosen=chosen[is_choice],
        rater=np.asarray(pd.factorize(answers["rater_code"], sort=True)[0], np.intp),
        prompt=np.asarray(pd.factorize(answers["prompt_id"], sort=True)[0], np.intp),
    )


def _preference(
    ratings: pd.DataFrame, assignments: pd.DataFrame, settings: Settings, question: str
) -> Preference:
    choices = choices_of(ratings, assignments, settings, question)
    n = ", ".join(
        (
            counted(len(np.unique(choices.rater)), "rater"),
            counted(len(np.unique(choices.prompt)), "prompt"),
            counted(choices.count, "choice"),
        )
    )
    strengths = Strengths(choices, settings, n)
    shown = np.bincount(choices.arm[choices.shown], minlength=len(settings.arms))
    chosen = np.bincount(choices.winners, minlength=len(settings.arms))
    arms = []
    for index, arm in enumerate(settings.arms):
        if shown[index]:
            ability, p = strengths.ability(index)
            counts = int(shown[index]), int(chosen[index])
            chance = strengths.probability(index)
            arms.append(ArmPreference(arm.code, *counts, ability, chance, p))
    return Preference(
        question=question,
        reference_arm=settings.reference_arm,
        arms=tuple(arms),
        no_preference=int(asked(ratings, settings, question)["cannot_judge"].sum()),
        position=position_of(choices, len(settings.arms)),
        n=n,
        method=strengths.method,
        note=strengths.note,
    )


def _holm_corrected(found: Sequence[Preference], settings: Settings) -> tuple[Preference, ...]:
    """Return preferences with Holm's correction over the contrast arms of the planned questions.

    A planned contrast that could not be tested keeps its place in the family, with a p value of 1.
    """
    from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

    def is_planned(question: Preference, arm: ArmPreference) -> bool:
        return question.question in settings.holm_family and arm.arm in settings.contrast_arms

    family = [
        1.0 if arm.p is None else arm.p
        for question in found
        for arm in question.arms
        if is_planned(question, arm)
    ]
    adjusted = iter(multipletests(family, method="holm")[1] if family else ())
    corrected = []
    for question in found:
        arms = []
        for arm in question.arms:
            p_holm = float(next(adjusted)) if is_planned(question, arm) else None
            arms.append(dataclasses.replace(arm, p_holm=None if arm.p is None else p_holm))
        corrected.append(dataclasses.replace(question, arms=tuple(arms)))
    return tuple(corrected)


def preference_table(preferences: Preferences, settings: Settings) -> Table:
    """Return the table of preferences, an arm a row, and what to read it with.

    Args:
        preferences: See `preferences`.
        settings:    Of the analysis.
    """
    labels = {arm.code: arm.label for arm in settings.arms}
    interval = f"{percent(1 - settings.alpha)} interval"
    rows = [
        (
            question.question, labels[arm.arm], str(arm.shown), str(arm.chosen),
            number(arm.ability.value), interval_of(arm.ability), p_value(arm.p),
            p_value(arm.p_holm), number(arm.probability.value), interval_of(arm.probability),
        )
        for question in preferences.questions
        for arm in question.arms
    ]  # fmt: skip
    notes = [note for question in preferences.questions for note in _notes(question, labels)]
    return Table(
        "preference",
        "Which arm is preferred",
        ("Question", "Arm", "Shown", "Chosen", "Ability", interval, "p", "p (Holm)",
         "Chance to be chosen", f"{interval} of the chance"),
        tuple(rows),
        tuple(notes),
    )  # fmt: skip


def _notes(question: Preference, labels: dict[str, str]) -> list[str]:
    """Return what a question rests on, by what method, and what there is to know of it."""
    code, reference = question.question, labels[question.reference_arm]
    unable = counted(question.no_preference, "answer")
    notes = [
        f"{code}: {question.n}; {unable} 'no preference' left out. {question.method}.",
        f"Ability: logarithm of the odds to be chosen rather than {reference} where both are "
        "shown. Chance: to be chosen where all arms are shown.",
    ]
    for arm in question.arms:
        told = dict.fromkeys(
            finding.note for finding in (arm.ability, arm.probability) if finding.value is None
        )
        notes += [f"{code}, {labels[arm.arm]}: {' '.join(told)}"] if told else []
    notes += [question.note] if question.note else []
    return [*notes, _position_note(question)]


def _position_note(question: Preference) -> str:
    position = question.position
    counts = ", ".join(
        f"{chosen} of {shown}"
        for chosen, shown in zip(position.chosen, position.shown, strict=True)
    )
    told = f"{question.question}: chosen by place on the screen, from the first: {counts}."
    if position.p is None or position.statistic is None:
        return f"{told} {position.note}"
    return (
        f"{told} That all places are alike: chi-squared {number(position.statistic)} with "
        f"{position.df} df, p {p_value(position.p)} (ratio of likelihoods, arms in the model)."
    )
