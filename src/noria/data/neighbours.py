"""Vectors -> the nearest others of each, by cosine, without looking at all pairs.

An HNSW graph (Malkov and Yashunin 2016) of vectors in eight bits, built in one thread, so that the same vectors have
the same neighbours; several of them side by side. Of a few thousand vectors all products take less time than the graph,
and miss nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Progress
from noria.ordered import default_threads, ordered_map

if TYPE_CHECKING:
    from usearch.index import Index

EXACT = 6_000  # vectors: up to so many, no graph
_AT_ONCE = 1024  # vectors, queries
_EDGES, _WIDTH = 16, 96  # of the graph: neighbours kept for each vector, candidates looked at
_SPARE = 4  # neighbours that are asked for besides, as eight bits do not order them well

Vectors = NDArray[np.float32]


class Neighbours:
    """An index of vectors (n, D) of length 1, or 0."""

    def __init__(self, vectors: Vectors, advance: Callable[[int], None] = lambda _done: None) -> None:
        self._vectors = np.ascontiguousarray(vectors)
        self._graph = _graph(self._vectors, advance) if len(vectors) > EXACT else None

    def of(self, vectors: Vectors, count: int) -> NDArray[np.int64]:
        """Return (m, k): the indices of the nearest of the index, the nearest first; k is `count`, or all there are."""
        k = min(count, len(self._vectors))
        if not len(vectors):
            return np.zeros((0, k), np.int64)
        if self._graph is None:
            pieces = [vectors[start : start + _AT_ONCE] for start in range(0, len(vectors), _AT_ONCE)]
            return np.concatenate([_highest(one @ self._vectors.T, k) for one in pieces])
        more = min(k + _SPARE, len(self._vectors))
        self._graph.expansion_search = max(_WIDTH, 2 * more)
        several = vectors if len(vectors) > 1 else np.repeat(vectors, 2, axis=0)  # of one USearch tells less
        found = self._graph.search(several, more, threads=default_threads())
        nearest = found.keys.astype(np.int64)
        # Where the graph has no way to as many, the nearest of all stands for those that were not found.
        nearest = np.where(np.arange(more) < found.counts.reshape(-1, 1), nearest, nearest[:, :1])
        pieces = np.array_split(np.arange(len(vectors)), -(-len(vectors) // _AT_ONCE))
        return np.concatenate([self._ordered(vectors[some], nearest[some], k) for some in pieces])

    def _ordered(self, vectors: Vectors, nearest: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        """Return the k nearest of a few by their full products: the graph's are of eight bits."""
        products = np.einsum("md,mkd->mk", vectors, self._vectors[nearest])
        order = np.argsort(-products, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(nearest, order, axis=1)


def indexes(many: Sequence[Vectors], progress: Progress, label: str) -> list[Neighbours]:
    """Return an index of each, made side by side."""
    total = sum(len(one) for one in many if len(one) > EXACT)
    with progress.track(label, total) if total else nullcontext(lambda _done: None) as advance:
        return list(ordered_map(lambda one: Neighbours(one, advance), many, threads=default_threads()))


def _graph(vectors: Vectors, advance: Callable[[int], None]) -> Index:
    from usearch.index import Index

    graph = Index(
        ndim=vectors.shape[1], metric="ip", dtype="i8", connectivity=_EDGES, expansion_add=_WIDTH,
        expansion_search=_WIDTH,
    )  # fmt: skip
    for start in range(0, len(vectors), _AT_ONCE):
        some = vectors[start : start + _AT_ONCE]
        graph.add(np.arange(start, start + len(some)), some, threads=1)
        advance(len(some))
    return graph


def _highest(products: Vectors, k: int) -> NDArray[np.int64]:
    """Return (m, k): the places of the highest values of each row, the highest first."""
    some = np.argpartition(-products, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(products, some, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(some, order, axis=1), np.int64)


def each_with(items: NDArray[np.int64], near: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (m k, 2): each of `items` (m,) with each of its own, (m, k)."""
    return np.stack([np.repeat(items, near.shape[1]), near.ravel()], axis=1)


def candidate_pairs(index: Neighbours, queries: Vectors, count: int) -> NDArray[np.int64]:
    """Return (p, 2): each pair (lower, higher) of an item and one of the nearest to its query; no item with itself."""
    pairs = each_with(np.arange(len(queries)), index.of(queries, count + 1))
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)
