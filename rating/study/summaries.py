"""What lists show of studies and of their pictures."""

import dataclasses
import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from rating.errors import StimulusError
from rating.storage.models import Arm, Prompt, Rater, Stimulus, StimulusImage, Study
from rating.study.locking import count_answers


@dataclasses.dataclass(frozen=True, slots=True)
class StudySummary:
    """A study in a list; answers leave practice out."""

    code: str
    title: str
    kind: str
    status: str
    is_paused: bool
    raters: int
    answers_done: int
    answers_expected: int
    created_at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class StimulusView:
    """A picture in the coordinator's table.

    While the study is open, what tells the arm is empty, and so is all that follows `pixel_sha256`:
    native sizes and ways of selection differ between arms.
    """

    id: int
    role: str
    prompt_code: str
    prompt: str
    arm: str
    arm_label: str
    is_real: bool | None
    width_px: int
    height_px: int
    colour_mode: str
    pixel_sha256: str
    selection_rule: str
    candidate_count: int
    source_name: str
    provenance: dict[str, object]
    harmonisation: dict[str, object]


def study_summary(session: Session, study: Study) -> StudySummary:
    """Return a study as lists show it."""
    raters = session.scalar(
        select(func.count())
        .select_from(Rater)
        .where(Rater.study_id == study.id, Rater.is_audit.is_(False))
    )
    done, expected = count_answers(session, study)
    return StudySummary(
        code=study.code,
        title=study.title,
        kind=study.kind,
        status=study.status,
        is_paused=study.is_paused,
        raters=raters or 0,
        answers_done=done,
        answers_expected=expected,
        created_at=study.created_at,
    )


def stimulus_views(session: Session, study: Study) -> tuple[StimulusView, ...]:
    """Return the pictures of a study; arms are named in a draft and after the lock."""
    is_named = study.status != "open"
    # Images came arm by arm, so that their order would tell.
    order = (Stimulus.id,) if is_named else (Prompt.code, Stimulus.pixel_sha256)
    rows = session.execute(
        select(Stimulus, Prompt, Arm)
        .join(Prompt, Stimulus.prompt_id == Prompt.id)
        .outerjoin(Arm, Stimulus.arm_id == Arm.id)
        .where(Stimulus.study_id == study.id)
        .order_by(*order)
    )
    return tuple(_stimulus_view(stimulus, prompt, arm, is_named) for stimulus, prompt, arm in rows)


def _stimulus_view(
    stimulus: Stimulus, prompt: Prompt, arm: Arm | None, is_named: bool
) -> StimulusView:
    named = arm if is_named else None
    return StimulusView(
        id=stimulus.id,
        role=stimulus.role,
        prompt_code=prompt.code,
        prompt=prompt.text,
        arm=named.code if named else "",
        arm_label=named.label if named else "",
        is_real=named.is_real if named else None,
        width_px=stimulus.width_px,
        height_px=stimulus.height_px,
        colour_mode=stimulus.colour_mode,
        pixel_sha256=stimulus.pixel_sha256,
        selection_rule=stimulus.selection_rule if is_named else "",
        candidate_count=stimulus.candidate_count if is_named else 0,
        source_name=stimulus.source_name if is_named else "",
        provenance=dict(stimulus.provenance) if is_named else {},
        harmonisation=dict(stimulus.harmonisation) if is_named else {},
    )


def stimulus_png(session: Session, study: Study, stimulus_id: int) -> bytes:
    """Return the bytes of a picture.

    Raises:
        StimulusError: The study has no such picture.
    """
    png = session.scalar(
        select(StimulusImage.png)
        .join(Stimulus, StimulusImage.stimulus_id == Stimulus.id)
        .where(Stimulus.study_id == study.id, Stimulus.id == stimulus_id)
    )
    if png is None:
        raise StimulusError(f"Study {study.code} has no image {stimulus_id}.")
    return png
