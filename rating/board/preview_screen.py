"""A draft as a rater sees it: the rater's own page in a frame, told beforehand what comes."""

import functools
import json
from typing import Final

from rating.board.panel import WEB, render
from rating.board.preview_states import preview_states
from rating.board.view import Act, Asked, Outcome, Region, View, Workplace

# As the rater's page puts them together; the last one takes the place of its connection.
_SCRIPTS: Final = (
    "study/preview_before.js", "rate_elements.js", "rate_drafts.js", "rate_connection.js",
    "rate_pictures.js", "rate_questions.js", "rate_extras.js", "rate_item.js", "rate_screens.js",
    "rate.js", "study/preview_connection.js", "rate_commands.js",
)  # fmt: skip


class PreviewScreen:
    """The preview at the widths of a phone, a tablet and a computer."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self.acts: dict[str, Act] = {"restart_preview": self._restart}

    def draw(self, view: View) -> dict[Region, str]:
        """Return the regions of the screen."""
        studies = self._place.studies
        protocol = studies.protocol(view.code)
        states = preview_states(
            view.code, studies.summary(view.code).title, protocol, studies.stimuli(view.code)
        )
        has_items = any("item" in state for state in states)
        page = preview_page(states) if has_items else ""
        return {"main": render("preview.html", page=page, display=protocol.display)}

    def _restart(self, view: View, asked: Asked) -> Outcome:
        return Outcome(view, None, self.draw(view))


def preview_page(states: list[dict[str, object]]) -> str:
    """Return a whole page that plays these states to a rater's screen."""
    told = json.dumps(states, ensure_ascii=True).replace("<", "\\u003c").replace("/", "\\/")
    return render(
        "preview_page.html", body=_read("rate.html"), style=_read("rate.css"), script=_script(),
        states=told,
    )  # fmt: skip


@functools.cache
def _script() -> str:
    return "\n".join(map(_read, _SCRIPTS))


@functools.cache
def _read(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")
