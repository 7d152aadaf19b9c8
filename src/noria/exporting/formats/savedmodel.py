"""A SavedModel for TensorFlow Serving whose default signature takes raw file bytes: decoding happens in its graph."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import tensorflow as tf

from noria.exporting.source import ExportSource
from noria.quiet import native_output_hidden

PATH = "savedmodel"
# The graph's decoder and resize differ from Pillow's by rounding, up to one level of 255.
TOLERANCES = {"agreement": 0.99, "score_difference": 0.1, "accuracy_loss": 0.01}


def write(source: ExportSource, folder: Path) -> None:
    """Write the folder; signatures: `serving_default` (raw bytes) and `arrays` (what the input reads)."""
    module = tf.Module()
    module.model, module.decode = source.model, source.decode  # tracked: variables and tables are saved with them
    labels = tf.constant(source.labels)

    def answer(arrays: Any) -> dict[str, Any]:
        scores = source.model(arrays, training=False)
        count = tf.shape(scores)[0]
        return {
            "label": tf.gather(labels, tf.argmax(scores, axis=1), name="label"),
            "scores": scores,
            "labels": tf.tile(labels[tf.newaxis], [count, 1]),
        }

    taken = source.model.inputs[0]
    spec = tf.TensorSpec([None, *taken.shape[1:]], taken.dtype, name=source.array_name)
    from_arrays = tf.function(answer, input_signature=[spec], autograph=False)  # both signatures call this one graph
    from_bytes = tf.function(
        lambda raw: from_arrays(source.decode(raw)),
        input_signature=[tf.TensorSpec([None], tf.string, name=source.input_name)],
    )
    signatures = {"serving_default": from_bytes, "arrays": from_arrays}
    try:
        with native_output_hidden():
            tf.saved_model.save(module, str(folder / PATH), signatures=signatures)
    except tf.errors.OpError as error:
        raise _as_told_by_the_system(error) from error


def _as_told_by_the_system(error: tf.errors.OpError) -> OSError:
    """TensorFlow wraps what the system says about a file, with a full disk as one of its own kinds of errors."""
    known = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS)
    number = next((one for one in known if os.strerror(one) in error.message), None)
    return OSError(errno.EIO, error.message) if number is None else OSError(number, os.strerror(number))
