"""Contract: the R scripts that travel with a study work from its CSV files alone.

`main_table.R`, in base R and written apart from the Python statistics, agrees with them to 1e-6 on
every layout; `ordinal_clmm.R` fits what it can, and says what it dropped. Without R the tests are
left out, with a reason; where `CI` is set they fail instead.
"""

import csv
import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rating.results
from rating.results.capsule_results import write_settings
from rating.results.export import export_study
from rating.results.planned import settings_of as planned_settings
from rating.results.statistics.comparison import contrasts
from rating.results.statistics.contrast import contrast_table
from rating.results.statistics.finding import ArmName
from rating.results.statistics.tables import read_ratings
from rating.storage.database import Database, sqlite_url
from rating.study.lookup import find_study
from tests.results_in_r import need_r
from tests.results_ratings import ALIGNMENT, ORIGIN, REALISM, answer, settings_of, write_ratings
from tests.results_study import write_answered_study

SCRIPTS = Path(rating.results.__file__).parent / "scripts"
FIGURES = (
    "difference", "low", "high", "standard_error", "df", "p", "p_holm", "low_equivalence",
    "high_equivalence", "p_equivalence",
)  # fmt: skip


def run_script(folder, name, *arguments):
    """Returns what a script prints, run from elsewhere as from a capsule."""
    done = subprocess.run(
        ["Rscript", "--vanilla", folder / "scripts" / name, *arguments], cwd=folder.parent,
        capture_output=True, text=True, timeout=240, check=False, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def capsule_of(folder, rows, settings):
    """Returns a folder laid out as a capsule, with a blank in its name."""
    folder = folder / "a capsule"
    (folder / "data").mkdir(parents=True)
    write_ratings(folder / "data" / "ratings_long.csv", rows)
    return with_scripts(folder, settings)


def with_scripts(folder, settings):
    (folder / "results").mkdir()
    write_settings(settings, folder)
    shutil.copytree(SCRIPTS, folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def figures_of(found):
    """Returns the figures of contrasts as R names them; not a number where there is none."""
    rows = []
    for one in found:
        equivalence = one.equivalence
        rows.append((
            one.finding.value, one.finding.low, one.finding.high, one.standard_error, one.df, one.p,
            one.p_holm, *(
                (equivalence.low90, equivalence.high90, equivalence.p_tost)
                if equivalence else (None,) * 3
            ),
        ))  # fmt: skip
    return pd.DataFrame(rows, columns=FIGURES, dtype=float)


def check_main_table(folder, settings):
    """Checks every figure that R computes against those of Python."""
    found = contrasts(read_ratings(folder / "data" / "ratings_long.csv"), settings)

    printed = pd.read_csv(io.StringIO(run_script(folder, "main_table.R", "--csv")))

    names = list(zip(printed["question"], printed["arm"], printed["reference"], strict=True))
    assert names == [(one.question, one.arm, one.reference) for one in found]
    pd.testing.assert_frame_equal(
        printed[list(FIGURES)].astype(float), figures_of(found), rtol=1e-6, atol=1e-9
    )
    return found


ARMS = (
    ArmName("a", 'Arm "A", first', False), ArmName("b", "Größe", False),
    ArmName("c", "Größe", False), ArmName("real", "Real", True),
)  # fmt: skip


def chosen(**changes):
    return settings_of(
        **{"scales": (ORIGIN, REALISM, ALIGNMENT), "origin_question": "origin", "arms": ARMS,
           "reference_arm": "real", "contrast_arms": ("a", "b", "c"), "equivalence_margin": 0.5,
           "holm_family": ("realism", "alignment")} | changes
    )  # fmt: skip


def drawn(seed, raters=6, prompts=10, hole=0.0, has_shared_real=False, copies=1):
    """Returns answers to realism and origin; some *cannot judge*."""
    rng = np.random.default_rng(seed)
    severity = rng.normal(0, 0.5, raters)
    rows = []
    for number, arm in enumerate(("a", "b", "c", "real")):
        own = "Q" if arm == "real" and not has_shared_real else "P"
        for prompt in range(prompts):
            easy = rng.normal(0, 0.5)
            for copy in range(copies if arm == "a" else 1):
                for rater in range(raters):
                    seen = 2.5 + 0.4 * number + easy + severity[rater] + rng.normal(0, 0.8)
                    for question, most in (("realism", 5), ("origin", 6)):
                        value = int(np.clip(round(seen), 1, most))
                        said = None if rng.random() < hole else value
                        rows.append(
                            answer(f"R{rater}", f"{own}{prompt:02}", arm, said,
                                   question=question, copy=copy)
                        )  # fmt: skip
    return rows


def subsets(rows):
    """Returns the answers of raters who saw different prompts."""
    return [
        row for row in rows if (int(row["prompt_id"][1:]) + 2 * int(row["rater_code"][1])) % 3
    ]


LAYOUTS = {
    "all judged all": (drawn(1), {}),
    "real images share prompts": (drawn(2, has_shared_real=True), {}),
    "cannot judge left out": (drawn(3, hole=0.15), {}),
    "cannot judge the worst": (drawn(4, hole=0.15), {"cannot_judge": "worst"}),
    "subsets of prompts": (subsets(drawn(5, prompts=18)), {"equivalence_margin": None}),
    "several images of a prompt": (drawn(6, copies=2, hole=0.05), {}),
    "three raters": (drawn(7, raters=3, hole=0.1), {"alpha": 0.1}),
    "three raters judged all": (drawn(8, raters=3), {}),
    "one rater": (drawn(9, raters=1), {}),
    "one prompt": (drawn(10, prompts=1), {}),
    "an arm without answers": ([row for row in drawn(11) if row["arm"] != "c"], {}),
    "excluded raters": (drawn(12, raters=7), {"excluded_raters": {"R3": "Fell asleep; twice."}}),
    "no difference at all": (
        [row | {"value": 3} for row in drawn(13)], {"excluded_raters": {"R0": 'said "no, 3"'}}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_main_table_in_r_is_that_of_python(tmp_path, name):
    need_r()
    rows, changes = LAYOUTS[name]
    more = [row | {"item_kind": kind} for row in rows[:7] for kind in ("repeat", "practice")]
    late = [row | {"submitted_at": "NA", "prompt_id": "P99"} for row in rows[:3]]
    settings = chosen(**changes)
    folder = capsule_of(tmp_path, [*rows, *more, *late], settings)

    check_main_table(folder, settings)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Returns the folder of a study that six simulated raters answered, and its settings."""
    folder = tmp_path_factory.mktemp("study")
    database = Database.open(sqlite_url(folder))
    code = write_answered_study(database, 6, 3, 6, 6)
    export_study(database, code, folder / "capsule" / "data", variant="public", has_excel=False)
    with database.read() as session:
        settings = planned_settings(session, find_study(session, code))
    database.close()
    return with_scripts(folder / "capsule", settings), settings


def test_a_real_export_gives_the_same_main_table_in_r_as_text_too(study):
    need_r()
    folder, settings = study

    found = check_main_table(folder, settings)

    lines = run_script(folder, "main_table.R").splitlines()
    for row in contrast_table(found, settings).rows:
        assert any(all(cell in line for cell in row[:8]) for line in lines), row


def test_main_table_in_r_says_where_it_has_nothing_to_compute(tmp_path):
    need_r()
    folder = capsule_of(tmp_path, drawn(1), chosen(display="side_by_side"))

    assert "main table is of preferences" in run_script(folder, "main_table.R")


def test_the_ordinal_model_tells_effects_variances_and_checks(study):
    need_r("ordinal")
    folder, _ = study

    told = run_script(folder, "ordinal_clmm.R", "--question=realism")

    assert "(1 | rater) + (1 | prompt) + (1 | rater_arm) + (1 | stimulus)" in told
    for part in ("Odds ratio", "Variances of random effects", "Proportional odds",
                 "Log-likelihood"):  # fmt: skip
        assert part in told
    assert "alignment" not in told


def test_the_ordinal_model_is_that_of_clmm_called_by_hand(tmp_path):
    need_r("ordinal")
    rows = [row for row in drawn(21, raters=6, prompts=10) if row["question"] == "realism"]
    settings = chosen(scales=(REALISM,), origin_question="")
    folder = capsule_of(tmp_path, rows, settings)
    code = """
    suppressMessages(library(ordinal))
    d <- read.csv('a capsule/data/ratings_long.csv', stringsAsFactors = TRUE)
    d$arm <- relevel(d$arm, 'real'); d$value <- ordered(d$value)
    d$stimulus_id <- factor(d$stimulus_id)
    m <- clmm(value ~ arm + (1 | rater_code) + (1 | prompt_id) + (1 | rater_code:arm) +
              (1 | stimulus_id), d)
    simple <- clm(value ~ arm, data = d)
    tested <- nominal_test(simple)
    cat(sprintf('%.2f', exp(coef(summary(m))[c('arma', 'armb', 'armc'), 1])),
        sprintf('%.2f', c(logLik(m), tested['arm', 'LRT'])))
    """

    expected = subprocess.run(
        ["Rscript", "--vanilla", "-e", code], cwd=tmp_path, capture_output=True, text=True,
        check=True, timeout=120,
    ).stdout.split()  # fmt: skip
    told = run_script(folder, "ordinal_clmm.R")

    lines = told.splitlines()
    for label, odds_ratio in zip(("first", "(b)", "(c)"), expected, strict=False):
        (line,) = [line for line in lines if label in line and " to " in line]
        assert f" {odds_ratio} " in line
    assert f"Log-likelihood {expected[-2]}" in told
    told = " ".join(told.split())
    assert "Likelihood ratio test that arms have the same effect at every point" in told
    assert f"chi-squared {expected[-1]} with 9 degrees of freedom" in told


def test_the_ordinal_model_gets_simpler_where_effects_cannot_be_told_apart(tmp_path):
    need_r("ordinal")
    rows = [row for row in drawn(22, raters=2, prompts=14) if row["question"] == "realism"]
    rows = [row for row in rows if row["arm"] in ("a", "real")]
    settings = chosen(scales=(REALISM,), origin_question="", contrast_arms=("a",))
    folder = capsule_of(tmp_path, rows, settings)

    told = " ".join(run_script(folder, "ordinal_clmm.R").split())

    assert "Dropped from the random effects: rater (it has 2 levels; 3 needed)" in told
    # Each prompt has one image: stimuli are prompts.
    assert "stimulus (the same groups as prompt)" in told
    assert "Odds ratio" in told


def test_the_ordinal_model_says_where_there_are_too_few_answers(tmp_path):
    need_r("ordinal")
    rows = [row for row in drawn(23, raters=1, prompts=3) if row["question"] == "realism"]
    folder = capsule_of(tmp_path, rows, chosen(scales=(REALISM,), origin_question=""))

    assert "No model: 12 answers with" in run_script(folder, "ordinal_clmm.R")


def test_settings_name_what_the_scripts_ask_for(tmp_path):
    """What R reads is written by the capsule: names of rows are a contract of both."""
    (tmp_path / "results").mkdir()
    write_settings(chosen(excluded_raters={"R1": "slept"}), tmp_path)

    with (tmp_path / "results" / "settings.csv").open(encoding="utf-8", newline="") as file:
        values = dict(list(csv.reader(file))[1:])

    assert values["contrast_arms"] == "a;b;c"
    assert values["arms.2.label"] == "Größe"
    assert values["arms.4.is_real"] == "1"
    assert values["scales.1.minimum"] == "1"
    assert values["excluded_raters.R1"] == "slept"
    assert values["equivalence_margin"] == "0.5"
