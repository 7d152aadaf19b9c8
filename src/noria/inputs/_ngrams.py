"""Words -> n-grams in numpy: which ones a collection of texts shares, and which ones each text has.

An n-gram is known by its index 1, 2, …; 0 is none. All stand in one sorted array of int64 keys, the index being a key's
place, from 1. A key is `index of the n-gram without its last word << 21 | number of its last word`: the array is a trie
in which n-grams of any length are found exactly, a word at a time. The words come first, so a word's index is its
number. What begins or ends an n-gram of the array is in it too.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from noria.ordered import default_threads, ordered_map

WORD_BITS: Final = 21
MOST_WORDS: Final = (1 << WORD_BITS) - 1
PART_WORDS: Final = 1 << 20  # texts are worked on in parts of about so many words, which bounds the memory

Ids = NDArray[np.int32]
Numbers = NDArray[np.int64]
Keys = Numbers
Part = TypeVar("Part")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows of numbers of different lengths: row i is `values[splits[i]:splits[i + 1]]`."""

    values: Ids
    splits: Numbers  # (n + 1,)

    def __len__(self) -> int:
        return len(self.splits) - 1

    def __getitem__(self, row: int) -> Ids:
        return self.values[self.splits[row] : self.splits[row + 1]]

    @property
    def lengths(self) -> Numbers:
        """Return (n,)."""
        return np.diff(self.splits)

    def between(self, start: int, stop: int) -> Rows:
        """Return the rows from `start` to before `stop`, their values in the same memory."""
        splits = self.splits[start : stop + 1]
        return Rows(self.values[splits[0] : splits[-1]], splits - splits[0])

    def cut(self, length: int) -> Rows:
        """Return the first `length` numbers of each row."""
        kept = np.arange(len(self.values)) - np.repeat(self.splits[:-1], self.lengths) < length
        return Rows(self.values[kept], _splits(np.minimum(self.lengths, length)))

    def padded(self, length: int | None = None) -> Ids:
        """Return (n, length), by default as long as the longest: each row's first numbers, zeros at the ends."""
        if length is not None and self.lengths.max(initial=0) > length:
            return self.cut(length).padded(length)
        array = np.zeros((len(self), self.lengths.max(initial=0) if length is None else length), np.int32)
        array[np.arange(array.shape[1]) < self.lengths[:, np.newaxis]] = self.values
        return array


def joined(parts: Iterable[Rows]) -> Rows:
    """Return the rows of all parts, one part after the other.

    Parts that are made one by one are in memory one by one: it takes hardly more than what is returned.
    """
    values, lengths = array("i"), array("q")  # arrays that grow in place, unlike those of numpy
    for part in parts:
        values.frombytes(part.values.astype(np.int32, copy=False).tobytes())
        lengths.frombytes(part.lengths.tobytes())
    return Rows(np.asarray(values, np.int32), _splits(np.asarray(lengths, np.int64)))


def encode(texts: Iterable[Sequence[str]], id_of: Callable[[str], int]) -> Iterator[Rows]:
    """Yield the ids of the words of each text, in parts of about `PART_WORDS` words."""
    rows: list[Ids] = []
    pending = 0
    for words in texts:
        rows.append(np.fromiter(map(id_of, words), np.int32, len(words)))
        pending += len(words)
        if pending >= PART_WORDS:
            yield _rows(rows)
            rows, pending = [], 0
    if rows:
        yield _rows(rows)


def document_frequency(parts: Iterable[Rows], number: int) -> Numbers:
    """Return (number,): in how many rows each id 0, 1, … stands."""
    total = np.zeros(number, np.int64)
    for ids, _ in in_threads(lambda part: _once_a_row(part.values, _row_of_each(part)), parts):
        total += np.bincount(ids, minlength=number)
    return total


def shared_ngrams(parts: Sequence[Rows], frequency: Numbers, *, longest: int, min_count: int, most: int) -> Numbers:
    """Return the keys of the n-grams that are in at least `min_count` texts; of too many the most frequent.

    Args:
        parts: numbers of words, 0 for words that do not count.
        frequency: (V,) in how many texts the words 1 to V are: falling, each at least `min_count`.
        longest: words in an n-gram, at most.
        most: n-grams that are kept, at most. Of two in equally many texts that is the shorter one, or the one of the
            more frequent words.

    An n-gram is in no more texts than its beginning and its end, so only those are counted of which both are kept.
    """
    frequency = frequency[:most]
    keys = np.arange(1, len(frequency) + 1)
    for length in range(2, longest + 1):
        tally = _Tally()
        for counted in in_threads(functools.partial(_count, keys=keys, length=length), parts):
            tally.add(counted)
        longer, counts = tally.total()
        kept = _most_frequent(counts, most, min_count)
        keys, frequency = np.concatenate([keys, longer[kept]]), np.concatenate([frequency, counts[kept]])
    return _cut(keys, _most_frequent(frequency, most, min_count))


def find_ngrams(words: Numbers, keys: Keys, longest: int) -> list[Numbers]:
    """Return for n = 1 to `longest` the index of the n-gram that begins at each place, 0 for none.

    Args:
        words: (m,) numbers of words; 0 for words that do not count and between texts.
        keys: as `shared_ngrams` returns them, all words of `words` among them.
    """
    found = [words]
    for length in range(2, longest + 1):
        shorter, last = found[-1], words[length - 1 :]
        begun = np.flatnonzero((shorter[: len(last)] > 0) & (last > 0))
        index = np.zeros_like(words)
        index[begun] = _places(keys, shorter[begun] << WORD_BITS | last[begun])
        found.append(index)
    return found


def features(part: Rows, keys: Keys, longest: int) -> Rows:
    """Return for each row of words the n-grams that it has: indices 1 to K, each once, ascending."""
    words, row = _with_gaps(part)
    found = [(index[there], row[there]) for index in find_ngrams(words, keys, longest) for there in [index > 0]]
    indices, rows = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    indices, rows = _once_a_row(indices, rows)
    return Rows(indices.astype(np.int32), _splits(np.bincount(rows, minlength=len(part))))


def words_of_ngram(index: int, keys: Keys) -> list[int]:
    """Return the numbers of the words of an n-gram, in order."""
    numbers: list[int] = []
    while index:
        index, number = divmod(int(keys[index - 1]), 1 << WORD_BITS)
        numbers.insert(0, number)
    return numbers


def in_threads(work: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Yield the results in order; few parts are in memory at once."""
    return ordered_map(work, parts, threads=default_threads(), ahead=2)


class _Tally:
    """Counts of sorted keys, added up part by part. Runs of like size are merged, so that all costs n log n."""

    def __init__(self) -> None:
        self._runs: list[tuple[Numbers, Numbers]] = []

    def add(self, run: tuple[Numbers, Numbers]) -> None:
        self._runs.append(run)
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            self._merge(2)

    def total(self) -> tuple[Numbers, Numbers]:
        """Return the keys, ascending, and the count of each."""
        self._merge(len(self._runs))
        return self._runs[0] if self._runs else (np.zeros(0, np.int64), np.zeros(0, np.int64))

    def _merge(self, number: int) -> None:
        if number < 2:
            return
        keys, counts = (np.concatenate(arrays) for arrays in zip(*self._runs[-number:], strict=True))
        order = np.argsort(keys, kind="stable")  # merges sorted runs
        keys, counts = keys[order], counts[order]
        starts = _starts(keys)
        self._runs[-number:] = [(keys[starts], _sums(counts, starts))]


def _count(part: Rows, keys: Keys, length: int) -> tuple[Numbers, Numbers]:
    """Return the keys of n-grams of one length, ascending, and in how many rows each stands."""
    words, row = _with_gaps(part)
    shorter = find_ngrams(words, keys, length - 1)[-1]
    at = np.flatnonzero((shorter[:-1] > 0) & (shorter[1:] > 0))
    longer, order = _sorted(shorter[at] << WORD_BITS | words[at + length - 1])
    row = row[at[order]]
    starts = _starts(longer)
    first_in_row = np.ones(len(longer), np.int64)
    first_in_row[1:] = (longer[1:] != longer[:-1]) | (row[1:] != row[:-1])
    return longer[starts], _sums(first_in_row, starts)


def _most_frequent(frequency: Numbers, most: int, min_count: int) -> Numbers:
    """Return the places of the `most` largest, the first of equals, in their order."""
    places = np.flatnonzero(frequency >= min_count)
    ranked = places[np.argsort(-frequency[places], kind="stable")]
    return np.sort(ranked[:most])


def _cut(keys: Keys, kept: Numbers) -> Numbers:
    """Return the kept keys with the indices that n-grams have after the cut."""
    index = np.zeros(len(keys) + 1, np.int64)
    index[kept + 1] = np.arange(1, len(kept) + 1)
    beginning, last = keys[kept] >> WORD_BITS, keys[kept] & MOST_WORDS
    cut: Keys = index[beginning] << WORD_BITS | index[last]
    return cut


def _places(keys: Keys, wanted: Numbers) -> Numbers:
    """Return the place of each in the sorted keys, from 1; 0 where it is not among them."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64)
    ordered, order = _sorted(wanted)  # four times as fast as a search for one here, one there
    at = np.searchsorted(keys, ordered)
    at[at == len(keys)] = 0
    places = np.empty(len(wanted), np.int64)
    places[order] = np.where(keys[at] == ordered, at + 1, 0)
    return places


def _sorted(numbers: Numbers) -> tuple[Numbers, Numbers]:
    """Return the numbers in ascending order and the place that each had, equal ones in their order."""
    bits = len(numbers).bit_length()
    if int(numbers.max(initial=0)).bit_length() + bits > 63:
        order = np.argsort(numbers, kind="stable")
        return numbers[order], order
    packed = np.sort(numbers << bits | np.arange(len(numbers)))  # several times as fast as argsort
    return packed >> bits, packed & ((1 << bits) - 1)


def _once_a_row(ids: NDArray[np.integer], rows: Numbers) -> tuple[Numbers, Numbers]:
    """Return the pairs of id and row, each once, by row and then by id."""
    packed = np.sort(rows << 32 | ids)
    packed = packed[_starts(packed)]
    return packed & 0xFFFFFFFF, packed >> 32


def _with_gaps(part: Rows) -> tuple[Numbers, Numbers]:
    """Return the values with a 0 after each row, and the row of each place."""
    words = np.zeros(len(part.values) + len(part), np.int64)
    words[np.arange(len(part.values)) + _row_of_each(part)] = part.values
    return words, np.repeat(np.arange(len(part)), part.lengths + 1)


def _row_of_each(part: Rows) -> Numbers:
    return np.repeat(np.arange(len(part)), part.lengths)


def _starts(ordered: Numbers) -> Numbers:
    """Return where in a sorted array another number begins."""
    return np.flatnonzero(np.concatenate([ordered[:1] == ordered[:1], ordered[1:] != ordered[:-1]]))


def _sums(numbers: Numbers, starts: Numbers) -> Numbers:
    return np.add.reduceat(numbers, starts) if len(starts) else numbers[:0]


def _rows(rows: Sequence[Ids]) -> Rows:
    return Rows(np.concatenate(rows), _splits(np.fromiter(map(len, rows), np.int64, len(rows))))


def _splits(lengths: Numbers) -> Numbers:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
