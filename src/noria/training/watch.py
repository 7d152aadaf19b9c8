"""Who is told of every epoch of a network's training, as it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Progress

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch that has just ended; the network has the averaged weights that were validated."""

    number: int  # 1 for the first
    told: Mapping[
        str, float
    ]  # loss, accuracy, learning_rate, gradient_norm; val_loss, val_loss_calibrated, val_accuracy
    per_second: float  # examples learnt from, measuring included
    best: bool  # whether it is the best so far
    network: keras.Model
    scores: NDArray[np.float32]  # (n, C) of the validation split, as they came, not calibrated
    labels: NDArray[np.int64]  # (n,) of the validation split


class Watch(Protocol):
    """What may look at a training, and does not change it."""

    def epoch(self, epoch: Epoch) -> None:
        """Look at an epoch that has just ended."""
        ...


class Lines:
    """A line for each epoch."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def epoch(self, epoch: Epoch) -> None:
        told = epoch.told
        self._progress.note(
            f"epoch {epoch.number:>3}  loss {told['loss']:.3f}  accuracy {told['accuracy']:.1%}  "
            f"validation {told['val_loss_calibrated']:.3f}, {told['val_accuracy']:.1%}{' *' if epoch.best else '  '}  "
            f"rate {told['learning_rate']:.2g}  {epoch.per_second:,.0f}/s"
        )
