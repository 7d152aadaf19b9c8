"""What an input learnt from training data, e.g. a vocabulary: files in the folder `input` of a run or a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from noria.artifacts.files import MIB, read_limited, write_atomic

INPUT = "input"
LIMIT = 1024 * MIB


def write_input_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files into `folder / "input"`; without files there is no such folder."""
    if files:
        (folder / INPUT).mkdir()
    for name, content in files.items():
        write_atomic(folder / INPUT / name, content)


def read_input_files(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Return the content of each file that a manifest names as `input/NAME`, by NAME; the caller checked their sums.

    Raises:
        ArtifactError: one is missing, unreadable or larger than 1 GiB.
    """
    return {name.removeprefix(f"{INPUT}/"): read_limited(folder / name, limit=LIMIT) for name in names}
