"""The Results tab as HTML. Everything that a person or a file said passes escaping."""

import html
import re
from typing import Any, Final

import jinja2

from rating.board.panel import WEB, show_seconds, show_time
from rating.counting import counted
from rating.results.statistics.finding import Table

_LONG: Final = 18
_NUMBER: Final = re.compile(r"[<>]?-?\d[\d.,]*( ?%)?( to -?\d[\d.,]*)?|-|NA")
_ESCAPED: Final = re.compile(r"\\(&lt;|&gt;|[\\`*_\[\]#|~$])")


def numeric_columns(table: Table) -> list[bool]:
    """Return for each column whether all of its cells are numbers."""
    return [
        bool(table.rows) and all(_NUMBER.fullmatch(row[index]) for row in table.rows)
        for index in range(len(table.columns))
    ]


def wide_columns(table: Table) -> list[bool]:
    """Return for each column whether its cells are long texts, which need room."""
    return [
        any(len(row[index]) > _LONG for row in table.rows) for index in range(len(table.columns))
    ]


def prose(text: str) -> str:
    """Return generated Markdown as HTML: headings, quotes, paragraphs, emphasis, code.

    Our own generators write nothing else; what people said stays text.
    """
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        line = " ".join(block.split())
        if line.startswith("#"):
            blocks.append(f"<h3>{_inline(line.lstrip('# '))}</h3>")
        elif line.startswith(">"):
            blocks.append(f'<p class="s-warn">{_inline(line.lstrip("> "))}</p>')
        else:
            blocks.append(f"<p>{_inline(line)}</p>")
    return "\n".join(blocks)


def _inline(text: str) -> str:
    told = html.escape(text)
    told = re.sub(r"(?<!\\)\*\*(.+?)(?<!\\)\*\*", r"<b>\1</b>", told)
    told = re.sub(r"(?<![\\*\w])\*([^*\s][^*]*?)(?<!\\)\*(?![*\w])", r"<em>\1</em>", told)
    told = re.sub(r"(?<!\\)`([^`]+)`", r"<code>\1</code>", told)
    return _ESCAPED.sub(r"\1", told)


_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(WEB / "results"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_templates.filters |= {
    "counted": counted, "time": show_time, "seconds": show_seconds, "prose": prose,
    "numeric": numeric_columns, "wide": wide_columns,
}  # fmt: skip


def render(name: str, **values: Any) -> str:
    """Return a template of the folder `web/results`, filled in."""
    return _templates.get_template(name).render(**values)
