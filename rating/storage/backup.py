"""Copies of a SQLite database, made while it is in use."""

import os
import sqlite3
from pathlib import Path

from rating.errors import DatabaseError


def copy_sqlite(source: Path, target: Path) -> Path:
    """Copy a database in use to a new file, whole and synced to disk, and return the file.

    Raises:
        DatabaseError: the target is there already or cannot be written, or the copy is damaged.
    """
    target = target.absolute()
    if target.exists():
        raise DatabaseError(f"{target} is there already; name a file that is not.")
    unfinished = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise DatabaseError(f"The database cannot be copied to {target}: {error}.") from error
    try:
        _copy(source, unfinished)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        _give_name(unfinished, target)
    except FileExistsError:
        raise DatabaseError(f"{target} is there already; name a file that is not.") from None
    except (OSError, sqlite3.Error) as error:
        raise DatabaseError(f"The database cannot be copied to {target}: {error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _give_name(unfinished: Path, target: Path) -> None:
    """Let a finished file appear under its name, and on disk; FileExistsError where it is taken."""
    try:
        # A link fails where another program has made the target meanwhile; a rename would not.
        os.link(unfinished, target)
    except FileExistsError:
        raise
    except OSError:  # some file systems know no links
        target.touch(exist_ok=False)
        unfinished.replace(target)
    if os.name == "posix":
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _copy(source: Path, target: Path) -> None:
    reader = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
    writer = sqlite3.connect(target)
    try:
        reader.backup(writer)
        # One file that opens anywhere, without a log beside it.
        writer.execute("PRAGMA journal_mode = DELETE").close()
        checked = writer.execute("PRAGMA quick_check").fetchone()[0]
        if checked != "ok":
            raise DatabaseError(f"The database is damaged: {checked}.")
    finally:
        reader.close()
        writer.close()
