"""The one place that joins stimuli, and what raters are shown, with arms, to read results out.

A main study names arms and gives values only when it is locked: the coordinator has the images and
could join the two. A pilot, marked as one everywhere, may be read at any time after opening.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from rating.errors import UnblindingError
from rating.storage.models import (
    Arm,
    Assignment,
    AssignmentSlot,
    Item,
    Prompt,
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


@dataclasses.dataclass(frozen=True, slots=True)
class ShownPicture:
    """A picture in a slot; `arm` is None in practice and checks, `name` tells it from others."""

    slot: int
    arm: str | None
    is_real: bool
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class ShownItem:
    """What is on an item's screen, as the coordinator's side knows it.

    Args:
        kind:     "main", "practice", "repeat" or "check".
        position: From 0.
        prompt:   Code of the prompt.
        pictures: In the order of their slots.
        expected: Of a check: question code -> accepted values.
    """

    kind: str
    position: int
    prompt: str
    pictures: tuple[ShownPicture, ...]
    expected: Mapping[str, Sequence[int]]


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


def shown_items(session: Session, study: Study, rater_id: int) -> dict[str, ShownItem]:
    """Return what each item of one of a study's raters shows, by the token of the assignment.

    Raises:
        UnblindingError: See `require_unblinded`.
    """
    require_unblinded(study)
    own = (Assignment.study_id == study.id, Assignment.rater_id == rater_id)
    slots = session.execute(
        select(
            AssignmentSlot.assignment_id, AssignmentSlot.slot, Stimulus.pixel_sha256,
            Arm.code, Arm.is_real, Stimulus.expected,
        )
        .join(Assignment, Assignment.id == AssignmentSlot.assignment_id)
        .join(Stimulus, Stimulus.id == AssignmentSlot.stimulus_id)
        .outerjoin(Arm, Arm.id == Stimulus.arm_id)
        .where(*own)
        .order_by(AssignmentSlot.assignment_id, AssignmentSlot.slot)
    )  # fmt: skip
    pictures: dict[int, list[ShownPicture]] = defaultdict(list)
    expected: dict[int, dict[str, Sequence[int]]] = {}
    for assignment_id, slot, pixels, arm, is_real, accepted in slots:
        pictures[assignment_id].append(ShownPicture(slot, arm, bool(is_real), pixels[:16]))
        expected[assignment_id] = accepted or {}
    items = session.execute(
        select(Assignment.id, Assignment.token, Assignment.position, Item.kind, Prompt.code)
        .join(Item, Item.id == Assignment.item_id)
        .join(Prompt, Prompt.id == Item.prompt_id)
        .where(*own)
    )
    return {
        token: ShownItem(kind, position, prompt, tuple(pictures[id_]), expected[id_])
        for id_, token, position, kind, prompt in items
    }
