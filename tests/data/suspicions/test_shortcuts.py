"""Shortcuts: a class that can be told without its content is named; classes that only look different are not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from noria.contracts import Finding
from noria.data.check import check
from noria.data.suspicions.shortcuts import told_apart
from noria.inputs.image import Settings

CLASSES = ("daisy", "rose", "tulip")
EACH = 60


def as_png(image: Image.Image, path: Path) -> None:
    image.save(path.with_suffix(".png"))


def smaller(image: Image.Image, path: Path) -> None:
    image.resize((160, 160)).save(path, quality=90)


def framed(image: Image.Image, path: Path) -> None:
    ImageOps.expand(image.resize((207, 207)), 10, "black").save(path, quality=90)


def compressed(image: Image.Image, path: Path) -> None:
    image.save(path, quality=20)


def by_camera(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Nikon", "D70"
    image.save(path, quality=90, exif=exif)


def shortcuts(folder: Path) -> list[Finding]:
    return [one for one in check(folder, settings=Settings()).findings if one.kind == "shortcut"]


def photos(shared_data: Path, folder: Path, change: Callable[[Image.Image, Path], None] | None = None) -> Path:
    """Copy photos of three flowers; those of roses are changed."""
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
        for photo in sorted((shared_data / "flowers" / label).glob("*.jpg"))[:EACH]:
            if change is not None and label == "rose":
                with Image.open(photo) as image:
                    change(image, folder / label / photo.name)
            else:
                shutil.copyfile(photo, folder / label / photo.name)
    return folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (as_png, "file format"),
        (smaller, "size or aspect"),
        (framed, "outermost rim"),
        (compressed, "bytes of the file"),
        (by_camera, "camera"),
    ],
)
def test_a_class_that_is_stored_in_another_way_is_named_with_what_gives_it_away(
    change: Callable[[Image.Image, Path], None], words: str, shared_data: Path, tmp_path: Path
) -> None:
    found = shortcuts(photos(shared_data, tmp_path / "flowers", change))
    told = [one for one in found if f"but the {words}" in one.message]
    assert [one.examples for one in told] == [("rose",)]
    assert told[0].severity == "warning"
    assert "'rose' (" in told[0].message
    low, value, high = (told[0].figures[f"balanced_accuracy{end}"] for end in ("_low", "", "_high"))
    assert isinstance(low, list) and isinstance(value, list) and isinstance(high, list)
    assert 0.7 < low[0] <= value[0] <= high[0] <= 1
    assert f"({value[0]:.0%}, " in told[0].message


def cut_out(image: Image.Image, path: Path, hue: int, seed: int) -> None:
    """Put what is in the middle of a photo before a backdrop of a colour, with light and dark in it."""
    shape = Image.new("L", image.size)
    ImageDraw.Draw(shape).ellipse([side * share // 20 for share in (3, 17) for side in image.size], fill=255)
    draw = np.random.default_rng(seed)
    saturation, value = draw.integers(90, 200), draw.integers(90, 230)
    backdrop = Image.new("HSV", image.size, (hue, int(saturation), int(value))).convert("RGB")
    noise = Image.fromarray(draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize(
        image.size, Image.Resampling.BICUBIC
    )
    backdrop = Image.blend(backdrop, noise, 0.15)
    backdrop.paste(image, mask=shape)
    backdrop.save(path, quality=90)


@pytest.mark.parametrize("planted", [True, False])
def test_a_class_that_stands_before_a_backdrop_of_its_own_is_named_and_one_before_any_is_not(
    planted: bool, shared_data: Path, tmp_path: Path
) -> None:
    draw = np.random.default_rng(1)
    for label in CLASSES:
        (tmp_path / "flowers" / label).mkdir(parents=True)
        for number, photo in enumerate(sorted((shared_data / "flowers" / label).glob("*.jpg"))[:EACH]):
            hue = int(draw.integers(140, 170) if planted and label == "rose" else draw.integers(0, 256))
            with Image.open(photo) as image:
                cut_out(image, tmp_path / "flowers" / label / photo.name, hue, number)
    told = [one for one in shortcuts(tmp_path / "flowers") if "but the background" in one.message]
    assert [one.examples for one in told] == ([("rose",)] if planted else [])


def test_classes_that_only_show_different_things_are_no_shortcut(shared_data: Path, tmp_path: Path) -> None:
    assert shortcuts(photos(shared_data, tmp_path / "flowers")) == []
    steel = tmp_path / "steel"
    for photo in sorted((shared_data / "neu_det" / "IMAGES").glob("*.jpg"))[::5]:
        (steel / photo.stem.rsplit("_", 1)[0]).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, steel / photo.stem.rsplit("_", 1)[0] / photo.name)
    assert shortcuts(steel) == []


def test_chance_is_within_the_interval_where_codes_say_nothing() -> None:
    draw = np.random.default_rng(3)
    truth = draw.integers(0, 4, 2000)
    told = told_apart([draw.integers(0, 10, 2000), draw.integers(0, 5, 2000)], truth, np.arange(2000), 4)
    assert sorted(told) == [0, 1, 2, 3]
    assert all(one.low - 0.02 < 0.5 < one.high + 0.02 for one in told.values())


def test_members_of_one_group_do_not_vouch_for_one_another() -> None:
    # Every group has a code of its own and one class: across groups the code says nothing.
    group = np.repeat(np.arange(40), 50)
    truth = np.random.default_rng(5).integers(0, 2, 40)[group]
    grouped, alone = (told_apart([group], truth, units, 2)[0] for units in (group, np.arange(2000)))
    assert alone.low > 0.95
    assert grouped.low < 0.6


def test_few_units_make_a_wide_interval() -> None:
    truth = np.repeat([0, 1], 200)
    units = np.concatenate([np.arange(200) % 12, 12 + np.arange(200) % 12])
    told = told_apart([truth], truth, units, 2)[0]
    assert told.value == 1.0
    assert told.low < 0.9
