"""Which words pushed an answer: a text taken apart and a model to ask go in, a number for each word comes out.

A contribution is a difference of log-odds in nats: ln(p of the answer / p of another label), averaged over the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Parts
from noria.evaluation.wording import phrase

MOST_CALLS = 200  # how often a model is asked about one text, at most, by `occlusion`
Scores = NDArray[np.float32]
AskAboutTexts = Callable[[Sequence[bytes]], Scores]  # n texts in UTF-8 -> (n, C) probabilities
AskAboutFeatures = Callable[[Sequence[NDArray[np.int32]]], Scores]  # n rows of feature ids -> (n, C) probabilities

MOST_WORDS = 20  # listed for a label

_ROW = 16  # ids in a row about few features; 0 is padding
_BATCH = 32  # texts in memory at once
_CHUNK = 4096  # rows of few features at once
_SMALLEST = 1e-37  # of a probability: float32 ends there, and the logarithm of 0 is no number
_TOLERANCE = 2e-3  # of all that the features contribute: how far a sum may be from what the model says of the whole


@dataclass(frozen=True, slots=True)
class Part:
    """One word, or one character of a script without spaces: where it stands in the text, and what it did."""

    start: int
    end: int
    text: str
    contribution: float  # above 0: towards the answer


@dataclass(frozen=True, slots=True)
class Attribution:
    """An answer traced back to the words of its text."""

    text: str
    label: str  # as answered
    confidence: float
    method: Literal["exact", "occlusion"]
    bias: float  # log-odds of the label for a text without words; exact: bias + contributions = the answer's log-odds
    tokens: tuple[Part, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, with `words` as [[word, contribution, start, end], ...]."""
        words = [[part.text, round(part.contribution, 6), part.start, part.end] for part in self.tokens]
        return {
            "label": self.label,
            "confidence": self.confidence,
            "method": self.method,
            "bias": self.bias,
            "text": self.text,
            "words": words,
        }


def attribute(
    parts: Parts,
    labels: Sequence[str],
    about_texts: AskAboutTexts,
    about_features: AskAboutFeatures | None = None,
    *,
    most_calls: int = MOST_CALLS,
) -> Attribution:
    """Say what each word contributed: exactly where the model is found to be linear, else by leaving words out.

    Args:
        labels: the C labels, in the order of the scores.
        about_features: for a model that takes the features of a text and is open for being asked about any of them.
        most_calls: how often to ask about texts at most; of a text with more words some are left out together.
    """
    told = None if about_features is None else exact(parts, labels, about_features)
    return told or occlusion(parts, labels, about_texts, most_calls=most_calls)


def exact(parts: Parts, labels: Sequence[str], ask: AskAboutFeatures) -> Attribution | None:
    """Return the contributions in a linear model, or None where the model is not linear in the text's features.

    A linear model says of a text with the features k = 1..m: softmax(b + d(m) * sum of w_k). Asked about nothing it
    tells b; about one feature, w_k; about one feature twice, how d falls with m: a power of it, be the features added
    up, divided by sqrt(m), or averaged. Then the whole text shows whether all that is true of the model. Its weights
    need not be opened for that, so any engine will do.

    The contribution of an n-gram is shared by the places where it stands, and by its n words, in equal parts.
    """
    if parts.occurrences is None:
        return None
    features, where, times = np.unique(parts.occurrences[:, 2], return_inverse=True, return_counts=True)
    scores = ask([_row([]), _row(features)])
    empty, whole = _log_odds(scores)
    weights = _weights(features, empty, ask)
    spread = weights * _share(len(features), _power(features, weights, empty, ask))
    size = np.abs(spread).sum(axis=0).max(initial=0.0)
    if not np.abs(empty + spread.sum(axis=0) - whole).max() <= _TOLERANCE * (size + 1):
        return None
    label = int(scores[1].argmax())
    first, length, _ = parts.occurrences.T
    each = (spread[:, label] / times)[where] / length
    contributions = _over_tokens(len(parts.spans), first, length, each)
    return _attribution(parts, labels[label], float(scores[1].max()), "exact", float(empty[label]), contributions)


def occlusion(parts: Parts, labels: Sequence[str], ask: AskAboutTexts, *, most_calls: int = MOST_CALLS) -> Attribution:
    """Return how far the log-odds of the answer fall when a word is left out, for any model.

    Where there are more words than `most_calls`, a few neighbours are left out together and share the difference.
    Words behind those that the model reads contribute nothing and are not tried. A text that the model refuses, since
    nothing is left of it, counts as undecided; `ask` gives NaN for it.
    """
    spans = parts.spans[: parts.seen]
    text = parts.text[: spans[-1][1]] if spans else parts.text
    together = max(1, math.ceil(len(spans) / most_calls))
    windows = [slice(at, min(at + together, len(spans))) for at in range(0, len(spans), together)]
    # A space in its place: what was behind a word must not join what was before it.
    shorter = (f"{text[: spans[cut.start][0]]} {text[spans[cut.stop - 1][1] :]}" for cut in windows)
    scores = np.concatenate([ask(batch) for batch in _batches([text, " "], shorter)])
    label = int(scores[0].argmax())
    whole, empty, *others = np.nan_to_num(_log_odds(scores)[:, label])
    contributions = np.zeros(len(parts.spans))
    for cut, other in zip(windows, others, strict=True):
        contributions[cut] = (whole - other) / (cut.stop - cut.start)
    return _attribution(parts, labels[label], float(scores[0, label]), "occlusion", float(empty), contributions)


def speaking_words(
    names: Mapping[int, str],
    counts: Mapping[int, int],
    labels: Sequence[str],
    ask: AskAboutFeatures,
    *,
    typical: int = 1,
    most: int = MOST_WORDS,
) -> list[dict[str, Any]]:
    """Return for each label the n-grams that speak for it most in a linear model, the strongest first.

    Args:
        names: what to call each feature that may be listed: its words, between spaces.
        counts: in how many texts each of them stands; it is given on.
        typical: how many features a text has; in a longer one each counts for less.
        most: n-grams a label. One that contains another of the list, or is within it, is left out.

    Returns:
        For each label `label` and `words`: [{"text", "weight", "count"}, ...], the weight being what an n-gram adds to
        the log-odds of the label in a typical text.
    """
    features = np.array(sorted(names), np.int32)
    (empty,) = _log_odds(ask([_row([])]))
    weights = _weights(features, empty, ask)
    weights *= _share(typical, _power(features, weights, empty, ask))
    told = []
    for column, label in enumerate(labels):
        order = (index for index in np.argsort(-weights[:, column], kind="stable") if weights[index, column] > 0)
        words = [
            {"text": phrase(names[feature]), "weight": float(weights[index, column]), "count": counts[feature]}
            for index, feature in _unlike(((index, int(features[index])) for index in order), names, most)
        ]
        told.append({"label": label, "words": words})
    return told


def _unlike(ranked: Iterable[tuple[int, int]], names: Mapping[int, str], most: int) -> Iterator[tuple[int, int]]:
    """Yield the first of n-grams that say the same: "worst", but then not "the worst"."""
    taken: list[str] = []
    for index, feature in ranked:
        name = f" {names[feature]} "
        if not any(name in other or other in name for other in taken):
            yield index, feature
            taken.append(name)
        if len(taken) == most:
            return


def _log_odds(scores: Scores) -> NDArray[np.float64]:
    """Return (n, C): of each label against another, on average over the others; for two labels ln(p / (1 - p))."""
    logs = np.log(np.maximum(scores.astype(np.float64), _SMALLEST))
    number = logs.shape[1]
    return np.asarray((logs - logs.mean(axis=1, keepdims=True)) * (number / max(1, number - 1)))


def _weights(features: NDArray[Any], empty: NDArray[np.float64], ask: AskAboutFeatures) -> NDArray[np.float64]:
    """Return (m, C): what each feature says alone."""
    chunks = (features[at : at + _CHUNK] for at in range(0, len(features), _CHUNK))
    told = [_log_odds(ask([_row([feature]) for feature in chunk])) - empty for chunk in chunks]
    return np.concatenate([np.zeros((0, len(empty))), *told])


def _power(
    features: NDArray[Any], weights: NDArray[np.float64], empty: NDArray[np.float64], ask: AskAboutFeatures
) -> float:
    """Return p where weights are divided by m ** p in a text of m features, e.g. 0 or 0.5; NaN where none fits."""
    if not weights.any():
        return 0.0
    strongest = int(np.abs(weights).max(axis=1).argmax())
    alone = weights[strongest]
    (twice,) = _log_odds(ask([_row([features[strongest]] * 2)])) - empty
    ratio = float(twice @ alone / (alone @ alone))  # 2 where features are added up, sqrt(2), or 1 for a mean
    return 1 - math.log2(ratio) if ratio > 0 else math.nan


def _share(number: int, power: float) -> float:
    """Return what a weight counts for in a text of so many features."""
    return float(max(1, number) ** -power)


def _row(features: Sequence[Any] | NDArray[Any]) -> NDArray[np.int32]:
    row = np.zeros(max(_ROW, 1 << (len(features) - 1).bit_length()), np.int32)
    row[: len(features)] = features
    return row


def _over_tokens(
    number: int, first: NDArray[Any], length: NDArray[Any], each: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (number,): to every token the sum of `each` of the n-grams that it is part of."""
    total = np.zeros(number)
    for offset in range(int(length.max(initial=0))):
        within = length > offset
        np.add.at(total, first[within] + offset, each[within])
    return total


def _batches(first: Sequence[str], rest: Iterable[str]) -> Iterator[list[bytes]]:
    texts = (text.encode() for texts in (first, rest) for text in texts)
    while batch := list(islice(texts, _BATCH)):
        yield batch


def _attribution(
    parts: Parts,
    label: str,
    confidence: float,
    method: Literal["exact", "occlusion"],
    bias: float,
    contributions: NDArray[np.float64],
) -> Attribution:
    return Attribution(parts.text, label, confidence, method, bias, tuple(_joined(parts, contributions)))


def _joined(parts: Parts, contributions: NDArray[np.float64]) -> Iterator[Part]:
    """Yield the words with what each did; words that share a character of the text, as the 1 and 2 of "½", are one."""
    pending: tuple[int, int, float] | None = None
    for (start, end), contribution in zip(parts.spans, contributions.tolist(), strict=True):
        if pending is not None and start < pending[1]:
            pending = pending[0], max(end, pending[1]), pending[2] + contribution
            continue
        if pending is not None:
            yield Part(pending[0], pending[1], parts.text[pending[0] : pending[1]], pending[2])
        pending = start, end, contribution
    if pending is not None:
        yield Part(pending[0], pending[1], parts.text[pending[0] : pending[1]], pending[2])
