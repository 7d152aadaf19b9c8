"""Texts as TensorFlow ops: UTF-8, string (n,) -> int32 (n, L), the numbers that `inputs/text.py` reads.

The twin of `inputs/_words.py` and `inputs/_ngrams.py` inside an exported graph, with the same table of code points, so
that both answer alike. Only TensorFlow's own ops are used; the tables are saved with the model.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from noria.inputs._ngrams import WORD_BITS
from noria.inputs._unicode import foldings
from noria.inputs._words import LINE_BREAK
from noria.inputs.text import SHORTEST_ROW, UNKNOWN, Settings, keys_of, words_of

_PAGE_BITS = 7  # code points on a page of the table: most pages are equal, and one of them is kept


def build(settings: Settings, files: Mapping[str, bytes]) -> tf.Module:
    """Return the reader with these settings and what was learnt; call it in a `tf.function`.

    Called with string (n,), it returns int32 (n, L): for n-grams L is that of the text that has most, at least 16.
    A text that `inputs/text.py` refuses raises InvalidArgumentError when run.
    """
    return SequenceReader(settings, files) if settings.encoding == "sequence" else NgramReader(settings, files)


class SequenceReader(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Texts -> the numbers of their first words."""

    def __init__(self, settings: Settings, files: Mapping[str, bytes]) -> None:
        super().__init__()
        self._settings = settings
        self._tokens = Tokenizer(settings.max_bytes)
        self._numbers = _table([" ", *words_of(files)], default=UNKNOWN)

    def __call__(self, strings: tf.Tensor) -> tf.Tensor:
        words = self._tokens(strings)[:, : self._settings.length]
        return tf.ragged.map_flat_values(self._numbers.lookup, words).to_tensor(shape=(None, self._settings.length))


class NgramReader(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Texts -> the indices of their n-grams."""

    def __init__(self, settings: Settings, files: Mapping[str, bytes]) -> None:
        super().__init__()
        self._longest = settings.ngrams
        self._tokens = Tokenizer(settings.max_bytes)
        self._numbers = _table([" ", *words_of(files)], default=0)
        keys = keys_of(files)
        self._size = len(keys) + 1
        self._indices = _table(np.append(-1, keys), default=0)  # ten times as fast as a search among the keys

    def __call__(self, strings: tf.Tensor) -> tf.Tensor:
        words = self._tokens(strings)
        numbers = tf.cast(self._numbers.lookup(words.values), tf.int64)
        indices, rows = self._once_a_row(*self._find(numbers, words.value_rowids()))
        ragged = tf.RaggedTensor.from_value_rowids(tf.cast(indices, tf.int32), rows, nrows=words.nrows())
        missing = tf.maximum(SHORTEST_ROW - ragged.bounding_shape(axis=1), 0)
        return tf.pad(ragged.to_tensor(), [[0, 0], [0, missing]])

    def _find(self, words: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the index and the row of each n-gram in the texts; an n-gram is found from the one a word shorter."""
        at = tf.where(words > 0)[:, 0]  # where the n-grams begin
        index = tf.gather(words, at)
        found = [(index, tf.gather(rows, at))]
        for length in range(2, self._longest + 1):
            inside = at + length <= tf.size(words, out_type=tf.int64)
            at, index = at[inside], index[inside]
            last = at + length - 1
            same_row = tf.gather(rows, at) == tf.gather(rows, last)
            at, index, last = at[same_row], index[same_row], last[same_row]
            index = tf.cast(self._indices.lookup(index * 2**WORD_BITS + tf.gather(words, last)), tf.int64)
            known = index > 0
            at, index = at[known], index[known]
            found.append((index, tf.gather(rows, at)))
        indices, owners = zip(*found, strict=True)
        return tf.concat(indices, 0), tf.concat(owners, 0)

    def _once_a_row(self, indices: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the pairs of index and row, each once, by row and then by index."""
        packed = tf.sort(rows * self._size + indices)
        packed = packed[tf.concat([packed[:1] == packed[:1], packed[1:] != packed[:-1]], 0)]
        return packed % self._size, packed // self._size


class Tokenizer(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Texts -> ragged (n, words) of strings."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes
        pages, table = _paged(foldings())
        self._pages = tf.Variable(pages, trainable=False, name="pages")
        self._table = tf.Variable(table, trainable=False, name="foldings")

    def __call__(self, strings: tf.Tensor) -> tf.RaggedTensor:
        too_large = f"text too large: at most {self._max_bytes} bytes are read"
        tf.debugging.Assert(tf.reduce_all(tf.strings.length(strings) <= self._max_bytes), [too_large])
        one_line = tf.strings.regex_replace(strings, LINE_BREAK, " ")
        codes = tf.strings.unicode_decode(one_line, "UTF-8", errors="replace")
        page = tf.gather(self._pages, tf.bitwise.right_shift(codes.values, _PAGE_BITS))
        folded = tf.gather(self._table, page * 2**_PAGE_BITS + codes.values % 2**_PAGE_BITS)
        joined = tf.strings.unsorted_segment_join(folded, codes.value_rowids(), tf.size(strings))
        words = tf.strings.split(joined)
        tf.debugging.Assert(tf.reduce_all(words.row_lengths() > 0), ["text without a word or sign"])
        return words


def _paged(table: list[str]) -> tuple[NDArray[np.int32], list[str]]:
    """Return the number of each page, and the entries of the pages that differ."""
    size = 2**_PAGE_BITS
    known: dict[tuple[str, ...], int] = {}
    pages = [known.setdefault(tuple(table[at : at + size]), len(known)) for at in range(0, len(table), size)]
    return np.array(pages, np.int32), [entry for page in known for entry in page]


def _table(keys: list[str] | NDArray[np.int64], default: int) -> tf.lookup.StaticHashTable:
    """Return a table from the keys to `default`, `default` + 1, …; to `default` for whatever else.

    The first key is one that nobody asks for: TensorFlow makes no empty tables.
    """
    values = tf.range(default, default + len(keys), dtype=tf.int32)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(tf.constant(keys), values), default)
