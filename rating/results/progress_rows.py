"""The rows of progress.csv: how many items each rater has submitted, day by day.

Nothing here reads answers, arms, images or prompts.
"""

import datetime
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from rating.results.cells import Row
from rating.results.column import MISSING
from rating.storage.models import Assignment, Item, Rater, Study
from rating.study.watching import rater_state

_ROWS_AT_ONCE: Final = 2_000


def progress_rows(session: Session, study: Study) -> Iterator[Row]:
    """Yield the rows of progress.csv of a study in any state, raters of audits left out."""
    days = _days(session, study)
    drawn = dict(
        session.execute(
            select(Assignment.rater_id, func.count())
            .join(Item, Item.id == Assignment.item_id)
            .where(Assignment.study_id == study.id, Item.kind != "practice")
            .group_by(Assignment.rater_id)
        ).all()
    )
    raters = session.scalars(
        select(Rater)
        .where(Rater.study_id == study.id, Rater.is_audit.is_(False))
        .order_by(Rater.id)
    )
    state = "paused" if study.is_paused else study.status
    for rater in raters:
        head = (study.code, study.kind, state, rater.code, rater_state(rater))
        assigned, so_far = str(drawn.get(rater.id, 0)), 0
        for day, count in sorted(days[rater.id].items()):
            so_far += count
            yield (*head, day.isoformat(), str(count), str(so_far), assigned)
        if not days[rater.id]:
            yield (*head, MISSING, "0", "0", assigned)


def _days(session: Session, study: Study) -> dict[int, Counter[datetime.date]]:
    found: dict[int, Counter[datetime.date]] = defaultdict(Counter)
    rows = session.execute(
        select(Assignment.rater_id, Assignment.submitted_at)
        .join(Item, Item.id == Assignment.item_id)
        .where(
            Assignment.study_id == study.id, Item.kind != "practice",
            Assignment.submitted_at.is_not(None),
        )
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )  # fmt: skip
    for rater_id, submitted_at in rows:
        if submitted_at is not None:
            found[rater_id][submitted_at.date()] += 1
    return found
