"""R as a second opinion: what base R and its packages compute for the same table.

Without R the tests are left out, with a reason; where `CI` is set they fail instead. A package that
is missing leaves its tests out.
"""

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

InR = Callable[[str, Mapping[str, Sequence[object]]], list[float]]

_READ = "d <- read.csv('d.csv', stringsAsFactors = TRUE)\n"
_TELL = "\ncat('[', paste(format(result, digits = 15), collapse = ','), ']')\n"


def need_r(package: str = "") -> None:
    """Leaves a test out without R, or without one of its packages; fails it where CI is set."""
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    if shutil.which("Rscript") is None:
        give_up("Rscript is not installed: apt-get install r-base-core")
    if package:
        asked = f"quit(status = !requireNamespace('{package}', quietly = TRUE))"
        found = subprocess.run(["Rscript", "--vanilla", "-e", asked], check=False, timeout=60)
        if found.returncode:
            give_up(f"The R package {package} is not installed: apt-get install r-cran-{package}")


@pytest.fixture
def in_r(tmp_path: Path) -> InR:
    """Returns what R code puts into `result`, a vector of numbers, for a table `d`."""
    need_r()

    def run(code: str, columns: Mapping[str, Sequence[object]]) -> list[float]:
        with (tmp_path / "d.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        done = subprocess.run(
            ["Rscript", "--vanilla", "-e", _READ + code + _TELL], cwd=tmp_path,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if "there is no package called" in done.stderr:
            pytest.skip(done.stderr.strip().splitlines()[0])
        assert done.returncode == 0, done.stderr
        numbers: list[float] = json.loads(done.stdout)
        return numbers

    return run
