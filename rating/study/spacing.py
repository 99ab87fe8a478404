"""Where items stand in a rater's order: one prompt far from itself, arms in turn, checks inside."""

from collections import Counter
from collections.abc import Sequence

from rating.errors import DesignError
from rating.study.seeded import Draws
from rating.study.units import Unit

NO_PROMPT = -1


def arm_order(count: int, turn: int) -> tuple[int, ...]:
    """Return the order of `count` arms at a turn, as indices.

    Over `count` turns each arm stands once in each place. For an even number each also follows
    each other arm equally often; for an odd one that takes twice as many turns.

    Args:
        count: Number of arms, at least 1.
        turn:  0, 1, ...

    Source: E. J. Williams, Experimental designs balanced for the estimation of residual effects of
    treatments, Australian Journal of Scientific Research A 2 (1949) 149-168.
    """
    zigzag = [(place + 1) // 2 if place % 2 else -(place // 2) for place in range(count)]
    order = tuple((step + turn) % count for step in zigzag)
    return order[::-1] if count % 2 and (turn // count) % 2 else order


def spread_times(count: int, draws: Draws, latest: tuple[int, float] | None = None) -> list[float]:
    """Return when the items of one prompt are due, ascending, from 0 up to 1.

    They stand at equal distances on a circle that starts anywhere, each moved by up to a quarter
    of the distance: so each moment is as likely as any other, for a prompt of many items as for
    one with a single image, and two items of a prompt are at least half the distance apart.

    Args:
        count:  Number of items.
        draws:  The rater's stream.
        latest: (place, time): the item at this place is due before this time. Those up to it are
                then spread evenly before, and the others after.
    """
    if latest is not None:
        place, time = latest
        early = [time * (at + draws.share()) / (place + 1) for at in range(place + 1)]
        rest = count - place - 1
        return early + [time + (1 - time) * (at + draws.share()) / rest for at in range(rest)]
    start = draws.share()
    return sorted((start + (at + 0.5 * draws.share()) / count) % 1.0 for at in range(count))


def apart(units: Sequence[Unit], after_prompt: int = NO_PROMPT) -> list[Unit]:
    """Return the units in the order given, changed only as far as no prompt may follow itself.

    Args:
        units:        In the order wished; units of one prompt keep their order.
        after_prompt: Prompt of what comes before the first.

    Raises:
        DesignError: There is no such order: one prompt has more than half of the units.
    """
    waiting = list(units)
    counts = Counter(unit.prompt_id for unit in units)
    order: list[Unit] = []
    last = after_prompt
    while waiting:
        prompt, most = max(counts.items(), key=lambda entry: entry[1])
        if 2 * most > len(waiting):
            at = next(at for at, unit in enumerate(waiting) if unit.prompt_id == prompt)
        else:
            at = next((at for at, unit in enumerate(waiting) if unit.prompt_id != last), 0)
        if waiting[at].prompt_id == last:
            raise DesignError(
                f"No order keeps the same prompt from following itself: {most} of the "
                f"{len(waiting)} items that remain share one prompt. Add images of other prompts, "
                "or let a rater have more items."
            )
        unit = waiting.pop(at)
        order.append(unit)
        counts[unit.prompt_id] -= 1
        last = unit.prompt_id
    return order


def with_checks(order: Sequence[Unit], checks: Sequence[Unit], draws: Draws) -> list[Unit]:
    """Return the order with attention checks put in, spread, none of them first or last.

    Raises:
        DesignError: There is no place for one of them beside other prompts.
    """
    mixed = list(order)
    check_ids = {unit.item_id for unit in checks}
    for number, check in enumerate(checks):
        wish = (0.1 + 0.8 * (number + draws.share()) / len(checks)) * len(mixed)
        gaps = [gap for gap in range(1, len(mixed)) if can_stand(check, mixed, gap)]
        if not gaps:
            raise DesignError(
                f"Attention check {number + 1} of {len(checks)} finds no place between the "
                f"{len(order)} main items of a rater: ask for fewer checks, or add images."
            )
        mixed.insert(min(gaps, key=lambda gap: _distance(mixed, gap, wish, check_ids)), check)
    return mixed


def _distance(order: Sequence[Unit], gap: int, wish: float, check_ids: set[int]) -> float:
    """Return how far a gap is from the one wished; gaps beside a check come last."""
    is_beside = order[gap - 1].item_id in check_ids or order[gap].item_id in check_ids
    return abs(gap - wish) + (len(order) if is_beside else 0)


def can_stand(unit: Unit, order: Sequence[Unit], gap: int) -> bool:
    """Return whether a unit may be put in before index `gap`: no neighbour has its prompt."""
    if gap > 0 and order[gap - 1].prompt_id == unit.prompt_id:
        return False
    return gap == len(order) or order[gap].prompt_id != unit.prompt_id
