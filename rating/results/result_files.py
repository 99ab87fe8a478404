"""Tables of results as files: each says of which study it is, and who is left out."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from rating.errors import ResultsError
from rating.results.statistics.finding import Settings, Table

if TYPE_CHECKING:
    from rating.results.results import Computed

# What is the same in each row, and keeps its meaning when the file is sent on alone.
ORIGIN_COLUMNS = ("Study", "Kind", "Excluded raters")


def told_exclusions(settings: Settings) -> str:
    """Return who is left out and why, for example "R03 (too fast)", or "none"."""
    told = [f"{code} ({reason})" for code, reason in sorted(settings.excluded_raters.items())]
    return "; ".join(told) or "none"


def table_csv(table: Table, settings: Settings) -> str:
    """Return a table as CSV: its own columns, then the study, its kind, and who is left out."""
    origin = (
        settings.study_code, "pilot" if settings.is_pilot else "main", told_exclusions(settings)
    )  # fmt: skip
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow((*table.columns, *ORIGIN_COLUMNS))
    writer.writerows((*row, *origin) for row in table.rows)
    return buffer.getvalue()


def named_tables(computed: "Computed") -> dict[str, Table]:
    """Return every table of results and both checklists by name; those of one name numbered."""
    named: dict[str, Table] = {}
    for table in (*computed.tables, *computed.checklists):
        name, number = table.name, 1
        while name in named:
            number += 1
            name = f"{table.name}_{number}"
        named[name] = table
    return named


def results_markdown(computed: "Computed") -> str:
    """Return the results in words and every table, in Markdown."""
    used = computed.data_used
    tables = "\n\n".join(table.to_markdown() for table in computed.tables)
    return f"{computed.findings}\n{used}\n\n## Tables\n\n{tables}\n"


def methods_markdown(computed: "Computed") -> str:
    """Return the methods section and the checklists, in Markdown."""
    lists = "\n\n".join(table.to_markdown() for table in computed.checklists)
    return f"{computed.methods}\n## Reporting checklists\n\n{lists}\n"


def write_new(path: Path, content: str | bytes) -> Path:
    """Write a file that is not there yet, its folder made, and return it.

    Raises:
        ResultsError: It is there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    told = content if isinstance(content, bytes) else content.encode("utf-8")
    try:
        with path.open("xb") as file:
            file.write(told)
    except FileExistsError:
        raise ResultsError(f"{path} is there already; name another place with --out.") from None
    return path
