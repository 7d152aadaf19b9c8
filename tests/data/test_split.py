"""The split: exact, the same everywhere, and never through the middle of a unit."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.contracts import SPLITS
from noria.data.split import Item, assign
from noria.errors import ConfigError


def sha(number: object) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def singles(label: str, count: int, start: int = 0) -> list[Item]:
    return [Item(label, sha(f"{label}{number}"), start + number) for number in range(count)]


def sides_of(items: list[Item], ratios: tuple[float, float, float] = (3, 1, 1), seed: int = 0) -> dict[str, str]:
    return dict(zip((item.sha256 for item in items), assign(items, ratios=ratios, seed=seed), strict=True))


units = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 7), st.sampled_from([None, None, "patient"])), max_size=40
)


def items_of(units: list[tuple[str, int, str | None]]) -> list[Item]:
    """Units of one label each."""
    return [
        Item(label, sha(f"{number}.{copy}"), number, group and f"{group}{number}")
        for number, (label, size, group) in enumerate(units)
        for copy in range(size)
    ]


@settings(max_examples=150, deadline=None)
@given(units, st.sampled_from([(3, 1, 1), (8, 1, 1), (0.6, 0.2, 0.2), (1, 2, 2), (4, 1, 0)]), st.integers(0, 3))
def test_no_unit_is_cut_and_every_class_of_three_units_is_on_every_side(
    units: list[tuple[str, int, str | None]], ratios: tuple[float, float, float], seed: int
) -> None:
    items = items_of(units)
    sides = assign(items, ratios=ratios, seed=seed)
    by_unit, by_label, count = defaultdict(set), defaultdict(set), Counter(unit[0] for unit in units)
    for item, side in zip(items, sides, strict=True):
        by_unit[item.unit].add(side)
        by_label[item.label].add(side)
    assert all(len(found) == 1 for found in by_unit.values())
    wanted = {side for side, ratio in zip(SPLITS, ratios, strict=True) if ratio}
    for label, found in by_label.items():
        assert found <= wanted
        assert "train" in found
        assert len(found) == min(len(wanted), count[label])


@settings(max_examples=60, deadline=None)
@given(units, st.randoms(use_true_random=False))
def test_the_order_of_the_files_does_not_matter(
    units: list[tuple[str, int, str | None]], shuffler: random.Random
) -> None:
    items = items_of(units)
    shuffled = list(items)
    shuffler.shuffle(shuffled)
    assert sides_of(items) == sides_of(shuffled)


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 300), st.sampled_from([(3, 1, 1), (8, 1, 1), (2, 1, 1)]))
def test_lone_pictures_meet_their_quotas_to_one_picture(count: int, ratios: tuple[int, int, int]) -> None:
    got = Counter(assign(singles("a", count), ratios=ratios, seed=0))
    for side, ratio in zip(SPLITS, ratios, strict=True):
        exact = count * ratio / sum(ratios)
        assert abs(got[side] - exact) < 1 or (got[side] == 1 and exact < 1) or count < 2 * sum(ratios)


@settings(max_examples=60, deadline=None)
@given(units)
def test_quotas_miss_by_no_more_than_the_largest_unit(units: list[tuple[str, int, str | None]]) -> None:
    items = items_of(units)
    sides = assign(items, ratios=(3, 1, 1), seed=0)
    for label in "abc":
        sizes = [size for name, size, _ in units if name == label]
        if len(sizes) < 3:
            continue
        got = Counter(side for item, side in zip(items, sides, strict=True) if item.label == label)
        for side, share in zip(SPLITS, (0.6, 0.2, 0.2), strict=True):
            assert abs(got[side] - sum(sizes) * share) <= max(sizes) + 1


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, {"train": 1}),
        (2, {"train": 1, "test": 1}),
        (3, {"train": 1, "validation": 1, "test": 1}),
        (5, {"train": 3, "validation": 1, "test": 1}),
        (1000, {"train": 600, "validation": 200, "test": 200}),
    ],
)
def test_three_to_one_to_one(count: int, expected: dict[str, int]) -> None:
    assert Counter(assign(singles("a", count), ratios=(3, 1, 1), seed=0)) == expected


def test_the_split_is_the_same_on_every_machine_and_other_with_another_seed() -> None:
    first = sides_of(singles("a", 10))
    assert "".join(side[1] for side in first.values()) == "errrerarra"
    assert first != sides_of(singles("a", 10), seed=1)


def test_an_added_picture_moves_at_most_three_others_and_none_between_train_and_test() -> None:
    for size in range(100, 130):
        before, after = sides_of(singles("a", size)), sides_of(singles("a", size + 1))
        moved = {(before[one], after[one]) for one in before if before[one] != after[one]}
        assert sum(before[one] != after[one] for one in before) <= 3
        assert not moved & {("train", "test"), ("test", "train")}


def test_a_given_split_is_kept_and_what_is_missing_is_taken_from_train() -> None:
    items = [Item("a", sha(number), number, given="test" if number < 10 else "train") for number in range(50)]
    sides = assign(items, ratios=(3, 1, 1), seed=0)
    assert Counter(sides) == {"train": 30, "validation": 10, "test": 10}
    assert sides[:10] == ["test"] * 10


def test_files_without_a_side_go_to_train_where_all_sides_are_given() -> None:
    items = [Item("a", sha(side), number, given=side) for number, side in enumerate(SPLITS)]
    assert assign([*items, *singles("a", 20, start=3)], ratios=(3, 1, 1), seed=0) == [*SPLITS, *["train"] * 20]


def test_a_set_given_as_test_only_stays_test() -> None:
    items = [Item("a", sha(number), number, given="test") for number in range(5)]
    assert assign(items, ratios=(3, 1, 1), seed=0) == ["test"] * 5


def test_groups_that_hold_several_labels_stay_whole_and_near_the_quotas() -> None:
    dice = random.Random(0)
    items = []
    for patient in range(60):
        items += [
            Item(dice.choice("abc"), sha(f"{patient}.{scan}"), patient, f"patient {patient}")
            for scan in range(dice.randint(1, 12))
        ]
    sides = assign(items, ratios=(3, 1, 1), seed=0)
    assert len({(item.unit, side) for item, side in zip(items, sides, strict=True)}) == 60
    for label in "abc":
        got = Counter(side for item, side in zip(items, sides, strict=True) if item.label == label)
        assert abs(got["test"] / got.total() - 0.2) < 0.05


def test_a_hundred_thousand_pictures_are_split_in_seconds() -> None:
    items = [item for label in range(100) for item in singles(str(label), 1000, start=label * 1000)]
    start = time.monotonic()
    assert Counter(assign(items, ratios=(3, 1, 1), seed=0))["train"] == 60_000
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("ratios", [(0, 1, 1), (3, -1, 1), (float("nan"), 1, 1), (3, 1)])
def test_impossible_ratios_are_refused(ratios: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="three numbers"):
        assign([], ratios=ratios, seed=0)
