"""A study answered to its end by simulated raters of known bias, which tests of results start from.

They come in by the raters' own door, `RatingDesk`, and answer from a truth planted by a seed: the
arms' true means differ, raters are more or less severe, prompts easier or harder.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event, select
from sqlalchemy.orm import joinedload

from rating.storage.database import Database
from rating.storage.models import Arm, Assignment, AssignmentSlot, Item, Stimulus
from rating.study.desk import RatingDesk
from rating.study.planted import Truth, plant
from rating.study.simulated_rater import SimulatedRater
from rating.study.studies import Studies
from rating.study.submission import read_submission
from rating.study.unblinding import ShownItem, ShownPicture
from tests.rating_study import TITLE, invite, write_study

APP_VERSION = "1.2.3"


def write_answered_study(
    database: Database,
    raters: int = 6,
    arms: int = 3,
    prompts: int = 6,
    reals: int = 6,
    *,
    kind: str = "main",
    is_locked: bool = True,
    display: str = "single",
    practice: int = 2,
    checks: int = 0,
    seed: int = 1,
    title: str = TITLE,
    **changes: object,
) -> str:
    """Returns the code of a study that all of its raters have answered to the end.

    `changes` go into its protocol. Side by side there are neither real images nor checks.
    """
    code = write_study(
        database, arms, prompts, reals, practice, checks,
        kind=kind, title=title, display=display, **changes,
    )  # fmt: skip
    answer_study(database, code, raters, seed=seed)
    if is_locked:
        Studies(database).lock(code, title)
    return code


def answer_study(
    database: Database, code: str, raters: int = 6, *, seed: int = 1, items: int | None = None
) -> list[str]:
    """Lets new raters answer an open study and returns their codes.

    Args:
        items: How many each of them answers; None: all of them, and a closing remark.
    """
    truth = truth_of(database, code, seed)
    codes = []
    with unsynced(database):
        for rater_code, link in invite(database, code, raters):
            answer_as(database, link, SimulatedRater(truth, rater_code), items=items)
            codes.append(rater_code)
    return codes


@contextmanager
def unsynced(database: Database) -> Iterator[None]:
    """Lets SQLite leave its commits to the system meanwhile, which halves the time of a test."""

    def ease(connection: object, *_: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF").close()

    event.listen(database.engine, "checkout", ease)
    try:
        yield
    finally:
        event.remove(database.engine, "checkout", ease)


def truth_of(database: Database, code: str, seed: int = 1) -> Truth:
    """Returns what the simulated raters of a study answer from."""
    protocol = Studies(database).protocol(code)
    with database.read() as session:
        arms = session.scalars(select(Arm)).all()
    synthetic = sorted({arm.code for arm in arms if not arm.is_real})
    real = next((arm.code for arm in arms if arm.is_real), None)
    return plant(protocol.questions, synthetic, real, seed)


def answer_as(
    database: Database,
    link: str,
    rater: SimulatedRater,
    *,
    items: int | None = None,
    specialty: str = "Gastroenterology",
) -> int:
    """Plays one rater from the link on and returns the rater's id; see `answer_study`."""
    desk = RatingDesk(database, APP_VERSION)
    rater_id = desk.rater_of_link(link)
    desk.consent(rater_id, desk.state(rater_id)["consent"]["sha256"], rater.is_independent)
    state = desk.profile(rater_id, specialty, rater.years_experience)
    shown = shown_items(database, rater_id)
    tokens: list[str] = []
    while state["phase"] in ("practice", "rating"):
        item = state["item"]
        if item["token"] not in tokens:
            if len(tokens) == items:
                return rater_id
            tokens.append(item["token"])
        request = rater.request(item, shown[item["token"]])
        is_last = item["step"] == item["step_count"] and item["can_revise"]
        slip = rater.slip(item, request) if is_last else None
        if slip is not None:
            desk.answer(rater_id, read_submission(slip))
            state = desk.revise(rater_id, read_submission(request)).state
        else:
            state = desk.answer(rater_id, read_submission(request)).state
    desk.closing(rater_id, rater.closing_remark)
    return rater_id


def shown_items(database: Database, rater_id: int) -> dict[str, ShownItem]:
    """Returns what each of a rater's items shows, by the token of the assignment.

    Of an open main study too, where `rating.study.unblinding.shown_items` refuses.
    """
    rows = (
        select(Assignment, AssignmentSlot.slot, Stimulus)
        .join(AssignmentSlot, AssignmentSlot.assignment_id == Assignment.id)
        .join(Stimulus, Stimulus.id == AssignmentSlot.stimulus_id)
        .options(joinedload(Assignment.item).joinedload(Item.prompt), joinedload(Stimulus.arm))
        .where(Assignment.rater_id == rater_id)
        .order_by(Assignment.id, AssignmentSlot.slot)
    )
    shown: dict[str, ShownItem] = {}
    with database.read() as session:
        for each, slot, stimulus in session.execute(rows):
            arm, name = stimulus.arm, stimulus.pixel_sha256[:16]
            picture = ShownPicture(slot, arm and arm.code, bool(arm and arm.is_real), name)
            before = shown[each.token].pictures if each.token in shown else ()
            shown[each.token] = ShownItem(
                each.item.kind, each.position, each.item.prompt.code, (*before, picture),
                stimulus.expected or {},
            )  # fmt: skip
    return shown
