"""The command line of studies: python -m rating COMMAND."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from data.errors import DataError
from rating import cli, cli_conduct, cli_results, cli_upkeep
from rating.cli_output import Parser
from rating.errors import RatingError

EXAMPLES = """\
from images to a result:
  python -m rating protocol protocol.toml
  python -m rating create "Three models" --manifest batch/manifest.csv \\
      --real real --practice practice --protocol protocol.toml
  python -m rating attest CODE --by "A. Name"
  python -m rating check CODE
  python -m rating open CODE
  python -m rating invite CODE --count 3 --base-url https://studies.example.org
  python -m rating progress CODE
  python -m rating lock CODE
  python -m rating stats CODE
  python -m rating capsule CODE --out capsule.zip

or at once, as a pilot: python -m rating quick FOLDER

Every command works while the server runs. Exit status: 0 done, 1 a check found
something, 2 it could not be done with what was given.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    settings = argparse.ArgumentParser(add_help=False)
    group = settings.add_argument_group("where studies are kept")
    group.add_argument(
        "--home",
        type=Path,
        metavar="FOLDER",
        help="folder of the database [MSDM_HOME; default ./workspace]",
    )
    group.add_argument(
        "--database-url",
        metavar="URL",
        help="another database [MSDM_DATABASE_URL; default studies.sqlite3 in the folder]",
    )
    parser = Parser(
        prog="python -m rating",
        description="Build blinded studies, invite raters, watch, lock, verify, and read results.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    cli.add_parsers(commands, settings)
    cli_conduct.add_parsers(commands, settings)
    cli_results.add_parsers(commands, settings)
    cli_upkeep.add_parsers(commands, settings)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 something found, 2 wrong input."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # titles may hold what a terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # piped into something that stopped reading, e.g. head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RatingError, DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
