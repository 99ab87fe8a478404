"""The links of raters, shown once."""

from collections.abc import Sequence

from rating.board.panel import render
from rating.study.conduct import Invitation


def draw_links(invitations: Sequence[Invitation]) -> str:
    """Return new links with their buttons; the browser puts its own address before each path."""
    links = [{"rater": each.rater_code, "path": each.link("")} for each in invitations]
    return render("links.html", links=links)
