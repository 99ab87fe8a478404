"""Which main items a rater gets: whole prompt sets and real images, the least exposed first."""

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from rating.study.seeded import Draws
from rating.study.units import Exposure, PromptSet, Unit


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """The main items of one rater, in no order yet."""

    sets: tuple[PromptSet, ...]
    reals: tuple[Unit, ...]

    @property
    def units(self) -> list[Unit]:
        """All of them."""
        return [unit for group in self.sets for unit in group.units] + list(self.reals)


@dataclasses.dataclass(frozen=True, slots=True)
class ExposureSpread:
    """How evenly raters are spread over the main items, drop-outs left out.

    Args:
        least:         Raters of the item that fewest have.
        most:          Raters of the item that most have.
        per_item:      Main item id -> raters.
        top_up_raters: Raters who would have to enrol until no two items differ by more than one;
                       0 where that is so already.
    """

    least: int
    most: int
    per_item: Mapping[int, int]
    top_up_raters: int


def set_exposure(group: PromptSet, exposure: Exposure) -> int:
    """Return how many raters have a prompt set; of one that was torn apart, have all of it."""
    return min(exposure.main.get(unit.item_id, 0) for unit in group.units)


def is_separable(prompts: Iterable[int]) -> bool:
    """Return whether items of these prompts can stand so that no prompt follows itself."""
    counts = Counter(prompts)
    return not counts or max(counts.values()) <= (counts.total() + 1) // 2


def select_main(
    sets: Sequence[PromptSet],
    reals: Sequence[Unit],
    items_per_rater: int | None,
    exposure: Exposure,
    turns: Mapping[int, int],
    draws: Draws,
) -> Selection:
    """Return the main items of the next rater.

    Sets and real images with the least exposure are taken first, all of them before any that has
    more; among equals the draw decides. So no two main items ever differ by more than one rater,
    unless raters dropped out. How many real images a rater gets is drawn around their share.

    Args:
        sets:            All of the study.
        reals:           All of the study.
        items_per_rater: Most main items of one rater; None: all. Up to one less than a set are
                         left out where no whole set fits any more.
        exposure:        So far.
        turns:           Prompt id -> whose turn of arm orders it is; sets of one rater are drawn
                         from all turns alike, which balances the orders within the rater.
        draws:           The rater's stream.
    """
    whole = sum(len(group.units) for group in sets) + len(reals)
    room = whole if items_per_rater is None else min(items_per_rater, whole)
    levels: dict[int, tuple[list[PromptSet], list[Unit]]] = defaultdict(lambda: ([], []))
    for group in sets:
        levels[set_exposure(group, exposure)][0].append(group)
    for unit in reals:
        levels[exposure.main.get(unit.item_id, 0)][1].append(unit)
    chosen_sets: list[PromptSet] = []
    chosen_reals: list[Unit] = []
    for level in sorted(levels):
        level_sets, level_reals = levels[level]
        if sum(len(group.units) for group in level_sets) + len(level_reals) > room:
            level_sets, level_reals = _mix(level_sets, level_reals, room, turns, draws)
            chosen_sets += level_sets
            chosen_reals += level_reals
            break
        chosen_sets += level_sets
        chosen_reals += level_reals
        room -= sum(len(group.units) for group in level_sets) + len(level_reals)
    selection = Selection(tuple(chosen_sets), tuple(chosen_reals))
    return _separated(selection, reals, items_per_rater, exposure, draws)


def _mix(
    sets: Sequence[PromptSet],
    reals: Sequence[Unit],
    room: int,
    turns: Mapping[int, int],
    draws: Draws,
) -> tuple[list[PromptSet], list[Unit]]:
    """Return sets and real images that fill `room`, from more than it holds."""
    ordered = _by_turns(sets, turns, draws)
    shuffled_reals = draws.shuffled(reals)
    wanted = _real_count(sets, reals, room, draws)
    taken: list[PromptSet] = []
    left = room - wanted
    for group in ordered:
        if len(group.units) <= left:
            taken.append(group)
            left -= len(group.units)
    free = wanted + left
    if wanted == 0 and len(taken) < len(sets):
        free = 0
    return taken, shuffled_reals[:free]


def _real_count(
    sets: Sequence[PromptSet], reals: Sequence[Unit], room: int, draws: Draws
) -> int:
    """Return a number of real images around their share that leaves whole sets the rest."""
    if not sets or not reals:
        return min(len(reals), room)
    size = max(len(group.units) for group in sets)
    share = len(reals) / (sum(len(group.units) for group in sets) + len(reals))
    around = room * share + size * (2 * draws.share() - 1)
    # The numbers that leave a multiple of the set size; drawn over two steps of them, the mean
    # is the share itself.
    rest = room % size
    nearest = rest + size * math.floor((around - rest) / size + 0.5)
    return max(0, min(nearest, len(reals), room - size))


def _by_turns(
    sets: Sequence[PromptSet], turns: Mapping[int, int], draws: Draws
) -> list[PromptSet]:
    """Return the sets in drawn order, one of each turn before the second of any."""
    seen: Counter[int] = Counter()
    keyed = []
    for group in draws.shuffled(sets):
        turn = turns[group.prompt_id]
        keyed.append((seen[turn], draws.share(), group))
        seen[turn] += 1
    return [group for _, _, group in sorted(keyed, key=lambda entry: entry[:2])]


def _separated(
    selection: Selection,
    reals: Sequence[Unit],
    items_per_rater: int | None,
    exposure: Exposure,
    draws: Draws,
) -> Selection:
    """Return the selection, with real images more where its prompts could not stand apart."""
    if items_per_rater is None:
        return selection
    chosen = list(selection.reals)
    spare = [unit for unit in draws.shuffled(reals) if unit not in selection.reals]
    spare.sort(key=lambda unit: exposure.main.get(unit.item_id, 0))
    units = selection.units
    while spare and len(units) < items_per_rater:
        if is_separable(unit.prompt_id for unit in units):
            break
        chosen.append(spare.pop(0))
        units.append(chosen[-1])
    return Selection(selection.sets, tuple(chosen))
