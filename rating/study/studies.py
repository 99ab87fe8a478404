"""Studies as a coordinator works with them: one door, one transaction an act.

Every act that changes a study is one row of its chain of events, with who did it: "coordinator",
or "command line". What a rater does goes through `rating.study.desk`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import select
from sqlalchemy.orm import Session

from rating.storage.database import Database
from rating.storage.events import record_event
from rating.storage.models import Study
from rating.study import (
    conduct,
    drafts,
    locking,
    opening,
    quick,
    unblinding,
    watching,
    withdrawal,
)
from rating.study.checks import Problem
from rating.study.conduct import Invitation
from rating.study.drafts import Added
from rating.study.harmonisation import Harmonisation
from rating.study.locking import LockFacts
from rating.study.lookup import (
    claim_study,
    current_protocol,
    find_rater,
    find_study,
    require_status,
)
from rating.study.offered import OfferedImage
from rating.study.preparation import prepare_images
from rating.study.protocol import Protocol
from rating.study.summaries import (
    StimulusView,
    StudySummary,
    stimulus_png,
    stimulus_views,
    study_summary,
)
from rating.study.unblinding import ArmView
from rating.study.watching import Progress

COORDINATOR = "coordinator"


class Studies:
    """The studies of a database."""

    def __init__(self, database: Database) -> None:
        """Work on an open database."""
        self._database = database

    # Reading

    def overview(self) -> tuple[StudySummary, ...]:
        """Return all studies, the newest first."""
        with self._database.read() as session:
            studies = session.scalars(select(Study).order_by(Study.created_at.desc(), Study.id))
            return tuple(study_summary(session, study) for study in studies)

    def summary(self, code: str) -> StudySummary:
        """Return one study as in `overview`."""
        with self._database.read() as session:
            return study_summary(session, find_study(session, code))

    def protocol(self, code: str) -> Protocol:
        """Return the protocol in force, or of a draft the one that it has so far."""
        with self._database.read() as session:
            return current_protocol(session, find_study(session, code))

    def harmonisation(self, code: str) -> Harmonisation | None:
        """Return what the pictures of a study went through; None before the first."""
        with self._database.read() as session:
            used = find_study(session, code).harmonisation
            return None if used is None else Harmonisation(**used)

    def stimuli(self, code: str) -> tuple[StimulusView, ...]:
        """Return the pictures of a study; arms are named in a draft and after the lock."""
        with self._database.read() as session:
            return stimulus_views(session, find_study(session, code))

    def stimulus_png(self, code: str, stimulus_id: int) -> bytes:
        """Return the bytes of a picture, for coordinators alone.

        Raises:
            StimulusError: The study has no such picture.
        """
        with self._database.read() as session:
            return stimulus_png(session, find_study(session, code), stimulus_id)

    def problems(self, code: str) -> list[Problem]:
        """Return everything that keeps a draft from opening, and warnings; [] when nothing does."""
        with self._database.read() as session:
            study = find_study(session, code)
            return opening.study_problems(session, study, current_protocol(session, study))

    def progress(self, code: str) -> Progress:
        """Return how far a study is: no arm and no value, see `rating.study.watching`."""
        with self._database.read() as session:
            return watching.progress(session, find_study(session, code))

    def arms(self, code: str) -> tuple[ArmView, ...]:
        """Return the arms of a study; UnblindingError for a main study that is not locked."""
        with self._database.read() as session:
            return unblinding.arms(session, find_study(session, code))

    def prepare_lock(self, code: str) -> LockFacts:
        """Return what to look at before locking."""
        with self._database.read() as session:
            study = require_status(find_study(session, code), "open")
            return locking.lock_facts(session, study)

    def verify(self, code: str) -> list[str]:
        """Return everything that differs from what was logged and locked; [] when whole."""
        with self._database.read() as session:
            return locking.verify(session, find_study(session, code))

    def root_hash(self, code: str) -> str | None:
        """Return the root hash of a locked study, None of another."""
        with self._database.read() as session:
            return find_study(session, code).root_hash

    # Drafts

    def create(
        self,
        title: str,
        *,
        kind: str = "main",
        protocol: Protocol = Protocol(),  # noqa: B008  # frozen
        seed: int | None = None,
        offered: Sequence[OfferedImage] = (),
        harmonisation: Harmonisation | None = None,
        actor: str = COORDINATOR,
    ) -> str:
        """Return the code of a new draft, with the images offered; where it fails there is none.

        Args:
            title:         1 to 200 characters.
            kind:          "main" or "pilot".
            protocol:      May be changed until it is opened.
            seed:          Of the design, 0 to 2**63 - 1; drawn where it is not given.
            offered:       As those of `add_images`.
            harmonisation: What all images of the study go through.
            actor:         Who makes it.
        """
        settings = harmonisation or Harmonisation()
        prepared = prepare_images(offered, settings)
        with self._database.write() as session:
            study = drafts.new_study(session, title, kind, protocol, seed, actor)
            if prepared:
                drafts.add_prepared(session, study, prepared, settings, actor)
            return study.code

    def change(
        self,
        code: str,
        *,
        title: str | None = None,
        kind: str | None = None,
        protocol: Protocol | None = None,
    ) -> None:
        """Change what is given of a draft."""
        with self._claim(code, "draft") as (_, study):
            drafts.change_study(study, title, kind, protocol)

    def add_images(
        self,
        code: str,
        offered: Sequence[OfferedImage],
        harmonisation: Harmonisation | None = None,
        actor: str = COORDINATOR,
    ) -> Added:
        """Put images into a draft, all of them or none.

        Args:
            code:          Of the study.
            offered:       Those that the study has already, of the same arm and prompt, are
                           skipped.
            harmonisation: What all images of the study go through; None takes what the study has
                           used, else the default.
            actor:         Who adds them.

        Raises:
            StimulusError: With everything that is wrong with any of them.
        """
        with self._database.read() as session:
            used = require_status(find_study(session, code), "draft").harmonisation
        settings = harmonisation or (Harmonisation() if used is None else Harmonisation(**used))
        prepared = prepare_images(offered, settings)  # slow, so outside the transaction
        with self._claim(code, "draft") as (session, study):
            return drafts.add_prepared(session, study, prepared, settings, actor)

    def remove_images(
        self, code: str, stimulus_ids: Sequence[int], actor: str = COORDINATOR
    ) -> int:
        """Take images out of a draft and return how many."""
        with self._claim(code, "draft") as (session, study):
            count = drafts.remove_images(session, study, stimulus_ids)
            record_event(session, study, "images_removed", actor, {"count": count})
            return count

    def delete_draft(self, code: str) -> None:
        """Delete a draft with its images."""
        with self._claim(code, "draft") as (session, study):
            drafts.delete_draft(session, study)

    def attest_identifiers(self, code: str, by: str, actor: str = COORDINATOR) -> None:
        """Keep that a person looked for identifiers burned into the images of a draft."""
        with self._claim(code, "draft") as (session, study):
            drafts.attest_identifiers(study, by)
            record_event(session, study, "identifiers_attested", actor, {})

    def open(self, code: str, actor: str = COORDINATOR) -> None:
        """Open a draft, which fixes its protocol; NotReadyError lists all problems."""
        with self._claim(code, "draft") as (session, study):
            opening.open_study(session, study, actor)

    def quick(
        self,
        offered: Sequence[OfferedImage],
        title: str | None = None,
        raters: int = 1,
        actor: str = COORDINATOR,
    ) -> tuple[str, tuple[Invitation, ...]]:
        """Return the code and the links of a pilot made and opened at once, defaults everywhere.

        Whoever calls this attests that identifiers in the images are handled. Nothing is left
        behind where it fails.

        Raises:
            StimulusError: With everything that is wrong with any of the images.
            NotReadyError: With everything that keeps the study from opening.
        """
        settings = Harmonisation()
        prepared = prepare_images(offered, settings)
        with self._database.write() as session:
            return quick.open_pilot(session, prepared, settings, title, raters, actor)

    # Open studies

    def invite(
        self, code: str, count: int = 1, actor: str = COORDINATOR
    ) -> tuple[Invitation, ...]:
        """Return links for new raters; they are told this once."""
        with self._claim(code, "open") as (session, study):
            return conduct.invite(session, study, count, actor)

    def renew_link(self, code: str, rater_code: str, actor: str = COORDINATOR) -> Invitation:
        """Return a new link for a rater; the old one is void."""
        with self._claim(code, "open") as (session, study):
            return conduct.renew_link(session, study, rater_code, actor)

    def revoke(self, code: str, rater_code: str, actor: str = COORDINATOR) -> None:
        """End a rater's link and browsers; the answers stay."""
        with self._claim(code, "open") as (session, study):
            conduct.revoke(session, study, rater_code, actor)

    def withdraw(
        self, code: str, rater_code: str, *, is_erasing: bool, actor: str = COORDINATOR
    ) -> None:
        """End a rater's part; with `is_erasing` delete all that was answered, too."""
        with self._claim(code, "open") as (session, study):
            rater = find_rater(session, study, rater_code)
            withdrawal.withdraw(session, study, rater, is_erasing=is_erasing, actor=actor)

    def pause(self, code: str, actor: str = COORDINATOR) -> None:
        """Let nobody rate until `resume`."""
        with self._claim(code, "open") as (session, study):
            conduct.pause(session, study, actor)

    def resume(self, code: str, actor: str = COORDINATOR) -> None:
        """Let raters go on."""
        with self._claim(code, "open") as (session, study):
            conduct.resume(session, study, actor)

    def extend(
        self,
        code: str,
        *,
        planned_raters: int | None = None,
        contact: str | None = None,
        reason: str,
        actor: str = COORDINATOR,
    ) -> int:
        """Plan more raters, or name another contact, and return the new protocol version."""
        with self._claim(code, "open") as (session, study):
            return conduct.extend(session, study, planned_raters, contact, reason, actor).version

    def lock(self, code: str, confirm_title: str, actor: str = COORDINATOR) -> str:
        """Lock a study for good and return its root hash."""
        with self._claim(code, "open") as (session, study):
            return locking.lock(session, study, confirm_title, actor)

    @contextmanager
    def _claim(self, code: str, status: str) -> Iterator[tuple[Session, Study]]:
        """A transaction that holds one study alone, which is in this state."""
        with self._database.write() as session:
            yield session, claim_study(session, code, status)
