"""Locking: the facts to look at first, the lock that nothing undoes, and checking it later."""

import dataclasses
import json

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from rating.errors import StudyStateError
from rating.storage.events import record_event, root_hash, verify_events, verify_root
from rating.storage.models import Answer, Assignment, Event, Item, Question, Rater, Study


@dataclasses.dataclass(frozen=True, slots=True)
class LockFacts:
    """What a coordinator should know before locking.

    Args:
        code, title:        Of the study; the title is typed again to lock.
        kind:               "main" or "pilot".
        raters_completed:   Raters who answered everything.
        raters_unfinished:  Codes of enrolled raters with items left, drop-outs included.
        raters_not_started: Codes of raters who were invited and never enrolled.
        answers:            Answers there are, practice left out.
        answers_missing:    Answers that were assigned to raters and not given.
        events:             How many events there are.
        event_faults:       Broken links of the chain of events; () when it is whole.
    """

    code: str
    title: str
    kind: str
    raters_completed: int
    raters_unfinished: tuple[str, ...]
    raters_not_started: tuple[str, ...]
    answers: int
    answers_missing: int
    events: int
    event_faults: tuple[str, ...]


def lock_facts(session: Session, study: Study) -> LockFacts:
    """Return the facts of an open study; changes nothing."""
    raters = session.scalars(
        select(Rater)
        .where(Rater.study_id == study.id, Rater.is_audit.is_(False))
        .order_by(Rater.id)
    ).all()
    there, expected = count_answers(session, study)
    events = session.scalar(
        select(func.count()).select_from(Event).where(Event.study_id == study.id)
    )
    return LockFacts(
        code=study.code,
        title=study.title,
        kind=study.kind,
        raters_completed=sum(rater.completed_at is not None for rater in raters),
        raters_unfinished=tuple(
            rater.code for rater in raters if rater.enrolled_at and not rater.completed_at
        ),
        raters_not_started=tuple(rater.code for rater in raters if not rater.enrolled_at),
        answers=there,
        answers_missing=expected - there,
        events=events or 0,
        event_faults=tuple(verify_events(session, study)),
    )


def count_answers(session: Session, study: Study) -> tuple[int, int]:
    """Return how many answers there are and how many were assigned, practice left out."""
    there = session.scalar(
        select(func.count())
        .select_from(Answer)
        .join(Assignment, Answer.assignment_id == Assignment.id)
        .join(Item, Assignment.item_id == Item.id)
        .join(Rater, Assignment.rater_id == Rater.id)
        .where(
            Answer.study_id == study.id, Item.kind != "practice", Rater.is_audit.is_(False)
        )
    )
    assigned = session.scalar(
        select(func.count())
        .select_from(Assignment)
        .join(Item, Assignment.item_id == Item.id)
        .join(Rater, Assignment.rater_id == Rater.id)
        .where(
            Assignment.study_id == study.id, Item.kind != "practice", Rater.is_audit.is_(False)
        )
    )
    questions = session.scalar(
        select(func.count()).select_from(Question).where(Question.study_id == study.id)
    )
    return there or 0, (assigned or 0) * (questions or 0)


def lock(session: Session, study: Study, confirm_title: str, actor: str) -> str:
    """Lock a study for good and return its root hash, to be deposited elsewhere.

    Raises:
        StudyStateError: The title typed is another, or the chain of events is broken.
    """
    if " ".join(confirm_title.split()) != study.title:
        raise StudyStateError(
            f"The title typed is {confirm_title!r}; to lock study {study.code} type its title as "
            f"it stands: {study.title!r}. Nothing was locked."
        )
    if faults := verify_events(session, study):
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise StudyStateError(
            f"Study {study.code} cannot be locked: its events were changed outside this "
            f"software.\n{listed}\nRestore a backup."
        )
    there, expected = count_answers(session, study)
    root = root_hash(session, study)
    details = {"answers": there, "answers_missing": expected - there, "root_hash": root}
    event = record_event(session, study, "locked", actor, details)
    study.status = "locked"
    study.is_paused = False
    study.locked_at = event.at
    study.root_hash = root
    return root


def verify(session: Session, study: Study) -> list[str]:
    """Return everything that differs from what was logged and locked, in words; [] when whole."""
    faults = verify_events(session, study)
    if study.status == "locked":
        faults.extend(verify_root(session, study))
        logged = session.scalar(
            select(Event.details).where(Event.study_id == study.id, Event.kind == "locked")
        )
        if logged is not None and json.loads(logged).get("root_hash") != study.root_hash:
            faults.append("The root hash is another than the one in the event of the lock.")
    return faults
