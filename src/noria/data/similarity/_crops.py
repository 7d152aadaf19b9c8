"""Which picture is a part of which: pairs of grey copies -> how alike the one is to the best window in the other.

A window is searched by cross-correlation at several scales, straight and mirrored, then moved and resized in small
steps. A part keeps its pixels' aspect, so the two pictures' aspects say how wide a window of a given height is.
Source of the search: Lewis, "Fast template matching", Vision Interface 1995.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from noria.data.similarity._looks import Grey, Looks, Pairs, measured_locally
from noria.inputs.image import SKETCH_SIDE
from noria.ordered import default_threads, ordered_map

LIKELY = 0.5  # correlation of the first search below which a pair is let be
_BEFORE, _AFTER = 0.7, 0.9  # shares of the threshold: the same, before a window is fitted and after the first steps
_FIELD = 32  # pixels a side in the first search
_SIZES = (30, 28, 26, 23, 20, 18, 16)  # of the part in the field: it is half as long as the whole, or longer
_SMALLEST = 10
_LEAST = 0.5  # of the whole's sides that a window has; smaller ones look like too many parts of other pictures
_ASPECT_STEP = 0.08  # aspects are taken as equal within it; a logarithm
_FINE = 24  # pixels a side on which a window is moved about
_MOVES = (1.5, 0.75, 0.4)  # pixels of the grey copy
_AT_ONCE = 256
_DRAWN, _MOST, _SEED = 200, 0.95, 0  # pairs that say what is usual in a dataset, which share of them, how drawn
_MANY = 5  # times as many pairs are worth asking

Float = NDArray[np.float32]


@dataclass(eq=False, slots=True)
class Windows:
    """For each pair, where in the whole the part lies, in pixels of its grey copy: (p,) each."""

    score: Float
    middle_y: Float
    middle_x: Float
    height: Float
    width: Float
    mirrored: NDArray[np.bool_]

    def of(self, chosen: NDArray[np.generic]) -> Windows:
        fields = (self.score, self.middle_y, self.middle_x, self.height, self.width, self.mirrored)
        return Windows(*(field[chosen] for field in fields))


def likeness(
    grey: Grey, aspects: NDArray[np.float64], pairs: Pairs, looks: Looks, threshold: float
) -> tuple[Float, Pairs]:
    """Return (p,): how alike one of each pair is to its window in the other, from 0; and the pairs as (whole, part).

    It is 0 where `threshold` is far off, or where the window is less than half as high or wide as the whole.
    """
    least = max(LIKELY, _BEFORE * threshold, _by_nature(grey, aspects) if len(pairs) > _MANY * _DRAWN else 0.0)
    pieces = (pairs[start : start + _AT_ONCE] for start in range(0, len(pairs), _AT_ONCE))
    found = list(
        ordered_map(
            lambda some: _likeness(grey, aspects, some, looks, least, _AFTER * threshold),
            pieces, threads=default_threads(),
        )
    )  # fmt: skip
    scores = np.concatenate([np.zeros(0, np.float32), *(score for score, _ in found)])
    return scores, np.concatenate([np.zeros((0, 2), np.int64), *(ordered for _, ordered in found)])


def _by_nature(grey: Grey, aspects: NDArray[np.float64]) -> float:
    """Return what the best windows of most pairs of this dataset come to: cells, wires and seams are everywhere."""
    drawn = np.random.default_rng(_SEED).integers(0, len(grey), (_DRAWN, 2))
    windows, _ = _in_better_order(grey, aspects, drawn[drawn[:, 0] != drawn[:, 1]])
    return float(np.quantile(windows.score, _MOST))


def _likeness(
    grey: Grey, aspects: NDArray[np.float64], pairs: Pairs, looks: Looks, before: float, after: float
) -> tuple[Float, Pairs]:
    scores = np.zeros(len(pairs), np.float32)
    windows, pairs = _in_better_order(grey, aspects, pairs)
    left = np.arange(len(pairs))
    for moves, least in ((_MOVES[:1], before), (_MOVES[1:], max(LIKELY, after))):
        good = np.flatnonzero(windows.score > least)
        if not good.size:
            return scores, pairs
        left = left[good]
        windows = fitted(grey, pairs[left], windows.of(good), moves)
    large = np.minimum(windows.height, windows.width) >= _LEAST * SKETCH_SIDE
    scores[left] = np.where(large, np.maximum(_verdict(grey, pairs[left], windows, looks), 0), 0)
    return scores, pairs


def _in_better_order(grey: Grey, aspects: NDArray[np.float64], pairs: Pairs) -> tuple[Windows, Pairs]:
    """Return the best windows, and the pairs such that the first is the whole and the second the part."""
    ways = (pairs, pairs[:, ::-1])
    one, other = (search(grey, aspects, way) for way in ways)
    turn = other.score > one.score
    fields = (np.where(turn, getattr(other, name), getattr(one, name)) for name in Windows.__slots__)
    return Windows(*fields), np.where(turn[:, None], ways[1], ways[0])


def search(grey: Grey, aspects: NDArray[np.float64], pairs: Pairs) -> Windows:
    """Return the best window of each pair on a coarse grid."""
    wholes, whole_of = np.unique(pairs[:, 0], return_inverse=True)
    field = measured_locally(_resized(grey[wholes], _FIELD, _FIELD))
    spectra = np.fft.rfft2(field)
    energy = np.pad(field * field, ((0, 0), (1, 0), (1, 0))).cumsum(axis=1).cumsum(axis=2)
    best = _nowhere(len(pairs))
    steps = np.round(np.log(aspects[pairs[:, 1]] / aspects[pairs[:, 0]]) / _ASPECT_STEP).astype(np.int64)
    for step in np.unique(steps):
        members = np.flatnonzero(steps == step)
        parts = grey[pairs[members, 1]]
        for height, width in _shapes(float(np.exp(step * _ASPECT_STEP))):
            small = _resized(parts, height, width)
            for mirrored in (False, True):
                part = measured_locally(small[:, :, ::-1] if mirrored else small)
                found = _correlated(part, spectra, energy, whole_of[members])
                _keep_best(best, members, found, (height, width), mirrored)
    return best


def fitted(grey: Grey, pairs: Pairs, windows: Windows, moves: tuple[float, ...]) -> Windows:
    """Move and resize each window in smaller and smaller steps, as long as the two become more alike."""
    wholes, target = grey[pairs[:, 0]].astype(np.float32), _turned(grey[pairs[:, 1]], windows.mirrored)
    wanted = _normal(measured_locally(_resized(target, _FINE, _FINE)))
    best = windows.of(np.arange(len(pairs)))
    best.score = _agreement(wholes, best, wanted)
    for step in moves:
        for _ in range(2):
            for down, right, taller, wider in _directions(step):
                tried = Windows(
                    best.score, best.middle_y + down, best.middle_x + right,
                    best.height + taller, best.width + wider, best.mirrored,
                )  # fmt: skip
                score = _agreement(wholes, tried, wanted)
                better = score > best.score
                for name in ("middle_y", "middle_x", "height", "width"):
                    setattr(best, name, np.where(better, getattr(tried, name), getattr(best, name)))
                best.score = np.where(better, score, best.score)
    return best


def _nowhere(count: int) -> Windows:
    unset = [np.zeros(count, np.float32) for _ in range(4)]
    return Windows(np.full(count, -1, np.float32), unset[0], unset[1], unset[2], unset[3], np.zeros(count, np.bool_))


def _directions(step: float) -> list[tuple[float, float, float, float]]:
    moves = [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 2, 2), (0, 0, 1, 0), (0, 0, 0, 1)]
    return [tuple(sign * step * one for one in move) for move in moves for sign in (1, -1)]  # type: ignore[misc]


def _shapes(ratio: float) -> list[tuple[int, int]]:
    """Return heights and widths in the field of a part whose aspect is `ratio` times that of the whole."""
    shapes = [(round(size / max(ratio, 1.0)), round(size * min(ratio, 1.0))) for size in _SIZES]
    return [shape for shape in shapes if min(shape) >= _SMALLEST]


def _correlated(
    part: Float, spectra: NDArray[np.complexfloating], energy: Float, whole_of: NDArray[np.int64]
) -> tuple[Float, NDArray[np.int64], NDArray[np.int64]]:
    """Return the highest correlation of each part with a window of its whole, and the window's row and column."""
    height, width = part.shape[1:]
    part = part - part.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt(np.einsum("phw,phw->p", part, part))
    product = np.fft.irfft2(spectra[whole_of] * np.conj(np.fft.rfft2(part, s=(_FIELD, _FIELD))), s=(_FIELD, _FIELD))
    rows, columns = _FIELD - height + 1, _FIELD - width + 1
    sums = energy[whole_of]
    inside = sums[:, height:, width:] - sums[:, :-height, width:] - sums[:, height:, :-width]
    inside = inside + sums[:, :-height, :-width]
    scores = product[:, :rows, :columns] / (length[:, None, None] * np.sqrt(np.maximum(inside, 1e-3)) + 1e-6)
    flat = scores.reshape(len(part), -1)
    place = flat.argmax(axis=1)
    return flat[np.arange(len(flat)), place].astype(np.float32), place // columns, place % columns


def _keep_best(
    best: Windows,
    members: NDArray[np.int64],
    found: tuple[Float, NDArray[np.int64], NDArray[np.int64]],
    shape: tuple[int, int],
    mirrored: bool,
) -> None:
    score, row, column = found
    better = score > best.score[members]
    chosen, scale, (height, width) = members[better], SKETCH_SIDE / _FIELD, shape
    best.score[chosen] = score[better]
    best.middle_y[chosen] = (row[better] + height / 2) * scale
    best.middle_x[chosen] = (column[better] + width / 2) * scale
    best.height[chosen], best.width[chosen] = height * scale, width * scale
    best.mirrored[chosen] = mirrored


def _agreement(wholes: Float, windows: Windows, wanted: Float) -> Float:
    there = _normal(measured_locally(_cut(wholes, windows, _FINE)))
    return np.asarray(np.einsum("pd,pd->p", there, wanted), np.float32)


def _verdict(grey: Grey, pairs: Pairs, windows: Windows, looks: Looks) -> Float:
    """How alike window and part look, the part as blurred as the window is."""
    cut = _cut(grey[pairs[:, 0]].astype(np.float32), windows, SKETCH_SIDE)
    part = _turned(grey[pairs[:, 1]], windows.mirrored).astype(np.float32)
    sizes = np.clip(np.round((windows.height + windows.width) / 2), _SMALLEST, SKETCH_SIDE).astype(np.int64)
    for size in np.unique(sizes):
        some = np.flatnonzero(sizes == size)
        small = _resized(part[some], size, size)
        whole = np.full(len(some), size, np.float32)
        middle = np.asarray(whole / 2, np.float32)
        everything = Windows(whole, middle, middle, whole, whole, windows.mirrored[some])
        part[some] = _cut(small, everything, SKETCH_SIDE)
    return looks.between(cut, part)


def _turned(parts: Grey, mirrored: NDArray[np.bool_]) -> Grey:
    return np.where(mirrored[:, None, None], parts[:, :, ::-1], parts)


def _normal(values: Float) -> Float:
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6), np.float32)


def _cut(wholes: Float, windows: Windows, side: int) -> Float:
    """Return (p, side, side): what lies in each window, between pixels by straight lines."""
    rows, columns = wholes.shape[1:]
    down = _interpolating(windows.middle_y, windows.height, side, rows)
    right = _interpolating(windows.middle_x, windows.width, side, columns)
    return np.asarray(down @ (wholes @ right.transpose(0, 2, 1)), np.float32)


def _interpolating(middle: Float, length: Float, side: int, size: int) -> Float:
    """Return (p, side, size): which share each of `size` pixels has in each of `side` points of a window.

    A point is the mean of two, half a step apart.
    """
    steps = (np.arange(2 * side, dtype=np.float32) + np.float32(0.5)) / np.float32(2 * side) - np.float32(0.5)
    at = np.clip(middle[:, None] + steps * length[:, None] - np.float32(0.5), 0, size - 1)
    lower = np.minimum(at.astype(np.int64), size - 2)
    upper_share = (at - lower).astype(np.float32) / 2
    shares = np.zeros((len(at) * side, size), np.float32)
    point = np.arange(len(shares))
    for half in (0, 1):  # in each a point has two pixels of its own, so that none is added to twice
        pixel, upper = lower[:, half::2].ravel(), upper_share[:, half::2].ravel()
        shares[point, pixel] += np.float32(0.5) - upper
        shares[point, pixel + 1] += upper
    return shares.reshape(len(at), side, size)


def _resized(grey: NDArray[np.generic], height: int, width: int) -> Float:
    """Return (n, height, width): each pixel the mean of the area that it covers."""
    rows, columns = _averaging(height, grey.shape[1]), _averaging(width, grey.shape[2])
    return np.asarray(rows @ (grey.astype(np.float32) @ columns.T), np.float32)


@cache
def _averaging(count: int, size: int) -> Float:
    """Return (count, size): which share of each of `size` pixels each of `count` pixels has."""
    ends = np.linspace(0, size, count + 1)
    pixels = np.arange(size)
    shares = np.minimum(ends[1:, None], pixels + 1) - np.maximum(ends[:-1, None], pixels)
    shares = np.clip(shares, 0, None)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)
