"""Commands for studies that run: list, invite, renew, revoke, progress, pause, extend, lock ..."""

import argparse
import sys
from pathlib import Path
from typing import Any

from rating.cli import add_link_options, checked_base_url, confirm, print_links
from rating.cli_output import print_json, table
from rating.cli_place import ACTOR, opened_studies
from rating.counting import counted
from rating.errors import RatingError
from rating.study.locking import LockFacts
from rating.study.watching import Progress


def add_parsers(commands: Any, settings: argparse.ArgumentParser) -> None:
    """Add the commands to the parser's."""

    def command(name: str, run: Any, summary: str, *, has_rater: bool = False) -> Any:
        parser = commands.add_parser(name, help=summary, parents=[settings])
        parser.add_argument("code", metavar="CODE", help="of the study, see `list`")
        if has_rater:
            parser.add_argument("rater", metavar="RATER", help="for example R02")
        parser.set_defaults(run=run)
        return parser

    listing = commands.add_parser("list", help="list all studies", parents=[settings])
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=_list)

    invite = command("invite", _invite, "print links for new raters, once")
    invite.add_argument("--count", type=int, default=1, metavar="N", help="how many (1)")
    add_link_options(invite)
    renew = command("renew", _renew, "print a new link; the old one is void", has_rater=True)
    add_link_options(renew)
    command("revoke", _revoke, "end a rater's link; the answers stay", has_rater=True)
    command("withdraw", _withdraw, "end a rater's part; the answers stay", has_rater=True)
    erase = command("erase", _erase, "delete all that a rater answered", has_rater=True)
    erase.add_argument("--yes", action="store_true", help="do not ask")

    progress = command("progress", _progress, "how far everyone is; no arm, no value")
    progress.add_argument("--json", action="store_true", help="print JSON")
    command("pause", _pause, "let nobody rate until `resume`")
    command("resume", _resume, "let raters go on")
    extend = command("extend", _extend, "plan more raters, as a logged protocol version")
    extend.add_argument("--raters", type=int, metavar="N", help="how many are planned in all")
    extend.add_argument("--contact", help="whom raters can ask from now on")
    extend.add_argument("--reason", required=True, help="kept with the new version")
    lock = command("lock", _lock, "end a study for good and print its root hash")
    lock.add_argument("--confirm", metavar="TITLE", help="the title, instead of being asked")
    verify = command("verify", _verify, "recompute chain and root hash of a study or a capsule")
    verify.epilog = "In place of CODE it takes the ZIP file of a capsule, and verifies that."


def _list(options: argparse.Namespace) -> None:
    with opened_studies(options) as studies:
        found = studies.overview()
    if options.json:
        print_json(found)
        return
    rows = [
        (each.code, each.title, each.kind, "paused" if each.is_paused else each.status,
         each.raters, f"{each.answers_done}/{each.answers_expected}", each.created_at)
        for each in found
    ]  # fmt: skip
    print(table(("code", "title", "kind", "status", "raters", "answers", "made"), rows))


def _invite(options: argparse.Namespace) -> None:
    url = checked_base_url(options)
    with opened_studies(options) as studies:
        invitations = studies.invite(options.code, options.count, ACTOR)
    print_links(options.code, invitations, url, options.json)


def _renew(options: argparse.Namespace) -> None:
    url = checked_base_url(options)
    with opened_studies(options) as studies:
        invitation = studies.renew_link(options.code, options.rater, ACTOR)
    print_links(options.code, (invitation,), url, options.json)


def _revoke(options: argparse.Namespace) -> None:
    with opened_studies(options) as studies:
        studies.revoke(options.code, options.rater, ACTOR)
    print(f"The link of {options.rater} is revoked and every browser signed out.")


def _withdraw(options: argparse.Namespace) -> None:
    with opened_studies(options) as studies:
        studies.withdraw(options.code, options.rater, is_erasing=False, actor=ACTOR)
    print(f"{options.rater} has withdrawn; the answers given stay.")


def _erase(options: argparse.Namespace) -> None:
    confirm(options, f"Delete every answer of {options.rater}? This cannot be undone.")
    with opened_studies(options) as studies:
        studies.withdraw(options.code, options.rater, is_erasing=True, actor=ACTOR)
    print(f"The answers of {options.rater} are deleted.")


def _progress(options: argparse.Namespace) -> None:
    with opened_studies(options) as studies:
        found = studies.progress(options.code)
    if options.json:
        print_json(found)
        return
    state = "paused" if found.is_paused else found.status
    print(f"{found.title} ({found.kind}, {state})")
    rows = [
        (rater.code, rater.state, f"{rater.done}/{rater.total}", rater.median_s,
         f"{rater.checks_passed}/{rater.checks_done}", rater.last_at)
        for rater in found.raters
    ]  # fmt: skip
    print(table(("rater", "state", "items", "median s", "checks", "last seen"), rows))
    for line in _facts(found):
        print(line)


def _facts(found: Progress) -> list[str]:
    spread = f"{found.least_exposure} to {found.most_exposure}"
    lines = [
        f"completed   {found.completed} of {counted(found.planned_raters, 'rater')} planned",
        f"dropped out {found.dropped_out}",
        f"exposure    each main item drawn for {spread} raters",
    ]
    if found.top_up_raters:
        lines.append(f"            {counted(found.top_up_raters, 'more rater')} would even it")
    if not found.primary_question:
        lines.append("precision   not told of a preference")
    elif found.standard_error is None:
        lines.append("precision   told when there are 20 answers")
    else:
        lines += [
            f"precision   {found.standard_error:.2f}, the standard error of the mean of "
            f"{found.primary_question!r}",
            f"            over all arms together, from {found.precision_answers} answers",
        ]
    return lines


def _pause(options: argparse.Namespace) -> None:
    with opened_studies(options) as studies:
        studies.pause(options.code, ACTOR)
    print(f"Study {options.code} is paused.")


def _resume(options: argparse.Namespace) -> None:
    with opened_studies(options) as studies:
        studies.resume(options.code, ACTOR)
    print(f"Study {options.code} goes on.")


def _extend(options: argparse.Namespace) -> None:
    with opened_studies(options) as studies:
        version = studies.extend(
            options.code,
            planned_raters=options.raters,
            contact=options.contact,
            reason=options.reason,
            actor=ACTOR,
        )
    print(f"Study {options.code} has protocol version {version}.")


def _lock(options: argparse.Namespace) -> None:
    with opened_studies(options) as studies:
        facts = studies.prepare_lock(options.code)
        title = options.confirm
        if title is None:
            title = _asked_title(facts)
        root = studies.lock(options.code, title, ACTOR)
    print(f"Study {options.code} is locked. Root hash:\n{root}")
    print("Deposit it elsewhere: with it anyone can prove that nothing changed since.")


def _asked_title(facts: LockFacts) -> str:
    """Ask twice: whether to lock at all, and then for the title."""
    print(f"{facts.title} ({facts.kind})")
    print(f"completed raters   {facts.raters_completed}")
    print(f"unfinished raters  {', '.join(facts.raters_unfinished) or 'none'}")
    print(f"never started      {', '.join(facts.raters_not_started) or 'none'}")
    print(f"answers            {facts.answers}, missing {facts.answers_missing}")
    print(f"events             {facts.events}, {'broken' if facts.event_faults else 'whole'}")
    try:
        sure = input("Locking cannot be undone. Lock this study? [y/N] ")
        title = input("Type its title to lock: ") if sure.strip().lower() in ("y", "yes") else ""
    except EOFError:  # nobody is there to answer
        print()
        title = ""
    if not title:
        raise RatingError("Not confirmed, so nothing was locked. --confirm TITLE is for scripts.")
    return title


def _verify(options: argparse.Namespace) -> int:
    if options.code.lower().endswith(".zip"):
        return _verify_capsule(Path(options.code))
    with opened_studies(options) as studies:
        summary = studies.summary(options.code)
        faults = studies.verify(options.code)
        root = studies.root_hash(options.code)
    for fault in faults:
        print(f"fault  {fault}", file=sys.stderr)
    if not faults:
        print(f"Study {summary.code} ({summary.status}): the chain of events is whole.")
        print(f"Root hash as locked: {root}" if root else "It is not locked: no root hash yet.")
    return 1 if faults else 0


def _verify_capsule(path: Path) -> int:
    """Verify a capsule, for which no database is needed."""
    from rating.results.verification import verify_capsule

    found = verify_capsule(path)
    for fault in found.faults:
        print(f"fault  {fault}", file=sys.stderr)
    for note in found.notes:
        print(f"note   {note}")
    print(f"{counted(found.checked_files, 'file')} of the capsule as the manifest says.")
    manifest = found.manifest
    if manifest is None or found.faults:
        print(f"{counted(len(found.faults), 'fault')} found: the capsule is not as it was written.")
        return 1
    pilot = "PILOT, " if manifest.is_pilot else ""
    print(f"Study {manifest.study_code} ({pilot}{manifest.variant} capsule) is whole.")
    if manifest.root_hash:
        stated = " (stated, not verified)" if manifest.is_public else ""
        print(f"Root hash as locked{stated}: {manifest.root_hash}")
        print("Compare it with the one that was deposited at the lock.")
    print(f"\nThe main table, computed again:\n\n{found.main_table}", end="")
    return 0
