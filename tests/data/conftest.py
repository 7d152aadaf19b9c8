"""Folders of real photos for the tests of what a check finds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def two_flowers(shared_data: Path, tmp_path: Path) -> Callable[[int], Path]:
    """Make a folder of a test's own: so many photos of daisies, and as many of roses."""

    def make(each: int) -> Path:
        folder = tmp_path / "flowers"
        for label in ("daisy", "rose"):
            (folder / label).mkdir(parents=True)
            for photo in sorted((shared_data / "flowers" / label).glob("*.jpg"))[:each]:
                shutil.copyfile(photo, folder / label / photo.name)
        return folder

    return make
