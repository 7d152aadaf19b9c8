"""Who is scored by a model that learnt from whom: a number for each input, its fold.

An input is scored by a model of all others but those of its own fold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
OUT, LEARNT = -1, -2  # neither learnt from nor scored; learnt from by every model, and not scored
_SEED = 0

Folds = NDArray[np.int64]


def folds_of(units: Sequence[int], labels: NDArray[np.int64]) -> Folds:
    """Return the fold of each input; units are dealt out in turn, label by label, in an order drawn once."""
    numbers, first, unit_of = np.unique(np.asarray(units), return_index=True, return_inverse=True)
    drawn = np.random.default_rng(_SEED).permutation(len(numbers))
    order = np.lexsort((drawn, labels[first]))
    fold_of_unit = np.empty(len(numbers), np.int64)
    fold_of_unit[order] = np.arange(len(numbers)) % FOLDS
    return fold_of_unit[unit_of]


def rounds(folds: Folds) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return for each model the places that it learns from, and those that it scores; neither is empty."""
    used = [(np.flatnonzero((folds != fold) & (folds != OUT)), np.flatnonzero(folds == fold)) for fold in range(FOLDS)]
    return [(learnt, scored) for learnt, scored in used if learnt.size and scored.size]
