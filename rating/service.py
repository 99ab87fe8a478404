"""Everything studies need in one workspace, opened and closed together."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter

from rating.access import Access
from rating.coordinator_token import kept_coordinator_token
from rating.results.apart import ResultsApart
from rating.storage.database import BACKUP_FOLDER, Database, sqlite_url
from rating.study.desk import RatingDesk
from rating.study.studies import Studies

# Where a Space keeps what must outlive a restart, if it was given storage.
_LASTING_FOLDER_OF_A_SPACE: Final = Path("/data")


class RatingService:
    """The database, the studies, the raters' desk, the results and the access of one workspace."""

    def __init__(
        self,
        home: Path,
        *,
        app_version: str,
        database_url: str = "",
        coordinator_token: str = "",
        generate_token: str = "",
        is_space: bool = False,
    ) -> None:
        """Open the database, brought to the newest revision first.

        Args:
            home:              The workspace; it must be there.
            app_version:       Kept with every answer.
            database_url:      Empty for a SQLite file in the workspace.
            coordinator_token: Empty for one made here once and kept in the workspace.
            generate_token:    Opens Generate; empty where that needs none.
            is_space:          Whether this runs as a Space, in a frame on a disk that forgets.

        Raises:
            DatabaseError: The database cannot be used.
            RatingError: The coordinator's token cannot be kept.
        """
        self.home = home.absolute()
        self.is_space = is_space
        self.is_token_kept = not coordinator_token
        self._coordinator_token = coordinator_token or kept_coordinator_token(self.home)
        self._has_own_url = bool(database_url)
        self.database = Database.open(
            database_url or sqlite_url(self.home), backup_folder=self.home / BACKUP_FOLDER
        )
        self.studies = Studies(self.database)
        self.desk = RatingDesk(self.database, app_version)
        self.results = ResultsApart(self.database, software_version=app_version)
        self.access = Access(
            self.database,
            self._coordinator_token,
            generate_token,
            rater_of_link=self.desk.rater_of_link,
        )

    @property
    def is_lasting(self) -> bool:
        """Whether studies outlive a restart; on the disk of a Space alone they do not."""
        is_kept = self.home.is_relative_to(_LASTING_FOLDER_OF_A_SPACE)
        return self._has_own_url or not self.is_space or is_kept

    def coordinator_link(self, base_url: str) -> str:
        """Return the address at which a coordinator signs in; it holds the token."""
        return f"{base_url.rstrip('/')}/coordinator/{self._coordinator_token}"

    def greeting(self, base_url: str) -> str:
        """Return what the server says to its coordinator; a token that was given stays unsaid."""
        if self.is_token_kept:
            return f"Coordinators of studies sign in at {self.coordinator_link(base_url)}"
        return (
            f"Coordinators of studies sign in at {base_url.rstrip('/')}/coordinator/ followed by "
            "the token that was set."
        )

    def router(self) -> APIRouter:
        """Return the routes, each of which checks the role itself."""
        from rating.routes import make_router

        return make_router(self)

    def close(self) -> None:
        """End the computation of results and close the database."""
        self.results.close()
        self.database.close()
