"""Generated images as files: written whole or not at all."""

from collections.abc import Callable
from pathlib import Path

from data.whole_file import UNFINISHED, write_whole
from msdm_core.errors import JobNotFoundError


class ImageStore:
    """The PNG files of one workspace, one folder a job."""

    def __init__(self, folder: Path) -> None:
        """Uses `folder`, and removes what a killed program left half-written there."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(f"*/*{UNFINISHED}"):
            path.unlink(missing_ok=True)

    def save(
        self,
        content: bytes,
        job_id: str,
        column: int,
        row: int,
        before_commit: Callable[[], None] = lambda: None,
    ) -> str:
        """Saves an image and returns its name relative to the store.

        Args:
            content: a PNG that carries its provenance.
            job_id: the job that made it.
            column: of its model in the job, from 0.
            row: of its seed in the job, from 0.
            before_commit: may raise to stop; nothing is then left behind.

        Raises:
            OSError: the disk is full or cannot be written; nothing is left behind.
        """
        name = f"{job_id}/{column:02d}-{row:02d}.png"
        path = self._folder / name
        is_new = not path.parent.exists()
        path.parent.mkdir(exist_ok=True)
        try:
            write_whole(path, content, before_commit)
        except BaseException:
            if is_new:
                path.parent.rmdir()
            raise
        return name

    def has(self, name: str) -> bool:
        """Whether a saved image is still there."""
        return (self._folder / name).is_file()

    def read(self, name: str) -> bytes:
        """Returns the bytes of a saved image.

        Raises:
            JobNotFoundError: the file is gone.
        """
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            raise JobNotFoundError(
                f"The image file {name} is no longer in the workspace. Generate it again with "
                "its settings."
            ) from None

    def remove(self, name: str) -> None:
        """Removes an image that its history does not know."""
        (self._folder / name).unlink(missing_ok=True)
