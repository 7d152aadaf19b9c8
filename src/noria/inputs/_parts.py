"""A text -> where its words stand in it and which features each is part of, so that an answer can be traced to words.

The words are those of `_words.py`, found again with the place of each: folding drops and adds characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Parts
from noria.inputs._ngrams import find_ngrams
from noria.inputs._unicode import foldings
from noria.inputs._words import LINE_BREAK

Located = tuple[list[str], tuple[tuple[int, int], ...]]

_LINE_BREAK = re.compile(LINE_BREAK)
_WORD = re.compile(r"\S+")


def located_tokens(text: str) -> Located:
    """Return the words of a text as `_words.tokens` gives them, and the (start, end) of each in the text.

    Two words may share a character that folds into both, such as "½".
    """
    blank = _LINE_BREAK.sub(lambda found: " " * len(found[0]), text)
    table = foldings()
    folded = [table[ord(char)] for char in blank]
    lengths = np.fromiter(map(len, folded), np.int64, len(folded))
    owner = np.repeat(np.arange(len(folded)), lengths)  # of each folded character, the character that it is made of
    leaving_traces = np.append(np.flatnonzero(lengths), len(text))
    found = list(_WORD.finditer("".join(folded)))
    starts = owner[[one.start() for one in found]]
    # A mark that leaves no trace belongs to the letter before it.
    ends = leaving_traces[np.searchsorted(leaving_traces, owner[[one.end() - 1 for one in found]] + 1)]
    return [one[0] for one in found], tuple(zip(starts.tolist(), ends.tolist(), strict=True))


def in_order(data: bytes, length: int) -> Parts:
    """Take a text apart of which a model reads the first `length` words."""
    text = data.decode("utf-8", "replace")
    tokens, spans = located_tokens(text)
    return Parts(text, spans, min(len(tokens), length), None)


def as_set(data: bytes, numbers: Mapping[str, int], keys: NDArray[np.int64], longest: int) -> Parts:
    """Take a text apart of which a model reads the set of n-grams.

    Args:
        numbers: of every word; 0 for one that was not learnt.
        keys, longest: as for `find_ngrams`.
    """
    text = data.decode("utf-8", "replace")
    tokens, spans = located_tokens(text)
    words = np.array([numbers[token] for token in tokens], np.int64)
    occurrences = [np.zeros((0, 3), np.int64)]
    for length, features in enumerate(find_ngrams(words, keys, longest), start=1):
        first = np.flatnonzero(features)
        occurrences.append(np.stack([first, np.full_like(first, length), features[first]], axis=1))
    return Parts(text, spans, len(tokens), np.concatenate(occurrences))
