"""Seeded draws that come out the same on every machine and every version of Python."""

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

Drawn = TypeVar("Drawn")


class Draws:
    """A stream of draws named by what it is for; the same names give the same stream.

    Of `random.Random` only `random()` is promised to stay the same between versions, so everything
    here is made from it; and the seed is a hash of the names, so that streams share nothing.
    """

    def __init__(self, *names: int | str) -> None:
        """Start the stream of these names, for example ("order", 1234, 0)."""
        digest = hashlib.sha256("|".join(map(str, names)).encode("utf-8")).digest()
        self._random = random.Random(int.from_bytes(digest, "big"))

    def share(self) -> float:
        """Return a number from 0 up to but without 1, all alike."""
        return self._random.random()

    def one_of(self, offered: Sequence[Drawn]) -> Drawn:
        """Return one of `offered`, which is not empty."""
        return offered[int(self.share() * len(offered))]

    def shuffled(self, offered: Sequence[Drawn]) -> list[Drawn]:
        """Return all of `offered` in a drawn order."""
        keys = [self.share() for _ in offered]
        return [offered[at] for at in sorted(range(len(keys)), key=keys.__getitem__)]
