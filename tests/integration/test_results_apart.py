"""Contract: results computed in a process beside the app are those computed within; the app loads
nothing heavy for them; errors arrive as they are; a process that is lost is told and replaced; and
it ends with the app, whatever it is doing, and leaves nothing on the disk.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from rating.errors import CapsuleError, RatingError, ResultsError, StaleError, StudyNotFoundError
from rating.results.apart import Calculator, ResultsApart
from rating.results.calculator import read_error, told_error
from rating.results.results import Results
from rating.storage.database import Database, sqlite_url
from tests.results_bulk import write_many_answers
from tests.results_study import write_answered_study
from tests.server import ROOT

SMALL = (3, 2, 3, 3)  # raters, arms, prompts, real images
PATIENCE_S = 120


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database.open(sqlite_url(tmp_path_factory.mktemp("apart")))
    yield database
    database.close()


@pytest.fixture(scope="module")
def locked(shared: Database) -> str:
    return write_answered_study(shared, *SMALL)


@pytest.fixture(scope="module")
def large(shared: Database) -> str:
    """The code of a pilot whose results take seconds."""
    code = write_answered_study(shared, 1, 3, 15, 15, kind="pilot", is_locked=False)
    write_many_answers(shared, code, 30)
    return code


@pytest.fixture
def apart(shared: Database) -> Iterator[ResultsApart]:
    results = ResultsApart(shared, software_version="9.9.9")
    yield results
    results.close()


def calculators() -> list[psutil.Process]:
    """Returns the processes that compute for this one."""
    return [
        child for child in psutil.Process().children()
        if "rating.results.calculator" in child.cmdline()
    ]  # fmt: skip


def wait_for_stage(stages: list[str], words: str) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while words not in stages:
        assert time.monotonic() < until_s, stages
        time.sleep(0.01)


def test_results_are_those_computed_within(
    shared: Database, apart: ResultsApart, locked: str, tmp_path: Path
):
    within, stages = Results(shared, software_version="9.9.9"), []
    excluded = {"R02": "answered | too fast, \"all\" of them"}
    found = apart.computed(locked, excluded, stages.append)
    assert found == within.computed(locked, excluded)
    assert stages == ["Reading the answers", "Comparing the arms", "Writing the texts"]
    assert apart.computed(locked, excluded) is found
    assert apart.figures(locked, excluded, "dark") == within.figures(locked, excluded, "dark")
    told = apart.capsule(locked, tmp_path / "apart.zip", variant="public", excluded=excluded)
    facts = within.capsule(locked, tmp_path / "within.zip", variant="public", excluded=excluded)
    assert (told.path, told.sha256) == (tmp_path / "apart.zip", facts.sha256)
    assert told.path.read_bytes() == facts.path.read_bytes()
    assert len(calculators()) == 1


def test_the_app_s_process_loads_nothing_heavy_for_results(shared: Database, locked: str):
    code = (
        "import sys\n"
        "from rating.results.apart import ResultsApart\n"
        "from rating.storage.database import Database\n"
        f"results = ResultsApart(Database.open({shared.address()!r}))\n"
        f"assert results.computed({locked!r}).tables and results.figures({locked!r})\n"
        "results.close()\n"
        "print(sorted({'pandas', 'scipy', 'statsmodels', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_errors_arrive_as_they_are(apart: ResultsApart, locked: str, tmp_path: Path):
    with pytest.raises(StudyNotFoundError, match="nosuch"):
        apart.computed("nosuch")
    taken = tmp_path / "taken.zip"
    taken.write_bytes(b"here")
    with pytest.raises(CapsuleError, match=r"taken\.zip"):
        apart.capsule(locked, taken)
    assert taken.read_bytes() == b"here"


@pytest.mark.parametrize("error", [
    ResultsError("No such table."), RatingError("x"), OSError(28, "No space left on device"),
])  # fmt: skip
def test_an_error_in_words_keeps_its_kind_and_its_words(error: Exception):
    again = read_error(told_error(error))
    assert type(again) is (OSError if isinstance(error, OSError) else type(error))
    assert str(again) == str(error)


def test_an_error_made_of_more_than_words_keeps_the_words():
    again = read_error(told_error(StaleError("Reload the page.", "frozen")))
    assert type(again) is RatingError and str(again) == "Reload the page."


def test_an_error_that_nobody_expected_comes_with_its_traceback():
    try:
        _ = {}["absent"]
    except KeyError as error:
        again = read_error(told_error(error))
    assert isinstance(again, RuntimeError)
    assert "KeyError: 'absent'" in str(again) and "Traceback" in str(again)


def test_a_process_that_is_lost_is_told_and_replaced(
    apart: ResultsApart, locked: str, large: str
):
    stages: list[str] = []
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(apart.computed, large, None, stages.append)
        wait_for_stage(stages, "Comparing the arms")
        (lost,) = calculators()
        lost.kill()
        with pytest.raises(ResultsError, match="ended with the status -9"):
            asked.result(PATIENCE_S)
    assert apart.computed(locked).tables
    (found,) = calculators()
    assert found.pid != lost.pid
    found.kill()  # while it has nothing to do
    found.wait(PATIENCE_S)
    assert apart.computed(locked, {"R01": "late"}).tables


def test_closing_ends_a_computation_and_leaves_nothing_behind(
    shared: Database, large: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path))
    results, stages = ResultsApart(shared), []
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(results.computed, large, None, stages.append)
        wait_for_stage(stages, "Comparing the arms")
        assert list(tmp_path.iterdir()) != []
        (process,) = calculators()
        results.close()
        with pytest.raises(ResultsError, match="server was stopped"):
            asked.result(PATIENCE_S)
    assert not process.is_running()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ResultsError, match="being stopped"):
        results.computed(large)


def test_it_ends_where_the_app_is_killed(shared: Database, large: str, tmp_path: Path):
    code = (
        "from rating.results.apart import ResultsApart\n"
        "from rating.storage.database import Database\n"
        f"results = ResultsApart(Database.open({shared.address()!r}))\n"
        f"results.computed({large!r}, None, lambda words: print(words, flush=True))\n"
    )
    app = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with app:
        assert app.stdout is not None
        assert app.stdout.readline() == "Reading the answers\n"
        assert app.stdout.readline() == "Comparing the arms\n"
        (process,) = psutil.Process(app.pid).children()
        app.kill()
    psutil.wait_procs([process], PATIENCE_S)
    assert not process.is_running()


def test_nothing_is_started_before_it_is_needed(shared: Database):
    calculator = Calculator(shared, "0")
    assert calculators() == []
    calculator.close()
    calculator.close()
