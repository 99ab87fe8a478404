"""The Study tab: the coordinator's board, drawn only for coordinators and only from handlers.

Its components are empty until a handler has checked the role, so that a page's configuration tells
nothing. What the buttons do is in `rating.board`; here they are guarded, and errors become words.
"""

from pathlib import Path
from typing import Any, Final

import gradio as gr
from gradio.utils import get_upload_folder

from data.study_inbox import StudyInbox
from rating.board.board import Board
from rating.board.panel import WEB, render, render_message
from rating.board.view import REGIONS, Message, Outcome, View, Workplace
from rating.board_tab import QUICK, BoardTab, guarded, read_event
from rating.errors import RatingError
from rating.service import RatingService

POLL_S: Final = 5.0
_SCRIPT: Final = (WEB / "study.js").read_text(encoding="utf-8")
_SLOW: Final[dict[str, Any]] = QUICK | {"queue": True, "concurrency_limit": 2}
_FORGOTTEN: Final = (
    "The server was restarted meanwhile and nothing was done; all studies are as they were saved. "
    "Open the study again."
)


class StudyTab(BoardTab[View]):
    """The components of the tab and what they do."""

    def __init__(self, service: RatingService, inbox: StudyInbox) -> None:
        """Work on the studies of `service`; `build` makes the components."""
        super().__init__(service.access, "study", REGIONS, _SCRIPT)
        self._board = Board(Workplace(
            studies=service.studies,
            database=service.database,
            inbox=inbox,
            home=service.home,
            is_confined=not service.is_token_kept,
            is_lasting=service.is_lasting,
            uploaded=uploaded_file,
        ))  # fmt: skip

    def build(self) -> None:
        """Build the components inside the surrounding `gr.Blocks`; all of them are empty."""
        self._view = gr.State(View())
        css = (WEB / "study.css").read_text(encoding="utf-8")
        with gr.HTML(
            html_template="@children", css_template=css, js_on_load=None, elem_id="study"
        ):
            self._message = self.region("message", render_message(None, 0))
            self._regions = {
                "top": self.region("top", '<div data-watch></div>'),
                "links": self.region("links"),
            }
            with gr.Row(elem_id="study-regions", equal_height=False):
                with gr.Column(scale=6, min_width=340):
                    self._regions["main"] = self.region("main")
                with gr.Column(scale=5, min_width=340):
                    self._regions["extra"] = self.region("extra")
                    self._regions["live"] = self.region("live")
        self._timer = gr.Timer(POLL_S, active=False)

    def bind(self) -> None:
        """Connect the components; call it inside the `gr.Blocks` that holds them."""
        outputs = [
            self._view, self._message, *(self._regions[name] for name in REGIONS), self._timer,
        ]  # fmt: skip
        for region in (self._message, *self._regions.values()):
            region.click(self._on_act, self._view, outputs, **QUICK)
            region.submit(self._on_act, self._view, outputs, **_SLOW)
        self._timer.tick(self._on_tick, self._view, outputs, trigger_mode="once", **QUICK)

    @guarded
    def _on_act(self, view: View, event: gr.EventData) -> Outcome:
        action, asked = read_event(event._data)
        if not view.is_drawn:
            shown = self._board.show(view)
            told = None if action == "seen" else Message(_FORGOTTEN)
            return Outcome(shown.view, told, shown.drawn)
        return self._board.act(view, action, asked)

    @guarded
    def _on_tick(self, view: View) -> Outcome:
        if not view.is_drawn:
            shown = self._board.show(view)
            return Outcome(shown.view, Message(_FORGOTTEN), shown.drawn)
        return self._board.look_again(view)

    def blank(self) -> View:
        """Return the view before anything was shown."""
        return View()

    def gate(self, why: str) -> str:
        """Return the HTML that those see who are no coordinators."""
        return render("gate.html", text=why)


def uploaded_file(name: str) -> Path:
    """Return the file of an upload; RatingError for a path that is none, wherever it leads."""
    folder = Path(get_upload_folder()).resolve()
    path = Path(name).resolve() if "\0" not in name else folder
    if not path.is_relative_to(folder) or not path.is_file():
        raise RatingError("The uploaded file is not there any more. Choose it again.")
    return path


def build_study_tab(service: RatingService, demo: gr.Blocks, inbox: StudyInbox) -> None:
    """Build and connect the tab inside `demo`."""
    tab = StudyTab(service, inbox)
    tab.build()
    tab.bind()


__all__ = ["StudyTab", "build_study_tab", "uploaded_file"]
