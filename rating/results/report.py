"""The report: methods and results in plain English, and reporting checklists, in Markdown.

Everything is taken from the protocol, from what happened and from the analysis; what is missing is
said. It is a draft for authors: they know what no database does.
"""

from typing import TYPE_CHECKING

from rating.results.checklists import checklist_tables as checklist_tables
from rating.results.fact_queries import study_facts as study_facts
from rating.results.facts import StudyFacts as StudyFacts
from rating.results.methods_conduct import blinding, deviations, ethics, raters, record
from rating.results.methods_design import design, images, order, questions
from rating.results.methods_statistics import analysis_paragraph
from rating.results.results_text import result_sentences
from rating.results.wording import paragraph

if TYPE_CHECKING:  # the libraries behind it are loaded when results are asked for
    from rating.results.statistics.analysis import Analysis

REHEARSAL = (
    "> **Rehearsal.** Simulated raters took part in this study. Nothing they answered was judged "
    "by a person, and nothing below may be reported as a finding."
)
PILOT = (
    "> **Pilot.** Its figures serve to plan a study and are no result of one."
)
OPEN = "> **Not locked.** The study was open when this was generated; what it says can change."


def methods_text(facts: StudyFacts, analysis: "Analysis") -> str:
    """Return the methods section of a report, in Markdown, one paragraph a subject.

    Args:
        facts:    What was planned and what happened, see `study_facts`.
        analysis: Of the same study.
    """
    parts = [
        "## Methods",
        *notices(facts),
        design(facts),
        images(facts),
        questions(facts),
        order(facts),
        raters(facts),
        blinding(facts),
        analysis_paragraph(facts, analysis),
        deviations(facts, analysis.settings.excluded_raters),
        ethics(facts),
        record(facts),
    ]
    return "\n\n".join(parts) + "\n"


def results_text(facts: StudyFacts, analysis: "Analysis") -> str:
    """Return the results section of a report, in Markdown; the primary question comes first.

    A difference that is not significant is never called none.

    Args:
        facts:    What was planned and what happened, see `study_facts`.
        analysis: Of the same study.
    """
    told = [
        paragraph(heading, *sentences) for heading, sentences in result_sentences(analysis)
    ]
    return "\n\n".join(["## Results", *notices(facts), *told]) + "\n"


def notices(facts: StudyFacts) -> list[str]:
    """Return what stands above every text of such a study: rehearsal, pilot, not locked."""
    found = []
    if facts.is_rehearsed:
        found.append(REHEARSAL)
    elif facts.kind == "pilot":
        found.append(PILOT)
    if facts.status != "locked":
        found.append(OPEN)
    return found
