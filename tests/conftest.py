"""Fixtures that every room's tests share: real data, a cache of our own, one trained run and one bundle.

Where the real data sets are absent, as in a fresh clone, the photos of the demo's package stand in for the flowers, so
that the tests which need some trained model still run.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from noria.artifacts.bundle import Bundle
    from noria.artifacts.run import Run

PROJECT = Path(__file__).resolve().parent.parent
FLOWERS = ("daisy", "rose", "sunflower")
PHOTOS_A_CLASS = 16
SMALL = {"training__epochs": 25, "export__calibration_examples": 10, "export__golden_examples": 6}


# A shell starts what it puts into the background with Ctrl-C ignored, and each child inherits that: the tests that
# press it would wait for ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

DATA = Path(os.environ.get("NORIA_TEST_DATA", PROJECT.parent / "shared" / "data"))
# What stands in for a flower: solar cells of a kind and a probability of a defect, which look different.
CELLS = {"daisy": ("mono", "1.0"), "rose": ("mono", "0.0"), "sunflower": ("poly", "0.0")}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets; tests that need it are skipped, saying so, where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"real data sets are not at {DATA} (set NORIA_TEST_DATA)")
    return DATA


@pytest.fixture(scope="session", autouse=True)
def isolated_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache that no earlier session has filled, for this process and its children."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORIA_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 real photos of three flowers, and the dirt that folders have: six files, one of them a copy of a photo."""
    root = tmp_path_factory.mktemp("data") / "flowers"
    for label in FLOWERS:
        (root / label).mkdir(parents=True)
        if DATA.is_dir():
            _copy_flowers(DATA / "flowers" / label, root / label)
        else:
            _copy_cells(*CELLS[label], root / label)
    rose = min((root / "rose").glob("*.jpg"))
    sunflower = min((root / "sunflower").glob("*.jpg")).read_bytes()
    shutil.copyfile(rose, root / "rose" / "copy of a rose.jpg")
    (root / "daisy" / "broken.jpg").write_bytes(b"this was never a picture")
    (root / "daisy" / ".hidden.jpg").write_bytes(sunflower)
    (root / "rose" / "notes.txt").write_text("taken in May")
    (root / "rose" / "empty.jpg").touch()
    (root / "sunflower" / "cut off.jpg").write_bytes(sunflower[: len(sunflower) // 2])
    return root


def _copy_flowers(source: Path, folder: Path) -> None:
    for photo in sorted(source.glob("*.jpg"))[:PHOTOS_A_CLASS]:
        shutil.copyfile(photo, folder / photo.name)


def _copy_cells(kind: str, probability: str, folder: Path) -> None:
    """Store some photos of the demo's package as JPEG, their names beginning with a digit, as the flowers' do."""
    found = find_spec("elpv_dataset")
    if found is None or found.origin is None:
        pytest.skip(f"neither the data sets at {DATA} (set NORIA_TEST_DATA) nor the package elpv-dataset are there")
    data = Path(found.origin).parent / "data"
    rows = [line.split() for line in (data / "labels.csv").read_text(encoding="utf-8").splitlines()]
    tint = [label == folder.name for label in FLOWERS]
    names = [name for name, *facts in rows if facts[1:] == [kind] and float(facts[0]) == float(probability)]
    for name in names[:PHOTOS_A_CLASS]:
        with Image.open(data / name) as photo:
            # Tinted, one channel darker for each label: some tests look at colours, and these photos have none.
            bands = [photo.convert("L").point(lambda value, dark=dark: value * (0.8 if dark else 1)) for dark in tint]
            number = int(Path(name).stem.removeprefix("cell"))
            Image.merge("RGB", bands).save(folder / f"{number:04d}.jpg", quality=95)


@pytest.fixture
def package() -> Path:
    """The package with the demo's photos of solar cells."""
    found = find_spec("elpv_dataset")
    if found is None or found.origin is None:
        pytest.skip("the package elpv-dataset is not there")
    return Path(found.origin).parent


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
