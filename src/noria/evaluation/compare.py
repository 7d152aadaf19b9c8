"""Two models on the same examples: is one better, or were the dice kind? Answers in, difference with interval out."""

from __future__ import annotations

from math import exp, lgamma, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.errors import DataError
from noria.evaluation.intervals import wilson


def paired_difference(a: NDArray[np.int64], b: NDArray[np.int64], truth: NDArray[np.int64]) -> dict[str, Any]:
    """Compare the answers of two models, all three arrays (n,) label indices in the same order of examples.

    Returns num_examples, both_right, only_a, only_b, neither, `difference` (accuracy of a minus accuracy of b),
    its 95 % `interval` [low, high] and `p_value` of the hypothesis that both are equally good.

    Sources: the interval is the hybrid score interval (method 10) of Newcombe, "Improved confidence intervals
    for the difference between binomial proportions based on paired data", Statist. Med. 17 (1998), recommended by
    Fagerland, Lydersen and Laake, Statist. Med. 33 (2014). The p-value is the exact two-sided form of McNemar,
    "Note on the sampling error of the difference between correlated proportions", Psychometrika 12 (1947).

    Raises:
        DataError: there are no examples, or the three are not of one length.
    """
    if not len(a) == len(b) == len(truth) or len(truth) == 0:
        raise DataError(
            f"Two models are compared on the same examples, one or more; got {len(a)} and {len(b)} answers "
            f"for {len(truth)} true labels."
        )
    right_a, right_b = a == truth, b == truth
    both, neither = int((right_a & right_b).sum()), int((~right_a & ~right_b).sum())
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    return {
        "num_examples": len(truth),
        "both_right": both,
        "only_a": only_a,
        "only_b": only_b,
        "neither": neither,
        "difference": (only_a - only_b) / len(truth),
        "interval": list(_paired_interval(both, only_a, only_b, neither)),
        "p_value": _mcnemar_exact(only_a, only_b),
    }


def _paired_interval(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    n = both + only_a + only_b + neither
    share_a, share_b = (both + only_a) / n, (both + only_b) / n
    (low_a, high_a), (low_b, high_b) = wilson(both + only_a, n), wilson(both + only_b, n)
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    # Newcombe's correction: a small positive correlation does not narrow the interval.
    product = both * neither - only_a * only_b
    corrected = max(product - n / 2, 0.0) if product > 0 else product
    phi = corrected / sqrt(margins) if margins else 0.0
    below = _square_and_add(share_a - low_a, high_b - share_b, phi)
    above = _square_and_add(high_a - share_a, share_b - low_b, phi)
    difference = share_a - share_b
    return max(-1.0, difference - below), min(1.0, difference + above)


def _square_and_add(one: float, other: float, correlation: float) -> float:
    return sqrt(max(0.0, one * one - 2 * correlation * one * other + other * other))


def _mcnemar_exact(only_a: int, only_b: int) -> float:
    """The chance that a fair coin, thrown for each example on which the models differ, is as one-sided."""
    n = only_a + only_b
    tail = sum(exp(_log_choose(n, k) - n * log(2)) for k in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail)


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
