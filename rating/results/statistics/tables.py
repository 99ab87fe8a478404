"""Reading the exported tables, and choosing the answers that a statistic is about."""

import csv
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd

from .finding import Settings
from .formatting import counted

MISSING: Final = "NA"

# Kind of each column: "?" marks those that can miss. What the public variant leaves out or puts in
# other words (experience in bands, moments in seconds since the rater's first showing) is read by
# the header that is there.
_TEXT: Final = "str"
_KINDS: Final[dict[str, str]] = {
    "study_code": _TEXT, "study_kind": _TEXT, "protocol_version": "int64",
    "protocol_sha256": _TEXT, "rater_code": _TEXT, "specialty": _TEXT,
    "years_experience": "Int64?", "is_independent": "boolean?", "enrolment_index": "Int64?",
    "assignment_id": "int64", "position": "int64", "slot": "Int64?", "item_id": "int64",
    "item_kind": _TEXT, "repeat_of_item_id": "Int64?", "display": _TEXT, "prompt_id": _TEXT,
    "arm": "str?", "is_real": "boolean?", "model": "str?", "weights_sha256": "str?",
    "seed": "UInt64?", "selection_rule": "str?", "candidate_count": "Int64?",
    "stimulus_id": "Int64?", "stimulus_sha256": "str?", "question": _TEXT, "value": "Int64?",
    "cannot_judge": "boolean", "seen_before": "boolean?", "tags": "str?", "marks": "str?",
    "shown_at": "time?", "judged_at": "time?", "submitted_at": "time?", "saved_at": "time?",
    "shown_s": "Float64?", "judged_s": "Float64?", "submitted_s": "Float64?",
    "saved_s": "Float64?", "visible_ms": "Int64?", "edits": "Int64?",
    "viewport_width_px": "Int64?", "viewport_height_px": "Int64?",
    "device_pixel_ratio": "Float64?", "app_version": "str?",
}  # fmt: skip
_NEEDED_RATINGS: Final = (
    "rater_code", "assignment_id", "item_kind", "prompt_id", "arm", "is_real", "stimulus_id",
    "question", "value", "cannot_judge",
)  # fmt: skip
_NEEDED_ASSIGNMENTS: Final = (
    "rater_code", "assignment_id", "item_kind", "prompt_id", "slot", "arm", "is_real", "stimulus_id"
)  # fmt: skip


class TableError(ValueError):
    """A table cannot be read as one of an export; the message names the file and the column."""


def read_ratings(path: Path) -> pd.DataFrame:
    """Return `ratings_long.csv`, full or public, one row an answer, with exact types.

    Args:
        path: Of the file.

    Returns:
        Codes, identifiers and hashes of text as `str`, counts and values as `Int64`, seeds as
        `UInt64`, yes and no as `boolean`, moments as UTC, relative moments in seconds as `Float64`;
        what is missing (NA in the file) is missing there.

    Raises:
        TableError: It is no such table.
    """
    return _read(path, _NEEDED_RATINGS)


def read_assignments(path: Path) -> pd.DataFrame:
    """Return `assignments.csv`, full or public, one row a slot, with the types of `read_ratings`.

    Raises:
        TableError: It is no such table.
    """
    return _read(path, _NEEDED_ASSIGNMENTS)


def _read(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    header = _header(path)
    absent = [name for name in needed if name not in header]
    if not {"submitted_at", "submitted_s"} & set(header):
        absent.append("submitted_at (or submitted_s)")
    if absent:
        raise TableError(
            f"{path.name} has no column {', '.join(absent)}; its columns are "
            f"{', '.join(header) or 'none'}. Give a table as the export wrote it."
        )
    kinds = {name: _KINDS.get(name, "str?") for name in header}
    if "shown_s" in header and "years_experience" in header:
        kinds["years_experience"] = "str?"  # bands such as "5-9"
    types: Any = {
        name: _TEXT if kind == "time?" else kind.rstrip("?") for name, kind in kinds.items()
    }
    missing = {name: [MISSING] for name, kind in kinds.items() if kind.endswith("?")}
    try:
        table = pd.read_csv(
            path, dtype=types, keep_default_na=False, na_values=missing, encoding="utf-8"
        )  # fmt: skip
        for name, kind in kinds.items():
            if kind == "str?":  # a text that is NA itself was written so
                table[name] = table[name].replace(rf"\{MISSING}", MISSING)
            if kind == "time?":
                table[name] = pd.to_datetime(table[name], format="ISO8601", utc=True)
    except (ValueError, TypeError) as error:
        raise TableError(
            f"{path.name} cannot be read: {error}. Give a table as the export wrote it."
        ) from error
    return table


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return next(csv.reader(lines), [])
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path.name} is no text in UTF-8: {error}. Give a table as the export wrote it."
        ) from error


def main_answers(
    ratings: pd.DataFrame,
    settings: Settings,
    question: str,
    *,
    cannot_judge: Literal["exclude", "worst"] | None = None,
) -> pd.DataFrame:
    """Return the answers that every statistic of a question uses, one row an answer.

    They are those of main showings (no repeats, practice or checks) that were submitted, as last
    saved, without excluded raters. A *cannot judge* is left out, or counts as the worst value where
    the plan says so: the lowest of the scale, of the real-or-synthetic question the highest. Of a
    preference it is always left out: it says that none was preferred.

    Args:
        ratings:      See `read_ratings`.
        settings:     Of the analysis.
        question:     Code of the question.
        cannot_judge: In place of what the settings say.

    Returns:
        The columns of `ratings`, `value` as float without missing values, sorted by rater, prompt,
        arm, stimulus and assignment, so that the order of rows never matters.
    """
    answers = asked(ratings, settings, question)
    scale = settings.scale(question)
    rule = cannot_judge or settings.cannot_judge
    if rule == "worst" and scale.kind == "scale":
        is_origin = question == settings.origin_question
        worst = float(scale.maximum if is_origin else scale.minimum)
        answers["value"] = answers["value"].where(~answers["cannot_judge"], worst)
    return answers[answers["value"].notna()].reset_index(drop=True)


def asked(ratings: pd.DataFrame, settings: Settings, question: str) -> pd.DataFrame:
    """Return submitted main answers to a question, *cannot judge* as a missing `value`.

    Args:
        ratings:  See `read_ratings`.
        settings: Its excluded raters are left out.
        question: Code of the question.
    """
    kept = is_submitted(ratings) & (ratings["item_kind"] == "main")
    kept &= ratings["question"] == question
    kept &= ~ratings["rater_code"].isin(list(settings.excluded_raters))
    answers = ratings[kept].copy()
    answers["cannot_judge"] = answers["cannot_judge"].astype(bool)
    answers["value"] = answers["value"].astype("Float64").to_numpy(float, na_value=float("nan"))
    order = ["rater_code", "prompt_id", "arm", "stimulus_id", "assignment_id"]
    return answers.sort_values(order, kind="stable").reset_index(drop=True)


def is_submitted(table: pd.DataFrame) -> "pd.Series[bool]":
    """Return which rows are of showings that were submitted to the last step."""
    moment = "submitted_at" if "submitted_at" in table.columns else "submitted_s"
    return table[moment].notna()


def data_used(ratings: pd.DataFrame, settings: Settings, question: str | None = None) -> str:
    """Return what the statistics rest on, in sentences with counts.

    Args:
        ratings:  See `read_ratings`.
        settings: Of the analysis.
        question: Code of the question counted; None: each of them.
    """
    codes = [scale.code for scale in settings.scales] if question is None else [question]
    told = "; ".join(_answers_used(ratings, settings, code) for code in codes)
    return (
        "Data used: main showings that were submitted, each answer as last saved; repeats serve "
        "agreement of a rater with themselves alone, practice and attention checks nothing. "
        f"{told}. {_exclusions(ratings, settings)}"
    )


def _answers_used(ratings: pd.DataFrame, settings: Settings, code: str) -> str:
    answers = asked(ratings, settings, code)
    unable = int(answers["cannot_judge"].sum())
    is_preference = settings.scale(code).kind == "preference"
    treated = "counted as the worst value" if settings.cannot_judge == "worst" else "left out"
    told = (
        f"{code}: {counted(len(answers), 'answer')} of "
        f"{counted(answers['rater_code'].nunique(), 'rater')} to "
        f"{counted(answers['prompt_id'].nunique(), 'prompt')}"
    )
    if not unable:
        return told
    if is_preference:
        return f"{told}, {unable} of them no preference"
    return f"{told}, {unable} of them 'cannot judge' ({treated})"


def _exclusions(ratings: pd.DataFrame, settings: Settings) -> str:
    if not settings.excluded_raters:
        return "No rater is excluded."
    told = []
    for code, reason in sorted(settings.excluded_raters.items()):
        count = int((ratings["rater_code"] == code).sum())
        told.append(f"{code} ({counted(count, 'answer')}; {reason.rstrip('.')})")
    return f"Excluded from all statistics: {', '.join(told)}."
