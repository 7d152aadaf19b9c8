"""The mean of the vectors of words and pairs of words, then one linear layer: small, quick, hard to beat by much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.errors import UnknownNameError
from noria.models._card import ModelCard

if TYPE_CHECKING:
    import keras

NAMES = ("fasttext",)

WIDTH = 32
# Pairs share this many vectors, by a hash. The product below stays under 2**31.
BUCKETS = 50_021
MULTIPLIER = 40_009


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
        note="The quickest network: mean vectors of words and of hashed pairs of words.",
        url="https://arxiv.org/abs/1607.01759",
        paper="Joulin et al., Bag of Tricks for Efficient Text Classification, 2016",
    )


def build_network(name: str, *, vocabulary_size: int, length: int, num_classes: int) -> keras.Model:
    """Return (batch, length) int32 -> (batch, num_classes) float32 probabilities; id 0 is padding and counts nowhere.

    Args:
        vocabulary_size: number of ids, 0 included.
        length: ids in a row.
    """
    import keras
    from keras import layers, ops

    card(name)
    ids = keras.Input((length,), dtype="int32", name="ids")
    first, second = ids[:, :-1], ids[:, 1:]
    # Exclusive or, since a sum of two (1, n) integer arrays becomes an operation that LiteRT does not have.
    bucket = ops.mod(ops.bitwise_xor(ops.mod(first, BUCKETS) * MULTIPLIER, second), BUCKETS) + 1
    pair_ids = ops.where(ops.equal(second, 0), 0, bucket)  # padding is at the end: no pair begins with it
    words = layers.Embedding(vocabulary_size, WIDTH, name="words")(ids)
    pairs = layers.Embedding(BUCKETS + 1, WIDTH, name="pairs")(pair_ids)
    vectors = ops.concatenate([words, pairs], axis=1)
    present = ops.cast(ops.not_equal(ops.concatenate([ids, pair_ids], axis=1), 0), "float32")
    count = ops.maximum(ops.sum(present, axis=1, keepdims=True), 1.0)  # no words: zero, and not nought by nought
    # By the root of their number, as in `ngrams`: by the number itself, long texts would learn only in many epochs.
    mean = ops.sum(vectors * ops.expand_dims(present, -1), axis=1) / ops.sqrt(count)
    scores = layers.Dense(num_classes, activation="softmax", name="scores")(layers.Dropout(0.3)(mean))
    return keras.Model(ids, scores, name=name)
