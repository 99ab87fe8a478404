"""What is on the Results tab of one browser: the words between its screens and the tab."""

import dataclasses
from collections.abc import Mapping
from typing import Final, Literal

from rating.board.view import Message

Stage = Literal["list", "waiting", "computing", "drawing", "shown", "failed"]
Region = Literal["top", "nav", "live", "main", "figures", "details", "texts", "side"]

REGIONS: Final[tuple[Region, ...]] = (
    "top", "nav", "live", "main", "figures", "details", "texts", "side"
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class ResultsView:
    """What is on the screen of one browser.

    Args:
        code:     Of the study; "" in the list.
        stage:    How far it is: "list"; "waiting" for the lock; "computing", then "drawing" the
                  figures, then "shown"; or "failed".
        excluded: Raters left out, and why, of the results on the screen.
        asked:    The same of those that are being computed.
        seal:     What the screen was drawn from, so that it is drawn again when that changed.
    """

    code: str = ""
    stage: Stage = "list"
    excluded: tuple[tuple[str, str], ...] = ()
    asked: tuple[tuple[str, str], ...] = ()
    seal: str = ""

    @property
    def is_live(self) -> bool:
        """Whether the screen changes by itself."""
        return self.stage in ("computing", "drawing")


@dataclasses.dataclass(frozen=True, slots=True)
class ResultsOutcome:
    """What changes on the screen; regions that are not drawn stay as they are."""

    view: ResultsView
    message: Message | None = None
    drawn: Mapping[Region, str] = dataclasses.field(default_factory=dict)
