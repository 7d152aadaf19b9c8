"""What belongs together by names, folders or columns stays together, and a rule that fits nothing is told."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noria.artifacts.dataset import Dataset
from noria.config import load_config
from noria.contracts import Candidate
from noria.data.check import check
from noria.data.grouping import grouped, rule_of
from noria.data.readers import Columns, Listing
from noria.errors import ConfigError
from noria.inputs.image import Settings
from noria.inputs.text import Settings as TextSettings


def photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((32, 24), Image.Resampling.NEAREST).save(path)


def scans(root: Path, patients: int = 12, each: int = 4) -> Path:
    """Every patient has pictures of both labels."""
    for patient in range(patients):
        for number in range(each):
            label = ("sound", "ill")[number % 2]
            photo(root / label / f"day{number}" / f"patient{patient}_{number}.png", 100 * patient + number)
    return root


def checked(root: Path, group: str, **options: str) -> Dataset:
    return check(root, settings=Settings(), columns=Columns(group=group, **options))


def sides(dataset: Dataset) -> dict[str | None, set[str]]:
    found: dict[str | None, set[str]] = {}
    for one in dataset.examples:
        found.setdefault(one.group, set()).add(one.split)
    return found


def kinds(dataset: Dataset) -> dict[str, int]:
    return {one.kind: one.count for one in dataset.findings}


@pytest.mark.parametrize(
    ("pattern", "path", "group"),
    [
        ("{group}_*.jpg", "cat/patient12_001.jpg", "patient12"),
        ("{group}_*.jpg", "cat/patient12_001.png", None),
        ("{group}_*", "cat/a_b_c.jpg", "a"),
        ("*/{group}-*", "cat/p7-3.jpg", "p7"),
        ("*/{group}-*", "cat/deep/p7-3.jpg", None),
        ("*/*/{group}-*", "cat/deep/p7-3.jpg", "p7"),
        ("scan?_{group}.*", "cat/scan1_anna.jpg", "anna"),
        ("scan[1]_{group}.*", "cat/scan1_anna.jpg", None),
        ("{group}_*", "cat/_1.jpg", None),
        ("*_{group}_*", "cat/day_p1_3.jpg", "p1"),
        ("*/{group}/*", "cat/s1/3.jpg", "s1"),
        ("{group}.jpg", "cat/a\nb.jpg", "a\nb"),
        ("folder:2", "cat/s1/3.jpg", "s1"),
        ("folder:2", "cat/3.jpg", None),
        ("病人{group}_*", "猫/病人三_1.jpg", "三"),
    ],
)
def test_a_rule_finds_the_group_in_a_path(pattern: str, path: str, group: str | None) -> None:
    assert rule_of(pattern)(path) == group


@pytest.mark.parametrize(
    "rule", ["patient", "{group}*", "*{group}_", "{group}{group}", "{a}_*", "folder:0", "folder:x"]
)
def test_what_is_no_rule_is_refused_in_the_config(rule: str) -> None:
    with pytest.raises(ConfigError, match="group"):
        load_config(data__group=rule)


def test_a_hostile_pattern_takes_no_longer_than_its_lengths_say() -> None:
    rule = rule_of("*a" * 60 + "-{group}_*b")
    assert rule("a" * 5000) is None  # with backtracking this would outlast the sun


def test_pictures_of_one_patient_stay_on_one_side(tmp_path: Path) -> None:
    dataset = checked(scans(tmp_path / "scans"), "{group}_*")
    by_patient = sides(dataset)
    assert set(by_patient) == {f"patient{number}" for number in range(12)}
    assert all(len(found) == 1 for found in by_patient.values())
    assert set.union(*by_patient.values()) == {"train", "validation", "test"}
    assert kinds(dataset)["grouped"] == 48


def test_inputs_without_a_group_are_told(tmp_path: Path) -> None:
    root = scans(tmp_path / "scans")
    photo(root / "ill" / "stray.png", 5555)
    dataset = checked(root, "{group}_*")
    (told,) = [one for one in dataset.findings if one.kind == "ungrouped"]
    assert (told.count, told.examples) == (1, ("ill/stray.png",))


def test_a_rule_that_fits_nothing_is_an_error_that_shows_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fits none of the 48 inputs.*patient0_1\.png"):
        checked(scans(tmp_path / "scans"), "person{group}_*")


def test_a_rule_that_makes_one_group_of_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="all 48 inputs into one group, 'pat'"):
        checked(scans(tmp_path / "scans"), "{group}ient*")


def test_a_folder_below_the_label_is_a_group(tmp_path: Path) -> None:
    by_day = sides(checked(scans(tmp_path / "scans"), "folder:2"))
    assert set(by_day) == {"day0", "day1", "day2", "day3"}
    assert all(len(found) == 1 for found in by_day.values())


def test_a_rule_is_added_to_the_groups_that_the_data_has(tmp_path: Path) -> None:
    listing = Listing(
        tmp_path,
        [
            Candidate("a/p1_1.jpg", "a", group="video 1"),
            Candidate("a/p2_1.jpg", "a", group="video 1"),
            Candidate("a/p2_2.jpg", "a"),
            Candidate("a/p3_1.jpg", "a"),
            Candidate("a/x.jpg", "a"),
        ],
    )
    found = grouped(listing, Columns(group="{group}_*"), tmp_path)
    assert [one.group for one in found.candidates] == ["p1", "p1", "p1", "p3", None]


def table(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_manifest_gives_any_column_as_group(tmp_path: Path) -> None:
    root = scans(tmp_path / "scans")
    rows = [
        {"path": str(one.relative_to(tmp_path)), "label": one.parts[-3], "Patient": one.name.split("_")[0]}
        for one in sorted(root.rglob("*.png"))
    ]
    dataset = check(
        table(tmp_path / "scans.csv", rows),
        settings=Settings(),
        reader="manifest",
        columns=Columns(group="column:patient"),
    )
    assert len(sides(dataset)) == 12
    assert all(len(found) == 1 for found in sides(dataset).values())
    assert "ignored_columns" not in kinds(dataset)


def test_a_table_of_texts_gives_any_column_as_group(tmp_path: Path) -> None:
    rows = [
        {"text": f"word{number} is not like {number * 7}", "label": "ab"[number % 2], "author": f"w{number // 6}"}
        for number in range(60)
    ]
    path = table(tmp_path / "notes.csv", rows)
    columns = Columns(group="column:author")
    dataset = check(path, settings=TextSettings(), columns=columns, task="text_classification")
    assert set(sides(dataset)) == {f"w{number}" for number in range(10)}
    assert all(len(found) == 1 for found in sides(dataset).values())


def test_a_column_of_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        checked(scans(tmp_path / "scans"), "column:patient")
