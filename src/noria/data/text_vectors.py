"""Texts -> float32 vectors of 256 numbers: which words they have, and how many, whatever the script.

Words and pairs of neighbours are hashed to signed counters (feature hashing: Weinberger et al. 2009), so nothing is
learnt and the same text has the same vector everywhere. numpy alone; as fast as the texts can be cut into words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from noria.data.similarity.text import hashed_tokens

WIDTH = 256
_AT_ONCE = 1 << 20  # characters that are in memory together
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # from the golden ratio

Vectors = NDArray[np.float32]


def text_vectors(texts: Iterable[bytes]) -> Vectors:
    """Return a vector for each text (n, 256): 255 signed counters, and the logarithm of the number of words.

    A word counts once however often it stands, and the counters are divided by the root of their number: so they are
    of like size in short and in long texts.
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
    owners = np.repeat(np.arange(len(texts)), sizes)
    beside = owners[1:] == owners[:-1]
    pairs = (words[:-1] * _FACTOR + words[1:])[beside] * _FACTOR
    owners, hashes = _distinct(np.append(owners, owners[:-1][beside]), np.append(words, pairs))
    counters = WIDTH - 1
    place = owners * counters + ((hashes >> np.uint64(40)) % np.uint64(counters)).astype(np.int64)
    sign = np.where(hashes >> np.uint64(63), np.float32(1), np.float32(-1))
    sums = np.bincount(place, sign, len(texts) * counters).reshape(len(texts), counters)
    number = np.maximum(np.bincount(owners, minlength=len(texts)), 1)
    found = np.empty((len(texts), WIDTH), np.float32)
    found[:, :counters] = sums / np.sqrt(number)[:, np.newaxis]
    found[:, counters] = np.log1p(sizes)
    return found


def _distinct(owners: NDArray[np.int64], hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Each hash of a text once."""
    order = np.lexsort((hashes, owners))
    owners, hashes = owners[order], hashes[order]
    new = np.append(True, (np.diff(owners) != 0) | (np.diff(hashes) != 0))[: owners.size]
    return owners[new], hashes[new]
