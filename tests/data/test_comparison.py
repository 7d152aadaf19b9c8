"""What is new, gone, relabelled and renamed is found by content, and changed shares of labels by a test."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from noria import api
from noria.artifacts.dataset import Dataset
from noria.contracts import Example
from noria.data.comparison import as_dict, compare, compare_shares, shares_by_label, units


def example(number: int, label: str, group: str | None = None) -> Example:
    return Example(f"{label}/{number}.jpg", label, f"{number:064x}", f"{number + 10**9:064x}", "train", group)


def examples(counts: dict[str, int], start: int = 0) -> list[Example]:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [example(start + number, label) for number, label in enumerate(labels)]


@pytest.fixture(scope="module")
def before(photos: Path) -> Dataset:
    return api.check(photos)


@pytest.fixture(scope="module")
def after(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The same photos after a few weeks of work on them."""
    root = tmp_path_factory.mktemp("later") / "flowers"
    shutil.copytree(photos, root)
    daisy = sorted((root / "daisy").glob("[0-9]*.jpg"))
    rose = sorted((root / "rose").glob("[0-9]*.jpg"))
    daisy[0].rename(root / "daisy" / "renamed.jpg")
    daisy[1].rename(root / "rose" / daisy[1].name)  # relabelled
    daisy[2].unlink()
    with Image.open(daisy[3]) as photo:  # the same pixels in another file
        photo.convert("RGB").save(root / "daisy" / "stored.png")
    daisy[3].unlink()
    with Image.open(daisy[4]) as photo:  # edited in place
        photo.convert("L").save(root / "added.jpg", quality=60)
    (root / "added.jpg").replace(daisy[4])
    shutil.copyfile(daisy[5], root / "sunflower" / "contradiction.jpg")  # set aside from now on
    with Image.open(rose[4]) as photo:
        photo.rotate(90).save(root / "sunflower" / "added.png")
    return api.check(root)


def test_inputs_are_known_by_content_and_not_by_name(before: Dataset, after: Dataset) -> None:
    names = sorted(one.path for one in before.examples if one.path.startswith("daisy/"))
    told = as_dict(compare(after, before))
    assert sorted(told["added"]) == sorted([names[4], "sunflower/added.png"])
    assert sorted(told["gone"]) == sorted([names[2], names[4], names[5]])
    assert told["edited"] == [names[4]]
    assert told["set_aside"] == [names[5]]
    moved = {"path": names[1].replace("daisy", "rose"), "other": names[1], "label": "rose", "before": "daisy"}
    assert told["relabelled"] == [moved]
    assert sorted((one["before"], one["now"]) for one in told["renamed"]) == sorted(
        [(names[0], "daisy/renamed.jpg"), (names[3], "daisy/stored.png")]
    )
    assert told["kept"] == len(before.examples) - 3


def test_data_compared_with_itself_has_not_changed(before: Dataset) -> None:
    told = as_dict(compare(before, before))
    assert told.pop("kept") == len(before.examples)
    assert not any(told.values())


def test_rows_that_stand_on_another_line_are_not_renamed(tmp_path: Path) -> None:
    rows = [(f"The room number {number} was fine", "good" if number % 2 else "bad") for number in range(30)]
    tables = tmp_path / "old.csv", tmp_path / "new.csv"
    for table, some in zip(tables, (rows, [("A new one at the top", "good"), *rows[1:]]), strict=True):
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *some])
    changes = compare(api.check(tables[1]), api.check(tables[0]))
    assert [one.path for one in changes.added] == ["new.csv:2"]
    assert [one.path for one in changes.gone] == ["old.csv:2"]
    assert not changes.renamed and not changes.edited and len(changes.kept) == 29


def test_copies_groups_and_near_duplicates_are_one_unit() -> None:
    some = [example(1, "a"), example(1, "b"), example(2, "a", "g"), example(3, "a", "g"), example(4, "a")]
    assert units(some) == [0, 0, 2, 2, 4]
    assert units(some, [7, 8, 9, 10, 7]) == [0, 0, 2, 2, 0]


@pytest.mark.parametrize(
    ("first", "second", "changed"),
    [
        ({"a": 100, "b": 100}, {"a": 200, "b": 200}, False),
        ({"a": 140, "b": 60}, {"a": 200, "b": 200}, True),
        ({"a": 100, "c": 100}, {"a": 200, "b": 200}, True),
        ({"a": 21, "b": 19}, {"a": 20, "b": 20}, False),
    ],
)
def test_changed_shares_are_found(first: dict[str, int], second: dict[str, int], changed: bool) -> None:
    told = compare_shares(examples(first), examples(second, 10_000), seed=0)
    assert told is not None
    assert (told.p_value <= 0.01) == changed == (told.cramers_v > 0.1)
    assert told.compared == (sum(first.values()), sum(second.values()))


def test_cramers_v_is_nought_for_equal_shares_and_one_for_none_in_common() -> None:
    same = compare_shares(examples({"a": 50, "b": 50}), examples({"a": 100, "b": 100}, 1000), seed=0)
    apart = compare_shares(examples({"a": 50}), examples({"b": 70}, 1000), seed=0)
    assert same is not None and apart is not None
    assert same.cramers_v == 0 and same.p_value == 1
    assert apart.cramers_v == pytest.approx(1) and apart.p_value <= 1e-4


def test_many_members_of_one_group_are_one_voice() -> None:
    crowd = [replace(one, group="one patient") for one in examples({"a": 500}, 50_000)]
    told = compare_shares([*examples({"a": 50, "b": 50}), *crowd], examples({"a": 100, "b": 100}, 1000), seed=0)
    assert told is not None and told.compared == (101, 200) and told.p_value > 0.5
    assert compare_shares(crowd, examples({"a": 100, "b": 100}, 1000), seed=0) is None


def test_p_values_of_shares_hold_their_level() -> None:
    import numpy as np

    pool = examples({"a": 300, "b": 150, "c": 40, "d": 10})
    found = []
    for seed in range(150):
        order = np.random.default_rng(seed).permutation(500)
        told = compare_shares(_chosen(pool, order[:80]), _chosen(pool, order[80:200]), seed=seed)
        assert told is not None
        found.append(told.p_value)
    assert np.count_nonzero(np.array(found) <= 0.05) <= 16  # of 7.5 expected; 17 or more: 0.2 %
    assert 0.4 < np.mean(found) < 0.6


def _chosen(pool: Sequence[Example], places: Sequence[int]) -> list[Example]:
    return [pool[place] for place in places]


def test_shares_are_told_by_label_those_that_changed_most_first() -> None:
    rows = shares_by_label({"old": examples({"a": 50, "b": 40, "c": 10}), "new": examples({"a": 50, "b": 50})})
    assert [row["label"] for row in rows] == ["b", "c", "a"]
    assert rows[0] == {"label": "b", "old": 0.4, "new": 0.5}
    assert rows[1] == {"label": "c", "old": 0.1, "new": 0.0}
