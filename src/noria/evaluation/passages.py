"""A text and what its words did -> the passage that is worth showing, in pieces.

Long texts are cut to where the contributions are largest; white space and `<br />` become one space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from noria.evaluation.attribution import Part

LIMIT = 600  # characters of a passage
STRENGTHS = 4
FAINT = 0.15  # of the largest contribution: below this a word is not marked
_AT_LEAST = 0.1  # nats; where the largest contribution is smaller, nothing pushed much and little is marked

_LONGEST_WORD = 60
_SPACE = re.compile(r"(?:\s|<br ?/?>)+", re.IGNORECASE)


class Piece(NamedTuple):
    """A stretch of a passage; `contribution` is None between words."""

    text: str
    contribution: float | None


def passage(text: str, tokens: Sequence[Part], limit: int = LIMIT) -> list[Piece]:
    """Return the pieces of about `limit` characters around the words that contributed most, in order of the text."""
    begin, end = _window(tokens, len(text), limit)
    pieces = [Piece("… ", None)] if begin > 0 else []
    at = begin
    for token in tokens:
        if begin <= token.start and token.end <= end:
            pieces += [Piece(text[at : token.start], None), Piece(short(token.text), round(token.contribution, 6))]
            at = token.end
    pieces += [Piece(text[at:end], None), Piece(" …" if end < len(text) else "", None)]
    return [Piece(_SPACE.sub(" ", piece.text), piece.contribution) for piece in pieces if piece.text]


def cut(text: str, limit: int = LIMIT) -> str:
    """Return the beginning of a text, with an ellipsis where there is more."""
    beginning = text[:limit].strip()
    return _SPACE.sub(" ", f"{beginning} …" if len(text.strip()) > limit else beginning)


def short(word: str) -> str:
    """Return a word, or the head of one that nobody would read."""
    return word if len(word) <= _LONGEST_WORD else f"{word[: _LONGEST_WORD - 1]}…"


def largest(contributions: Sequence[float]) -> float:
    """Return the contribution that others are compared with when words are marked."""
    return max((abs(one) for one in contributions), default=0.0)


def strength(contribution: float, reference: float) -> int:
    """Return 0 (not marked) to 4 (the strongest), by size alone, against the largest of the text."""
    share = abs(contribution) / max(reference, _AT_LEAST)
    return 0 if share < FAINT else min(STRENGTHS, 1 + int(share * STRENGTHS))


def _window(tokens: Sequence[Part], length: int, limit: int) -> tuple[int, int]:
    """Return where to cut, never within a word: around the largest contributions, with as much on both sides."""
    if length <= limit or not tokens:
        return 0, min(length, limit)
    starts, ends = (np.array([getattr(token, side) for token in tokens]) for side in ("start", "end"))
    sums = np.cumsum([0.0, *(abs(token.contribution) for token in tokens)])
    # For each word: behind which word a window that begins with it ends. It holds that word however long it is.
    after = np.maximum(np.searchsorted(ends, starts + limit, side="right"), np.arange(len(tokens)) + 1)
    held = (sums[after] - sums[:-1]).round(9)
    held = held[: np.searchsorted(starts, length - limit) + 1]  # the windows behind are shorter than they need be
    best = np.flatnonzero(held == held.max())
    first = int(best[len(best) // 2])
    last = int(after[first]) - 1
    return int(starts[first]) if first else 0, int(ends[last]) if last + 1 < len(tokens) else length
