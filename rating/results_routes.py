"""Downloads of results: each asks for the coordinator's role itself, and nothing is kept by caches.

What a coordinator may have is decided where it is written: before the lock of a main study only
the progress. Files are written into a private folder that is removed once they are sent.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlencode

from anyio import CancelScope
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from rating.access import Access, Visitor
from rating.errors import StimulusError
from rating.guarded_route import NEVER_KEPT, GuardedRoute
from rating.results.planned import exclusions_of
from rating.results.result_files import (
    methods_markdown,
    named_tables,
    results_markdown,
    table_csv,
)
from rating.results.results import Computed, Results, Theme, Variant

PREFIX: Final = "/results"
ZIP: Final = "application/zip"
CSV: Final = "text/csv; charset=utf-8"
MARKDOWN: Final = "text/markdown; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
KINDS: Final = {"png": "image/png", "svg": "image/svg+xml"}


def results_url(code: str, name: str, **values: object) -> str:
    """Return the address of a download; `exclude` is a mapping of raters to reasons.

    Args:
        code:   Of the study.
        name:   For example "export.zip".
        values: Of the query.
    """
    excluded = values.pop("excluded", None)
    pairs = [(key, str(value)) for key, value in values.items()]
    if isinstance(excluded, dict):
        pairs += [("exclude", f"{rater}={reason}") for rater, reason in excluded.items()]
    return f"{PREFIX}/{code}/{name}" + (f"?{urlencode(pairs)}" if pairs else "")


class TemporaryFile(FileResponse):
    """A file sent as a download; its folder is removed however the sending ends."""

    def __init__(self, folder: Path, path: Path, name: str, media_type: str) -> None:
        """Send `path`, a file in `folder`, under a name."""
        super().__init__(path, media_type=media_type, filename=name, headers=NEVER_KEPT)
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):  # the browser may have gone
                await run_in_threadpool(shutil.rmtree, self._folder, ignore_errors=True)


def make_results_router(results: Results, access: Access) -> APIRouter:
    """Return the routes under `/results`."""
    router = APIRouter(prefix=PREFIX, route_class=GuardedRoute)

    def coordinator_of(request: Request) -> Visitor:
        return access.require_coordinator(request)

    Coordinator = Annotated[Visitor, Depends(coordinator_of)]  # noqa: N806  # a type
    Exclusions = Annotated[list[str], Query()]  # noqa: N806  # a type

    def computed(code: str, exclude: list[str]) -> Computed:
        return results.computed(code, exclusions_of(exclude))

    @router.get("/{code}/progress.csv")
    def progress(_coordinator: Coordinator, code: str) -> Response:
        folder = _new_folder()
        with _removed_on_error(folder):
            path = results.export_progress(code, folder / "progress")
        return TemporaryFile(folder, path, results.file_name(code, "progress.csv"), CSV)

    @router.get("/{code}/export.zip")
    def export(_coordinator: Coordinator, code: str, variant: Variant = "full") -> Response:
        folder = _new_folder()
        with _removed_on_error(folder):
            path = results.export_zip(code, folder / "export.zip", variant=variant)
        name = results.file_name(code, f"data-{variant}.zip")
        return TemporaryFile(folder, path, name, ZIP)

    @router.get("/{code}/data/{name}.csv")
    def data(
        _coordinator: Coordinator, code: str, name: str, variant: Variant = "full"
    ) -> Response:
        folder = _new_folder()
        with _removed_on_error(folder):
            written = results.export(code, folder / "data", variant=variant, has_excel=False)
            found = {path.stem: path for path in written if path.suffix == ".csv"}
            if name not in found:
                raise StimulusError(f"There is no table {name!r}; there are {', '.join(found)}.")
        told = results.file_name(code, f"{name}-{variant}.csv")
        return TemporaryFile(folder, found[name], told, CSV)

    @router.get("/{code}/capsule.zip")
    def capsule(
        _coordinator: Coordinator, code: str, variant: Variant = "full",
        share_real_images: bool = False, exclude: Exclusions = [],  # noqa: B006
    ) -> Response:  # fmt: skip
        folder = _new_folder()
        with _removed_on_error(folder):
            facts = results.capsule(
                code, folder / "capsule.zip", variant=variant, excluded=exclusions_of(exclude),
                shares_real_images=True if share_real_images else None,
            )  # fmt: skip
        name = results.file_name(code, f"{variant}.zip")
        return TemporaryFile(folder, facts.path, name, ZIP)

    @router.get("/{code}/tables/{name}.csv")
    def table(
        _coordinator: Coordinator, code: str, name: str, exclude: Exclusions = [],  # noqa: B006
    ) -> Response:  # fmt: skip
        found = computed(code, exclude)
        tables = named_tables(found)
        if name not in tables:
            raise StimulusError(
                f"There is no table {name!r}; there are {', '.join(tables)}."
            )
        content = table_csv(tables[name], found.settings)
        return _download(content, results.file_name(code, f"{name}.csv"), CSV)

    @router.get("/{code}/figures/{name}.{kind}")
    def figure(
        _coordinator: Coordinator, code: str, name: str, kind: str, theme: Theme = "light",
        exclude: Exclusions = [],  # noqa: B006
    ) -> Response:  # fmt: skip
        drawn = {each.name: each for each in results.figures(code, exclusions_of(exclude), theme)}
        if name not in drawn or kind not in KINDS:
            raise StimulusError(
                f"There is no figure {name}.{kind}; there are {', '.join(drawn)}, as png and svg."
            )
        content = drawn[name].png if kind == "png" else drawn[name].svg
        file_name = results.file_name(code, f"{name}.{kind}")
        return _download(content, file_name, KINDS[kind], is_shown=True)

    @router.get("/{code}/methods.md")
    def methods(
        _coordinator: Coordinator, code: str, exclude: Exclusions = [],  # noqa: B006
    ) -> Response:  # fmt: skip
        content = methods_markdown(computed(code, exclude))
        return _download(content, results.file_name(code, "methods.md"), MARKDOWN)

    @router.get("/{code}/results.md")
    def report(
        _coordinator: Coordinator, code: str, exclude: Exclusions = [],  # noqa: B006
    ) -> Response:  # fmt: skip
        content = results_markdown(computed(code, exclude))
        return _download(content, results.file_name(code, "results.md"), MARKDOWN)

    @router.get("/{code}/results.txt")
    def text(
        _coordinator: Coordinator, code: str, exclude: Exclusions = [],  # noqa: B006
    ) -> Response:  # fmt: skip
        content = computed(code, exclude).text
        return _download(content, results.file_name(code, "results.txt"), TEXT)

    return router


def _new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="msdm-download-"))


@contextmanager
def _removed_on_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _download(content: str | bytes, name: str, kind: str, *, is_shown: bool = False) -> Response:
    """Return a small file: shown where a page asks for it, saved under `name` otherwise."""
    disposition = f'{"inline" if is_shown else "attachment"}; filename="{name}"'
    headers = {**NEVER_KEPT, "Content-Disposition": disposition}
    return Response(content, media_type=kind, headers=headers)
