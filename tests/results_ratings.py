"""Tables of ratings made up for tests: written as the export writes them, then read."""

import csv
import itertools
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from rating.results.statistics.finding import ArmName, Scale, Settings
from rating.results.statistics.tables import read_assignments, read_ratings

COLUMNS = (
    "study_code,study_kind,protocol_version,protocol_sha256,rater_code,specialty,years_experience,"
    "is_independent,enrolment_index,assignment_id,position,slot,item_id,item_kind,"
    "repeat_of_item_id,display,prompt_id,arm,is_real,model,weights_sha256,seed,selection_rule,"
    "candidate_count,stimulus_id,stimulus_sha256,question,value,cannot_judge,seen_before,tags,"
    "marks,shown_at,judged_at,submitted_at,saved_at,visible_ms,edits,viewport_width_px,"
    "viewport_height_px,device_pixel_ratio,app_version"
).split(",")
ASSIGNMENT_COLUMNS = (
    "study_code,rater_code,enrolment_index,assignment_id,protocol_version,position,item_id,"
    "item_kind,repeat_of_item_id,display,prompt_id,slot,arm,is_real,model,weights_sha256,seed,"
    "selection_rule,candidate_count,stimulus_id,stimulus_sha256,tags,marks,shown_at,judged_at,"
    "submitted_at,visible_ms"
).split(",")
MOMENT = "2025-03-01T10:00:00.000000Z"
DEFAULTS: dict[str, Any] = {
    "study_code": "S1", "study_kind": "main", "protocol_version": 1, "protocol_sha256": "ab" * 32,
    "specialty": "Endoscopy nursing", "years_experience": 7, "is_independent": 1,
    "enrolment_index": 0, "position": 0, "slot": 0, "item_kind": "main", "display": "single",
    "is_real": 0, "question": "realism", "cannot_judge": 0, "seen_before": 0, "shown_at": MOMENT,
    "judged_at": MOMENT, "submitted_at": MOMENT, "saved_at": MOMENT, "visible_ms": 4000, "edits": 0,
    "app_version": "1.0.0",
}  # fmt: skip
ORIGIN = Scale(
    "origin", "Is this image real or synthetic?", "scale", 1, 6,
    ("certainly real", "probably real", "rather real",
     "rather synthetic", "probably synthetic", "certainly synthetic"),
)  # fmt: skip
REALISM = Scale(
    "realism", "How realistic does it look?", "scale", 1, 5,
    ("not at all", "slightly", "moderately", "very", "completely"),
)  # fmt: skip
ALIGNMENT = Scale(
    "alignment", "How well does the image show what the text says?", "scale", 1, 5,
    ("not at all", "slightly", "moderately", "well", "completely"),
)  # fmt: skip
ARMS = (ArmName("a", "Arm A", False), ArmName("b", "Arm B", False), ArmName("real", "Real", True))


def settings_of(**changes: Any) -> Settings:
    """Returns settings of a study of the arms a, b and real that asks for realism alone."""
    chosen: dict[str, Any] = {
        "study_code": "S1", "title": "A study", "is_pilot": False, "has_plan": True,
        "display": "single", "scales": (REALISM,), "arms": ARMS, "primary_question": "realism",
        "reference_arm": "b", "contrast_arms": ("a",), "equivalence_margin": None,
        "holm_family": ("realism",), "cannot_judge": "exclude", "origin_question": "",
    }  # fmt: skip
    return Settings(**(chosen | changes))


def answer(rater: str, prompt: str, arm: str, value: int | None, **changes: Any) -> dict[str, Any]:
    """Returns an answer to `realism`; None is *cannot judge*. Stimuli and items get numbers."""
    said = {"value": value} if value is not None else {"cannot_judge": 1}
    return {
        "rater_code": rater, "prompt_id": prompt, "arm": arm, "is_real": int(arm == "real"),
        **said, **changes,
    }  # fmt: skip


def ratings_of(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Returns the table of answers; columns that a row does not name have defaults or NA."""
    with tempfile.TemporaryDirectory() as folder:
        return read_ratings(write_ratings(Path(folder) / "ratings_long.csv", rows))


def write_ratings(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Writes answers as an export has them.

    A rater sees the images of one arm and prompt once (`copy` tells replicates apart), so that
    questions about one image share its assignment.
    """
    stimuli: dict[Any, int] = {}
    assignments: dict[Any, int] = {}
    numbers = itertools.count(1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="NA", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            given = dict(row)
            image = (given["prompt_id"], given["arm"], given.pop("copy", 0))
            stimulus = stimuli.setdefault(image, len(stimuli) + 1)
            showing = (given["rater_code"], image, given.get("item_kind", "main"))
            if showing not in assignments:
                assignments[showing] = next(numbers)
            made = {
                "assignment_id": assignments[showing], "stimulus_id": stimulus, "item_id": stimulus,
                "model": given["arm"],
            }  # fmt: skip
            writer.writerow(DEFAULTS | made | given)
    return path


def assignments_of(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Returns the table of slots; columns that a row does not name have defaults or NA."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "assignments.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(
                file, ASSIGNMENT_COLUMNS, restval="NA", lineterminator="\n", extrasaction="ignore"
            )
            writer.writeheader()
            writer.writerows(DEFAULTS | dict(row) for row in rows)
        return read_assignments(path)
