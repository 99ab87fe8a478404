"""A folder or a file that appears whole or not at all: written beside its place, then renamed."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rating.errors import ResultsError


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a folder to write into; at the end it takes the target's place, on any error it goes.

    Of a program that is killed meanwhile, a hidden folder `.NAME-....part` stays beside the target.

    Args:
        target: New, or an empty folder.

    Raises:
        ResultsError: It is there with something in it, or nothing can be written there.
    """
    place = target.absolute() if not target.is_symlink() else target.resolve()
    try:
        _check_place(place, target)
        place.parent.mkdir(parents=True, exist_ok=True)
        staging = beside(place)
        staging.mkdir()
    except OSError as error:
        raise unwritten(target, error) from error
    try:
        yield staging
        if place.exists():
            place.rmdir()
        staging.rename(place)
    except OSError as error:
        raise unwritten(target, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Give a path to write a file to, which takes the target's place at the end, see `new_folder`.

    Raises:
        ResultsError: The target is there already, or nothing can be written there.
    """
    if target.exists():
        raise ResultsError(f"{target} is there already; name a file that is not.")
    staging = beside(target.absolute())
    try:
        staging.parent.mkdir(parents=True, exist_ok=True)
        yield staging
        staging.rename(target)
    except OSError as error:
        raise unwritten(target, error) from error
    finally:
        staging.unlink(missing_ok=True)


def beside(place: Path) -> Path:
    """Return a hidden name beside a path that nothing has."""
    return place.with_name(f".{place.name}-{secrets.token_hex(4)}.part")


def unwritten(target: Path, error: OSError) -> ResultsError:
    """Return what to tell of a target that could not be written."""
    return ResultsError(
        f"Nothing was written to {target}: {error.strerror or error}. Name a place that can be "
        "written and has room."
    )


def _check_place(place: Path, target: Path) -> None:
    if not place.exists():
        return
    if not place.is_dir():
        raise ResultsError(f"{target} is a file; name a folder that is new or empty.")
    if any(place.iterdir()):
        raise ResultsError(
            f"The folder {target} is not empty, and nothing is written over; name one that is new "
            "or empty."
        )
    if os.path.ismount(place) or place.samefile(Path.cwd()):
        raise ResultsError(
            f"The folder {target} cannot be replaced by a finished one (it is a mount, or the "
            "folder you are in); name a new folder within it."
        )
