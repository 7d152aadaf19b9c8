"""Vectors -> the nearest others of each, by cosine, without looking at all pairs.

An HNSW graph (Malkov and Yashunin 2016), built in one thread, so that the same vectors have the same neighbours;
several of them side by side. Of a few thousand vectors all products take less time than the graph, and miss nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray
from voyager import Index, Space, StorageDataType

from noria.contracts import Progress
from noria.ordered import default_threads, ordered_map

SEED = 1
EXACT = 6_000  # vectors: up to so many, no graph
_AT_ONCE = 1024  # vectors, queries
_EDGES, _WIDTH = 16, 96  # of the graph: neighbours kept for each vector, candidates looked at

Vectors = NDArray[np.float32]


class Neighbours:
    """An index of vectors (n, D)."""

    def __init__(self, vectors: Vectors, advance: Callable[[int], None] = lambda _done: None) -> None:
        self._vectors = np.ascontiguousarray(vectors)
        self._graph = _graph(self._vectors, advance) if len(vectors) > EXACT else None

    def of(self, vectors: Vectors, count: int) -> NDArray[np.int64]:
        """Return (m, k): the indices of the nearest of the index, the nearest first; k is `count`, or all there are."""
        k = min(count, len(self._vectors))
        if self._graph is None:
            pieces = [vectors[start : start + _AT_ONCE] for start in range(0, len(vectors), _AT_ONCE)]
            return np.concatenate([np.zeros((0, k), np.int64), *(_highest(one @ self._vectors.T, k) for one in pieces)])
        found, _ = self._graph.query(vectors, k, num_threads=default_threads(), query_ef=max(_WIDTH, 2 * k))
        return np.asarray(found, np.int64).reshape(len(vectors), k)


def indexes(many: Sequence[Vectors], progress: Progress, label: str) -> list[Neighbours]:
    """Return an index of each, made side by side."""
    total = sum(len(one) for one in many if len(one) > EXACT)
    with progress.track(label, total) if total else nullcontext(lambda _done: None) as advance:
        return list(ordered_map(lambda one: Neighbours(one, advance), many, threads=default_threads()))


def _graph(vectors: Vectors, advance: Callable[[int], None]) -> Index:
    graph = Index(
        Space.InnerProduct, vectors.shape[1], M=_EDGES, ef_construction=_WIDTH, random_seed=SEED,
        max_elements=len(vectors), storage_data_type=StorageDataType.Float32,
    )  # fmt: skip
    for start in range(0, len(vectors), _AT_ONCE):
        some = vectors[start : start + _AT_ONCE]
        graph.add_items(some, num_threads=1)
        advance(len(some))
    return graph


def _highest(products: Vectors, k: int) -> NDArray[np.int64]:
    """Return (m, k): the places of the highest values of each row, the highest first."""
    some = np.argpartition(-products, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(products, some, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(some, order, axis=1), np.int64)


def candidate_pairs(index: Neighbours, queries: Vectors, count: int) -> NDArray[np.int64]:
    """Return (p, 2): each pair (lower, higher) of an item and one of the nearest to its query; no item with itself."""
    found = index.of(queries, count + 1)
    pairs = np.stack([np.repeat(np.arange(len(queries)), found.shape[1]), found.ravel()], axis=1)
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)
