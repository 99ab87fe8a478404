"""Print the tables of this study again, computed from its CSV files alone.

    python scripts/recompute.py            the main table
    python scripts/recompute.py --all      all tables

It needs Python 3.11 or newer and the packages of scripts/requirements.txt, and nothing else: the
statistics are the files in scripts/study_statistics. It reads data/ratings_long.csv, for tables of
preferences data/assignments.csv too, and what the analysis plan fixed, results/settings.json. It
writes nothing. The main table is, byte for byte, results/main_table.txt; all tables are
results/all_tables.txt.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parent


def statistics(name: str) -> Any:
    """Return a module of the copied statistics."""
    sys.dont_write_bytecode = True  # the unpacked capsule stays as it is
    if str(SCRIPTS) not in sys.path:  # Python itself leaves it out when it runs isolated
        sys.path.insert(0, str(SCRIPTS))
    return importlib.import_module(f"study_statistics.{name}")


def recomputed(folder: Path, *, has_all: bool) -> str:
    """Return the main table, or all tables, as text.

    Args:
        folder:  Of the unpacked capsule.
        has_all: Whether all tables are wanted.
    """
    tables, analysis = statistics("tables"), statistics("analysis")
    values = json.loads((folder / "results" / "settings.json").read_text(encoding="utf-8"))
    settings = statistics("finding").Settings.from_dict(values)
    ratings = tables.read_ratings(folder / "data" / "ratings_long.csv")
    assignments = tables.read_assignments(folder / "data" / "assignments.csv")
    found = analysis.analyse(ratings, assignments, settings)
    if has_all:
        return str(analysis.analysis_text(found))
    return str(analysis.analysis_tables(found)[0].to_text())


def main() -> None:
    """Print what was asked for, in UTF-8 and with line feeds on every system."""
    parser = argparse.ArgumentParser(description="Print the tables of this study again.")
    parser.add_argument("--all", action="store_true", help="all tables, not the main one alone")
    parser.add_argument(
        "--capsule", type=Path, default=SCRIPTS.parent, metavar="FOLDER",
        help="the unpacked capsule (the folder above this script)",
    )  # fmt: skip
    options = parser.parse_args()
    text = recomputed(options.capsule, has_all=options.all)
    sys.stdout.buffer.write(f"{text.rstrip()}\n".encode())


if __name__ == "__main__":
    main()
