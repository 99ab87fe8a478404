"""Whose job is next: browsers take turns, and the jobs of one run in the order they came."""

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Owned(Protocol):
    """Something that a browser waits for."""

    @property
    def owner(self) -> str:
        """The name of the browser."""


Waiting = TypeVar("Waiting", bound=Owned)


class Turns:
    """Remembers when each browser had its last turn."""

    def __init__(self) -> None:
        """Nobody has had a turn yet."""
        self._last: dict[str, int] = {}
        self._count = 0

    def take(self, owner: str) -> None:
        """Notes that a job of `owner` starts now."""
        self._count += 1
        self._last[owner] = self._count

    def order(self, waiting: Sequence[Waiting]) -> list[Waiting]:
        """Returns the jobs in the order they will run if no other comes.

        The browser whose last turn is longest ago is next; of those without any, the one that has
        waited longest.

        Args:
            waiting: the jobs in the order they came.
        """
        last = {job.owner: self._last.get(job.owner, 0) for job in waiting}
        left, count = list(waiting), self._count
        ordered: list[Waiting] = []
        while left:
            job = min(left, key=lambda job: last[job.owner])  # the first of equals: the oldest
            left.remove(job)
            ordered.append(job)
            count += 1
            last[job.owner] = count
        return ordered
