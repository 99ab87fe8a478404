"""What a study is analysed with: its plan, in the codes of the exported tables, and exclusions."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from rating.errors import RaterError, ResultsError
from rating.results.statistics.finding import ArmName, Scale, Settings
from rating.storage.models import Rater, Study
from rating.study.lookup import current_protocol
from rating.study.protocol import (
    REAL_OR_SYNTHETIC,
    REALISM,
    AnalysisPlan,
    Protocol,
    QuestionText,
)
from rating.study.unblinding import ArmView, arms

MOST_REASON_CHARACTERS: Final = 300


def settings_of(
    session: Session, study: Study, excluded: Mapping[str, str] | None = None
) -> Settings:
    """Return what the protocol in force has planned, or defaults where it has no plan.

    By default realism decides where it is asked, else the first scale (side by side the
    preference), and every other arm is compared with the real one, or with the first.

    Args:
        session:  Of the database.
        study:    Locked, or an open pilot.
        excluded: Code of each rater left out of the analysis -> why.

    Raises:
        UnblindingError: Arms may not be named yet.
        RaterError:      There is no such rater.
        ResultsError:    An exclusion has no reason, or nobody would be left.
    """
    named = arms(session, study)
    protocol = current_protocol(session, study)
    plan = protocol.plan or _default_plan(protocol, named)
    others = tuple(arm.code for arm in named if arm.code != plan.reference_arm)
    asked = {question.code: question for question in protocol.questions}
    origin = asked.get(REAL_OR_SYNTHETIC)
    return Settings(
        study_code=study.code,
        title=study.title,
        is_pilot=study.kind == "pilot",
        has_plan=protocol.plan is not None,
        display=protocol.display,
        scales=tuple(_scale(question, len(named)) for question in protocol.questions),
        arms=tuple(ArmName(arm.code, arm.label, arm.is_real) for arm in named),
        primary_question=plan.primary_question,
        reference_arm=plan.reference_arm,
        contrast_arms=plan.contrast_arms or others,
        equivalence_margin=plan.equivalence_margin,
        holm_family=plan.holm_family or (plan.primary_question,),
        cannot_judge=plan.cannot_judge,
        excluded_raters=checked_exclusions(session, study, excluded or {}),
        origin_question=origin.code if origin is not None and origin.kind == "scale" else "",
        seed=study.seed,
    )


def checked_exclusions(
    session: Session, study: Study, excluded: Mapping[str, str]
) -> dict[str, str]:
    """Return exclusions by the exact codes of raters, sorted, each with its reason on one line.

    Raises:
        RaterError:   There is no such rater.
        ResultsError: An exclusion has no reason, or nobody would be left.
    """
    known = set(
        session.scalars(
            select(Rater.code).where(Rater.study_id == study.id, Rater.is_audit.is_(False))
        )
    )
    checked = {}
    for code, reason in sorted((code.strip().upper(), told) for code, told in excluded.items()):
        if code not in known:
            raise RaterError(
                f"Study {study.code} has no rater {code!r} to exclude. Its raters are "
                f"{', '.join(sorted(known)) or 'none'}."
            )
        words = " ".join(reason.split())
        if not 0 < len(words) <= MOST_REASON_CHARACTERS:
            raise ResultsError(
                f"The reason for excluding {code} has {len(words)} characters; give 1 to "
                f"{MOST_REASON_CHARACTERS}: it is told wherever the results are."
            )
        checked[code] = words
    if checked and len(checked) == len(known):
        raise ResultsError(
            f"All {len(known)} raters of study {study.code} would be excluded. Keep at least one."
        )
    return checked


def exclusions_of(pairs: Sequence[str]) -> dict[str, str]:
    """Return rater -> reason of pairs such as "R03=answered too fast".

    Raises:
        ResultsError: A pair is none, or names a rater again.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        code, equals, reason = pair.partition("=")
        code, reason = code.strip().upper(), reason.strip()
        if not (equals and code and reason):
            raise ResultsError(
                f"An exclusion is {pair!r}; give a rater and why, such as R03=\"answered too "
                'fast".'
            )
        if code in found:
            raise ResultsError(f"{code} is excluded twice; give one reason.")
        found[code] = reason
    return found


def _default_plan(protocol: Protocol, named: tuple[ArmView, ...]) -> AnalysisPlan:
    questions = protocol.questions
    wanted = "preference" if protocol.display == "side_by_side" else "scale"
    fitting = [question.code for question in questions if question.kind == wanted]
    primary = (
        REALISM
        if REALISM in fitting
        else (fitting or [question.code for question in questions])[0]
    )
    reference = next(
        (arm.code for arm in named if arm.is_real and protocol.display == "single"),
        named[0].code if named else "",
    )
    return AnalysisPlan(
        primary_question=primary, reference_arm=reference, holm_family=(primary,)
    )


def _scale(question: QuestionText, arm_count: int) -> Scale:
    if question.kind == "preference":
        labels = tuple(f"image {slot}" for slot in range(1, arm_count + 1))
        return Scale(question.code, question.text, "preference", 1, len(labels), labels)
    return Scale(
        question.code, question.text, "scale", 1, len(question.labels), question.labels
    )
