"""The command that rehearses a study: simulated raters answer a pilot to its end."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rating.cli_images import add_image_options, harmonisation_of, images_of
from rating.cli_output import print_json
from rating.cli_place import ACTOR, home_of, opened_database
from rating.counting import counted
from rating.errors import RatingError
from rating.study.offered import OfferedImage
from rating.study.protocol import PREFERENCE, REALISM, AnalysisPlan, Display, Protocol
from rating.study.protocol_file import read_toml
from rating.study.studies import Studies

if TYPE_CHECKING:  # what draws and simulates is loaded when it is asked for
    from rating.study.simulation import Rehearsal

TITLE = "Rehearsal"
_MARGIN = 0.5  # points, of the plan of a rehearsal
_PROMPTS_SIDE_BY_SIDE = 24  # each is one item, and repeats need room between


def add_parser(commands: Any, settings: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    rehearse = commands.add_parser(
        "rehearse",
        help="try a study to its end with simulated raters, as a pilot",
        description="Simulated raters answer a pilot whose title says that it is a rehearsal, "
        "never a main study: their answers are fabricated. Without a code a new pilot is made, "
        "of the images named, or of drawn stand-ins where none are.",
        parents=[settings],
    )
    rehearse.add_argument("code", metavar="CODE", nargs="?", help="of an open pilot (a new one)")
    rehearse.add_argument("--raters", type=int, default=6, metavar="N", help="simulated (6)")
    rehearse.add_argument("--seed", type=int, default=1, help="of everything drawn (1)")
    rehearse.add_argument("--title", help=f'of a new pilot, with the word "rehearsal" ({TITLE})')
    rehearse.add_argument("--protocol", type=Path, metavar="FILE", help="TOML file of a new pilot")
    rehearse.add_argument(
        "--display", choices=get_args(Display), help="of a new pilot without a protocol (single)"
    )
    rehearse.add_argument(
        "--prompts", type=int, metavar="N", help="of drawn stand-ins (10; side by side 24)"
    )
    rehearse.add_argument("--reals", type=int, metavar="N", help="drawn for real images (10)")
    rehearse.add_argument("--lock", action="store_true", help="lock it at the end")
    rehearse.add_argument(
        "--truth", type=Path, metavar="FILE",
        help="JSON file for what the answers were drawn from (CODE-truth.json in the home folder)",
    )  # fmt: skip
    rehearse.add_argument("--json", action="store_true", help="print JSON")
    add_image_options(rehearse)
    rehearse.set_defaults(run=_rehearse)


def _rehearse(options: argparse.Namespace) -> None:
    from rating.study.simulation import rehearse, require_possible

    require_possible(options.raters, options.seed)
    if options.code is not None:
        _require_nothing_new(options)
    with opened_database(options, is_new_allowed=options.code is None) as database:
        studies = Studies(database)
        code = options.code or _new_pilot(studies, options)
        target = options.truth or home_of(options) / f"{code}-truth.json"
        if target.exists():
            raise RatingError(f"{target} is there already; name another file with --truth.")
        found = rehearse(
            database, code, raters=options.raters, seed=options.seed, actor=ACTOR,
            on_rater=None if options.json else _told,
        )  # fmt: skip
        text = json.dumps(found.to_dict(), indent=2, ensure_ascii=False)
        target.write_text(f"{text}\n", encoding="utf-8")
        if options.lock:
            studies.lock(code, studies.summary(code).title, ACTOR)
    _tell(options, found, target)


def _told(rater: str, items: int) -> None:
    print(f"{rater}  {counted(items, 'item')}", flush=True)


def _tell(options: argparse.Namespace, found: "Rehearsal", target: Path) -> None:
    if options.json:
        print_json({"study": found.study_code, "truth": str(target), "items": found.items})
        return
    state = "locked" if options.lock else "open"
    print(
        f"Study {found.study_code} is a rehearsal, {state}: "
        f"{counted(len(found.raters), 'simulated rater')} answered {found.items} items."
    )
    print(f"{target}: what the answers were drawn from.")
    print("Nobody has judged anything: use it to try what follows, never as data.")


def _require_nothing_new(options: argparse.Namespace) -> None:
    """Raise where options of a new pilot are given together with a code."""
    names = ("title", "protocol", "display", "prompts", "reals")
    given = [name for name in names if getattr(options, name) is not None]
    named = ("manifest", "folder", "zip", "real", "dataset", "practice", "check", "inbox")
    if given := [*given, *(name for name in named if getattr(options, name))]:
        raise RatingError(
            f"--{given[0]} is of a new pilot, and {options.code} is there already. Leave out the "
            "code, or the option."
        )


def _new_pilot(studies: Studies, options: argparse.Namespace) -> str:
    """Return the code of a pilot made and opened for the rehearsal."""
    from rating.study.simulation import WORD, rehearsal_protocol
    from rating.study.stand_ins import stand_in_images

    title = options.title or TITLE
    if WORD not in title.casefold():
        raise RatingError(f"The title {title!r} needs the word {WORD!r}, so that nobody is misled.")
    protocol = _protocol(options)
    offered = images_of(options)
    if not offered:
        counts = {"prompts": options.prompts, "reals": options.reals}
        given = {name: count for name, count in counts.items() if count is not None}
        if protocol.display == "side_by_side":
            given = {"prompts": _PROMPTS_SIDE_BY_SIDE, **given}
        offered = stand_in_images(protocol.display, **given)
    elif options.prompts is not None or options.reals is not None:
        raise RatingError("--prompts and --reals are of drawn stand-ins; here images are named.")
    if options.protocol is None:
        protocol = _fitted(protocol, offered)
    code = studies.create(
        title, kind="pilot", protocol=rehearsal_protocol(protocol), seed=options.seed,
        offered=offered, harmonisation=harmonisation_of(options), actor=ACTOR,
    )  # fmt: skip
    # As with `quick`, whoever gives the command says that identifiers are handled.
    studies.attest_identifiers(code, ACTOR, ACTOR)
    try:
        studies.open(code, ACTOR)
    except RatingError:
        studies.delete_draft(code)
        raise
    return code


def _protocol(options: argparse.Namespace) -> Protocol:
    if options.protocol is None:
        display: Display = options.display or "single"
        return dataclasses.replace(Protocol.of(display), planned_raters=options.raters)
    if options.display is not None:
        raise RatingError("--display is in the protocol already; leave out one of the two.")
    return read_toml(options.protocol)


def _fitted(protocol: Protocol, offered: list[OfferedImage]) -> Protocol:
    """Return the default protocol with a plan, and without repeats where they find no room."""
    main = [image for image in offered if image.role == "main"]
    items = len(main)
    if protocol.display == "side_by_side":
        items = len({image.prompt_id or image.prompt for image in main if not image.is_real})
    has_room = items >= 2 * (protocol.washout_items + 1)
    return dataclasses.replace(
        protocol, plan=_plan(protocol, offered),
        repeat_share=protocol.repeat_share if has_room else 0.0,
    )  # fmt: skip


def _plan(protocol: Protocol, offered: list[OfferedImage]) -> AnalysisPlan | None:
    """Return a plan: realism against real images, or preference against the first model."""
    main = [image for image in offered if image.role == "main"]
    models = sorted({image.arm for image in main if not image.is_real})
    reals = sorted({image.arm for image in main if image.is_real})
    codes = [question.code for question in protocol.questions]
    is_single = protocol.display == "single"
    primary = REALISM if is_single else PREFERENCE
    reference = (reals or models) if is_single else models
    if primary not in codes or len(models) + len(reals) < 2 or not reference:
        return None
    margin = _MARGIN if is_single else None
    return AnalysisPlan(
        primary, reference[0], holm_family=(primary,), equivalence_margin=margin
    )
