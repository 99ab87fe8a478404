"""What a design cannot do, told from numbers alone: before anything is drawn."""

from collections.abc import Sequence

from rating.study.protocol import Protocol
from rating.study.repeats import repeat_count
from rating.study.units import PromptSet, Unit


def plain_problems(
    sets: Sequence[PromptSet], reals: Sequence[Unit], checks: Sequence[Unit], protocol: Protocol
) -> list[str]:
    """Return the reasons that can be told from the numbers alone."""
    units = [*(unit for group in sets for unit in group.units), *reals]
    if not units:
        return ["There are no main items: add images of at least two arms."]
    found = []
    largest = max((len(group.units) for group in sets), default=1)
    most = min(protocol.items_per_rater or len(units), len(units))
    if most < largest:
        found.append(
            f"items_per_rater is {protocol.items_per_rater}, but a prompt has {largest} items and "
            f"raters get all of them or none: allow at least {largest}, better {3 * largest}."
        )
    if protocol.check_items > len(checks):
        found.append(_check_report(protocol.check_items, len(checks)))
    # Where not all are rated, up to one less than a set may be left out.
    fewest = most if most == len(units) else max(most - largest + 1, 1)
    count = repeat_count(most, protocol.repeat_share)
    if count and fewest + protocol.check_items <= protocol.washout_items:
        found.append(repeat_report(fewest, protocol.check_items, count, protocol))
    if count and any(unit.repeat_item_id is None for unit in units):
        found.append("Some main items have no repeat item, but repeat_share is above 0.")
    return found


def _check_report(wanted: int, there: int) -> str:
    return (
        f"check_items is {wanted}, but there are {there} images for attention checks: add images "
        "with the role check, or ask for fewer checks."
    )


def repeat_report(main: int, checks: int, count: int, protocol: Protocol) -> str:
    """Return why `count` repeats of `main` items cannot be placed, and what to change."""
    between = main + checks
    if between <= protocol.washout_items:
        return (
            f"washout_items is {protocol.washout_items}, but a rater may have only {between} items "
            "besides repeats, so that no repeat can be far enough from the first showing: lower "
            f"washout_items to {max(between // 2, 1)} or less, set repeat_share to 0, or add "
            "images."
        )
    return (
        f"No order was found for {count} repeats of {main} items, washout_items "
        f"{protocol.washout_items} apart and no prompt after itself: lower washout_items or "
        "repeat_share, or add images of other prompts."
    )
