"""What a capsule computes: tables of the export, statistics, figures, methods text, scripts.

The statistics read the CSVs that were written into the capsule, so that whoever reads the same
files with the same modules gets the same text.
"""

import dataclasses
import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rating.results.capsule_contents import write_bytes, write_json, write_table
from rating.storage.database import Database
from rating.study.lookup import find_study

if TYPE_CHECKING:  # the libraries behind it are loaded when a capsule is written
    from rating.results.facts import StudyFacts
    from rating.results.statistics.analysis import Analysis
    from rating.results.statistics.finding import Settings, Table

DATA: Final = "data"
RATINGS: Final = "data/ratings_long.csv"
ASSIGNMENTS: Final = "data/assignments.csv"
SETTINGS: Final = "results/settings.json"
MAIN_TABLE: Final = "results/main_table.txt"
ALL_TABLES: Final = "results/all_tables.txt"
STATISTICS: Final = "scripts/study_statistics"
LIBRARIES: Final = ("numpy", "pandas", "scipy", "statsmodels")
_HERE: Final = Path(__file__).parent
_DATE: Final = (
    r"\d{1,2} (?:January|February|March|April|May|June|July|August|September|October|November"
    r"|December) \d{4}"
)
_PERIOD: Final = rf"(?:from {_DATE} to|on|since) {_DATE}"
_PERIODS: Final = re.compile(rf" \({_PERIOD}(?:(?:, |; | and ){_PERIOD})*\)| {_PERIOD}")
_NO_YEARS: Final = "No experience was recorded."
_BANDED: Final = "Experience is given in bands, in data/raters.csv."


def write_results(
    database: Database,
    code: str,
    folder: Path,
    *,
    is_public: bool,
    excluded: Mapping[str, str],
    images: Mapping[int, bytes],
) -> str:
    """Write data, results, figures and methods of a study and return the text of its main table.

    Args:
        database:  Of the study.
        code:      Of the study, which is unblinded.
        folder:    Of the capsule's files.
        is_public: Whether it is the public variant.
        excluded:  Code of each rater left out of the analysis -> why.
        images:    Stimulus -> PNG of those pictures that figures may show.
    """
    from rating.results.export import export_study
    from rating.results.figures.drawing import draw_figures
    from rating.results.planned import settings_of
    from rating.results.report import study_facts
    from rating.results.statistics.analysis import analyse
    from rating.results.statistics.tables import read_assignments, read_ratings

    export_study(database, code, folder / DATA, variant="public" if is_public else "full")
    with database.read() as session:
        settings = settings_of(session, find_study(session, code), excluded)
    ratings = read_ratings(folder / RATINGS)
    analysis = analyse(ratings, read_assignments(folder / ASSIGNMENTS), settings)
    main_table = write_tables(analysis, folder)
    write_settings(settings, folder)
    write_report(study_facts(database, code), analysis, folder, is_public=is_public)
    (folder / "figures").mkdir()
    draw_figures(analysis, ratings, folder / "figures", images=images)
    return main_table


def main_text(analysis: "Analysis") -> str:
    """Return the main table as files and terminals show it."""
    from rating.results.statistics.analysis import analysis_tables

    return f"{analysis_tables(analysis)[0].to_text().rstrip()}\n"


def all_text(analysis: "Analysis") -> str:
    """Return all tables as files and terminals show them."""
    from rating.results.statistics.analysis import analysis_text

    return f"{analysis_text(analysis).rstrip()}\n"


def write_tables(analysis: "Analysis", folder: Path) -> str:
    """Write every table as text and as CSV, and return the text of the main one."""
    from rating.results.statistics.analysis import analysis_tables

    main = main_text(analysis)
    write_bytes(folder / MAIN_TABLE, main.encode("utf-8"))
    write_bytes(folder / ALL_TABLES, all_text(analysis).encode("utf-8"))
    for name, table in _named(analysis_tables(analysis)).items():
        write_table(folder / f"results/tables/{name}.csv", table.columns, table.rows)
    return main


def _named(tables: "tuple[Table, ...]") -> "dict[str, Table]":
    """Return tables by their names, those of one name numbered."""
    named: dict[str, Table] = {}
    for table in tables:
        name, number = table.name, 1
        while name in named:
            number += 1
            name = f"{table.name}_{number}"
        named[name] = table
    return named


def write_settings(settings: "Settings", folder: Path) -> None:
    """Write what the analysis plan fixed, as JSON and as rows for programs that read no JSON."""
    values = settings.to_dict()
    write_json(folder / SETTINGS, values)
    write_table(folder / "results/settings.csv", ("name", "value"), _rows(values))


def _rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += [(f"{name}.{key}", _plain(each)) for key, each in value.items()]
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            for number, group in enumerate(value, start=1):
                rows += [(f"{name}.{number}.{key}", _plain(group[key])) for key in group]
        else:
            rows.append((name, _plain(value)))
    return rows


def _plain(value: Any) -> str:
    if value is None:
        return "NA"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list | tuple):
        return ";".join(map(_plain, value))
    return str(value)


def write_report(
    facts: "StudyFacts", analysis: "Analysis", folder: Path, *, is_public: bool
) -> None:
    """Write the methods text, the results in words with all tables, and the checklists."""
    from rating.results.report import checklist_tables, methods_text, results_text
    from rating.results.statistics.analysis import analysis_tables

    if is_public:
        raters = tuple(dataclasses.replace(rater, years=None) for rater in facts.raters)
        facts = dataclasses.replace(facts, raters=raters)
    tables = "\n\n".join(table.to_markdown() for table in analysis_tables(analysis))
    checklists = "\n\n".join(table.to_markdown() for table in checklist_tables(facts, analysis))
    for name, text in (
        ("methods.md", methods_text(facts, analysis)),
        ("results/results.md", f"{results_text(facts, analysis)}\n## Tables\n\n{tables}\n"),
        ("checklists.md", f"{checklists}\n"),
    ):
        told = undated(text) if is_public else text
        write_bytes(folder / name, told.encode("utf-8"))


def undated(text: str) -> str:
    """Return a generated text without days, for the public variant."""
    text = text.replace(_NO_YEARS, _BANDED)
    return re.sub(_DATE, "(date left out)", _PERIODS.sub("", text))


def write_scripts(folder: Path) -> None:
    """Copy the scripts, the statistics they use, and what these need."""
    for name, content in script_files().items():
        write_bytes(folder / name, content)


def script_files() -> dict[str, bytes]:
    """Return the scripts of a capsule by name, as this version writes them."""
    found = {
        f"{STATISTICS}/{path.name}": path.read_bytes()
        for path in sorted((_HERE / "statistics").glob("*.py"))
    }
    for path in sorted((_HERE / "scripts").iterdir()):
        if path.is_file() and not path.name.startswith("."):
            found[f"scripts/{path.name}"] = path.read_bytes()
    pins = "".join(f"{name}=={importlib.metadata.version(name)}\n" for name in LIBRARIES)
    found["scripts/requirements.txt"] = pins.encode("ascii")
    return found
