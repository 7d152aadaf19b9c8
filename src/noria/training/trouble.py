"""A loss that is no number -> in words, where in the network that began, and with which examples of the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.training.loss import Loss

if TYPE_CHECKING:
    import keras

NAMED = 5  # examples
_ALL = 0.9  # share of a batch from which on its examples are not to blame

Array = NDArray[Any]


def where_no_number(
    network: keras.Model, loss: Loss, batch: tuple[Array, ...], names: Sequence[str], before: Mapping[str, float]
) -> str:
    """Return a sentence or two; the network has the weights with which the batch was answered, or nearly those.

    Args:
        batch: inputs, labels, weights.
        names: of the examples in the batch, in order; () where they have none.
        before: path of each weight -> the squared norm of its gradient in the step before this one.
    """
    inputs, labels, weights = batch
    # Not the statistics of a normalisation, which this very batch may have spoilt.
    if spoilt := [one.path for one in network.trainable_variables if not np.isfinite(one.numpy()).all()]:
        # In a backward pass the gradients of the last layers come first.
        broken = [path for path, square in before.items() if not np.isfinite(square)]
        if broken:
            return f"In the step before, the gradient of {broken[-1]} was no number any more. {_batch(names)}"
        return f"The weights {spoilt[0]} are no numbers any more. {_batch(names)}"
    for layer, output in _outputs(network, inputs):
        bad = np.asarray(~np.isfinite(output.reshape(len(output), -1)).all(axis=1))
        if bad.any():
            return f"The layer {layer} is the first whose output is no number. {_examples(bad, names)}"
    losses = np.asarray(loss(_tensor(labels), network(_tensor(inputs, network), training=True))) * weights
    bad = np.asarray(~np.isfinite(losses))
    if bad.any():
        return f"All layers put out numbers, but the loss, with its weights, is none. {_examples(bad, names)}"
    return _batch(names)


def _outputs(network: keras.Model, inputs: Array) -> list[tuple[str, Array]]:
    """What each layer puts out, as in training, in the order in which they are computed."""
    import keras

    inputs_themselves = keras.layers.InputLayer
    layers = [one for one in network.layers if not isinstance(one, inputs_themselves) and _called_once(one)]
    inside = keras.Model(network.input, [layer.output for layer in layers])
    found = inside(_tensor(inputs, network), training=True)
    arrays = [np.asarray(one, np.float32) for one in (found if isinstance(found, list | tuple) else [found])]
    return [(layer.name, array) for layer, array in zip(layers, arrays, strict=True)]


def _called_once(layer: keras.layers.Layer) -> bool:
    """A layer that is used in several places has no one output."""
    try:
        return layer.output is not None
    except (AttributeError, ValueError):
        return False


def _tensor(array: Array, network: keras.Model | None = None) -> Any:
    import tensorflow as tf

    return tf.cast(array, network.input.dtype) if network is not None else tf.convert_to_tensor(array)


def _examples(bad: NDArray[np.bool_], names: Sequence[str]) -> str:
    if not names or bad.mean() > _ALL:
        return _batch(names)
    chosen = [name for name, is_bad in zip(names, bad, strict=True) if is_bad]
    return f"It happens with {_listed(chosen)}, {len(chosen)} of the {len(names)} in the batch: look there first."


def _batch(names: Sequence[str]) -> str:
    return f"The batch: {_listed(names)}." if names else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
