"""Contract: every column of every exported table is described once, the lists that statistics and
capsules rely on stand as agreed, the public variant changes what it says it changes and nothing
else, cells can be read back exactly, and no text in a copy for Excel becomes a formula.
"""

import csv
import datetime
import io
import re
import sys
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rating.results.cells import (
    boolean,
    json_text,
    marks_text,
    moment,
    number,
    seconds_since,
    tags_text,
    text_or_missing,
    years,
)
from rating.results.column import VARIANTS, Column
from rating.results.columns import (
    ASSIGNMENTS,
    PROGRESS_TABLE,
    RATINGS,
    WIDE,
    Asked,
    tables_of,
)
from rating.results.dictionary import dictionary_rows, dictionary_text
from rating.results.spreadsheet import OPERATORS, SpreadsheetWriter, is_operator, neutral

QUESTIONS = (Asked("origin", "scale"), Asked("preference", "preference"))
RATINGS_COLUMNS = (
    "study_code, study_kind, protocol_version, protocol_sha256, rater_code, specialty, "
    "years_experience, is_independent, enrolment_index, assignment_id, position, slot, item_id, "
    "item_kind, repeat_of_item_id, display, prompt_id, arm, is_real, model, weights_sha256, seed, "
    "selection_rule, candidate_count, stimulus_id, stimulus_sha256, question, value, cannot_judge, "
    "seen_before, tags, marks, shown_at, judged_at, submitted_at, saved_at, visible_ms, edits, "
    "viewport_width_px, viewport_height_px, device_pixel_ratio, app_version"
)
ASSIGNMENTS_COLUMNS = (
    "study_code, study_kind, rater_code, enrolment_index, assignment_id, protocol_version, "
    "position, item_id, item_kind, repeat_of_item_id, display, prompt_id, slot, arm, is_real, "
    "model, weights_sha256, seed, selection_rule, candidate_count, stimulus_id, stimulus_sha256, "
    "tags, marks, shown_at, judged_at, submitted_at, visible_ms"
)
TIMES = {"shown_at", "judged_at", "submitted_at", "saved_at"}
BLANKS = st.text(alphabet=" \t\r\n\u00a0\u200b\ufeff\u3000", max_size=3)
UTC = datetime.UTC


def all_tables():
    return {**tables_of(QUESTIONS, "full"), PROGRESS_TABLE.file: PROGRESS_TABLE}


@pytest.mark.parametrize(
    ("file", "names"), [(RATINGS, RATINGS_COLUMNS), (ASSIGNMENTS, ASSIGNMENTS_COLUMNS)]
)
def test_the_columns_that_statistics_read_stand_as_agreed(file: str, names: str) -> None:
    assert ", ".join(all_tables()[file].names("full")) == names


def test_every_column_says_what_it_holds_and_is_there_once() -> None:
    for table in all_tables().values():
        names = table.names("full")
        assert len(set(names)) == len(names), table.file
        assert names[:2] == ("study_code", "study_kind"), table.file
        for column in table.columns:
            assert re.match(r"\S.*[.]$", column.meaning), (table.file, column)
            assert not column.missing.endswith("."), (table.file, column)


def test_a_name_stands_for_one_thing_in_all_tables() -> None:
    types: dict[str, set[tuple[str, str]]] = {}
    for table in all_tables().values():
        for column in table.columns:
            types.setdefault(column.name, set()).add((column.type, column.unit))
    assert {name for name, found in types.items() if len(found) > 1} == set()


def test_the_public_variant_leaves_out_bands_and_relates_what_it_says() -> None:
    full, public = tables_of(QUESTIONS, "full"), tables_of(QUESTIONS, "public")
    assert set(full) - set(public) == {"remarks.csv"}
    gone, new = set(), set()
    for file, table in public.items():
        gone |= set(full[file].names("full")) - set(table.names("public"))
        new |= set(table.names("public")) - set(full[file].names("full"))
    assert new == {name.replace("_at", "_s") for name in TIMES}
    assert gone == TIMES | {
        "viewport_width_px", "viewport_height_px", "device_pixel_ratio", "consented_at",
        "enrolled_at", "completed_at", "withdrawn_at", "provenance", "source_name",
    }  # fmt: skip
    for table in public.values():
        assert not [each for each in table.of("public") if each.type == "time"]
        for column in table.of("public"):
            if column.name == "years_experience":
                assert column.type == "text" and "20+" in column.meaning


@given(st.lists(st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,12}", fullmatch=True), unique=True))
@example(["x", "cannot_judge_x", "repeat_value_x", "slot", "value_x"])
def test_columns_of_the_wide_table_never_share_a_name(codes: list[str]) -> None:
    for kind in ("scale", "preference"):
        names = tables_of([Asked(code, kind) for code in codes], "full")[WIDE].names("full")
        assert not [name for name, count in Counter(names).items() if count > 1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_dictionary_has_each_column_of_each_table_once(variant: str) -> None:
    tables = tables_of(QUESTIONS, variant)
    rows = list(dictionary_rows(("s1", "main"), tables, variant))
    expected = [(table.file, name) for table in tables.values() for name in table.names(variant)]
    assert [row[2:4] for row in rows] == expected
    assert {len(row) for row in rows} == {len(tables["dictionary.csv"].columns)}
    text = dictionary_text("s1", False, tables, variant)
    for table in tables.values():
        section = text.split(f"## {table.file}\n")[1].split("\n## ")[0]
        told = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
        assert tuple(told) == table.names(variant)


def test_the_dictionary_says_what_the_public_variant_does_with_a_column() -> None:
    rows = dictionary_rows(("s1", "main"), tables_of(QUESTIONS, "full"), "full")
    treated = {row[2:4]: row[-1] for row in rows}
    assert treated[RATINGS, "value"] == "the same"
    assert treated[RATINGS, "years_experience"] == "in bands"
    assert treated[RATINGS, "viewport_width_px"] == "left out"
    assert treated["remarks.csv", "remark"] == "left out"
    assert "in seconds" in treated[RATINGS, "shown_at"]
    public = dictionary_rows(("s1", "main"), tables_of(QUESTIONS, "public"), "public")
    assert {row[2:4]: row[-1] for row in public}[RATINGS, "shown_s"].startswith("in seconds")


def test_a_pilot_is_marked_in_the_readable_dictionary() -> None:
    tables = tables_of(QUESTIONS, "full")
    assert "is a pilot" in dictionary_text("s1", True, tables, "full")
    assert "is a pilot" not in dictionary_text("s1", False, tables, "full")


@given(st.one_of(st.none(), st.text(), st.from_regex(r"\\{0,3}NA", fullmatch=True)))
def test_a_text_that_can_miss_is_read_back_exactly(text: str | None) -> None:
    cell = text_or_missing(text)
    assert (cell == "NA") == (text is None)
    back = None if cell == "NA" else re.sub(r"\A\\(\\*NA)\Z", r"\1", cell)
    assert back == text


def split(text: str, separator: str) -> list[str]:
    """Splits at separators that have no backslash before them; backslashes stay."""
    parts, signs = [""], iter(text)
    for sign in signs:
        if sign == separator:
            parts.append("")
        else:
            parts[-1] += sign + (next(signs) if sign == "\\" else "")
    return parts if text else []


def plain(tag: str) -> str:
    return re.sub(r"\\(.)", r"\1", tag, flags=re.DOTALL)


TAGS = st.text(alphabet="ab;,\\=\n", min_size=1, max_size=6)


@given(st.sets(TAGS))
def test_tags_are_read_back_exactly(tags: set[str]) -> None:
    assert [plain(tag) for tag in split(tags_text(tags), ";")] == sorted(tags)


SHARES = st.floats(0, 1)


@given(st.lists(st.tuples(SHARES, SHARES, st.one_of(st.none(), TAGS))))
def test_marks_are_read_back_exactly(marks: list[tuple[float, float, str | None]]) -> None:
    found = []
    for mark in split(marks_text(marks), ";"):
        x, y, *tag = split(mark, ",")
        found.append((float(x), float(y), plain(tag[0]) if tag else None))
    assert found == marks


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime.datetime(2000, 1, 1)))
def test_a_moment_is_read_back_to_the_microsecond(value: datetime.datetime) -> None:
    cell = moment(value)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.]\d{6}Z", cell)
    assert datetime.datetime.fromisoformat(cell) == value


@given(st.integers(-(10**12), 10**15))
def test_relative_moments_are_exact_to_the_microsecond(microseconds: int) -> None:
    start = datetime.datetime(2025, 3, 1, tzinfo=UTC)
    cell = seconds_since(start, start + datetime.timedelta(microseconds=microseconds))
    assert round(float(cell) * 1_000_000) == microseconds
    assert len(cell.partition(".")[2]) == 6


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_back_exactly(value: float) -> None:
    assert float(number(value)) == value


def test_what_misses_is_told_by_the_code() -> None:
    told = [text_or_missing(None), number(None), boolean(None), moment(None), json_text(None),
            years(None, "public"), seconds_since(None, None)]  # fmt: skip
    assert told == ["NA"] * len(told)
    assert (boolean(True), boolean(False)) == ("1", "0")


@pytest.mark.parametrize(
    ("value", "band"),
    [(0, "0-4"), (4, "0-4"), (5, "5-9"), (9, "5-9"), (10, "10-19"), (19, "10-19"), (20, "20+"),
     (70, "20+")],
)  # fmt: skip
def test_years_of_experience_are_put_in_bands(value: int, band: str) -> None:
    assert years(value, "public") == band
    assert years(value, "full") == str(value)


def test_every_form_of_an_operator_is_known() -> None:
    forms = {
        chr(point)
        for point in range(sys.maxunicode + 1)
        if not 0xD800 <= point < 0xE000 and is_operator(chr(point))
    }
    assert forms == set(OPERATORS)


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "\u3000=1",
     "\ufeff=1", "\u200b@x", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20x", "\u22121", "\tplain",
     "=HYPERLINK(\"http://x\")", "=cmd|' /C calc'!A0", "  \t -2", "=", "5-9", "10-19", "1/2",
     "3.4.2025"],
)  # fmt: skip
def test_what_a_spreadsheet_would_carry_out_gets_an_apostrophe(text: str) -> None:
    told = neutral(text)
    assert told.startswith("'") and told.replace("'", "") == text.replace("'", "")


@pytest.mark.parametrize(
    "text",
    ["", "NA", "plain", "a = b", "a-b", "x+y", "mail@host", "polyp, 5-9 mm", "p-717a9ae4258f",
     "שלום", "👍", "0.5,0.25,colour", "(=1)", "2.5", "12"],
)  # fmt: skip
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert neutral(text) == text


@given(st.text(), BLANKS, st.sampled_from(OPERATORS), st.sampled_from(";\n\t\r"), st.text())
def test_a_cell_taken_apart_at_a_semicolon_starts_no_formula_either(
    before: str, blank: str, operator: str, separator: str, after: str
) -> None:
    text = f"{before}{separator}{blank}{operator}{after}"
    for separated in re.split(r"[;\t\r\n]", neutral(text)):
        assert not re.match(rf"[\s\u200b\ufeff]*[\"]*[{re.escape(OPERATORS)}]", separated)


@given(st.text())
def test_without_its_apostrophes_a_neutral_text_is_the_text(text: str) -> None:
    assert neutral(text).replace("'", "") == text.replace("'", "")


def test_numbers_stay_numbers_in_copies_for_excel() -> None:
    file = io.StringIO()
    columns = (Column("a", "text", "A."), Column("b", "number", "B."), Column("=c", "text", "C."))
    SpreadsheetWriter(file, columns).write([("=1", "-1.5", "x\ny")])
    rows = list(csv.reader(io.StringIO(file.getvalue(), newline="")))
    assert rows == [["a", "b", "'=c"], ["'=1", "-1.5", "x\ny"]]
    assert file.getvalue().endswith('"x\ny"\r\n')
