"""Who is told of a network's training while it goes on: as it begins, after each step, after each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Progress
from noria.training.memory import held

if TYPE_CHECKING:
    import keras

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Start:
    """A training that begins, or goes on."""

    network: keras.Model
    epochs: int  # that have ended
    steps: int  # that were made, in all epochs
    memory: dict[str, Any]  # what watches write into it, JSON-able, is kept with the training and is here again


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was just made."""

    epoch: int  # 1 for the first
    number: int  # of all steps, 1 for the first
    inputs: Array  # the very batch that the network learnt from
    loss: float  # mean over the batch
    learning_rate: float
    gradient_norm: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch that has just ended; the network has the averaged weights that were validated."""

    number: int  # 1 for the first
    # loss, accuracy, learning_rate, gradient_norm; val_loss, val_loss_calibrated, val_accuracy
    told: Mapping[str, float]
    history: Mapping[str, Sequence[float]]  # the same of all epochs
    per_second: float  # examples learnt from, measuring included
    best: bool  # whether it is the best so far
    network: keras.Model
    scores: NDArray[np.float32]  # (n, C) of the validation split, as they came, not calibrated
    labels: NDArray[np.int64]  # (n,) of the validation split
    norms: Mapping[str, float]  # path of each weight that was trained -> its gradient, root mean square over the steps;
    # empty on several devices
    gradients: Mapping[str, Array]  # those of the last step; empty where the training went on after it
    memory: dict[str, Any]  # as in `Start`


class Watch(Protocol):
    """What may look at a training, and does not change it."""

    def begin(self, start: Start) -> None:
        """Look at a training that is about to go on."""
        ...

    def step(self, step: Step) -> None:
        """Look at a step; this must cost next to nothing."""
        ...

    def epoch(self, epoch: Epoch) -> None:
        """Look at an epoch that has just ended."""
        ...


def by_layer(norms: Mapping[str, float]) -> dict[str, float]:
    """Return the norm of all weights of each layer together; `a/kernel` and `a/bias` are of the layer `a`."""
    squares: dict[str, float] = {}
    for path, norm in norms.items():
        layer = path.rpartition("/")[0] or path
        squares[layer] = squares.get(layer, 0.0) + norm**2
    return {layer: float(np.sqrt(square)) for layer, square in squares.items()}


class Lines:
    """A line for each epoch."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def begin(self, start: Start) -> None:
        return

    def step(self, step: Step) -> None:
        return

    def epoch(self, epoch: Epoch) -> None:
        told = epoch.told
        self._progress.note(
            f"epoch {epoch.number:>3}  loss {told['loss']:.3f}  accuracy {told['accuracy']:.1%}  "
            f"validation {told['val_loss_calibrated']:.3f}, {told['val_accuracy']:.1%}{' *' if epoch.best else '  '}  "
            f"rate {told['learning_rate']:.2g}  {epoch.per_second:,.0f}/s  {held() / 2**20:,.0f} MiB"
        )
