"""One app a workspace: a second one would take the first one's running jobs for dead."""

import sqlite3
from pathlib import Path

from msdm_core.errors import WorkspaceError


class WorkspaceLock:
    """Held while the program uses a workspace, so that no second one takes over its jobs."""

    def __init__(self, home: Path) -> None:
        """Takes the lock of `home`.

        Raises:
            WorkspaceError: another program holds it.
        """
        # A lock of SQLite works on every system and ends with the process, even a killed one.
        self._connection = sqlite3.connect(
            home / "workspace.lock", timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            self._connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            self._connection.close()
            raise WorkspaceError(
                f"The workspace {home} is in use by another running app ({error}). "
                "Stop that app, or choose another folder with --home FOLDER or MSDM_HOME."
            ) from error

    def release(self) -> None:
        """Lets another program use the workspace."""
        self._connection.close()
