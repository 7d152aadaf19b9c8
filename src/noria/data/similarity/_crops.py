"""Which picture is a part of which, or overlaps it: pairs of grey copies -> how alike they are where they do.

A window is searched roughly, then closely (`_windows`), then moved and resized in small steps. A part keeps its pixels'
aspect, so the two pictures' aspects say how wide a window of a given height is. It may reach out of the whole: then the
two are cuts of one scene, and what both show is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.data.similarity._looks import Grey, Looks, Pairs, measured_locally
from noria.data.similarity._windows import CLOSER, ROUGH, Float, Grid, Places, Windows, resized, search, ways_of
from noria.inputs.image import SKETCH_SIDE
from noria.ordered import default_threads, ordered_map

LIKELY = 0.5  # correlation of the first search below which a pair is let be
_BEFORE, _AFTER = 0.7, 0.9  # shares of the threshold: the same, before a window is fitted and after the first steps
_LEAST = 0.5  # of the whole's sides that a window has; smaller ones look like too many parts of other pictures
_NEVER = 2.0  # more than a correlation can be
_OUTSIDE = 1.5  # pixels of the grey copy that a part may reach out of the whole by imprecision
_FINE = 24  # pixels a side on which a window is moved about
_MOVES = (1.5, 0.75, 0.4)  # pixels of the grey copy
_SMALLEST = 10  # pixels a side of what is compared in the end
_AT_ONCE = 1024
_DRAWN, _SEED = 200, 0  # pairs that say what is usual in a dataset, and how they are drawn
_MOST_ROUGHLY, _MOST = 0.7, 0.95  # which share of them is below what is worth a closer look
_MANY = 5  # times as many pairs are worth asking


def likeness(
    grey: Grey,
    aspects: NDArray[np.float64],
    pairs: Pairs,
    looks: Looks,
    threshold: float,
    advance: Callable[[int], None],
) -> tuple[Float, Pairs]:
    """Return (p,): how alike one of each pair is to its window in the other, from 0; and the pairs as (whole, part).

    It is 0 below `threshold`, or where the window is less than half as high or wide as the whole.
    """
    many = len(pairs) > _MANY * _DRAWN
    some = grey[looks.distinct], aspects[looks.distinct]
    roughly = _usual(*some, ROUGH, _MOST_ROUGHLY) if many else None
    closely = _usual(*some, CLOSER, _MOST, min(_DRAWN, len(pairs)))
    least = max(LIKELY, _BEFORE * threshold, closely.least if many else 0.0)

    def compared(some: Pairs) -> tuple[Float, Pairs]:
        scores, some = np.zeros(len(some), np.float32), some.copy()
        ways, pair_of = ways_of(some), np.repeat(np.arange(len(some)), 4)
        if roughly is not None:
            good = search(grey, aspects, ways, ROUGH, roughly.handicap).score > roughly.least
            ways, pair_of = ways[good], pair_of[good]
        windows = search(grey, aspects, ways, CLOSER, closely.handicap)
        best = _best_of_each(pair_of, windows.score)
        left, some[pair_of[best]] = pair_of[best], ways[best, :2]
        scores[left] = _compared(grey, some[left], windows.of(best), looks, least, threshold)
        return scores, some

    pieces = (pairs[start : start + _AT_ONCE] for start in range(0, len(pairs), _AT_ONCE))
    found = []
    for one in ordered_map(compared, pieces, threads=default_threads()):
        found.append(one)
        advance(len(one[0]))
    scores = np.concatenate([np.zeros(0, np.float32), *(score for score, _ in found)])
    return scores, np.concatenate([np.zeros((0, 2), np.int64), *(ordered for _, ordered in found)])


@dataclass(frozen=True, slots=True)
class _Usual:
    """What the best windows of random pairs of a dataset come to: cells, wires and seams are everywhere."""

    least: float  # what most of them do not reach
    handicap: float  # how much better a window has to be that reaches out of the whole


def _usual(grey: Grey, aspects: NDArray[np.float64], grid: Grid, most: float, count: int = _DRAWN) -> _Usual:
    drawn = np.random.default_rng(_SEED).integers(0, len(grey), (count, 2))
    pairs = drawn[drawn[:, 0] != drawn[:, 1]]
    if not len(pairs):
        return _Usual(0.0, 0.0)
    inside, anywhere = (
        float(np.quantile(search(grey, aspects, ways_of(pairs), grid, handicap).score.reshape(-1, 4).max(axis=1), most))
        for handicap in (_NEVER, 0.0)
    )
    return _Usual(inside, max(anywhere - inside, 0.0))


def _best_of_each(pair_of: Places, score: Float) -> Places:
    """Return the place of the best way of each pair that has any; the first of those that are as good."""
    order = np.lexsort((-score, pair_of))
    return order[np.unique(pair_of[order], return_index=True)[1]]


def _compared(grey: Grey, pairs: Pairs, windows: Windows, looks: Looks, before: float, threshold: float) -> Float:
    scores = np.zeros(len(pairs), np.float32)
    left = np.arange(len(pairs))
    for moves, least in ((_MOVES[:1], before), (_MOVES[1:], max(LIKELY, _AFTER * threshold))):
        good = np.flatnonzero(windows.score > least)
        if not good.size:
            return scores
        left = left[good]
        windows = fitted(grey, pairs[left], windows.of(good), moves)
    large = np.minimum(windows.height, windows.width) >= _LEAST * SKETCH_SIDE
    found = _verdict(grey, pairs[left], windows, looks)
    scores[left] = np.where(large & (found >= _least(windows, threshold)), found, 0)
    return scores


def _least(windows: Windows, threshold: float) -> Float:
    """Return (p,): what a pair has to reach; more where it only overlaps: neither is a part of the other."""
    ends = [
        (at - long / 2, at + long / 2 - SKETCH_SIDE)
        for at, long in ((windows.middle_y, windows.height), (windows.middle_x, windows.width))
    ]
    reach = np.max([(-start, end) for start, end in ends], axis=(0, 1))
    smaller = np.minimum(windows.height, windows.width) < SKETCH_SIDE - _OUTSIDE
    return np.where((reach < _OUTSIDE) & smaller, threshold, (1 + threshold) / 2).astype(np.float32)


def fitted(grey: Grey, pairs: Pairs, windows: Windows, moves: tuple[float, ...]) -> Windows:
    """Move and resize each window in smaller and smaller steps, as long as the two become more alike."""
    wholes, target = grey[pairs[:, 0]].astype(np.float32), _turned(grey[pairs[:, 1]], windows.mirrored)
    wanted = _normal(measured_locally(resized(target, _FINE, _FINE)))
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


def _directions(step: float) -> list[tuple[float, float, float, float]]:
    moves = [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 2, 2), (0, 0, 1, 0), (0, 0, 0, 1)]
    return [tuple(sign * step * one for one in move) for move in moves for sign in (1, -1)]  # type: ignore[misc]


def _agreement(wholes: Float, windows: Windows, wanted: Float) -> Float:
    there = _normal(measured_locally(_cut(wholes, windows, _FINE)))
    return np.asarray(np.einsum("pd,pd->p", there, wanted), np.float32)


def _verdict(grey: Grey, pairs: Pairs, windows: Windows, looks: Looks) -> Float:
    """How alike the two look where they overlap, the part as blurred as the window is."""
    there, here = _overlap(windows)
    cut = _cut(grey[pairs[:, 0]].astype(np.float32), there, SKETCH_SIDE)
    part = _turned(grey[pairs[:, 1]], windows.mirrored).astype(np.float32)
    seen = np.empty_like(cut)
    sizes = np.clip(np.round((there.height + there.width) / 2), _SMALLEST, SKETCH_SIDE).astype(np.int64)
    for size in np.unique(sizes):
        some = np.flatnonzero(sizes == size)
        small = _cut(part[some], here.of(some), size)
        whole = np.full(len(some), size, np.float32)
        middle = np.asarray(whole / 2, np.float32)
        everything = Windows(whole, middle, middle, whole, whole, windows.mirrored[some])
        seen[some] = _cut(small, everything, SKETCH_SIDE)
    return looks.between(cut, seen)


def _overlap(windows: Windows) -> tuple[Windows, Windows]:
    """Return where each window overlaps the frame of the whole; in the whole, and in the part."""
    there, here = windows.of(np.arange(len(windows.score))), windows.of(np.arange(len(windows.score)))
    for middle, length in (("middle_y", "height"), ("middle_x", "width")):
        at, long = getattr(windows, middle), getattr(windows, length)
        start, end = np.maximum(at - long / 2, 0), np.minimum(at + long / 2, SKETCH_SIDE)
        setattr(there, middle, (start + end) / 2)
        setattr(there, length, end - start)
        setattr(here, middle, ((start + end) / 2 - (at - long / 2)) * SKETCH_SIDE / long)
        setattr(here, length, (end - start) * SKETCH_SIDE / long)
    return there, here


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
