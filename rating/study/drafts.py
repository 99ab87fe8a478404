"""Drafts: making a study, changing it, and the pictures that come into it, all of them or none."""

import dataclasses
import datetime
import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from rating.errors import StimulusError, StudyStateError
from rating.storage.events import record_event
from rating.storage.models import (
    STUDY_KINDS,
    Arm,
    Event,
    Prompt,
    Stimulus,
    StimulusImage,
    Study,
)
from rating.study.harmonisation import Harmonisation
from rating.study.lookup import utc_now
from rating.study.offered import raise_faults
from rating.study.preparation import PreparedImage
from rating.study.protocol import Protocol, checked_protocol

REAL_LABEL: Final = "Real images"
_CODE_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # none is taken for another when read out
_CODE_LENGTH: Final = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Added:
    """What came of adding images; `skipped` are those that the study had already, by name."""

    count: int
    skipped: tuple[str, ...] = ()


def new_study(
    session: Session, title: str, kind: str, protocol: Protocol, seed: int | None, actor: str
) -> Study:
    """Return a new draft; its code is random."""
    study = Study(
        code="".join(secrets.choice(_CODE_LETTERS) for _ in range(_CODE_LENGTH)),
        title=checked_title(title),
        kind=_checked_kind(kind),
        status="draft",
        is_paused=False,
        seed=secrets.randbits(48) if seed is None else _checked_seed(seed),
        draft_protocol=checked_protocol(protocol).to_dict(),
        created_at=utc_now(),
    )
    session.add(study)
    session.flush()
    record_event(session, study, "created", actor, {"kind": kind})
    return study


def change_study(
    study: Study, title: str | None, kind: str | None, protocol: Protocol | None
) -> None:
    """Change what is given of a draft."""
    if title is not None:
        study.title = checked_title(title)
    if kind is not None:
        study.kind = _checked_kind(kind)
    if protocol is not None:
        study.draft_protocol = checked_protocol(protocol).to_dict()


def add_prepared(
    session: Session,
    study: Study,
    prepared: Sequence[PreparedImage],
    settings: Harmonisation,
    actor: str,
) -> Added:
    """Put pictures into a draft and log it; see `_store`."""
    added = _store(session, study, prepared, settings)
    details = {"count": added.count, "skipped": len(added.skipped)}
    record_event(session, study, "images_added", actor, details)
    return added


def _store(
    session: Session, study: Study, prepared: Sequence[PreparedImage], settings: Harmonisation
) -> Added:
    """Put pictures into a draft; those that it has already, of the same arm and prompt, stay out.

    Raises:
        StimulusError: They contradict each other or what the study has; nothing is then taken.
    """
    used = _shared_harmonisation(study, settings)
    faults: list[str] = []
    arms = _arms_of(session, study, prepared, faults)
    prompts = _prompts_of(session, study, prepared, faults)
    raise_faults("what was offered", faults)
    session.flush()
    columns = (Stimulus.pixel_sha256, Stimulus.arm_id, Stimulus.prompt_id, Stimulus.role)
    rows = session.execute(select(*columns).where(Stimulus.study_id == study.id))
    there = {tuple(row) for row in rows}
    skipped: list[str] = []
    added: list[tuple[Stimulus, bytes]] = []
    now = utc_now()
    for image in prepared:
        arm_id = arms[image.arm].id if image.arm is not None else None
        prompt = prompts[image.prompt_id]
        key = (image.pixel_sha256, arm_id, prompt.id, image.offered.role)
        if key in there:
            skipped.append(image.offered.source_name)
            continue
        there.add(key)
        added.append((_stimulus(study.id, image, arm_id, prompt.id, now), image.png))
    session.add_all(stimulus for stimulus, _ in added)
    session.flush()
    session.add_all(StimulusImage(stimulus_id=row.id, png=png) for row, png in added)
    if added:
        study.harmonisation = used
        # New pictures may have identifiers burned in that nobody has looked for.
        study.identifiers_attested_by = study.identifiers_attested_at = None
    session.flush()
    return Added(len(added), tuple(skipped))


def _shared_harmonisation(study: Study, settings: Harmonisation) -> dict[str, Any]:
    used = dataclasses.asdict(settings)
    if study.harmonisation is not None and study.harmonisation != used:
        raise StimulusError(
            f"The images of study {study.code} went through {study.harmonisation}, so these cannot "
            f"go through {used}: all arms share one harmonisation. Use the study's, or remove its "
            "images first."
        )
    return used


def _stimulus(
    study_id: int,
    image: PreparedImage,
    arm_id: int | None,
    prompt_id: int,
    now: datetime.datetime,
) -> Stimulus:
    return Stimulus(
        study_id=study_id,
        role=image.offered.role,
        arm_id=arm_id,
        prompt_id=prompt_id,
        png_sha256=hashlib.sha256(image.png).hexdigest(),
        pixel_sha256=image.pixel_sha256,
        width_px=image.width_px,
        height_px=image.height_px,
        colour_mode=image.colour_mode,
        provenance=image.offered.provenance,
        harmonisation=image.log,
        selection_rule=image.offered.selection_rule,
        candidate_count=image.offered.candidate_count,
        source_name=image.offered.source_name[-400:],
        expected=image.offered.expected,
        added_at=now,
    )


def remove_images(session: Session, study: Study, stimulus_ids: Sequence[int]) -> int:
    """Take pictures out of a draft, with arms and prompts that nothing uses any more."""
    ids = set(
        session.scalars(
            select(Stimulus.id).where(
                Stimulus.study_id == study.id, Stimulus.id.in_(set(stimulus_ids))
            )
        )
    )
    if unknown := sorted(set(stimulus_ids) - ids):
        raise StimulusError(f"Study {study.code} has no images {unknown}; nothing was removed.")
    session.execute(delete(StimulusImage).where(StimulusImage.stimulus_id.in_(ids)))
    session.execute(delete(Stimulus).where(Stimulus.id.in_(ids)))
    for model, column in ((Arm, Stimulus.arm_id), (Prompt, Stimulus.prompt_id)):
        used = select(column).where(Stimulus.study_id == study.id, column.is_not(None))
        session.execute(delete(model).where(model.study_id == study.id, model.id.not_in(used)))
    left = session.scalar(
        select(func.count()).select_from(Stimulus).where(Stimulus.study_id == study.id)
    )
    if not left:
        study.harmonisation = None
    return len(ids)


def delete_draft(session: Session, study: Study) -> None:
    """Delete a draft with all its images; nobody has rated anything in it."""
    ids = session.scalars(select(Stimulus.id).where(Stimulus.study_id == study.id)).all()
    if ids:
        remove_images(session, study, ids)
    session.execute(delete(Event).where(Event.study_id == study.id))
    session.delete(study)


def attest_identifiers(study: Study, by: str) -> None:
    """Keep who looked for identifiers burned into the images, and when."""
    by = " ".join(by.split())
    if not 1 <= len(by) <= 200:
        raise StudyStateError("Say who looked for identifiers: a name of 1 to 200 characters.")
    study.identifiers_attested_by = by
    study.identifiers_attested_at = utc_now()


def checked_title(title: str) -> str:
    """Return a title without outer spaces; 1 to 200 characters."""
    title = " ".join(title.split())
    if not 1 <= len(title) <= 200 or not title.isprintable():
        raise StudyStateError(
            f"A title needs 1 to 200 printable characters; this one has {len(title)}."
        )
    return title


def _checked_kind(kind: str) -> str:
    if kind not in STUDY_KINDS:
        raise StudyStateError(f"A study is one of {', '.join(STUDY_KINDS)}, not {kind!r}.")
    return kind


def _checked_seed(seed: int) -> int:
    if not 0 <= seed < 2**63:
        raise StudyStateError(f"The seed is {seed}; allowed are 0 to {2**63 - 1}.")
    return seed


def _arms_of(
    session: Session, study: Study, prepared: Sequence[PreparedImage], faults: list[str]
) -> dict[str, Arm]:
    arms = {arm.code: arm for arm in session.scalars(select(Arm).where(Arm.study_id == study.id))}
    for image in prepared:
        if image.arm is None:
            continue
        is_real, name = image.offered.is_real, image.offered.source_name
        arm = arms.get(image.arm)
        if arm is None:
            if len(image.arm) > 64:
                faults.append(f"{name}: the arm's name has more than 64 characters.")
            label = REAL_LABEL if is_real else image.offered.provenance.get("model_label")
            arm = Arm(
                study_id=study.id, code=image.arm, is_real=is_real,
                label=str(label or image.arm)[:200],
            )  # fmt: skip
            arms[image.arm] = arm
            session.add(arm)
        elif arm.is_real != is_real:
            faults.append(f"{name}: the arm {image.arm!r} has both real and synthetic images.")
    return arms


def _prompts_of(
    session: Session, study: Study, prepared: Sequence[PreparedImage], faults: list[str]
) -> dict[str, Prompt]:
    found = session.scalars(select(Prompt).where(Prompt.study_id == study.id))
    prompts = {prompt.code: prompt for prompt in found}
    for image in prepared:
        text, name = image.offered.prompt.strip(), image.offered.source_name
        prompt = prompts.get(image.prompt_id)
        if prompt is None:
            if len(image.prompt_id) > 64:
                faults.append(f"{name}: the prompt_id has more than 64 characters.")
            prompt = Prompt(study_id=study.id, code=image.prompt_id, text=text)
            prompts[image.prompt_id] = prompt
            session.add(prompt)
        elif prompt.text != text:
            faults.append(
                f"{name}: the prompt_id {image.prompt_id!r} stands for {prompt.text[:80]!r} "
                f"already, here it is {text[:80]!r}."
            )
    return prompts
