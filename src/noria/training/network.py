"""A network and examples in memory -> the weights of its best epoch, and the curves; killed and resumed, the same.

All that decides the next step is saved with the weights: the optimizer's variables, the generators of dropout, the
place in the epoch, early stopping's best. The order of an epoch follows from the seed and the epoch's number alone.
What is validated and kept are the moving averages of the weights (Polyak and Juditsky 1992), where the optimizer has
them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.contracts import Progress
from noria.errors import ConfigError
from noria.training.checkpoint import Checkpoint

if TYPE_CHECKING:
    import keras

Array = NDArray[np.generic]
_Sums = tuple[float, int]  # of the losses, and of the right answers


@dataclass(frozen=True, slots=True)
class Examples:
    """What a network learns from, or is measured on."""

    inputs: Array  # (n, ...)
    labels: NDArray[np.int64]  # (n,) indices
    weights: NDArray[np.float32]  # (n,) of the examples' losses

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, places: NDArray[np.int64] | slice) -> tuple[Array, Array, Array]:
        return self.inputs[places], self.labels[places], self.weights[places]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and in which order."""

    epochs: int  # at most
    batch_size: int
    patience: int  # epochs without a lower validation loss
    seed: int


@dataclass(slots=True)
class _State:
    """How far a training is."""

    epoch: int = 0
    step: int = 0  # that comes next
    loss: float = 0.0  # sum over the examples of this epoch
    right: int = 0
    best: float = math.inf  # validation loss
    waited: int = 0  # epochs since
    finished: bool = False
    history: dict[str, list[float]] = field(default_factory=dict)


def fit(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    train: Examples,
    validation: Examples,
    plan: Plan,
    *,
    checkpoint: Checkpoint,
    progress: Progress,
) -> dict[str, list[float]]:
    """Train the network, leave it with the weights of the epoch with the lowest validation loss, return the curves.

    Raises:
        ConfigError: the loss is no number any more.
    """
    training = _Training(network, optimizer)
    state = training.restore(checkpoint.load())
    steps = -(-len(train) // plan.batch_size)
    if state.epoch or state.step:
        progress.note(f"goes on with epoch {state.epoch + 1}, step {state.step + 1} of {steps}")
    with progress.track("training", plan.epochs * steps) as advance:
        advance(state.epoch * steps + state.step)
        while not state.finished:
            for batch in _batches(train, plan, state):
                loss, right = training.step(*batch)
                if not math.isfinite(loss):
                    raise ConfigError(_no_number(state, steps, optimizer))
                state.loss, state.right, state.step = state.loss + loss, state.right + right, state.step + 1
                advance(1)
                if checkpoint.due:
                    checkpoint.save(training.arrays(state))
            training.end_epoch(state, train, validation, plan)
            checkpoint.save(training.arrays(state))
    training.take_best()
    return state.history


class _Training:
    """A network with its optimizer, and the best weights so far."""

    def __init__(self, network: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
        optimizer.build(network.trainable_variables)
        self._network, self._optimizer = network, optimizer
        self._variables = {"network": network.variables, "optimizer": optimizer.variables}
        self._best: list[Array] = []
        self._step, self._measure = _compiled(network, optimizer)

    def step(self, inputs: Array, labels: Array, weights: Array) -> _Sums:
        loss, right = self._step(inputs, labels, weights)
        return float(loss), int(right)

    def end_epoch(self, state: _State, train: Examples, validation: Examples, plan: Plan) -> None:
        """Measure what the weights' averages do, keep them if they are the best, and go to the next epoch."""
        raw = [variable.value.numpy() for variable in self._network.trainable_variables]
        self._optimizer.finalize_variable_values(self._network.trainable_variables)
        loss, right = self._measured(validation, plan.batch_size)
        told = {
            "loss": state.loss / len(train),
            "accuracy": state.right / len(train),
            "val_loss": loss / len(validation),
            "val_accuracy": right / len(validation),
        }
        for name, value in told.items():
            state.history.setdefault(name, []).append(value)
        state.waited += 1
        if told["val_loss"] < state.best:
            state.best, state.waited = told["val_loss"], 0
            self._best = self._network.get_weights()
        for variable, weight in zip(self._network.trainable_variables, raw, strict=True):
            variable.assign(weight)
        state.epoch, state.step, state.loss, state.right = state.epoch + 1, 0, 0.0, 0
        state.finished = state.epoch >= plan.epochs or state.waited >= plan.patience

    def take_best(self) -> None:
        if self._best:
            self._network.set_weights(self._best)

    def arrays(self, state: _State) -> dict[str, Array]:
        """Return all that a training goes on from."""
        found: dict[str, Array] = {"state": np.frombuffer(json.dumps(asdict(state)).encode(), np.uint8)}
        for name, variables in self._variables.items():
            found |= {f"{name}.{place}": variable.value.numpy() for place, variable in enumerate(variables)}
        return found | {f"best.{place}": value for place, value in enumerate(self._best)}

    def restore(self, kept: dict[str, Array] | None) -> _State:
        """Take over what was kept, if it is of this network."""
        if kept is None or not self._fits(kept):
            return _State()
        for name, variables in self._variables.items():
            for place, variable in enumerate(variables):
                variable.assign(kept[f"{name}.{place}"])
        self._best = [kept[f"best.{place}"] for place in range(sum(name.startswith("best.") for name in kept))]
        return _State(**json.loads(kept["state"].tobytes()))

    def _fits(self, kept: dict[str, Array]) -> bool:
        shapes = {
            f"{name}.{place}": tuple(variable.shape)
            for name, variables in self._variables.items()
            for place, variable in enumerate(variables)
        }
        return "state" in kept and shapes == {
            name: array.shape for name, array in kept.items() if name.partition(".")[0] in self._variables
        }

    def _measured(self, examples: Examples, batch_size: int) -> _Sums:
        sums = [
            self._measure(*examples.batch(slice(start, start + batch_size)))
            for start in range(0, len(examples), batch_size)
        ]
        return sum(float(loss) for loss, _ in sums), sum(int(right) for _, right in sums)


def _batches(train: Examples, plan: Plan, state: _State) -> Iterator[tuple[Array, Array, Array]]:
    """Yield what is left of an epoch, whose order follows from the seed and its number."""
    order = np.random.default_rng([plan.seed, state.epoch]).permutation(len(train))
    for start in range(state.step * plan.batch_size, len(train), plan.batch_size):
        yield train.batch(order[start : start + plan.batch_size])


def _compiled(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> Sequence[Callable[..., Any]]:
    """Return a step of training, and the measuring of a batch; each gives the sum of the losses and the right answers.

    Not by XLA, which is several times slower than TensorFlow's own kernels on a CPU.
    """
    import keras
    import tensorflow as tf

    def sums(labels: Any, weights: Any, scores: Any) -> tuple[Any, Any]:
        losses = keras.losses.sparse_categorical_crossentropy(labels, scores) * weights
        right = tf.equal(tf.argmax(scores, axis=-1), labels)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(right, tf.int64))

    shapes = (network.input.shape, network.input.dtype), ((None,), "int64"), ((None,), "float32")
    signature = [tf.TensorSpec(shape, dtype) for shape, dtype in shapes]

    def step(inputs: Any, labels: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            loss, right = sums(labels, weights, network(inputs, training=True))
            mean = loss / tf.cast(tf.size(labels), loss.dtype) + sum(network.losses)
        variables = network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(mean, variables), variables, strict=True))
        return loss, right

    def measure(inputs: Any, labels: Any, weights: Any) -> Any:
        return sums(labels, weights, network(inputs, training=False))

    return [tf.function(function, input_signature=signature, jit_compile=False) for function in (step, measure)]


def _no_number(state: _State, steps: int, optimizer: keras.optimizers.Optimizer) -> str:
    rate = float(optimizer.learning_rate.value.numpy())
    return (
        f"The loss is no number any more in epoch {state.epoch + 1}, step {state.step + 1} of {steps}: with a learning "
        f"rate of {rate:g} the weights leapt away. Try --set training.learning_rate={rate / 10:g}"
    )
