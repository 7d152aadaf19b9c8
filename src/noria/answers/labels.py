"""A row of scores over labels -> the best label, its confidence and the runners-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def answer(scores: NDArray[np.float32], labels: Sequence[str], *, top: int = 5) -> dict[str, Any]:
    """Return `label`, `confidence` and `top` [[label, score], ...], best first.

    Args:
        scores: (C,) float32 calibrated probabilities.
        labels: the C label names, in the order of the scores.
        top: how many labels to list; at least 1.
    """
    # A stable sort of the negated scores: of two equal scores the earlier label wins, on every machine.
    best = np.argsort(-scores, kind="stable")[: max(1, top)]
    ranked = [[labels[index], float(scores[index])] for index in best]
    return {"label": ranked[0][0], "confidence": ranked[0][1], "top": ranked}
