"""Files that are there whole or not at all, also after a crash."""

import os
import pathlib
import secrets
from collections.abc import Callable
from typing import Final

UNFINISHED: Final = ".part"
"""What the name of a file ends in that a killed program left half-written."""


def write_whole(
    path: pathlib.Path, content: bytes, before_commit: Callable[[], None] = lambda: None
) -> None:
    """Write `content` to `path`, or leave there what there was before.

    Args:
        path:          The file; its folder must be there.
        content:       All of it.
        before_commit: May raise to stop; nothing is then left behind.

    Raises:
        OSError: The file cannot be written; nothing is left behind.
    """
    # A name of its own, so that two writers of one path never share an unfinished file.
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        write_synced(unfinished, content)
        before_commit()
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_synced(path: pathlib.Path, content: bytes) -> None:
    """Write a file and flush it to the disk.

    Raises:
        OSError: The file cannot be written.
    """
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: pathlib.Path) -> None:
    """Flush the names in a folder to the disk."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
