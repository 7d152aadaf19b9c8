"""Scores of a runtime and those they should be -> what exceeds the tolerances, in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noria.artifacts.bundle import Tolerances
from noria.evaluation.intervals import wilson


def disagreements(scores: NDArray[np.float32], expected: NDArray[np.float32], tolerances: Tolerances) -> list[str]:
    """Compare scores (n, C) with what is expected of the same inputs; NaN, for what could not be read, disagrees."""
    if not len(expected):
        return []
    largest = np.abs(scores - expected).max(axis=1)  # (n,)
    same = (scores.argmax(axis=1) == expected.argmax(axis=1)) & ~np.isnan(largest)
    return beyond(
        tolerances,
        agreement=float(same.mean()),
        count=len(expected),
        largest=float(largest.max()),
        mean=float(largest.mean()),
    )


def beyond(tolerances: Tolerances, *, agreement: float, count: int, largest: float, mean: float) -> list[str]:
    """Say which tolerances are exceeded.

    Args:
        agreement: share of inputs with the same top label; count: how many inputs there were.
        largest: difference of any score; mean: of an input's scores the largest difference, averaged over the inputs.
    """
    found = []
    # A shortfall must be more than chance: one flip among 20 examples is 5 points and means nothing.
    if wilson(round(agreement * count), count)[1] < tolerances.agreement:
        found.append(f"agreement {agreement:.4f} is below {tolerances.agreement}")
    if _exceeds(largest, tolerances.score_difference):
        found.append(f"a score differs by {largest:.4f}, above {tolerances.score_difference}")
    if _exceeds(mean, tolerances.mean_score_difference):
        found.append(f"scores differ by {mean:.4f} on average, above {tolerances.mean_score_difference}")
    return found


def _exceeds(difference: float, tolerance: float | None) -> bool:
    """Whether a difference is too large; NaN is."""
    return tolerance is not None and not difference <= tolerance
