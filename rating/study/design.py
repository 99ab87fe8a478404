"""The design of a study: what order a rater gets, whether there is one, and how even it all is.

The order itself is drawn in `order`.
"""

from collections.abc import Sequence
from typing import Final

from rating.errors import DesignError
from rating.study.limits import plain_problems
from rating.study.order import arm_turns, draw_order
from rating.study.protocol import Protocol
from rating.study.seeded import Draws
from rating.study.selection import ExposureSpread, select_main
from rating.study.units import Exposure, PlannedItem, PromptSet, Unit

__all__ = [
    "Exposure",
    "ExposureSpread",
    "PlannedItem",
    "PromptSet",
    "Unit",
    "draw_order",
    "exposure_spread",
    "feasibility",
]

SIMULATED_RATERS: Final = 12


def exposure_spread(
    sets: Sequence[PromptSet],
    reals: Sequence[Unit],
    protocol: Protocol,
    exposure: Exposure,
    seed: int = 0,
) -> ExposureSpread:
    """Return how evenly raters are spread over main items and how many more would even it out.

    Args:
        sets:     Main items of the synthetic arms.
        reals:    Main items of real images.
        protocol: Its items_per_rater is read.
        exposure: Of the raters so far, those who dropped out left out.
        seed:     Of the study; which raters come next hardly changes how many it takes.
    """
    units = [*(unit for group in sets for unit in group.units), *reals]
    per_item = {unit.item_id: exposure.main.get(unit.item_id, 0) for unit in units}
    least, most = min(per_item.values(), default=0), max(per_item.values(), default=0)
    counts = dict(per_item)
    raters = 0
    # Each rater takes at least one item of the least exposure, so this ends.
    while counts and max(counts.values()) - min(counts.values()) > 1:
        now = Exposure(main=counts)
        draws = Draws("top-up", seed, raters)
        turns = arm_turns(sets, now, seed)
        chosen = select_main(sets, reals, protocol.items_per_rater, now, turns, draws)
        if not chosen.units or raters > len(units) * (most + 1):
            break
        for unit in chosen.units:
            counts[unit.item_id] += 1
        raters += 1
    return ExposureSpread(least, most, per_item, raters)


def feasibility(
    sets: Sequence[PromptSet],
    reals: Sequence[Unit],
    checks: Sequence[Unit],
    practice: Sequence[Unit],
    protocol: Protocol,
    seed: int = 0,
) -> list[str]:
    """Return every reason why no order can satisfy the protocol; [] when raters can enrol.

    After the plain reasons, the orders of the first raters are drawn for trial; with the study's
    own seed they are the very orders that these raters will get.

    Args:
        sets:     Main items of the synthetic arms.
        reals:    Main items of real images.
        checks:   Attention checks to choose from.
        practice: Practice items to choose from.
        protocol: What is asked of the order.
        seed:     Of the study.
    """
    found = plain_problems(sets, reals, checks, protocol)
    return found or _trial(sets, reals, checks, practice, protocol, seed)


def _trial(
    sets: Sequence[PromptSet],
    reals: Sequence[Unit],
    checks: Sequence[Unit],
    practice: Sequence[Unit],
    protocol: Protocol,
    seed: int,
) -> list[str]:
    """Return why the first raters could not enrol one after the other; [] when they could."""
    main: dict[int, int] = {}
    repeats: dict[int, int] = {}
    units = [*(unit for group in sets for unit in group.units), *reals]
    main_of = {unit.repeat_item_id: unit.item_id for unit in units}
    for index in range(min(max(protocol.planned_raters, 2), SIMULATED_RATERS)):
        try:
            exposure = Exposure(main, repeats)
            order = draw_order(sets, reals, checks, practice, protocol, exposure, seed, index)
        except DesignError as error:
            return [str(error)]
        for item in order:
            if item.kind == "main":
                main[item.item_id] = main.get(item.item_id, 0) + 1
            elif item.kind == "repeat":
                first = main_of[item.item_id]
                repeats[first] = repeats.get(first, 0) + 1
    return []
