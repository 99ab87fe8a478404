"""The methods text on what happened: raters, blinding, deviations, ethics, the record."""

import datetime
import importlib.metadata
import platform
import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Final

from rating.results.facts import RaterFacts, StudyFacts
from rating.results.methods_design import share
from rating.results.wording import (
    code,
    counted,
    day,
    listed,
    number,
    paragraph,
    plain,
    quoted,
    was,
    years,
)

_LIBRARIES: Final = ("numpy", "pandas", "scipy", "statsmodels")
_CLIENTS: Final = {"http": "over HTTP", "chromium": "in Chromium"}


def raters(facts: StudyFacts) -> str:
    """Return the paragraph on the raters: how many, who, how they went about it."""
    simulated = "raters were simulated by software: no person judged an image"
    return paragraph(
        "Raters",
        simulated if facts.is_rehearsed else "",
        _invited(facts),
        *_outcomes(facts),
        *_profile(facts.enrolled),
    )


def _invited(facts: StudyFacts) -> str:
    invited, enrolled = len(facts.raters), len(facts.enrolled)
    told = f"{counted(invited, 'rater')} {was(invited)} invited"
    if not invited:
        return told
    if enrolled == invited:
        return f"{told} and enrolled"
    if not enrolled:
        return f"{told}; nobody enrolled"
    return f"{told}, of whom {enrolled} enrolled"


def _outcomes(facts: StudyFacts) -> list[str]:
    enrolled = facts.enrolled
    if not enrolled:
        return []
    completed = sum(rater.state == "completed" for rater in enrolled)
    withdrew = sum(rater.state == "withdrawn" for rater in enrolled)
    parts = [f"{counted(completed, 'rater')} completed all items"]
    if withdrew:
        parts.append(f"{withdrew} withdrew")
    if unfinished := len(enrolled) - completed - withdrew:
        parts.append(f"{unfinished} did not finish")
    sentences = [listed(parts)]
    if erased := sum(rater.is_erased for rater in facts.raters):
        wish = "the rater's" if erased == 1 else "their"
        sentences.append(
            f"all that {counted(erased, 'rater')} had answered was erased at {wish} wish and is in "
            "no figure"
        )
    if facts.median_s is not None:
        sentences.append(
            f"the median time for which a main item was in sight was {number(facts.median_s)} s"
        )
    if facts.seen_before:
        sentences.append(
            f"of {counted(facts.seen_before, 'main item')} a rater said to have seen the image "
            "before the study"
        )
    return sentences


def _profile(enrolled: tuple[RaterFacts, ...]) -> list[str]:
    if not enrolled:
        return []
    sentences = []
    specialties = Counter(rater.specialty for rater in enrolled if rater.specialty is not None)
    if specialties:
        named = [
            f"{plain(name)} ({count})"
            for name, count in sorted(specialties.items(), key=lambda each: (-each[1], each[0]))
        ]
        noun = "the specialty stated was" if len(named) == 1 else "the specialties stated were"
        sentences.append(f"{noun} {listed(named)}")
    else:
        sentences.append("no specialty was recorded")
    experience = sorted(rater.years for rater in enrolled if rater.years is not None)
    if len(experience) > 1:
        sentences.append(
            f"median experience was {years(statistics.median(experience))} (range "
            f"{experience[0]} to {experience[-1]})"
        )
    elif experience:
        sentences.append(f"experience was {years(experience[0])}")
    else:
        sentences.append("no experience was recorded")
    sentences.append(_independence(enrolled))
    return [*sentences, *_checks(enrolled)]


def _independence(enrolled: tuple[RaterFacts, ...]) -> str:
    independent = sum(rater.is_independent is True for rater in enrolled)
    claim = "to be independent of the authors"
    if len(enrolled) == 1:
        return f"the rater {'declared' if independent else 'did not declare'} {claim}"
    if independent == len(enrolled):
        return f"all {independent} declared {claim}"
    return f"{independent or 'none'} of the {len(enrolled)} declared {claim}"


def _checks(enrolled: tuple[RaterFacts, ...]) -> list[str]:
    done = sum(rater.submitted.get("check", 0) for rater in enrolled)
    if not done:
        return []
    passed = sum(rater.checks_passed for rater in enrolled)
    return [f"{share(passed, done)} attention checks were answered as expected"]


def blinding(facts: StudyFacts) -> str:
    """Return the paragraph on blinding: what raters could not know, and how that was checked."""
    if facts.kind == "pilot":
        coordinator = (
            "the study being a pilot, its answers could be read with their arms while it was open"
        )
    else:
        coordinator = "arms were joined with answers only after the study was locked"
    return paragraph(
        "Blinding",
        "nothing that was sent to raters named an arm: images were stored without metadata and "
        "sent byte for byte under a random address for each rater and item, and the server alone "
        "decided which item came next",
        _audited(facts),
        coordinator,
    )


def _audited(facts: StudyFacts) -> str:
    if not facts.audits:
        return "no blinding audit was recorded"
    last = facts.audits[-1]
    how = listed([_CLIENTS.get(client, plain(client)) for client in last.clients])
    when = f"on {day(last.at)}{' ' if how else ''}{how}"
    verdict = "passed" if last.is_passed else "did not pass, and its report says why"
    what = (
        "a blinding audit, which enters as a rater and searches all that is received for anything "
        "that tells arms apart,"
    )
    if len(facts.audits) == 1:
        return f"{what} was run {when} and {verdict}"
    return f"{what} was run {len(facts.audits)} times; the last one, {when}, {verdict}"


def deviations(facts: StudyFacts, excluded: Mapping[str, str]) -> str:
    """Return the paragraph on what departed from the plan, what is missing and what is left out."""
    found = [*_extensions(facts), *_pauses(facts), *_losses(facts)]
    if not found:
        found = ["no extension, pause or loss of raters was recorded"]
    return paragraph(
        "Deviations, exclusions and missing data", *found, _unable(facts), _excluded(excluded)
    )


def _extensions(facts: StudyFacts) -> list[str]:
    return [
        f"version {version.version} of the protocol followed on {day(version.at)}, for this "
        f"reason: {quoted(version.reason)}"
        for version in facts.versions[1:]
    ]


def _pauses(facts: StudyFacts) -> list[str]:
    return [f"the study was paused {_period(begun, ended)}" for begun, ended in facts.pauses]


def _period(begun: datetime.datetime, ended: datetime.datetime | None) -> str:
    if ended is None:
        return f"since {day(begun)}"
    if day(begun) == day(ended):
        return f"on {day(begun)}"
    return f"from {day(begun)} to {day(ended)}"


def _losses(facts: StudyFacts) -> list[str]:
    sentences = []
    completed = sum(rater.state == "completed" for rater in facts.raters)
    if completed < (planned := facts.protocol.planned_raters):
        told = f"{completed or 'none'} of the {planned} planned raters completed"
        sentences.append(told if planned > 1 else "the planned rater did not complete")
    for rater in facts.enrolled:
        if rater.state == "completed":
            continue
        done, all_ = rater.submitted.get("main", 0), rater.assigned.get("main", 0)
        items = f"{done} of {counted(all_, 'main item')}"
        if rater.is_erased:
            sentences.append(f"{code(rater.code)} withdrew and the answers were erased")
        elif rater.state == "withdrawn":
            sentences.append(f"{code(rater.code)} withdrew after {items}")
        else:
            sentences.append(f"{code(rater.code)} answered {items} and did not finish")
    if revoked := [rater.code for rater in facts.raters if rater.is_revoked]:
        noun = "the link of" if len(revoked) == 1 else "the links of"
        sentences.append(
            f"{noun} {listed([*map(code, revoked)])} {was(len(revoked))} revoked"
        )
    return sentences


def _unable(facts: StudyFacts) -> str:
    kinds = {question.code: question.kind for question in facts.protocol.questions}
    told = []
    for question, count in facts.answers.items():
        if count:
            word = "*no preference*" if kinds.get(question) == "preference" else "*cannot judge*"
            told.append(f"{share(facts.unable[question], count)} to {code(question)}")
    if not told:
        return "there are no answers"
    words = {
        "*no preference*" if kind == "preference" else "*cannot judge*" for kind in kinds.values()
    }
    word = listed(sorted(words)).replace(" and ", " or ")
    return f"of the answers to main items, {word} was given in {listed(told)}"


def _excluded(excluded: Mapping[str, str]) -> str:
    if not excluded:
        return "no rater was excluded from the analysis"
    each = [f"{code(name)} ({plain(reason)})" for name, reason in sorted(excluded.items())]
    return (
        f"{counted(len(excluded), 'rater')} {was(len(excluded))} excluded from the analysis: "
        f"{listed(each)}"
    )


def ethics(facts: StudyFacts) -> str:
    """Return the paragraph on ethics approval and consent."""
    approval = facts.protocol.consent.ethics_approval.strip()
    enrolled = len(facts.enrolled)
    consented = "no rater enrolled"
    if enrolled == 1:
        consented = "the rater consented on screen before seeing any item"
    elif enrolled:
        consented = f"all {enrolled} raters who enrolled consented on screen before seeing any item"
    return paragraph(
        "Ethics and consent",
        f"ethics approval: {plain(approval)}"
        if approval
        else "no ethics approval number was recorded",
        consented,
        "raters are known by codes; no name or address is part of the data",
    )


def record(facts: StudyFacts) -> str:
    """Return the paragraph on the software and on what proves that nothing was changed."""
    if facts.event_faults:
        chain = f"the log of {counted(facts.events, 'event')} is broken: {facts.event_faults[0]}"
    else:
        chain = (
            f"every act was logged; the log of {counted(facts.events, 'event')}, each bound to the "
            "one before by its hash, was whole when this text was generated"
        )
    libraries = [f"{name} {_version(name)}" for name in _LIBRARIES]
    return paragraph(
        "Software and record",
        _taken(facts),
        f"statistics were computed with Python {platform.python_version()}, {listed(libraries)}",
        chain,
        f"the root hash at the lock, over protocol, images, orders and answers, is "
        f"{code(facts.root_hash)}"
        if facts.root_hash
        else "the study was not locked, so that there is no root hash",
    )


def _taken(facts: StudyFacts) -> str:
    if facts.is_rehearsed:
        return "answers were drawn by a simulation of MSDM studio"
    if not facts.app_versions:
        return "no answer was taken"
    noun = "version" if len(facts.app_versions) == 1 else "versions"
    return f"answers were taken by MSDM studio, {noun} {listed([*map(plain, facts.app_versions)])}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(version not known)"
