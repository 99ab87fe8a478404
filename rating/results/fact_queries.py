"""The facts of a study read from its database, once arms may be named."""

import datetime
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from rating.results.facts import ArmFacts, AuditFacts, RaterFacts, StudyFacts, VersionFacts
from rating.storage.database import Database
from rating.storage.events import verify_events
from rating.storage.models import (
    Answer,
    Arm,
    Assignment,
    AuditReport,
    Event,
    Item,
    ProtocolVersion,
    Question,
    Rater,
    Stimulus,
    Study,
)
from rating.study.harmonisation import Harmonisation
from rating.study.lookup import current_protocol, find_study
from rating.study.simulated_rater import SPECIALTY
from rating.study.unblinding import require_unblinded
from rating.study.watching import progress


def study_facts(database: Database, code: str) -> StudyFacts:
    """Return what was planned and what happened in a study.

    Raises:
        StudyNotFoundError: There is none of this code.
        UnblindingError: It is a main study that is not locked, or a draft.
    """
    with database.read() as session:
        study = find_study(session, code)
        require_unblinded(study)
        return _facts(session, study)


def _facts(session: Session, study: Study) -> StudyFacts:
    answers, unable = _answer_counts(session, study)
    first, last, seen_before = _moments(session, study)
    raters = _raters(session, study)
    versions = tuple(sorted(_app_versions(session, study)))
    return StudyFacts(
        code=study.code,
        title=study.title,
        kind=study.kind,
        status=study.status,
        seed=study.seed,
        protocol=current_protocol(session, study),
        versions=_versions(session, study),
        harmonisation=Harmonisation(**study.harmonisation) if study.harmonisation else None,
        arms=_arms(session, study),
        prompts=_synthetic_prompts(session, study),
        raters=raters,
        audits=_audits(session, study),
        pauses=_pauses(session, study),
        is_rehearsed=_is_rehearsed(session, study, raters),
        attested_at=study.identifiers_attested_at,
        opened_at=study.opened_at,
        locked_at=study.locked_at,
        root_hash=study.root_hash,
        first_shown_at=first,
        last_submitted_at=last,
        answers=answers,
        unable=unable,
        seen_before=seen_before,
        median_s=_median_s(session, study),
        app_versions=versions,
        events=_event_count(session, study),
        event_faults=tuple(verify_events(session, study)),
    )


def _versions(session: Session, study: Study) -> tuple[VersionFacts, ...]:
    rows = session.scalars(
        select(ProtocolVersion)
        .where(ProtocolVersion.study_id == study.id)
        .order_by(ProtocolVersion.version)
    )
    return tuple(
        VersionFacts(row.version, row.sha256, row.reason, row.created_at) for row in rows
    )


def _arms(session: Session, study: Study) -> tuple[ArmFacts, ...]:
    arms = session.scalars(
        select(Arm).where(Arm.study_id == study.id).order_by(Arm.is_real, Arm.code)
    ).all()
    rows = session.execute(
        select(
            Stimulus.arm_id, Stimulus.prompt_id, Stimulus.selection_rule, Stimulus.candidate_count
        ).where(Stimulus.study_id == study.id, Stimulus.role == "main")
    )
    selections: dict[int, Counter[tuple[str, int]]] = defaultdict(Counter)
    prompts: dict[int, set[int]] = defaultdict(set)
    for arm_id, prompt_id, rule, candidates in rows:
        assert arm_id is not None  # a main stimulus has an arm
        selections[arm_id][rule, candidates] += 1
        prompts[arm_id].add(prompt_id)
    return tuple(
        ArmFacts(
            arm.code, arm.label, arm.is_real, selections[arm.id].total(), len(prompts[arm.id]),
            dict(sorted(selections[arm.id].items())),
        )
        for arm in arms
    )  # fmt: skip


def _synthetic_prompts(session: Session, study: Study) -> int:
    return session.scalar(
        select(func.count(Stimulus.prompt_id.distinct()))
        .join(Arm, Arm.id == Stimulus.arm_id)
        .where(
            Stimulus.study_id == study.id, Stimulus.role == "main", Arm.is_real.is_(False)
        )
    ) or 0  # fmt: skip


def _raters(session: Session, study: Study) -> tuple[RaterFacts, ...]:
    rows = session.execute(
        select(
            Assignment.rater_id, Item.kind, func.count(), func.count(Assignment.submitted_at)
        )
        .join(Item, Item.id == Assignment.item_id)
        .where(Assignment.study_id == study.id)
        .group_by(Assignment.rater_id, Item.kind)
    )
    assigned: dict[int, dict[str, int]] = defaultdict(dict)
    submitted: dict[int, dict[str, int]] = defaultdict(dict)
    for rater_id, kind, drawn, done in rows:
        assigned[rater_id][kind], submitted[rater_id][kind] = drawn, done
    watched = {rater.code: rater for rater in progress(session, study).raters}
    raters = session.scalars(
        select(Rater)
        .where(Rater.study_id == study.id, Rater.is_audit.is_(False))
        .order_by(Rater.id)
    )
    return tuple(
        RaterFacts(
            code=rater.code,
            state=watched[rater.code].state,
            is_enrolled=rater.enrolled_at is not None,
            is_erased=rater.erased_at is not None,
            is_revoked=rater.revoked_at is not None,
            specialty=rater.specialty,
            years=rater.years_experience,
            is_independent=rater.is_independent,
            assigned=assigned[rater.id],
            submitted=submitted[rater.id],
            checks_passed=watched[rater.code].checks_passed,
        )
        for rater in raters
    )


def _audits(session: Session, study: Study) -> tuple[AuditFacts, ...]:
    rows = session.scalars(
        select(AuditReport)
        .where(AuditReport.study_id == study.id)
        .order_by(AuditReport.at, AuditReport.id)
    )
    return tuple(
        AuditFacts(row.at, row.is_passed, tuple(map(str, row.report.get("clients", ()))))
        for row in rows
    )


def _events(session: Session, study: Study, *kinds: str) -> Iterator[tuple[Any, ...]]:
    rows = session.execute(
        select(Event.kind, Event.at, Event.details)
        .where(Event.study_id == study.id, Event.kind.in_(kinds))
        .order_by(Event.sequence)
    )
    yield from ((kind, at, json.loads(details)) for kind, at, details in rows)


def _pauses(
    session: Session, study: Study
) -> tuple[tuple[datetime.datetime, datetime.datetime | None], ...]:
    pauses: list[tuple[datetime.datetime, datetime.datetime | None]] = []
    for kind, at, _ in _events(session, study, "paused", "resumed"):
        if kind == "paused":
            pauses.append((at, None))
        elif pauses:
            pauses[-1] = (pauses[-1][0], at)
    if pauses and pauses[-1][1] is None and study.locked_at is not None:
        pauses[-1] = (pauses[-1][0], study.locked_at)  # locked while it was paused
    return tuple(pauses)


def _is_rehearsed(session: Session, study: Study, raters: tuple[RaterFacts, ...]) -> bool:
    is_logged = any(True for _ in _events(session, study, "rehearsed"))
    return is_logged or any(rater.specialty == SPECIALTY for rater in raters)


def _answer_counts(session: Session, study: Study) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many main answers each question got, and how many are *cannot judge*."""
    codes = session.scalars(
        select(Question.code).where(Question.study_id == study.id).order_by(Question.position)
    )
    answers = dict.fromkeys(codes, 0)
    unable = dict(answers)
    rows = session.execute(
        select(Question.code, Answer.is_cannot_judge, func.count())
        .join(Answer, Answer.question_id == Question.id)
        .join(Assignment, Assignment.id == Answer.assignment_id)
        .join(Item, Item.id == Assignment.item_id)
        .join(Rater, Rater.id == Assignment.rater_id)
        .where(
            Answer.study_id == study.id, Item.kind == "main", Rater.is_audit.is_(False),
            Assignment.submitted_at.is_not(None),
        )
        .group_by(Question.code, Answer.is_cannot_judge)
    )  # fmt: skip
    for code, is_unable, count in rows:
        answers[code] += count
        unable[code] += count if is_unable else 0
    return answers, unable


def _moments(
    session: Session, study: Study
) -> tuple[datetime.datetime | None, datetime.datetime | None, int]:
    """Return when the first item was shown and the last submitted, and how often seen before."""
    rows = session.execute(
        select(
            Item.kind, func.min(Assignment.shown_at), func.max(Assignment.submitted_at),
            func.count().filter(Assignment.is_seen_before),
        )
        .join(Item, Item.id == Assignment.item_id)
        .join(Rater, Rater.id == Assignment.rater_id)
        .where(
            Assignment.study_id == study.id, Item.kind != "practice", Rater.is_audit.is_(False)
        )
        .group_by(Item.kind)
    ).all()  # fmt: skip
    shown = [row[1] for row in rows if row[1] is not None]
    submitted = [row[2] for row in rows if row[2] is not None]
    seen = sum(row[3] for row in rows if row[0] == "main")
    return min(shown, default=None), max(submitted, default=None), seen


def _median_s(session: Session, study: Study) -> float | None:
    times = sorted(
        session.scalars(
            select(Assignment.visible_ms)
            .join(Item, Item.id == Assignment.item_id)
            .join(Rater, Rater.id == Assignment.rater_id)
            .where(
                Assignment.study_id == study.id, Item.kind == "main",
                Rater.is_audit.is_(False), Assignment.submitted_at.is_not(None),
            )
        )
    )  # fmt: skip
    if not times:
        return None
    return (times[len(times) // 2] + times[(len(times) - 1) // 2]) / 2000


def _app_versions(session: Session, study: Study) -> Iterator[str]:
    rows = session.scalars(
        select(Assignment.app_version)
        .distinct()
        .join(Rater, Rater.id == Assignment.rater_id)
        .where(Assignment.study_id == study.id, Rater.is_audit.is_(False))
    )
    yield from (version for version in rows if version)


def _event_count(session: Session, study: Study) -> int:
    return session.scalar(select(func.count()).where(Event.study_id == study.id)) or 0
