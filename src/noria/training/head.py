"""Feature vectors and labels -> the weights of one linear layer, its regularisation chosen on the validation split.

All strengths are trained at once, side by side in one wide layer: Adam works on each weight alone, so each candidate
becomes what it would have become by itself, in the time of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from noria.training.class_weights import example_weights
from noria.training.settings import TrainingSettings

WARM_UP = 0.1  # of all steps, before the cosine begins to fall
FINAL_RATE = 0.01  # of the peak learning rate
# Added to each feature's deviation before dividing by it. A feature that hardly varies would otherwise get a huge
# weight, and int8's rounding, about 0.06 in a feature, would be magnified with it: on the solar cells int8 lost 2.6
# points without a floor. Float accuracy is the same or a little better.
FLOOR = np.float32(0.2)
STRENGTHS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)  # of L2, where the settings name none
PATIENCE = 10  # epochs, where the settings leave it open
MIN_GAIN = 2e-3  # of the validation loss; less is not "better"

Array = NDArray[np.float32]
Indices = NDArray[np.int64]
Labelled = tuple[Array, Indices]  # features (n, D) and label indices (n,)


@dataclass(frozen=True, slots=True)
class Head:
    """A linear layer on plain (not standardised) features."""

    kernel: Array  # (D, C)
    bias: Array  # (C,)
    history: dict[str, list[float]]
    candidates: list[dict[str, Any]]
    chosen: dict[str, Any]

    def logits(self, features: Array) -> Array:
        return features @ self.kernel + self.bias


def fit_head(
    train: Labelled,
    validation: Labelled,
    num_classes: int,
    settings: TrainingSettings,
    *,
    seed: int,
    advance: Callable[[int], object] = lambda _epochs: None,
) -> Head:
    """Train every strength in `settings.l2` and return the head with the lowest validation loss at its best epoch.

    Args:
        train: features (n, D) float32 and label indices (n,); varied views are rows of their own.
        validation: the same for the validation split.
        advance: is told of each epoch.
    """
    keras.utils.set_random_seed(seed)
    if not settings.l2:
        settings = settings.model_copy(update={"l2": STRENGTHS})
    features, labels = train
    mean, deviation = features.mean(axis=0), features.std(axis=0) + FLOOR
    standard = (features - mean) / deviation
    an_epoch = -(-len(labels) // settings.step_size)
    model = _candidates_model(features.shape[1], num_classes, settings, steps_an_epoch=an_epoch)
    keeper = BestCandidate((standard, labels), ((validation[0] - mean) / deviation, validation[1]), settings)
    model.fit(
        _batches(standard, labels, example_weights(labels, num_classes, settings), settings.step_size, seed),
        steps_per_epoch=an_epoch,
        epochs=settings.epochs,
        shuffle=False,  # the batches are shuffled already
        verbose=0,
        callbacks=[keeper, keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, _logs: advance(1))],
    )
    kernel = keeper.kernel / deviation[:, np.newaxis]
    return Head(kernel, keeper.bias - mean @ kernel, keeper.history(), keeper.candidates(), keeper.chosen())


class ParallelDense(keras.layers.Layer):  # type: ignore[misc]
    """One linear layer for each L2 strength, as one product: (batch, D) -> (batch, strengths, C) logits."""

    def __init__(self, num_classes: int, strengths: Sequence[float]) -> None:
        super().__init__(name="candidates")
        self.num_classes = num_classes
        self.strengths = np.asarray(strengths, dtype=np.float32)

    def build(self, input_shape: tuple[int | None, int]) -> None:
        width = len(self.strengths) * self.num_classes
        self.kernel = self.add_weight(name="kernel", shape=(int(input_shape[-1]), width), initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=(width,), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        penalty = ops.sum(ops.square(self._split(self.kernel)), axis=(0, 2))
        self.add_loss(ops.sum(penalty * self.strengths))
        return self._split(ops.matmul(inputs, self.kernel) + self.bias)

    def _split(self, values: Any) -> Any:
        return ops.reshape(values, (-1, len(self.strengths), self.num_classes))


class BestCandidate(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures every candidate after each epoch, keeps the best on validation, stops when none gets better."""

    def __init__(self, train: Labelled, validation: Labelled, settings: TrainingSettings) -> None:
        super().__init__()
        self._train, self._validation, self._settings = train, validation, settings
        self._epochs: list[dict[str, Array]] = []  # each value (strengths,), but for learning_rate
        self._best = (float("inf"), 0, 0)  # validation loss, epoch, candidate
        self.kernel = self.bias = np.zeros(0, np.float32)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        kernels, biases = self._weights()
        loss, accuracy = _measure(self._train, kernels, biases)
        val_loss, val_accuracy = _measure(self._validation, kernels, biases)
        rate = np.asarray(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self._epochs.append(
            {
                "loss": loss,
                "accuracy": accuracy,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "learning_rate": rate,
            }
        )
        candidate = int(np.argmin(val_loss))
        if val_loss[candidate] < self._best[0] * (1 - MIN_GAIN):
            self._best = (float(val_loss[candidate]), epoch, candidate)
            self.kernel, self.bias = kernels[:, candidate].copy(), biases[candidate].copy()
        if epoch - self._best[1] >= (self._settings.patience or PATIENCE):
            self.model.stop_training = True

    def history(self) -> dict[str, list[float]]:
        """Return the curves of the chosen candidate, one value an epoch."""
        best = self._best[2]
        names = self._epochs[0]
        return {name: [float(epoch[name].flat[best % epoch[name].size]) for epoch in self._epochs] for name in names}

    def candidates(self) -> list[dict[str, Any]]:
        """Return each strength with its own best epoch."""
        return [self._row(index, strength) for index, strength in enumerate(self._settings.l2)]

    def chosen(self) -> dict[str, Any]:
        _, epoch, candidate = self._best
        return {"l2": self._settings.l2[candidate], "epoch": epoch + 1, "epochs_trained": len(self._epochs)}

    def _row(self, index: int, strength: float) -> dict[str, Any]:
        epoch = min(self._epochs, key=lambda values: float(values["val_loss"][index]))
        return {
            "l2": strength,
            "val_loss": float(epoch["val_loss"][index]),
            "val_accuracy": float(epoch["val_accuracy"][index]),
            "chosen": index == self._best[2],
        }

    def _weights(self) -> tuple[Array, Array]:
        layer = self.model.get_layer("candidates")
        count = len(self._settings.l2)
        kernel, bias = (ops.convert_to_numpy(weight) for weight in (layer.kernel, layer.bias))
        return kernel.reshape(len(kernel), count, -1), bias.reshape(count, -1)


def _batches(features: Array, labels: Indices, weights: Array, batch_size: int, seed: int) -> tf.data.Dataset:
    """Endless batches, the whole set in another order each epoch.

    One iterator for the whole training, and rows picked by index: with arrays, `fit` spends more time on setting up
    each epoch than on computing it.
    """
    columns = tuple(tf.constant(column) for column in (features, labels, weights))
    order = tf.data.Dataset.range(len(labels)).shuffle(len(labels), seed=seed, reshuffle_each_iteration=True)
    batches = order.batch(batch_size).repeat()
    return batches.map(lambda rows: tuple(tf.gather(column, rows) for column in columns)).prefetch(2)


def _candidates_model(width: int, num_classes: int, settings: TrainingSettings, *, steps_an_epoch: int) -> keras.Model:
    steps = steps_an_epoch * settings.epochs
    inputs = keras.Input((width,), name="features")
    model = keras.Model(inputs, ParallelDense(num_classes, settings.l2)(inputs))
    warm_up = max(1, int(steps * WARM_UP))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=max(1, steps - warm_up),
        alpha=FINAL_RATE,
        warmup_target=settings.learning_rate,
        warmup_steps=warm_up,
    )
    # XLA is several times slower than TensorFlow's own kernels on a CPU. A whole epoch in one call: such small steps
    # take longer to be asked for than to be computed.
    model.compile(
        keras.optimizers.Adam(schedule),
        loss=_summed_cross_entropy,
        jit_compile=False,
        steps_per_execution=steps_an_epoch,
    )
    return model


def _summed_cross_entropy(truth: Any, logits: Any) -> Any:
    """Sum over candidates, so that none feels the others: (batch,) and (batch, strengths, C) -> (batch,)."""
    truth = ops.broadcast_to(ops.reshape(truth, (-1, 1)), ops.shape(logits)[:2])
    return ops.sum(keras.losses.sparse_categorical_crossentropy(truth, logits, from_logits=True), axis=1)


def _measure(data: Labelled, kernels: Array, biases: Array) -> tuple[Array, Array]:
    """Return mean cross-entropy and accuracy of each candidate."""
    features, labels = data
    losses, accuracies = [], []
    for candidate, bias in enumerate(biases):  # one at a time: all at once would not fit for many classes
        logits = features @ np.ascontiguousarray(kernels[:, candidate]) + bias
        logits -= logits.max(axis=1, keepdims=True)
        of_truth = logits[np.arange(len(labels)), labels]
        losses.append(np.mean(np.log(np.exp(logits).sum(axis=1)) - of_truth))
        accuracies.append(np.mean(logits.argmax(axis=1) == labels))
    return np.asarray(losses, np.float32), np.asarray(accuracies, np.float32)
