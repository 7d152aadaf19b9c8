"""Fixtures that every room's tests share: real data, a cache of our own, one trained run and one bundle."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from noria.artifacts.bundle import Bundle
    from noria.artifacts.run import Run

PROJECT = Path(__file__).resolve().parent.parent
FLOWERS = ("daisy", "rose", "sunflower")
PHOTOS_A_CLASS = 16
SMALL = {"training__epochs": 25, "export__calibration_examples": 10, "export__golden_examples": 6}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets; tests that need it are skipped, saying so, where it is absent."""
    folder = Path(os.environ.get("NORIA_TEST_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data sets are not at {folder} (set NORIA_TEST_DATA)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def isolated_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache that no earlier session has filled, for this process and its children."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORIA_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def photos(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 real photos of three flowers, and the dirt that folders have: six files, one of them a copy of a photo."""
    root = tmp_path_factory.mktemp("data") / "flowers"
    for label in FLOWERS:
        (root / label).mkdir(parents=True)
        for photo in sorted((shared_data / "flowers" / label).glob("*.jpg"))[:PHOTOS_A_CLASS]:
            shutil.copyfile(photo, root / label / photo.name)
    rose = min((root / "rose").glob("*.jpg"))
    sunflower = min((root / "sunflower").glob("*.jpg")).read_bytes()
    shutil.copyfile(rose, root / "rose" / "copy of a rose.jpg")
    (root / "daisy" / "broken.jpg").write_bytes(b"this was never a picture")
    (root / "daisy" / ".hidden.jpg").write_bytes(sunflower)
    (root / "rose" / "notes.txt").write_text("taken in May")
    (root / "rose" / "empty.jpg").touch()
    (root / "sunflower" / "cut off.jpg").write_bytes(sunflower[: len(sunflower) // 2])
    return root


@pytest.fixture(scope="session")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A trained run of `photos`; tests only read it."""
    from noria import api
    from noria.config import load_config

    return api.train(photos, tmp_path_factory.mktemp("runs") / "flowers", config=load_config(**SMALL))


@pytest.fixture(scope="session")
def bundle(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of `run` with all four formats; tests only read it."""
    from noria import api

    return api.export(run, tmp_path_factory.mktemp("bundles") / "flowers")
