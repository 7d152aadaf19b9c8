"""Texts -> float32 vectors of 256 numbers: which words they have, and how many, whatever the script.

Words are hashed to signed counters (feature hashing: Weinberger et al. 2009), so nothing is learnt and a text has the
same vector everywhere. numpy alone; as fast as texts can be cut into words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from noria.data.similarity.text import hashed_tokens

WIDTH = 256
_AT_ONCE = 1 << 20  # characters that are in memory together

Vectors = NDArray[np.float32]


def text_vectors(texts: Iterable[bytes]) -> Vectors:
    """Return a vector for each text (n, 256): 255 signed counters, and the logarithm of the number of words.

    A word is a run of letters and digits, or a character of a script that is written without spaces. The counters are
    divided by the root of the number of words: so they are of like size in short and in long texts.
    """
    parts = [_vectors(some) for some in _portions(texts)]
    return np.concatenate(parts) if parts else np.zeros((0, WIDTH), np.float32)


def _portions(texts: Iterable[bytes]) -> Iterator[list[str]]:
    some, size = list[str](), 0
    for text in texts:
        some.append(text.decode("utf-8", "replace"))
        size += len(some[-1])
        if size >= _AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _vectors(texts: list[str]) -> Vectors:
    words, sizes = hashed_tokens(texts)
    counters = WIDTH - 1
    places = ((words >> np.uint64(40)) % np.uint64(counters)).astype(np.int64)
    places += np.repeat(np.arange(len(texts)) * counters, sizes)
    signs = np.where(words >> np.uint64(63), np.float32(1), np.float32(-1))
    sums = np.bincount(places, signs, len(texts) * counters).reshape(len(texts), counters)
    found = np.empty((len(texts), WIDTH), np.float32)
    found[:, :counters] = sums / np.sqrt(np.maximum(sizes, 1))[:, np.newaxis]
    found[:, counters] = np.log1p(sizes)
    return found
