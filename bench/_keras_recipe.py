"""The documented Keras road to a picture classifier, as its users write it: a folder tree in, test answers out.

`image_dataset_from_directory`, a pretrained backbone frozen inside the model, flip and rotation layers, dropout, one
Dense layer, Adam, 10 epochs. Source: tensorflow.org/tutorials/images/transfer_learning, whose data is prefetched and
not cached. With `--cache` as in .../images/classification (cache, shuffle and prefetch).

    python bench/_keras_recipe.py FOLDER OUT.json --model efficientnet_lite0 --epochs 10 --seed 0
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from noria import models

SIDE = 224
BATCH = 32


def main() -> None:
    """Train, test and write down seconds and answers."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("folder", type=Path, help="with train/, validation/ and test/, each with a folder a label")
    options.add_argument("out", type=Path)
    options.add_argument("--model", default="efficientnet_lite0")
    options.add_argument("--epochs", type=int, default=10)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--cache", action="store_true", help="keep the decoded pictures in memory")
    given = options.parse_args()

    keras.utils.set_random_seed(given.seed)
    train, validation, test = (_dataset(given.folder / name) for name in ("train", "validation", "test"))
    labels, files = train.class_names, test.file_paths
    model = _model(given.model, len(labels))

    start = time.perf_counter()
    clock = _EpochClock()
    model.fit(
        _prepared(train, cache=given.cache, shuffle=True),
        validation_data=_prepared(validation, cache=given.cache, shuffle=False),
        epochs=given.epochs,
        verbose=0,
        callbacks=[clock],
    )
    fitted = time.perf_counter() - start
    answers = model.predict(test.prefetch(tf.data.AUTOTUNE), verbose=0).argmax(axis=1)
    told = {
        "fit_seconds": fitted,
        "epoch_seconds": clock.seconds,
        "val_accuracy": clock.val_accuracy,
        "answers": {Path(file).name: labels[int(answer)] for file, answer in zip(files, answers, strict=True)},
    }
    given.out.write_text(json.dumps(told), encoding="utf-8")


def _dataset(folder: Path) -> Any:
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(SIDE, SIDE), batch_size=BATCH, shuffle=folder.name == "train", verbose=False
    )


def _prepared(dataset: Any, *, cache: bool, shuffle: bool) -> Any:
    if cache:
        dataset = dataset.cache()
        if shuffle:  # the cache keeps the batches; their order is drawn anew in each epoch
            dataset = dataset.shuffle(1000)
    return dataset.prefetch(tf.data.AUTOTUNE)


def _model(name: str, num_classes: int) -> keras.Model:
    backbone = models.find(name).build_backbone(name, image_size=SIDE, weights="imagenet")
    backbone.trainable = False
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.RandomFlip("horizontal")(inputs)
    x = layers.RandomRotation(0.2)(x)
    x = backbone(x, training=False)
    x = layers.Dropout(0.2)(x)
    model = keras.Model(inputs, layers.Dense(num_classes, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class _EpochClock(keras.callbacks.Callback):  # type: ignore[misc]
    """Seconds and validation accuracy of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.val_accuracy: list[float] = []
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self._start)
        self.val_accuracy.append(float(logs["val_accuracy"]))


if __name__ == "__main__":
    main()
