"""Contract: no group ever lies in two splits; splits are reproducible, stable and kept in CSV."""

import itertools
import pathlib
import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.errors import DataValueError, SplitError
from data.folders import read_folder
from data.records import ImageRecord, Split
from data.splits import DisjointSets, check_leakage, make_splits, read_split_csv, write_split_csv

HALVES: dict[Split, float] = {"train": 0.5, "val": 0.25, "test": 0.25}


def record(name: str, group: str | None = None, split: Split | None = None) -> ImageRecord:
    """Return a record of an image that need not exist."""
    return ImageRecord(name, pathlib.Path(f"{name}.jpg"), ("polyp",), split, group, "made here")


def assignment(records: list[ImageRecord]) -> dict[str, Split | None]:
    """Return the split by image."""
    return {item.image_id: item.split for item in records}


many = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4),
    st.one_of(st.none(), st.sampled_from(["p1", "p2", "p3", "a", "b"])),
    max_size=40,
).map(lambda groups: [record(name, group) for name, group in groups.items()])


@given(many, st.integers(), st.data())
def test_groups_and_duplicate_clusters_never_leak(
    records: list[ImageRecord], seed: int, data: st.DataObject
) -> None:
    names = [item.image_id for item in records]
    clusters = data.draw(
        st.dictionaries(st.sampled_from(names), st.sampled_from(["x", "y"]))
        if names
        else st.just({})
    )
    divided = make_splits(records, fractions=HALVES, seed=seed, groups=clusters)
    assert [item.image_id for item in divided] == names
    assert all(item.split is not None for item in divided)
    assert check_leakage(divided, clusters) == []


@given(many, st.integers())
def test_the_same_seed_gives_the_same_splits_in_any_order(
    records: list[ImageRecord], seed: int
) -> None:
    shuffled = random.Random(1).sample(records, len(records))
    assert assignment(make_splits(records, fractions=HALVES, seed=seed)) == assignment(
        make_splits(shuffled, fractions=HALVES, seed=seed)
    )


def test_another_seed_gives_another_split() -> None:
    records = [record(f"i{number}") for number in range(100)]
    assert assignment(make_splits(records, fractions=HALVES, seed=1)) != assignment(
        make_splits(records, fractions=HALVES, seed=2)
    )


def test_adding_images_moves_no_other_image() -> None:
    before = [record(f"i{number}", f"case {number // 3}") for number in range(300)]
    after = before + [record(f"n{number}", f"new {number}") for number in range(200)]
    first = assignment(make_splits(before, fractions=HALVES, seed=7))
    second = assignment(make_splits(after, fractions=HALVES, seed=7))
    assert first == {name: second[name] for name in first}


def test_parts_come_near_the_fractions() -> None:
    divided = make_splits([record(f"i{number}") for number in range(4000)], fractions=HALVES)
    counts = Counter(item.split for item in divided)
    # Four standard deviations of a binomial with 4000 draws.
    assert abs(counts["train"] - 2000) < 127
    assert abs(counts["val"] - 1000) < 110
    assert abs(counts["test"] - 1000) < 110


@pytest.mark.parametrize("seed", range(20))
def test_no_wanted_part_stays_empty_when_there_are_units_enough(seed: int) -> None:
    divided = make_splits([record(name) for name in "abcd"], seed=seed)
    assert {item.split for item in divided} == {"train", "val", "test"}


def test_a_share_of_zero_gets_nothing() -> None:
    fractions: dict[Split, float] = {"train": 0.8, "val": 0.2}
    divided = make_splits([record(f"i{number}") for number in range(500)], fractions=fractions)
    assert {item.split for item in divided} == {"train", "val"}


def test_duplicates_join_groups_transitively() -> None:
    records = [record("a", "p1"), record("b", "p1"), record("c", "p2"), record("d", "p2")]
    for seed in range(30):
        divided = make_splits(records, fractions=HALVES, seed=seed, groups={"b": "x", "c": "x"})
        assert len({item.split for item in divided}) == 1


def test_a_group_named_like_a_foreign_image_stays_apart_from_it() -> None:
    records = [record("a"), record("b", "a")]
    found = {
        tuple(assignment(make_splits(records, fractions=HALVES, seed=seed)).values())
        for seed in range(40)
    }
    assert any(first != second for first, second in found)


def test_keep_holds_the_earlier_splits_and_draws_only_the_rest() -> None:
    earlier = [record(f"i{number}", split="test") for number in range(50)]
    new = [record(f"n{number}") for number in range(200)]
    divided = make_splits(earlier + new, fractions=HALVES, keep=True)
    assert {item.split for item in divided[:50]} == {"test"}
    assert {item.split for item in divided[50:]} == {"train", "val", "test"}


def test_keep_resolves_a_leak_towards_training() -> None:
    records = [record("a", "p", "test"), record("b", "p", "train"), record("c", "p", "val")]
    assert {item.split for item in make_splits(records, keep=True)} == {"train"}


@pytest.mark.parametrize(
    "fractions", [{"train": 0.5}, {"train": 1.5, "val": -0.5}, {"train": 0.5, "hold": 0.5}]
)
def test_fractions_that_are_no_shares_are_refused(fractions: dict[Split, float]) -> None:
    with pytest.raises(DataValueError, match="together 1"):
        make_splits([record("a")], fractions=fractions)


def test_an_image_id_that_appears_twice_is_refused() -> None:
    with pytest.raises(SplitError, match="'a' appears twice"):
        make_splits([record("a"), record("a")])


def test_check_leakage_names_the_group_its_images_and_splits() -> None:
    records = [record("a", "p", "train"), record("b", "p", "val"), record("c", "q", "val")]
    (leak,) = check_leakage(records)
    assert (leak.group, leak.image_ids, leak.splits) == ("group p", ("a", "b"), ("train", "val"))
    (leak,) = check_leakage([*records[1:], record("d", None, "test")], {"c": "x", "d": "x"})
    assert leak.image_ids == ("c", "d")


def test_the_same_image_in_two_splits_is_a_leak() -> None:
    assert len(check_leakage([record("a", None, "train"), record("a", None, "test")])) == 1


def test_a_written_split_is_taken_up_by_the_reader(tmp_path: pathlib.Path) -> None:
    (tmp_path / "images").mkdir()
    rows = ["Prompt;Filename"]
    for number in range(12):
        Image.new("RGB", (8, 8)).save(tmp_path / f"images/i{number}.png")
        rows.append(f"polyp;i{number}.png")
    (tmp_path / "prompt-gt.csv").write_text("\n".join(rows))
    divided = make_splits(read_folder(tmp_path), fractions=HALVES, groups={"i1": "i0", "i0": "i0"})
    write_split_csv(divided, tmp_path / "split.csv", {"i1": "i0", "i0": "i0"})
    again = read_folder(tmp_path)
    assert assignment(again) == assignment(divided)
    assert {item.image_id: item.group for item in again if item.group} == {"i0": "i0", "i1": "i0"}


def test_records_without_a_split_are_not_written(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SplitError, match="a has no split"):
        write_split_csv([record("a")], tmp_path / "split.csv")
    assert not (tmp_path / "split.csv").exists()


def test_a_file_with_two_splits_for_one_image_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "split.csv").write_text("Filename,Split\na.jpg,train\na.jpg,val\n")
    with pytest.raises(SplitError, match="line 3"):
        read_split_csv(tmp_path / "split.csv")


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=30))
def test_disjoint_sets_are_the_connected_components(edges: list[tuple[int, int]]) -> None:
    sets = DisjointSets()
    reach: dict[int, set[int]] = defaultdict(set)
    for node in range(16):
        reach[node] = {node}
    for one, other in edges:
        sets.join(one, other)
        merged = reach[one] | reach[other]
        for node in merged:
            reach[node] = merged
    for one, other in itertools.combinations(range(16), 2):
        assert (sets.find(one) == sets.find(other)) == (other in reach[one])
