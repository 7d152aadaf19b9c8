"""Small grey copies of pictures -> how alike two of them are, frame by frame, whatever their brightness.

Each point is measured against its surroundings, which takes light, contrast and haze away; then against what the
pictures of this dataset have in common (`_whitening`). Unrelated pictures come out near 0, copies near 1.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from noria.data.similarity import _whitening
from noria.data.similarity._distinct import distinct
from noria.data.similarity._whitening import Vectors, spread_over, unit
from noria.ordered import default_threads, ordered_map

_AROUND = 2  # pixels to each side that a point is measured against
_NOISE = 4.0  # grey levels: what varies less is flat
_PLAIN, _MOST_PLAIN = 0.25, 0.45  # variance around a point that is of one grey; share of such points
_AT_ONCE = 256
_EDGE = 4  # the part of a side that is no longer the middle
_USUAL, _EQUAL = 0.1, 0.9  # equal: nine tenths of the way from what one pair in ten reaches to the same
_DRAWN = 400  # pictures whose pairs say what is usual

Grey = NDArray[np.uint8]
Pairs = NDArray[np.int64]  # (p, 2)
Places = NDArray[np.int64]
_Both = tuple[Vectors, Vectors]


class Looks:
    """How the pictures of one dataset look."""

    def __init__(self, grey: Grey) -> None:
        self._grey = grey
        some = spread_over(len(grey), _whitening.SAMPLE // 2)
        flat = _flat(grey[some])
        stay = distinct(_as_they_are(flat, grey.shape[1]))
        self.distinct, flat = some[stay], flat[stay]  # indices of pictures that say what all have in common
        self._whitening = _whitening.fit(np.concatenate([flat, _mirrored(flat, grey.shape[1])]))
        usual = _highest(*self._drawn(), _USUAL)
        self.equal = usual + _EQUAL * (1 - usual)  # cosine of pictures as they are from which they are the same

    def codes(self) -> tuple[Vectors, Vectors, Vectors]:
        """Return what near neighbours are searched with, (n, K) of unit length each.

        Of the pictures, of their mirror images, and of the pictures not whitened.
        """
        codes = list(ordered_map(self._codes, _pieces(self._grey), threads=default_threads()))
        straight, mirrored, plain = (np.concatenate(one) for one in zip(*codes, strict=True))
        return straight, mirrored, plain

    def _codes(self, grey: Grey) -> tuple[Vectors, Vectors, Vectors]:
        flat = _flat(grey)
        mirrored = _mirrored(flat, grey.shape[1])
        return self._whitening.codes(flat), self._whitening.codes(mirrored), self._whitening.plain(flat)

    def likeness(self, pairs: Pairs) -> Vectors:
        """Return (p,) likeness of pairs: of the one with the other, or with its mirror image, whichever is higher."""
        pieces = (pairs[start : start + _AT_ONCE] for start in range(0, len(pairs), _AT_ONCE))
        return np.concatenate(
            [np.zeros(0, np.float32), *ordered_map(self._likeness, pieces, threads=default_threads())]
        )

    def _likeness(self, pairs: Pairs) -> Vectors:
        (firsts, first), (seconds, second) = (np.unique(one, return_inverse=True) for one in pairs.T)
        ones, others, side = _flat(self._grey[firsts]), _flat(self._grey[seconds]), self._grey.shape[1]
        ones_whitened = self._whitening.full(ones)
        found = [
            self._compared((ones, ones_whitened), first, (seen, self._whitening.full(seen)), second, side)
            for seen in (others, _mirrored(others, side))
        ]
        return np.asarray(np.maximum(*found), np.float32)

    def by_nature(self, chance: float) -> float:
        """Return the likeness that a pair of this dataset exceeds with a probability of `chance`.

        However many copies of one picture there are: they say nothing about unrelated ones.
        """
        straight, mirrored = (self._whitening.full(one) for one in self._drawn())
        return _highest(straight, mirrored, chance)

    def _drawn(self) -> tuple[Vectors, Vectors]:
        """Some of the pictures, straight and mirrored."""
        some = self._grey[self.distinct[spread_over(len(self.distinct), _DRAWN)]]
        flat = _flat(some)
        return flat, _mirrored(flat, some.shape[1])

    def between(self, first: NDArray[np.generic], second: NDArray[np.generic]) -> Vectors:
        """Return (p,) cosines of grey copies (p, side, side) with others.

        Of the whole frame or of its middle, whichever is lower: two pictures in the same frame are no copies. Where a
        good part of a dataset is copies of one picture, that is what its pictures have in common; so what is equal
        even as it is, and in this dataset is not so by nature, counts as it is.
        """
        ones, others, each = _flat(first), _flat(second), np.arange(len(first))
        whitened = [self._whitening.full(one) for one in (ones, others)]
        return self._compared((ones, whitened[0]), each, (others, whitened[1]), each, first.shape[1])

    def _compared(self, ones: _Both, first: Places, others: _Both, second: Places, side: int) -> Vectors:
        """Compare rows `first` of `ones` with rows `second` of `others`; each as it is, and whitened."""
        plain, whitened = (
            _whole_and_middle(one, first, other, second, side) for one, other in zip(ones, others, strict=True)
        )
        return np.asarray(np.where(plain >= self.equal, np.maximum(plain, whitened), whitened), np.float32)


def mostly_plain(grey: Grey) -> NDArray[np.bool_]:
    """Return (n,): whether a good half of a picture is of one grey, as around letters, drawings and things cut out."""
    return np.concatenate([np.zeros(0, np.bool_), *(_share_of_plain(some) > _MOST_PLAIN for some in _pieces(grey))])


def _share_of_plain(grey: Grey) -> NDArray[np.float32]:
    _, variance = _around(grey.astype(np.float32))
    return np.asarray((variance < _PLAIN).mean(axis=(1, 2)), np.float32)


def measured_locally(grey: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return (n, h, w): each point less the mean around it, divided by the deviation there.

    Source: Jarrett et al., "What is the best multi-stage architecture for object recognition?", ICCV 2009.
    """
    values = grey.astype(np.float32)
    mean, variance = _around(values)
    return np.asarray((values - mean) / np.sqrt(variance + np.float32(_NOISE**2)), np.float32)


def _around(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and variance around each point."""
    mean = _mean_around(values)
    return mean, np.maximum(_mean_around(values * values) - mean * mean, 0)


def _mean_around(values: NDArray[np.float32]) -> NDArray[np.float32]:
    size = 2 * _AROUND + 1
    padded = np.pad(values, ((0, 0), (_AROUND, _AROUND), (_AROUND, _AROUND)), mode="edge")
    height, width = values.shape[1:]
    rows = functools.reduce(np.add, (padded[:, start : start + height] for start in range(size)))
    both = functools.reduce(np.add, (rows[:, :, start : start + width] for start in range(size)))
    return np.asarray(both / size**2, np.float32)


def _flat(grey: NDArray[np.generic]) -> Vectors:
    values = measured_locally(grey).reshape(len(grey), -1)
    return unit(values - values.mean(axis=1, keepdims=True))


def _mirrored(flat: Vectors, side: int) -> Vectors:
    return flat.reshape(-1, side, side)[:, :, ::-1].reshape(len(flat), -1)


def _whole_and_middle(ones: Vectors, first: Places, others: Vectors, second: Places, side: int) -> Vectors:
    """Return (p,), the lower of two cosines: of all, and of the middle of the frame."""
    inner = _middle(ones, side), _middle(others, side)
    cosines = [np.einsum("pd,pd->p", one[first], other[second]) for one, other in ((ones, others), inner)]
    return np.asarray(np.minimum(*cosines), np.float32)


def _as_they_are(flat: Vectors, side: int) -> Vectors:
    """Return (n, n) likeness of each two, not whitened."""
    mirrored = _mirrored(flat, side)
    inner, inner_mirrored = (_middle(one, side) for one in (flat, mirrored))
    found = (np.minimum(flat @ flat.T, inner @ inner.T), np.minimum(flat @ mirrored.T, inner @ inner_mirrored.T))
    return np.asarray(np.maximum(*found), np.float32)


def _middle(flat: Vectors, side: int) -> Vectors:
    edge = side // _EDGE
    inner = flat.reshape(-1, side, side)[:, edge : side - edge, edge : side - edge]
    return unit(inner.reshape(len(flat), (side - 2 * edge) ** 2))


def _highest(straight: Vectors, mirrored: Vectors, chance: float) -> float:
    likeness = np.maximum(straight @ straight.T, straight @ mirrored.T)
    return float(np.quantile(likeness[np.triu_indices(len(straight), 1)], 1 - chance))


def _pieces(grey: Grey) -> list[Grey]:
    return np.array_split(grey, max(1, -(-len(grey) // _AT_ONCE)))
