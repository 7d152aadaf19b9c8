"""The float Keras model as the rivals run it: JPEG bytes -> array -> scores -> the five best labels.

The picture is decoded small (libjpeg's scaled decoding) and resized as in training; the model is called under
`tf.function`, without gradients, which is faster than `predict`. It needs TensorFlow, Keras and Pillow, not Noria.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

THREADS = "BENCH_TENSORFLOW_THREADS"  # in the environment; 0: as many as TensorFlow takes


class KerasModel:
    """A model with its labels."""

    def __init__(self, bundle: str) -> None:
        if threads := int(os.environ.get(THREADS, "0")):
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        folder = Path(bundle)
        self.model = keras.saving.load_model(folder / "model.keras", compile=False)
        self.labels = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["labels"]
        self._side = (int(self.model.input_shape[2]), int(self.model.input_shape[1]))
        shape = (None, *self.model.input_shape[1:])
        self._graph = tf.function(
            lambda pixels: self.model(tf.cast(pixels, tf.float32), training=False),
            input_signature=[tf.TensorSpec(shape, tf.uint8)],
        )
        self.warm = min((folder / "golden").glob("*.jpg")).read_bytes()
        for count in (1, 2):
            self.answer([self.warm] * count)

    def decode(self, data: bytes) -> np.ndarray[Any, Any]:
        """Return (height, width, 3) uint8."""
        image = Image.open(io.BytesIO(data))
        image.draft("RGB", self._side)
        return np.asarray(image.convert("RGB").resize(self._side, Image.Resampling.BILINEAR))

    def scores(self, pixels: Sequence[Any]) -> np.ndarray[Any, Any]:
        """Return (n, labels) float32."""
        return np.asarray(self._graph(tf.constant(np.stack(pixels))))

    def best(self, scores: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Return the five best labels."""
        places = scores.argsort()[::-1][:5]
        return {"top": [[self.labels[place], float(scores[place])] for place in places]}

    def answer(self, pictures: Sequence[bytes]) -> list[dict[str, Any]]:
        """Decode, run, rank."""
        return [self.best(one) for one in self.scores([self.decode(data) for data in pictures])]
