"""Inputs with labels -> the scores of each by a model that was not trained on it: linear models on folds.

Copies, near copies and groups stay in one fold. Pictures by the features of a frozen network, texts by the set of their
n-grams. Nothing here imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noria import plugins
from noria.config import Config
from noria.contracts import Example, Progress, Silent
from noria.data.features import Wanted
from noria.data.folds import Folds, rounds
from noria.data.judging import HeldOut
from noria.errors import NotSearchedError
from noria.evaluation.calibration import apply_temperature, fit_temperature
from noria.inputs import text
from noria.inputs.text import Rows
from noria.training.minimise import minimise
from noria.training.naive_bayes import fit_path
from noria.vectors import features

MOST = 200_000  # examples that are looked at
STRENGTH = 3e-3  # of L2 on n-grams
STRENGTH_OF_VECTORS = 0.5  # of L2 on standardised features: strong, so that wrong labels are not learnt by heart
_TOLERANCE, _MAX_STEPS = 1e-4, 60

Array = NDArray[np.float32]
Indices = NDArray[np.int64]


def scorer(config: Config, progress: Progress) -> HeldOut:
    """Return what gives scores for the examples of a config's task, or None where nothing can.

    What is returned raises NotSearchedError where there are too many examples, or no features of them.
    """

    def of(
        examples: Sequence[Example], source_of: Callable[[Example], Path | bytes], foldings: Sequence[Folds]
    ) -> Sequence[Array] | None:
        if len(examples) > MOST:
            reason = f"These are {len(examples):,} examples, and at most {MOST:,} are scored: check a part of them."
            progress.note(f"wrong labels are not looked for. {reason}")
            raise NotSearchedError(reason)
        names = {name: number for number, name in enumerate(sorted({one.label for one in examples}))}
        labels = np.array([names[one.label] for one in examples], np.int64)
        sources = [source_of(one) for one in examples]
        if plugins.load("noria.tasks", config.task).INPUT == "text":
            return scores_of_texts(map(_read, sources), labels, len(names), foldings, progress)
        wanted = [Wanted(Path(str(one)), example.sha256) for one, example in zip(sources, examples, strict=True)]
        vectors = features(config, progress)(wanted)
        return None if vectors is None else scores_of_vectors(vectors, labels, len(names), foldings, progress)

    return of


def _read(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def scores_of_vectors(
    vectors: Array, labels: Indices, num_classes: int, foldings: Sequence[Folds], progress: Progress | None = None
) -> list[Array]:
    """Return (n, C) calibrated probabilities for vectors (n, D), once for each folding.

    Args:
        labels: (n,) indices.
        foldings: each (n,) as `noria.data.folds` has them; what is in no fold has scores of 0.
    """
    deviation = vectors.std(axis=0)
    standard = (vectors - vectors.mean(axis=0)) / np.maximum(deviation, 0.1 * float(deviation.mean()) + 1e-12)
    standard = np.append(standard / np.sqrt(vectors.shape[1]), np.ones((len(vectors), 1)), axis=1).astype(np.float32)

    def scored(learnt: Indices, out: Indices) -> Array:
        function = _logistic(standard[learnt], labels[learnt], num_classes, STRENGTH_OF_VECTORS)
        start = np.zeros(standard.shape[1] * num_classes, np.float32)
        found = minimise(function, start, tolerance=_TOLERANCE, max_steps=_MAX_STEPS).point
        return _softmax(standard[out] @ found.reshape(-1, num_classes))

    return _scores(foldings, labels, num_classes, scored, progress or Silent())


def scores_of_texts(
    texts: Iterable[bytes],
    labels: Indices,
    num_classes: int,
    foldings: Sequence[Folds],
    progress: Progress | None = None,
) -> list[Array]:
    """Return (n, C) calibrated probabilities for texts, once for each folding; arguments as above."""
    settings = text.Settings(ngrams=2, max_ngrams=500_000)
    kept = list(texts)
    files = text.learn(kept, settings)
    rows = text.open_bulk_reader(settings, files)(kept)
    size = len(text.keys_of(files))

    def scored(learnt: Indices, out: Indices) -> Array:
        weights = np.ones(len(learnt), np.float32)
        train = _chosen(rows, learnt)
        path = fit_path(train, labels[learnt], num_classes, [STRENGTH], num_features=size, example_weights=weights)
        return next(path)[1].scores(_chosen(rows, out))

    return _scores(foldings, labels, num_classes, scored, progress or Silent())


def _scores(
    foldings: Sequence[Folds],
    labels: Indices,
    num_classes: int,
    scored: Callable[[Indices, Indices], Array],
    progress: Progress,
) -> list[Array]:
    all_rounds = [rounds(folds) for folds in foldings]
    with progress.track("wrong labels", sum(map(len, all_rounds))) as advance:
        found = []
        for folds, models in zip(foldings, all_rounds, strict=True):
            scores = np.zeros((len(labels), num_classes), np.float32)
            for learnt, out in models:
                scores[out] = scored(learnt, out)
                advance(1)
            judged = np.flatnonzero(folds >= 0)
            temperature = fit_temperature(scores[judged], labels[judged])
            scores[judged] = apply_temperature(scores[judged], temperature)
            found.append(scores)
    return found


def _logistic(
    vectors: Array, labels: Indices, num_classes: int, strength: float
) -> Callable[[Array], tuple[float, Array]]:
    """Return the mean cross-entropy with L2, and its gradient, of weights (D * C,)."""
    truth = np.eye(num_classes, dtype=np.float32)[labels]

    def value_and_gradient(point: Array) -> tuple[float, Array]:
        weights = point.reshape(-1, num_classes)
        scores = _softmax(vectors @ weights)
        penalty = weights.copy()
        penalty[-1] = 0  # the bias
        loss = _loss(scores, labels) + strength / 2 / vectors.shape[1] * float(np.vdot(penalty, penalty))
        gradient = vectors.T @ ((scores - truth) / len(labels)) + strength / vectors.shape[1] * penalty
        return loss, np.asarray(gradient.ravel(), np.float32)

    return value_and_gradient


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _loss(scores: Array, labels: Indices) -> float:
    return float(-np.log(np.maximum(scores[np.arange(len(labels)), labels], 1e-12)).mean())


def _chosen(rows: Rows, indices: Indices) -> Rows:
    """Return some rows, in that order."""
    lengths = rows.lengths[indices]
    splits = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(splits[-1]) - np.repeat(splits[:-1] - rows.splits[indices], lengths)
    return Rows(rows.values[places], splits)
