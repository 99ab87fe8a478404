"""Folders and files that a coordinator names on the server."""

import itertools
import os
from pathlib import Path
from typing import Final

from data.manifest import MANIFEST_FILE
from rating.board.view import Workplace
from rating.errors import StimulusError

_DEPTH: Final = 4
_MOST_SHOWN: Final = 30
_MOST_VISITED: Final = 2000


def server_path(place: Workplace, text: str, what: str) -> Path:
    """Return a path that exists; relative ones start in the workspace.

    Raises:
        StimulusError: It is empty, not there, or outside the workspace where that is not allowed.
    """
    if not text or "\0" in text:
        raise StimulusError(f"{what}: name it, for example runs/first below {place.home}.")
    path = Path(os.path.realpath(place.home / Path(text).expanduser()))
    home = Path(os.path.realpath(place.home))
    if place.is_confined and not path.is_relative_to(home):
        raise StimulusError(
            f"{what}: {text} is outside the workspace {home}. While this server has a coordinator "
            "token of its own, only what lies in the workspace may be named here: copy it there, "
            "or use the command line."
        )
    if not path.exists():
        raise StimulusError(f"{what}: {path} does not exist. Relative paths start in {home}.")
    return path


def known_manifests(home: Path) -> list[str]:
    """Return the manifests in the workspace, newest first, relative to it."""
    found: list[tuple[float, str]] = []
    walk = os.walk(home)
    for top, folders, names in itertools.islice(walk, _MOST_VISITED):
        relative = Path(top).relative_to(home)
        if len(relative.parts) >= _DEPTH:
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
        if MANIFEST_FILE in names:
            found.append((Path(top, MANIFEST_FILE).stat().st_mtime, str(relative / MANIFEST_FILE)))
            folders.clear()
    return [name for _, name in sorted(found, reverse=True)[:_MOST_SHOWN]]
