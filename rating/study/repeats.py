"""Hidden repeats: which items a rater sees twice, and where the second time is."""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from rating.study.seeded import Draws
from rating.study.spacing import can_stand
from rating.study.units import Exposure, Unit

ArmKey = tuple[bool, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Placed:
    """A unit at its place in an order, shown for the first time or again."""

    unit: Unit
    is_repeat: bool = False


def repeat_count(main_count: int, repeat_share: float) -> int:
    """Return the number of repeats of so many main items, to the nearest whole number."""
    return math.floor(main_count * repeat_share + 0.5)


def arm_key(unit: Unit) -> ArmKey:
    """Return what counts as one arm when repeats are shared out; all real images are one."""
    return (unit.is_real, "" if unit.is_real else unit.arm)


def repeat_rates(units: Sequence[Unit], exposure: Exposure) -> dict[ArmKey, tuple[int, int]]:
    """Return for each arm how many of its main showings so far were repeated, and how many were."""
    rates: dict[ArmKey, tuple[int, int]] = {}
    for unit in units:
        repeated, shown = rates.get(arm_key(unit), (0, 0))
        repeated += exposure.repeats.get(unit.item_id, 0)
        rates[arm_key(unit)] = (repeated, shown + exposure.main.get(unit.item_id, 0))
    return rates


def ranked_for_repeat(
    units: Sequence[Unit], exposure: Exposure, rates: Mapping[ArmKey, tuple[int, int]], draws: Draws
) -> list[Unit]:
    """Return the units that can be repeated, the one to be repeated first in front.

    Items repeated least so far come first; among equals the arms alternate, so that each arm, real
    images included, is repeated in the same share; then prompts alternate, then the draw decides.
    """
    added = Counter(arm_key(unit) for unit in units)
    levels: dict[int, list[Unit]] = {}
    for unit in draws.shuffled([unit for unit in units if unit.repeat_item_id is not None]):
        levels.setdefault(exposure.repeats.get(unit.item_id, 0), []).append(unit)
    arms: Counter[ArmKey] = Counter()
    prompts: Counter[int] = Counter()
    ranked: list[Unit] = []
    for level in sorted(levels):
        waiting = levels[level]
        while waiting:
            # The arm is settled before the prompt is looked at: real images have prompts of their
            # own, and would otherwise be repeated more often.
            first = min(waiting, key=lambda unit: _need(unit, rates, added, arms))
            unit = min(
                (unit for unit in waiting if arm_key(unit) == arm_key(first)),
                key=lambda unit: prompts[unit.prompt_id],
            )
            waiting.remove(unit)
            arms[arm_key(unit)] += 1
            prompts[unit.prompt_id] += 1
            ranked.append(unit)
    return ranked


def _need(
    unit: Unit,
    rates: Mapping[ArmKey, tuple[int, int]],
    added: Mapping[ArmKey, int],
    arms: Mapping[ArmKey, int],
) -> float:
    arm = arm_key(unit)
    repeated, shown = rates.get(arm, (0, 0))
    return (repeated + arms[arm]) / (shown + added[arm])


def with_repeats(
    order: Sequence[Unit],
    ranked: Sequence[Unit],
    count: int,
    washout_items: int,
    draws: Draws,
) -> list[Placed]:
    """Return the order with repeats put in, as many of `count` as find a place.

    Args:
        order:         Main items and checks.
        ranked:        Units to repeat, see `ranked_for_repeat`.
        count:         Number of repeats.
        washout_items: Least number of other items between a unit and its repeat.
        draws:         The rater's stream; a repeat stands anywhere behind the washout alike.
    """
    placed = [Placed(unit) for unit in order]
    mixed = list(order)
    waiting = list(ranked)
    for _ in range(count):
        for unit in waiting:
            first = mixed.index(unit)
            gaps = [
                gap
                for gap in range(first + washout_items + 1, len(mixed) + 1)
                if can_stand(unit, mixed, gap)
            ]
            if gaps:
                break
        else:
            break
        gap = draws.one_of(gaps)
        mixed.insert(gap, unit)
        placed.insert(gap, Placed(unit, is_repeat=True))
        waiting.remove(unit)
    return placed
