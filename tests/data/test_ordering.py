"""A split by time learns from the oldest and is tested on the newest, whatever else holds inputs together."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from noria.artifacts.dataset import Dataset
from noria.config import load_config
from noria.data.check import check
from noria.data.ordering import assign_in_order, sort_keys
from noria.data.readers import Columns
from noria.errors import ConfigError
from noria.inputs.text import Settings


def notes(path: Path, dates: list[str], **more: list[str]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "date", *more])
        for number, date in enumerate(dates):
            own = [values[number] for values in more.values()]
            writer.writerow([f"note{number} about {number * 7} things", "ab"[number % 2], date, *own])
    return path


def checked(path: Path, **rules: str) -> Dataset:
    return check(path, settings=Settings(), columns=Columns(**rules), task="text_classification")


def test_the_oldest_are_learnt_from_and_the_newest_test(tmp_path: Path) -> None:
    dates = [f"2024-{1 + number % 10:02}-01" for number in range(100)]
    dataset = checked(notes(tmp_path / "notes.csv", dates), order="column:date")
    by_side = {
        side: {one.facts["order"] for one in dataset.by_split(side)}  # type: ignore[arg-type]
        for side in ("train", "validation", "test")
    }
    assert max(by_side["train"]) < min(by_side["validation"])
    assert max(by_side["validation"]) < min(by_side["test"])
    assert dataset.counts() == {"train": 60, "validation": 20, "test": 20, "set_aside": 0}
    (told,) = [one for one in dataset.findings if one.kind == "ordered_split"]
    assert "train from 2024-01-01 to 2024-06-01" in told.message
    assert "test from 2024-09-01 to 2024-10-01" in told.message


def test_what_belongs_together_goes_by_its_newest_member(tmp_path: Path) -> None:
    dates = [f"2024-01-{1 + number:02}" for number in range(30)]
    groups = ["pair" if number in (0, 29) else "" for number in range(30)]
    dataset = checked(notes(tmp_path / "notes.csv", dates, group=groups), order="column:date")
    assert {one.split for one in dataset.examples if one.group == "pair"} == {"test"}


def test_inputs_without_a_date_are_told_and_never_test(tmp_path: Path) -> None:
    dates = [f"2024-01-{1 + number:02}" if number % 5 else "" for number in range(30)]
    dataset = checked(notes(tmp_path / "notes.csv", dates), order="column:date")
    assert {one.split for one in dataset.examples if "order" not in one.facts} == {"train"}
    assert [one.count for one in dataset.findings if one.kind == "without_moment"] == [6]


def test_the_rows_of_a_table_are_ordered_by_their_lines(tmp_path: Path) -> None:
    dataset = checked(notes(tmp_path / "notes.csv", [""] * 50), order="name")
    lines = {one.path.rpartition(":")[2]: one.split for one in dataset.examples}
    ordered = [lines[str(line)] for line in range(2, 52)]
    assert ordered == ["train"] * 30 + ["validation"] * 10 + ["test"] * 10


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("9", "10"),
        ("2024-01-31", "2024-02-01"),
        ("2024/9/30", "2024/10/1"),
        ("2024-01", "2024-02"),
        ("2024年9月30日", "2024年10月1日"),
        ("2024-05-01T10:00+02:00", "2024-05-01T09:00"),
        ("2024-05-01 09:30", "2024-05-01 10:15:00"),
        ("20240501", "20240502"),
    ],
)
def test_moments_are_compared_as_what_they_are(older: str, newer: str) -> None:
    first, second, nothing = sort_keys([older, newer, None], "column:date")
    assert first < second
    assert nothing is None


def test_moments_that_could_be_read_in_two_ways_are_refused() -> None:
    with pytest.raises(ConfigError, match="'05/06/2024'"):
        sort_keys(["2024-01-01", "05/06/2024"], "column:date")


def test_equal_moments_are_never_torn_apart() -> None:
    moments = ["1"] * 50 + ["2"] * 30 + ["3"] * 20
    sides = assign_in_order(moments, range(100), ratios=(3, 1, 1), order="column:day")
    assert sides == ["train"] * 50 + ["validation"] * 30 + ["test"] * 20


def test_too_few_moments_for_three_sides_are_an_error() -> None:
    with pytest.raises(ConfigError, match="2 different moments"):
        assign_in_order(["1", "2"], [0, 1], ratios=(3, 1, 1), order="column:day")


def test_a_given_split_and_an_order_are_one_too_many(tmp_path: Path) -> None:
    path = notes(tmp_path / "notes.csv", ["2024-01-01"] * 30, split=["train"] * 30)
    with pytest.raises(ConfigError, match="a split of its own"):
        checked(path, order="column:date")


def test_an_unknown_order_is_refused_in_the_config() -> None:
    with pytest.raises(ConfigError, match="column:date"):
        load_config(data__order="date")
