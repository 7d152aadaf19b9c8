"""A text: UTF-8 bytes -> int32 array of numbers that stand for its n-grams, or for its words in order.

`_words.py` has the rules of words, `_ngrams.py` those of n-grams; `exporting/graphs/text.py` answers alike with
TensorFlow ops. What is learnt are two files: `words.txt` (one word a line, those in most texts first; the number of
a line, from 1, is the number of the word) and for n-grams `ngrams.npy` (their keys).

- `ngrams`: the set of n-grams, their indices 1 to K ascending, then zeros up to a power of two (16 at least: engines
  that fix shapes meet few of them).
- `sequence`: the first `length` words: 1 for a word that is not known, the word of line i as i + 1, then zeros.
"""

from __future__ import annotations

import hashlib
import io
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from noria.contracts import Parts
from noria.errors import UnreadableInputError
from noria.inputs import _ngrams, _parts
from noria.inputs._ngrams import MOST_WORDS
from noria.inputs._ngrams import Rows as Rows  # what a bulk reader gives
from noria.inputs._unicode import foldings
from noria.inputs._words import tokens, without_line_breaks

NOUN: Final = ("text", "texts")
STANDARD_INPUT: Final = "lines"
INPUT_NAME: Final = "input_text"
ARRAY_NAME: Final = "token_ids"
ARRAY_DTYPE: Final = "int32"
MEDIA_TYPE: Final = "text/"
AT_ONCE: Final = 64
PREVIEW_CHARACTERS: Final = 300
CLOSE_UP_CHARACTERS: Final = 20_000
VARIANT_CHARACTERS: Final = 10_000
WORDS, NGRAMS = "words.txt", "ngrams.npy"
SHORTEST_ROW: Final = 16
UNKNOWN: Final = 1  # in a sequence

Reader = Callable[[bytes], NDArray[np.int32]]
BatchReader = Callable[[Sequence[bytes]], list[NDArray[np.int32] | UnreadableInputError]]
BulkReader = Callable[[Iterable[bytes]], Rows]


class Settings(BaseModel):
    """How a text becomes an array. Travels as JSON in every run and bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoding: Literal["ngrams", "sequence"] = Field("ngrams", description="the set of n-grams, or the words in order")
    ngrams: int = Field(3, ge=1, le=5, description="ngrams: the longest, in words")
    max_ngrams: int = Field(1_000_000, ge=1, le=1 << 24, description="ngrams: the most frequent that are kept")
    length: int = Field(256, ge=1, le=65_536, description="sequence: words kept of a text, from its beginning")
    vocabulary: int = Field(20_000, ge=1, le=MOST_WORDS, description="sequence: the most frequent words that are kept")
    min_count: int = Field(2, ge=1, description="a word or n-gram in fewer training texts is not learnt")
    max_bytes: int = Field(1_000_000, ge=1, description="a longer text, in bytes of UTF-8, is refused")
    rules: Literal[1] = Field(1, description="version of the rules by which texts are cut into words")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a readable text is."""

    characters: int
    words: int
    content_sha256: str  # of the folded words: texts that differ in case, accents or spaces only are equal here


def inspect(data: bytes, settings: Settings) -> Facts:
    """Cut a text into words and say what it is.

    Raises:
        UnreadableInputError: it has no word, or is too large.
    """
    words = _readable_tokens(data, settings)
    content = hashlib.sha256(" ".join(words).encode()).hexdigest()
    return Facts(len(data.decode("utf-8", "replace")), len(words), content)


def learn(texts: Iterable[bytes], settings: Settings) -> dict[str, bytes]:
    """Return the files that a reader needs: which words, and which n-grams, are in `min_count` texts or more."""
    provisional: defaultdict[str, int] = defaultdict()
    provisional.default_factory = provisional.__len__
    parts = list(_ngrams.encode(map(tokens, texts), provisional.__getitem__))
    frequency = _ngrams.document_frequency(parts, len(provisional))
    most = settings.vocabulary if settings.encoding == "sequence" else min(settings.max_ngrams, MOST_WORDS)
    words = _most_frequent(list(provisional), frequency, settings.min_count)[:most]
    if settings.encoding == "sequence":
        return {WORDS: _lines(words)}
    places = np.array([provisional[word] for word in words], np.int64)
    number = np.zeros(len(provisional), np.int32)
    number[places] = np.arange(1, len(words) + 1)
    for part in parts:
        np.take(number, part.values, out=part.values)  # in place: they are as large as all texts together
    keys = _ngrams.shared_ngrams(
        parts,
        frequency[places],
        longest=settings.ngrams,
        min_count=settings.min_count,
        most=settings.max_ngrams,
    )
    stored = io.BytesIO()
    np.save(stored, keys, allow_pickle=False)
    return {WORDS: _lines(words[: np.count_nonzero(keys <= MOST_WORDS)]), NGRAMS: stored.getvalue()}


def open_reader(settings: Settings, files: Mapping[str, bytes]) -> Reader:
    """Return what reads one text; it refuses what `inspect` refuses, for the same reasons."""
    read = _open_rows(settings, files)

    def read_one(data: bytes) -> NDArray[np.int32]:
        (part,) = _ngrams.encode([_readable_tokens(data, settings)], read.id_of)
        return _padded(read.finish(part).values, settings)

    return read_one


def open_batch_reader(settings: Settings, files: Mapping[str, bytes]) -> BatchReader:
    """Return what reads a few texts at once, several times as fast as one by one, and refuses those that it must."""
    read = _open_rows(settings, files)

    def read_batch(texts: Sequence[bytes]) -> list[NDArray[np.int32] | UnreadableInputError]:
        words = [_tokens_or_refusal(data, settings) for data in texts]
        readable = [one for one in words if isinstance(one, list)]
        rows = read.finish(_ngrams.joined(_ngrams.encode(readable, read.id_of)))
        place = iter(range(len(rows)))
        return [_padded(rows[next(place)], settings) if isinstance(one, list) else one for one in words]

    return read_batch


def open_bulk_reader(settings: Settings, files: Mapping[str, bytes]) -> BulkReader:
    """Return what reads many texts, on all processors where numpy works: a row for each, not padded.

    It refuses nothing: a text without words is an empty row.
    """
    read = _open_rows(settings, files)

    def read_all(texts: Iterable[bytes]) -> Rows:
        parts = _ngrams.encode(map(tokens, texts), read.id_of)
        return _ngrams.joined(_ngrams.in_threads(read.finish, parts))

    return read_all


def open_parts(settings: Settings, files: Mapping[str, bytes]) -> Callable[[bytes], Parts]:
    """Return what takes a text apart, so that an answer can be traced to its words."""
    if settings.encoding == "sequence":
        return lambda data: _parts.in_order(data, settings.length)
    numbers, keys = _Numbers(words_of(files), 1, unknown=0), keys_of(files)
    return lambda data: _parts.as_set(data, numbers, keys, settings.ngrams)


def words_of(files: Mapping[str, bytes]) -> list[str]:
    """Return the learnt words; the one with number i is at i - 1."""
    return files[WORDS].decode().split("\n")[:-1]


def keys_of(files: Mapping[str, bytes]) -> NDArray[np.int64]:
    """Return the (K,) keys of the learnt n-grams, ascending."""
    keys: NDArray[np.int64] = np.load(io.BytesIO(files[NGRAMS]), allow_pickle=False)
    return keys


def feature_names(files: Mapping[str, bytes], features: Iterable[int]) -> list[str]:
    """Return the n-grams with these indices, the words of each with spaces between."""
    words, keys = words_of(files), keys_of(files)
    return [" ".join(words[number - 1] for number in _ngrams.words_of_ngram(index, keys)) for index in features]


def array_shape(settings: Settings) -> tuple[int | None, ...]:
    """Return the shape of a text as a model takes it: (length,), None where texts differ."""
    return (settings.length if settings.encoding == "sequence" else None,)


def pixels(data: bytes) -> int:
    """Return 0: a text has none."""
    return 0


def preview(data: bytes) -> str:
    """Return the beginning of a text, for a report."""
    return excerpt(data, PREVIEW_CHARACTERS)


def close_up(data: bytes) -> str:
    """Return a text with its lines, "…" where the end of a very long one is cut off."""
    text = data.decode("utf-8", "replace")
    return text if len(text) <= CLOSE_UP_CHARACTERS else f"{text[:CLOSE_UP_CHARACTERS]}…"


def excerpt(data: bytes, limit: int) -> str:
    """Return the beginning of a text on one line, at most `limit` characters, "…" where it was cut off."""
    text = " ".join(without_line_breaks(data).decode("utf-8", "replace").split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def variants(data: bytes) -> list[tuple[str, str, bytes]]:
    """Return (file ending, note, bytes) of the beginning of a text, written in other ways that must read alike."""
    text = without_line_breaks(data).decode("utf-8", "replace").strip()[:VARIANT_CHARACTERS]
    return [
        (".txt", "upper case", _rewritten(text, str.upper).encode()),
        (".txt", "accents as marks of their own (NFD)", _rewritten(text, _decomposed).encode()),
        (".txt", "Windows line ends, double spaces", "\r\n\r\n".join(text.replace(" ", "  ").splitlines()).encode()),
        (".txt", "byte order mark", b"\xef\xbb\xbf" + text.encode()),
    ]


class _Numbers(dict[str, int]):
    """Words and their numbers, with one number for all others."""

    def __init__(self, words: Iterable[str], first: int, unknown: int) -> None:
        super().__init__((word, number) for number, word in enumerate(words, first))
        self._unknown = unknown

    def __missing__(self, word: str) -> int:
        return self._unknown


@dataclass(frozen=True, slots=True)
class _RowReader:
    """The two halves of reading: words to numbers, and numbers to rows."""

    id_of: Callable[[str], int]
    finish: Callable[[Rows], Rows]


def _open_rows(settings: Settings, files: Mapping[str, bytes]) -> _RowReader:
    words = words_of(files)
    if settings.encoding == "sequence":
        numbers = _Numbers(words, UNKNOWN + 1, unknown=UNKNOWN)
        return _RowReader(numbers.__getitem__, lambda part: part.cut(settings.length))
    keys = keys_of(files)
    numbers = _Numbers(words, 1, unknown=0)
    return _RowReader(numbers.__getitem__, lambda part: _ngrams.features(part, keys, settings.ngrams))


def _readable_tokens(data: bytes, settings: Settings) -> list[str]:
    if len(data) > settings.max_bytes:
        raise UnreadableInputError(
            f"too large: {len(data):,} bytes, at most {settings.max_bytes:,} are read (the setting max_bytes)"
        )
    words = tokens(data)
    if not words:
        raise UnreadableInputError(f"it has no word or sign ({len(data):,} bytes)" if data else "empty: 0 bytes")
    return words


def _tokens_or_refusal(data: bytes, settings: Settings) -> list[str] | UnreadableInputError:
    try:
        return _readable_tokens(data, settings)
    except UnreadableInputError as error:
        return error


def _padded(row: NDArray[np.int32], settings: Settings) -> NDArray[np.int32]:
    padded = np.zeros(_padded_length(len(row), settings), np.int32)
    padded[: len(row)] = row
    return padded


def _most_frequent(words: list[str], frequency: NDArray[np.int64], min_count: int) -> list[str]:
    known = [(-int(frequency[place]), words[place]) for place in np.flatnonzero(frequency >= min_count)]
    return [word for _, word in sorted(known)]


def _lines(words: Iterable[str]) -> bytes:
    return "".join(f"{word}\n" for word in words).encode()


def _padded_length(length: int, settings: Settings) -> int:
    if settings.encoding == "sequence":
        return settings.length
    return max(SHORTEST_ROW, 1 << (length - 1).bit_length()) if length else SHORTEST_ROW


def _rewritten(text: str, rewrite: Callable[[str], str]) -> str:
    """Rewrite each character, but for those that would fold into another one: the dotless i has no capital."""
    table = foldings()
    pairs = ((old, rewrite(old)) for old in text)
    return "".join(new if new.translate(table) == old.translate(table) else old for old, new in pairs)


def _decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)
