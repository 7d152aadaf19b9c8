"""The tutorials' two-layer bidirectional LSTM, with the mask without which padding silences it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.errors import UnknownNameError
from noria.models._card import ModelCard

if TYPE_CHECKING:
    import keras

NAMES = ("bilstm",)


def card(name: str) -> ModelCard:
    """Return what to know before choosing."""
    if name not in NAMES:
        raise UnknownNameError("model", name, NAMES)
    return ModelCard(
        name=name,
        input="text",
        settings={"encoding": "sequence", "length": 512},
        strategy="scratch",
        parameters=None,
        licence="none needed",
        weights_source="the training texts alone",
        note="Reads words in order, both ways. Slow to train and to answer, and seldom better than ngrams.",
        url="https://www.tensorflow.org/text/tutorials/text_classification_rnn",
        training={"schedule": "cosine", "epochs": 4},
        paper="Graves and Schmidhuber, Framewise Phoneme Classification with Bidirectional LSTM, 2005",
    )


def build_network(name: str, *, vocabulary_size: int, length: int, num_classes: int) -> keras.Model:
    """Return (batch, length) int32 -> (batch, num_classes) float32 probabilities; id 0 is padding and is masked.

    Args:
        vocabulary_size: number of ids, 0 included.
        length: ids in a row.
    """
    import keras
    from keras import layers

    card(name)
    ids = keras.Input((length,), dtype="int32", name="ids")
    words = layers.Embedding(vocabulary_size, 64, mask_zero=True, name="words")(ids)
    words = layers.SpatialDropout1D(0.4)(words)  # without it the network knows its texts by heart in three epochs
    read = layers.Bidirectional(layers.LSTM(64, return_sequences=True), name="first")(words)
    read = layers.Bidirectional(layers.LSTM(32), name="second")(layers.Dropout(0.3)(read))
    hidden = layers.Dense(24, activation="relu", name="hidden")(layers.Dropout(0.5)(read))
    scores = layers.Dense(num_classes, activation="softmax", name="scores")(hidden)
    return keras.Model(ids, scores, name=name)
