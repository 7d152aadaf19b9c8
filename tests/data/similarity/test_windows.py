"""The fast search for the window that a part fills gives what trying every window gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from noria.data.similarity._looks import measured_locally
from noria.data.similarity._windows import CLOSER, ROUGH, Grid, resized, search, ways_of

SIDE = 48
HANDICAP = 0.1


@pytest.fixture(scope="module")
def grey(shared_data: Path) -> NDArray[np.uint8]:
    files = sorted((shared_data / "flowers").glob("*/*.jpg"))[::700]
    return np.stack([np.asarray(Image.open(file).convert("L").resize((SIDE, SIDE))) for file in files])


def best_by_hand(whole: NDArray[np.uint8], part: NDArray[np.uint8], grid: Grid) -> float:
    """Return the highest correlation of all windows of all sizes, each computed as the textbook has it."""
    beyond = grid.beyond
    field = np.pad(measured_locally(resized(whole[np.newaxis], grid.field, grid.field))[0], beyond)
    best = -1.0
    for size in grid.sizes:
        wanted = measured_locally(resized(part[np.newaxis], size, size))[0]
        wanted = wanted - wanted.mean()
        for top in range(grid.bed - size + 1):
            for left in range(grid.bed - size + 1):
                window = field[top : top + size, left : left + size]
                score = float((window * wanted).sum() / np.linalg.norm(window) / np.linalg.norm(wanted))
                ends = (top, left, grid.bed - size - top, grid.bed - size - left)
                inside = size < grid.field and min(ends) >= beyond
                best = max(best, score - (0 if inside else HANDICAP))
    return best


@pytest.mark.parametrize("grid", [ROUGH, CLOSER], ids=["rough", "closer"])
def test_the_best_window_is_that_of_trying_all(grey: NDArray[np.uint8], grid: Grid) -> None:
    ways = ways_of(np.array([[0, 1], [2, 3]], np.int64))
    found = search(grey, np.ones(len(grey)), ways, grid, HANDICAP)
    for (whole, part, turned), score in zip(ways.tolist(), found.score.tolist(), strict=True):
        seen = grey[part][:, ::-1] if turned else grey[part]
        assert score == pytest.approx(best_by_hand(grey[whole], seen, grid), abs=1e-4)


def test_nothing_is_found_where_nothing_is_asked(grey: NDArray[np.uint8]) -> None:
    found = search(grey, np.ones(len(grey)), np.zeros((0, 3), np.int64), ROUGH, HANDICAP)
    assert len(found.score) == 0
