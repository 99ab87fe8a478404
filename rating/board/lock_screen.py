"""Locking a study, asked twice, and what there is to see of a locked one."""

from rating.board.panel import render
from rating.board.protocol_screen import toml_href
from rating.board.view import Act, Asked, Outcome, Region, View, Workplace, note
from rating.board.watch_screen import draw_progress
from rating.errors import StudyStateError


class LockScreen:
    """The facts first, then the title typed again, then the lock."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self.acts: dict[str, Act] = {"lock_facts": self._go_on, "lock": self._lock}

    def draw(self, view: View) -> dict[Region, str]:
        """Return the regions of the screen."""
        facts = self._place.studies.prepare_lock(view.code)
        return {"main": render("lock.html", facts=facts, stage=view.stage)}

    def _go_on(self, view: View, asked: Asked) -> Outcome:
        second = View("lock", view.code, stage=1)
        return Outcome(second, None, self.draw(second))

    def _lock(self, view: View, asked: Asked) -> Outcome:
        self._place.studies.lock(view.code, asked.text("title"))
        said = note("The study is locked. Deposit the root hash below somewhere else now.")
        return Outcome(View("result", view.code), said)


class ResultScreen:
    """A locked study: its root hash and, only now, its arms."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self.acts: dict[str, Act] = {"verify": self._verify}

    def draw(self, view: View) -> dict[Region, str]:
        """Return the regions of the screen."""
        studies = self._place.studies
        counts: dict[str, int] = {}
        for each in studies.stimuli(view.code):
            if each.role == "main":
                counts[each.arm] = counts.get(each.arm, 0) + 1
        return {
            "main": render(
                "result.html",
                root_hash=studies.root_hash(view.code),
                arms=studies.arms(view.code),
                counts=counts,
                href=toml_href(studies.protocol(view.code)),
                code=view.code,
            ),
            "extra": draw_progress(studies.progress(view.code), is_locked=True),
        }

    def _verify(self, view: View, asked: Asked) -> Outcome:
        faults = self._place.studies.verify(view.code)
        if faults:
            raise StudyStateError("\n".join(("This study is not as it was locked:", *faults)))
        return Outcome(view, note("Everything is as it was logged and locked."))
