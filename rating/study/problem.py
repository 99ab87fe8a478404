"""What keeps a study from opening, or should be thought about before: one kind of record."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One thing that keeps a study from opening, or with `is_warning` one to think about.

    Args:
        code:       Names the kind of problem; never changes.
        message:    What is wrong and what to do next.
        where:      The prompt, arm, image or field of the protocol that is meant; "" for the study.
        is_warning: Whether the study may open all the same.
    """

    code: str
    message: str
    where: str = ""
    is_warning: bool = False


def named(names: list[str], most: int = 5) -> str:
    """Return names as a list in a message, at most `most` of them spelled out."""
    shown = ", ".join(names[:most])
    more = len(names) - most
    return shown if more <= 0 else f"{shown} and {more} more"
