"""The results of a study: the main table first, then all else, and what can be taken away."""

from typing import Any

from rating.board.view import told_error
from rating.results.result_files import named_tables, told_exclusions
from rating.results.results import Computed, Results
from rating.results.statistics.finding import Table
from rating.results_board.panel import render
from rating.results_board.view import Region
from rating.results_board.worker import Job
from rating.results_routes import results_url

# What is under each heading, by the first word of a table's name; the others come last.
_GROUPS = (
    ("Scores", ("descri", "mean", "scores", "rank", "varia")),
    ("Real or synthetic", ("detect", "origin", "real", "roc")),
    ("Agreement", ("agree", "alpha", "icc", "kappa", "fleiss", "intra", "repeat", "pairs")),
    ("Preference", ("prefer", "bradley", "position")),
)


class ResultsScreen:
    """Draws results."""

    def __init__(self, results: Results) -> None:
        """Show what `results` computes."""
        self._results = results

    def draw(self, code: str, computed: Computed) -> dict[Region, str]:
        """Return the regions with results, but for the figures."""
        settings = computed.settings
        excluded = dict(settings.excluded_raters)
        tables = named_tables(computed)
        shown = {name: table for name, table in tables.items() if table in computed.tables}
        first = _first_shown(shown)
        shared: dict[str, Any] = {
            "code": code,
            "is_pilot": settings.is_pilot,
            "excluded": told_exclusions(settings) if excluded else "",
            "urls": {
                name: results_url(code, f"tables/{name}.csv", excluded=excluded) for name in tables
            },
        }
        main = {name: shown.pop(name) for name in first}
        groups = _grouped(shown)
        return {
            "main": render(
                "main.html", **shared, tables=main, data_used=computed.data_used,
                findings=computed.findings, has_plan=settings.has_plan,
                primary=settings.primary_question,
            ),
            "nav": render("nav.html", parts=_parts([heading for heading, _ in groups])),
            "details": render("details.html", **shared, groups=groups),
            "texts": render(
                "texts.html", **shared,
                methods=computed.methods,
                checklists={
                    name: table for name, table in tables.items() if table in computed.checklists
                },
                methods_url=results_url(code, "methods.md", excluded=excluded),
            ),
            "side": self._draw_side(code, computed, excluded),
        }  # fmt: skip

    def draw_figures(self, code: str, job: Job) -> str:
        """Return the figures, or why there are none; "" while they are being drawn."""
        if job.computed is None or not job.is_drawn:
            return ""
        excluded = dict(job.computed.settings.excluded_raters)
        figures = [
            {
                "title": each.title,
                "alt": each.alt_text,
                "light": _figure_url(code, each.name, "svg", excluded),
                "dark": _figure_url(code, each.name, "svg", excluded, "dark"),
                "png": _figure_url(code, each.name, "png", excluded),
            }
            for each in job.figures or ()
        ]
        error = told_error(job.figures_error).text if job.figures_error is not None else ""
        settings = job.computed.settings
        return render("figures.html", figures=figures, error=error, is_pilot=settings.is_pilot)

    def draw_live(self, job: Job) -> str:
        """Return what is being done now."""
        return render("live.html", words=job.words, is_failed=False)

    def draw_failed(self) -> str:
        """Return that nothing came of it, with a button to try again."""
        return render("live.html", words="", is_failed=True)

    def _draw_side(self, code: str, computed: Computed, excluded: dict[str, str]) -> str:
        raters = [
            {
                "code": each.code,
                "state": each.state,
                "done": each.done,
                "total": each.total,
                "is_low": each.total > 0 and each.done * 2 < each.total,
                "checks": f"{each.checks_passed} of {each.checks_done}" if each.checks_done else "",
                "reason": excluded.get(each.code, ""),
            }
            for each in self._results.progress(code).raters
        ]

        def url(name: str, **values: object) -> str:
            return results_url(code, name, **values)

        return render(
            "side.html", code=code, is_pilot=computed.settings.is_pilot, raters=raters,
            excluded=told_exclusions(computed.settings) if excluded else "",
            rule=self._results.exclusion_rule(code),
            root_hash=self._results.root_hash(code),
            exports=[
                {
                    "variant": variant,
                    "zip": url("export.zip", variant=variant),
                    "ratings": url("data/ratings_long.csv", variant=variant),
                    "capsule": url("capsule.zip", variant=variant, excluded=excluded),
                    "shared": url(
                        "capsule.zip", variant=variant, share_real_images="true",
                        excluded=excluded,
                    ),
                }
                for variant in ("full", "public")
            ],
            text_url=url("results.txt", excluded=excluded),
            markdown_url=url("results.md", excluded=excluded),
            methods_url=url("methods.md", excluded=excluded),
        )  # fmt: skip


def _figure_url(
    code: str, name: str, kind: str, excluded: dict[str, str], theme: str = "light"
) -> str:
    return results_url(code, f"figures/{name}.{kind}", theme=theme, excluded=excluded)


def _first_shown(tables: dict[str, Table]) -> tuple[str, ...]:
    """Return the main table; where it has no rows, the preferences that stand in its place too."""
    names = list(tables)
    is_empty = not tables[names[0]].rows
    return tuple(names[: 2 if is_empty and len(names) > 1 else 1])


def _parts(headings: list[str]) -> list[tuple[str, str]]:
    """Return id and name of the parts that the page has, in their order."""
    details = [(str(number), heading) for number, heading in enumerate(headings, start=1)]
    named = [("main", "Main result"), ("words", "In words"), ("figures", "Figures"), *details,
             ("methods", "Methods"), ("raters", "Raters"), ("downloads", "Downloads")]  # fmt: skip
    return [(f"x-part-{part}", name) for part, name in named]


def _grouped(tables: dict[str, Table]) -> list[tuple[str, dict[str, Table]]]:
    left = dict(tables)
    groups = []
    for heading, words in _GROUPS:
        found = {name: left.pop(name) for name in list(left) if name.startswith(words)}
        if found:
            groups.append((heading, found))
    return [*groups, ("More", left)] if left else groups
