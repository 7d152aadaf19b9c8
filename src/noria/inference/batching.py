"""Arrays as an input reads them -> one array that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return pictures as float32 (n, height, width, 3), or ids as int32 (n, longest), padded at the end with 0."""
    first = arrays[0]
    if first.dtype == np.uint8:
        return np.stack(arrays).astype(np.float32)
    batch = np.zeros((len(arrays), max(len(array) for array in arrays)), first.dtype)
    for row, array in zip(batch, arrays, strict=True):
        row[: len(array)] = array
    return batch
