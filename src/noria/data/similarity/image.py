"""Which pictures are nearly the same: resized, compressed anew, cropped, mirrored, watermarked, brighter or darker.

Copies of the whole frame are found by how their small grey copies look (`_looks`). Parts (`_crops`) are looked for
among pictures whose features are near each other, where there are features: a network's, which know what a picture
shows wherever it lies in the frame. Each candidate is verified; the threshold rises where the pictures of a dataset are
alike by nature, and with their number.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Progress, Silent
from noria.data.duplicates import Sets
from noria.data.neighbours import Neighbours, candidate_pairs, each_with, indexes
from noria.data.similarity import _crops, _whitening
from noria.data.similarity._looks import Looks, Pairs, mostly_plain
from noria.data.similarity._whitening import Vectors, spread_over
from noria.inputs.image import open_sketches

THRESHOLD = 0.22  # of whole frames; unrelated photos come to 0.15 at most
PART_THRESHOLD = 0.5  # of a window, which was the best of thousands
_HIGHEST, _HIGHEST_PART = 0.6, 0.8
_BACKGROUND = 1.7  # times the likeness that one of a thousand pairs exceeds by chance
_CHANCE = 0.001
_FEW = 1000  # pictures: the thresholds hold among so many, and rise where there are more
_NEAREST, _NEAREST_FEATURES, _MANY = 5, 3, 40  # neighbours that are looked at; and of who has as many near copies
_LIKELY = 0.25  # cosine of codes below which a pair is not looked at
_LOOKED_AT = 600  # pictures
_PROBED, _KNOWN_AGAIN = 100, 0.9  # pictures that are asked for by their middles; share that is enough to be found
_NEAREST_MIDDLES, _LEAST_OF_MIDDLES = 5, 0.1  # wholes that are looked at for a middle; cosine from which one is
_MORE_OF_MIDDLES = 0.25  # of the way from the threshold to the same: where more is asked, more is alike by chance
_SURE, _ABOUT = 0.8, 0.15  # codes have the coarse part only: how far below the verdict's threshold they may be
_SAMPLE = 2400  # features that their whitening is made from

Pair = tuple[int, int, float]
Middles = Callable[[Sequence[int]], Vectors | None]


def near_pairs(
    sketches: Sequence[bytes],
    features: Callable[[], Vectors | None] = lambda: None,
    progress: Progress | None = None,
    used: dict[str, float] | None = None,
    apart: Collection[tuple[int, int]] = frozenset(),
    middles: Middles = lambda rows: None,
) -> list[Pair]:
    """Return verified pairs (first, second, likeness) of near duplicates, enough of them to connect each group.

    Args:
        sketches: of pictures with different pixels, as `noria.inputs.image.inspect` makes them.
        features: gives (n, D), or None where there is no network: then parts of pictures are not found.
        progress: is told of every pair that is compared, and of every picture that is sorted in.
        used: is given the thresholds, that of parts only where they were looked for.
        apart: pairs (smaller, larger) that are different whatever they look like; others may still connect them.
        middles: gives (m, D) of the middles of some, enlarged, or None.
    """
    used = {} if used is None else used
    if len(sketches) < 2:
        return []
    progress = progress or Silent()
    grey, aspects = open_sketches(sketches)
    looks = Looks(grey)
    higher, among = _BACKGROUND * float(looks.by_nature(_CHANCE)), _among(len(grey))
    # Pictures of one kind are alike in more degrees than chance has: their tails are as of an exponential.
    used["threshold"] = min(max(among * THRESHOLD, among**2 * higher), _HIGHEST)
    found = [pair for pair in _same_frame(looks, used["threshold"], progress) if pair[:2] not in apart]
    vectors = features()
    if vectors is not None:
        whitening = _whitening.fit(vectors[spread_over(len(vectors), _SAMPLE)])
        codes = whitening.codes(vectors)
        index = indexes([codes], progress, "parts of pictures")[0]
        least = used["parts_threshold"] = min(among * max(PART_THRESHOLD, higher), _HIGHEST_PART)
        plain = mostly_plain(grey)
        of_middles = partial(_nearest_of_middles, middles=middles, whitening=whitening)
        surely = least + _MORE_OF_MIDDLES * (1 - least)
        for near, needed in ((_nearest, least), (of_middles, surely), (_between_groups, least)):
            pairs = near(index, codes, found)
            pairs = pairs[~plain[pairs].any(axis=1)]  # a stroke on nothing is like a part of any other
            with progress.track("parts of pictures", len(pairs)) as advance:
                likeness, ordered = _crops.likeness(grey, aspects, pairs, looks, needed, advance)
            parts = [pair for pair in _above(ordered, likeness, needed) if tuple(sorted(pair[:2])) not in apart]
            found += _of_one_whole(parts, found, len(grey))
    return found


def _among(count: int) -> float:
    """How much more alike the most alike of all pairs are by chance than among the first few: tails as of a normal."""
    pairs, few = (number * (number - 1) / 2 for number in (max(count, _FEW), _FEW))
    return math.sqrt(math.log(pairs) / math.log(few))


def _same_frame(looks: Looks, threshold: float, progress: Progress) -> list[Pair]:
    straight, mirrored, plain = looks.codes()
    whitened, as_is = indexes([straight, plain], progress, "near duplicates")
    likely, equal = max(_LIKELY, _SURE * threshold), max(_LIKELY, looks.equal - _ABOUT)
    searched = [
        (whitened, straight, straight, likely), (whitened, mirrored, straight, likely), (as_is, plain, plain, equal),
    ]  # fmt: skip
    pairs = np.concatenate([
        _likely(candidate_pairs(index, queries, _NEAREST), queries, codes, least)
        for index, queries, codes, least in searched
    ])  # fmt: skip
    found = set(_verified(looks, pairs, threshold))
    # Who has as many copies as neighbours were looked at may have more; else a group could fall into pieces.
    count = np.bincount(np.array([pair[:2] for pair in found], np.int64).ravel(), minlength=len(straight))
    crowded = np.flatnonzero(count >= _NEAREST)
    if crowded.size:
        more = []
        for index, queries, codes, least in searched:
            some = each_with(crowded, index.of(queries[crowded], _MANY + 1))
            more.append(_likely(np.sort(some[some[:, 0] != some[:, 1]], axis=1), queries, codes, least))
        found |= set(_verified(looks, np.concatenate(more), threshold))
    return sorted(found)


def _likely(pairs: Pairs, queries: Vectors, codes: Vectors, least: float) -> Pairs:
    """Return the pairs of which the product of query and code is above the least."""
    return pairs[_products(queries, pairs[:, 0], codes, pairs[:, 1]) > least]


def _verified(looks: Looks, pairs: Pairs, threshold: float) -> list[Pair]:
    """Return the pairs that are alike, each once."""
    pairs = np.unique(pairs, axis=0)
    return _above(pairs, looks.likeness(pairs), threshold)


def _of_one_whole(found: Sequence[Pair], same_frame: Sequence[Pair], count: int) -> list[Pair]:
    """Return the pairs without those of a part that is more like a part of another, unrelated picture.

    They are given as (whole, part), and returned as pairs are. A plain picture looks like a part of many;
    it can be one of a single picture and of its copies and parts.
    """
    wholes: defaultdict[int, list[Pair]] = defaultdict(list)
    for pair in found:
        wholes[pair[1]].append(pair)
    related = Sets(count)
    for one, other, _ in same_frame:
        related.join(one, other)
    kept = []
    for part in sorted(wholes, key=lambda one: (len(wholes[one]), one)):  # who has one whole relates others' wholes
        best = max(wholes[part], key=lambda pair: (pair[2], -pair[0]))
        good = [pair for pair in wholes[part] if related.first_of(pair[0]) == related.first_of(best[0])]
        related.join(best[0], part)
        kept += good
    return sorted((min(one, other), max(one, other), score) for one, other, score in kept)


def _nearest(index: Neighbours, codes: Vectors, found: Sequence[Pair]) -> Pairs:
    """Return the pairs whose features are nearest, without those that are `found`."""
    pairs = _likely(candidate_pairs(index, codes, _NEAREST_FEATURES), codes, codes, _least(codes))
    known = {(first, second) for first, second, _ in found}
    return np.array([pair for pair in map(tuple, pairs.tolist()) if pair not in known], np.int64).reshape(-1, 2)


def _nearest_of_middles(
    index: Neighbours, codes: Vectors, found: Sequence[Pair], *, middles: Middles, whitening: _whitening.Whitening
) -> Pairs:
    """Return the pairs of which the one is nearest to the middle of the other, where features do not know a part again.

    A part shows things larger than the whole does. Of photos the features are of what they show, whatever its size;
    those of textures are of their grain. A few pictures say which it is here: their middles should be found by wholes.
    """
    of, everyone = _groups(found, len(codes)), np.arange(len(codes))
    some = spread_over(len(codes), _PROBED)
    vectors = middles(some.tolist())
    if vectors is not None:
        near = index.of(whitening.codes(vectors), _NEAREST_FEATURES)
        known_again = float((of[near] == of[some, None]).any(axis=1).mean())
        vectors = middles(everyone.tolist()) if known_again < _KNOWN_AGAIN else None
    if vectors is None:
        return np.zeros((0, 2), np.int64)
    queries = whitening.codes(vectors)
    pairs = each_with(everyone, index.of(queries, _NEAREST_MIDDLES + 1))
    pairs = pairs[of[pairs[:, 0]] != of[pairs[:, 1]]]
    return np.unique(np.sort(_likely(pairs, queries, codes, _LEAST_OF_MIDDLES), axis=1), axis=0)


def _least(codes: Vectors) -> float:
    """Return the cosine of features from which a pair is looked at: of few pictures, whose copies may make up much of
    what they have in common, all that are nearest.
    """
    return _LIKELY if len(codes) > _LOOKED_AT else -1.0


def _between_groups(index: Neighbours, codes: Vectors, found: Sequence[Pair]) -> Pairs:
    """Return the nearest pairs of each two groups: of many copies the nearest few are copies of one another, and a
    group that was found from them alone could be a part of the true one.
    """
    of = _groups(found, len(codes))
    crowded = np.flatnonzero(np.bincount(of, minlength=len(of))[of] > _NEAREST_FEATURES)
    if not crowded.size:
        return np.zeros((0, 2), np.int64)
    pairs = each_with(crowded, index.of(codes[crowded], _MANY + 1))
    pairs = np.unique(np.sort(pairs[of[pairs[:, 0]] != of[pairs[:, 1]]], axis=1), axis=0)
    pairs = _likely(pairs, codes, codes, _least(codes))
    nearness = _products(codes, pairs[:, 0], codes, pairs[:, 1])
    between = np.sort(of[pairs], axis=1)
    order = np.lexsort((-nearness, between[:, 1], between[:, 0]))
    # A pair is the first of its two groups, the second, ...: how far it comes after the one that begins them.
    begins = np.flatnonzero(np.any(np.diff(between[order], axis=0, prepend=-1), axis=1))
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    return np.asarray(pairs[order[rank < _NEAREST_FEATURES]], np.int64)


def _groups(found: Sequence[Pair], count: int) -> NDArray[np.int64]:
    """Return (count,): the first of those that each is joined with, itself where it is with none."""
    groups = Sets(count)
    for one, other, _ in found:
        groups.join(one, other)
    return np.array([groups.first_of(place) for place in range(count)], np.int64)


def _above(pairs: Pairs, likeness: Vectors, threshold: float) -> list[Pair]:
    chosen = likeness >= threshold
    return [
        (first, second, round(min(score, 1.0), 3))
        for (first, second), score in zip(pairs[chosen].tolist(), likeness[chosen].tolist(), strict=True)
    ]


def _products(one: Vectors, first: NDArray[np.int64], other: Vectors, second: NDArray[np.int64]) -> Vectors:
    """Return (p,) products of rows, a piece at a time."""
    pieces = np.array_split(np.arange(len(first)), max(1, len(first) // 65_536))
    return np.concatenate([np.einsum("pd,pd->p", one[first[some]], other[second[some]]) for some in pieces])
