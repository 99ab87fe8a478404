"""An open study: inviting raters, watching how far they are, pausing and extending."""

from typing import Any

from rating.board.links import draw_links
from rating.board.panel import render
from rating.board.protocol_screen import toml_href
from rating.board.view import Act, Asked, Outcome, Region, View, Workplace, note
from rating.counting import counted
from rating.study.watching import Progress, RaterProgress

# Whose link still leads somewhere.
_LINKED = ("invited", "consented", "rating")


class WatchScreen:
    """Raters of an open study; nothing here tells an arm or the value of an answer."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self.acts: dict[str, Act] = {
            "invite": self._invite,
            "renew": self._renew,
            "revoke": self._revoke,
            "withdraw": self._withdraw,
            "erase": self._erase,
            "pause": self._pause,
            "resume": self._resume,
            "extend": self._extend,
            "links_done": self._links_done,
        }

    def draw(self, view: View) -> dict[Region, str]:
        """Return the regions of the screen."""
        progress = self._place.studies.progress(view.code)
        protocol = self._place.studies.protocol(view.code)
        return {
            "main": render(
                "conduct.html",
                progress=progress,
                contact=protocol.consent.contact,
                href=toml_href(protocol),
                missing=max(1, progress.planned_raters - len(progress.raters)),
            ),
            "live": draw_progress(progress),
        }

    def draw_live(self, view: View) -> dict[Region, str]:
        """Return what changes while raters work."""
        return {"live": draw_progress(self._place.studies.progress(view.code))}

    def _invite(self, view: View, asked: Asked) -> Outcome:
        count = asked.needed("count", "The number of raters")
        invitations = self._place.studies.invite(view.code, count)
        drawn = {**self.draw(view), "links": draw_links(invitations)}
        return Outcome(view, note(f"{counted(count, 'rater')} invited."), drawn)

    def _renew(self, view: View, asked: Asked) -> Outcome:
        invitation = self._place.studies.renew_link(view.code, asked.id)
        drawn = {**self.draw_live(view), "links": draw_links([invitation])}
        said = f"Rater {invitation.rater_code} has a new link; the old one is void."
        return Outcome(view, note(said), drawn)

    def _revoke(self, view: View, asked: Asked) -> Outcome:
        self._place.studies.revoke(view.code, asked.id)
        said = f"The link of {asked.id} is revoked; the answers stay."
        return Outcome(view, note(said), self.draw_live(view))

    def _withdraw(self, view: View, asked: Asked) -> Outcome:
        self._place.studies.withdraw(view.code, asked.id, is_erasing=False)
        said = f"{asked.id} has withdrawn; the answers given stay."
        return Outcome(view, note(said), self.draw_live(view))

    def _erase(self, view: View, asked: Asked) -> Outcome:
        self._place.studies.withdraw(view.code, asked.id, is_erasing=True)
        said = f"{asked.id} has withdrawn and every answer of {asked.id} is erased."
        return Outcome(view, note(said), self.draw_live(view))

    def _pause(self, view: View, asked: Asked) -> Outcome:
        self._place.studies.pause(view.code)
        return Outcome(view, note("Paused: nobody can rate until it goes on."), self.draw(view))

    def _resume(self, view: View, asked: Asked) -> Outcome:
        self._place.studies.resume(view.code)
        return Outcome(view, note("The study goes on."), self.draw(view))

    def _extend(self, view: View, asked: Asked) -> Outcome:
        version = self._place.studies.extend(
            view.code,
            planned_raters=asked.whole("planned_raters", "The number of raters"),
            contact=asked.text("contact"),
            reason=asked.text("reason"),
        )
        said = note(f"Version {version} of the protocol is logged with its reason.")
        return Outcome(view, said, self.draw(view))

    def _links_done(self, view: View, asked: Asked) -> Outcome:
        return Outcome(view, None, {"links": ""})


def draw_progress(progress: Progress, *, is_locked: bool = False) -> str:
    """Return how far a study is."""
    return render(
        "progress.html",
        progress=progress,
        raters=[_rater_values(each) for each in progress.raters],
        is_locked=is_locked,
    )


def _rater_values(rater: RaterProgress) -> dict[str, Any]:
    return {
        "code": rater.code,
        "state": rater.state,
        "done": rater.done,
        "total": rater.total,
        "percent": 100 * rater.done // rater.total if rater.total else 0,
        "median_s": rater.median_s,
        "checks": f"{rater.checks_passed}/{rater.checks_done}" if rater.checks_done else "",
        "last_at": rater.last_at,
        "has_link": rater.state in _LINKED,
        "is_in": rater.state != "withdrawn",
    }
