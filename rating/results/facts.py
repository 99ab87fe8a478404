"""What was planned and what happened in a study, as its methods text tells it."""

import dataclasses
import datetime
from collections.abc import Mapping

from rating.study.harmonisation import Harmonisation
from rating.study.protocol import Protocol


@dataclasses.dataclass(frozen=True, slots=True)
class VersionFacts:
    """A version of the protocol."""

    version: int
    sha256: str
    reason: str
    at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class ArmFacts:
    """The main images of an arm.

    Args:
        code, label, is_real: Of the arm.
        images:     How many.
        prompts:    Of how many prompts.
        selections: (selection rule, out of how many candidates) -> images.
    """

    code: str
    label: str
    is_real: bool
    images: int
    prompts: int
    selections: Mapping[tuple[str, int], int]


@dataclasses.dataclass(frozen=True, slots=True)
class RaterFacts:
    """A rater and the items drawn and submitted, by kind ("main", "practice", "repeat", "check").

    `state` is that of `rating.study.watching`; specialty and years are None where they were not
    given or were erased.
    """

    code: str
    state: str
    is_enrolled: bool
    is_erased: bool
    is_revoked: bool
    specialty: str | None
    years: int | None
    is_independent: bool | None
    assigned: Mapping[str, int]
    submitted: Mapping[str, int]
    checks_passed: int


@dataclasses.dataclass(frozen=True, slots=True)
class AuditFacts:
    """A blinding audit; `clients` are "http" and "chromium"."""

    at: datetime.datetime
    is_passed: bool
    clients: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class StudyFacts:
    """What was planned and what happened; raters of blinding audits are in none of it.

    Args:
        code, title, kind, status, seed: Of the study.
        protocol:      In force.
        versions:      Of the protocol, the first one at opening.
        harmonisation: What all images went through; None where that is not known.
        arms:          The real one last.
        prompts:       Of the synthetic arms.
        raters:        All who were invited, by code.
        audits:        In order of time.
        pauses:        When each pause began and ended; None where it has not.
        is_rehearsed:  Whether simulated raters took part: nothing was judged by people.
        attested_at:   When a person attested that identifiers in the images are handled.
        opened_at, locked_at, root_hash: None where that has not happened.
        first_shown_at, last_submitted_at: Of any item but practice; None before the first.
        answers:       Question -> main answers of submitted items.
        unable:        Question -> how many of them are *cannot judge*.
        seen_before:   Main items of which a rater said so.
        median_s:      Visible time of a submitted main item; None before the first.
        app_versions:  Of this software, that took the answers.
        events:        How many there are in the log.
        event_faults:  Broken links of its chain.
    """

    code: str
    title: str
    kind: str
    status: str
    seed: int
    protocol: Protocol
    versions: tuple[VersionFacts, ...]
    harmonisation: Harmonisation | None
    arms: tuple[ArmFacts, ...]
    prompts: int
    raters: tuple[RaterFacts, ...]
    audits: tuple[AuditFacts, ...]
    pauses: tuple[tuple[datetime.datetime, datetime.datetime | None], ...]
    is_rehearsed: bool
    attested_at: datetime.datetime | None
    opened_at: datetime.datetime | None
    locked_at: datetime.datetime | None
    root_hash: str | None
    first_shown_at: datetime.datetime | None
    last_submitted_at: datetime.datetime | None
    answers: Mapping[str, int]
    unable: Mapping[str, int]
    seen_before: int
    median_s: float | None
    app_versions: tuple[str, ...]
    events: int
    event_faults: tuple[str, ...]

    @property
    def enrolled(self) -> tuple[RaterFacts, ...]:
        """Raters for whom items were drawn."""
        return tuple(rater for rater in self.raters if rater.is_enrolled)
