"""Every column of every exported table: what it holds, in what unit, what can miss and why.

The rows, the headers, the data dictionary and what the public variant leaves out all come from
here.
"""

import dataclasses
from collections.abc import Sequence
from typing import Final

from rating.results.column import Column, TableColumns, Type, Variant

RATINGS: Final = "ratings_long.csv"
ASSIGNMENTS: Final = "assignments.csv"
WIDE: Final = "ratings_wide.csv"
HISTORY: Final = "answer_history.csv"
PROMPTS: Final = "prompts.csv"
QUESTIONS: Final = "questions.csv"
REMARKS: Final = "remarks.csv"
RATERS: Final = "raters.csv"
ARMS: Final = "arms.csv"
STIMULI: Final = "stimuli.csv"
DICTIONARY: Final = "dictionary.csv"
PROGRESS: Final = "progress.csv"

_NOT_MAIN: Final = "the picture belongs to no arm (practice, attention checks)"
_NO_PICTURE: Final = (
    "the answer is about no single picture (several side by side; none was preferred)"
)
_NOT_SHOWN: Final = "not shown yet"
_NOT_TOLD: Final = "not told by the browser"
_NOT_KNOWN: Final = "not known, as of real images"
_UNANSWERED: Final = "not answered yet"
_NOT_OFFERED: Final = "the protocol offers no tags"

_COLUMNS: Final = (
    Column("study_code", "text", "Code of the study, random and telling nothing."),
    Column("study_kind", "text", "main or pilot. Ratings of a pilot confirm nothing."),
    Column("protocol_version", "integer", "Version of the protocol in force when the rater's items "
           "were drawn, from 1."),
    Column("protocol_sha256", "text", "SHA-256 of that version: of its canonical JSON in UTF-8."),
    Column("rater_code", "text", "Whom the row is about; no name goes with it."),
    Column("specialty", "text", "Specialty as the rater says.",
           missing="not enrolled yet, or erased"),
    Column("years_experience", "integer", "Years of experience as the rater says.", "years",
           "not enrolled yet, or erased", "in bands"),
    Column("is_independent", "boolean", "Whether the rater is independent of the authors, as the "
           "rater says.", missing="the rater has not consented yet"),
    Column("enrolment_index", "integer", "Place in the order of enrolment, from 0; with the "
           "study's seed it decides the order of items.", missing="not enrolled yet"),
    Column("assignment_id", "integer", "Key of the showing: this rater, this item."),
    Column("position", "integer", "Place in the rater's order, practice included, from 0."),
    Column("slot", "integer", "Place of the picture on the screen, from the left, from 0. Of a "
           "preference: of the picture preferred."),
    Column("item_id", "integer", "Key of the screen; a repeat has its own."),
    Column("item_kind", "text", "main, practice, repeat (a hidden second showing, for agreement "
           "of a rater with themselves alone) or check (attention check)."),
    Column("repeat_of_item_id", "integer", "Of a repeat: the item that is shown again.",
           missing="no repeat"),
    Column("display", "text", "single (one picture) or side_by_side (one of each arm)."),
    Column("prompt_id", "text", "Code of the prompt; its text is in prompts.csv."),
    Column("arm", "text", "Code of the arm: a model, or the real images.", missing=_NOT_MAIN),
    Column("is_real", "boolean", "Whether the arm is that of the real images.", missing=_NOT_MAIN),
    Column("model", "text", "Id of the model that made the picture.", missing=_NOT_KNOWN),
    Column("weights_sha256", "text", "SHA-256 of the model's weights.", missing=_NOT_KNOWN),
    Column("seed", "large integer", "Seed that the picture was made from.", missing=_NOT_KNOWN),
    Column("selection_rule", "text", "How the picture was chosen: first_seed, random, all, "
           "all_of_comparison, hand_picked or unstated."),
    Column("candidate_count", "integer", "Out of how many pictures it was chosen, itself "
           "included.", "pictures"),
    Column("stimulus_id", "integer", "Key of the picture."),
    Column("stimulus_sha256", "text", "SHA-256 of the PNG as raters got it."),
    Column("question", "text", "Code of the question; its text and labels are in questions.csv."),
    Column("value", "integer", "The answer as last saved: the point of the scale; of a preference "
           "1 + slot of the picture preferred.", "points", "cannot judge, or no preference"),
    Column("cannot_judge", "boolean", "Whether the rater said cannot judge (of a preference: no "
           "preference)."),
    Column("seen_before", "boolean", "Whether the rater said to have seen the picture before."),
    Column("tags", "text", "Defect tags on the picture, joined by semicolons; empty: none was put. "
           "A backslash stands before a semicolon, comma or backslash of a tag itself.",
           missing=_NOT_OFFERED),
    Column("marks", "text", "Points on the picture as x,y or x,y,tag, shares of width and height "
           "from the upper left, joined by semicolons in the order set; empty: none was set. "
           "Backslashes as in tags."),
    Column("shown_at", "time", "When the item was first shown.", missing=_NOT_SHOWN,
           public="relative"),
    Column("judged_at", "time", "When the first step was committed and frozen.",
           missing="the first step is not answered yet", public="relative"),
    Column("submitted_at", "time", "When the last step was committed.",
           missing="the item is not answered to the end", public="relative"),
    Column("saved_at", "time", "When this answer was last saved.", public="relative"),
    Column("visible_ms", "integer", "How long the picture was in sight in all steps together, as "
           "the browser tells.", "ms"),
    Column("edits", "integer", "How often the answer was changed after it was first saved; "
           "answer_history.csv has each."),
    Column("viewport_width_px", "integer", "Width of the browser's window in CSS pixels.", "px",
           _NOT_TOLD, "left out"),
    Column("viewport_height_px", "integer", "Height of the browser's window in CSS pixels.", "px",
           _NOT_TOLD, "left out"),
    Column("device_pixel_ratio", "number", "Device pixels a CSS pixel.", "", _NOT_TOLD,
           "left out"),
    Column("app_version", "text", "Version of this software that took the answer.",
           missing=_UNANSWERED),
)  # fmt: skip
_BY_NAME: Final = {column.name: column for column in _COLUMNS}
_STUDY: Final = ("study_code", "study_kind")
_PICTURE: Final = (
    "arm", "is_real", "model", "weights_sha256", "seed", "selection_rule", "candidate_count",
    "stimulus_id", "stimulus_sha256",
)  # fmt: skip


def _pick(*names: str, **missing: str) -> tuple[Column, ...]:
    """Return columns by name; `missing` says when a cell is NA in this table, "" for never."""
    return tuple(
        dataclasses.replace(_BY_NAME[name], missing=missing[name])
        if name in missing else _BY_NAME[name]
        for name in names
    )  # fmt: skip


_RATINGS: Final = TableColumns(
    RATINGS,
    "One answer: a rater, a showing, a question.",
    _pick(
        *(column.name for column in _COLUMNS),
        **dict.fromkeys(("years_experience", "enrolment_index", "is_independent"), ""),
        **{name: f"{_NO_PICTURE}, or {_BY_NAME[name].missing}" for name in _PICTURE[:5]},
        **dict.fromkeys(("slot", *_PICTURE[5:], "marks"), _NO_PICTURE),
        tags=f"{_NOT_OFFERED}, or {_NO_PICTURE}",
        shown_at="", judged_at="",
    ),
)  # fmt: skip
_ASSIGNMENTS: Final = TableColumns(
    ASSIGNMENTS,
    "One picture of a showing, answered or not: everything that was drawn for the raters.",
    _pick(
        *_STUDY, "rater_code", "enrolment_index", "assignment_id", "protocol_version", "position",
        "item_id", "item_kind", "repeat_of_item_id", "display", "prompt_id", "slot", *_PICTURE,
        "tags", "marks", "shown_at", "judged_at", "submitted_at", "visible_ms",
        enrolment_index="", tags=f"{_NOT_OFFERED}, or {_UNANSWERED}", marks=_UNANSWERED,
        visible_ms=_NOT_SHOWN,
    ),
)  # fmt: skip
_HISTORY: Final = TableColumns(
    HISTORY,
    "One saving of an answer: the first one and each change. The last one of an answer is that of "
    "ratings_long.csv.",
    (
        *_pick(*_STUDY, "rater_code", "assignment_id", "item_kind", "question"),
        Column("revision", "integer", "1: as first saved; 2, 3, ...: each change."),
        *_pick("value", "cannot_judge", "saved_at"),
    ),
)
_PROMPTS: Final = TableColumns(
    PROMPTS,
    "One prompt. Texts are as they were given: a text may be the letters NA.",
    (
        *_pick(*_STUDY, "prompt_id"),
        Column("text", "text", "What pictures were made from, or what describes a real one."),
    ),
)
_QUESTIONS: Final = TableColumns(
    QUESTIONS,
    "One point of a question, questions in the order asked.",
    (
        *_pick(*_STUDY, "question"),
        Column("text", "text", "As the rater reads it."),
        Column("kind", "text", "scale or preference."),
        Column("step", "integer", "1: the picture alone; 2: after step 1 is frozen, with the "
               "prompt."),
        Column("point", "integer", "Value of this point; of a preference 1 + slot.", "points"),
        Column("label", "text", "Of this point."),
        Column("has_cannot_judge", "boolean", "Whether cannot judge may be answered."),
    ),
)  # fmt: skip
_REMARKS: Final = TableColumns(
    REMARKS,
    "One remark of a rater, in the rater's words: a text may be the letters NA.",
    (
        *_pick(*_STUDY, "rater_code", "assignment_id", assignment_id="a remark at the end, about "
               "the whole"),
        Column("remark", "text", "In the rater's words."),
    ),
    is_public=False,
)  # fmt: skip
_RATERS: Final = TableColumns(
    RATERS,
    "One rater who was invited, whether or not anything was answered.",
    (
        *_pick(*_STUDY, "rater_code"),
        Column("state", "text", "invited, consented, rating, completed, withdrawn or revoked."),
        Column("is_erased", "boolean", "Whether the rater's answers were erased at the rater's "
               "wish; nothing of them is in any table."),
        *_pick("specialty", "years_experience", "is_independent", "enrolment_index"),
        Column("items_assigned", "integer", "Items drawn for the rater, practice left out.",
               "items"),
        Column("items_submitted", "integer", "Of them, how many are answered to the end.",
               "items"),
        Column("consent_sha256", "text", "SHA-256 of the text that the rater consented to.",
               missing="the rater has not consented yet"),
        Column("consented_at", "time", "When the rater consented.",
               missing="the rater has not consented yet", public="left out"),
        Column("enrolled_at", "time", "When the rater's items were drawn.",
               missing="not enrolled yet", public="left out"),
        Column("completed_at", "time", "When the rater's last item was submitted.",
               missing="items are left", public="left out"),
        Column("withdrawn_at", "time", "When the rater withdrew.", missing="not withdrawn",
               public="left out"),
    ),
)  # fmt: skip
_ARMS: Final = TableColumns(
    ARMS,
    "One arm, the real one last.",
    (
        *_pick(*_STUDY, "arm", arm=""),
        Column("label", "text", "Its name in tables and figures."),
        *_pick("is_real", is_real=""),
        Column("image_count", "integer", "Pictures of the arm.", "pictures"),
        Column("prompt_count", "integer", "Prompts that they belong to.", "prompts"),
        Column("model", "text", "Ids of the models that made its pictures, joined by semicolons.",
               missing=_NOT_KNOWN),
        Column("weights_sha256", "text", "SHA-256 of the models' weights, joined by semicolons.",
               missing=_NOT_KNOWN),
    ),
)  # fmt: skip
_STIMULI: Final = TableColumns(
    STIMULI,
    "One picture of the study, shown or not.",
    (
        *_pick(*_STUDY, "stimulus_id"),
        Column("role", "text", "main, practice or check."),
        *_pick("prompt_id", "arm", "is_real", "model", "weights_sha256", "seed",
               "selection_rule", "candidate_count", "stimulus_sha256"),
        Column("pixel_sha256", "text", "SHA-256 of mode, size and raw pixels, the same for every "
               "lossless encoding."),
        Column("width_px", "integer", "Width as raters got it.", "px"),
        Column("height_px", "integer", "Height as raters got it.", "px"),
        Column("colour_mode", "text", "RGB or L (grey)."),
        Column("expected", "text", "JSON; of an attention check the accepted values of each "
               "question.", missing="no attention check"),
        Column("harmonisation", "text", "JSON; what was done to the picture before the study."),
        Column("provenance", "text", "JSON; everything known of its making.", public="left out"),
        Column("source_name", "text", "Name of the file or image that it was taken from.",
               public="left out"),
    ),
)  # fmt: skip
_DICTIONARY: Final = TableColumns(
    DICTIONARY,
    "One column of one table.",
    (
        *_pick(*_STUDY),
        Column("table", "text", "File that has the column."),
        Column("column", "text", "Its name in the header."),
        Column("type", "text", "text, integer, large integer (beyond what a floating-point number "
               "holds), number, boolean (0 or 1) or time (ISO 8601, UTC)."),
        Column("unit", "text", "Empty: none."),
        Column("meaning", "text", "What it holds."),
        Column("missing_code", "text", "What stands in a cell without a value. Empty: no cell is "
               "without one, and whatever stands there is meant."),
        Column("missing_why", "text", "When that is so."),
        Column("public", "text", "What the public variant of an export does with the column."),
    ),
)  # fmt: skip
PROGRESS_TABLE: Final = TableColumns(
    PROGRESS,
    "One rater and one day (UTC) on which items were submitted; one row for a rater with none.",
    (
        *_pick(*_STUDY),
        Column("study_state", "text", "draft, open, paused or locked."),
        *_pick("rater_code"),
        Column("state", "text", "invited, consented, rating, completed, withdrawn or revoked."),
        Column("day", "text", "Year, month and day in UTC.", missing="no item is submitted yet"),
        Column("items_submitted", "integer", "Items submitted on the day, practice left out.",
               "items"),
        Column("items_submitted_so_far", "integer", "Items submitted by the end of the day.",
               "items"),
        Column("items_assigned", "integer", "Items drawn for the rater, practice left out.",
               "items"),
    ),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A question as far as the columns of the wide table need it."""

    code: str
    kind: str


def wide_table(questions: Sequence[Asked]) -> TableColumns:
    """Return the wide table of a study: four columns for each of its questions."""
    asked = [column for question in questions for column in _wide_columns(question)]
    unanswered = dict.fromkeys(("marks", "seen_before"), _UNANSWERED)
    return TableColumns(
        WIDE,
        "One main picture that was drawn for a rater, answered or not; practice and attention "
        "checks are not in it.",
        (
            *_pick(
                *_STUDY, "rater_code", "specialty", "years_experience", "is_independent",
                "enrolment_index", "assignment_id", "position", "item_id", "display", "prompt_id",
                "slot", *_PICTURE, "seen_before", "tags", "marks", "shown_at", "submitted_at",
                "visible_ms",
                specialty="erased", years_experience="erased", is_independent="",
                enrolment_index="", is_real="", visible_ms=_NOT_SHOWN,
                tags=f"{_NOT_OFFERED}, or {_UNANSWERED}", **unanswered,
            ),
            *asked,
        ),
    )  # fmt: skip


def _wide_columns(asked: Asked) -> tuple[Column, ...]:
    code = asked.code
    if asked.kind == "preference":
        name, unable = "preferred", "no preference"
        meaning = f"{code}: 1 where this picture was preferred, 0 where another one was."
        kind: Type = "boolean"
    else:
        name, unable = "value", "cannot judge"
        meaning = f"{code}: the answer as last saved. Side by side it is about all pictures at once"
        meaning += " and stands in the row of each."
        kind = "integer"
    repeat = "Second showing; "
    none = "cannot judge, no second showing, or not answered yet"
    unit = "points" if kind == "integer" else ""
    return (
        Column(f"{name}_{code}", kind, meaning, unit, f"{unable}, or {_UNANSWERED}"),
        Column(f"cannot_judge_{code}", "boolean", f"{code}: whether the rater said {unable}.", "",
               _UNANSWERED),
        Column(f"repeat_{name}_{code}", kind, repeat + meaning, unit, none),
        Column(f"repeat_cannot_judge_{code}", "boolean",
               f"{repeat}{code}: whether the rater said {unable}.", "",
               "no second showing, or not answered yet"),
    )  # fmt: skip


FIXED_TABLES: Final = {
    table.file: table
    for table in (
        _RATINGS, _ASSIGNMENTS, _HISTORY, _PROMPTS, _QUESTIONS, _REMARKS, _RATERS, _ARMS, _STIMULI,
        _DICTIONARY,
    )
}  # fmt: skip


def tables_of(questions: Sequence[Asked], variant: Variant) -> dict[str, TableColumns]:
    """Return the tables of an export by file name, in the order of writing.

    Args:
        questions: Of the study, in the order asked.
        variant:   "full" or "public".
    """
    first, second, *others = FIXED_TABLES.values()
    tables = (first, second, wide_table(questions), *others)
    return {table.file: table for table in tables if variant == "full" or table.is_public}
