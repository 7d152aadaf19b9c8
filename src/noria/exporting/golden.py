"""Test examples that travel in every bundle, raw, with the scores that each of its files must give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.artifacts.dataset import Dataset
from noria.contracts import Example

LARGE = 2 * 1024 * 1024  # bytes; a bundle should stay light, so smaller files are preferred


@dataclass(frozen=True, slots=True)
class Golden:
    """One raw input, its file name in the bundle, and its label where that is known."""

    name: str
    data: bytes
    label: str | None
    note: str


def choose_golden(
    dataset: Dataset, count: int, variants: Callable[[bytes], Sequence[tuple[str, str, bytes]]]
) -> list[Golden]:
    """Return `count` test examples, label by label in turn, then variants of the first that try the decoder.

    Args:
        variants: raw input -> (file ending, note, raw variant), e.g. a photo that a phone stored turned.
    """
    examples = dataset.by_split("test") or dataset.examples
    chosen = [
        Golden(f"golden/{number:03d}{_ending(dataset, one)}", dataset.read(one), one.label, "")
        for number, one in enumerate(_in_turn(dataset, examples)[:count])
    ]
    made = variants(chosen[0].data)
    return chosen + [
        Golden(f"golden/variant-{number}{ending}", data, None, note) for number, (ending, note, data) in enumerate(made)
    ]


def ids_of(array: NDArray[Any]) -> tuple[int, ...] | None:
    """Return the ids that a text was read as, without the padding after them; None of what is no row of ids."""
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        return None
    return tuple(np.trim_zeros(array, "b").tolist())


def _in_turn(dataset: Dataset, examples: Sequence[Example]) -> list[Example]:
    by_label: dict[str, list[Example]] = defaultdict(list)
    # By hash: a choice that does not depend on names or on the order of a folder.
    for one in sorted(examples, key=lambda one: one.sha256):
        by_label[one.label].append(one)
    for ones in by_label.values():
        ones.sort(key=lambda one: _size(dataset.source_of(one)) > LARGE)
    longest = max(len(ones) for ones in by_label.values())
    return [ones[turn] for turn in range(longest) for ones in by_label.values() if turn < len(ones)]


def _ending(dataset: Dataset, example: Example) -> str:
    return ".txt" if isinstance(dataset.source_of(example), bytes) else Path(example.path).suffix.lower()


def _size(source: Path | bytes) -> int:
    if isinstance(source, bytes):
        return len(source)
    return source.stat().st_size if source.is_file() else 0
