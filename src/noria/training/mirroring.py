"""A network of pictures -> one that looks at each picture and its mirror image, and answers by both.

Known as test-time augmentation by flipping. The mean of the two is taken before the last layer, which is linear up to
its softmax: so it is the mean of the logits, and a temperature can still go into that layer's weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

_BOTH = "both"


def mirrored(network: keras.Model) -> keras.Model:
    """Return a network of the same weights, twice the work, and as a rule fewer mistakes; itself where it is one.

    Args:
        network: (batch, height, width, 3) -> probabilities (batch, C) of its last layer, "scores".
    """
    import keras

    if any(layer.name == _BOTH for layer in network.layers):
        return network
    last = network.get_layer("scores")
    trunk = keras.Model(network.input, last.input, name="trunk")
    image = keras.Input(network.input.shape[1:], name="image", dtype=network.input.dtype)
    both = keras.layers.Average(name=_BOTH)([trunk(image), trunk(keras.ops.flip(image, axis=2))])
    scores = type(last).from_config(last.get_config())
    twice = keras.Model(image, scores(both), name=network.name)
    scores.set_weights(last.get_weights())
    return twice
