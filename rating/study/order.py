"""What decides the order of a rater's items: drawn from a seed, balanced, and kept from telling.

The draw has four parts: which main items (`selection`), in which order they stand (`spacing`),
which of them come again and where (`repeats`), and here, how these go together. Nothing in it
depends on a database, on the order in which rows were read, or on a machine.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from rating.errors import DesignError
from rating.study.limits import plain_problems, repeat_report
from rating.study.protocol import Protocol
from rating.study.repeats import (
    Placed,
    ranked_for_repeat,
    repeat_count,
    repeat_rates,
    with_repeats,
)
from rating.study.seeded import Draws
from rating.study.selection import Selection, select_main, set_exposure
from rating.study.spacing import NO_PROMPT, apart, arm_order, spread_times, with_checks
from rating.study.units import Exposure, PlannedItem, PromptSet, Unit

# Orders are drawn until the items that should be repeated all stand early enough: so often freely,
# and then so often with these items called to the front.
FREE_ATTEMPTS: Final = 8
LED_ATTEMPTS: Final = 24


def draw_order(
    sets: Sequence[PromptSet],
    reals: Sequence[Unit],
    checks: Sequence[Unit],
    practice: Sequence[Unit],
    protocol: Protocol,
    exposure: Exposure,
    seed: int,
    enrolment_index: int,
) -> tuple[PlannedItem, ...]:
    """Return the order of the items of the next rater: practice, then everything else.

    Args:
        sets:            Main items of the synthetic arms, one set a prompt; at least two arms.
        reals:           Main items of real images; empty side by side.
        checks:          Attention checks to choose from.
        practice:        Practice items; the first `protocol.practice_items` of a drawn order, the
                         same for all raters, are shown, to each in an order of their own.
        protocol:        Its items_per_rater, repeat_share, washout_items, practice_items and
                         check_items are read.
        exposure:        Of the raters so far, those who dropped out left out.
        seed:            Of the study.
        enrolment_index: 0 for the first who enrolled; never used twice, drop-outs included.

    Raises:
        DesignError: No order satisfies the protocol; `feasibility` tells so beforehand.
    """
    if problems := plain_problems(sets, reals, checks, protocol):
        raise DesignError("\n".join(problems))
    sets = sorted(sets, key=lambda group: group.prompt_id)
    reals = sorted(reals, key=lambda unit: unit.item_id)
    draws = Draws("order", seed, enrolment_index)
    turns = arm_turns(sets, exposure, seed)
    selection = select_main(sets, reals, protocol.items_per_rater, exposure, turns, draws)
    first = _practice(practice, protocol.practice_items, seed, draws)
    last_prompt = first[-1].prompt_id if first else NO_PROMPT
    rates = repeat_rates([*(u for group in sets for u in group.units), *reals], exposure)
    placed = _draw_placed(
        selection,
        _checks(checks, protocol.check_items, seed, enrolment_index),
        ranked_for_repeat(selection.units, exposure, rates, draws),
        protocol,
        exposure,
        turns,
        last_prompt,
        draws,
    )
    check_ids = {unit.item_id for unit in checks}
    planned = [PlannedItem(unit.item_id, "practice", _first_slots(unit)) for unit in first]
    planned += [_planned(place, check_ids, turns, draws) for place in placed]
    return tuple(planned)


def _draw_placed(
    selection: Selection,
    checks: Sequence[Unit],
    ranked: Sequence[Unit],
    protocol: Protocol,
    exposure: Exposure,
    turns: Mapping[int, int],
    last_prompt: int,
    draws: Draws,
) -> list[Placed]:
    """Return the order with checks and repeats, in which the right items are repeated if any can.

    Raises:
        DesignError: In none of the attempts all repeats found a place.
    """
    count = repeat_count(len(selection.units), protocol.repeat_share)
    washout = protocol.washout_items
    levels = [exposure.repeats.get(unit.item_id, 0) for unit in ranked[:count]]
    latest = _latest_time(len(selection.units) + len(checks), washout)
    best: list[Placed] = []
    best_sum = None
    for attempt in range(FREE_ATTEMPTS + LED_ATTEMPTS):
        led = {unit.item_id for unit in ranked[:count]} if attempt >= FREE_ATTEMPTS else set()
        order = _draw_main(selection, turns, led, latest, last_prompt, draws)
        order = with_checks(order, checks, draws)
        placed = with_repeats(order, ranked, count, washout, draws)
        again = [place.unit for place in placed if place.is_repeat]
        if len(again) < count:
            continue
        total = sum(exposure.repeats.get(unit.item_id, 0) for unit in again)
        if best_sum is None or total < best_sum:
            best, best_sum = placed, total
        if total == sum(levels):
            break
    if best_sum is None:
        raise DesignError(repeat_report(len(selection.units), len(checks), count, protocol))
    return best


def _draw_main(
    selection: Selection,
    turns: Mapping[int, int],
    led: set[int],
    latest: float,
    last_prompt: int,
    draws: Draws,
) -> list[Unit]:
    """Return the main items in order; those in `led` are due before `latest`."""
    groups: list[list[Unit | None]] = [
        list(_in_turn(group, turns[group.prompt_id])) for group in selection.sets
    ]
    groups += _real_groups(selection, draws)
    due: list[tuple[float, int, Unit]] = []
    for units in groups:
        places = [place for place, unit in enumerate(units) if unit and unit.item_id in led]
        times = spread_times(len(units), draws, (places[-1], latest) if places else None)
        pairs = zip(times, units, strict=True)
        due += [(time, unit.item_id, unit) for time, unit in pairs if unit is not None]
    return apart([unit for _, _, unit in sorted(due, key=lambda entry: entry[:2])], last_prompt)


def _real_groups(selection: Selection, draws: Draws) -> list[list[Unit | None]]:
    """Return the real images in drawn groups, each as large as a prompt set, the last with gaps.

    Groups of real images are spread just as prompt sets are, so that places tell nothing: were
    each drawn alone, real images would come first and last less often than the others.
    """
    size = max((len(group.units) for group in selection.sets), default=1)
    filled: list[Unit | None] = [*draws.shuffled(selection.reals)]
    groups = [filled[at : at + size] for at in range(0, len(filled), size)]
    if groups:
        groups[-1] = draws.shuffled(groups[-1] + [None] * (size - len(groups[-1])))
    return groups


def _latest_time(count: int, washout_items: int) -> float:
    """Return when an item must be due, of `count`, for its repeat to come beyond the washout."""
    return max(count - washout_items, 1) / max(count, 1) * 0.8


def arm_turns(sets: Sequence[PromptSet], exposure: Exposure, seed: int) -> dict[int, int]:
    """Return for each prompt whose turn of arm orders it is, see `arm_order`.

    Prompts start at drawn turns, each turn equally often, and go on by one with every rater: so
    within a rater each arm comes first equally often, and so it does for a prompt over raters.
    """
    turns = {}
    for rank, group in enumerate(Draws("turns", seed).shuffled(sets)):
        count = _order_length(group)
        raters = set_exposure(group, exposure)
        turns[group.prompt_id] = (rank + raters) % count + count * ((raters // count) % 2)
    return turns


def _order_length(group: PromptSet) -> int:
    """Return how many there are to order: items of the set, or pictures on its one screen."""
    return len(group.units) if len(group.units) > 1 else group.units[0].stimulus_count


def _in_turn(group: PromptSet, turn: int) -> list[Unit]:
    """Return the units of a set in the order in which they are to come."""
    units = sorted(group.units, key=lambda unit: (unit.arm, unit.item_id))
    return [units[at] for at in arm_order(len(units), turn)]


def _practice(units: Sequence[Unit], count: int, seed: int, draws: Draws) -> list[Unit]:
    """Return the practice items in order; here alone a prompt may follow itself if it must."""
    ordered = sorted(units, key=lambda unit: unit.item_id)
    shown = draws.shuffled(Draws("practice", seed).shuffled(ordered)[:count])
    try:
        return apart(shown)
    except DesignError:
        return shown


def _checks(units: Sequence[Unit], count: int, seed: int, enrolment_index: int) -> list[Unit]:
    """Return the checks of a rater: so many, going on where the rater before left off."""
    ordered = Draws("checks", seed).shuffled(sorted(units, key=lambda unit: unit.item_id))
    start = enrolment_index * count
    return [ordered[(start + at) % len(ordered)] for at in range(count)]


def _planned(
    place: Placed, check_ids: set[int], turns: Mapping[int, int], draws: Draws
) -> PlannedItem:
    unit = place.unit
    if unit.item_id in check_ids:
        return PlannedItem(unit.item_id, "check", _first_slots(unit))
    count = unit.stimulus_count
    turn = turns.get(unit.prompt_id, 0)
    if not place.is_repeat:
        slots = arm_order(count, turn) if count > 1 else (0,)
        return PlannedItem(unit.item_id, "main", slots)
    assert unit.repeat_item_id is not None
    other = turn + 1 + int(draws.share() * (count - 1)) if count > 1 else 0
    return PlannedItem(unit.repeat_item_id, "repeat", arm_order(count, other))


def _first_slots(unit: Unit) -> tuple[int, ...]:
    return tuple(range(unit.stimulus_count))
