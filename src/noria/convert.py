"""A Keras model -> the bytes of a LiteRT file, float32 or full-integer int8."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from noria.quiet import native_output_hidden


def to_litert(model: keras.Model) -> bytes:
    """Return a float32 LiteRT file with a static batch of 1."""
    with native_output_hidden():
        converted: bytes = _converter(model).convert()
    return converted


def to_litert_int8(model: keras.Model, examples: Iterable[NDArray[np.uint8]]) -> bytes:
    """Return a full-integer LiteRT file: int8 weights and activations, uint8 in and out.

    Args:
        model: takes float32 pictures in 0..255, so that a uint8 picture is its own quantised form.
        examples: training pictures (height, width, 3) uint8 that set the ranges of the activations.
    """
    with native_output_hidden():
        converter = _converter(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([array[np.newaxis].astype(np.float32)] for array in examples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
        converted: bytes = converter.convert()
    return converted


def _converter(model: keras.Model) -> tf.lite.TFLiteConverter:
    shape = (1, *model.input_shape[1:])
    function = tf.function(lambda image: model(image, training=False), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec(shape, tf.float32, name="image"))
    # Without the model as second argument: with it Keras 3's variables stay variables, and the file answers NaN. The
    # documented `from_keras_model` goes through a SavedModel on disk and takes four times as long.
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete])
