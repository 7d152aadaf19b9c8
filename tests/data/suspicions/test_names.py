"""Names and folders are taken for groups only where their pictures look like it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noria.config import load_config
from noria.contracts import Example, Finding, Silent
from noria.data.check import check
from noria.data.readers import Columns
from noria.data.suspicions import Looked
from noria.data.suspicions.names import kinship, suspicions
from noria.inputs.image import Settings
from noria.vectors import features

EACH = 20  # photos of a label
CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))


def cut(flowers: Path, folder: Path, name: Callable[[int, int], str]) -> Path:
    """Cut each photo in four, which share no pixel: pictures of one plant on one day."""
    for label in ("daisy", "rose"):
        for number, file in enumerate(sorted((flowers / label).iterdir())):
            with Image.open(file) as photo:
                width, height = photo.width // 2, photo.height // 2
                for part, (right, down) in enumerate(CORNERS):
                    place = folder / label / name(number, part)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    box = (right * width, down * height, (right + 1) * width, (down + 1) * height)
                    photo.convert("RGB").crop(box).save(place)
    return folder


def possible(folder: Path, group: str = "") -> list[Finding]:
    columns = Columns(group=group)
    found = check(folder, settings=Settings(), columns=columns, features=features(load_config(), Silent())).findings
    return [one for one in found if one.kind == "possible_groups"]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (lambda number, part: f"plant{number}_{part}.png", "{group}_*"),
        (lambda number, part: f"site 7 {number:02d} {part}.png", "site 7 {group} *"),
        (lambda number, part: f"north-{number % 7}-bed-{number}-0{part}.png", "{group}-??.*"),
        (lambda number, part: f"plant{number}/{part}.png", "folder:2"),
    ],
)
def test_pictures_of_one_plant_are_told_to_be_a_group(
    two_flowers: Callable[[int], Path], tmp_path: Path, name: Callable[[int, int], str], rule: str
) -> None:
    folder = cut(two_flowers(EACH), tmp_path / "plants", name)
    (told,) = possible(folder)
    assert told.severity == "warning"
    assert told.count == 2 * EACH * len(CORNERS)
    assert f"--group '{rule}'" in told.remedy
    assert told.figures["same_group"] > 5 * told.figures["same_group_by_chance"]
    assert possible(folder, rule) == []  # what was suggested is a rule, and says it all


def test_names_that_mean_nothing_are_not(two_flowers: Callable[[int], Path], tmp_path: Path) -> None:
    drawn = iter(np.random.default_rng(0).permutation(2 * EACH * len(CORNERS)))
    folder = cut(two_flowers(EACH), tmp_path / "plants", lambda number, part: f"{next(drawn) % 20}_{number}{part}.png")
    assert possible(folder) == []


def looked(paths: Sequence[str], labels: Sequence[str]) -> Looked:
    """Pictures that are as alike as their names say."""
    seeds = [sum(path.rpartition("_")[0].encode()) for path in paths]
    vectors = np.stack([np.random.default_rng(seed).random(64, np.float32) for seed in seeds])
    noise = np.random.default_rng(1).random(vectors.shape, np.float32) / 10
    examples = [Example(path, label, path, path, "train") for path, label in zip(paths, labels, strict=True)]
    return Looked(examples, list(range(len(paths))), features=lambda: vectors + noise)


def test_a_name_for_each_label_is_the_label() -> None:
    labels = [f"defect{number % 6}" for number in range(120)]
    assert suspicions(looked([f"{label}_{number}.jpg" for number, label in enumerate(labels)], labels)) == []


def test_few_groups_and_groups_of_one_are_none() -> None:
    labels = ["daisy", "rose"] * 60
    assert suspicions(looked([f"{number % 4}_{number}.jpg" for number in range(120)], labels)) == []
    assert suspicions(looked([f"{number}_x.jpg" for number in range(120)], labels)) == []


def test_copies_prove_nothing() -> None:
    codes = np.eye(40, dtype=np.float32)[np.arange(80) % 40]
    groups = np.arange(80) % 40
    truth = np.zeros(80, np.int64)
    alike = kinship(codes, truth, [np.arange(80)], groups)
    assert (alike.share, round(alike.chance, 3)) == (1.0, 0.013)
    assert not kinship(codes, truth, [groups], groups).clear
    assert kinship(codes[:1], truth[:1], [groups[:1]], groups[:1]).share == 0  # nothing to compare with
