"""Vectors -> vectors in which what many share counts little and what few have counts much.

Two pictures of solar cells are alike by their wires, two close-ups of daisies by their petals. Divided by how much the
vectors vary in each direction, copies of one picture stand out from pictures of one kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE = 2400  # vectors that the directions are found from
DIRECTIONS = 256
_PER_DIRECTION = 8  # vectors; divided by the spread of as few as there are directions, all would be unlike all others
_SPARE, _ROUNDS, _SEED = 16, 2, 0  # of the randomised search for the directions

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Whitening:
    """A linear map; its results have length 1, so that products are cosines. Vectors of length 0 stay so: what has no
    pattern is like nothing, and not like all others that have none.
    """

    mean: Vectors  # (D,)
    directions: Vectors  # (D, K), orthonormal: those in which the vectors vary most
    gains: Vectors  # (K,)
    rest: float  # gain of all other directions

    def codes(self, vectors: Vectors) -> Vectors:
        """Return (n, K): the part along the directions, for the search among many; all of it where those are few."""
        if len(self.gains) < DIRECTIONS:
            return self.full(vectors)
        return _unless_empty(vectors, (vectors - self.mean) @ self.directions * self.gains)

    def plain(self, vectors: Vectors) -> Vectors:
        """Return (n, K): the part along the directions as it is, not whitened; all of it where those are few."""
        few = len(self.gains) < DIRECTIONS
        return _unless_empty(vectors, vectors if few else (vectors - self.mean) @ self.directions)

    def full(self, vectors: Vectors) -> Vectors:
        """Return (n, D): all of it, for the verdict on few."""
        centred = vectors - self.mean
        along = centred @ self.directions
        whole = np.float32(self.rest) * centred + (along * (self.gains - self.rest)) @ self.directions.T
        return _unless_empty(vectors, whole)


def fit(vectors: Vectors) -> Whitening:
    """Return the whitening of vectors (n, D); the same for the same vectors.

    A direction is divided by the root of its variance and the mean variance together, so that what hardly varies is
    not blown up. Source of the search: Halko, Martinsson and Tropp, "Finding structure with randomness", 2011.
    """
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    total = float(np.vdot(centred, centred)) / len(centred)
    width = centred.shape[1]
    count = min(DIRECTIONS, width, max(1, len(centred) // _PER_DIRECTION))
    drawn = np.random.default_rng(_SEED).standard_normal((width, min(count + _SPARE, width)), dtype=np.float32)
    seen = centred @ drawn
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(centred.T @ seen)
        seen = centred @ basis
    _, sizes, turned = np.linalg.svd(seen, full_matrices=False)
    variances = sizes[:count] ** 2 / len(centred)
    floor = max(total / width, 1e-12)
    left = max(total - float(variances.sum()), 0.0) / max(width - count, 1)
    directions = np.ascontiguousarray((basis @ turned.T)[:, :count], np.float32)
    return Whitening(mean, directions, (1 / np.sqrt(variances + floor)).astype(np.float32), 1 / np.sqrt(left + floor))


def spread_over(count: int, most: int) -> NDArray[np.int64]:
    """Return the indices of at most `most` of `count` items, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Return vectors of length 1; those of length 0 stay so."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)


def _unless_empty(vectors: Vectors, mapped: NDArray[np.floating]) -> Vectors:
    """Return what vectors are mapped to, of length 1 each; 0 where a vector is."""
    return np.where(np.any(vectors, axis=1, keepdims=True), unit(mapped), np.float32(0))
