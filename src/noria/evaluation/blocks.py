"""Scores (n, C) -> blocks of their rows, so that what is computed from them needs no memory for all of them at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 24  # scores; 128 MiB as float64


def row_blocks(scores: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield views of (n, C), in order, each of at most 2^24 scores or one row."""
    rows = max(1, BLOCK // max(1, scores.shape[1]))
    return (scores[start : start + rows] for start in range(0, len(scores), rows))
