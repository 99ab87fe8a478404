"""Commands that build studies, from the protocol to the opening, and the quick study."""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from rating import cli_rehearse
from rating.cli_images import add_image_options, harmonisation_of, images_of, told
from rating.cli_output import print_json, table
from rating.cli_place import ACTOR, opened_studies
from rating.counting import counted
from rating.errors import RatingError
from rating.study.checks import Problem
from rating.study.conduct import Invitation
from rating.study.protocol import Protocol
from rating.study.protocol_file import read_toml, write_toml
from rating.study.sources import folder_intake
from rating.study.studies import Studies

BASE_URL = "http://127.0.0.1:7860"


def add_parsers(commands: Any, settings: argparse.ArgumentParser) -> None:
    """Add the commands to the parser's."""
    protocol = commands.add_parser("protocol", help="write a protocol file to fill in")
    protocol.add_argument("file", type=Path, help="TOML file to write; it must not be there yet")
    protocol.add_argument("--side-by-side", action="store_true", help="for images side by side")
    protocol.set_defaults(run=_protocol)

    create = commands.add_parser("create", help="make a draft, with images", parents=[settings])
    create.add_argument("title", help="1 to 200 characters; raters see it")
    create.add_argument("--protocol", type=Path, metavar="FILE", help="TOML file (all defaults)")
    create.add_argument("--pilot", action="store_true", help="a pilot, not a main study")
    create.add_argument("--seed", type=int, help="of the design and of choices (drawn)")
    add_image_options(create)
    create.set_defaults(run=_create)

    add = commands.add_parser("add", help="put more images into a draft", parents=[settings])
    add.add_argument("code", metavar="CODE", help="of the study, see `list`")
    add.add_argument("--seed", type=int, help="of random choices (0)")
    add_image_options(add)
    add.set_defaults(run=_add)

    for name, run, summary in (
        ("images", _images, "list the images of a study; arms unless it is open"),
        ("check", _check, "print everything that keeps a draft from opening"),
        ("open", _open, "open a draft, which fixes its protocol and images"),
        ("delete", _delete, "delete a draft with its images"),
    ):
        command = commands.add_parser(name, help=summary, parents=[settings])
        command.add_argument("code", metavar="CODE", help="of the study, see `list`")
        command.set_defaults(run=run)
        if name in ("images", "check"):
            command.add_argument("--json", action="store_true", help="print JSON")
        if name == "delete":
            command.add_argument("--yes", action="store_true", help="do not ask")

    change = commands.add_parser("change", help="change a draft", parents=[settings])
    change.add_argument("code", metavar="CODE", help="of the study, see `list`")
    change.add_argument("--title", help="another title")
    change.add_argument("--protocol", type=Path, metavar="FILE", help="another protocol")
    change.add_argument("--kind", choices=("main", "pilot"), help="main or pilot")
    change.set_defaults(run=_change)

    attest = commands.add_parser(
        "attest", help="say that identifiers in the images are handled", parents=[settings]
    )
    attest.add_argument("code", metavar="CODE", help="of the study, see `list`")
    attest.add_argument("--by", required=True, metavar="NAME", help="who looked at the images")
    attest.set_defaults(run=_attest)

    quick = commands.add_parser(
        "quick", help="from a folder to a rater's link, as a pilot", parents=[settings]
    )
    quick.add_argument("folder", type=Path, help="images, with a CSV of filename, arm, prompt")
    quick.add_argument("--csv", type=Path, metavar="FILE", help="the table (found in the folder)")
    quick.add_argument("--title", help="of the study")
    quick.add_argument("--count", type=int, default=1, metavar="N", help="raters to invite (1)")
    add_link_options(quick)
    quick.set_defaults(run=_quick)

    cli_rehearse.add_parser(commands, settings)


def add_link_options(parser: argparse.ArgumentParser) -> None:
    """Add what commands need that print links."""
    parser.add_argument(
        "--base-url", default=BASE_URL, metavar="URL", help=f"address of the app ({BASE_URL})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def checked_base_url(options: argparse.Namespace) -> str:
    """Return the address that links start with, checked before anything is done."""
    url = str(options.base_url).strip().rstrip("/")
    if not url.startswith(("http://", "https://")) or len(url.split("//", 1)[1]) < 1 or " " in url:
        raise RatingError(
            f"--base-url is {options.base_url!r}; give the address that raters reach, such as "
            "https://studies.example.org"
        )
    return url


def print_links(code: str, invitations: tuple[Invitation, ...], url: str, is_json: bool) -> None:
    """Print links, which nobody can print again."""
    if is_json:
        links = [{"rater": each.rater_code, "link": each.link(url)} for each in invitations]
        print_json({"study": code, "links": links})
        return
    for each in invitations:
        print(f"{each.rater_code}  {each.link(url)}")
    print("Each link is one rater's own. Links are shown once: send them now, or renew them later.")


def _protocol(options: argparse.Namespace) -> None:
    write_toml(Protocol.of("side_by_side" if options.side_by_side else "single"), options.file)
    print(f"{options.file}: every field is explained there. Give it to `create --protocol`.")


def _create(options: argparse.Namespace) -> None:
    protocol = Protocol() if options.protocol is None else read_toml(options.protocol)
    offered = images_of(options)
    with opened_studies(options, is_new_allowed=True) as studies:
        code = studies.create(
            options.title,
            kind="pilot" if options.pilot else "main",
            protocol=protocol,
            seed=options.seed,
            offered=offered,
            harmonisation=harmonisation_of(options),
            actor=ACTOR,
        )
        print(f"Study {code} is a draft.")
        if offered:
            print(_image_counts(studies, code))
        found = studies.problems(code)
        count = counted(sum(not problem.is_warning for problem in found), "problem")
        print(f"{count} left: see `python -m rating check {code}`.")


def _add(options: argparse.Namespace) -> None:
    offered = images_of(options)
    if not offered:
        raise RatingError("No images are named; see `python -m rating add --help`.")
    with opened_studies(options) as studies:
        added = studies.add_images(options.code, offered, harmonisation_of(options), ACTOR)
        print(f"{counted(added.count, 'image')} added.")
        if added.skipped:
            print(f"{len(added.skipped)} skipped, in the study already: {added.skipped[0]} ...")
        print(_image_counts(studies, options.code))


def _image_counts(studies: Studies, code: str) -> str:
    counts = Counter((view.role, view.arm or "-") for view in studies.stimuli(code))
    rows = [(role, arm, count) for (role, arm), count in sorted(counts.items())]
    return table(("role", "arm", "images"), rows)


def _images(options: argparse.Namespace) -> None:
    with opened_studies(options) as studies:
        views = studies.stimuli(options.code)
    if options.json:
        print_json(views)
        return
    rows = [
        (view.id, view.role, view.arm, view.prompt, f"{view.width_px}x{view.height_px}",
         view.selection_rule)
        for view in views
    ]  # fmt: skip
    print(table(("id", "role", "arm", "prompt", "px", "chosen by"), rows))


def _check(options: argparse.Namespace) -> int:
    with opened_studies(options) as studies:
        found = studies.problems(options.code)
    stops = [problem for problem in found if not problem.is_warning]
    if options.json:
        print_json({"study": options.code, "can_open": not stops, "problems": found})
        return 1 if stops else 0
    for problem in found:
        print(_problem_line(problem))
    if not stops:
        print(f"Study {options.code} can be opened.")
    return 1 if stops else 0


def _problem_line(problem: Problem) -> str:
    where = f"{problem.where}: " if problem.where else ""
    return f"{'warning' if problem.is_warning else 'problem'}  {where}{problem.message}"


def _open(options: argparse.Namespace) -> None:
    with opened_studies(options) as studies:
        for problem in studies.problems(options.code):
            if problem.is_warning:
                print(_problem_line(problem))
        studies.open(options.code, ACTOR)
    print(f"Study {options.code} is open. Next: python -m rating invite {options.code}")


def _delete(options: argparse.Namespace) -> None:
    with opened_studies(options) as studies:
        summary = studies.summary(options.code)
        confirm(options, f"Delete the draft {summary.title!r}?")
        studies.delete_draft(options.code)
    print(f"Study {options.code} is deleted.")


def _change(options: argparse.Namespace) -> None:
    if options.title is None and options.protocol is None and options.kind is None:
        raise RatingError("Nothing to change: give --title, --protocol or --kind.")
    protocol = None if options.protocol is None else read_toml(options.protocol)
    with opened_studies(options) as studies:
        studies.change(options.code, title=options.title, kind=options.kind, protocol=protocol)
    print(f"Study {options.code} is changed.")


def _attest(options: argparse.Namespace) -> None:
    with opened_studies(options) as studies:
        studies.attest_identifiers(options.code, options.by, ACTOR)
    print(f"Attested for study {options.code}. Images added later need it again.")


def _quick(options: argparse.Namespace) -> None:
    url = checked_base_url(options)
    offered = told(folder_intake(options.folder, options.csv))
    with opened_studies(options, is_new_allowed=True) as studies:
        code, invitations = studies.quick(offered, options.title, options.count, ACTOR)
    if not options.json:
        print(f"Study {code} is open, a pilot with {counted(len(offered), 'image')}.")
    print_links(code, invitations, url, options.json)


def confirm(options: argparse.Namespace, question: str) -> None:
    """Ask on the terminal and raise unless the answer is yes."""
    if options.yes:
        return
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:  # nobody is there to answer
        print()
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise RatingError("Not confirmed, so nothing was changed. --yes answers for scripts.")
