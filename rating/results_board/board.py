"""The Results tab: the list of studies, the wait for the lock, and the results."""

from rating.board.view import Asked, Message, note, told_error
from rating.errors import ResultsError, StudyNotFoundError, StudyStateError
from rating.results.results import Results
from rating.results_board.list_screen import draw_list, draw_top, draw_waiting, list_seal
from rating.results_board.results_screen import ResultsScreen
from rating.results_board.view import (
    REGIONS,
    Region,
    ResultsOutcome,
    ResultsView,
    Stage,
)
from rating.results_board.worker import Job, Worker

# Results that are kept come within it, so that nothing flickers.
_AT_ONCE_S = 0.25


class ResultsBoard:
    """Draws what a coordinator looks at and does what its buttons ask."""

    def __init__(self, results: Results) -> None:
        """Show the results of `results`."""
        self._results = results
        self._worker = Worker(results)
        self._screen = ResultsScreen(results)

    def act(self, view: ResultsView, action: str, asked: Asked) -> ResultsOutcome:
        """Do what a button asks; errors leave everything as it was.

        Raises:
            RatingError: It could not be done; the message says why.
        """
        match action:
            case "seen":
                return self.look_again(view)
            case "go_list":
                return self.show_list()
            case "go_study":
                return self.show(asked.id)
            case "compute" if view.code:
                return self._order(view, view.asked)
            case "exclude" if view.code:
                return self._order(view, self._exclusions(view.code, asked))
            case "keep_all" if view.code:
                return self._order(view, ())
        raise StudyStateError(f"The Results tab has no button {action!r} here. Reload the page.")

    def show_list(self) -> ResultsOutcome:
        """Return the list of studies."""
        studies = self._results.overview()
        view = ResultsView(seal=list_seal(studies))
        return ResultsOutcome(view, None, _all({"main": draw_list(studies)}))

    def show(self, code: str) -> ResultsOutcome:
        """Return a study: its results, or before the lock how far it is."""
        if why := self._results.why_blinded(code):
            progress = self._results.progress(code)
            view = ResultsView(code, "waiting", seal=repr(progress))
            top = draw_top(self._results.summary(code))
            drawn = _all({"top": top, "main": draw_waiting(code, progress, why)})
            return ResultsOutcome(view, None, drawn)
        return self._order(ResultsView(code), ())

    def look_again(self, view: ResultsView) -> ResultsOutcome:
        """Return what has changed by itself: the tab came into sight, or time went by."""
        if view.is_live:
            return self._followed(view)
        if not view.code:
            shown = self.show_list()
            return shown if shown.view.seal != view.seal else ResultsOutcome(view)
        try:
            is_blinded = bool(self._results.why_blinded(view.code))
        except StudyNotFoundError:
            return self.show_list()
        if view.stage == "waiting":
            shown = self.show(view.code)
            return shown if shown.view != view else ResultsOutcome(view)
        # A study that was locked stays so; a pilot is computed again where it has new answers.
        is_current = is_blinded or self._results.is_computed(view.code, dict(view.excluded))
        if view.stage == "failed" or is_current:
            return ResultsOutcome(view)
        return self._order(view, view.excluded)

    def _exclusions(self, code: str, asked: Asked) -> tuple[tuple[str, str], ...]:
        reasons = {
            name.removeprefix("reason-"): " ".join(value.split())
            for name, value in asked.values.items()
            if name.startswith("reason-") and isinstance(value, str) and value.strip()
        }
        if not reasons:
            raise ResultsError(
                "No rater has a reason. Write beside each rater to leave out why, or nothing to "
                "keep all."
            )
        return tuple(self._results.exclusions(code, reasons).items())

    def _order(
        self, view: ResultsView, excluded: tuple[tuple[str, str], ...]
    ) -> ResultsOutcome:
        """Have results computed, and show them where they are there at once."""
        job = self._worker.order(view.code, excluded)
        job.ended.wait(_AT_ONCE_S)
        waiting = ResultsView(view.code, "computing", view.excluded, excluded)
        # Results on the screen stay until the new ones are there.
        is_new = view.stage not in ("shown", "drawing", "failed")
        drawn: dict[Region, str] = {"live": self._screen.draw_live(job)}
        if is_new:
            top = draw_top(self._results.summary(view.code))
            drawn = _all({"top": top, **drawn})
        followed = self._followed(waiting, job)
        return ResultsOutcome(followed.view, followed.message, {**drawn, **followed.drawn})

    def _followed(self, view: ResultsView, job: Job | None = None) -> ResultsOutcome:
        """Return how far the worker has come."""
        job = job or self._worker.find(view.code, view.asked)
        if job is None:  # the server was restarted meanwhile
            return self._order(ResultsView(view.code), view.asked)
        if job.error is not None:
            failed = ResultsView(view.code, "failed", view.excluded, view.asked)
            live = self._screen.draw_failed()
            return ResultsOutcome(failed, told_error(job.error), {"live": live})
        if job.computed is None:
            return ResultsOutcome(view, None, {"live": self._screen.draw_live(job)})
        drawn: dict[Region, str] = {}
        message: Message | None = None
        if view.stage == "computing":
            drawn |= self._screen.draw(view.code, job.computed)
            drawn["top"] = draw_top(self._results.summary(view.code))
            if view.asked != view.excluded:
                message = note(_told_change(view))
        stage: Stage = "shown" if job.is_drawn else "drawing"
        drawn["live"] = "" if job.is_drawn else self._screen.draw_live(job)
        drawn["figures"] = self._screen.draw_figures(view.code, job)
        return ResultsOutcome(
            ResultsView(view.code, stage, view.asked, view.asked), message, drawn
        )


def _told_change(view: ResultsView) -> str:
    names = ", ".join(code for code, _ in view.asked)
    return f"Computed without {names}." if names else "Computed with all raters."


def _all(drawn: dict[Region, str]) -> dict[Region, str]:
    """Return all regions, empty where nothing is drawn."""
    return {**dict.fromkeys(REGIONS, ""), **drawn}
