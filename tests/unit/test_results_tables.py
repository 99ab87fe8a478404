"""Contract: exported tables are read with exact types; a statistic gets the answers it is about."""

import dataclasses

import pandas as pd
import pytest

from rating.results.statistics.tables import (
    TableError,
    data_used,
    main_answers,
    read_assignments,
    read_ratings,
)
from tests.results_ratings import (
    MOMENT,
    ORIGIN,
    REALISM,
    answer,
    ratings_of,
    settings_of,
    write_ratings,
)


def test_types_are_exact_and_missing_is_missing(tmp_path):
    row = answer(
        "R01", "007", "a", 4, seed=2**64 - 1, tags="text;colour", viewport_width_px=1280,
        device_pixel_ratio=1.5, is_independent="NA", study_code="0012",
    )  # fmt: skip
    table = read_ratings(
        write_ratings(tmp_path / "r.csv", [row, answer("R01", "NA", "b", None)])
    )

    first, second = table.iloc[0], table.iloc[1]
    assert (first["prompt_id"], first["study_code"]) == ("007", "0012")
    assert second["prompt_id"] == "NA"  # a prompt has a code always: this is one
    assert first["seed"] == 2**64 - 1
    assert first["value"] == 4 and second["value"] is pd.NA
    assert bool(second["cannot_judge"]) and not bool(first["cannot_judge"])
    assert first["is_independent"] is pd.NA
    assert first["submitted_at"] == pd.Timestamp(MOMENT)
    assert first["submitted_at"].tzinfo is not None
    assert first["tags"] == "text;colour" and pd.isna(second["tags"])
    assert (first["viewport_width_px"], first["device_pixel_ratio"]) == (1280, 1.5)
    assert str(table["value"].dtype) == "Int64" and str(table["seed"].dtype) == "UInt64"


def test_an_arm_that_is_called_na_is_told_from_a_missing_one(tmp_path):
    rows = [answer("R01", "P1", "\\NA", 4), answer("R01", "P2", "NA", 3)]
    table = read_ratings(write_ratings(tmp_path / "r.csv", rows))
    assert table["arm"].iloc[0] == "NA"
    assert pd.isna(table["arm"].iloc[1])


def test_the_public_variant_is_read_as_well_and_gives_the_same_answers(tmp_path):
    rows = [answer("R01", f"P{prompt}", arm, 3) for prompt in range(3) for arm in "ab"]
    rows.append(answer("R01", "P3", "a", 5, submitted_at="NA"))
    full = pd.read_csv(
        write_ratings(tmp_path / "r.csv", rows), dtype="str", keep_default_na=False
    )
    public = full.drop(columns=["viewport_width_px", "viewport_height_px", "device_pixel_ratio"])
    for name in ("shown", "judged", "submitted", "saved"):
        public[f"{name}_at"] = public[f"{name}_at"].where(public[f"{name}_at"] == "NA", "12.25")
    public = public.rename(columns=lambda name: name.replace("_at", "_s"))
    public["years_experience"] = "5-9"
    public.to_csv(tmp_path / "public.csv", index=False)

    table = read_ratings(tmp_path / "public.csv")

    assert table.loc[0, "years_experience"] == "5-9"
    assert table.loc[0, "submitted_s"] == 12.25
    chosen = settings_of()
    kept = ["rater_code", "prompt_id", "arm", "stimulus_id", "assignment_id", "value"]
    pd.testing.assert_frame_equal(
        main_answers(table, chosen, "realism")[kept],
        main_answers(read_ratings(tmp_path / "r.csv"), chosen, "realism")[kept],
    )
    assert data_used(table, chosen) == data_used(read_ratings(tmp_path / "r.csv"), chosen)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column rater_code"),
        ("a,b\n1,2\n", "its columns are a, b"),
        (b"\x89PNG\r\n\x1a\n\xff", "is no text in UTF-8"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "other.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    for read in (read_ratings, read_assignments):
        with pytest.raises(TableError, match=r"other\.csv") as refused:
            read(path)
        assert message in str(refused.value)


def test_a_value_that_is_no_number_is_refused(tmp_path):
    path = write_ratings(tmp_path / "ratings_long.csv", [answer("R01", "P1", "a", 3)])
    path.write_text(path.read_text().replace(",realism,3,", ",realism,three,"))

    with pytest.raises(TableError, match=r"ratings_long\.csv cannot be read"):
        read_ratings(path)


def test_main_answers_are_main_showings_that_were_submitted_by_raters_who_count():
    rows = [
        answer("R01", "P1", "b", 2),
        answer("R01", "P1", "a", 3),
        answer("R01", "P2", "a", None),
        answer("R01", "P1", "a", 1, item_kind="repeat"),
        answer("R01", "P9", "a", 1, item_kind="practice"),
        answer("R01", "P8", "NA", 1, item_kind="check", is_real="NA"),
        answer("R02", "P1", "a", 4),
        answer("R03", "P1", "a", 5, submitted_at="NA"),
    ]
    chosen = settings_of(excluded_raters={"R02": "answered without looking"})

    kept = main_answers(ratings_of(rows), chosen, "realism")

    assert list(zip(kept["arm"], kept["value"], strict=True)) == [("a", 3.0), ("b", 2.0)]
    assert data_used(ratings_of(rows), chosen) == (
        "Data used: main showings that were submitted, each answer as last saved; repeats serve "
        "agreement of a rater with themselves alone, practice and attention checks nothing. "
        "realism: 3 answers of 1 rater to 2 prompts, 1 of them 'cannot judge' (left out). "
        "Excluded from all statistics: R02 (1 answer; answered without looking)."
    )


def test_cannot_judge_is_the_worst_value_where_that_was_planned():
    rows = [
        answer("R01", "P1", "a", None, question=question) for question in ("realism", "origin")
    ]
    chosen = settings_of(
        scales=(REALISM, ORIGIN), origin_question="origin", cannot_judge="worst"
    )
    ratings = ratings_of(rows)

    assert list(main_answers(ratings, chosen, "realism")["value"]) == [1.0]
    assert list(main_answers(ratings, chosen, "origin")["value"]) == [6.0]
    assert main_answers(ratings, chosen, "realism", cannot_judge="exclude").empty
    preference = dataclasses.replace(REALISM, kind="preference")
    other = dataclasses.replace(chosen, scales=(preference,))
    assert main_answers(ratings, other, "realism").empty
    assert "1 of them no preference" in data_used(ratings, other)


def test_the_order_of_rows_does_not_matter():
    rows = [
        answer(rater, prompt, arm, 3)
        for rater in ("R2", "R1")
        for prompt in ("P2", "P1")
        for arm in "ba"
    ]
    numbered = [
        row | {"assignment_id": i, "stimulus_id": i, "item_id": i} for i, row in enumerate(rows)
    ]

    first, second = (
        main_answers(ratings_of(some), settings_of(), "realism")
        for some in (numbered, numbered[::-1])
    )

    pd.testing.assert_frame_equal(first, second)
