"""Where the command line finds its studies."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rating.errors import DatabaseError
from rating.storage.database import BACKUP_FOLDER, FILE_NAME, Database, sqlite_url
from rating.study.studies import Studies

ACTOR: Final = "command line"


def home_of(options: argparse.Namespace) -> Path:
    """Return the folder of studies: the option, else MSDM_HOME, else ./workspace."""
    named: Path | None = options.home
    return (named or Path(os.environ.get("MSDM_HOME") or "./workspace")).expanduser().absolute()


@contextmanager
def opened_database(
    options: argparse.Namespace, *, is_new_allowed: bool = False
) -> Iterator[Database]:
    """Yield the database that the options name.

    Raises:
        DatabaseError: It cannot be opened; or there is none, and only making studies makes one.
    """
    home = home_of(options)
    url = options.database_url or os.environ.get("MSDM_DATABASE_URL") or ""
    if not url:
        if not is_new_allowed and not (home / FILE_NAME).exists():
            raise DatabaseError(
                f"There are no studies in {home}. Name their folder with --home FOLDER or "
                "MSDM_HOME, or make one with `python -m rating create`."
            )
        if is_new_allowed:
            home.mkdir(parents=True, exist_ok=True)
        url = sqlite_url(home)
    database = Database.open(url, backup_folder=home / BACKUP_FOLDER)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def opened_studies(
    options: argparse.Namespace, *, is_new_allowed: bool = False
) -> Iterator[Studies]:
    """Yield the studies of the database that the options name; see `opened_database`."""
    with opened_database(options, is_new_allowed=is_new_allowed) as database:
        yield Studies(database)
