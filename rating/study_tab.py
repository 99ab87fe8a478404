"""The Study tab: the coordinator's board, drawn only for coordinators and only from handlers.

Its components are empty until a handler has checked the role, so that a page's configuration tells
nothing. What the buttons do is in `rating.board`; here they are guarded, and errors become words.
"""

import functools
import inspect
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gradio as gr
from gradio.utils import get_upload_folder

from data.errors import DataError
from data.study_inbox import StudyInbox
from rating.board.board import Board
from rating.board.panel import WEB, render, render_message
from rating.board.view import REGIONS, Asked, Message, Outcome, View, Workplace, message_of
from rating.errors import AccessError, RatingError
from rating.guarded_route import logged_message
from rating.service import RatingService

POLL_S: Final = 5.0
_SCRIPT: Final = (WEB / "study.js").read_text(encoding="utf-8")
_QUICK: Final[dict[str, Any]] = {
    "queue": False, "show_progress": "hidden", "api_visibility": "private",
}  # fmt: skip
_SLOW: Final[dict[str, Any]] = _QUICK | {"queue": True, "concurrency_limit": 2}
_FORGOTTEN: Final = (
    "The server was restarted meanwhile and nothing was done; all studies are as they were saved. "
    "Open the study again."
)
_numbers = itertools.count(1)


def guarded(handler: Callable[..., Outcome]) -> Callable[..., tuple[object, ...]]:
    """Return the handler behind a check of the role, its errors told as one message.

    The handler's first argument is the tab, the last one the request, which it does not get.
    """

    @functools.wraps(handler)
    def run(tab: "StudyTab", view: View, *arguments: Any) -> tuple[object, ...]:
        *others, request = arguments
        try:
            tab.access.require_coordinator(request)
        except AccessError as error:
            return tab.refused(str(error))
        try:
            return tab.updates(view, handler(tab, view, *others))
        except (RatingError, DataError, OSError) as error:
            return tab.updates(view, Outcome(view, message_of(str(error))))
        except Exception as error:
            return tab.updates(view, Outcome(view, Message(logged_message(error))))

    # Gradio finds out from the parameters that an event and a request are wanted.
    parameters = [*inspect.signature(handler).parameters.values()]
    parameters.append(inspect.Parameter(
        "request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request
    ))  # fmt: skip
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = handler.__annotations__ | {"request": gr.Request}
    return run


class StudyTab:
    """The components of the tab and what they do."""

    def __init__(self, service: RatingService, inbox: StudyInbox) -> None:
        """Work on the studies of `service`; `build` makes the components."""
        self.access = service.access
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
            self._message = _region("message", render_message(None, 0))
            self._regions = {
                "top": _region("top", '<div data-watch></div>'),
                "links": _region("links"),
            }
            with gr.Row(elem_id="study-regions", equal_height=False):
                with gr.Column(scale=6, min_width=340):
                    self._regions["main"] = _region("main")
                with gr.Column(scale=5, min_width=340):
                    self._regions["extra"] = _region("extra")
                    self._regions["live"] = _region("live")
        self._timer = gr.Timer(POLL_S, active=False)

    def bind(self) -> None:
        """Connect the components; call it inside the `gr.Blocks` that holds them."""
        outputs = [
            self._view, self._message, *(self._regions[name] for name in REGIONS), self._timer,
        ]  # fmt: skip
        for region in (self._message, *self._regions.values()):
            region.click(self._on_act, self._view, outputs, **_QUICK)
            region.submit(self._on_act, self._view, outputs, **_SLOW)
        self._timer.tick(self._on_tick, self._view, outputs, trigger_mode="once", **_QUICK)

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

    def updates(self, before: View, outcome: Outcome) -> tuple[object, ...]:
        """Return what a handler gives to the page.

        What comes by itself leaves messages alone, and the view too: a button may have changed it
        meanwhile.
        """
        is_quiet = outcome.message is None and outcome.drawn.keys() <= {"live"}
        message: object = render_message(outcome.message, next(_numbers))
        is_moved = outcome.view != before
        return (
            outcome.view if is_moved else gr.skip(),
            gr.skip() if is_quiet and not is_moved else message,
            *(outcome.drawn.get(name, gr.skip()) for name in REGIONS),
            gr.Timer(active=outcome.view.is_live) if is_moved else gr.skip(),
        )

    def refused(self, why: str) -> tuple[object, ...]:
        """Return what those see who are no coordinators: one sentence and nothing else."""
        drawn = dict.fromkeys(REGIONS, "") | {"main": render("gate.html", text=why)}
        return (
            View(), render_message(None, next(_numbers)), *(drawn[name] for name in REGIONS),
            gr.Timer(active=False),
        )  # fmt: skip


def _region(name: str, value: str = "") -> gr.HTML:
    return gr.HTML(
        value, js_on_load=_SCRIPT, elem_id=f"study-{name}", apply_default_css=False
    )


def read_event(data: object) -> tuple[str, Asked]:
    """Return the action that a button asks for, and what goes with it.

    Raises:
        RatingError: It was not sent by this page.
    """
    values = data if isinstance(data, dict) else {}
    try:
        read = json.loads(values.get("values") or "{}")
    except (TypeError, ValueError, RecursionError):
        read = None
    action, about = values.get("action"), values.get("id", "")
    if not isinstance(read, dict) or not isinstance(action, str) or not isinstance(about, str):
        raise RatingError("What this page sent cannot be read. Reload the page.")
    return action, Asked(about, read)


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


__all__ = ["StudyTab", "build_study_tab", "guarded", "read_event", "uploaded_file"]
