"""Pictures taken badly are found among real ones, and pictures that are natural for their set are left alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from noria.contracts import Finding
from noria.data import decisions
from noria.data.check import check
from noria.data.suspicions.quality import KINDS
from noria.inputs.image import Settings

EACH = 40
PLANTED = 6

Change = Callable[[Image.Image], Image.Image]


def blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(4))


def darkened(image: Image.Image) -> Image.Image:
    return image.point(lambda value: value * 0.15)


def washed_out(image: Image.Image) -> Image.Image:
    return image.point(lambda value: 235 + value * 0.07)


def blank(image: Image.Image) -> Image.Image:
    return Image.new("RGB", image.size, image.getpixel((5, 5)))


def narrow(image: Image.Image) -> Image.Image:
    return image.resize((image.width, image.height // 5))


def tiny(image: Image.Image) -> Image.Image:
    return image.resize((24, 24))


@pytest.fixture
def flowers(shared_data: Path, tmp_path: Path) -> dict[str, Path]:
    """Copies of photos of two flowers, by name."""
    return _copied(sorted((shared_data / "flowers").glob("[dr][ao][is]*/*.jpg")), tmp_path / "flowers")


@pytest.fixture
def steel(shared_data: Path, tmp_path: Path) -> dict[str, Path]:
    """Copies of pictures of three kinds of defects of steel, by name."""
    return _copied(sorted((shared_data / "neu_det" / "IMAGES").glob("[cis]*.jpg")), tmp_path / "steel")


def _copied(files: list[Path], folder: Path) -> dict[str, Path]:
    by_label: dict[str, list[Path]] = {}
    for file in files:
        label = file.parent.name if file.parent.name != "IMAGES" else file.stem.rsplit("_", 1)[0]
        by_label.setdefault(label, []).append(file)
    copies = {}
    for label, ones in by_label.items():
        (folder / label).mkdir(parents=True)
        for file in ones[:EACH]:
            copies[f"{label}/{file.name}"] = Path(shutil.copyfile(file, folder / label / file.name))
    return copies


def found(copies: dict[str, Path]) -> dict[str, Finding]:
    folder = next(iter(copies.values())).parents[1]
    return {one.kind: one for one in check(folder, settings=Settings()).findings if one.kind in KINDS}


def spoil(copies: dict[str, Path], change: Change, every: int = 0) -> set[str]:
    names = sorted(copies)[:: every or len(copies) // PLANTED]
    for name in names:
        with Image.open(copies[name]) as image:
            changed = change(image.convert("RGB"))
        changed.save(copies[name], quality=95)
    return set(names)


@pytest.mark.parametrize("photos", ["flowers", "steel"])
@pytest.mark.parametrize(
    ("change", "kinds", "severity"),
    [
        (blurred, {"blurred"}, "info"),
        (darkened, {"dark", "blank"}, "info"),
        (blank, {"blank"}, "warning"),
        (narrow, {"odd_shape"}, "info"),
        (tiny, {"odd_size"}, "info"),
    ],
)
def test_what_is_taken_badly_is_found_and_hardly_anything_beside_it(
    photos: str, change: Change, kinds: set[str], severity: str, request: pytest.FixtureRequest
) -> None:
    copies = request.getfixturevalue(photos)
    planted = spoil(copies, change)
    told = found(copies)
    accused = {one.path for kind in kinds & told.keys() for one in told[kind].suspects}
    assert len(planted - accused) <= 1
    assert len(accused - planted) <= 1
    assert severity in {told[kind].severity for kind in kinds & told.keys()}


def test_what_is_washed_out_is_found(flowers: dict[str, Path]) -> None:
    planted = spoil(flowers, washed_out)
    told = found(flowers)
    accused = {one.path for kind in ("bright", "blank") if kind in told for one in told[kind].suspects}
    assert planted <= accused


def test_one_picture_is_told_of_as_one(flowers: dict[str, Path]) -> None:
    spoil(flowers, blank, every=len(flowers))
    assert found(flowers)["blank"].message == "1 picture that shows nothing, or next to nothing."


@pytest.mark.parametrize("change", [blurred, darkened, narrow, tiny])
def test_a_set_of_which_every_picture_is_so_is_not_accused(change: Change, flowers: dict[str, Path]) -> None:
    spoil(flowers, change, every=1)
    assert sum(one.count for one in found(flowers).values()) <= len(flowers) / 20


@pytest.mark.parametrize("change", [blurred, darkened, tiny])
def test_a_class_of_which_every_picture_is_so_is_not_accused(change: Change, flowers: dict[str, Path]) -> None:
    spoil({name: path for name, path in flowers.items() if name.startswith("rose")}, change, every=1)
    assert sum(one.count for one in found(flowers).values()) <= 2


def test_the_surest_suspect_comes_first_and_a_picture_that_a_person_keeps_is_not_told_of_again(
    flowers: dict[str, Path], tmp_path: Path
) -> None:
    planted = spoil(flowers, blurred)
    suspects = found(flowers)["blurred"].suspects
    assert [one.score for one in suspects] == sorted((one.score for one in suspects), reverse=True)
    kept = suspects[0].path
    assert kept in planted
    file = tmp_path / "decisions.csv"
    decisions.append(file, decisions.Decision("keep", kept, finding="blurred"))
    folder = next(iter(flowers.values())).parents[1]
    told = check(folder, settings=Settings(), decisions=file).findings
    (open_ones,) = [one for one in told if one.kind == "blurred"]
    assert kept not in {one.path for one in open_ones.suspects}
    assert open_ones.count == len(suspects) - 1
