"""Rehearsals: a pilot answered by simulated raters, so that a study can be tried to its end.

Simulated raters come in by the raters' own door, `RatingDesk`: a link, consent, profile, each step
of each item, repeats. Their answers are made up, so they are let only into a pilot whose title says
that it is a rehearsal, they call themselves "Simulated", and an event says what happened. What the
answers were drawn from is returned, and kept nowhere in the database.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from rating.errors import RehearsalError
from rating.precision import TYPICAL, Components
from rating.storage.database import Database
from rating.storage.events import record_event
from rating.storage.models import Event, Rater, Study
from rating.study import unblinding
from rating.study.desk import RatingDesk
from rating.study.lookup import claim_study, current_protocol, find_study
from rating.study.planted import Truth, plant
from rating.study.protocol import Protocol
from rating.study.simulated_rater import SPECIALTY, SimulatedRater
from rating.study.studies import Studies
from rating.study.submission import read_submission

WORD: Final = "rehearsal"  # that the title of such a study needs
EVENT: Final = "rehearsed"
DEFAULT_RATERS: Final = 6
MOST_RATERS: Final = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Rehearsal:
    """What came of a rehearsal.

    Args:
        study_code: Of the pilot.
        raters:     Codes of the simulated raters.
        items:      Items answered by all of them together, practice included.
        truth:      What the answers were drawn from.
    """

    study_code: str
    raters: tuple[str, ...]
    items: int
    truth: Truth

    def to_dict(self) -> dict[str, Any]:
        """Return the rehearsal as JSON values, for a file beside the study."""
        return {
            "note": "Simulated raters answered this pilot. Nothing in it was judged by a person.",
            "study": self.study_code,
            "raters": list(self.raters),
            "items": self.items,
            "truth": self.truth.to_dict(),
        }


def rehearsal_protocol(protocol: Protocol) -> Protocol:
    """Return a protocol whose raters can say that they are simulated."""
    if SPECIALTY in protocol.specialties:
        return protocol
    return dataclasses.replace(protocol, specialties=(*protocol.specialties, SPECIALTY))


def require_possible(raters: int, seed: int) -> None:
    """Raise RehearsalError unless so many raters can be simulated with this seed."""
    if not 1 <= raters <= MOST_RATERS or not 0 <= seed < 2**63:
        raise RehearsalError(
            f"{raters} raters with the seed {seed} cannot be simulated; allowed are 1 to "
            f"{MOST_RATERS} raters and seeds from 0 to {2**63 - 1}."
        )


def require_rehearsable(session: Session, study: Study) -> None:
    """Raise unless made-up answers may go into a study.

    Raises:
        RehearsalError: It is a main study, is not called a rehearsal, is not open, does not know
            the specialty of simulated raters, or has answers of people or of an earlier rehearsal.
    """
    if study.kind != "pilot":
        raise RehearsalError(
            f"Study {study.code} is a main study. Answers of simulated raters are fabricated, and "
            "fabricated answers have no place in one. `python -m rating rehearse` without a code "
            "makes a pilot of its own; it takes the same images and --protocol FILE."
        )
    if WORD not in study.title.casefold():
        raise RehearsalError(
            f"Study {study.code} is called {study.title!r}. Simulated raters answer only pilots "
            f"whose title has the word {WORD!r} in it, so that nobody takes their answers for "
            f"those of people: `python -m rating change {study.code} --title TITLE` while it is a "
            "draft."
        )
    if study.status != "open" or study.is_paused:
        state = "paused" if study.is_paused else study.status
        raise RehearsalError(
            f"Study {study.code} is {state}; a rehearsal needs it open and not paused."
        )
    if SPECIALTY not in current_protocol(session, study).specialties:
        raise RehearsalError(
            f"The protocol of study {study.code} does not offer the specialty {SPECIALTY!r}, by "
            "which simulated raters are known. Add it to `specialties` of the protocol before the "
            "study is opened."
        )
    _require_no_answers(session, study)


def _require_no_answers(session: Session, study: Study) -> None:
    people = session.scalars(
        select(Rater.code)
        .where(
            Rater.study_id == study.id, Rater.is_audit.is_(False), Rater.enrolled_at.is_not(None),
            Rater.specialty.is_distinct_from(SPECIALTY),
        )
        .order_by(Rater.code)
    ).all()  # fmt: skip
    if people:
        raise RehearsalError(
            f"{', '.join(people)} already take part in study {study.code}, and answers of people "
            "and of simulated raters are never mixed. Rehearse in a study of its own."
        )
    if session.scalar(
        select(func.count()).where(Event.study_id == study.id, Event.kind == EVENT)
    ):
        raise RehearsalError(
            f"Study {study.code} was rehearsed already; make another one for another rehearsal."
        )


def rehearse(
    database: Database,
    code: str,
    *,
    raters: int = DEFAULT_RATERS,
    seed: int = 0,
    truth: Truth | None = None,
    components: Components = TYPICAL,
    actor: str = "command line",
    app_version: str = "rehearsal",
    on_rater: Callable[[str, int], None] | None = None,
) -> Rehearsal:
    """Let simulated raters answer an open pilot to its end and return what they answered from.

    Args:
        database:    With the study.
        code:        Of the study, see `require_rehearsable`.
        raters:      1 to 100.
        seed:        0 or more; the same seed and the same study give the same answers.
        truth:       To answer from; None: drawn by the seed, see `plant`.
        components:  Variances of that, on a scale of 1 to 5.
        actor:       Who asked for it.
        app_version: Kept with each answer.
        on_rater:    Called after each rater with the code and the number of items.

    Raises:
        RehearsalError: The study may not be rehearsed, or the numbers are impossible.
    """
    require_possible(raters, seed)
    with database.write() as session:
        study = claim_study(session, code)
        require_rehearsable(session, study)
        arms = unblinding.arms(session, study)
        protocol = current_protocol(session, study)
        if truth is None:
            synthetic = [arm.code for arm in arms if not arm.is_real]
            real = next((arm.code for arm in arms if arm.is_real), None)
            truth = plant(protocol.questions, synthetic, real, seed, components)
        digest = hashlib.sha256(json.dumps(truth.to_dict(), sort_keys=True).encode("utf-8"))
        details = {"raters": raters, "seed": seed, "truth_sha256": digest.hexdigest()}
        record_event(session, study, EVENT, actor, details)
        study_code = study.code
    desk, items, codes = RatingDesk(database, app_version), 0, []
    for invitation in Studies(database).invite(study_code, raters, actor):
        rater = SimulatedRater(truth, invitation.rater_code)
        done = _take_part(database, desk, study_code, invitation.token, rater)
        items += done
        codes.append(invitation.rater_code)
        if on_rater is not None:
            on_rater(invitation.rater_code, done)
    return Rehearsal(study_code, tuple(codes), items, truth)


def _take_part(
    database: Database, desk: RatingDesk, code: str, token: str, rater: SimulatedRater
) -> int:
    """Play one rater from the link to the closing page and return the number of items."""
    rater_id = desk.rater_of_link(token)
    state = desk.state(rater_id)
    desk.consent(rater_id, state["consent"]["sha256"], rater.is_independent)
    state = desk.profile(rater_id, SPECIALTY, rater.years_experience)
    with database.read() as session:
        shown = unblinding.shown_items(session, find_study(session, code), rater_id)
    while state["phase"] in ("practice", "rating"):
        item = state["item"]
        request = rater.request(item, shown[item["token"]])
        is_last = item["step"] == item["step_count"] and item["can_revise"]
        slip = rater.slip(item, request) if is_last else None
        if slip is not None:
            desk.answer(rater_id, read_submission(slip))
            # Time in sight adds up, so what is put right at once adds little.
            request = {**request, "visible_ms": 1_500}
            state = desk.revise(rater_id, read_submission(request)).state
        else:
            state = desk.answer(rater_id, read_submission(request)).state
    desk.closing(rater_id, rater.closing_remark)
    return len(shown)
