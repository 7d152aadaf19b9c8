"""Metrics of tasks whose answer is one label: `Scored` in, JSON-able facts out.

Definitions follow scikit-learn's classification report; where a ratio is 0/0 the fact is None, not a made-up number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Scored
from noria.errors import DataError, NoriaError
from noria.evaluation.blocks import row_blocks
from noria.evaluation.intervals import wilson

# Scores are float32: a probability of 0 stands for anything below this (scikit-learn clips there, too).
SMALLEST = float(np.finfo(np.float32).eps)
FULL_CONFUSION = 200  # classes; above this a matrix is mostly zeros, and 10,000 classes would make a gigabyte of them

Cells = NDArray[np.int64]  # (m, 3) truth, answer, count; sorted, and without those that never happened


def measure(scored: Scored) -> dict[str, Any]:
    """Return every fact about the answers, as plain numbers, strings, lists and dicts.

    Keys: num_examples, num_classes, accuracy and its 95 % Wilson `interval`, balanced_accuracy (mean recall of the
    classes that occur), `macro` and `weighted` {precision, recall, f1}, top_3_accuracy (None up to 3 classes),
    log_loss (nats), brier (sum over classes, 0..2; Brier 1950), mean_confidence, `classes` (one row a label),
    `confusion` (rows = truth, columns = answer, in the order of the labels; None above 200 classes) and
    `confusion_cells` (its cells that are not 0: [truth, answer, count] by the labels' numbers).

    Raises:
        DataError: there are no examples.
        NoriaError: a score is not a finite number; the answer to such an example would be a guess.
    """
    _refuse_unmeasurable(scored)
    answer = answers(scored)
    num = len(scored.truth)
    right = int((answer == scored.truth).sum())
    cells = confusion_cells(scored.truth, answer, len(scored.labels))
    rows = _class_rows(scored.labels, cells)
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
        "confusion": _matrix(cells, len(scored.labels)),
        "confusion_cells": cells.tolist(),
    }


def answers(scored: Scored) -> NDArray[np.int64]:
    """Return the index of the highest score of each example, (n,); the first one where scores are equal."""
    return np.asarray(scored.scores.argmax(axis=1), dtype=np.int64)


def confusion_cells(truth: NDArray[np.int64], answer: NDArray[np.int64], num_classes: int) -> Cells:
    """Return the cells of the confusion matrix that are not 0, (m, 3): truth, answer, count; by truth, then answer."""
    flat, counts = np.unique(truth * num_classes + answer, return_counts=True)
    return np.stack([flat // num_classes, flat % num_classes, counts], axis=1).astype(np.int64)


def confused_pairs(cells: Cells, limit: int) -> list[tuple[int, int, int]]:
    """Return up to `limit` (truth, answer, count) of the commonest mistakes, commonest first."""
    wrong = cells[cells[:, 0] != cells[:, 1]]
    order = np.argsort(-wrong[:, 2], kind="stable")[:limit]
    return [(int(truth), int(answer), int(count)) for truth, answer, count in wrong[order]]


def confident_mistakes(scored: Scored, k: int) -> list[int]:
    """Return the indices of up to `k` wrong answers, those with the highest confidence first."""
    wrong = np.flatnonzero(answers(scored) != scored.truth)
    confidence = scored.scores[wrong].max(axis=1, initial=0.0)
    return [int(i) for i in wrong[np.argsort(-confidence, kind="stable")][:k]]


def least_certain(scored: Scored, k: int) -> list[int]:
    """Return the indices of up to `k` examples with the smallest lead of the first answer over the second."""
    if scored.scores.shape[1] < 2:
        return []
    lead = np.concatenate([_lead(block) for block in row_blocks(scored.scores)])
    return [int(i) for i in np.argsort(lead, kind="stable")[:k]]


def _refuse_unmeasurable(scored: Scored) -> None:
    if len(scored.truth) == 0:
        raise DataError("There is nothing to measure: 0 examples were scored. Give at least one labelled example.")
    bad = np.flatnonzero(~np.isfinite(scored.scores.sum(axis=1)))
    if bad.size:
        raise NoriaError(
            f"The model's scores for {bad.size} of {len(scored.truth)} examples are not finite numbers (the first is "
            f"{scored.names[int(bad[0])]!r}). Expected probabilities. Train again with a lower learning rate."
        )


def _matrix(cells: Cells, num_classes: int) -> list[list[int]] | None:
    if num_classes > FULL_CONFUSION:
        return None
    matrix = np.zeros((num_classes, num_classes), np.int64)
    matrix[cells[:, 0], cells[:, 1]] = cells[:, 2]
    rows: list[list[int]] = matrix.tolist()
    return rows


def _class_rows(labels: tuple[str, ...], cells: Cells) -> list[dict[str, Any]]:
    truth, answer, count = cells.T
    right = truth == answer
    hits, supports, answered = (
        np.bincount(column, weights, minlength=len(labels)).astype(int).tolist()
        for column, weights in ((truth, count * right), (truth, count), (answer, count))
    )
    taken_for: dict[int, tuple[int, int]] = {}  # truth -> the commonest wrong answer to it, and how often
    for true, wrong, times in confused_pairs(cells, len(cells)):
        taken_for.setdefault(true, (wrong, times))
    return [
        _class_row(label, hits[index], supports[index], answered[index], _named(labels, taken_for.get(index)))
        for index, label in enumerate(labels)
    ]


def _class_row(label: str, hit: int, support: int, answered: int, taken_for: dict[str, Any] | None) -> dict[str, Any]:
    occurs = support + answered > 0
    return {
        "label": label,
        "precision": (hit / answered if answered else 0.0) if occurs else None,
        "recall": hit / support if support else None,
        "f1": 2 * hit / (support + answered) if occurs else None,
        "support": support,
        "answered": answered,
        "recall_interval": list(wilson(hit, support)) if support else None,
        "taken_for": taken_for,
    }


def _named(labels: tuple[str, ...], pair: tuple[int, int] | None) -> dict[str, Any] | None:
    return {"label": labels[pair[0]], "count": pair[1]} if pair else None


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
    own = np.take_along_axis(scored.scores, scored.truth[:, None], axis=1)[:, 0].astype(np.float64)
    squares = np.concatenate([(block.astype(np.float64) ** 2).sum(axis=1) for block in row_blocks(scored.scores)])
    # sum over classes of (score - truth)^2, without building the one-hot truth
    return float((squares - 2 * own + 1).mean())


def _lead(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    best = np.partition(scores, -2, axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
