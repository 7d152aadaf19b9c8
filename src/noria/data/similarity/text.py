"""Which texts are nearly the same: texts -> the number of each one's group.

Two texts are near duplicates where the sets of their runs of three tokens overlap by at least `THRESHOLD` (Jaccard);
more is asked of short texts, and where the texts of a dataset are alike by nature, as letters from one template are.
A token is a word, or a character of a script that is written without spaces. Candidates come from MinHash with banding
(Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3) and each is verified by its sets.
All in numpy, linear in the texts' length; beyond the texts it keeps 300 bytes for each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Progress

THRESHOLD = 0.5  # of long texts; one word in ten changed comes to 0.57
STRICT = 0.8  # of short texts, and of those that are alike by nature
_SHORT = 20  # runs that two texts have together, up to which all of STRICT is asked
_CHANCE, _ABOVE, _DRAWN = 0.02, 0.2, 20_000  # what so few of so many random pairs exceed is usual; how far above that
# Two texts of 0.57 share a band of 3 with 0.57 ** 3, so at least one of 24 with 99 %; at 0.1, with 2 %.
_BANDS, _ROWS = 24, 3
_RUN = 3  # tokens
_LEADERS = 6  # texts of a bucket that each other one is compared with: keeps a bucket of thousands linear
_PATIENCE = (
    16  # comparisons in vain after which a text is let be: thousands of letters from one template, all different
)
_MARGIN = 0.17  # how far below the threshold the share of equal MinHashes may be: three deviations
_AT_ONCE = 1 << 20  # characters whose tokens are in memory together
_PAIRS_AT_ONCE = 1 << 16

_Hashes = NDArray[np.uint64]
_Indices = NDArray[np.int64]

# Odd factors from the golden ratio and from splitmix64 (Steele, Lea and Flood 2014).
_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SEPARATOR, _WORD, _SINGLE = 0, 1, 2


def near_pairs(
    texts: Sequence[bytes | str | None],
    features: Callable[[], Any] = lambda: None,
    progress: Progress | None = None,
    used: dict[str, float] | None = None,
    apart: Collection[tuple[int, int]] = frozenset(),
    middles: Callable[[Any], Any] = lambda rows: None,
) -> list[tuple[int, int, float]]:
    """Return verified pairs of near duplicates with their overlap: enough to connect each group, not every pair of it.

    Args:
        texts: UTF-8 or str; None is near to nothing.
        features: not asked for.
        progress: is told nothing: a hundred thousand texts take a few seconds.
        used: is given the threshold of long texts.
        apart: pairs (smaller, larger) that are different however alike they are; others may still connect them.
        middles: not asked for.
    """
    signatures, filled = _signatures(texts)
    least = min(max(THRESHOLD, _by_nature(signatures, filled) + _ABOVE), STRICT)
    if used is not None:
        used["threshold"] = least
    first_of_group = np.arange(len(texts))
    failures = np.zeros(len(texts), np.int64)
    found: list[tuple[int, int, float]] = []
    for members, buckets in _bands(signatures, filled):
        patient = failures[members] < _PATIENCE
        members, buckets = members[patient], buckets[patient]
        for _ in range(_LEADERS):
            leaders, members, buckets = _led(members, buckets)
            open_ones = first_of_group[leaders] != first_of_group[members]
            leaders, members, buckets = leaders[open_ones], members[open_ones], buckets[open_ones]
            if not members.size:
                break
            overlaps = _likely_overlaps(texts, signatures, leaders, members, least)
            near = overlaps > 0
            if apart:
                both = zip(leaders.tolist(), members.tolist(), strict=True)
                near &= np.array([(min(pair), max(pair)) not in apart for pair in both], np.bool_)
            pairs = list(zip(leaders[near].tolist(), members[near].tolist(), strict=True))
            _unite(first_of_group, pairs)
            found += [(*pair, overlap) for pair, overlap in zip(pairs, overlaps[near].tolist(), strict=True)]
            failures[members[~near]] += 1
            members, buckets = members[~near], buckets[~near]
    return found


def _by_nature(signatures: NDArray[np.uint32], filled: _Indices) -> float:
    """Return the overlap that few random pairs of these texts exceed, as their signatures estimate it."""
    if filled.size < 2:
        return 0.0
    one, other = filled[np.random.default_rng(0).integers(0, filled.size, (2, _DRAWN))]
    apart = one != other
    return float(np.quantile((signatures[one[apart]] == signatures[other[apart]]).mean(axis=1), 1 - _CHANCE))


def hashed_tokens(texts: Sequence[str]) -> tuple[_Hashes, _Indices]:
    """Return the 64-bit hash of each token of all texts in a row, and how many each text has."""
    folded = [text.lower() for text in texts]
    codes = np.frombuffer("\0".join([*folded, ""]).encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _kinds()[np.minimum(codes, 0xFFFF)]
    word = kinds == _WORD
    begins = np.flatnonzero((word & ~np.append(False, word[:-1])) | (kinds == _SINGLE))
    ends = np.flatnonzero((word & ~np.append(word[1:], False)) | (kinds == _SINGLE)) + 1
    # A polynomial of the characters of each word: the difference of two running sums, shifted back to a common place.
    powers, inverses = _powers(codes.size)
    sums = np.append(np.uint64(0), np.cumsum(_mixed(codes.astype(np.uint64)) * powers, dtype=np.uint64))
    hashes = _mixed((sums[ends] - sums[begins]) * inverses[begins])
    bounds = np.cumsum([len(text) + 1 for text in folded])
    counts = np.searchsorted(begins, bounds)
    return hashes, np.diff(counts, prepend=0).astype(np.int64)


def _led(members: _Indices, buckets: _Indices) -> tuple[_Indices, _Indices, _Indices]:
    """Pair each member of a bucket with the bucket's first: leaders, the other members, their buckets."""
    first = np.append(True, np.diff(buckets) != 0)[: members.size]
    leaders = members[first][np.cumsum(first) - 1] if members.size else members
    return leaders[~first], members[~first], buckets[~first]


def _unite(first_of_group: _Indices, pairs: Sequence[tuple[int, int]]) -> None:
    """Make one group of the groups of each pair, in place."""
    for pair in pairs:
        roots = sorted(_root(first_of_group, index) for index in pair)
        first_of_group[roots[1]] = roots[0]
    while pairs and not np.array_equal(flat := first_of_group[first_of_group], first_of_group):
        first_of_group[:] = flat


def _root(parents: _Indices, index: int) -> int:
    while parents[index] != index:
        index = int(parents[index])
    return index


def _likely_overlaps(
    texts: Sequence[bytes | str | None],
    signatures: NDArray[np.uint32],
    leaders: _Indices,
    members: _Indices,
    least: float,
) -> NDArray[np.float64]:
    """The overlap of each member with its leader; 0 where it is below the threshold: `least`, for long texts."""
    near = np.zeros(members.size, np.bool_)
    overlaps = np.zeros(members.size)
    for start in range(0, members.size, _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        near[some] = (signatures[leaders[some]] == signatures[members[some]]).mean(axis=1) >= least - _MARGIN
    likely = np.flatnonzero(near)
    sizes = np.array([_size(texts[first]) + _size(texts[second]) for first, second in _zip(leaders, members, likely)])
    portions = np.cumsum(sizes) // _AT_ONCE
    for portion in np.split(likely, np.flatnonzero(np.diff(portions)) + 1):
        if portion.size:
            found, together = _overlaps(texts, leaders[portion], members[portion])
            needed = least + (STRICT - least) * np.minimum(_SHORT / np.maximum(together, 1), 1)
            overlaps[portion] = np.where(found >= needed, found, 0)
    return overlaps


def _zip(leaders: _Indices, members: _Indices, chosen: _Indices) -> Iterator[tuple[int, int]]:
    return zip(leaders[chosen].tolist(), members[chosen].tolist(), strict=True)


def _size(text: bytes | str | None) -> int:
    return len(text) if text else 0


def _overlaps(
    texts: Sequence[bytes | str | None], leaders: _Indices, members: _Indices
) -> tuple[NDArray[np.float64], _Indices]:
    """Jaccard similarity of the sets of runs of each member and its leader, and how many runs both have together."""
    chosen, place = np.unique(np.concatenate([leaders, members]), return_inverse=True)
    first, second = place[: leaders.size], place[leaders.size :]
    runs, sizes = _runs([_as_str(texts[index]) for index in chosen.tolist()])
    owners = np.repeat(np.arange(chosen.size), sizes)
    order = np.lexsort((runs, owners))
    runs, owners = runs[order], owners[order]
    new = np.append(True, (np.diff(runs) != 0) | (np.diff(owners) != 0))
    runs, owners = runs[new], owners[new]
    counts = np.bincount(owners, minlength=chosen.size)
    begins = np.cumsum(counts) - counts
    # each run of each member, looked up among those of its leader
    wanted = counts[second]
    starts = np.cumsum(wanted) - wanted
    positions = np.arange(wanted.sum()) - np.repeat(starts - begins[second], wanted)
    keys = np.sort(_owned(runs, owners))
    looked_up = _owned(runs[positions], np.repeat(first, wanted))
    hits = keys[np.minimum(np.searchsorted(keys, looked_up), keys.size - 1)] == looked_up
    both = np.add.reduceat(hits, starts, dtype=np.int64)
    together = counts[first] + wanted - both
    return both / together, together


def _owned(runs: _Hashes, owners: _Indices) -> _Hashes:
    return _mixed(runs ^ _mixed(owners.astype(np.uint64)))


def _signatures(texts: Sequence[bytes | str | None]) -> tuple[NDArray[np.uint32], _Indices]:
    """MinHash of each text (n, 72), and the indices of the texts that have a token."""
    signatures = np.zeros((len(texts), _BANDS * _ROWS), np.uint32)
    factors = np.random.default_rng(0).integers(0, 1 << 32, (2, _BANDS * _ROWS), np.uint32)
    factors[0] |= 1
    filled = [np.zeros(0, np.int64)]
    for start, some in _portions(texts):
        runs, sizes = _runs(some)
        present = np.flatnonzero(sizes)
        if not present.size:
            continue
        begins = (np.cumsum(sizes) - sizes)[present]
        short = (runs >> np.uint64(32)).astype(np.uint32)
        for number, (factor, summand) in enumerate(factors.T):
            signatures[start + present, number] = np.minimum.reduceat(short * factor + summand, begins)
        filled.append(start + present)
    return signatures, np.concatenate(filled)


def _portions(texts: Sequence[bytes | str | None]) -> Iterator[tuple[int, list[str]]]:
    """Index of the first, and the texts themselves, so many at a time that they are about `_AT_ONCE` characters."""
    start, some, size = 0, list[str](), 0
    for index, text in enumerate(texts):
        some.append(_as_str(text))
        size += len(some[-1])
        if size >= _AT_ONCE:
            yield start, some
            start, some, size = index + 1, [], 0
    if some:
        yield start, some


def _as_str(text: bytes | str | None) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text or ""


def _runs(texts: Sequence[str]) -> tuple[_Hashes, _Indices]:
    """The hash of each run of three tokens of all texts in a row, and how many each text has.

    A text of one or two tokens has one run: all of it. So it is near to nothing but its like.
    """
    tokens, sizes = hashed_tokens(texts)
    if not tokens.size:
        return tokens, sizes
    second = np.append(tokens[1:], np.uint64(0))
    third = np.append(tokens[2:], np.zeros(min(2, tokens.size), np.uint64))
    place = np.arange(tokens.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    left = np.repeat(sizes, sizes) - place  # tokens from here to the end of the text
    runs = _mixed(_mixed(tokens * _BASE + np.where(left > 1, second, 0)) * _BASE + np.where(left > 2, third, 0))
    whole = (left >= _RUN) | (place == 0)
    return runs[whole], np.where(sizes > 0, np.maximum(sizes - _RUN + 1, 1), 0)


@functools.lru_cache(maxsize=1)
def _kinds() -> NDArray[np.uint8]:
    """The kind of each code point below 0xFFFF; that one stands for all above, which are emoji and rare Han."""
    kinds = np.fromiter((_WORD if chr(code).isalnum() else _SEPARATOR for code in range(0x10000)), np.uint8, 0x10000)
    for first, last in ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3041, 0x9FFF), (0xAC00, 0xD7FF)):
        spelled = kinds[first : last + 1]
        spelled[spelled == _WORD] = _SINGLE
    kinds[0xF900:0xFB00] = _SINGLE
    kinds[0xFFFF] = _SINGLE
    return kinds


def _powers(size: int) -> tuple[_Hashes, _Hashes]:
    """The powers of the base and of its inverse, modulo 2 ** 64."""
    powers, inverses = _all_powers(1 << max(size - 1, 1).bit_length())
    return powers[:size], inverses[:size]


@functools.lru_cache(maxsize=2)
def _all_powers(size: int) -> tuple[_Hashes, _Hashes]:
    inverse = np.uint64(pow(int(_BASE), -1, 1 << 64))
    return tuple(  # type: ignore[return-value]
        np.append(np.uint64(1), np.cumprod(np.full(size - 1, base), dtype=np.uint64)) for base in (_BASE, inverse)
    )


def _mixed(values: _Hashes) -> _Hashes:
    """Spread each value over all 64 bits (the finish of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * _MIX[0]
    values = (values ^ (values >> np.uint64(27))) * _MIX[1]
    return values ^ (values >> np.uint64(31))


def _bands(signatures: NDArray[np.uint32], filled: _Indices) -> Iterator[tuple[_Indices, _Indices]]:
    """For each band, the texts that agree in it with another, and the number of each one's bucket, ascending."""
    for band in range(_BANDS if filled.size else 0):
        keys = np.zeros(filled.size, np.uint64)
        for column in signatures[filled, band * _ROWS : (band + 1) * _ROWS].T:
            keys = _mixed(keys * _BASE + column + np.uint64(1))
        order = np.argsort(keys, kind="stable")
        buckets = np.cumsum(np.append(False, np.diff(keys[order]) != 0))
        shared = np.bincount(buckets)[buckets] > 1
        yield filled[order[shared]], buckets[shared]
