"""What the Study and the Results tab share: guarded handlers, and how a page gets what they say.

Components are empty until a handler has checked the role, so that a page's configuration tells
nothing.
"""

import functools
import inspect
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import gradio as gr

from rating.access import Access
from rating.board.panel import WEB, render_message
from rating.board.view import Asked, Message, told_error
from rating.errors import AccessError, RatingError

QUICK: Final[dict[str, Any]] = {
    "queue": False, "show_progress": "hidden", "api_visibility": "private",
}  # fmt: skip
_SCRIPT: Final = (WEB / "board.js").read_text(encoding="utf-8")
_numbers = itertools.count(1)


class OnScreen(Protocol):
    """What is on the screen of one browser."""

    @property
    def is_live(self) -> bool:
        """Whether the screen changes by itself."""


V = TypeVar("V", bound=OnScreen)
V_co = TypeVar("V_co", bound=OnScreen, covariant=True)


class Changes(Protocol[V_co]):
    """What changes on the screen; regions that are not drawn stay as they are."""

    @property
    def view(self) -> V_co:
        """What is on the screen from now on."""

    @property
    def message(self) -> Message | None:
        """What the person is told."""

    @property
    def drawn(self) -> Mapping[Any, str]:
        """HTML by region."""


def guarded(handler: Callable[..., Changes[Any]]) -> Callable[..., tuple[object, ...]]:
    """Return the handler behind a check of the role, its errors told as one message.

    The handler's first argument is the tab, the second the view, the last one the request, which it
    does not get. A handler with an event between them was asked by a person, others by a timer.
    """

    @functools.wraps(handler)
    def run(tab: "BoardTab[Any]", view: Any, *arguments: Any) -> tuple[object, ...]:
        *others, request = arguments
        try:
            tab.access.require_coordinator(request)
        except AccessError as error:
            return tab.refused(str(error))
        try:
            return tab.updates(view, handler(tab, view, *others), is_asked=bool(others))
        except Exception as error:
            return tab.failed(view, error)

    # Gradio finds out from the parameters that an event and a request are wanted.
    parameters = [*inspect.signature(handler).parameters.values()]
    parameters.append(inspect.Parameter(
        "request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request
    ))  # fmt: skip
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = handler.__annotations__ | {"request": gr.Request}
    return run


class BoardTab(ABC, Generic[V]):
    """A tab made of regions of HTML that its handlers draw."""

    def __init__(self, access: Access, name: str, regions: Sequence[str], script: str) -> None:
        """Remember what the tab is made of.

        Args:
            access:  Who may do what.
            name:    Beginning of the ids of its components.
            regions: In the order in which handlers give them.
            script:  Runs in every region, after what the tabs share.
        """
        self.access = access
        self._name, self._order = name, tuple(regions)
        self._script = f"{_SCRIPT}\n{script}"

    @abstractmethod
    def blank(self) -> V:
        """Return the view before anything was shown."""

    @abstractmethod
    def gate(self, why: str) -> str:
        """Return the HTML that those see who are no coordinators."""

    def region(self, name: str, value: str = "") -> gr.HTML:
        """Return the component of a region."""
        return gr.HTML(
            value, js_on_load=self._script, elem_id=f"{self._name}-{name}", apply_default_css=False
        )

    def updates(self, before: V, outcome: Changes[V], *, is_asked: bool) -> tuple[object, ...]:
        """Return what a handler gives to the page: view, message, every region, and the timer.

        What comes by itself leaves messages alone, and the view too: a button may have changed it
        meanwhile. What a person asked for takes the earlier message away, unless it only looked.
        """
        is_moved = outcome.view != before
        is_look = not is_moved and before.is_live and outcome.drawn.keys() <= {"live"}
        is_quiet = outcome.message is None and (is_look or not is_asked)
        message: object = render_message(outcome.message, next(_numbers))
        return (
            outcome.view if is_moved else gr.skip(),
            gr.skip() if is_quiet else message,
            *(outcome.drawn.get(name, gr.skip()) for name in self._order),
            gr.Timer(active=outcome.view.is_live) if is_moved else gr.skip(),
        )

    def failed(self, view: V, error: Exception) -> tuple[object, ...]:
        """Return what a handler gives to the page that could not do what was asked."""
        message = render_message(told_error(error), next(_numbers))
        return gr.skip(), message, *(gr.skip() for _ in self._order), gr.skip()

    def refused(self, why: str) -> tuple[object, ...]:
        """Return what those see who are no coordinators: one sentence and nothing else."""
        drawn = dict.fromkeys(self._order, "") | {"main": self.gate(why)}
        return (
            self.blank(), render_message(None, next(_numbers)),
            *(drawn[name] for name in self._order), gr.Timer(active=False),
        )  # fmt: skip


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
