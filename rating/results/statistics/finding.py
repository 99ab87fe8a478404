"""What a statistic says, what it is asked with, and the tables that show it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Self


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One figure with its interval, or the sentence that says why there is none.

    Args:
        value:  Estimate; None where the data are too few for one, and `note` says so.
        low:    Lower end of the interval, None where there is none.
        high:   Upper end.
        n:      What it rests on, for example "6 raters, 30 prompts, 540 answers".
        method: Name of the method of the figure and of its interval.
        note:   What it does not say, or why it is missing; may be empty.
        level:  Coverage of the interval.
    """

    value: float | None
    low: float | None
    high: float | None
    n: str
    method: str
    note: str = ""
    level: float = 0.95

    @classmethod
    def missing(cls, note: str, *, n: str = "", method: str = "") -> Self:
        """Return a finding without a figure, and why."""
        return cls(None, None, None, n, method, note)


@dataclasses.dataclass(frozen=True, slots=True)
class Scale:
    """A question: `labels` one a point from `minimum` up; of a preference the points are slots."""

    code: str
    text: str
    kind: Literal["scale", "preference"]
    minimum: int
    maximum: int
    labels: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ArmName:
    """An arm as tables name it."""

    code: str
    label: str
    is_real: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the analysis plan fixed, and what was decided since, in terms of the tables' codes.

    Args:
        study_code:         As in the tables.
        title:              Of the study.
        is_pilot:           Marked as such everywhere.
        has_plan:           Whether an analysis plan was fixed at opening; without one the other
                            settings are defaults, and everything is exploratory.
        display:            "single" or "side_by_side".
        scales:             The questions in the order asked.
        arms:               All arms, the real one last.
        primary_question:   Code of the question that decides.
        reference_arm:      Code of the arm others are compared with.
        contrast_arms:      Codes of those arms.
        equivalence_margin: In points of the primary question; None: equivalence is no aim.
        holm_family:        Codes of questions whose contrasts share one Holm correction.
        cannot_judge:       "exclude": no value; "worst": the lowest value of the scale (of
                            "origin" the highest).
        excluded_raters:    Code of each rater left out of the analysis -> why.
        origin_question:    Code of the real-or-synthetic scale, higher = more certainly synthetic;
                            "" where it is not asked.
        alpha:              Two-sided.
        seed:               Of what is drawn at random, such as bootstrap samples.
    """

    study_code: str
    title: str
    is_pilot: bool
    has_plan: bool
    display: Literal["single", "side_by_side"]
    scales: tuple[Scale, ...]
    arms: tuple[ArmName, ...]
    primary_question: str
    reference_arm: str
    contrast_arms: tuple[str, ...]
    equivalence_margin: float | None
    holm_family: tuple[str, ...]
    cannot_judge: Literal["exclude", "worst"]
    excluded_raters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    origin_question: str = ""
    alpha: float = 0.05
    seed: int = 0

    def scale(self, code: str) -> Scale:
        """Return the question of a code; KeyError where none has it."""
        for scale in self.scales:
            if scale.code == code:
                return scale
        raise KeyError(code)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values; `from_dict` reads them back."""
        return dataclasses.asdict(self) | {"excluded_raters": dict(self.excluded_raters)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the settings that `to_dict` gave."""
        scales = (
            Scale(**{**scale, "labels": tuple(scale["labels"])}) for scale in values["scales"]
        )
        arms = (ArmName(**arm) for arm in values["arms"])
        lists = {name: tuple(values[name]) for name in ("contrast_arms", "holm_family")}
        return cls(**{**values, **lists, "scales": tuple(scales), "arms": tuple(arms)})


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A table of results, ready to be read: every cell is text.

    Args:
        name:    Of its file, for example "contrasts".
        title:   Above it, one line.
        columns: Headings.
        rows:    Cells; as many in each row as there are columns.
        notes:   Below it: data used, methods, what it does not say. A sentence each.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Return the table in columns of plain text, without trailing spaces."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[index]) for line in lines) for index in range(len(self.columns))]
        told = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, "", *told, *([""] if self.notes else []), *self.notes])

    def to_markdown(self) -> str:
        """Return the table in Markdown; bars inside cells are escaped."""

        def line(cells: tuple[str, ...]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

        head = [f"**{self.title}**", "", line(self.columns), "|" + " --- |" * len(self.columns)]
        return "\n".join(
            [*head, *(line(row) for row in self.rows), *(f"\n{note}" for note in self.notes)]
        )
