"""A small transformer encoder, trained from nothing: two blocks of attention, their mean, one linear layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noria.errors import UnknownNameError
from noria.models._card import ModelCard

if TYPE_CHECKING:
    import keras

NAMES = ("transformer",)

WIDTH = 64
HEADS = 4
BLOCKS = 2
DROPOUT = 0.2


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
        note="Two blocks. Without pretraining it wants many texts to be better than ngrams.",
        url="https://arxiv.org/abs/1706.03762",
        paper="Vaswani et al., Attention Is All You Need, 2017",
    )


def build_network(name: str, *, vocabulary_size: int, length: int, num_classes: int) -> keras.Model:
    """Return (batch, length) int32 -> (batch, num_classes) float32 probabilities; id 0 is padding and is masked.

    Args:
        vocabulary_size: number of ids, 0 included.
        length: ids in a row.
    """
    import keras
    from keras import layers, ops

    card(name)
    ids = keras.Input((length,), dtype="int32", name="ids")
    present = ops.cast(ops.not_equal(ids, 0), "int32")  # (batch, length)
    positions = ops.cumsum(present, axis=1) * present  # 1, 2, …; padding stays at 0
    vectors = layers.Add(name="placed")(
        [
            layers.Embedding(vocabulary_size, WIDTH, name="words")(ids),
            layers.Embedding(length + 1, WIDTH, name="positions")(positions),
        ]
    )
    vectors = layers.Dropout(DROPOUT)(vectors)
    for number in range(1, BLOCKS + 1):
        vectors = _block(vectors, ops.expand_dims(present, 1), number)
    weights = ops.expand_dims(ops.cast(present, "float32"), -1)
    count = ops.maximum(ops.sum(weights, axis=1), 1.0)
    mean = ops.sum(layers.LayerNormalization(name="normal")(vectors) * weights, axis=1) / count
    scores = layers.Dense(num_classes, activation="softmax", name="scores")(layers.Dropout(DROPOUT)(mean))
    return keras.Model(ids, scores, name=name)


def _block(vectors: Any, present: Any, number: int) -> Any:
    """Attention, then two dense layers, each normalised before and added to what went in (Xiong et al. 2020)."""
    from keras import layers

    normal = layers.LayerNormalization(name=f"normal_{number}a")(vectors)
    # Without dropout of its own: drawing numbers for every pair of words takes longer than all the rest on a CPU.
    attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"attention_{number}")
    vectors = layers.Add(name=f"attended_{number}")([vectors, attention(normal, normal, attention_mask=present)])
    normal = layers.LayerNormalization(name=f"normal_{number}b")(vectors)
    wide = layers.Dense(2 * WIDTH, activation="relu", name=f"wide_{number}")(normal)
    narrow = layers.Dropout(DROPOUT)(layers.Dense(WIDTH, name=f"narrow_{number}")(wide))
    return layers.Add(name=f"thought_{number}")([vectors, narrow])
