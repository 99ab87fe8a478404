"""Commands for what a study has found: export, stats, figures, methods, capsule."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rating.cli_place import opened_database
from rating.counting import counted
from rating.errors import ResultsError
from rating.results.planned import exclusions_of
from rating.results.result_files import (
    methods_markdown,
    named_tables,
    results_markdown,
    table_csv,
    write_new,
)
from rating.results.results import THEMES, Computed, Results, Variant


def add_parsers(commands: Any, settings: argparse.ArgumentParser) -> None:
    """Add the commands to the parser's."""

    def command(name: str, run: Any, summary: str) -> Any:
        parser = commands.add_parser(
            name, help=summary, parents=[settings],
            description=f"{summary[:1].upper()}{summary[1:]}. A main study has to be locked first; "
            "a pilot may be looked into once it is open.",
        )  # fmt: skip
        parser.add_argument("code", metavar="CODE", help="of the study, see `list`")
        parser.set_defaults(run=run)
        return parser

    export = command("export", _export, "write every answer and what it is about as CSV tables")
    _add_out(export, "FOLDER|FILE.zip", "an empty or new folder, or a new ZIP", is_needed=True)
    export.add_argument(
        "--public", action="store_true", help="the variant that may be published: no remarks, "
        "years in bands, times from each rater's start on, no sizes of windows",
    )  # fmt: skip
    export.add_argument("--no-excel", action="store_true", help="leave out the copies for Excel")
    export.add_argument(
        "--progress", action="store_true", help="only how far everyone is, also before the lock"
    )

    stats = command("stats", _stats, "compute and print every statistic, the main table first")
    _add_exclusions(stats)
    stats.add_argument(
        "--format", choices=("text", "markdown", "csv"), default="text",
        help="text (default), markdown, or csv (the main table; with --out a file for each)",
    )  # fmt: skip
    _add_out(stats, "FOLDER", "write files there instead of printing")

    figures = command("figures", _figures, "draw the figures as PNG and SVG")
    _add_exclusions(figures)
    figures.add_argument("--theme", choices=THEMES, default="light", help="the ground (light)")
    _add_out(figures, "FOLDER", "for the files; made where it is not there", is_needed=True)

    methods = command("methods", _methods, "write the methods section, and reporting checklists")
    _add_exclusions(methods)
    _add_out(methods, "FILE", "Markdown file to write instead of printing")

    capsule = command("capsule", _capsule, "write one ZIP with all that the results rest on")
    _add_exclusions(capsule)
    capsule.add_argument(
        "--public", action="store_true", help="without what could identify raters or patients"
    )
    capsule.add_argument(
        "--share-real-images", action="store_true",
        help="put real images into the public variant too: only where their licence allows it",
    )  # fmt: skip
    capsule.add_argument(
        "--real-licence", default="", metavar="TEXT", help="terms of the real images, in words"
    )
    _add_out(capsule, "FILE.zip", "a new ZIP, or a folder that gets one", is_needed=True)


def _add_exclusions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="RATER=REASON",
        help="leave a rater out; told in every result. May be given again",
    )  # fmt: skip


def _add_out(
    parser: argparse.ArgumentParser, metavar: str, summary: str, *, is_needed: bool = False
) -> None:
    parser.add_argument("--out", type=Path, metavar=metavar, help=summary, required=is_needed)


@contextmanager
def _opened(options: argparse.Namespace) -> Iterator[Results]:
    with opened_database(options) as database:
        yield Results(database)


def _computed(options: argparse.Namespace) -> Computed:
    with _opened(options) as results:
        return results.computed(options.code, exclusions_of(options.exclude))


def _variant(options: argparse.Namespace) -> Variant:
    return "public" if options.public else "full"


def _export(options: argparse.Namespace) -> None:
    out: Path = options.out
    has_excel = not options.no_excel
    with _opened(options) as results:
        if options.progress:
            written = [results.export_progress(options.code, out)]
        elif out.suffix.lower() == ".zip":
            written = [
                results.export_zip(
                    options.code, out, variant=_variant(options), has_excel=has_excel
                )
            ]
        else:
            written = list(
                results.export(options.code, out, variant=_variant(options), has_excel=has_excel)
            )
    _tell(written)


def _stats(options: argparse.Namespace) -> None:
    computed = _computed(options)
    tables = {
        name: table_csv(table, computed.settings)
        for name, table in named_tables(computed).items()
        if table not in computed.checklists
    }
    if options.out is None:
        told = {
            "text": computed.text,
            "markdown": results_markdown(computed),
            "csv": next(iter(tables.values())),
        }
        sys.stdout.write(told[options.format])
        return
    out: Path = options.out
    if options.format == "csv":
        files = {out / f"{name}.csv": content for name, content in tables.items()}
    elif options.format == "markdown":
        files = {out / "results.md": results_markdown(computed)}
    else:
        files = {out / "results.txt": computed.text}
    _write(files)


def _figures(options: argparse.Namespace) -> None:
    with _opened(options) as results:
        drawn = results.figures(options.code, exclusions_of(options.exclude), options.theme)
    _write({
        options.out / f"{each.name}.{kind}": content
        for each in drawn
        for kind, content in (("png", each.png), ("svg", each.svg))
    })  # fmt: skip


def _methods(options: argparse.Namespace) -> None:
    text = methods_markdown(_computed(options))
    if options.out is None:
        sys.stdout.write(text)
    else:
        _tell([write_new(options.out, text)])


def _capsule(options: argparse.Namespace) -> None:
    if options.share_real_images and not options.public:
        raise ResultsError(
            "--share-real-images is of the public capsule; the full one has the real images. Add "
            "--public, or leave it out."
        )
    with _opened(options) as results:
        facts = results.capsule(
            options.code,
            options.out,
            variant=_variant(options),
            excluded=exclusions_of(options.exclude),
            real_licence=options.real_licence,
            shares_real_images=True if options.share_real_images else None,
        )
    left_out = f", {facts.images_left_out} by their hash alone" if facts.images_left_out else ""
    print(f"{facts.path}: {counted(facts.files, 'file')}, {facts.size_bytes / 1e6:.1f} MB")
    print(f"images   {facts.images}{left_out}")
    print(f"SHA-256  {facts.sha256}")
    print(f"Check it anywhere with: python -m rating verify {facts.path}")


def _write(files: dict[Path, str] | dict[Path, bytes]) -> None:
    """Write files that are not there yet: all of them or, where one is, none."""
    if there := [path for path in files if path.exists()]:
        raise ResultsError(f"{there[0]} is there already; name another folder with --out.")
    _tell([write_new(path, content) for path, content in files.items()])


def _tell(paths: Sequence[Path]) -> None:
    for path in paths:
        print(path)
