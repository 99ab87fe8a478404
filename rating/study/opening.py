"""Opening a study: its protocol fixed and hashed, its questions and items written down."""

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from rating.counting import counted
from rating.errors import NotReadyError
from rating.storage.events import record_event
from rating.storage.models import (
    Arm,
    Item,
    ItemStimulus,
    ProtocolVersion,
    Question,
    Stimulus,
    Study,
)
from rating.study.checks import Problem, opening_problems
from rating.study.lookup import current_protocol, utc_now
from rating.study.protocol import Protocol, QuestionText

SLOT_LABELS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclasses.dataclass(frozen=True, slots=True)
class _Picture:
    """What building items needs to know of a stimulus."""

    id: int
    role: str
    prompt_id: int
    is_real: bool


def open_study(session: Session, study: Study, actor: str) -> None:
    """Open a draft: check it, fix the protocol, write questions and items, log it.

    Raises:
        NotReadyError: There are problems; the message lists all of them, and nothing is changed.
    """
    protocol = current_protocol(session, study)
    found = study_problems(session, study, protocol)
    if stops := [problem for problem in found if not problem.is_warning]:
        raise NotReadyError(problem_report(study.code, stops))
    version = write_version(session, study, protocol, "opened")
    _write_questions(session, study, protocol)
    counts = write_items(session, study, protocol)
    study.status = "open"
    study.opened_at = version.created_at
    details = {
        "kind": study.kind,
        "seed": study.seed,
        "protocol_version": version.version,
        "protocol_sha256": version.sha256,
        "stimuli_sha256": _stimuli_sha256(session, study),
        "items": counts,
        "warnings": sorted({problem.code for problem in found if problem.is_warning}),
    }
    record_event(session, study, "opened", actor, details)


def study_problems(session: Session, study: Study, protocol: Protocol) -> list[Problem]:
    """Return everything that keeps a draft from opening, and warnings."""
    found = list(opening_problems(session, study, protocol))
    if protocol.display == "side_by_side":
        found += _side_by_side_problems(_pictures(session, study), _slot_count(session, study))
    return found


def _side_by_side_problems(pictures: Sequence[_Picture], slots: int) -> list[Problem]:
    found = []
    practice = _groups_by_prompt([each for each in pictures if each.role == "practice"])
    if wrong := [group for group in practice if len(group) != slots]:
        found.append(
            Problem(
                "practice_side_by_side",
                f"side by side a practice prompt needs {slots} images, one for each slot; "
                f"{len(wrong)} of {len(practice)} practice prompts have another number.",
                "practice",
            )
        )
    if reals := sum(each.is_real for each in pictures):
        found.append(
            Problem(
                "real_side_by_side",
                f"{reals} real images are not shown: side by side has one slot for each model.",
                "real images",
                is_warning=True,
            )
        )
    return found


def problem_report(code: str, problems: Sequence[Problem]) -> str:
    """Return the problems that keep a study from opening, as lines of text."""
    lines = (
        f"  {problem.where}: {problem.message}" if problem.where else f"  {problem.message}"
        for problem in problems
    )
    count = counted(len(problems), "problem")
    return "\n".join((f"Study {code} cannot be opened yet, {count}:", *lines))


def write_version(
    session: Session, study: Study, protocol: Protocol, reason: str
) -> ProtocolVersion:
    """Return the protocol written down as the study's next version."""
    last = session.scalar(
        select(ProtocolVersion.version)
        .where(ProtocolVersion.study_id == study.id)
        .order_by(ProtocolVersion.version.desc())
        .limit(1)
    )
    version = ProtocolVersion(
        study_id=study.id,
        version=(last or 0) + 1,
        content=protocol.canonical(),
        sha256=protocol.sha256(),
        reason=reason,
        created_at=utc_now(),
    )
    session.add(version)
    session.flush()
    return version


def write_items(session: Session, study: Study, protocol: Protocol) -> dict[str, int]:
    """Write the items of a study: each main item with its repeat; return how many of each kind."""
    pictures = _pictures(session, study)
    display = protocol.display
    groups: list[tuple[str, list[_Picture]]] = []
    for kind in ("main", "practice", "check"):
        of_kind = [picture for picture in pictures if picture.role == kind]
        if display == "side_by_side":
            grouped = _groups_by_prompt([picture for picture in of_kind if not picture.is_real])
        else:
            grouped = [[picture] for picture in of_kind]
        groups += [(kind, group) for group in grouped]
    items = [_item(study, display, kind, group, None) for kind, group in groups]
    session.add_all(items)
    session.flush()
    repeats = [
        _item(study, display, "repeat", group, item.id)
        for item, (kind, group) in zip(items, groups, strict=True)
        if kind == "main"
    ]
    session.add_all(repeats)
    session.flush()
    shown = [group for _, group in groups] + [group for kind, group in groups if kind == "main"]
    for item, group in zip(items + repeats, shown, strict=True):
        for picture in group:
            session.add(ItemStimulus(study_id=study.id, item_id=item.id, stimulus_id=picture.id))
    session.flush()
    return dict(Counter(item.kind for item in items + repeats))


def _pictures(session: Session, study: Study) -> list[_Picture]:
    rows = session.execute(
        select(Stimulus.id, Stimulus.role, Stimulus.prompt_id, Arm.is_real)
        .outerjoin(Arm, Stimulus.arm_id == Arm.id)
        .where(Stimulus.study_id == study.id)
        .order_by(Stimulus.id)
    )
    return [_Picture(id_, role, prompt, bool(real)) for id_, role, prompt, real in rows]


def _slot_count(session: Session, study: Study) -> int:
    """Return the number of slots side by side: one for each synthetic arm."""
    arms = select(Arm.id).where(Arm.study_id == study.id, Arm.is_real.is_(False))
    return len(session.scalars(arms).all())


def _groups_by_prompt(pictures: Sequence[_Picture]) -> list[list[_Picture]]:
    groups: dict[int, list[_Picture]] = defaultdict(list)
    for picture in pictures:
        groups[picture.prompt_id].append(picture)
    return list(groups.values())


def _item(
    study: Study, display: str, kind: str, group: Sequence[_Picture], repeat_of_id: int | None
) -> Item:
    return Item(
        study_id=study.id,
        kind=kind,
        display=display,
        prompt_id=group[0].prompt_id,
        repeat_of_id=repeat_of_id,
    )


def _write_questions(session: Session, study: Study, protocol: Protocol) -> None:
    slots = _slot_count(session, study) if protocol.display == "side_by_side" else 1
    for position, question in enumerate(protocol.questions):
        labels = question_labels(question, slots)
        session.add(
            Question(
                study_id=study.id,
                position=position,
                code=question.code,
                kind=question.kind,
                step=question.step,
                text=question.text,
                minimum=1,
                maximum=len(labels),
                labels=labels,
                has_cannot_judge=question.has_cannot_judge,
            )
        )
    session.flush()


def question_labels(question: QuestionText, slots: int) -> list[str]:
    """Return the labels of a question's points; those of a preference are A, B, C ... by slot."""
    if question.kind == "preference":
        return list(SLOT_LABELS[:slots])
    return list(question.labels)


def _stimuli_sha256(session: Session, study: Study) -> str:
    """Return one hash over the bytes of all pictures, in the order of their ids."""
    hashes = session.scalars(
        select(Stimulus.png_sha256).where(Stimulus.study_id == study.id).order_by(Stimulus.id)
    )
    return hashlib.sha256("\n".join(hashes).encode("ascii")).hexdigest()
