"""How much each example weighs in the loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noria.training.settings import TrainingSettings


def example_weights(labels: NDArray[np.int64], num_classes: int, settings: TrainingSettings) -> NDArray[np.float32]:
    """Return (n,) weights with mean 1; "balanced" gives each class that occurs the same sum."""
    if settings.class_weights == "none":
        return np.ones(len(labels), np.float32)
    counts = np.bincount(labels, minlength=num_classes)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return weights[labels].astype(np.float32)
