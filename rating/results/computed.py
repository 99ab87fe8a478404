"""What is computed of a study, and what it depends on."""

import base64
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from rating.errors import ResultsError
from rating.results.planned import checked_exclusions
from rating.results.statistics.finding import Settings, Table
from rating.storage.models import Answer, Assignment, Event, Study
from rating.study.unblinding import require_unblinded

if TYPE_CHECKING:  # the libraries behind them are loaded when results are asked for
    import pandas as pd


@dataclasses.dataclass(frozen=True, slots=True)
class Computed:
    """The results of a study.

    Args:
        settings:   What it was analysed with.
        data_used:  Which answers were used, in words.
        tables:     Of the analysis, the main one first.
        text:       All of it as plain text.
        methods:    The methods section of a report, in Markdown.
        findings:   Its results section, in Markdown.
        checklists: GRRAS and CLAIM.
    """

    settings: Settings
    data_used: str
    tables: tuple[Table, ...]
    text: str
    methods: str
    findings: str
    checklists: tuple[Table, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the results as JSON values; `from_dict` reads them back."""
        return dataclasses.asdict(self) | {"settings": self.settings.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the results that `to_dict` gave."""
        tables = {
            name: tuple(map(_read_table, values[name])) for name in ("tables", "checklists")
        }
        return cls(**{**values, **tables, "settings": Settings.from_dict(values["settings"])})


@dataclasses.dataclass(frozen=True, slots=True)
class FigureFiles:
    """A figure as the bytes of its files."""

    name: str
    title: str
    alt_text: str
    png: bytes
    svg: bytes

    def to_dict(self) -> dict[str, str]:
        """Return the figure as JSON values; `from_dict` reads them back."""
        files = {"png": self.png, "svg": self.svg}
        told = {name: base64.b64encode(file).decode("ascii") for name, file in files.items()}
        return {"name": self.name, "title": self.title, "alt_text": self.alt_text, **told}

    @classmethod
    def from_dict(cls, values: Mapping[str, str]) -> Self:
        """Return the figure that `to_dict` gave."""
        files = {name: base64.b64decode(values[name]) for name in ("png", "svg")}
        return cls(values["name"], values["title"], values["alt_text"], **files)


def _read_table(values: Mapping[str, Any]) -> Table:
    rows = tuple(tuple(row) for row in values["rows"])
    return Table(
        values["name"], values["title"], tuple(values["columns"]), rows, tuple(values["notes"])
    )


def read_tables(folder: Path) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return the ratings and the assignments of an exported folder.

    Raises:
        ResultsError: They are no such tables.
    """
    from rating.results.statistics.tables import TableError, read_assignments, read_ratings

    try:
        return (
            read_ratings(folder / "ratings_long.csv"),
            read_assignments(folder / "assignments.csv"),
        )
    except TableError as error:
        raise ResultsError(str(error)) from error


def study_state(
    session: Session, study: Study, excluded: Mapping[str, str] | None
) -> tuple[tuple[object, ...], dict[str, str]]:
    """Return what results depend on, and the exclusions by exact codes.

    The root hash stands for everything in a locked study; an open pilot is as its last answer and
    its last event left it.
    """
    require_unblinded(study)
    clean = checked_exclusions(session, study, excluded or {})
    exclusions = tuple(clean.items())
    if study.status == "locked":
        return (study.code, study.root_hash, exclusions), clean
    answers = session.execute(
        select(func.count(Answer.id), func.max(Answer.saved_at), func.sum(Answer.revision)).where(
            Answer.study_id == study.id
        )
    ).one()
    submitted = session.scalar(
        select(func.count(Assignment.submitted_at)).where(Assignment.study_id == study.id)
    )
    events = session.scalar(select(func.max(Event.sequence)).where(Event.study_id == study.id))
    return (study.code, study.title, *answers, submitted, events, exclusions), clean
