"""Samples of one source are told apart as often as chance says, and what differs is found: vectors of real texts."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from noria.data.drift import FEWEST, auc_interval, draw, measure
from noria.data.text_vectors import text_vectors
from noria.errors import DataError

Floats = NDArray[np.float32]
QUICK = 99  # permutations


@pytest.fixture(scope="module")
def reviews(shared_data: Path) -> tuple[Floats, NDArray[np.bool_]]:
    """Vectors of Chinese hotel reviews, and whether each is positive."""
    table = shared_data / "zh_reviews" / "ChnSentiCorp_htl_all.csv"
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    return text_vectors(row["review"].encode() for row in rows), np.array([row["label"] == "1" for row in rows])


def p_values(vectors: Floats, count: int, sets: int) -> NDArray[np.float64]:
    found = []
    for seed in range(sets):
        places = np.random.default_rng(seed).permutation(len(vectors))[: 2 * count]
        drift = measure(vectors[places[:count]], vectors[places[count:]], seed=seed, permutations=QUICK)
        assert drift is not None
        found.append(drift.p_value)
    return np.sort(found)


def test_p_values_are_uniform_where_both_sets_are_from_one_source(
    reviews: tuple[Floats, NDArray[np.bool_]],
) -> None:
    found = p_values(reviews[0], 60, sets=120)
    distance = np.abs(found - np.arange(1, 121) / 120).max()
    assert distance < 1.63 / np.sqrt(120)  # Kolmogorov and Smirnov, 1 %
    assert np.count_nonzero(found <= 0.05) <= 13  # of 6 expected; 14 or more have a probability of 0.3 %


@pytest.mark.parametrize(("share", "found"), [(0.0, False), (0.3, True), (1.0, True)])
def test_a_part_of_other_texts_is_found(reviews: tuple[Floats, NDArray[np.bool_]], share: float, found: bool) -> None:
    vectors, positive = reviews
    old, others = vectors[positive][:1000], vectors[~positive]
    changed = int(share * 1000)
    drift = measure(np.concatenate([others[:changed], vectors[positive][1000 : 2000 - changed]]), old)
    assert drift is not None
    assert (drift.p_value <= 0.01) == found
    assert (drift.interval[0] > 0.5) == found
    assert drift.interval[0] <= drift.auc <= drift.interval[1]
    if share == 1:
        assert drift.auc > 0.8


def test_the_rows_that_moved_most_come_first(reviews: tuple[Floats, NDArray[np.bool_]]) -> None:
    vectors, positive = reviews
    new = np.concatenate([vectors[positive][:800], vectors[~positive][:200]])
    drift = measure(new, vectors[positive][800:1800])
    assert drift is not None
    assert sorted(drift.new_rows) == list(range(1000))
    assert (drift.new_rows[:100] >= 800).mean() > 0.45  # a fifth, were the order chance
    assert (np.diff(drift.positions) <= 0).all() and drift.positions[0] > 0.99
    assert drift.positions.mean() == pytest.approx(drift.auc, abs=1e-5)


def test_the_same_seed_gives_the_same_answer_and_another_nearly_the_same(
    reviews: tuple[Floats, NDArray[np.bool_]],
) -> None:
    vectors, positive = reviews
    new, old = vectors[positive][:300], vectors[~positive][:300]
    first, second, other = (measure(new, old, seed=seed, permutations=QUICK) for seed in (1, 1, 2))
    assert first is not None and second is not None and other is not None
    assert (first.auc, first.p_value, first.interval) == (second.auc, second.p_value, second.interval)
    assert first.new_rows.tolist() == second.new_rows.tolist()
    assert other.auc == pytest.approx(first.auc, abs=0.03)


def test_more_columns_than_rows_are_no_trouble(reviews: tuple[Floats, NDArray[np.bool_]]) -> None:
    vectors, positive = reviews
    wide = np.concatenate([vectors, np.square(vectors)], axis=1)
    drift = measure(wide[positive][:100], wide[~positive][:100])
    assert drift is not None and drift.auc > 0.6 and drift.p_value <= 0.01


def test_copies_and_groups_do_not_make_a_difference_out_of_nothing(
    reviews: tuple[Floats, NDArray[np.bool_]],
) -> None:
    vectors, _ = reviews
    misled, level = 0, []
    for seed in range(40):
        places = np.random.default_rng(seed).permutation(len(vectors))[:60]
        units = np.repeat(np.arange(60), 10)  # each text ten times, as frames of one video are
        rows = vectors[places][units]
        told = [
            measure(rows[:300], rows[300:], new_units=units[:300], old_units=units[300:], permutations=QUICK),
            measure(rows[:300], rows[300:], permutations=QUICK),
        ]
        assert told[0] is not None and told[1] is not None
        level.append(told[0].p_value)
        misled += told[1].p_value <= 0.05
    assert misled > 20  # what happens where nobody says which rows belong together
    assert np.count_nonzero(np.array(level) <= 0.05) <= 7


def test_a_unit_on_both_sides_cannot_be_learnt_from_its_other_half(
    reviews: tuple[Floats, NDArray[np.bool_]],
) -> None:
    vectors, _ = reviews
    units = np.arange(200)
    drift = measure(vectors[:200], vectors[:200], new_units=units, old_units=units)
    assert drift is not None
    assert drift.auc == pytest.approx(0.5, abs=0.02)  # as rows of other units, each twin would tell of the other: below


def test_only_so_many_rows_are_compared(reviews: tuple[Floats, NDArray[np.bool_]]) -> None:
    vectors, _ = reviews
    drift = measure(vectors[:3000], vectors[3000:], most=200, permutations=QUICK)
    assert drift is not None
    assert len(drift.new_rows) == len(drift.old_rows) == 200
    assert len(set(drift.new_rows.tolist())) == 200


def test_too_few_rows_are_not_judged(reviews: tuple[Floats, NDArray[np.bool_]]) -> None:
    vectors, _ = reviews
    assert measure(vectors[: FEWEST - 1], vectors[100:300]) is None
    assert measure(vectors[:100], vectors[100:300], new_units=[0] * 100) is None
    assert measure(vectors[:FEWEST], vectors[100:300], permutations=QUICK) is not None


def test_equal_rows_and_columns_that_never_vary_are_told_of_as_no_difference() -> None:
    drift = measure(np.ones((50, 7), np.float32), np.ones((60, 7), np.float32), permutations=QUICK)
    assert drift is not None
    assert drift.auc == pytest.approx(0.5) and drift.p_value > 0.05


def test_values_that_are_not_finite_are_refused() -> None:
    rows = np.zeros((30, 4), np.float32)
    rows[3, 2] = np.nan
    with pytest.raises(DataError, match="not finite"):
        measure(rows, np.zeros((30, 4), np.float32))


def test_one_of_each_unit_is_drawn() -> None:
    units = [5, 5, 5, 2, 9, 9]
    drawn = draw(units, 10, np.random.default_rng(0))
    assert sorted(units[place] for place in drawn) == [2, 5, 9]
    assert len(draw(units, 2, np.random.default_rng(0))) == 2


def test_the_interval_holds_the_auc_and_stays_within_nought_and_one() -> None:
    for auc in (0.0, 0.31, 0.5, 0.9, 1.0):
        low, high = auc_interval(auc, 40, 60)
        assert 0 <= low <= auc <= high <= 1 and high - low > 0.02
    assert auc_interval(0.7, 400, 600)[0] > auc_interval(0.7, 40, 60)[0]
    assert auc_interval(0.7, 40, 60, widening=2)[0] < auc_interval(0.7, 40, 60)[0]
