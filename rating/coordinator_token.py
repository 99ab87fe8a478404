"""The coordinator's token that the software makes for itself, kept in the workspace."""

import os
import re
import secrets
from pathlib import Path
from typing import Final

from rating.errors import RatingError

FILE_NAME: Final = "coordinator_token"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.~-]{16,200}")


def kept_coordinator_token(home: Path) -> str:
    """Return the coordinator's token of a workspace, made once and readable by its owner alone.

    Raises:
        RatingError: The file cannot be read or written, or holds no token.
    """
    path = home / FILE_NAME
    try:
        _write_new(path, secrets.token_urlsafe(32))
        if os.name != "nt":
            path.chmod(0o600)
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RatingError(
            f"The coordinator's token {path} cannot be read or written: {error}. "
            "Make the file writable, or give a token in MSDM_COORDINATOR_TOKEN."
        ) from error
    if not _TOKEN.fullmatch(token):
        raise RatingError(
            f"{path} holds no token: 16 to 200 letters, digits or any of '_.~-'. "
            "Remove the file; a new one is made at the next start."
        )
    return token


def _write_new(path: Path, token: str) -> None:
    """Write the file unless it is there; whoever reads it finds it whole."""
    if path.exists():
        return
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{token}\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
