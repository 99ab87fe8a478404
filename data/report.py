"""The report of a validation: every problem of a dataset folder, as a table or as JSON."""

import dataclasses
import json
import pathlib
from collections import Counter
from typing import Literal, get_args

from data.folders import Layout

Severity = Literal["error", "warning"]

ProblemCode = Literal[
    "layout",
    "unreadable-table",
    "encoding",
    "separator",
    "columns",
    "row",
    "empty-caption",
    "empty-name",
    "long-caption",
    "garbled-caption",
    "repeated-row",
    "conflicting-id",
    "missing-image",
    "no-caption",
    "unreadable-image",
    "huge-image",
    "wrong-extension",
    "small-image",
    "unknown-split",
    "unknown-image",
    "no-split",
    "malformed-concept",
    "malformed-box",
    "group-across-splits",
    "identical-across-splits",
    "similar-across-splits",
]

PROBLEM_CODES: tuple[ProblemCode, ...] = get_args(ProblemCode)


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a dataset.

    Args:
        severity: "error" where the data cannot be used or would mislead, else "warning".
        code:     Kind of the problem, one of `PROBLEM_CODES`.
        path:     The file, relative to the dataset's folder.
        line:     Line of a table, counted from 1; None where no line is to blame.
        message:  What was found and what to do.
    """

    severity: Severity
    code: ProblemCode
    path: str
    line: int | None
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class ValidationReport:
    """Everything wrong with a dataset folder, errors first.

    Args:
        folder:   The folder.
        layout:   Its layout, None where it follows none.
        images:   Number of images named by the tables.
        captions: Number of captions that are not empty.
        problems: Errors first, then by code, file and line.
    """

    folder: pathlib.Path
    layout: Layout | None
    images: int
    captions: int
    problems: tuple[Problem, ...]

    @property
    def is_valid(self) -> bool:
        """Whether there is no error; warnings are allowed."""
        return not self.errors

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems of severity error."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems of severity warning."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    def table(self, rows_per_code: int = 20) -> str:
        """Return the report as text for a terminal.

        Args:
            rows_per_code: How many problems of one kind are shown; the rest is counted.
        """
        counts = Counter((problem.severity, problem.code) for problem in self.problems)
        shown: Counter[tuple[Severity, ProblemCode]] = Counter()
        rows: list[tuple[str, str, str, str]] = []
        for problem in self.problems:
            key = (problem.severity, problem.code)
            shown[key] += 1
            if shown[key] <= rows_per_code:
                line = "" if problem.line is None else f":{problem.line}"
                rows.append((*key, f"{problem.path}{line}", problem.message))
            elif shown[key] == rows_per_code + 1:
                rows.append((*key, "...", f"and {counts[key] - rows_per_code} more"))
        widths = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
        lines = ["  ".join((*map(str.ljust, row[:3], widths), row[3])) for row in rows]
        return "\n".join((*lines, *([""] if lines else []), self.summary()))

    def summary(self) -> str:
        """Return one line with the counts."""
        layout = self.layout or "no known layout"
        return (
            f"{self.folder}: {layout}, {self.images} images, {self.captions} captions, "
            f"errors: {len(self.errors)}, warnings: {len(self.warnings)}"
        )

    def to_json(self) -> str:
        """Return the report as a JSON object with every problem."""
        report = {
            "folder": str(self.folder),
            "layout": self.layout,
            "images": self.images,
            "captions": self.captions,
            "is_valid": self.is_valid,
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "problems": [dataclasses.asdict(problem) for problem in self.problems],
        }
        return json.dumps(report, indent=2)
