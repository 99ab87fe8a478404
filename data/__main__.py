"""Command line of the data package: validate, split and duplicates."""

import argparse
import collections
import io
import json
import os
import pathlib
import sys
from collections.abc import Sequence

from data.duplicates import (
    DEFAULT_MAX_DISTANCE_BITS,
    DEFAULT_MIN_CORRELATION,
    Fingerprint,
    find_pairs,
    fingerprint,
    group_pairs,
)
from data.errors import DataError, ImageReadError
from data.folders import read_folder
from data.images import load_rgb
from data.records import SPLITS, ImageRecord, Split
from data.splits import (
    DEFAULT_FRACTIONS,
    SPLIT_FILE,
    check_leakage,
    make_splits,
    write_split_csv,
)
from data.validation import validate_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0 fine, 1 the data has errors, 2 it cannot be worked on."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # captions may hold what a terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    commands = {"validate": _validate, "split": _split, "duplicates": _duplicates}
    try:
        return commands[options.command](options)
    except BrokenPipeError:  # piped into something that stopped reading, e.g. head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data", description="Check and divide dataset folders."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    validate = commands.add_parser("validate", help="report everything wrong with a folder")
    validate.add_argument("folder", type=pathlib.Path)
    validate.add_argument("--json", action="store_true", help="print the report as JSON")
    validate.add_argument("--rows", type=int, default=20, help="problems shown of one kind (20)")
    validate.add_argument("--tables-only", action="store_true", help="do not open the images")

    split = commands.add_parser(
        "split", help="divide a folder by image group, near-duplicates together"
    )
    split.add_argument("folder", type=pathlib.Path)
    for name in SPLITS:
        share = DEFAULT_FRACTIONS[name]
        split.add_argument(f"--{name}", type=float, default=share, help=f"share ({share})")
    split.add_argument("--seed", type=int, default=0, help="another seed, another split (0)")
    split.add_argument(
        "--keep", action="store_true", help="keep the splits that the folder has already"
    )
    split.add_argument("--output", type=pathlib.Path, help=f"file to write (FOLDER/{SPLIT_FILE})")
    split.add_argument("--overwrite", action="store_true", help="replace a file that exists")

    duplicates = commands.add_parser("duplicates", help="list groups of near-duplicate images")
    duplicates.add_argument("folder", type=pathlib.Path)
    duplicates.add_argument("--json", action="store_true", help="print the groups as JSON")
    for command in (split, duplicates):
        command.add_argument(
            "--max-distance",
            type=int,
            default=DEFAULT_MAX_DISTANCE_BITS,
            metavar="BITS",
            help=f"most differing bits of the hash, 0 to 64 ({DEFAULT_MAX_DISTANCE_BITS})",
        )
        command.add_argument(
            "--min-correlation",
            type=float,
            default=DEFAULT_MIN_CORRELATION,
            metavar="R",
            help=f"least correlation of the thumbnails, -1 to 1 ({DEFAULT_MIN_CORRELATION})",
        )
    return parser


def _validate(options: argparse.Namespace) -> int:
    report = validate_folder(
        options.folder, check_images=not options.tables_only, on_image=_show_progress
    )
    print(report.to_json() if options.json else report.table(options.rows))
    return 0 if report.is_valid else 1


def _split(options: argparse.Namespace) -> int:
    target = options.output or options.folder / SPLIT_FILE
    records = read_folder(options.folder, missing="skip")
    if target.exists() and not options.overwrite:
        print(f"error: {target} exists; replace it with --overwrite.", file=sys.stderr)
        return 2
    groups = _groups(records, options)
    fractions: dict[Split, float] = {name: getattr(options, name) for name in SPLITS}
    divided = make_splits(
        records, fractions=fractions, seed=options.seed, groups=groups, keep=options.keep
    )
    if leaks := check_leakage(divided, groups):
        raise DataError(f"{len(leaks)} groups lie in more than one split, first {leaks[0]}.")
    write_split_csv(divided, target, groups)
    counts = collections.Counter(record.split for record in divided)
    print(f"{target}: " + ", ".join(f"{counts[name]} {name}" for name in SPLITS))
    return 0


def _duplicates(options: argparse.Namespace) -> int:
    records = read_folder(options.folder, missing="skip")
    groups: dict[str, list[str]] = collections.defaultdict(list)
    for image_id, group in _groups(records, options).items():
        groups[group].append(image_id)
    if options.json:
        print(json.dumps(list(groups.values()), indent=2))
        return 0
    for members in groups.values():
        print("  ".join(members))
    total = sum(map(len, groups.values()))
    print(f"groups of near-duplicates: {len(groups)}, with {total} of {len(records)} images")
    return 0


def _groups(records: Sequence[ImageRecord], options: argparse.Namespace) -> dict[str, str]:
    found: dict[str, Fingerprint] = {}
    for done, record in enumerate(records, start=1):
        try:
            found[record.image_id] = fingerprint(load_rgb(record.path))
        except ImageReadError as error:
            print(f"left out: {error}", file=sys.stderr)
        _show_progress(done, len(records))
    pairs = find_pairs(
        list(found),
        list(found.values()),
        max_distance_bits=options.max_distance,
        min_correlation=options.min_correlation,
    )
    return group_pairs(pairs)


def _show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty() and (done % 50 == 0 or done == total):
        end = "\n" if done == total else ""
        print(f"\r{done} of {total} images", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
