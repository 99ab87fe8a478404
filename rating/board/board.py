"""The coordinator's board: one screen at a time, and the buttons on it."""

from collections.abc import Mapping
from typing import Final, Protocol

from rating.board.check_screen import CheckScreen
from rating.board.images_screen import ImagesScreen
from rating.board.lock_screen import LockScreen, ResultScreen
from rating.board.panel import render
from rating.board.preview_screen import PreviewScreen
from rating.board.protocol_screen import ProtocolScreen
from rating.board.studies_screen import StudiesScreen
from rating.board.view import (
    REGIONS,
    SCREENS_OF_STATUS,
    Act,
    Asked,
    Outcome,
    Region,
    Screen,
    View,
    Workplace,
    note,
)
from rating.board.watch_screen import WatchScreen
from rating.errors import StudyNotFoundError, StudyStateError

_NAMES: Final[Mapping[Screen, str]] = {
    "images": "Images",
    "protocol": "Protocol",
    "preview": "Preview",
    "check": "Check and open",
    "watch": "Raters",
    "lock": "Lock",
    "result": "Locked study",
}


class _Drawn(Protocol):
    acts: dict[str, Act]

    def draw(self, view: View) -> dict[Region, str]: ...


class Board:
    """Draws what a coordinator looks at and does what its buttons ask."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self._studies = StudiesScreen(place)
        self._watch = WatchScreen(place)
        self._screens: dict[Screen, _Drawn] = {
            "studies": self._studies,
            "images": ImagesScreen(place),
            "protocol": ProtocolScreen(place),
            "preview": PreviewScreen(place),
            "check": CheckScreen(place),
            "watch": self._watch,
            "lock": LockScreen(place),
            "result": ResultScreen(place),
        }
        self._ways: dict[str, Act] = {
            "go_list": lambda view, asked: self.show(View()),
            "go_study": lambda view, asked: self.show(View("images", asked.id)),
            "go_screen": self._go_screen,
            "delete_draft": self._delete,
        }

    def show(self, view: View) -> Outcome:
        """Return a screen drawn anew; where the study has gone on, the one that fits it."""
        view = self._fitting(view)
        if view.screen == "studies":
            view = View(seal=self._studies.seal())
        drawn = dict.fromkeys(REGIONS, "")
        drawn["top"] = self._draw_top(view)
        drawn |= self._screens[view.screen].draw(view)
        return Outcome(view, None, drawn)

    def look_again(self, view: View) -> Outcome:
        """Return what has changed by itself on the screen."""
        fitting = self._fitting(view)
        if fitting.screen != view.screen:
            return self.show(fitting)
        return Outcome(view, None, self._watch.draw_live(view) if view.is_live else {})

    def act(self, view: View, action: str, asked: Asked) -> Outcome:
        """Do what a button asks; errors leave everything as it was.

        Raises:
            RatingError: It could not be done; the message says why.
        """
        if action in self._ways:
            return self._ways[action](view, asked)
        act = self._screens[view.screen].acts.get(action)
        if act is None:
            if action == "seen":  # the tab came into sight
                return self.look_again(view)
            raise StudyStateError(f"The screen {view.screen} has no button {action!r}. Reload it.")
        outcome = act(view, asked)
        if outcome.view.screen == view.screen:
            return outcome
        shown = self.show(outcome.view)
        drawn = {**shown.drawn, **outcome.drawn}
        return Outcome(shown.view, outcome.message, drawn)

    def _go_screen(self, view: View, asked: Asked) -> Outcome:
        screen = next((each for each in self._screens if each == asked.id), view.screen)
        return self.show(View(screen, view.code))

    def _fitting(self, view: View) -> View:
        if not view.code:
            return View()
        try:
            status = self._place.studies.summary(view.code).status
        except StudyNotFoundError:
            return View()
        screens = SCREENS_OF_STATUS[status]
        return view if view.screen in screens else View(screens[0], view.code)

    def _delete(self, view: View, asked: Asked) -> Outcome:
        title = self._place.studies.summary(view.code).title
        self._place.studies.delete_draft(view.code)
        shown = self.show(View())
        return Outcome(shown.view, note(f"The draft {title} is deleted."), shown.drawn)

    def _draw_top(self, view: View) -> str:
        if not view.code:
            return ""
        summary = self._place.studies.summary(view.code)
        screens = SCREENS_OF_STATUS[summary.status]
        return render(
            "top.html",
            study=summary,
            screens=[
                {"id": screen, "name": _NAMES[screen], "is_shown": screen == view.screen}
                for screen in screens
            ],
        )
