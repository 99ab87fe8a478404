"""Measures the export of a million answers: time and peak memory, beside `csv` alone.

    python tests/benchmarks/benchmark_export.py [--answers 1000000] [--folder FOLDER]
        [--database-url postgresql://USER@HOST/NAME]

A study of 336 images is written with as many raters as that takes, past the raters' desk. Each
export then runs in a process of its own, and so does writing the very rows of its files again with
`csv` alone, which is the least that any export takes. The memory of a process is its peak, and what
an export of a tenth of the answers takes is told beside it: it must not grow. Without
`--database-url` it runs on SQLite in a temporary folder; a PostgreSQL database must be empty.
"""

import argparse
import csv
import json
import math
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from rating.results.export import export_study
from rating.storage.database import Database, sqlite_url
from tests.rating_study import write_study
from tests.results_bulk import write_many_answers

PROMPTS = 84  # with three arms, and as many real images, 336 images
QUESTIONS = 3
ROWS_AT_ONCE = 500


def write(database: Database, answers: int) -> tuple[str, int]:
    """Writes an open pilot and returns its code and the number of its answers."""
    code = write_study(database, 3, PROMPTS, PROMPTS, 1, kind="pilot")
    raters = math.ceil(answers / (4 * PROMPTS * QUESTIONS))
    return code, write_many_answers(database, code, raters)


def export(url: str, code: str, folder: Path, has_excel: bool) -> dict[str, Any]:
    """Exports and returns the seconds."""
    database = Database.open(url)
    try:
        started_s = time.perf_counter()
        export_study(database, code, folder, has_excel=has_excel)
        return {"seconds": time.perf_counter() - started_s}
    finally:
        database.close()


def write_again(folder: Path) -> dict[str, Any]:
    """Writes the rows of all exported tables with `csv` alone and returns the seconds of that."""
    seconds = 0.0
    for path in sorted(folder.glob("*.csv")):
        copy = path.with_suffix(".again")
        with path.open(encoding="utf-8", newline="") as file, copy.open(
            "w", encoding="utf-8", newline=""
        ) as target:  # fmt: skip
            rows, writer = csv.reader(file), csv.writer(target, lineterminator="\r\n")
            while chunk := list(islice(rows, ROWS_AT_ONCE)):
                started_s = time.perf_counter()
                writer.writerows(chunk)
                seconds += time.perf_counter() - started_s
        copy.unlink()
    return {"seconds": seconds}


def measured(*arguments: object) -> dict[str, float]:
    """Runs a step in a process of its own and returns its seconds and peak memory in MiB."""
    done = subprocess.run(
        [sys.executable, __file__, "--step", *map(str, arguments)],
        stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return json.loads(done.stdout)


def run_step(step: list[str]) -> None:
    """Runs one step and prints what it took."""
    match step:
        case ["export", url, code, folder, has_excel]:
            told = export(url, code, Path(folder), has_excel == "True")
        case ["again", folder]:
            told = write_again(Path(folder))
        case _:
            raise ValueError(step)
    told["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    json.dump(told, sys.stdout)


def measure(url: str, answers: int, folder: Path) -> list[tuple[str, str]]:
    """Writes both studies, exports them and returns the report."""
    database = Database.open(url)
    try:
        few, few_answers = write(database, answers // 10)
        many, many_answers = write(database, answers)
    finally:
        database.close()
    small = measured("export", url, few, folder / "few", False)
    large = measured("export", url, many, folder / "many", False)
    alone = measured("again", folder / "many")
    size_mib = sum(path.stat().st_size for path in (folder / "many").glob("*")) / 2**20
    shutil.rmtree(folder / "many")
    with_excel = measured("export", url, many, folder / "excel", True)
    return [
        ("answers", f"{many_answers:,}"),
        ("files written", f"{size_mib:.0f} MiB"),
        ("export", f"{large['seconds']:.1f} s"),
        ("the same rows by csv alone", f"{alone['seconds']:.1f} s"),
        ("time, export to csv alone", f"{large['seconds'] / alone['seconds']:.1f}"),
        ("export with copies for Excel", f"{with_excel['seconds']:.1f} s"),
        ("peak memory of the export", f"{large['peak_mib']:.0f} MiB"),
        ("with copies for Excel", f"{with_excel['peak_mib']:.0f} MiB"),
        (f"with {few_answers:,} answers", f"{small['peak_mib']:.0f} MiB"),
        ("peak memory of csv alone", f"{alone['peak_mib']:.0f} MiB"),
        ("memory, export to csv alone", f"{large['peak_mib'] / alone['peak_mib']:.2f}"),
        ("memory, all answers to a tenth", f"{large['peak_mib'] / small['peak_mib']:.2f}"),
    ]


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="for database and files; default: temporary")
    parser.add_argument("--database-url", default="")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        run_step(options.step)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        url = options.database_url or sqlite_url(Path(folder))
        for label, value in measure(url, options.answers, Path(folder)):
            print(f"{label:<36}{value}")


if __name__ == "__main__":
    main()
