"""Features are computed once for each picture and setting, by a real engine, and the cache never changes them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from noria.artifacts.store import Store
from noria.contracts import Silent
from noria.data.augment import image as augment
from noria.data.features import Extractor, Vector, ViewKey, Wanted, compute_features
from noria.errors import DataError
from noria.inference.runtimes import litert
from noria.inputs import image
from noria.training.engine_file import written_engine

SIZE = 4


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> Extractor:
    """The default backbone, as the engine that a training would use."""
    folder = tmp_path_factory.mktemp("engines")
    engine = written_engine("efficientnet_lite0", folder, image_size=224, weights="imagenet")
    assert engine is not None
    settings, varied = image.Settings(), augment.Settings()
    return Extractor(
        space="space",
        view_spec="mild",
        read=lambda data: image.read(data, settings),
        vary=lambda pixels, key: augment.vary(pixels, varied, key),
        open_session=lambda: litert.open_session(engine.path),
    )


@pytest.fixture
def pictures(photos: Path, tmp_path: Path) -> list[Path]:
    """A few photos of our own, to change and to delete."""
    files = sorted((photos / "daisy").glob("[0-9]*.jpg"))[:SIZE]
    return [Path(shutil.copyfile(file, tmp_path / file.name)) for file in files]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features.sqlite"


def wanted(files: list[Path], views: tuple[int, ...] = (0, 1)) -> list[Wanted]:
    return [Wanted(file, hashlib.sha256(file.read_bytes()).hexdigest(), views) for file in files]


def compute(
    items: list[Wanted], extractor: Extractor, path: Path, workers: int | None = None
) -> tuple[dict[ViewKey, Vector], int]:
    with Store(path) as store:
        return compute_features(items, extractor, store, progress=Silent(), workers=workers)


def assert_equal(one: dict[ViewKey, Vector], other: dict[ViewKey, Vector]) -> None:
    assert one.keys() == other.keys()
    for key, vector in one.items():
        np.testing.assert_array_equal(vector, other[key])


def test_every_view_has_a_vector_of_its_own(pictures: list[Path], extractor: Extractor, path: Path) -> None:
    vectors, computed = compute(wanted(pictures), extractor, path)
    assert computed == len(vectors) == 2 * SIZE
    assert {(vector.shape, vector.dtype.name) for vector in vectors.values()} == {((1280,), "float32")}
    assert len({vector.tobytes() for vector in vectors.values()}) == 2 * SIZE


def test_the_plain_view_is_the_picture_itself(pictures: list[Path], extractor: Extractor, path: Path) -> None:
    items = wanted(pictures, (0,))
    vectors, _ = compute(items, extractor, path)
    session = extractor.open_session()
    for item in items:
        expected = session.run([image.read(item.path.read_bytes(), image.Settings())])[0]
        np.testing.assert_array_equal(vectors[item.sha256, 0], expected)


def test_the_second_time_nothing_is_computed(pictures: list[Path], extractor: Extractor, path: Path) -> None:
    first, _ = compute(wanted(pictures), extractor, path)
    second, computed = compute(wanted(pictures), extractor, path)
    assert computed == 0
    assert_equal(first, second)


def test_cached_features_need_no_picture(pictures: list[Path], extractor: Extractor, path: Path) -> None:
    items = wanted(pictures)
    first, _ = compute(items, extractor, path)
    for picture in pictures:
        picture.unlink()
    assert_equal(compute(items, extractor, path)[0], first)


def test_one_worker_and_many_compute_the_same(pictures: list[Path], extractor: Extractor, tmp_path: Path) -> None:
    alone, _ = compute(wanted(pictures), extractor, tmp_path / "alone.sqlite", workers=1)
    many, _ = compute(wanted(pictures[::-1]), extractor, tmp_path / "many.sqlite", workers=4)
    assert_equal(alone, many)


def test_the_same_bytes_under_two_names_are_computed_once(
    pictures: list[Path], extractor: Extractor, path: Path
) -> None:
    copy = Path(shutil.copyfile(pictures[0], pictures[0].with_name("copy.jpg")))
    vectors, computed = compute(wanted([*pictures, copy]), extractor, path)
    assert computed == len(vectors) == 2 * SIZE


def test_added_pictures_and_views_are_all_that_is_computed(
    pictures: list[Path], extractor: Extractor, path: Path
) -> None:
    compute(wanted(pictures[:2]), extractor, path)
    assert compute(wanted(pictures), extractor, path)[1] == 2 * (SIZE - 2)
    assert compute(wanted(pictures, (0, 1, 2)), extractor, path)[1] == SIZE


def test_another_space_never_uses_what_is_there(pictures: list[Path], extractor: Extractor, path: Path) -> None:
    compute(wanted(pictures), extractor, path)
    assert compute(wanted(pictures), dataclasses.replace(extractor, space="cropped"), path)[1] == 2 * SIZE


def test_another_augmentation_uses_the_plain_views_only(pictures: list[Path], extractor: Extractor, path: Path) -> None:
    compute(wanted(pictures), extractor, path)
    assert compute(wanted(pictures), dataclasses.replace(extractor, view_spec="wild"), path)[1] == SIZE


def test_a_damaged_entry_is_computed_again(pictures: list[Path], extractor: Extractor, path: Path) -> None:
    items = wanted(pictures)
    good, _ = compute(items, extractor, path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        key = extractor.cache_key((items[0].sha256, 1))
        (value,) = connection.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
        harmed = value[:40] + bytes(byte ^ 255 for byte in value[40:44]) + value[44:]
        connection.execute("UPDATE entries SET value = ? WHERE key = ?", (harmed, key))
    again, computed = compute(items, extractor, path)
    assert computed == 1
    assert_equal(good, again)
    assert compute(items, extractor, path)[1] == 0


@pytest.mark.parametrize("page", [0, 2, 5])
def test_a_damaged_file_costs_time_and_changes_nothing(
    pictures: list[Path], extractor: Extractor, path: Path, page: int
) -> None:
    good, _ = compute(wanted(pictures), extractor, path)
    content = bytearray(path.read_bytes())
    content[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    again, computed = compute(wanted(pictures), extractor, path)
    assert computed > 0
    assert_equal(good, again)
    assert compute(wanted(pictures), extractor, path)[1] == 0


def test_a_picture_that_changed_is_refused_and_the_others_are_kept(
    pictures: list[Path], extractor: Extractor, path: Path
) -> None:
    items = wanted(pictures)
    shutil.copyfile(pictures[0], pictures[-1])
    with pytest.raises(DataError, match=f"{pictures[-1].name} changed since it was checked"):
        compute(items, extractor, path, workers=1)
    assert compute(items[:-1], extractor, path)[1] == 0


def test_a_picture_that_went_away_is_told(pictures: list[Path], extractor: Extractor, path: Path) -> None:
    items = wanted(pictures)
    pictures[1].unlink()
    with pytest.raises(DataError, match=f"{pictures[1].name} went away since it was checked"):
        compute(items, extractor, path)
