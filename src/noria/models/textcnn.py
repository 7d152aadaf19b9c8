"""Convolutions over 3, 4 and 5 words, the strongest answer of each filter, one linear layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.errors import UnknownNameError
from noria.models._card import ModelCard

if TYPE_CHECKING:
    import keras

NAMES = ("textcnn",)

WIDTHS = (3, 4, 5)  # words that a filter sees
FILTERS = 64  # of each width


def card(name: str) -> ModelCard:
    """Return what to know before choosing."""
    if name not in NAMES:
        raise UnknownNameError("model", name, NAMES)
    return ModelCard(
        name=name,
        input="text",
        settings={"encoding": "sequence"},
        strategy="scratch",
        parameters=None,
        licence="none needed",
        weights_source="the training texts alone",
        note="Finds telling phrases wherever they stand. Many times faster than an LSTM, and fit for int8.",
        url="https://arxiv.org/abs/1408.5882",
        paper="Kim, Convolutional Neural Networks for Sentence Classification, 2014",
    )


def build_network(name: str, *, vocabulary_size: int, length: int, num_classes: int) -> keras.Model:
    """Return (batch, length) int32 -> (batch, num_classes) float32 probabilities; id 0 is padding, a word like others.

    Args:
        vocabulary_size: number of ids, 0 included.
        length: ids in a row.
    """
    import keras
    from keras import layers

    card(name)
    ids = keras.Input((length,), dtype="int32", name="ids")
    words = layers.Dropout(0.3)(layers.Embedding(vocabulary_size, 64, name="words")(ids))
    found = [
        layers.GlobalMaxPooling1D(name=f"strongest_{width}")(
            layers.Conv1D(FILTERS, width, padding="same", activation="relu", name=f"phrases_{width}")(words)
        )
        for width in WIDTHS
    ]
    together = layers.Dropout(0.5)(layers.Concatenate(name="together")(found))
    scores = layers.Dense(num_classes, activation="softmax", name="scores")(together)
    return keras.Model(ids, scores, name=name)
