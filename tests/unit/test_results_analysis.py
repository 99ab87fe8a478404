"""Contract: one call analyses a study from its tables: always says something, twice the same."""

import dataclasses
import itertools

import numpy as np
import pytest

from rating.results.statistics.analysis import analyse, analysis_tables, analysis_text
from rating.results.statistics.finding import ArmName, Scale
from tests.results_ratings import (
    ALIGNMENT,
    ARMS,
    ORIGIN,
    REALISM,
    answer,
    assignments_of,
    ratings_of,
    settings_of,
)

PREFERENCE = Scale("preference", "Which is best?", "preference", 1, 2, ("1", "2"))
SYNTHETIC = tuple(arm for arm in ARMS if not arm.is_real)


def single(raters=6, prompts=12, unable=0.0, seed=1):
    """Returns answers to all three questions about two arms and real images, with repeats."""
    rng = np.random.default_rng(seed)
    images = [(f"P{p:02}", arm) for p in range(prompts) for arm in "ab"]
    images += [(f"Q{p:02}", "real") for p in range(prompts)]
    means = {"a": 3.6, "b": 2.8, "real": 4.2}
    rows = []
    for rater, kind in itertools.product(range(raters), ("main", "repeat")):
        lenient = rater / raters - 0.5
        for number, (prompt, arm) in enumerate(images):
            if kind == "repeat" and number % 4:
                continue
            seen = means[arm] + lenient + rng.normal(0, 0.8)
            scores = {"realism": seen, "alignment": seen, "origin": 6.5 - seen}
            for question, score in scores.items():
                value = int(np.clip(round(score), 1, 6 if question == "origin" else 5))
                extra = {"repeat_of_item_id": number + 1} if kind == "repeat" else {}
                said = None if rng.random() < unable else value
                row = answer(f"R{rater:02}", prompt, arm, said, question=question, **extra)
                rows.append(row | {"item_kind": kind, "item_id": number + 1})
    for row in rows:
        row["stimulus_id"] = row["item_id"]
        if row["item_kind"] == "repeat":
            row["item_id"] += 1000
        row["assignment_id"] = 10_000 * int(row["rater_code"][1:]) + row["item_id"]
    return rows


def slots_of(rows):
    """Returns the table of slots of a study of single images."""
    return assignments_of({row["assignment_id"]: row for row in rows}.values())


def single_settings(**changes):
    chosen = {
        "scales": (ORIGIN, REALISM, ALIGNMENT), "origin_question": "origin",
        "reference_arm": "real", "contrast_arms": ("a", "b"), "equivalence_margin": 0.5,
    }  # fmt: skip
    return settings_of(**(chosen | changes))


def side_by_side(raters=6, prompts=12, seed=2):
    """Returns answers and slots of a study in which a is preferred to b three times in four."""
    rng = np.random.default_rng(seed)
    answers, slots = [], []
    for number, (rater, prompt) in enumerate(itertools.product(range(raters), range(prompts))):
        order = ["a", "b"] if rng.random() < 0.5 else ["b", "a"]
        best = "a" if rng.random() < 0.75 else "b"
        shared = {
            "rater_code": f"R{rater:02}", "prompt_id": f"P{prompt:02}", "display": "side_by_side",
            "assignment_id": number + 1, "item_id": prompt + 1,
        }  # fmt: skip
        numbers = {arm: 2 * prompt + SYNTHETIC.index(ArmName(arm, f"Arm {arm.upper()}", False))
                   for arm in "ab"}  # fmt: skip
        for slot, arm in enumerate(order):
            slots.append(shared | {"slot": slot, "arm": arm, "stimulus_id": numbers[arm]})
        slot = order.index(best)
        answers.append(
            shared | {"arm": best, "slot": slot, "stimulus_id": numbers[best],
                      "question": "preference", "value": slot + 1, "is_real": 0}
        )  # fmt: skip
    return answers, slots


def side_settings():
    return settings_of(
        display="side_by_side", scales=(PREFERENCE,), primary_question="preference",
        holm_family=("preference",), arms=SYNTHETIC,
    )  # fmt: skip


def checked(analysis):
    """Returns the text of an analysis after checking its tables."""
    tables = analysis_tables(analysis)
    assert tables[0].name == "main"
    names = [table.name for table in tables]
    assert len(set(names)) == len(names)
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows), table.name
        cells = [
            cell
            for row in table.rows
            for cell, column in zip(row, table.columns, strict=True)
            if column != "Remark"
        ]
        assert all(cell.strip() for cell in cells), table.to_text()
        assert not {"nan", "None", "inf", "-inf", "<NA>"} & set(cells), table.name
    text = analysis_text(analysis)
    assert "nan" not in text.split()
    return text


def test_a_study_of_single_images_is_analysed_whole():
    rows = single()
    chosen = single_settings()

    analysis = analyse(ratings_of(rows), slots_of(rows), chosen)

    text = checked(analysis)
    assert [(one.question, one.arm) for one in analysis.contrasts] == [
        (question, arm) for question in ("realism", "origin", "alignment") for arm in "ab"
    ]
    assert analysis.detection is not None
    assert analysis.preference is None
    assert text.startswith(f"A study (S1)\n\n{analysis.data_used}")
    assert text.index("Differences of mean scores") < text.index("Distributions, medians")
    by_arm = {one.arm: one.finding for one in analysis.contrasts if one.question == "realism"}
    assert by_arm["b"].high < 0  # planted: 1.4 points below real


def test_the_same_tables_and_settings_give_the_same_text_whatever_the_order_of_rows():
    rows = single(unable=0.05)
    chosen = single_settings(seed=7)

    texts = {
        analysis_text(analyse(ratings_of(some), slots_of(some), chosen))
        for some in (rows, rows, rows[::-1])
    }

    assert len(texts) == 1


def test_a_study_side_by_side_has_preferences_for_its_main_table():
    answers, slots = side_by_side()

    analysis = analyse(ratings_of(answers), assignments_of(slots), side_settings())

    text = checked(analysis)
    assert analysis.contrasts == ()
    assert analysis.preference is not None
    assert "Which arm is preferred" in text
    assert "Differences of mean scores" not in text


def test_a_pilot_and_a_study_without_a_plan_are_marked_on_the_text_and_the_main_table():
    answers, slots = side_by_side()
    changes = {"is_pilot": True, "has_plan": False}
    studies = [
        analyse(ratings_of(single()), slots_of(single()), single_settings(**changes)),
        analyse(
            ratings_of(answers), assignments_of(slots),
            dataclasses.replace(side_settings(), **changes),
        ),
    ]  # fmt: skip

    for analysis in studies:
        for told in (analysis_text(analysis), analysis_tables(analysis)[0].to_text()):
            assert "This is a pilot" in told
            assert "everything here is exploratory" in told


FEW = {
    "one rater": single(raters=1),
    "two raters": single(raters=2),
    "four raters": single(raters=4),
    "one prompt": single(prompts=1),
    "two prompts": single(prompts=2),
    "all cannot judge": [
        row | {"value": "NA", "cannot_judge": 1} for row in single(raters=5, prompts=3)
    ],
    "all values equal": [
        row | {"value": 3} for row in single(raters=5, prompts=6) if row["item_kind"] == "main"
    ],
    "one arm": [row for row in single() if row["arm"] == "a"],
    "no real images": [row for row in single() if row["arm"] != "real"],
    "half cannot judge": single(unable=0.5),
    "one answer": single(raters=1, prompts=1)[:1],
    "nothing submitted": [row | {"submitted_at": "NA"} for row in single(raters=2, prompts=2)],
    "only repeats": [row for row in single(raters=3) if row["item_kind"] == "repeat"],
    "one question": [row for row in single() if row["question"] == "realism"],
}


@pytest.mark.parametrize("cannot_judge", ["exclude", "worst"])
@pytest.mark.parametrize("name", FEW)
def test_too_few_data_never_fail_and_show_no_number_that_is_none(name, cannot_judge):
    rows = FEW[name]

    text = checked(
        analyse(
            ratings_of(rows), slots_of(rows), single_settings(cannot_judge=cannot_judge)
        )
    )

    assert len(text) > 500


@pytest.mark.parametrize(("raters", "prompts"), [(1, 1), (1, 6), (3, 1), (3, 4), (6, 2)])
def test_few_choices_side_by_side_never_fail(raters, prompts):
    answers, slots = side_by_side(raters, prompts)

    checked(analyse(ratings_of(answers), assignments_of(slots), side_settings()))


def test_an_empty_table_is_analysed_too():
    rows = single(raters=1, prompts=1)
    ratings, slots = ratings_of(rows).iloc[:0], slots_of(rows).iloc[:0]

    checked(analyse(ratings, slots, single_settings()))
    answers, sides = side_by_side(1, 1)
    checked(
        analyse(ratings_of(answers).iloc[:0], assignments_of(sides).iloc[:0], side_settings())
    )
