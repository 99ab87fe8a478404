"""What raters were shown and answered, read in pages so that memory stays constant.

Arms are not in here: they are told by `rating.study.unblinding` alone.
"""

import dataclasses
import datetime
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from rating.storage.models import (
    Answer,
    AnswerVersion,
    Assignment,
    AssignmentSlot,
    DefectTag,
    Item,
    Mark,
    Prompt,
    Rater,
    Study,
)
from rating.study.unblinding import require_unblinded

PAGE_ITEMS: Final = 500  # of one rater, read at once


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """A rater as the tables tell; `first_shown_at` is None before the first item."""

    id: int
    code: str
    specialty: str | None
    years_experience: int | None
    is_independent: bool | None
    enrolment_index: int | None
    first_shown_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class ShownSlot:
    """A picture of a showing, with its tags in order and its marks (x, y, tag) in the order set."""

    slot: int
    stimulus_id: int
    tags: tuple[str, ...]
    marks: tuple[tuple[float, float, str | None], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Saving:
    """An answer as it was saved once."""

    revision: int
    value: int | None
    is_cannot_judge: bool
    saved_at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class SavedAnswer:
    """An answer as last saved, and every saving of it in order."""

    question_id: int
    last: Saving
    savings: tuple[Saving, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Showing:
    """An assignment with its item, its pictures and its answers, whether or not it was shown."""

    id: int
    protocol_version: int
    position: int
    item_id: int
    item_kind: str
    repeat_of_item_id: int | None
    display: str
    prompt_code: str
    shown_at: datetime.datetime | None
    judged_at: datetime.datetime | None
    submitted_at: datetime.datetime | None
    visible_ms: int
    is_seen_before: bool
    viewport_width_px: int | None
    viewport_height_px: int | None
    device_pixel_ratio: float | None
    app_version: str | None
    slots: tuple[ShownSlot, ...]
    answers: tuple[SavedAnswer, ...]


def people(session: Session, study: Study) -> tuple[Person, ...]:
    """Return the raters of a study in the order of invitation, those of audits left out."""
    first = dict(
        session.execute(
            select(Assignment.rater_id, func.min(Assignment.shown_at))
            .where(Assignment.study_id == study.id)
            .group_by(Assignment.rater_id)
        ).all()
    )
    raters = session.execute(
        select(
            Rater.id, Rater.code, Rater.specialty, Rater.years_experience, Rater.is_independent,
            Rater.enrolment_index,
        )
        .where(Rater.study_id == study.id, Rater.is_audit.is_(False))
        .order_by(Rater.id)
    )  # fmt: skip
    return tuple(Person(*rater, first.get(rater.id)) for rater in raters)


def showings(
    session: Session, study: Study, persons: Sequence[Person], page_items: int = PAGE_ITEMS
) -> Iterator[tuple[Person, list[Showing]]]:
    """Yield pages of showings: those of a rater, in the order of positions.

    Args:
        session:    Of one snapshot.
        study:      Locked, or an open pilot.
        persons:    Whose, see `people`.
        page_items: Most showings of a page.

    Raises:
        UnblindingError: Answers may not be told yet.
    """
    require_unblinded(study)
    return _pages(session, persons, page_items)


def _pages(
    session: Session, persons: Sequence[Person], page_items: int
) -> Iterator[tuple[Person, list[Showing]]]:
    for person in persons:
        start = 0
        while page := _page(session, person.id, start, start + page_items):
            yield person, page
            start += page_items


def _page(session: Session, rater_id: int, start: int, end: int) -> list[Showing]:
    page = (
        Assignment.rater_id == rater_id, Assignment.position >= start, Assignment.position < end
    )  # fmt: skip
    rows = session.execute(
        select(
            Assignment.id, Assignment.protocol_version, Assignment.position,
            Item.id.label("item_id"), Item.kind.label("item_kind"),
            Item.repeat_of_id.label("repeat_of_item_id"), Item.display,
            Prompt.code.label("prompt_code"), Assignment.shown_at, Assignment.judged_at,
            Assignment.submitted_at, Assignment.visible_ms,
            Assignment.is_seen_before, Assignment.viewport_width_px,
            Assignment.viewport_height_px, Assignment.device_pixel_ratio, Assignment.app_version,
        )
        .join(Item, Item.id == Assignment.item_id)
        .join(Prompt, Prompt.id == Item.prompt_id)
        .where(*page)
        .order_by(Assignment.position)
    ).all()  # fmt: skip
    if not rows:
        return []
    slots, answers = _slots(session, page), _answers(session, page)
    return [
        Showing(**row._asdict(), slots=tuple(slots[row.id]), answers=tuple(answers[row.id]))
        for row in rows
    ]


def _slots(
    session: Session, page: tuple[ColumnElement[bool], ...]
) -> dict[int, list[ShownSlot]]:
    tags: dict[int, list[str]] = defaultdict(list)
    for slot_id, tag in session.execute(
        select(DefectTag.assignment_slot_id, DefectTag.tag)
        .join(AssignmentSlot, AssignmentSlot.id == DefectTag.assignment_slot_id)
        .join(Assignment, Assignment.id == AssignmentSlot.assignment_id)
        .where(*page)
        .order_by(DefectTag.id)
    ):
        tags[slot_id].append(tag)
    marks: dict[int, list[tuple[float, float, str | None]]] = defaultdict(list)
    for slot_id, x, y, mark_tag in session.execute(
        select(Mark.assignment_slot_id, Mark.x, Mark.y, Mark.tag)
        .join(AssignmentSlot, AssignmentSlot.id == Mark.assignment_slot_id)
        .join(Assignment, Assignment.id == AssignmentSlot.assignment_id)
        .where(*page)
        .order_by(Mark.assignment_slot_id, Mark.number)
    ):
        marks[slot_id].append((x, y, mark_tag))
    found: dict[int, list[ShownSlot]] = defaultdict(list)
    for id_, assignment_id, slot, stimulus_id in session.execute(
        select(
            AssignmentSlot.id, AssignmentSlot.assignment_id, AssignmentSlot.slot,
            AssignmentSlot.stimulus_id,
        )
        .join(Assignment, Assignment.id == AssignmentSlot.assignment_id)
        .where(*page)
        .order_by(AssignmentSlot.assignment_id, AssignmentSlot.slot)
    ):  # fmt: skip
        shown = ShownSlot(slot, stimulus_id, tuple(tags[id_]), tuple(marks[id_]))
        found[assignment_id].append(shown)
    return found


def _answers(
    session: Session, page: tuple[ColumnElement[bool], ...]
) -> dict[int, list[SavedAnswer]]:
    """Return the answers of a page by assignment, in the order in which they were first saved."""
    savings: dict[int, list[Saving]] = defaultdict(list)
    for answer_id, revision, value, is_unable, saved_at in session.execute(
        select(
            AnswerVersion.answer_id, AnswerVersion.revision, AnswerVersion.value,
            AnswerVersion.is_cannot_judge, AnswerVersion.saved_at,
        )
        .join(Answer, Answer.id == AnswerVersion.answer_id)
        .join(Assignment, Assignment.id == Answer.assignment_id)
        .where(*page)
        .order_by(AnswerVersion.answer_id, AnswerVersion.revision)
    ):  # fmt: skip
        savings[answer_id].append(Saving(revision, value, is_unable, saved_at))
    found: dict[int, list[SavedAnswer]] = defaultdict(list)
    for id_, assignment_id, question_id, revision, value, is_unable, saved_at in session.execute(
        select(
            Answer.id, Answer.assignment_id, Answer.question_id, Answer.revision, Answer.value,
            Answer.is_cannot_judge, Answer.saved_at,
        )
        .join(Assignment, Assignment.id == Answer.assignment_id)
        .where(*page)
        .order_by(Answer.id)
    ):  # fmt: skip
        last = Saving(revision, value, is_unable, saved_at)
        found[assignment_id].append(SavedAnswer(question_id, last, tuple(savings[id_])))
    return found
