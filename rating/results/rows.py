"""The rows of the tables of answers, one showing at a time, from one snapshot of the database.

Each row is a tuple of cells in the order of `rating.results.columns`. Arms come from
`rating.study.unblinding`, which refuses a main study that is not locked.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from rating.results.cells import (
    Row,
    boolean,
    marks_text,
    moment,
    number,
    seconds_since,
    tags_text,
    text_or_missing,
    years,
)
from rating.results.column import MISSING, Variant
from rating.results.columns import Asked
from rating.results.showings import Person, SavedAnswer, Saving, Showing, ShownSlot, people
from rating.storage.models import ProtocolVersion, Question, Study
from rating.study.lookup import current_protocol
from rating.study.unblinding import UnblindedStimulus, require_unblinded, unblinded_stimuli

_NO_PICTURE: Final[Row] = (MISSING,) * 9
_NO_DEFECTS: Final[Row] = (MISSING,) * 2


@dataclasses.dataclass(frozen=True)
class Source:
    """What the rows of a study need besides its showings.

    Args:
        session:   On one snapshot.
        study:     Unblinded.
        variant:   "full" or "public".
        people:    Raters, those of audits left out.
        questions: In the order asked.
        stimuli:   By id.
        versions:  Version of the protocol -> its SHA-256.
        has_tags:  Whether raters were offered defect tags.
    """

    session: Session
    study: Study
    variant: Variant
    people: tuple[Person, ...]
    questions: tuple[Question, ...]
    stimuli: Mapping[int, UnblindedStimulus]
    versions: Mapping[int, str]
    has_tags: bool

    @property
    def asked(self) -> tuple[Asked, ...]:
        """The questions as far as the columns of tables need them."""
        return tuple(Asked(question.code, question.kind) for question in self.questions)

    @property
    def study_cells(self) -> Row:
        """The cells that every row of every table begins with."""
        return (self.study.code, self.study.kind)


def read_source(session: Session, study: Study, variant: Variant) -> Source:
    """Return what the rows of a study need.

    Raises:
        UnblindingError: It is a main study that is not locked, or a draft.
    """
    require_unblinded(study)
    questions = session.scalars(
        select(Question).where(Question.study_id == study.id).order_by(Question.position)
    )
    versions = session.execute(
        select(ProtocolVersion.version, ProtocolVersion.sha256).where(
            ProtocolVersion.study_id == study.id
        )
    )
    return Source(
        session=session,
        study=study,
        variant=variant,
        people=people(session, study),
        questions=tuple(questions),
        stimuli=unblinded_stimuli(session, study),
        versions=dict(versions.all()),
        has_tags=bool(current_protocol(session, study).defect_tags),
    )


def picture_cells(stimulus: UnblindedStimulus) -> Row:
    """Return the cells of a picture, from `arm` to `stimulus_sha256`."""
    return (
        text_or_missing(stimulus.arm_code), boolean(stimulus.is_real),
        text_or_missing(stimulus.model), text_or_missing(stimulus.weights_sha256),
        number(stimulus.seed), stimulus.selection_rule, str(stimulus.candidate_count),
        str(stimulus.id), stimulus.png_sha256,
    )  # fmt: skip


def person_cells(person: Person, variant: Variant) -> Row:
    """Return the cells of a rater, from `rater_code` to `enrolment_index`."""
    return (
        person.code, text_or_missing(person.specialty), years(person.years_experience, variant),
        boolean(person.is_independent), number(person.enrolment_index),
    )  # fmt: skip


class AnswerRows:
    """The rows of answers and of what was shown."""

    def __init__(self, source: Source) -> None:
        """Prepare the cells that many rows share."""
        self._source = source
        self._study = source.study_cells
        self._is_public = source.variant == "public"
        self._people = {each.id: person_cells(each, source.variant) for each in source.people}
        self._pictures = {id_: picture_cells(each) for id_, each in source.stimuli.items()}
        self._questions = {
            question.id: (place, question) for place, question in enumerate(source.questions)
        }

    def ratings(self, person: Person, showing: Showing) -> Iterator[Row]:
        """Yield the rows of ratings_long.csv of a showing, in the order of questions."""
        version = showing.protocol_version
        head = (
            *self._study, str(version), self._source.versions[version], *self._people[person.id],
            str(showing.id), str(showing.position),
        )  # fmt: skip
        item, seen = _item_cells(showing), boolean(showing.is_seen_before)
        times, visible = self._times(person, showing), str(showing.visible_ms)
        window = () if self._is_public else _window_cells(showing)
        version_cell = text_or_missing(showing.app_version)
        for question, answer in self._in_order(showing.answers):
            last, slot = answer.last, _slot_of(showing, question, answer.last)
            picture = self._pictures[slot.stimulus_id] if slot else _NO_PICTURE
            defects = self._defects(slot) if slot else _NO_DEFECTS
            yield (
                *head, str(slot.slot) if slot else MISSING, *item, *picture, question.code,
                number(last.value), boolean(last.is_cannot_judge), seen, *defects, *times,
                self._moment(person, last.saved_at), visible, str(last.revision - 1), *window,
                version_cell,
            )  # fmt: skip

    def assignments(self, person: Person, showing: Showing) -> Iterator[Row]:
        """Yield the rows of assignments.csv of a showing, one a picture."""
        head = (
            *self._study, person.code, number(person.enrolment_index), str(showing.id),
            str(showing.protocol_version), str(showing.position), *_item_cells(showing),
        )  # fmt: skip
        times, visible = self._times(person, showing), _visible_ms(showing)
        for slot in showing.slots:
            yield (
                *head, str(slot.slot), *self._pictures[slot.stimulus_id],
                *self._defects_so_far(showing, slot), *times, visible,
            )  # fmt: skip

    def history(self, person: Person, showing: Showing) -> Iterator[Row]:
        """Yield the rows of answer_history.csv of a showing, one a saving."""
        head = (*self._study, person.code, str(showing.id), showing.item_kind)
        for question, answer in self._in_order(showing.answers):
            for saving in answer.savings:
                yield (
                    *head, question.code, str(saving.revision), number(saving.value),
                    boolean(saving.is_cannot_judge), self._moment(person, saving.saved_at),
                )  # fmt: skip

    def wide(self, person: Person, shown: Sequence[Showing]) -> Iterator[Row]:
        """Yield the rows of ratings_wide.csv of a rater, one a main picture.

        Args:
            person: The rater.
            shown:  All showings of the rater; practice and checks are passed over.
        """
        repeats = {showing.repeat_of_item_id: showing for showing in shown}
        for showing in shown:
            if showing.item_kind != "main":
                continue
            both = (showing, repeats.get(showing.item_id))
            for slot in showing.slots:
                answers = (
                    cell
                    for question in self._source.questions
                    for each in both
                    for cell in _wide_answer(each, question, slot.stimulus_id)
                )
                yield (*self._wide_head(person, showing, slot), *answers)

    def _wide_head(self, person: Person, showing: Showing, slot: ShownSlot) -> Row:
        shown, _, submitted = self._times(person, showing)
        is_begun = showing.judged_at is not None
        return (
            *self._study, *self._people[person.id], str(showing.id), str(showing.position),
            str(showing.item_id), showing.display, showing.prompt_code, str(slot.slot),
            *self._pictures[slot.stimulus_id],
            boolean(showing.is_seen_before) if is_begun else MISSING,
            *self._defects_so_far(showing, slot), shown, submitted, _visible_ms(showing),
        )  # fmt: skip

    def _in_order(
        self, answers: Iterable[SavedAnswer]
    ) -> Iterator[tuple[Question, SavedAnswer]]:
        for answer in sorted(answers, key=lambda each: self._questions[each.question_id][0]):
            yield self._questions[answer.question_id][1], answer

    def _defects(self, slot: ShownSlot) -> Row:
        tags = tags_text(slot.tags) if self._source.has_tags else None
        return (text_or_missing(tags), marks_text(slot.marks))

    def _defects_so_far(self, showing: Showing, slot: ShownSlot) -> Row:
        return _NO_DEFECTS if showing.judged_at is None else self._defects(slot)

    def _times(self, person: Person, showing: Showing) -> tuple[str, str, str]:
        return (
            self._moment(person, showing.shown_at), self._moment(person, showing.judged_at),
            self._moment(person, showing.submitted_at),
        )  # fmt: skip

    def _moment(self, person: Person, value: datetime.datetime | None) -> str:
        return seconds_since(person.first_shown_at, value) if self._is_public else moment(value)


def _item_cells(showing: Showing) -> Row:
    return (
        str(showing.item_id), showing.item_kind, number(showing.repeat_of_item_id),
        showing.display, showing.prompt_code,
    )  # fmt: skip


def _window_cells(showing: Showing) -> Row:
    return (
        number(showing.viewport_width_px), number(showing.viewport_height_px),
        number(showing.device_pixel_ratio),
    )  # fmt: skip


def _visible_ms(showing: Showing) -> str:
    return MISSING if showing.shown_at is None else str(showing.visible_ms)


def _slot_of(showing: Showing, question: Question, saving: Saving) -> ShownSlot | None:
    """Return the picture that an answer is about; None where it is about none, or about several."""
    if question.kind == "preference":
        chosen = (slot for slot in showing.slots if slot.slot + 1 == saving.value)
        return next(chosen, None)
    is_about_all = showing.display == "side_by_side"
    return None if is_about_all or not showing.slots else showing.slots[0]


def _wide_answer(showing: Showing | None, question: Question, stimulus_id: int) -> Row:
    """Return value and *cannot judge* of one showing as the row of one picture has them."""
    answers = () if showing is None else showing.answers
    answer = next((each for each in answers if each.question_id == question.id), None)
    if answer is None or showing is None:
        return (MISSING, MISSING)
    value: int | None = answer.last.value
    if question.kind == "preference" and value is not None:
        chosen = _slot_of(showing, question, answer.last)
        value = int(chosen is not None and chosen.stimulus_id == stimulus_id)
    return (number(value), boolean(answer.last.is_cannot_judge))
