"""The coordinator's screens as HTML. Everything that a person or a file said passes escaping."""

import datetime
from pathlib import Path
from typing import Any, Final

import jinja2

from rating.board.view import Message
from rating.counting import counted

WEB: Final = Path(__file__).parents[1] / "web"


def show_time(moment: datetime.datetime | None) -> str:
    """Return a moment to the minute, in UTC; "" for none."""
    return "" if moment is None else moment.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def show_seconds(seconds: float | None) -> str:
    """Return a duration in seconds, or minutes where it is long; a dash for none."""
    if seconds is None:
        return "\N{EN DASH}"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(WEB / "study"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_templates.filters |= {"counted": counted, "time": show_time, "seconds": show_seconds}


def render(name: str, **values: Any) -> str:
    """Return a template of the folder `web/study`, filled in."""
    return _templates.get_template(name).render(**values)


def render_message(message: Message | None, number: int) -> str:
    """Return what is told; `number` makes every answer another, so that the page knows of it."""
    return render("message.html", message=message, number=number)
