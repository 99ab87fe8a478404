"""Watching a study while it runs: how far everyone is, without arms and without values.

One figure tells how precise the study is so far, over all arms together.
"""

import dataclasses
import datetime
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from rating.storage.models import (
    Answer,
    Assignment,
    Item,
    ItemStimulus,
    Question,
    Rater,
    Stimulus,
    Study,
)
from rating.study.design import exposure_spread
from rating.study.exposure import design_units, exposure_so_far, is_dropped_out
from rating.study.lookup import current_protocol
from rating.study.protocol import REALISM, Protocol

# The figure moves only with so many answers at once, so that no single value shows in it.
PRECISION_STEP: Final = 20


@dataclasses.dataclass(frozen=True, slots=True)
class RaterProgress:
    """How far one rater is; `state` is what happened last.

    Args:
        code:          For example "R01".
        state:         "invited", "consented", "rating", "completed", "withdrawn" or "revoked".
        done:          Items submitted, practice left out.
        total:         Items assigned, practice left out; 0 before enrolment.
        median_s:      Median visible time of an item in seconds; None before the first.
        checks_passed: Attention checks answered as expected.
        checks_done:   Attention checks answered.
        last_at:       When the rater last did something.
    """

    code: str
    state: str
    done: int
    total: int
    median_s: float | None
    checks_passed: int
    checks_done: int
    last_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far a study is.

    Args:
        code, title, kind, status, is_paused: Of the study.
        planned_raters:    Of the protocol in force.
        raters:            In the order of their codes.
        least_exposure:    Raters who have the main item that fewest have; drop-outs left out.
        most_exposure:     Raters who have the main item that most have.
        dropped_out:       Raters who enrolled and will not finish.
        top_up_raters:     Raters who would have to enrol to close the spread; 0 where it is closed.
        primary_question:  Whose precision is told; "" where it is a preference, which has no mean.
        standard_error:    Of the mean of its main answers over all arms, see
                           `pooled_standard_error`; None where there are too few.
        precision_answers: How many answers that figure rests on.
    """

    code: str
    title: str
    kind: str
    status: str
    is_paused: bool
    planned_raters: int
    raters: tuple[RaterProgress, ...]
    least_exposure: int
    most_exposure: int
    dropped_out: int
    top_up_raters: int
    primary_question: str
    standard_error: float | None
    precision_answers: int

    @property
    def completed(self) -> int:
        """Raters who answered everything."""
        return sum(rater.state == "completed" for rater in self.raters)

    @property
    def done(self) -> int:
        """Items submitted, practice left out."""
        return sum(rater.done for rater in self.raters)

    @property
    def total(self) -> int:
        """Items assigned, practice left out."""
        return sum(rater.total for rater in self.raters)


def rater_state(rater: Rater) -> str:
    """Return in one word where a rater is."""
    if rater.withdrawn_at is not None or rater.erased_at is not None:
        return "withdrawn"
    if rater.completed_at is not None:
        return "completed"
    if rater.revoked_at is not None:
        return "revoked"
    if rater.enrolled_at is not None:
        return "rating"
    return "consented" if rater.consented_at is not None else "invited"


def progress(session: Session, study: Study) -> Progress:
    """Return how far a study is; of a draft nothing but its plan."""
    protocol = current_protocol(session, study)
    raters = session.scalars(
        select(Rater)
        .where(Rater.study_id == study.id, Rater.is_audit.is_(False))
        .order_by(Rater.id)
    ).all()
    units = design_units(session, study)
    spread = exposure_spread(
        units.sets, units.reals, protocol, exposure_so_far(session, study), study.seed
    )
    primary = _primary_question(protocol)
    answers, error = (0, None)
    if primary:
        answers, error = _precision(session, study, primary)
    return Progress(
        code=study.code,
        title=study.title,
        kind=study.kind,
        status=study.status,
        is_paused=study.is_paused,
        planned_raters=protocol.planned_raters,
        raters=_rater_rows(session, study, raters),
        least_exposure=spread.least,
        most_exposure=spread.most,
        dropped_out=sum(map(is_dropped_out, raters)),
        top_up_raters=spread.top_up_raters,
        primary_question=primary,
        standard_error=error,
        precision_answers=answers,
    )


def _rater_rows(
    session: Session, study: Study, raters: Sequence[Rater]
) -> tuple[RaterProgress, ...]:
    rows = session.execute(
        select(
            Assignment.rater_id, Item.kind, Assignment.visible_ms,
            Assignment.shown_at, Assignment.submitted_at,
        )
        .join(Item, Assignment.item_id == Item.id)
        .where(Assignment.study_id == study.id)
    )  # fmt: skip
    total: Counter[int] = Counter()
    times_s: dict[int, list[float]] = defaultdict(list)
    last: dict[int, datetime.datetime] = {}
    for rater_id, kind, visible_ms, shown_at, submitted_at in rows:
        for moment in filter(None, (shown_at, submitted_at)):
            last[rater_id] = max(moment, last.get(rater_id, moment))
        if kind == "practice":
            continue
        total[rater_id] += 1
        if submitted_at is not None:
            times_s[rater_id].append(visible_ms / 1000)
    checks = _checks(session, study)
    return tuple(
        RaterProgress(
            code=rater.code,
            state=rater_state(rater),
            done=len(times_s[rater.id]),
            total=total[rater.id],
            median_s=statistics.median(times_s[rater.id]) if times_s[rater.id] else None,
            checks_passed=sum(checks[rater.id]),
            checks_done=len(checks[rater.id]),
            last_at=_latest(
                (rater.consented_at, rater.enrolled_at, rater.withdrawn_at, last.get(rater.id))
            ),
        )
        for rater in raters
    )


def _latest(moments: Iterable[datetime.datetime | None]) -> datetime.datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)


def _checks(session: Session, study: Study) -> dict[int, list[bool]]:
    """Return for each rater whether each attention check submitted was answered as expected."""
    rows = session.execute(
        select(Assignment.rater_id, Assignment.id, Stimulus.expected, Question.code, Answer.value)
        .join(Item, Assignment.item_id == Item.id)
        .join(ItemStimulus, ItemStimulus.item_id == Item.id)
        .join(Stimulus, ItemStimulus.stimulus_id == Stimulus.id)
        .join(Answer, Answer.assignment_id == Assignment.id)
        .join(Question, Answer.question_id == Question.id)
        .where(
            Assignment.study_id == study.id,
            Item.kind == "check",
            Assignment.submitted_at.is_not(None),
        )
    )
    is_passed: dict[tuple[int, int], bool] = {}
    for rater_id, assignment_id, expected, question_code, value in rows:
        accepted = (expected or {}).get(question_code)
        key = (rater_id, assignment_id)
        is_passed[key] = is_passed.get(key, True) and (accepted is None or value in accepted)
    found: dict[int, list[bool]] = defaultdict(list)
    for (rater_id, _), passed in is_passed.items():
        found[rater_id].append(passed)
    return found


def _primary_question(protocol: Protocol) -> str:
    codes = [question.code for question in protocol.questions if question.kind == "scale"]
    if protocol.plan is not None:
        return protocol.plan.primary_question if protocol.plan.primary_question in codes else ""
    return REALISM if REALISM in codes else next(iter(codes), "")


def _precision(session: Session, study: Study, code: str) -> tuple[int, float | None]:
    rows = session.execute(
        select(Answer.value, Assignment.rater_id, Item.prompt_id)
        .join(Assignment, Answer.assignment_id == Assignment.id)
        .join(Item, Assignment.item_id == Item.id)
        .join(Question, Answer.question_id == Question.id)
        .join(Rater, Assignment.rater_id == Rater.id)
        .where(
            Answer.study_id == study.id,
            Rater.is_audit.is_(False),
            Item.kind == "main",
            Question.code == code,
            Question.kind == "scale",
            Answer.value.is_not(None),
        )
        .order_by(Answer.id)
    ).all()
    used = rows[: len(rows) // PRECISION_STEP * PRECISION_STEP]
    values = [(float(value), rater, prompt) for value, rater, prompt in used if value is not None]
    return len(used), pooled_standard_error(values)


def pooled_standard_error(answers: Sequence[tuple[float, int, int]]) -> float | None:
    """Return the standard error of the mean of all answers, rounded to hundredths of a point.

    Answers of one rater, or to one prompt, resemble each other, so that taking them as independent
    flatters. The largest of three is told: answers independent, clustered by rater, clustered by
    prompt.

    Args:
        answers: Value, rater and prompt of each; no arm.

    Returns:
        None for fewer than two answers.

    Source: Liang and Zeger 1986, the cluster-robust variance of a mean, with G / (G - 1).
    """
    count = len(answers)
    if count < 2:
        return None
    mean = statistics.fmean(value for value, _, _ in answers)
    variances = [statistics.variance(value for value, _, _ in answers) / count]
    for place in (1, 2):
        sums: dict[float, float] = defaultdict(float)
        for answer in answers:
            sums[answer[place]] += answer[0] - mean
        groups = len(sums)
        if groups > 1:
            squares = sum(total**2 for total in sums.values())
            variances.append(groups / (groups - 1) * squares / count**2)
    return round(math.sqrt(max(variances)), 2)
