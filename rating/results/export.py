"""Exports: everything that was rated, as tables, once arms may be named.

All tables come from one snapshot of the database, are streamed, and appear whole or not at all.
"""

import shutil
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rating.errors import ResultsError
from rating.results.column import VARIANTS, TableColumns, Variant
from rating.results.columns import (
    ASSIGNMENTS,
    DICTIONARY,
    HISTORY,
    PROGRESS_TABLE,
    RATINGS,
    WIDE,
    tables_of,
)
from rating.results.describing_rows import DESCRIBING
from rating.results.dictionary import READABLE, dictionary_rows, dictionary_text
from rating.results.new_folder import beside, new_file, new_folder
from rating.results.progress_rows import progress_rows
from rating.results.rows import AnswerRows, Source, read_source
from rating.results.showings import Showing, showings
from rating.results.table_file import EXCEL_FOLDER, table_file
from rating.storage.database import Database
from rating.study.lookup import find_study

_ZIP_MOMENT: Final = (1980, 1, 1, 0, 0, 0)  # the first that a ZIP can say: same data, same bytes


def export_study(
    database: Database,
    code: str,
    folder: Path,
    *,
    variant: Variant = "full",
    has_excel: bool = True,
) -> tuple[Path, ...]:
    """Write all tables of a study into a folder and return the files, sorted by name.

    Args:
        database:  With the study.
        code:      Of the study: locked, or a pilot that is open.
        folder:    New or empty.
        variant:   "full", or "public" for publication, see `rating.results.columns`.
        has_excel: Whether copies for Excel are written into `excel` within it.

    Raises:
        StudyNotFoundError: There is no such study.
        UnblindingError:    It is a main study that is not locked, or a draft.
        ResultsError:       The folder is in use or cannot be written, or there is no such variant.
    """
    _check_variant(variant)
    with database.read() as session:
        source = read_source(session, find_study(session, code), variant)
        with new_folder(folder) as staging:
            _write_tables(source, staging, has_excel)
    return _files_in(folder)


def export_zip(
    database: Database,
    code: str,
    target: Path,
    *,
    variant: Variant = "full",
    has_excel: bool = True,
) -> Path:
    """Write the files of `export_study` into a ZIP and return it; the same data, the same bytes.

    Raises:
        StudyNotFoundError, UnblindingError: As `export_study`.
        ResultsError: The target is there already or cannot be written.
    """
    _check_variant(variant)
    with database.read() as session:
        source = read_source(session, find_study(session, code), variant)
        with new_file(target) as unfinished:
            folder = beside(unfinished)
            try:
                folder.mkdir()
                _write_tables(source, folder, has_excel)
                with zipfile.ZipFile(unfinished, "w") as archive:
                    for file in _files_in(folder):
                        _add(archive, file, file.relative_to(folder).as_posix())
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    return target


def export_progress(database: Database, code: str, folder: Path) -> tuple[Path, ...]:
    """Write `progress.csv` into a folder: who has answered how much on which day, nothing else.

    It tells no value, arm, image or prompt, so that it may leave a study in any state.

    Raises:
        StudyNotFoundError: There is no such study.
        ResultsError:       The folder is in use or cannot be written.
    """
    table = PROGRESS_TABLE
    with database.read() as session:
        study = find_study(session, code)
        with (
            new_folder(folder) as staging,
            table_file(staging, table.file, table.columns, has_excel=False) as write,
        ):
            write(progress_rows(session, study))
    return (folder / table.file,)


def _check_variant(variant: str) -> None:
    if variant not in VARIANTS:
        raise ResultsError(
            f"There is no variant {variant!r} of an export; choose one of {', '.join(VARIANTS)}."
        )


def _write_tables(source: Source, folder: Path, has_excel: bool) -> None:
    tables = tables_of(source.asked, source.variant)
    if has_excel:
        (folder / EXCEL_FOLDER).mkdir()
    _write_answers(source, folder, tables, has_excel)
    rows = {name: make(source) for name, make in DESCRIBING.items()}
    rows[DICTIONARY] = dictionary_rows(source.study_cells, tables, source.variant)
    for name in (name for name in tables if name in rows):
        columns = tables[name].of(source.variant)
        with table_file(folder, name, columns, has_excel=has_excel) as write:
            write(rows[name])
    is_pilot = source.study.kind == "pilot"
    text = dictionary_text(source.study.code, is_pilot, tables, source.variant)
    (folder / READABLE).write_text(text, encoding="utf-8", newline="\n")


def _write_answers(
    source: Source, folder: Path, tables: dict[str, TableColumns], has_excel: bool
) -> None:
    """Write the tables of answers together, in one pass over all showings."""
    rows = AnswerRows(source)
    with ExitStack() as stack:
        write = {
            name: stack.enter_context(
                table_file(folder, name, tables[name].of(source.variant), has_excel=has_excel)
            )
            for name in (RATINGS, ASSIGNMENTS, HISTORY, WIDE)
        }
        # A rater's showings are few; those of all raters together are not.
        for person in source.people:
            shown: list[Showing] = []
            for _, page in showings(source.session, source.study, [person]):
                for showing in page:
                    write[RATINGS](rows.ratings(person, showing))
                    write[ASSIGNMENTS](rows.assignments(person, showing))
                    write[HISTORY](rows.history(person, showing))
                shown += page
            write[WIDE](rows.wide(person, shown))


def _files_in(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.rglob("*") if path.is_file()))


def _add(archive: zipfile.ZipFile, file: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _ZIP_MOMENT)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o100644 << 16
    entry.file_size = file.stat().st_size  # decides on the large format beforehand
    with file.open("rb") as content, archive.open(entry, "w") as part:
        shutil.copyfileobj(content, part, 2**20)
