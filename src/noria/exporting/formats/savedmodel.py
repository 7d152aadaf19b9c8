"""A SavedModel for TensorFlow Serving whose default signature takes raw file bytes: decoding happens in its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from noria.exporting.source import ExportSource
from noria.quiet import native_output_hidden

PATH = "savedmodel"
# The graph's decoder and resize differ from Pillow's by rounding, up to one level of 255.
TOLERANCES = {"agreement": 0.99, "score_difference": 0.1, "accuracy_loss": 0.01}


def write(source: ExportSource, folder: Path) -> None:
    """Write the folder; signatures: `serving_default` (bytes) and `arrays` (decoded pictures in 0..255)."""
    module = tf.Module()
    module.model = source.model  # tracked, so that its variables are saved
    labels = tf.constant(source.labels)

    def answer(images: Any) -> dict[str, Any]:
        scores = source.model(images, training=False)
        count = tf.shape(scores)[0]
        return {
            "label": tf.gather(labels, tf.argmax(scores, axis=1), name="label"),
            "scores": scores,
            "labels": tf.tile(labels[tf.newaxis], [count, 1]),
        }

    from_bytes = tf.function(
        lambda image_bytes: answer(source.decode(image_bytes)),
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
    )
    shape = [None, *source.model.input_shape[1:]]
    from_arrays = tf.function(answer, input_signature=[tf.TensorSpec(shape, tf.float32, name="images")])
    with native_output_hidden():
        tf.saved_model.save(
            module, str(folder / PATH), signatures={"serving_default": from_bytes, "arrays": from_arrays}
        )
