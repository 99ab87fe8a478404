"""What a coordinator looks at, and what comes of a button: the words between the screens."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from data.errors import DataError
from data.study_inbox import StudyInbox
from rating.errors import RatingError
from rating.guarded_route import logged_message
from rating.storage.database import Database
from rating.study.studies import Studies

Screen = Literal["studies", "images", "protocol", "preview", "check", "watch", "lock", "result"]
Region = Literal["top", "links", "main", "extra", "live"]

REGIONS: Final[tuple[Region, ...]] = ("top", "links", "main", "extra", "live")
SCREENS_OF_STATUS: Final[Mapping[str, tuple[Screen, ...]]] = {
    "draft": ("images", "protocol", "preview", "check"),
    "open": ("watch", "lock"),
    "locked": ("result",),
}


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """What is on the screen of one browser.

    Args:
        screen: "studies" is the list of all.
        code:   Of the study; "" in the list.
        stage:  How far a dialogue of the screen has come.
        limit:  How many images are shown.
        seal:   What the list was drawn from, so that it is only drawn again when that changed.
    """

    screen: Screen = "studies"
    code: str = ""
    stage: int = 0
    limit: int = 60
    seal: str = ""

    @property
    def is_drawn(self) -> bool:
        """Whether anything was shown yet; a restarted server has forgotten that it was."""
        return bool(self.code or self.seal)

    @property
    def is_live(self) -> bool:
        """Whether the screen changes by itself while raters work."""
        return self.screen == "watch"


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """What a person is told: what was done, or what did not work and what to do next.

    Args:
        text:   First line.
        lines:  Everything that belongs to it.
        is_note: Whether it was done.
    """

    text: str
    lines: tuple[str, ...] = ()
    is_note: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What changes on the screen; regions that are not drawn stay as they are."""

    view: View
    message: Message | None = None
    drawn: Mapping[Region, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Workplace:
    """What the screens work with.

    Args:
        studies:     Of the database.
        database:    The same, for facts that no list has.
        inbox:       Images that Generate has handed over.
        home:        The workspace.
        is_confined: Whether folders outside the workspace may not be named, since others than the
                     owner of this machine can be coordinators.
        is_lasting:  Whether studies outlive a restart.
        uploaded:    Returns the file of an upload by what its browser calls it; RatingError where
                     it is none.
    """

    studies: Studies
    database: Database
    inbox: StudyInbox
    home: Path
    is_confined: bool
    is_lasting: bool
    uploaded: Callable[[str], Path]


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What a button asks: its id, and the values of the form around it."""

    id: str = ""
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a text without outer spaces; "" where there is none."""
        value = self.values.get(name, "")
        return value.strip() if isinstance(value, str) else ""

    def is_ticked(self, name: str) -> bool:
        """Return whether a box is ticked."""
        return self.values.get(name) is True

    def whole(self, name: str, label: str) -> int | None:
        """Return a whole number, None where the field is empty.

        Raises:
            RatingError: It is no whole number.
        """
        text = self.text(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise RatingError(f"{label} is {text!r}; give a whole number.") from None

    def needed(self, name: str, label: str) -> int:
        """Return a whole number; RatingError where the field is empty too."""
        number = self.whole(name, label)
        if number is None:
            raise RatingError(f"{label} is empty; give a whole number.")
        return number

    def ids(self, name: str = "ids") -> list[str]:
        """Return what is ticked of a list."""
        value = self.values.get(name)
        return [str(each) for each in value] if isinstance(value, list) else []


Act = Callable[[View, Asked], Outcome]


def note(text: str, lines: Sequence[str] = ()) -> Message:
    """Return a message about something that was done."""
    return Message(text, tuple(lines), is_note=True)


def message_of(text: str) -> Message:
    """Return the message of an error: its first line, and the others below."""
    first, *others = [line.strip() for line in text.strip().splitlines() if line.strip()] or [text]
    return Message(first, tuple(others))


def told_error(error: Exception) -> Message:
    """Return an error in words; one that nobody expected is logged under a short reference."""
    if isinstance(error, RatingError | DataError | OSError):
        return message_of(str(error))
    return Message(logged_message(error))
