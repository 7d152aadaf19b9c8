"""Is a model that says "80 %" right 80 % of the time? Scores (n, C) and truth (n,) go in.

Out come the temperature that mends it, the reliability diagram's numbers, and what a "not sure" answer would buy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.evaluation.blocks import row_blocks
from noria.evaluation.intervals import wilson

Scores = NDArray[np.float32]
Truth = NDArray[np.int64]

LOWEST, HIGHEST = 0.05, 20.0  # outside of this the validation split, not the model, is what is odd
FEWEST_EXAMPLES = 30
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_TINY = float(np.finfo(np.float32).tiny)


def fit_temperature(scores: Scores, truth: Truth) -> float:
    """Return the T in [0.05, 20] for which softmax(log(scores) / T) has the smallest log loss.

    1.0 (leave the scores as they are) where the examples cannot say: fewer than 30, one class only, or not a single
    mistake, where the smallest loss is always at "claim certainty".

    Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017, section 4.2.
    """
    if len(truth) < FEWEST_EXAMPLES or len(np.unique(truth)) < 2 or bool((scores.argmax(axis=1) == truth).all()):
        return 1.0
    # The loss is convex in 1/T, so its slope changes sign once: bisect on log(1/T).
    low, high = -np.log(HIGHEST), -np.log(LOWEST)
    while high - low > 1e-6:
        middle = (low + high) / 2
        if _slope(scores, truth, float(np.exp(middle))) > 0:
            high = middle
        else:
            low = middle
    return float(np.clip(np.exp(-(low + high) / 2), LOWEST, HIGHEST))


def apply_temperature(scores: Scores, t: float) -> Scores:
    """Return softmax(log(scores) / t), (n, C) float32; the order of the labels in a row stays as it is."""
    if t == 1.0 or not len(scores):
        return scores
    return np.concatenate([_softmax(_log(block) / t).astype(np.float32) for block in row_blocks(scores)])


def reliability(scores: Scores, truth: Truth, bins: int = 15) -> dict[str, Any]:
    """Return the reliability diagram: equal bins of confidence (the highest score) against accuracy in each.

    Keys: ece (expected calibration error: the mean gap, weighted by count), max_ce (the largest gap of any bin),
    mean_confidence, accuracy, and `bins`, each {low, high, count, confidence, accuracy, interval}, the last three
    None in an empty bin. Sources: Guo et al. 2017, section 2; Naeini, Cooper and Hauskrecht, AAAI 2015.
    """
    confidence = scores.max(axis=1).astype(np.float64)
    right = scores.argmax(axis=1) == truth
    # Bins are open below and closed above, as in the paper: 1.0 belongs to the last one.
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    rows = [_bin(index, bins, confidence[place == index], right[place == index]) for index in range(bins)]
    gaps = [(row["count"], abs(row["accuracy"] - row["confidence"])) for row in rows if row["count"]]
    return {
        "ece": sum(count * gap for count, gap in gaps) / len(truth),
        "max_ce": max(gap for _, gap in gaps),
        "mean_confidence": float(confidence.mean()),
        "accuracy": float(right.mean()),
        "bins": rows,
    }


def coverage(scores: Scores, truth: Truth, points: int = 60) -> dict[str, Any]:
    """Return what answering only above a confidence would give: how many examples are answered, and how well.

    `thresholds` holds round confidences, `curve` about `points` of them that go through the examples evenly; each is
    {threshold, answered, coverage, accuracy, interval}, accuracy None where nothing is answered.
    """
    confidence = scores.max(axis=1)
    right = scores.argmax(axis=1) == truth
    steps = np.unique(np.quantile(confidence, np.linspace(0, 1, points), method="nearest"))
    return {
        "thresholds": [_covered(confidence, right, threshold) for threshold in THRESHOLDS],
        "curve": [_covered(confidence, right, float(threshold)) for threshold in steps],
    }


def confidence_histogram(scores: Scores, truth: Truth, bins: int = 20) -> dict[str, list[Any]]:
    """Return {edges, right, wrong}: how many right and wrong answers fall into each of `bins` bins of confidence."""
    confidence = scores.max(axis=1)
    right = scores.argmax(axis=1) == truth
    edges = np.linspace(0, 1, bins + 1)
    return {
        "edges": [round(float(edge), 4) for edge in edges],
        "right": np.histogram(confidence[right], edges)[0].tolist(),
        "wrong": np.histogram(confidence[~right], edges)[0].tolist(),
    }


def _log(scores: Scores) -> NDArray[np.float64]:
    return np.log(np.maximum(scores.astype(np.float64), _TINY))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _slope(scores: Scores, truth: Truth, inverse: float) -> float:
    """The derivative of the summed log loss by 1/T: the expected logit less the true label's."""
    total, start = 0.0, 0
    for block in row_blocks(scores):
        logits = _log(block)
        expected = (_softmax(logits * inverse) * logits).sum(axis=1)
        total += float((expected - logits[np.arange(len(block)), truth[start : start + len(block)]]).sum())
        start += len(block)
    return total


def _bin(index: int, bins: int, confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> dict[str, Any]:
    count, hits = len(right), int(right.sum())
    return {
        "low": index / bins,
        "high": (index + 1) / bins,
        "count": count,
        "confidence": float(confidence.mean()) if count else None,
        "accuracy": hits / count if count else None,
        "interval": list(wilson(hits, count)) if count else None,
    }


def _covered(confidence: NDArray[np.float32], right: NDArray[np.bool_], threshold: float) -> dict[str, Any]:
    kept = right[confidence >= threshold]
    count, hits = len(kept), int(kept.sum())
    return {
        "threshold": threshold,
        "answered": count,
        "coverage": count / len(right),
        "accuracy": hits / count if count else None,
        "interval": list(wilson(hits, count)) if count else None,
    }
