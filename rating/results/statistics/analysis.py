"""The whole analysis of a study from its tables: every statistic, its tables and its text."""

import dataclasses
from collections.abc import Mapping

import pandas as pd

from .agreement import Agreement, agreement_findings, agreement_tables
from .comparison import contrasts
from .components import component_table, components
from .contrast import Contrast, contrast_table, marks_of
from .descriptive import Description, description_table, descriptives
from .detection import Detections, detection_tables, detections
from .finding import Settings, Table
from .preference import Preferences, preference_table, preferences
from .rank import RankTest, rank_table, rank_tests
from .tables import data_used


@dataclasses.dataclass(frozen=True, slots=True)
class Analysis:
    """What a study has found.

    Args:
        settings:    What it was analysed with.
        data_used:   Which answers, with counts, in sentences.
        contrasts:   Of every scale question, the primary one first; () side by side.
        descriptives: Of every scale question and arm.
        ranks:       Tests of ranks, of these raters only.
        detection:   Of the real-or-synthetic question; None where it is not asked.
        agreement:   Of raters with each other and with themselves.
        preference:  None unless pictures stood side by side.
        components:  Variance components by question.
    """

    settings: Settings
    data_used: str
    contrasts: tuple[Contrast, ...]
    descriptives: tuple[Description, ...]
    ranks: tuple[RankTest, ...]
    detection: Detections | None
    agreement: Agreement
    preference: Preferences | None
    components: Mapping[str, Mapping[str, float]]


def analyse(ratings: pd.DataFrame, assignments: pd.DataFrame, settings: Settings) -> Analysis:
    """Return the analysis; the same tables and settings give the same to the last digit.

    Args:
        ratings:     See `tables.read_ratings`.
        assignments: See `tables.read_assignments`.
        settings:    Of the analysis.
    """
    has_preference = any(scale.kind == "preference" for scale in settings.scales)
    return Analysis(
        settings=settings,
        data_used=data_used(ratings, settings),
        contrasts=contrasts(ratings, settings),
        descriptives=descriptives(ratings, settings),
        ranks=rank_tests(ratings, settings),
        detection=detections(ratings, settings) if settings.origin_question else None,
        agreement=agreement_findings(ratings, settings),
        preference=preferences(ratings, assignments, settings) if has_preference else None,
        components=components(ratings, settings),
    )


def analysis_tables(analysis: Analysis) -> tuple[Table, ...]:
    """Return every table, first the one named "main": of contrasts, side by side of preferences.

    Args:
        analysis: See `analyse`.
    """
    settings = analysis.settings
    if analysis.preference is None:
        tables = [contrast_table(analysis.contrasts, settings)]
    else:
        # No picture has a score of its own there.
        table = preference_table(analysis.preference, settings)
        marks = marks_of(settings)
        tables = [dataclasses.replace(table, name="main", notes=(*table.notes, *marks))]
    if analysis.descriptives:
        tables.append(description_table(analysis.descriptives, settings))
    if analysis.ranks:
        tables.append(rank_table(analysis.ranks, settings))
    if analysis.detection is not None:
        tables.extend(detection_tables(analysis.detection, settings))
    tables.extend(agreement_tables(analysis.agreement, settings))
    if analysis.components:
        tables.append(component_table(analysis.components, settings))
    return tuple(tables)


def analysis_text(analysis: Analysis) -> str:
    """Return the analysis as plain text: what it is of, the data used, and all tables."""
    settings = analysis.settings
    head = [f"{settings.title} ({settings.study_code})", analysis.data_used, *marks_of(settings)]
    return "\n\n\n".join(
        ["\n\n".join(head), *(table.to_text() for table in analysis_tables(analysis))]
    )
