"""The one place that joins stimuli and answers with arms to read results out.

A main study names arms and gives values only when it is locked: the coordinator has the images and
could join the two. A pilot, marked as one everywhere, may be read at any time after opening.
"""

import dataclasses
import datetime
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from rating.errors import UnblindingError
from rating.storage.models import (
    Answer,
    Arm,
    Assignment,
    AssignmentSlot,
    Item,
    Prompt,
    Question,
    Rater,
    Stimulus,
    Study,
)

_ROWS_AT_ONCE = 500


@dataclasses.dataclass(frozen=True, slots=True)
class ArmView:
    """An arm by its name."""

    id: int
    code: str
    label: str
    is_real: bool


@dataclasses.dataclass(frozen=True, slots=True)
class UnblindedAnswer:
    """An answer with the arm of the picture it is about.

    Args:
        rater_code:      For example "R01".
        item_id:         Of the item; a repeat has its own.
        item_kind:       "main", "repeat" or "check".
        repeat_of_id:    Item that is repeated, None for others.
        position:        Place in the rater's order, practice included, from 0.
        prompt_code:     Of the item's prompt.
        question_code:   For example "realism".
        value:           None where `is_cannot_judge`.
        is_cannot_judge: Whether *cannot judge* was answered.
        arm_code:        Of the picture; of a preference, of the picture preferred. "" where a
                         preference names none, and for checks.
        stimulus_id:     Likewise, None where a preference names none.
        saved_at:        When the answer was last saved.
    """

    rater_code: str
    item_id: int
    item_kind: str
    repeat_of_id: int | None
    position: int
    prompt_code: str
    question_code: str
    value: int | None
    is_cannot_judge: bool
    arm_code: str
    stimulus_id: int | None
    saved_at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class UnblindedStimulus:
    """A picture with its arm and what is known of its making.

    Args:
        id:              Its key.
        role:            "main", "practice" or "check".
        prompt_code:     Of its prompt.
        arm_code:        None where it belongs to no arm (practice, attention checks).
        is_real:         Likewise.
        model:           Id of the model, None where none is known, as of real images; the two
                         that follow likewise.
        weights_sha256:  Of the model.
        seed:            0 to 2**64 - 1.
        selection_rule:  How it was chosen.
        candidate_count: Out of how many, itself included.
        png_sha256:      Of the bytes that raters got.
    """

    id: int
    role: str
    prompt_code: str
    arm_code: str | None
    is_real: bool | None
    model: str | None
    weights_sha256: str | None
    seed: int | None
    selection_rule: str
    candidate_count: int
    png_sha256: str


def require_unblinded(study: Study) -> None:
    """Raise unless arms and values of a study may be told.

    Raises:
        UnblindingError: It is a main study that is not locked, or a draft.
    """
    if study.status == "locked" or (study.kind == "pilot" and study.status == "open"):
        return
    if study.status == "draft":
        raise UnblindingError(f"Study {study.code} is a draft: it has no answers yet.")
    raise UnblindingError(
        f"Study {study.code} is a main study that is {study.status}: arms are named and answers "
        f"leave it only after it is locked. Lock it with `python -m rating lock {study.code}`."
    )


def arms(session: Session, study: Study) -> tuple[ArmView, ...]:
    """Return the arms of a study, the real one last.

    Raises:
        UnblindingError: See `require_unblinded`.
    """
    require_unblinded(study)
    rows = session.scalars(
        select(Arm).where(Arm.study_id == study.id).order_by(Arm.is_real, Arm.code)
    )
    return tuple(ArmView(arm.id, arm.code, arm.label, arm.is_real) for arm in rows)


def arms_of_stimuli(session: Session, study: Study) -> dict[int, str]:
    """Return the code of the arm of every main stimulus by id.

    Raises:
        UnblindingError: See `require_unblinded`.
    """
    require_unblinded(study)
    rows = session.execute(
        select(Stimulus.id, Arm.code)
        .join(Arm, Stimulus.arm_id == Arm.id)
        .where(Stimulus.study_id == study.id)
    )
    return {id_: code for id_, code in rows}


def unblinded_stimuli(session: Session, study: Study) -> dict[int, UnblindedStimulus]:
    """Return every picture of a study by id, in the order of ids.

    Raises:
        UnblindingError: See `require_unblinded`.
    """
    require_unblinded(study)
    rows = session.execute(
        select(
            Stimulus.id, Stimulus.role, Prompt.code, Arm.code, Arm.is_real, Stimulus.provenance,
            Stimulus.selection_rule, Stimulus.candidate_count, Stimulus.png_sha256,
        )
        .join(Prompt, Stimulus.prompt_id == Prompt.id)
        .outerjoin(Arm, Stimulus.arm_id == Arm.id)
        .where(Stimulus.study_id == study.id)
        .order_by(Stimulus.id)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )  # fmt: skip
    return {
        id_: UnblindedStimulus(
            id_, role, prompt_code, arm_code, is_real, _told(made, "model_id"),
            _told(made, "weights_sha256"), _seed(made), rule, candidates, png_sha256,
        )
        for id_, role, prompt_code, arm_code, is_real, made, rule, candidates, png_sha256 in rows
    }  # fmt: skip


def _told(provenance: dict[str, Any], name: str) -> str | None:
    value = provenance.get(name)
    return None if value is None or value == "" else str(value)


def _seed(provenance: dict[str, Any]) -> int | None:
    """Return the seed where it is a whole number; tables of images may say anything."""
    text = _told(provenance, "seed") or ""
    is_whole = text.isascii() and text.isdigit() and len(text) <= 20
    return int(text) if is_whole and int(text) < 2**64 else None


def unblinded_answers(session: Session, study: Study) -> Iterator[UnblindedAnswer]:
    """Yield every answer that stands, but those of practice, by rater and position.

    Raises:
        UnblindingError: See `require_unblinded`; raised before the first answer is yielded.
    """
    require_unblinded(study)
    return _answers(session, study, arms_of_stimuli(session, study))


def _answers(
    session: Session, study: Study, arm_of: dict[int, str]
) -> Iterator[UnblindedAnswer]:
    # Of a preference the picture is the one in the slot that was chosen, else the only one.
    chosen = (
        select(AssignmentSlot.stimulus_id)
        .where(
            AssignmentSlot.assignment_id == Answer.assignment_id,
            (Question.kind == "scale") | (AssignmentSlot.slot == Answer.value - 1),
        )
        .order_by(AssignmentSlot.slot)
        .limit(1)
        .correlate(Answer, Question)
        .scalar_subquery()
    )
    rows = session.execute(
        select(Rater.code, Item, Assignment.position, Prompt.code, Question, Answer, chosen)
        .join(Assignment, Answer.assignment_id == Assignment.id)
        .join(Rater, Assignment.rater_id == Rater.id)
        .join(Item, Assignment.item_id == Item.id)
        .join(Prompt, Item.prompt_id == Prompt.id)
        .join(Question, Answer.question_id == Question.id)
        .where(
            Answer.study_id == study.id, Item.kind != "practice", Rater.is_audit.is_(False)
        )
        .order_by(Rater.code, Assignment.position, Question.position)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    for rater_code, item, position, prompt_code, question, answer, stimulus_id in rows:
        # A question about several pictures at once is about none of them.
        is_about_all = item.display == "side_by_side" and question.kind == "scale"
        about = None if is_about_all else stimulus_id
        yield UnblindedAnswer(
            rater_code=rater_code,
            item_id=item.id,
            item_kind=item.kind,
            repeat_of_id=item.repeat_of_id,
            position=position,
            prompt_code=prompt_code,
            question_code=question.code,
            value=answer.value,
            is_cannot_judge=answer.is_cannot_judge,
            arm_code=arm_of.get(about, "") if about is not None else "",
            stimulus_id=about,
            saved_at=answer.saved_at,
        )
