"""Cuts out of pictures that are all alike, solar cells, are found by features of a real network."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from noria.config import load_config
from noria.contracts import Silent
from noria.data.check import check
from noria.inputs.image import Settings
from noria.vectors import features

CELLS, EVERY, CUT = 360, 5, 24  # every fifth photo of the package: neighbours in it may be of one cell
CORNERS = ((0, 0), (0.3, 0), (0, 0.3), (0.3, 0.3), (0.15, 0.15))  # of what is cut: 0.7 of the sides


@pytest.fixture
def cells(package: Path, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A table of polycrystalline cells with cuts of some of them, and of each cut what it was cut out of."""
    data = package / "data"
    rows = [line.split() for line in (data / "labels.csv").read_text(encoding="utf-8").splitlines()]
    photos = [data / name for name, _, kind in rows if kind == "poly"][::EVERY][:CELLS]
    cuts = {}
    for number, photo in enumerate(photos[:: len(photos) // CUT][:CUT]):
        with Image.open(photo) as whole:
            left, top = (round(share * whole.width) for share in CORNERS[number % len(CORNERS)])
            side = round(0.7 * whole.width)
            whole.crop((left, top, left + side, top + side)).save(tmp_path / f"cut {number}.png")
        cuts[f"cut {number}.png"] = str(photo)
    table = tmp_path / "cells.csv"
    files = [*map(str, photos), *cuts]
    with table.open("w", encoding="utf-8", newline="") as file:
        lines = [(name, ("sound", "defective")[number % 2]) for number, name in enumerate(files)]
        csv.writer(file).writerows([("path", "label"), *lines])
    return table, cuts


def test_cuts_of_pictures_that_are_all_alike_are_found(cells: tuple[Path, dict[str, str]]) -> None:
    table, cuts = cells
    dataset = check(table, settings=Settings(), features=features(load_config(), Silent()))
    near = [one for one in dataset.findings if one.kind.startswith("near_duplicates")]
    pairs = {frozenset((Path(one.path).name, Path(one.other).name)) for told in near for one in told.suspects}
    found = sum(frozenset((name, Path(whole).name)) in pairs for name, whole in cuts.items())
    assert found >= 0.6 * CUT  # by features of whole pictures alone 4 of 24 are
