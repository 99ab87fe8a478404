"""The Results tab: what studies have found, drawn only for coordinators and only from handlers.

Its components are empty until a handler has checked the role, so that a page's configuration tells
nothing. What the buttons do is in `rating.results_board`; here they are guarded, and errors become
words. Results are computed by a worker that handlers only look at.
"""

from typing import Final

import gradio as gr

from rating.board.panel import WEB, render_message
from rating.board_tab import QUICK, BoardTab, guarded, read_event
from rating.results_board.board import ResultsBoard
from rating.results_board.panel import render
from rating.results_board.view import REGIONS, ResultsOutcome, ResultsView
from rating.service import RatingService

POLL_S: Final = 0.7
_SCRIPT: Final = (WEB / "results.js").read_text(encoding="utf-8")


class ResultsTab(BoardTab[ResultsView]):
    """The components of the tab and what they do."""

    def __init__(self, service: RatingService) -> None:
        """Show the results of `service`; `build` makes the components."""
        super().__init__(service.access, "results", REGIONS, _SCRIPT)
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
            self._message = self.region("message", render_message(None, 0))
            self._regions = {
                "top": self.region("top", "<div data-watch></div>"),
                **{
                    name: self.region(name)
                    for name in ("nav", "live", "main", "figures", "details")
                },
            }
            with gr.Row(elem_id="results-columns", equal_height=False):
                for name, scale in (("texts", 7), ("side", 6)):
                    with gr.Column(scale=scale, min_width=340):
                        self._regions[name] = self.region(name)
        self._timer = gr.Timer(POLL_S, active=False)

    def bind(self) -> None:
        """Connect the components; call it inside the `gr.Blocks` that holds them."""
        outputs = [
            self._view, self._message, *(self._regions[name] for name in REGIONS), self._timer,
        ]  # fmt: skip
        for region in (self._message, *self._regions.values()):
            region.click(self._on_act, self._view, outputs, **QUICK)
        self._timer.tick(self._on_tick, self._view, outputs, trigger_mode="once", **QUICK)

    @guarded
    def _on_act(self, view: ResultsView, event: gr.EventData) -> ResultsOutcome:
        action, asked = read_event(event._data)
        return self._board.act(view, action, asked)

    @guarded
    def _on_tick(self, view: ResultsView) -> ResultsOutcome:
        return self._board.look_again(view)

    def blank(self) -> ResultsView:
        """Return the view before anything was shown."""
        return ResultsView()

    def gate(self, why: str) -> str:
        """Return the HTML that those see who are no coordinators."""
        return render("gate.html", text=why)


def build_results_tab(service: RatingService) -> None:
    """Build and connect the tab inside the surrounding `gr.Blocks`."""
    tab = ResultsTab(service)
    tab.build()
    tab.bind()


__all__ = ["ResultsTab", "build_results_tab"]
