"""The items of an opened study as the design sees them, and who has which of them so far."""

import dataclasses
from collections import Counter, defaultdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from rating.storage.models import Arm, Assignment, Item, ItemStimulus, Rater, Stimulus, Study
from rating.study.units import Exposure, PromptSet, Unit


@dataclasses.dataclass(frozen=True, slots=True)
class DesignUnits:
    """What an order is drawn from.

    `stimuli` lists for each item its stimuli in the order of arms, so that a slot order drawn over
    their indices means the same arms in every item.
    """

    sets: tuple[PromptSet, ...]
    reals: tuple[Unit, ...]
    checks: tuple[Unit, ...]
    practice: tuple[Unit, ...]
    stimuli: dict[int, tuple[int, ...]]


def design_units(session: Session, study: Study) -> DesignUnits:
    """Return the items of an opened study; for drawing orders, never for reading results."""
    rows = session.execute(
        select(Item, Stimulus.id, Arm.code, Arm.is_real)
        .join(ItemStimulus, ItemStimulus.item_id == Item.id)
        .join(Stimulus, ItemStimulus.stimulus_id == Stimulus.id)
        .outerjoin(Arm, Stimulus.arm_id == Arm.id)
        .where(Item.study_id == study.id)
        .order_by(Item.id, Arm.code, Stimulus.id)
    )
    items: dict[int, Item] = {}
    shown: dict[int, list[tuple[int, str, bool]]] = defaultdict(list)
    for item, stimulus_id, arm, is_real in rows:
        items[item.id] = item
        shown[item.id].append((stimulus_id, arm or "", bool(is_real)))
    repeats = {item.repeat_of_id: item.id for item in items.values() if item.repeat_of_id}
    units: dict[str, list[Unit]] = defaultdict(list)
    for item in items.values():
        pictures = shown[item.id]
        is_main = item.kind == "main"
        unit = Unit(
            item_id=item.id,
            prompt_id=item.prompt_id,
            arm=pictures[0][1] if is_main and len(pictures) == 1 else "",
            is_real=is_main and pictures[0][2],
            repeat_item_id=repeats.get(item.id),
            stimulus_count=len(pictures),
        )
        units["real" if unit.is_real else item.kind].append(unit)
    sets: dict[int, list[Unit]] = defaultdict(list)
    for unit in units["main"]:
        sets[unit.prompt_id].append(unit)
    return DesignUnits(
        sets=tuple(PromptSet(prompt_id, tuple(group)) for prompt_id, group in sets.items()),
        reals=tuple(units["real"]),
        checks=tuple(units["check"]),
        practice=tuple(units["practice"]),
        stimuli={item_id: tuple(each[0] for each in found) for item_id, found in shown.items()},
    )


def exposure_so_far(session: Session, study: Study) -> Exposure:
    """Return how many raters have each main item and each repeat, drop-outs left out."""
    raters = session.scalars(select(Rater).where(Rater.study_id == study.id)).all()
    active = {rater.id for rater in raters if is_active(rater)}
    rows = session.execute(
        select(Assignment.rater_id, Item.id, Item.repeat_of_id)
        .join(Item, Assignment.item_id == Item.id)
        .where(Assignment.study_id == study.id, Item.kind.in_(("main", "repeat")))
    )
    main: Counter[int] = Counter()
    repeats: Counter[int] = Counter()
    for rater_id, item_id, repeat_of_id in rows:
        if rater_id not in active:
            continue
        if repeat_of_id is None:
            main[item_id] += 1
        else:
            repeats[repeat_of_id] += 1
    return Exposure(main, repeats)


def is_active(rater: Rater) -> bool:
    """Return whether a rater counts towards exposure: enrolled and not dropped out."""
    return rater.enrolled_at is not None and not rater.is_audit and not is_dropped_out(rater)


def is_dropped_out(rater: Rater) -> bool:
    """Return whether a rater enrolled and will not finish: withdrawn, or revoked before the end."""
    if rater.enrolled_at is None or rater.is_audit:
        return False
    if rater.withdrawn_at is not None or rater.erased_at is not None:
        return True
    return rater.revoked_at is not None and rater.completed_at is None
