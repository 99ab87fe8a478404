"""What a rater's browser is told: the phase, the present item, progress. Nothing that unblinds."""

import dataclasses
import hashlib
import math
import statistics
from typing import Any, Final

from sqlalchemy import func, select

from rating.storage.models import Assignment, AssignmentSlot, Item
from rating.study.item_view import image_url, item_view
from rating.study.lookup import utc_now
from rating.study.protocol import Protocol
from rating.study.visit import Visit

FIRST_GUESS_S: Final = 20.0  # an item, before this rater has done any
_RECENT: Final = 25
_LONGEST_ITEM_S: Final = 300.0  # what took longer was a pause


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """How many items a rater was assigned and has submitted, practice apart."""

    done: int = 0
    total: int = 0
    practice_done: int = 0
    practice_total: int = 0


def consent_sha256(protocol: Protocol) -> str:
    """Return the SHA-256 of the text that raters agree to."""
    return hashlib.sha256(protocol.consent.text.encode("utf-8")).hexdigest()


def counts_of(visit: Visit) -> Counts:
    """Return how far a rater is."""
    if visit.rater.enrolled_at is None:
        return Counts()
    counts = dict.fromkeys(((True, True), (True, False), (False, True), (False, False)), 0)
    is_practice = Item.kind == "practice"
    is_done = Assignment.submitted_at.is_not(None)
    rows = visit.session.execute(
        select(is_practice, is_done, func.count())
        .join(Item, Item.id == Assignment.item_id)
        .where(Assignment.rater_id == visit.rater.id)
        .group_by(is_practice, is_done)
    )
    for practice, done, count in rows:
        counts[bool(practice), bool(done)] = count
    return Counts(
        done=counts[False, True],
        total=counts[False, True] + counts[False, False],
        practice_done=counts[True, True],
        practice_total=counts[True, True] + counts[True, False],
    )


def state_of(visit: Visit) -> dict[str, Any]:
    """Return the whole state as JSON values; the present item counts as shown from now on."""
    study, protocol, current, phase = visit.study, visit.protocol, visit.current, visit.phase
    counts = counts_of(visit)
    state: dict[str, Any] = {
        "phase": phase,
        "study": {
            "title": study.title,
            "instructions": protocol.instructions,
            "contact": protocol.consent.contact,
            "ethics_approval": protocol.consent.ethics_approval,
        },
        "rater": visit.rater.code,
        "progress": _progress(visit, counts),
        "protocol": {
            "session_items": protocol.session_items,
            "smallest_display_px": protocol.smallest_display_px,
            "step_count": protocol.step_count,
            "display": protocol.display,
        },
    }
    if phase == "consent":
        state["consent"] = {
            "text": protocol.consent.text,
            "sha256": consent_sha256(protocol),
            "ethics_approval": protocol.consent.ethics_approval,
            "contact": protocol.consent.contact,
        }
    elif phase == "profile":
        state["profile"] = {"specialties": list(protocol.specialties)}
    elif current is not None and phase in {"practice", "rating"}:
        if current.shown_at is None:
            current.shown_at = utc_now()
        state["item"] = item_view(visit, current, counts.practice_total)
        state["next_images"] = _next_images(visit, current)
    return state


def _progress(visit: Visit, counts: Counts) -> dict[str, Any]:
    left = counts.total - counts.done + counts.practice_total - counts.practice_done
    current = visit.current
    is_between = visit.phase == "rating" and current is not None and current.steps_done == 0
    is_due = counts.done > 0 and counts.done % visit.protocol.session_items == 0
    seconds = left * _seconds_per_item(visit) if left else 0.0
    return {
        "done": counts.done,
        "total": counts.total,
        "left_min": math.ceil(seconds / 60),
        "practice_done": counts.practice_done,
        "practice_total": counts.practice_total,
        "is_pause_offered": is_between and is_due and counts.done < counts.total,
    }


def _seconds_per_item(visit: Visit) -> float:
    """Return the median time from showing an item to submitting it, of the last ones."""
    rows = visit.session.execute(
        select(Assignment.shown_at, Assignment.submitted_at)
        .where(Assignment.rater_id == visit.rater.id, Assignment.submitted_at.is_not(None))
        .order_by(Assignment.position.desc())
        .limit(_RECENT)
    ).all()
    times = [
        min((submitted - shown).total_seconds(), _LONGEST_ITEM_S)
        for shown, submitted in rows
        if shown is not None and submitted is not None
    ]
    return statistics.median(times) if len(times) >= 3 else FIRST_GUESS_S


def _next_images(visit: Visit, current: Assignment) -> list[str]:
    """Return where the pictures of the next item are; positions follow one another."""
    tokens = visit.session.scalars(
        select(AssignmentSlot.token)
        .join(Assignment, Assignment.id == AssignmentSlot.assignment_id)
        .where(
            Assignment.rater_id == current.rater_id, Assignment.position == current.position + 1
        )
        .order_by(AssignmentSlot.slot)
    )
    return [image_url(token) for token in tokens]
