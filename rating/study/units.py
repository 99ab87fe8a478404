"""What a design is made of: units that raters may get, sets of them, and items in their order."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

PlannedKind = Literal["main", "repeat", "check", "practice"]


@dataclasses.dataclass(frozen=True, slots=True)
class Unit:
    """A main item with its repeat item, or a check or practice item.

    Args:
        item_id:        Of the item.
        prompt_id:      Of the prompt that its pictures belong to.
        arm:            Code of the arm; "" side by side, for checks and for practice.
        is_real:        Whether it shows a real image.
        repeat_item_id: Its repeat item; None where it has none.
        stimulus_count: Pictures on its screen. Side by side they must be listed in the same order
                        of arms in every item, since a slot order is drawn over their indices.
    """

    item_id: int
    prompt_id: int
    arm: str = ""
    is_real: bool = False
    repeat_item_id: int | None = None
    stimulus_count: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class PromptSet:
    """The main items of one prompt, which a rater gets all or none of."""

    prompt_id: int
    units: tuple[Unit, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Exposure:
    """How many raters have each item so far, drop-outs left out; items not named have none.

    Args:
        main:    Main item id -> raters.
        repeats: Main item id -> raters who have its repeat too.
    """

    main: Mapping[int, int] = dataclasses.field(default_factory=dict)
    repeats: Mapping[int, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedItem:
    """One place of a rater's order.

    Args:
        item_id: The item shown there; of a repeat, the repeat item.
        kind:    Never told to the rater.
        slots:   Which stimulus (by index) each slot shows, from the left; (0,) for one picture.
    """

    item_id: int
    kind: PlannedKind
    slots: tuple[int, ...]
