"""One weight for each n-gram and label, added up: a linear model as an embedding of width `num_classes`.

Good texts need no network: with Naive Bayes weights (strategy `linear`) this beats the usual LSTM, in seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.errors import UnknownNameError
from noria.models._card import ModelCard

if TYPE_CHECKING:
    import keras

NAMES = ("ngrams",)


def card(name: str) -> ModelCard:
    """Return what to know before choosing."""
    if name not in NAMES:
        raise UnknownNameError("model", name, NAMES)
    return ModelCard(
        name=name,
        input="text",
        settings={"encoding": "ngrams"},
        strategy="linear",
        parameters=None,
        licence="none needed",
        weights_source="the training texts alone",
        note="The default: seconds to train, exact reasons for each answer, and hard to beat.",
        url="https://nlp.stanford.edu/pubs/sidaw12_simple_sentiment.pdf",
        paper="Wang and Manning, Baselines and Bigrams: Simple, Good Sentiment and Topic Classification, 2012",
    )


def build_network(name: str, *, vocabulary_size: int, length: int | None, num_classes: int) -> keras.Model:
    """Return (batch, L) int32 -> (batch, num_classes) float32 probabilities, all weights zero.

    The ids in a row are a text's set of n-grams, 0 is padding. Their vectors, rows of the layer "ngrams", are added up
    and divided by the square root of their number, so that a long text is not more certain for its length; the layer
    "scores" adds the bias. Row 0 must stay zero.

    Args:
        vocabulary_size: number of ids, 0 included.
        length: ids in a row, or None where rows differ.
    """
    import keras
    from keras import layers, ops

    card(name)
    ids = keras.Input((length,), dtype="int32", name="ids")
    vectors = layers.Embedding(vocabulary_size, num_classes, embeddings_initializer="zeros", name="ngrams")(ids)
    count = ops.sum(ops.cast(ops.not_equal(ids, 0), "float32"), axis=1, keepdims=True)
    total = ops.sum(vectors, axis=1) / ops.sqrt(ops.maximum(count, 1.0))
    scores = layers.Dense(num_classes, activation="softmax", kernel_initializer="identity", name="scores")(total)
    return keras.Model(ids, scores, name=name)
