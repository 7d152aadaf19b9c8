"""A network on several devices: each learns from a part of the batch, and their gradients are added up.

The loss of a batch is the mean over all of it, as on one device; normalisation takes its statistics from the whole
batch, too (Keras' `synchronized`). Dropout is drawn anew for each replica. In float16 the loss is multiplied, so that
small gradients are not lost, by a number that halves when gradients overflow and doubles when they long have not
(Micikevicius et al. 2018, section 3.2); a step whose gradients overflow counts as one without gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.training.devices import Devices
from noria.training.loss import Loss

if TYPE_CHECKING:
    import keras

    from noria.training.network import Group

Array = NDArray[Any]
FIRST_SCALE = 2.0**15
DOUBLED_AFTER = 2_000  # steps without an overflow


def placed(
    model: keras.Model,
    groups: Sequence[Group],
    devices: Devices,
    make_optimizer: Callable[[], keras.optimizers.Optimizer],
) -> tuple[keras.Model, list[Group]]:
    """Return what the devices train instead of a float32 model: a copy of it on all of them, in their precision.

    Args:
        make_optimizer: makes one as the groups have, within the scope of the devices.
    """
    if devices.strategy is None and devices.precision == "float32":
        return model, list(groups)
    import keras

    last = model.layers[-1].name

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        # NVIDIA's recurrent networks are not there in bfloat16.
        recurrent = isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional))
        if devices.precision != "float32" and layer.name != last and not recurrent:
            config["dtype"] = f"mixed_{devices.precision}"
        if isinstance(layer, keras.layers.BatchNormalization) and devices.replicas > 1:
            config["synchronized"] = True
        return type(layer).from_config(config)

    with devices.scope():
        copy = keras.models.clone_model(model, clone_function=copied)
        copy.set_weights(model.get_weights())
        places = {id(variable): place for place, variable in enumerate(model.variables)}
        moved = [
            replace(
                group,
                variables=[copy.variables[places[id(variable)]] for variable in group.variables],
                optimizer=make_optimizer(),
            )
            for group in groups
        ]
    return copy, moved


def parts(count: int, replicas: int, local: range) -> list[tuple[NDArray[np.intp], float]]:
    """Return for each replica of this process (`local`) its places in a batch, and whether they count (1) or not (0).

    Where there are fewer examples than replicas, those that are left over look at the first one, and it does not count.
    """
    if count < replicas:
        return [(np.array([one if one < count else 0]), float(one < count)) for one in local]
    return [(np.arange(count * one // replicas, count * (one + 1) // replicas), 1.0) for one in local]


class Replicas:
    """Steps and scores of one network on several devices."""

    def __init__(self, network: keras.Model, loss: Loss, devices: Devices) -> None:
        import keras

        self._network, self._loss, self._devices = network, loss, devices
        # The scale, and the steps since it last changed.
        self.scale = keras.Variable([FIRST_SCALE if devices.precision == "float16" else 1.0, 0.0], trainable=False)
        self._run = devices.strategy.run if devices.strategy else lambda function, args: function(*args)

    def take(self, count: int) -> NDArray[np.intp]:
        """Return the places of this process in a batch of so many examples."""
        return np.concatenate([places for places, _ in self._parts(count)])

    def _parts(self, count: int) -> list[tuple[NDArray[np.intp], float]]:
        return parts(count, self._devices.replicas, self._devices.local)

    def draw_apart(self) -> None:
        """Let the generators of each replica draw other numbers; those of the first stay as they are."""
        if self._devices.strategy is None:
            return
        for variable in self._network.variables:
            if variable.name != "seed_generator_state":
                continue
            each = self._devices.strategy.experimental_local_results(variable.value)
            first = variable.value.numpy()
            for number, own in zip(self._devices.local, each, strict=True):
                own.assign(first + np.array([number, 0], first.dtype))

    def compiled_step(self, groups: Sequence[Group]) -> Callable[..., tuple[Any, Any, Any]]:
        """Return a step: this process's part of a batch, and how many the whole has -> as a step on one device."""
        import tensorflow as tf

        def step(own: Any, count: Any) -> Any:
            told = self._run(lambda part: self._learn(groups, part, count), args=(own,))
            if self._devices.strategy:
                told = [self._devices.strategy.experimental_local_results(one)[0] for one in told]
            if self._devices.precision == "float16":
                self._rescale(tf.math.is_finite(told[2]))
            return told

        compiled = tf.function(step, jit_compile=False, reduce_retracing=True)
        return lambda batch, count: compiled(self._cut(batch, count), tf.constant(float(count)))

    def compiled_scores(self) -> Callable[[Array], Array]:
        """Return what answers for a batch of inputs: probabilities (n, C) float32."""
        import tensorflow as tf

        def scores(inputs: Any) -> Any:
            return self._network(tf.cast(inputs, self._network.input.dtype), training=False)

        compiled = tf.function(lambda own: self._run(scores, args=(own,)), jit_compile=False, reduce_retracing=True)

        def answered(batch: Array) -> Array:
            pieces = np.array_split(batch, len(self._devices.local))
            told = compiled(self._on_each(lambda place: tf.constant(pieces[place])))
            if self._devices.strategy is None:
                return np.asarray(told, np.float32)
            return np.concatenate([one.numpy() for one in self._devices.strategy.experimental_local_results(told)])

        return answered

    def _cut(self, batch: Sequence[Array], count: int) -> Any:
        """The examples of each replica, where they are needed."""
        import tensorflow as tf

        sizes = [(len(places), counts) for places, counts in self._parts(count)]
        ends = np.cumsum([size for size, _ in sizes])

        def part(place: int) -> tuple[Any, ...]:
            size, counts = sizes[place]
            own = slice(ends[place] - size, ends[place])
            return (*(tf.constant(one[own]) for one in batch), tf.constant(counts))

        return self._on_each(part)

    def _on_each(self, make: Callable[[int], Any]) -> Any:
        if self._devices.strategy is None:
            return make(0)
        first = self._devices.local.start
        return self._devices.strategy.experimental_distribute_values_from_function(
            lambda context: make(context.replica_id_in_sync_group - first)
        )

    def _learn(self, groups: Sequence[Group], part: Any, count: Any) -> tuple[Any, Any, Any]:
        """On one replica: its gradients, added to those of the others, move its weights."""
        import tensorflow as tf

        inputs, labels, weights, counts = part
        variables = [variable for group in groups for variable in group.variables]
        with tf.GradientTape() as tape:
            scores = self._network(tf.cast(inputs, self._network.input.dtype), training=True)
            losses = self._loss(labels, scores) * weights * counts
            mean = tf.reduce_sum(losses) / count + sum(self._network.losses) / self._devices.replicas
            scaled = mean * self.scale[0]
        gradients = tape.gradient(scaled, variables)
        if self._devices.precision == "float16":
            gradients = [tf.convert_to_tensor(one) / self.scale[0] for one in gradients]
        truth = labels if labels.shape.rank == 1 else tf.argmax(labels, axis=-1)
        right = tf.cast(tf.equal(tf.argmax(scores, axis=-1), truth), tf.float32) * counts
        sums = [tf.reduce_sum(losses), tf.reduce_sum(right)]
        if self._devices.replicas > 1:
            context = tf.distribute.get_replica_context()
            gradients, sums = context.all_reduce(tf.distribute.ReduceOp.SUM, [gradients, sums])
        norm = tf.linalg.global_norm(gradients)
        if self._devices.precision == "float16":
            finite = tf.math.is_finite(norm)
            gradients = [tf.where(finite, one, tf.zeros_like(one)) for one in gradients]
        each = iter(gradients)
        for group in groups:
            # They are added up already, before they are clipped; Keras would add them up after it, once more.
            group.optimizer._all_reduce_sum_gradients = list
            group.optimizer.apply([next(each) for _ in group.variables], list(group.variables))
        return sums[0], sums[1], norm

    def _rescale(self, finite: Any) -> None:
        import tensorflow as tf

        scale, since = self.scale[0], self.scale[1] + 1
        long = since >= DOUBLED_AFTER
        grown = tf.where(long, scale * 2, scale)
        new = tf.where(finite, grown, tf.maximum(scale / 2, 1.0))
        self.scale.assign(tf.stack([new, tf.where(tf.logical_and(finite, tf.logical_not(long)), since, 0.0)]))
