"""Everything the results of a study are asked for, for the Results tab and the command line.

One path for all: the tables are exported into a private folder, and the statistics read them there.
pandas, scipy, statsmodels and matplotlib are loaded when results are asked for, not before.
"""

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from data.version import VERSION
from rating.errors import ResultsError, UnblindingError
from rating.results.computed import Computed as Computed
from rating.results.computed import FigureFiles as FigureFiles
from rating.results.computed import read_tables, study_state
from rating.results.planned import checked_exclusions, settings_of
from rating.storage.database import Database
from rating.study.lookup import find_study
from rating.study.studies import Studies
from rating.study.summaries import StudySummary
from rating.study.unblinding import arms_of_stimuli, require_unblinded
from rating.study.watching import Progress

if TYPE_CHECKING:  # the libraries behind them are loaded when results are asked for
    from rating.results.capsule import CapsuleFacts
    from rating.results.statistics.analysis import Analysis
    from rating.results.statistics.finding import Settings

Theme = Literal["light", "dark"]
Variant = Literal["full", "public"]
OnStage = Callable[[str], None]

VARIANTS: Final[tuple[Variant, ...]] = ("full", "public")
THEMES: Final[tuple[Theme, ...]] = ("light", "dark")
_MOST_KEPT: Final = 16  # four a study
_Found = TypeVar("_Found")


class Results:
    """Results of the studies of a database.

    Nothing is computed twice at once: who comes second waits and gets what the first one got. What
    was computed of a locked study is kept; of a pilot until the next answer.
    """

    def __init__(self, database: Database, *, software_version: str = VERSION) -> None:
        """Use the studies of `database`; the version is told in capsules."""
        self._database = database
        self._software_version = software_version
        self._turn = threading.RLock()
        self._kept: OrderedDict[tuple[object, ...], object] = OrderedDict()

    def overview(self) -> tuple[StudySummary, ...]:
        """Return the studies that were opened, as lists show them."""
        found = Studies(self._database).overview()
        return tuple(each for each in found if each.status != "draft")

    def progress(self, code: str) -> Progress:
        """Return how far everyone is: no arm and no value."""
        return Studies(self._database).progress(code)

    def summary(self, code: str) -> StudySummary:
        """Return a study as lists show it."""
        return Studies(self._database).summary(code)

    def root_hash(self, code: str) -> str:
        """Return the root hash of a locked study, "" of others."""
        return Studies(self._database).root_hash(code) or ""

    def exclusions(self, code: str, excluded: Mapping[str, str]) -> dict[str, str]:
        """Return exclusions by exact codes; see `planned.checked_exclusions`."""
        with self._database.read() as session:
            return checked_exclusions(session, find_study(session, code), excluded)

    def exclusion_rule(self, code: str) -> str:
        """Return in the plan's words who was to be left out; "" where there is no plan."""
        plan = Studies(self._database).protocol(code).plan
        return plan.exclusions if plan is not None else ""

    def why_blinded(self, code: str) -> str:
        """Return why there are no results yet, in words; "" where there are."""
        with self._database.read() as session:
            try:
                require_unblinded(find_study(session, code))
            except UnblindingError as error:
                return str(error)
        return ""

    def file_name(self, code: str, what: str) -> str:
        """Return the name of a file of results, for example "study-abc-full.zip".

        That of a pilot begins with PILOT.
        """
        summary = self.summary(code)
        return f"{'PILOT-' if summary.kind == 'pilot' else ''}study-{summary.code}-{what}"

    def settings(self, code: str, excluded: Mapping[str, str] | None = None) -> "Settings":
        """Return what a study is analysed with; see `planned.settings_of`."""
        with self._database.read() as session:
            return settings_of(session, find_study(session, code), excluded)

    def computed(
        self,
        code: str,
        excluded: Mapping[str, str] | None = None,
        on_stage: OnStage = lambda words: None,
    ) -> Computed:
        """Return the results of a study.

        Args:
            code:     Of a locked study or an open pilot.
            excluded: Code of each rater left out -> why.
            on_stage: Told in words what is done now.

        Raises:
            StudyNotFoundError: There is none of this code.
            UnblindingError: It is a main study that is not locked, or a draft.
            RaterError, ResultsError: An exclusion is none.
        """
        return self._once(
            ("computed",), code, excluded, lambda clean: self._compute(code, clean, on_stage)
        )

    def is_computed(self, code: str, excluded: Mapping[str, str] | None = None) -> bool:
        """Return whether `computed` would answer at once, and both kinds of figures would."""
        with self._database.read() as session:
            state, _ = study_state(session, find_study(session, code), excluded)
        parts = (("computed",), *(("figures", theme) for theme in THEMES))
        return all((*part, *state) in self._kept for part in parts)

    def figures(
        self,
        code: str,
        excluded: Mapping[str, str] | None = None,
        theme: Theme = "light",
        on_stage: OnStage = lambda words: None,
    ) -> tuple[FigureFiles, ...]:
        """Return the figures of a study on a light or a dark ground; raises as `computed`."""
        if theme not in THEMES:
            raise ResultsError(f"The theme is {theme!r}; allowed are {' and '.join(THEMES)}.")
        return self._once(
            ("figures", theme), code, excluded,
            lambda clean: self._draw(code, clean, theme, on_stage),
        )  # fmt: skip

    def export(
        self, code: str, folder: Path, *, variant: Variant = "full", has_excel: bool = True
    ) -> tuple[Path, ...]:
        """Write the tables of a study into a folder and return the files; see `export_study`."""
        from rating.results.export import export_study

        return export_study(self._database, code, folder, variant=variant, has_excel=has_excel)

    def export_zip(
        self, code: str, target: Path, *, variant: Variant = "full", has_excel: bool = True
    ) -> Path:
        """Write the tables of a study into a ZIP and return it; see `export_zip`."""
        from rating.results.export import export_zip

        export_zip(self._database, code, target, variant=variant, has_excel=has_excel)
        return target

    def export_progress(self, code: str, folder: Path) -> Path:
        """Write `progress.csv`, which unblinds nothing, into a folder and return it."""
        from rating.results.export import export_progress

        export_progress(self._database, code, folder)
        return folder / "progress.csv"

    def capsule(
        self,
        code: str,
        target: Path,
        *,
        variant: Variant = "full",
        excluded: Mapping[str, str] | None = None,
        real_licence: str = "",
        shares_real_images: bool | None = None,
    ) -> "CapsuleFacts":
        """Write the capsule of a study and return what was written; see `write_capsule`."""
        with self._database.read() as session:
            study = find_study(session, code)
            require_unblinded(study)
            clean = checked_exclusions(session, study, excluded or {})
        with self._turn:
            return self._write_capsule(
                code, target, variant=variant, excluded=clean, real_licence=real_licence,
                shares_real_images=shares_real_images,
            )  # fmt: skip

    def _once(
        self,
        part: tuple[str, ...],
        code: str,
        excluded: Mapping[str, str] | None,
        make: Callable[[dict[str, str]], _Found],
    ) -> _Found:
        """Return a part of the results, made where it is not kept as the study now is."""
        with self._database.read() as session:
            state, clean = study_state(session, find_study(session, code), excluded)
        key = (*part, *state)
        if (kept := self._kept.get(key)) is not None:
            return kept  # type: ignore[return-value]
        with self._turn:
            if (kept := self._kept.get(key)) is not None:
                return kept  # type: ignore[return-value]
            made = make(clean)
            self._kept[key] = made
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return made

    def _write_capsule(self, code: str, target: Path, **choices: Any) -> "CapsuleFacts":
        from rating.results.capsule import write_capsule

        version = self._software_version
        return write_capsule(self._database, code, target, software_version=version, **choices)

    def _analysis(
        self, code: str, excluded: Mapping[str, str], on_stage: OnStage
    ) -> "Analysis":
        return self._once(
            ("analysis",), code, excluded, lambda clean: self._analyse(code, clean, on_stage)
        )

    def _analyse(self, code: str, excluded: Mapping[str, str], on_stage: OnStage) -> "Analysis":
        on_stage("Reading the answers")
        with self._tables(code) as folder:
            from rating.results.statistics.analysis import analyse

            ratings, assignments = read_tables(folder / "data")
            settings = self.settings(code, excluded)
            on_stage("Comparing the arms")
            return analyse(ratings, assignments, settings)

    def _compute(self, code: str, excluded: Mapping[str, str], on_stage: OnStage) -> Computed:
        from rating.results.report import (
            checklist_tables,
            methods_text,
            results_text,
            study_facts,
        )
        from rating.results.statistics.analysis import analysis_tables, analysis_text

        analysis = self._analysis(code, excluded, on_stage)
        on_stage("Writing the texts")
        facts = study_facts(self._database, code)
        return Computed(
            analysis.settings,
            analysis.data_used,
            analysis_tables(analysis),
            f"{analysis_text(analysis).rstrip()}\n",
            methods_text(facts, analysis),
            results_text(facts, analysis),
            checklist_tables(facts, analysis),
        )

    def _draw(
        self, code: str, excluded: Mapping[str, str], theme: Theme, on_stage: OnStage
    ) -> tuple[FigureFiles, ...]:
        analysis = self._analysis(code, excluded, on_stage)
        on_stage("Drawing the figures")
        with self._tables(code) as folder:
            from rating.results.capsule_contents import StimulusPngs
            from rating.results.figures.drawing import draw_figures

            with self._database.read() as session:
                shown = arms_of_stimuli(session, find_study(session, code))
            ratings, _ = read_tables(folder / "data")
            (folder / "figures").mkdir()
            drawn = draw_figures(
                analysis, ratings, folder / "figures",
                images=StimulusPngs(self._database, shown), theme=theme,
            )  # fmt: skip
            return tuple(
                FigureFiles(
                    each.name, each.title, each.alt_text,
                    each.png.read_bytes(), each.svg.read_bytes(),
                )
                for each in drawn
            )  # fmt: skip

    @contextmanager
    def _tables(self, code: str) -> Iterator[Path]:
        """Give a private folder with the exported tables, removed afterwards."""
        from rating.results.export import export_study

        with tempfile.TemporaryDirectory(prefix="msdm-results-") as name:
            folder = Path(name)
            export_study(self._database, code, folder / "data", variant="full", has_excel=False)
            yield folder
