"""The Results tab: what studies have found, drawn only for coordinators and only from handlers.

Its components are empty until a handler has checked the role, so that a page's configuration tells
nothing. What the buttons do is in `rating.results_board`; here they are guarded, and errors become
words. Results are computed by a worker that handlers only look at.
"""

import functools
import inspect
import itertools
from collections.abc import Callable
from typing import Any, Final

import gradio as gr

from rating.board.panel import WEB, render_message
from rating.errors import AccessError
from rating.results_board.board import ResultsBoard
from rating.results_board.panel import render
from rating.results_board.view import REGIONS, ResultsOutcome, ResultsView, told_error
from rating.service import RatingService
from rating.study_tab import read_event

POLL_S: Final = 0.7
_SCRIPT: Final = (WEB / "results.js").read_text(encoding="utf-8")
_QUICK: Final[dict[str, Any]] = {
    "queue": False, "show_progress": "hidden", "api_visibility": "private",
}  # fmt: skip
_numbers = itertools.count(1)


def guarded(handler: Callable[..., ResultsOutcome]) -> Callable[..., tuple[object, ...]]:
    """Return the handler behind a check of the role, its errors told as one message.

    The handler's first argument is the tab, the last one the request, which it does not get.
    """

    @functools.wraps(handler)
    def run(tab: "ResultsTab", view: ResultsView, *arguments: Any) -> tuple[object, ...]:
        *others, request = arguments
        try:
            tab.access.require_coordinator(request)
        except AccessError as error:
            return tab.refused(str(error))
        try:
            return tab.updates(view, handler(tab, view, *others))
        except Exception as error:
            return tab.updates(view, ResultsOutcome(view, told_error(error)))

    # Gradio finds out from the parameters that an event and a request are wanted.
    parameters = [*inspect.signature(handler).parameters.values()]
    parameters.append(inspect.Parameter(
        "request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request
    ))  # fmt: skip
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = handler.__annotations__ | {"request": gr.Request}
    return run


class ResultsTab:
    """The components of the tab and what they do."""

    def __init__(self, service: RatingService) -> None:
        """Show the results of `service`; `build` makes the components."""
        self.access = service.access
        self._board = ResultsBoard(service.results)

    def build(self) -> None:
        """Build the components inside the surrounding `gr.Blocks`; all of them are empty."""
        self._view = gr.State(ResultsView())
        css = "\n".join(
            (WEB / name).read_text(encoding="utf-8") for name in ("study.css", "results.css")
        )
        with gr.HTML(
            html_template="@children", css_template=css, js_on_load=None, elem_id="results"
        ):
            self._message = _region("message", render_message(None, 0))
            self._regions = {
                "top": _region("top", "<div data-watch></div>"),
                "live": _region("live"),
                **{name: _region(name) for name in ("nav", "live", "main", "figures", "details")},
            }
            with gr.Row(elem_id="results-columns", equal_height=False):
                for name, scale in (("texts", 7), ("side", 6)):
                    with gr.Column(scale=scale, min_width=340):
                        self._regions[name] = _region(name)
        self._timer = gr.Timer(POLL_S, active=False)

    def bind(self) -> None:
        """Connect the components; call it inside the `gr.Blocks` that holds them."""
        outputs = [
            self._view, self._message, *(self._regions[name] for name in REGIONS), self._timer,
        ]  # fmt: skip
        for region in (self._message, *self._regions.values()):
            region.click(self._on_act, self._view, outputs, **_QUICK)
        self._timer.tick(self._on_tick, self._view, outputs, trigger_mode="once", **_QUICK)

    @guarded
    def _on_act(self, view: ResultsView, event: gr.EventData) -> ResultsOutcome:
        action, asked = read_event(event._data)
        return self._board.act(view, action, asked)

    @guarded
    def _on_tick(self, view: ResultsView) -> ResultsOutcome:
        return self._board.look_again(view)

    def updates(self, before: ResultsView, outcome: ResultsOutcome) -> tuple[object, ...]:
        """Return what a handler gives to the page.

        What comes by itself leaves messages alone, and the view too: a button may have changed it
        meanwhile.
        """
        is_quiet = outcome.message is None and outcome.drawn.keys() <= {"live"}
        is_moved = outcome.view != before
        message: object = render_message(outcome.message, next(_numbers))
        return (
            outcome.view if is_moved else gr.skip(),
            gr.skip() if is_quiet and not is_moved and before.is_live else message,
            *(outcome.drawn.get(name, gr.skip()) for name in REGIONS),
            gr.Timer(active=outcome.view.is_live) if is_moved else gr.skip(),
        )

    def refused(self, why: str) -> tuple[object, ...]:
        """Return what those see who are no coordinators: one sentence and nothing else."""
        drawn = dict.fromkeys(REGIONS, "") | {"main": render("gate.html", text=why)}
        return (
            ResultsView(), render_message(None, next(_numbers)),
            *(drawn[name] for name in REGIONS), gr.Timer(active=False),
        )  # fmt: skip


def _region(name: str, value: str = "") -> gr.HTML:
    return gr.HTML(value, js_on_load=_SCRIPT, elem_id=f"results-{name}", apply_default_css=False)


def build_results_tab(service: RatingService) -> None:
    """Build and connect the tab inside the surrounding `gr.Blocks`."""
    tab = ResultsTab(service)
    tab.build()
    tab.bind()


__all__ = ["ResultsTab", "build_results_tab", "guarded"]
