"""Pictures of something else are found by a network's features, also where there are several of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from noria.config import load_config
from noria.contracts import Finding, Silent
from noria.data.check import check
from noria.data.features import Wanted
from noria.data.suspicions.outliers import class_distances
from noria.inputs.image import Settings
from noria.vectors import features

EACH = 60


@pytest.fixture
def flowers(two_flowers: Callable[[int], Path]) -> Path:
    return two_flowers(EACH)


def outliers(folder: Path) -> list[Finding]:
    found = check(folder, settings=Settings(), features=features(load_config(), Silent())).findings
    return [one for one in found if one.kind == "outlier"]


def test_pictures_of_steel_among_flowers_belong_to_no_class(flowers: Path, shared_data: Path) -> None:
    steel = sorted((shared_data / "neu_det" / "IMAGES").glob("*.jpg"))[::300]
    planted = {f"{label}/{file.name}" for file, label in zip(steel, ("daisy", "rose") * 3, strict=True)}
    for name in planted:
        shutil.copyfile(shared_data / "neu_det" / "IMAGES" / Path(name).name, flowers / name)
    (told,) = outliers(flowers)
    accused = {one.path for one in told.suspects}
    assert len(planted - accused) <= 1
    assert len(accused - planted) <= 2
    assert told.count == len(told.suspects)
    assert "they" not in told.message  # it may be one


def test_flowers_alone_are_hardly_accused(flowers: Path) -> None:
    assert sum(one.count for one in outliers(flowers)) <= 2


def test_the_network_is_asked_once_for_near_duplicates_and_for_outliers(flowers: Path) -> None:
    asked = list[Wanted]()

    def of(wanted: list[Wanted]) -> NDArray[np.float32]:
        asked.extend(wanted)
        return np.random.default_rng(0).random((len(wanted), 32), np.float32)

    check(flowers, settings=Settings(), features=of)
    wholes = [one for one in asked if one.views == (0,)]
    assert len(wholes) == len(set(wholes)) == 2 * EACH


def test_copies_of_a_stranger_do_not_vouch_for_it() -> None:
    draw = np.random.default_rng(1)
    usual = draw.random((200, 16), np.float32) + np.eye(16, dtype=np.float32)[0] * 8
    strange = np.repeat(draw.random((1, 16), np.float32) + np.eye(16, dtype=np.float32)[5] * 8, 30, axis=0)
    vectors, truth = np.concatenate([usual, strange]), np.arange(230) % 2
    one_unit = np.concatenate([np.arange(200), np.full(30, 200)])
    distances = class_distances(vectors, truth, one_unit)
    assert distances[200:].min() > distances[:200].max()
    assert class_distances(vectors, truth, np.arange(230))[200:].max() < 0.01
