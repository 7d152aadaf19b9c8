"""The tutorials' road to a text classifier in Keras: 10,000 words, 200 tokens, two bidirectional LSTMs, a sigmoid.

`TextVectorization`, Embedding 64 with its mask, BiLSTM 64 and 32, Dense 24, Adam; a fifth of the training texts stops
it early, 10 epochs at most. Sources: tensorflow.org/text/tutorials/text_classification_rnn and
tensorflow.org/tutorials/keras/text_classification. Two labels only.

    python bench/_bilstm_recipe.py TABLE.jsonl OUT.json --seed 0
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from _harness import Row
from _text_recipe import Given, Ready, run

WORDS, TOKENS, BATCH, EPOCHS, PATIENCE = 10_000, 200, 64, 10, 2
VALIDATION_SHARE = 0.2


def train(given: Given) -> Ready:
    """Train on ids that were made once, then save one model that takes raw text."""
    keras.utils.set_random_seed(given.seed)
    learnt, kept_back = _sides(given)
    labels = sorted({row["label"] for row in learnt})
    vectorize = layers.TextVectorization(max_tokens=WORDS, output_sequence_length=TOKENS)
    vectorize.adapt(tf.constant([row["text"] for row in learnt]))
    network = _network()
    clock = _EpochClock()
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=PATIENCE, restore_best_weights=True)
    network.fit(
        *_arrays(learnt, labels, vectorize),
        validation_data=_arrays(kept_back, labels, vectorize),
        batch_size=BATCH,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[clock, stop],
    )
    inputs = keras.Input((1,), dtype="string")
    model = keras.Model(inputs, network(vectorize(inputs)))
    model.save(given.folder / "model.keras")

    def answer(texts: Sequence[str]) -> list[str]:
        scores = model.predict(tf.constant([[text] for text in texts]), batch_size=BATCH * 4, verbose=0)
        return [labels[int(score > 0.5)] for score in scores[:, 0]]

    def answer_one(text: str) -> str:
        return labels[int(model.predict_on_batch(tf.constant([[text]]))[0, 0] > 0.5)]

    return Ready(answer, answer_one, {"epoch_seconds": clock.seconds, "val_accuracy": clock.val_accuracy})


def _sides(given: Given) -> tuple[list[Row], list[Row]]:
    if given.validation:
        return given.train, given.validation
    rows = random.Random(given.seed).sample(given.train, len(given.train))
    cut = round(len(rows) * VALIDATION_SHARE)
    return rows[cut:], rows[:cut]


def _arrays(rows: list[Row], labels: list[str], vectorize: layers.Layer) -> tuple[np.ndarray, np.ndarray]:
    ids = np.concatenate(
        [vectorize(tf.constant([row["text"] for row in rows[at : at + 1000]])) for at in range(0, len(rows), 1000)]
    )
    return ids, np.array([[labels.index(row["label"])] for row in rows], np.float32)


def _network() -> keras.Model:
    network = keras.Sequential(
        [
            layers.Embedding(WORDS, 64, mask_zero=True),
            layers.Bidirectional(layers.LSTM(64, return_sequences=True)),
            layers.Bidirectional(layers.LSTM(32)),
            layers.Dense(24, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    network.compile(keras.optimizers.Adam(1e-3), loss="binary_crossentropy", metrics=["accuracy"])
    return network


class _EpochClock(keras.callbacks.Callback):  # type: ignore[misc]
    """Seconds and validation accuracy of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.val_accuracy: list[float] = []
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.seconds.append(time.perf_counter() - self._start)
        self.val_accuracy.append(float((logs or {})["val_accuracy"]))


if __name__ == "__main__":
    run(__doc__, train)
