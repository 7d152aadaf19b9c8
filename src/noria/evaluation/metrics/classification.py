"""Metrics of tasks whose answer is one label: `Scored` in, JSON-able facts out.

Definitions follow scikit-learn's classification report; where a ratio is 0/0 the fact is None, not a made-up number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Scored
from noria.errors import DataError, NoriaError
from noria.evaluation.intervals import wilson

# Scores are float32: a probability of 0 stands for anything below this (scikit-learn clips there, too).
SMALLEST = float(np.finfo(np.float32).eps)


def measure(scored: Scored) -> dict[str, Any]:
    """Return every fact about the answers, as plain numbers, strings, lists and dicts.

    Keys: num_examples, num_classes, accuracy and its 95 % Wilson `interval`, balanced_accuracy (mean recall of the
    classes that occur), `macro` and `weighted` {precision, recall, f1}, top_3_accuracy (None up to 3 classes),
    log_loss (nats), brier (sum over classes, 0..2; Brier 1950), mean_confidence, `classes` (one row a label) and
    `confusion` (rows = truth, columns = answer, in the order of the labels).

    Raises:
        DataError: there are no examples.
        NoriaError: a score is not a finite number; the answer to such an example would be a guess.
    """
    _refuse_unmeasurable(scored)
    answer = answers(scored)
    num = len(scored.truth)
    right = int((answer == scored.truth).sum())
    matrix = confusion(scored.truth, answer, len(scored.labels))
    rows = [_class_row(scored.labels, matrix, index) for index in range(len(scored.labels))]
    return {
        "num_examples": num,
        "num_classes": len(scored.labels),
        "accuracy": right / num,
        "interval": list(wilson(right, num)),
        "balanced_accuracy": _mean([row["recall"] for row in rows if row["support"]]),
        "macro": _averages(rows, [1.0 if row["f1"] is not None else 0.0 for row in rows]),
        "weighted": _averages(rows, [float(row["support"]) for row in rows]),
        "top_3_accuracy": _top_accuracy(scored, 3) if len(scored.labels) > 3 else None,
        "log_loss": _log_loss(scored),
        "brier": _brier(scored),
        "mean_confidence": float(scored.scores.max(axis=1).astype(np.float64).mean()),
        "classes": rows,
        "confusion": matrix.tolist(),
    }


def answers(scored: Scored) -> NDArray[np.int64]:
    """Return the index of the highest score of each example, (n,); the first one where scores are equal."""
    return np.asarray(scored.scores.argmax(axis=1), dtype=np.int64)


def confusion(truth: NDArray[np.int64], answer: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Return counts (num_classes, num_classes): rows = truth, columns = answer."""
    flat = np.bincount(truth * num_classes + answer, minlength=num_classes * num_classes)
    return flat.astype(np.int64).reshape(num_classes, num_classes)


def confused_pairs(matrix: NDArray[np.int64], limit: int) -> list[tuple[int, int, int]]:
    """Return up to `limit` (truth, answer, count) of the commonest mistakes, commonest first."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    truth, answer = np.nonzero(wrong)
    counts = wrong[truth, answer]
    order = np.argsort(-counts, kind="stable")[:limit]
    return [(int(truth[i]), int(answer[i]), int(counts[i])) for i in order]


def confident_mistakes(scored: Scored, k: int) -> list[int]:
    """Return the indices of up to `k` wrong answers, those with the highest confidence first."""
    wrong = np.flatnonzero(answers(scored) != scored.truth)
    confidence = scored.scores[wrong].max(axis=1, initial=0.0)
    return [int(i) for i in wrong[np.argsort(-confidence, kind="stable")][:k]]


def least_certain(scored: Scored, k: int) -> list[int]:
    """Return the indices of up to `k` examples with the smallest lead of the first answer over the second."""
    if scored.scores.shape[1] < 2:
        return []
    best = np.sort(scored.scores, axis=1)[:, -2:]
    return [int(i) for i in np.argsort(best[:, 1] - best[:, 0], kind="stable")[:k]]


def _refuse_unmeasurable(scored: Scored) -> None:
    if len(scored.truth) == 0:
        raise DataError("There is nothing to measure: 0 examples were scored. Give at least one labelled example.")
    bad = np.flatnonzero(~np.isfinite(scored.scores).all(axis=1))
    if bad.size:
        raise NoriaError(
            f"The model's scores for {bad.size} of {len(scored.truth)} examples are not finite numbers (the first is "
            f"{scored.names[int(bad[0])]!r}). Expected probabilities. Train again with a lower learning rate."
        )


def _class_row(labels: tuple[str, ...], matrix: NDArray[np.int64], index: int) -> dict[str, Any]:
    hit, support, answered = (int(n) for n in (matrix[index, index], matrix[index].sum(), matrix[:, index].sum()))
    occurs = support + answered > 0
    return {
        "label": labels[index],
        "precision": (hit / answered if answered else 0.0) if occurs else None,
        "recall": hit / support if support else None,
        "f1": 2 * hit / (support + answered) if occurs else None,
        "support": support,
        "answered": answered,
        "recall_interval": list(wilson(hit, support)) if support else None,
        "taken_for": _taken_for(labels, matrix[index], index),
    }


def _taken_for(labels: tuple[str, ...], row: NDArray[np.int64], index: int) -> dict[str, Any] | None:
    """The commonest wrong answer to examples of one class."""
    wrong = row.copy()
    wrong[index] = 0
    other = int(wrong.argmax())
    return {"label": labels[other], "count": int(wrong[other])} if wrong[other] else None


def _averages(rows: list[dict[str, Any]], weights: list[float]) -> dict[str, float]:
    total = sum(weights)
    keys = ("precision", "recall", "f1")
    return {
        key: sum(weight * (row[key] or 0.0) for row, weight in zip(rows, weights, strict=True)) / total for key in keys
    }


def _top_accuracy(scored: Scored, k: int) -> float:
    own = np.take_along_axis(scored.scores, scored.truth[:, None], axis=1)
    # A tie counts against the model: otherwise equal scores everywhere would be "right".
    rank = (scored.scores >= own).sum(axis=1)
    return float((rank <= k).mean())


def _log_loss(scored: Scored) -> float:
    own = np.take_along_axis(scored.scores, scored.truth[:, None], axis=1)[:, 0].astype(np.float64)
    return float(-np.log(np.clip(own, SMALLEST, 1 - SMALLEST)).mean())


def _brier(scored: Scored) -> float:
    scores = scored.scores.astype(np.float64)
    own = np.take_along_axis(scores, scored.truth[:, None], axis=1)[:, 0]
    # sum over classes of (score - truth)^2, without building the one-hot truth
    return float(((scores**2).sum(axis=1) - 2 * own + 1).mean())


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
