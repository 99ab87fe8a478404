"""Whether a draft can be opened: everything that keeps it from it at once, and warnings."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from rating.storage.models import Arm, Prompt, Stimulus, Study
from rating.study import protocol_rules
from rating.study.design import feasibility
from rating.study.image_checks import image_problems
from rating.study.image_warnings import image_warnings
from rating.study.picture import Picture
from rating.study.problem import Problem
from rating.study.protocol import Protocol
from rating.study.units import PromptSet, Unit

__all__ = ["Problem", "opening_problems"]


def opening_problems(session: Session, study: Study, protocol: Protocol) -> list[Problem]:
    """Return everything that keeps a draft from opening, and after it what to think about.

    A pilot may compare what a main study may not: in the single display, too few arms and prompts
    missing in an arm are warnings, and it needs no analysis plan.
    """
    is_pilot = study.kind == "pilot"
    pictures = _pictures(session, study)
    found = list(image_problems(pictures, protocol, is_pilot))
    found += _protocol_problems(pictures, protocol, is_pilot)
    found += _identifier_problems(study, pictures)
    # Which order is possible can only be said of prompt sets that are whole.
    is_whole = not any(each.code in _TORN and not each.is_warning for each in found)
    if pictures and is_whole:
        found += _design_problems(pictures, protocol, study.seed)
    found += image_warnings(pictures, protocol)
    return sorted(found, key=lambda problem: problem.is_warning)


_TORN = frozenset(("no_images", "too_few_arms", "prompt_missing", "prompt_uneven"))


def _pictures(session: Session, study: Study) -> list[Picture]:
    rows = session.execute(
        select(Stimulus, Prompt.code, Prompt.text, Arm.code, Arm.is_real)
        .join(Prompt, Stimulus.prompt_id == Prompt.id)
        .outerjoin(Arm, Stimulus.arm_id == Arm.id)
        .where(Stimulus.study_id == study.id)
        .order_by(Stimulus.id)
    )
    return [
        Picture(
            id=stimulus.id,
            role=stimulus.role,
            arm=arm or "",
            is_real=bool(is_real),
            prompt_id=stimulus.prompt_id,
            prompt_code=prompt_code,
            prompt=prompt,
            width_px=stimulus.width_px,
            height_px=stimulus.height_px,
            colour_mode=stimulus.colour_mode,
            pixel_sha256=stimulus.pixel_sha256,
            selection_rule=stimulus.selection_rule,
            candidate_count=stimulus.candidate_count,
            source_name=stimulus.source_name,
            log=stimulus.harmonisation,
            provenance=stimulus.provenance,
            expected=stimulus.expected,
        )
        for stimulus, prompt_code, prompt, arm, is_real in rows
    ]


def _protocol_problems(
    pictures: Sequence[Picture], protocol: Protocol, is_pilot: bool
) -> Iterator[Problem]:
    main = [picture for picture in pictures if picture.role == "main"]
    is_side_by_side = protocol.display == "side_by_side"
    arms = sorted({each.arm for each in main if not (is_side_by_side and each.is_real)})
    for fault in protocol_rules.problems(protocol, arms):
        code = "plan" if fault.startswith("plan") else "protocol"
        yield Problem(code, f"{fault} Change the protocol.", code)
    if protocol.plan is None and not is_pilot:
        yield Problem(
            "plan_missing",
            "a main study needs an analysis plan before it opens: primary question, reference arm, "
            "what is estimated, exclusions. Fill it in, or make the study a pilot.",
            "plan",
        )
    lacking = [
        name
        for name, text in (
            ("ethics approval number", protocol.consent.ethics_approval),
            ("contact", protocol.consent.contact),
        )
        if not text.strip()
    ]
    if lacking and not is_pilot:
        yield Problem(
            "consent_incomplete",
            f"the consent page says no {' and no '.join(lacking)}, which raters and ethics boards "
            'look for; where none applies, say so there ("not required, because ...").',
            "consent",
            is_warning=True,
        )


def _identifier_problems(study: Study, pictures: Sequence[Picture]) -> Iterator[Problem]:
    if pictures and study.identifiers_attested_at is None:
        yield Problem(
            "identifiers_not_attested",
            "nobody has attested that no image shows a name, a date or a number that identifies a "
            "patient, nor writing that only real images carry. Look through all images, remove "
            "those that do, then attest it.",
            "identifiers",
        )


def _design_problems(
    pictures: Sequence[Picture], protocol: Protocol, seed: int
) -> Iterator[Problem]:
    """Ask the design with the items that opening would write."""
    units: dict[str, list[Unit]] = defaultdict(list)
    if protocol.display == "side_by_side":
        slots: dict[tuple[str, int], list[Picture]] = defaultdict(list)
        for picture in pictures:
            if not picture.is_real:
                slots[picture.role, picture.prompt_id].append(picture)
        for (role, prompt_id), group in slots.items():
            first = 2 * group[0].id
            repeat = first + 1 if role == "main" else None
            units[role].append(Unit(first, prompt_id, "", False, repeat, len(group)))
    else:
        for picture in pictures:
            kind = "real" if picture.is_real and picture.role == "main" else picture.role
            repeat = 2 * picture.id + 1 if picture.role == "main" else None
            units[kind].append(
                Unit(2 * picture.id, picture.prompt_id, picture.arm, kind == "real", repeat)
            )
    sets: dict[int, list[Unit]] = defaultdict(list)
    for unit in units["main"]:
        sets[unit.prompt_id].append(unit)
    for reason in feasibility(
        [PromptSet(prompt_id, tuple(group)) for prompt_id, group in sets.items()],
        units["real"],
        units["check"],
        units["practice"],
        protocol,
        seed,
    ):
        yield Problem("design", reason, "protocol")
