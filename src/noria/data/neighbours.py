"""Vectors -> the nearest others of each, by cosine, without looking at all pairs.

An HNSW graph (Malkov and Yashunin 2016), built in one thread, so that the same vectors have the same neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from voyager import Index, Space, StorageDataType

from noria.ordered import default_threads

SEED = 1
_EDGES, _WIDTH = 16, 96  # of the graph: neighbours kept for each vector, candidates looked at

Vectors = NDArray[np.float32]


class Neighbours:
    """An index of vectors (n, D)."""

    def __init__(self, vectors: Vectors) -> None:
        self._size = len(vectors)
        self._index = Index(
            Space.InnerProduct, vectors.shape[1], M=_EDGES, ef_construction=_WIDTH, random_seed=SEED,
            max_elements=max(1, len(vectors)), storage_data_type=StorageDataType.Float32,
        )  # fmt: skip
        self._index.add_items(np.ascontiguousarray(vectors), num_threads=1)

    def of(self, vectors: Vectors, count: int) -> NDArray[np.int64]:
        """Return (m, k): the indices of the nearest of the index, the nearest first; k is `count`, or all there are."""
        k = min(count, self._size)
        found, _ = self._index.query(vectors, k, num_threads=default_threads(), query_ef=max(_WIDTH, 2 * k))
        return np.asarray(found, np.int64).reshape(len(vectors), k)


def candidate_pairs(index: Neighbours, queries: Vectors, count: int) -> NDArray[np.int64]:
    """Return (p, 2): each pair (lower, higher) of an item and one of the nearest to its query; no item with itself."""
    found = index.of(queries, count + 1)
    pairs = np.stack([np.repeat(np.arange(len(queries)), found.shape[1]), found.ravel()], axis=1)
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)
