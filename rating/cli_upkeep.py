"""Commands around studies: plan, backup, transfer, audit-blinding."""

import argparse
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rating.cli import BASE_URL, checked_base_url
from rating.cli_output import print_json
from rating.cli_place import opened_database
from rating.errors import PlanningError, RatingError
from rating.storage.database import Database

CHROMIUM_NAMES: Final = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
)  # fmt: skip


def add_parsers(commands: Any, settings: argparse.ArgumentParser) -> None:
    """Add the commands to the parser's."""
    _add_plan(commands)
    backup = commands.add_parser(
        "backup", help="copy the SQLite database while it is in use", parents=[settings]
    )
    backup.add_argument("target", type=Path, metavar="FILE", help="must not be there yet")
    backup.set_defaults(run=_backup)
    transfer = commands.add_parser(
        "transfer", help="copy all studies into another, empty database", parents=[settings]
    )
    transfer.add_argument(
        "target", metavar="URL", help="for example postgresql://USER:PASSWORD@HOST/NAME"
    )
    transfer.set_defaults(run=_transfer)

    audit = commands.add_parser(
        "audit-blinding",
        help="play a rater against the running app and look for what tells arms",
        parents=[settings],
    )
    audit.add_argument("code", metavar="CODE", help="of an open study, see `list`")
    audit.add_argument(
        "--base-url", default=BASE_URL, metavar="URL", help=f"address of the app ({BASE_URL})"
    )
    audit.add_argument("--chromium", metavar="FILE", help="the browser (found by name)")
    audit.add_argument("--http-only", action="store_true", help="play without a browser")
    audit.add_argument("--json", action="store_true", help="print JSON")
    audit.set_defaults(run=_audit)


def _add_plan(commands: Any) -> None:
    plan = commands.add_parser("plan", help="how precise a study will be, before it runs")
    plan.add_argument(
        "--raters",
        type=int,
        nargs="+",
        default=[2, 3, 5, 8, 12],
        metavar="N",
        help="who complete; several to compare (2 3 5 8 12)",
    )
    for flag, default, text in (
        ("--prompts", 20, "prompts of the synthetic arms"),
        ("--arms", 3, "synthetic arms"),
        ("--reals", 0, "real images"),
        ("--replicates", 1, "images of each arm for each prompt"),
        ("--points", 5, "of the scale"),
    ):
        plan.add_argument(
            flag, type=int, default=default, metavar="N", help=f"{text} ({default})"
        )
    plan.add_argument("--items-per-rater", type=int, metavar="N", help="main items (all)")
    plan.add_argument("--contrasts", type=int, metavar="N", help="in the Holm family")
    plan.add_argument("--power", type=float, default=0.8, metavar="P", help="wanted (0.8)")
    plan.add_argument("--alpha", type=float, default=0.05, metavar="A", help="(0.05)")
    plan.add_argument(
        "--variance",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variance component, for example residual=0.6, instead of the typical one; may be "
        "given several times",
    )
    plan.set_defaults(run=_plan)


def _plan(options: argparse.Namespace) -> None:
    from rating.planner import plan_table  # numpy and scipy take a while
    from rating.precision import PESSIMISTIC, TYPICAL

    stated = _stated_variances(options.variance)
    typical = dataclasses.replace(TYPICAL, name="stated", **stated) if stated else TYPICAL
    table = plan_table(
        options.raters,
        options.prompts,
        options.arms,
        options.reals,
        options.replicates,
        items_per_rater=options.items_per_rater,
        cases=(typical, PESSIMISTIC),
        points=options.points,
        power=options.power,
        alpha=options.alpha,
        contrasts=options.contrasts,
    )
    print(table)


def _stated_variances(texts: Sequence[str]) -> dict[str, float]:
    from rating.precision import COMPONENT_NAMES

    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        name = name.strip().replace(":", "_")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if name not in COMPONENT_NAMES or not 0 <= value < 1e6:
            raise PlanningError(
                f"--variance cannot be {text!r}; give NAME=VALUE with a name of "
                f"{', '.join(COMPONENT_NAMES)} and a value of 0 or more."
            )
        found[name] = value
    return found


def _backup(options: argparse.Namespace) -> None:
    with opened_database(options) as database:
        target = database.backup(options.target)
    print(f"{target}: {target.stat().st_size:,} bytes.")


def _transfer(options: argparse.Namespace) -> None:
    from rating.storage.transfer import transfer

    with opened_database(options) as source:
        target = Database.open(options.target)
        try:
            copied = transfer(source, target)
        finally:
            target.close()
    print(f"{copied['study']} studies, {copied['answer']} answers, {sum(copied.values())} rows.")


def _audit(options: argparse.Namespace) -> int:
    from rating.blinding_audit import audit_blinding

    url = checked_base_url(options)
    chromium = ""
    if not options.http_only:
        chromium = options.chromium or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), "")
        if not chromium or not shutil.which(chromium):
            raise RatingError(
                f"There is no browser {chromium!r}. Install Chromium, give its path with "
                "--chromium, or leave the browser out with --http-only; the report says that."
            )
    with opened_database(options) as database:
        audit = audit_blinding(database, options.code, url, chromium=chromium)
    if options.json:
        print_json(audit.to_dict())
    else:
        print(audit.text())
    return 0 if audit.is_passed else 1
