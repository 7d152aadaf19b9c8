"""A Keras model -> the bytes of a LiteRT file, float32 or int8."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from noria.quiet import native_output_hidden


def to_litert(model: keras.Model) -> bytes:
    """Return a float32 LiteRT file with a static batch of 1; a length that the model leaves open stays open."""
    with native_output_hidden():
        converted: bytes = _converter(model).convert()
    return converted


def to_litert_int8(model: keras.Model, examples: Iterable[NDArray[np.uint8]]) -> bytes:
    """Return a LiteRT file with int8 weights.

    A model of pictures becomes full-integer: int8 activations, uint8 in and out. One that takes ids keeps float32
    activations (dynamic range): nearly all its bytes are tables of weights, and ids have no range to be scaled to.

    Args:
        model: takes int32 ids, or float32 pictures in 0..255, so that a uint8 picture is its own quantised form.
        examples: training pictures (height, width, 3) uint8 that set the ranges of the activations.
    """
    with native_output_hidden():
        converter = _converter(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if model.inputs[0].dtype == "int32":
            by_weight: bytes = converter.convert()
            return by_weight
        converter.representative_dataset = lambda: ([array[np.newaxis].astype(np.float32)] for array in examples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
        converted: bytes = converter.convert()
    return converted


def _converter(model: keras.Model) -> tf.lite.TFLiteConverter:
    taken = model.inputs[0]
    function = tf.function(lambda array: model(array, training=False), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec((1, *taken.shape[1:]), taken.dtype, name=taken.name))
    # Without the model as second argument: with it Keras 3's variables stay variables, and the file answers NaN. The
    # documented `from_keras_model` goes through a SavedModel on disk and takes four times as long.
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete])
