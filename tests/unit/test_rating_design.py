"""Contract: a rater's order keeps every rule of the protocol, for any study that feasibility lets
pass; raters together are balanced; and where an item stands tells nothing of what it shows.
"""

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rating.errors import DesignError
from rating.study.design import (
    Exposure,
    PlannedItem,
    PromptSet,
    Unit,
    draw_order,
    exposure_spread,
    feasibility,
)
from rating.study.protocol import Protocol
from rating.study.seeded import Draws
from rating.study.spacing import arm_order, spread_times

REPEAT_IDS = 100_000
ARMS = "abcde"


@dataclasses.dataclass
class Trial:
    """A study without a database: its units, and the raters it has so far."""

    sets: list[PromptSet]
    reals: list[Unit]
    checks: list[Unit]
    practice: list[Unit]
    protocol: Protocol = dataclasses.field(repr=False)  # long
    seed: int = 7
    orders: dict[int, tuple[PlannedItem, ...]] = dataclasses.field(default_factory=dict)
    enrolled: int = 0

    @property
    def units(self) -> list[Unit]:
        return [unit for group in self.sets for unit in group.units] + self.reals

    @property
    def by_id(self) -> dict[int, Unit]:
        units = {unit.item_id: unit for unit in [*self.units, *self.checks, *self.practice]}
        return units | {unit.repeat_item_id: unit for unit in self.units}

    def exposure(self) -> Exposure:
        main: Counter[int] = Counter()
        repeats: Counter[int] = Counter()
        for order in self.orders.values():
            main.update(item.item_id for item in order if item.kind == "main")
            repeats.update(item.item_id - REPEAT_IDS for item in order if item.kind == "repeat")
        return Exposure(dict(main), dict(repeats))

    def enrol(self) -> tuple[PlannedItem, ...]:
        order = draw_order(
            self.sets, self.reals, self.checks, self.practice, self.protocol, self.exposure(),
            self.seed, self.enrolled,
        )  # fmt: skip
        self.orders[self.enrolled] = order
        self.enrolled += 1
        return order

    def problems(self) -> list[str]:
        return feasibility(
            self.sets, self.reals, self.checks, self.practice, self.protocol, self.seed
        )

    def main_counts(self) -> list[int]:
        counts = self.exposure().main
        return [counts.get(unit.item_id, 0) for unit in self.units]

    def repeat_counts(self) -> list[int]:
        counts = self.exposure().repeats
        return [counts.get(unit.item_id, 0) for unit in self.units]


def build(
    arms: int = 3,
    prompts: int = 8,
    reals: int = 8,
    checks: int = 0,
    practice: int = 0,
    seed: int = 7,
    side_by_side: bool = False,
    **changes: object,
) -> Trial:
    ids = iter(range(REPEAT_IDS))
    sets = []
    for prompt in range(prompts):
        if side_by_side:
            units: Iterable[Unit] = [main_unit(next(ids), prompt, "", pictures=arms)]
        else:
            units = [main_unit(next(ids), prompt, ARMS[arm]) for arm in range(arms)]
        sets.append(PromptSet(prompt, tuple(units)))
    return Trial(
        sets,
        [main_unit(next(ids), 1000 + at, "real", is_real=True) for at in range(reals)],
        [Unit(next(ids), 2000 + at) for at in range(checks)],
        [Unit(next(ids), 3000 + at) for at in range(practice)],
        dataclasses.replace(Protocol(), **changes),
        seed,
    )


def main_unit(
    item_id: int, prompt: int, arm: str, is_real: bool = False, pictures: int = 1
) -> Unit:
    return Unit(item_id, prompt, arm, is_real, REPEAT_IDS + item_id, pictures)


def broken_rules(trial: Trial, order: Sequence[PlannedItem]) -> list[str]:
    """Return every rule that an order breaks; written anew here, from the protocol's words."""
    broken = []
    protocol, by_id = trial.protocol, trial.by_id
    ids = [item.item_id for item in order]
    kinds = [item.kind for item in order]
    if len(set(ids)) != len(ids):
        broken.append("an item is there twice")
    shown_practice = min(protocol.practice_items, len(trial.practice))
    if kinds[:shown_practice].count("practice") != shown_practice or (
        kinds.count("practice") != shown_practice
    ):
        broken.append("practice is not first, or not all")
    main = {item.item_id for item in order if item.kind == "main"}
    for group in trial.sets:
        if len(main & {unit.item_id for unit in group.units}) not in (0, len(group.units)):
            broken.append(f"prompt set {group.prompt_id} is torn")
    largest = max((len(group.units) for group in trial.sets), default=1)
    most = min(protocol.items_per_rater or len(trial.units), len(trial.units))
    if not most - largest < len(main) <= most:
        broken.append(f"{len(main)} main items, {most} allowed")
    prompts = [by_id[item_id].prompt_id for item_id in ids]
    if any(one == next_ for one, next_ in pairwise(prompts)):
        broken.append("a prompt follows itself")
    repeats = {item.item_id: at for at, item in enumerate(order) if item.kind == "repeat"}
    if len(repeats) != int(len(main) * protocol.repeat_share + 0.5):
        broken.append(f"{len(repeats)} repeats of {len(main)} items")
    for item_id, at in repeats.items():
        if at - ids.index(item_id - REPEAT_IDS) - 1 < protocol.washout_items:
            broken.append(f"repeat {item_id} is within the washout")
    if kinds.count("check") != protocol.check_items:
        broken.append("too many or too few checks")
    rated = kinds[shown_practice:]
    if rated and "check" in (rated[0], rated[-1]):
        broken.append("a check is first or last")
    for item in order:
        if sorted(item.slots) != list(range(by_id[item.item_id].stimulus_count)):
            broken.append(f"item {item.item_id} has slots {item.slots}")
    return broken


@st.composite
def trials(draw: st.DrawFn) -> Trial:
    arms = draw(st.integers(2, 5))
    prompts = draw(st.one_of(st.integers(1, 8), st.integers(1, 60)))
    is_side_by_side = draw(st.booleans())
    reals = 0 if is_side_by_side else draw(st.one_of(st.just(0), st.integers(0, 60)))
    size = 1 if is_side_by_side else arms
    whole = prompts * size + reals
    checks = draw(st.integers(0, 10))
    return build(
        arms=arms,
        prompts=prompts,
        reals=reals,
        checks=checks,
        practice=draw(st.integers(0, 10)),
        seed=draw(st.integers(0, 2**63 - 1)),
        side_by_side=is_side_by_side,
        items_per_rater=draw(st.none() | st.integers(size, whole + 5)),
        repeat_share=draw(st.floats(0, 0.5)),
        washout_items=draw(st.one_of(st.integers(0, 12), st.integers(0, 40))),
        check_items=draw(st.integers(0, checks)),
        practice_items=draw(st.integers(0, 10)),
        planned_raters=draw(st.integers(1, 20)),
    )


PROPERTY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@PROPERTY
@given(trial=trials(), data=st.data())
def test_every_order_of_a_feasible_study_keeps_every_rule(trial: Trial, data: st.DataObject):
    assume(not trial.problems())
    for _ in range(data.draw(st.integers(1, 8))):
        assert broken_rules(trial, trial.enrol()) == []
    for rater in data.draw(st.sets(st.sampled_from(sorted(trial.orders)))):
        del trial.orders[rater]
    for _ in range(data.draw(st.integers(0, 4))):
        assert broken_rules(trial, trial.enrol()) == []


@PROPERTY
@given(trial=trials(), raters=st.integers(1, 20))
def test_main_items_never_differ_by_more_than_one_rater(trial: Trial, raters: int):
    largest = max(len(group.units) for group in trial.sets)
    assume((trial.protocol.items_per_rater or 2 * largest) >= 2 * largest)
    assume(not trial.problems())
    for _ in range(raters):
        trial.enrol()
        assert max(trial.main_counts()) - min(trial.main_counts()) <= 1


@PROPERTY
@given(trial=trials(), data=st.data())
def test_top_up_raters_close_the_spread_that_drop_outs_left(trial: Trial, data: st.DataObject):
    largest = max(len(group.units) for group in trial.sets)
    assume((trial.protocol.items_per_rater or 2 * largest) >= 2 * largest)
    assume(not trial.problems())
    for _ in range(data.draw(st.integers(1, 12))):
        trial.enrol()
    for rater in data.draw(st.sets(st.sampled_from(sorted(trial.orders)))):
        del trial.orders[rater]
    spread = exposure_spread(
        trial.sets, trial.reals, trial.protocol, trial.exposure(), trial.seed
    )
    assert (spread.least, spread.most) == (min(trial.main_counts()), max(trial.main_counts()))
    assert (spread.top_up_raters == 0) == (spread.most - spread.least <= 1)
    for _ in range(spread.top_up_raters):
        trial.enrol()
    assert max(trial.main_counts()) - min(trial.main_counts()) <= 1


@PROPERTY
@given(trial=trials(), raters=st.integers(1, 20))
def test_repeats_are_balanced_to_within_one_where_all_rate_all(trial: Trial, raters: int):
    trial.protocol = dataclasses.replace(
        trial.protocol,
        items_per_rater=None,
        washout_items=min(trial.protocol.washout_items, len(trial.units) // 3),
    )
    largest = max(len(group.units) for group in trial.sets)
    assume(len(trial.sets) + len(trial.reals) >= 4 and 3 * largest <= len(trial.units))
    assume(not trial.problems())
    for _ in range(raters):
        trial.enrol()
        assert max(trial.repeat_counts()) - min(trial.repeat_counts()) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_repeats_of_part_of_the_items_are_balanced_to_within_two(seed: int):
    trial = build(prompts=20, reals=20, seed=seed, items_per_rater=20)
    for _ in range(40):
        trial.enrol()
        assert max(trial.repeat_counts()) - min(trial.repeat_counts()) <= 2


@PROPERTY
@given(trial=trials(), mixing=st.randoms())
def test_the_same_inputs_give_the_same_order_however_rows_were_read(trial: Trial, mixing):
    assume(not trial.problems())
    trial.enrol()
    expected = trial.enrol()
    del trial.orders[1]
    trial.enrolled = 1
    for rows in (trial.sets, trial.reals, trial.checks, trial.practice):
        mixing.shuffle(rows)
    assert trial.enrol() == expected


def test_an_order_is_the_same_on_every_machine_and_python():
    trial = build(checks=3, practice=4, check_items=2)
    drawn = repr([[dataclasses.astuple(item) for item in trial.enrol()] for _ in range(3)])
    digest = hashlib.sha256(drawn.encode()).hexdigest()
    assert digest == GOLDEN_SHA256


GOLDEN_SHA256 = "9812d976c0a24966c84d2663c85063edc23190c128db09df1c18ac47f7e2d82e"


def test_raters_and_seeds_get_different_orders():
    trial = build()
    orders = [tuple(item.item_id for item in trial.enrol()) for _ in range(5)]
    other = build(seed=8)
    orders.append(tuple(item.item_id for item in other.enrol()))
    assert len(set(orders)) == len(orders)


@pytest.mark.parametrize("arms", [2, 3, 4, 5])
def test_each_arm_takes_each_place_among_its_prompt_equally_often(arms: int):
    trial = build(arms=arms, prompts=10)
    places: Counter[tuple[int, str, int]] = Counter()
    for _ in range(2 * arms):
        order = trial.enrol()
        in_rater: Counter[tuple[str, int]] = Counter()
        seen: Counter[int] = Counter()
        for item in order:
            unit = trial.by_id[item.item_id]
            if item.kind == "main" and not unit.is_real:
                places[unit.prompt_id, unit.arm, seen[unit.prompt_id]] += 1
                in_rater[unit.arm, seen[unit.prompt_id]] += 1
                seen[unit.prompt_id] += 1
        assert max(in_rater.values()) - min(in_rater.values()) <= 1
        assert len(in_rater) == arms * arms
    assert len(places) == 10 * arms * arms
    assert set(places.values()) == {2}


def test_no_arm_comes_earlier_than_another_on_average():
    trial = build(arms=4, prompts=12, reals=12)
    positions: dict[str, list[float]] = {}
    for _ in range(40):
        main = [item for item in trial.enrol() if item.kind == "main"]
        for at, item in enumerate(main):
            positions.setdefault(trial.by_id[item.item_id].arm, []).append(at / (len(main) - 1))
    means = {arm: sum(places) / len(places) for arm, places in positions.items()}
    assert set(means) == {*"abcd", "real"}
    # One standard error is 0.29 / sqrt(480) = 0.013.
    assert all(abs(mean - 0.5) < 0.04 for mean in means.values())


@pytest.mark.parametrize("arms", [2, 3, 4, 5])
def test_side_by_side_each_arm_is_in_each_slot_equally_often(arms: int):
    trial = build(arms=arms, prompts=11, reals=0, side_by_side=True, washout_items=4)
    over_raters: Counter[tuple[int, int, int]] = Counter()
    for _ in range(2 * arms):
        in_rater: Counter[tuple[int, int]] = Counter()
        for item in trial.enrol():
            if item.kind == "main":
                for slot, stimulus in enumerate(item.slots):
                    in_rater[stimulus, slot] += 1
                    over_raters[item.item_id, stimulus, slot] += 1
        assert max(in_rater.values()) - min(in_rater.values()) <= 1
        assert len(in_rater) == arms * arms
    assert set(over_raters.values()) == {2}
    assert len(over_raters) == 11 * arms * arms


def test_side_by_side_a_repeat_shows_another_slot_order():
    trial = build(prompts=12, reals=0, side_by_side=True, repeat_share=0.5, washout_items=3)
    for _ in range(6):
        order = trial.enrol()
        slots = {item.item_id: item.slots for item in order}
        repeats = [item for item in order if item.kind == "repeat"]
        assert len(repeats) == 6
        assert all(slots[item.item_id - REPEAT_IDS] != item.slots for item in repeats)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_arm_orders_balance_which_arm_follows_which(count: int):
    turns = count if count % 2 == 0 else 2 * count
    orders = [arm_order(count, turn) for turn in range(turns)]
    followers = Counter(pair for order in orders for pair in pairwise(order))
    assert len(followers) == count * (count - 1)
    assert len(set(followers.values())) == 1


@pytest.mark.parametrize("raters_have", [None, 20])
def test_places_of_real_images_are_all_alike(raters_have: int | None):
    share: Counter[int] = Counter()
    repeat_share = [0, 0]
    studies = 3000
    for seed in range(studies):
        images = 5 if raters_have is None else 20
        trial = build(prompts=images, reals=images, seed=seed, items_per_rater=raters_have)
        order = trial.enrol()
        for at, item in enumerate([item for item in order if item.kind == "main"]):
            share[at] += trial.by_id[item.item_id].is_real
        for item in order:
            if item.kind == "repeat":
                repeat_share[trial.by_id[item.item_id].is_real] += 1
    # One standard error of a share of 0.25 is 0.0079; twenty places, even and odd ones.
    assert all(abs(share[at] / studies - 0.25) < 0.03 for at in range(20))
    even = sum(share[at] for at in range(0, 20, 2)) / sum(share.values())
    assert abs(even - 0.5) < 0.015
    assert abs(repeat_share[True] / sum(repeat_share) - 0.25) < 0.025


def test_what_follows_a_real_image_is_real_as_often_as_what_follows_another():
    after = {True: [0, 0], False: [0, 0]}
    for seed in range(2000):
        trial = build(arms=3, prompts=10, reals=30, seed=seed)
        shown = [trial.by_id[i.item_id].is_real for i in trial.enrol() if i.kind == "main"]
        for one, next_ in pairwise(shown):
            after[one][next_] += 1
    rates = {one: counts[1] / sum(counts) for one, counts in after.items()}
    # 29 of 59 others are real behind a real one, 30 of 59 behind another: 0.49 and 0.51.
    assert rates[True] == pytest.approx(29 / 59, abs=0.02)
    assert rates[False] == pytest.approx(30 / 59, abs=0.02)


def test_runs_of_real_images_are_not_cut_short():
    longest = []
    for seed in range(300):
        trial = build(prompts=10, reals=30, seed=seed)
        run = best = 0
        for item in trial.enrol():
            run = run + 1 if trial.by_id[item.item_id].is_real else 0
            best = max(best, run)
        longest.append(best)
    assert max(longest) >= 8
    assert len(set(longest)) >= 5


def test_the_number_of_real_images_varies_between_raters_around_their_share():
    numbers = Counter()
    for seed in range(60):
        trial = build(prompts=20, reals=20, seed=seed, items_per_rater=20)
        for _ in range(8):
            main = [item for item in trial.enrol() if item.kind == "main"]
            numbers[sum(trial.by_id[item.item_id].is_real for item in main)] += 1
    assert len(numbers) >= 3
    assert max(numbers.values()) < 0.75 * numbers.total()
    mean = sum(number * raters for number, raters in numbers.items()) / numbers.total()
    # Two whole rotations each, in which every real image is shown twice.
    assert mean == pytest.approx(5, abs=0.15)


@pytest.mark.parametrize("arms", [2, 3, 4])
def test_items_of_one_prompt_stand_far_apart(arms: int):
    trial = build(arms=arms, prompts=20, reals=20, repeat_share=0.0)
    for _ in range(2 * arms):
        places: dict[int, list[int]] = {}
        order = trial.enrol()
        for at, item in enumerate(order):
            places.setdefault(trial.by_id[item.item_id].prompt_id, []).append(at)
        gaps = [b - a for found in places.values() for a, b in pairwise(found)]
        ideal = len(order) / arms
        assert min(gaps) >= 0.3 * ideal
        assert sum(gaps) / len(gaps) >= 0.75 * ideal


def test_an_order_of_two_hundred_items_is_drawn_in_a_tenth_of_a_second():
    trial = build(arms=4, prompts=35, reals=40, checks=10, check_items=10, repeat_share=0.1)
    durations_s = []
    for _ in range(5):
        start = time.perf_counter()
        order = trial.enrol()
        durations_s.append(time.perf_counter() - start)
    assert len(order) >= 200
    assert min(durations_s) < 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompts": 1, "reals": 0}, ["same prompt", "other prompts"]),
        ({"prompts": 1, "reals": 1, "repeat_share": 0.0}, ["same prompt"]),
        ({"items_per_rater": 2}, ["items_per_rater is 2", "3 items", "at least 3"]),
        ({"items_per_rater": 3, "reals": 0, "repeat_share": 0.0}, ["same prompt"]),
        ({"washout_items": 40}, ["washout_items is 40", "32 items", "repeat_share to 0"]),
        ({"check_items": 4, "checks": 3}, ["check_items is 4", "3 images"]),
        ({"prompts": 0, "reals": 0}, ["no main items"]),
    ],
)
def test_what_cannot_be_done_is_said_before_and_stops_a_draw(
    changes: dict[str, int], words: list[str]
):
    trial = build(**changes)
    problems = trial.problems()
    assert problems
    assert all(any(word in problem for problem in problems) for word in words)
    if trial.units:
        with pytest.raises(DesignError):
            for _ in range(20):
                trial.enrol()


def test_all_plain_reasons_are_told_at_once():
    trial = build(items_per_rater=2, check_items=4, washout_items=90, repeat_share=0.5)
    assert len(trial.problems()) == 3


def test_an_impossible_study_is_refused_quickly():
    trial = build(arms=2, prompts=2, reals=0, repeat_share=0.5, washout_items=3)
    start = time.perf_counter()
    trial.problems()
    assert time.perf_counter() - start < 2


def test_a_study_just_wide_enough_for_its_washout_is_feasible():
    trial = build(prompts=5, reals=5, repeat_share=0.2, washout_items=19)
    assert trial.problems() == []
    for _ in range(6):
        assert broken_rules(trial, trial.enrol()) == []


def test_real_images_that_share_a_prompt_are_kept_apart():
    trial = build(prompts=4, reals=8)
    trial.reals = [dataclasses.replace(unit, prompt_id=unit.item_id % 4) for unit in trial.reals]
    assert trial.problems() == []
    for _ in range(10):
        assert broken_rules(trial, trial.enrol()) == []


def test_practice_is_the_same_for_all_raters_in_orders_of_their_own():
    trial = build(practice=8, practice_items=4)
    shown = [
        tuple(item.item_id for item in trial.enrol() if item.kind == "practice")
        for _ in range(8)
    ]
    assert len({frozenset(items) for items in shown}) == 1
    assert len(set(shown)) > 1


def test_practice_of_one_prompt_alone_is_allowed():
    trial = build(practice=3, practice_items=3)
    trial.practice = [dataclasses.replace(unit, prompt_id=5000) for unit in trial.practice]
    assert trial.problems() == []


def test_checks_are_shared_out_evenly_and_stay_inside():
    trial = build(checks=6, check_items=2)
    counts: Counter[int] = Counter()
    for _ in range(6):
        order = trial.enrol()
        counts.update(item.item_id for item in order if item.kind == "check")
        places = [at for at, item in enumerate(order) if item.kind == "check"]
        assert min(places) >= 2
        assert max(places) <= len(order) - 2
        assert places[1] - places[0] > 1
    assert sorted(counts.values()) == [2] * 6


def test_moments_are_all_alike_for_sets_of_any_size():
    draws = Draws("test")
    for count in (1, 2, 3, 5):
        times = [moment for _ in range(4000) for moment in spread_times(count, draws)]
        tenths = Counter(int(10 * moment) for moment in times)
        assert set(tenths) == set(range(10))
        assert all(abs(tenths[at] / len(times) - 0.1) < 0.015 for at in range(10))
