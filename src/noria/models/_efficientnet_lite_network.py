"""The layers of EfficientNet-Lite in Keras, and the way of the published arrays into them.

Layer names are the published ones without the leading underscore (TensorFlow refuses such scopes on export), which
makes the two sides match by rule.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from noria.errors import WeightsError
from noria.models._efficientnet_lite_plan import (
    EPSILON,
    HEAD_FILTERS,
    OFFSET,
    SCALE,
    STEM_FILTERS,
    Block,
    blocks,
    published_name,
)
from noria.models._legacy_torch import read_state_dict

CLASSES = 1000


def backbone(name: str, *, width: float, depth: float, image_size: int) -> keras.Model:
    """Return the network without its classifier, randomly initialised."""
    image = keras.Input((image_size, image_size, 3), name="image", dtype="float32")
    return keras.Model(image, _features(image, width, depth), name=name)


def classifier(name: str, *, width: float, depth: float, image_size: int) -> keras.Model:
    """Return the network with its 1000-way classifier, randomly initialised."""
    image = keras.Input((image_size, image_size, 3), name="image", dtype="float32")
    features = _features(image, width, depth)
    scores = layers.Dense(CLASSES, activation="softmax", name="fc")(features)
    return keras.Model(image, scores, name=f"{name}_classifier")


def assign(model: keras.Model, file: Path, *, sha256: str) -> None:
    """Read the published arrays into `model`; every array must find its place, once.

    Raises:
        WeightsError: the file is another one, or an array is missing, left over or of another shape.
    """
    arrays = read_state_dict(file, sha256=sha256)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([_take(arrays, *wanted, file=file) for wanted in _wanted(layer)])
    left = [name for name in arrays if not name.endswith(".num_batches_tracked")]  # a counter of torch's, unused
    if model.layers[-1].name != "fc":
        left = [name for name in left if not name.startswith("_fc.")]
    if left:
        raise WeightsError(f"{file} holds arrays that {model.name} has no place for: {', '.join(left[:5])}.")


# ---- the layers ----


def _features(image: Any, width: float, depth: float) -> Any:
    x = layers.Rescaling(SCALE, offset=OFFSET, name="normalise")(image)
    x = _conv(x, STEM_FILTERS, kernel=3, stride=2, name="conv_stem")
    x = _relu6(_norm(x, "bn0"), "stem_relu6")
    for block in blocks(width, depth):
        x = _block(x, block)
    x = _conv(x, HEAD_FILTERS, kernel=1, stride=1, name="conv_head")
    x = _relu6(_norm(x, "bn1"), "head_relu6")
    return layers.GlobalAveragePooling2D(name="features")(x)


def _block(x: Any, block: Block) -> Any:
    shortcut, name = x, block.name
    if block.expansion != 1:
        x = _conv(x, block.inputs * block.expansion, kernel=1, stride=1, name=f"{name}_expand_conv")
        x = _relu6(_norm(x, f"{name}_bn0"), f"{name}_expand_relu6")
    x = layers.DepthwiseConv2D(
        block.kernel, strides=block.stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _relu6(_norm(x, f"{name}_bn1"), f"{name}_depthwise_relu6")
    x = _norm(_conv(x, block.filters, kernel=1, stride=1, name=f"{name}_project_conv"), f"{name}_bn2")
    return layers.Add(name=f"{name}_add")([x, shortcut]) if block.shortcut else x


def _conv(x: Any, filters: int, *, kernel: int, stride: int, name: str) -> Any:
    return layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=name)(x)


def _norm(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=0.99, epsilon=EPSILON, name=name)(x)


def _relu6(x: Any, name: str) -> Any:
    return layers.ReLU(max_value=6.0, name=name)(x)


# ---- the published arrays ----

_Wanted = tuple[str, tuple[int, ...], tuple[int, ...]]  # published name, axes to transpose by, Keras' shape


def _wanted(layer: Any) -> list[_Wanted]:
    """What a layer's weights are called in the file, in the order in which the layer holds them."""
    shapes = [tuple(weight.shape) for weight in layer.weights]
    prefix = published_name(layer.name)
    if isinstance(layer, layers.BatchNormalization):
        parts = ("weight", "bias", "running_mean", "running_var")
        return [(f"{prefix}.{part}", (0,), shape) for part, shape in zip(parts, shapes, strict=True)]
    if isinstance(layer, layers.Dense):
        return [(f"{prefix}.weight", (1, 0), shapes[0]), (f"{prefix}.bias", (0,), shapes[1])]
    # torch: (out, in, height, width); Keras: (height, width, in, out), and (height, width, in, 1) for depthwise
    axes = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
    return [(f"{prefix}.weight", axes, shapes[0])]


def _take(
    arrays: dict[str, NDArray[Any]], name: str, axes: tuple[int, ...], shape: tuple[int, ...], *, file: Path
) -> NDArray[Any]:
    """Remove an array from those that are left and turn it to Keras' layout."""
    if name not in arrays:
        raise WeightsError(f"{file} holds no array {name}, which the model needs.")
    array = arrays.pop(name)
    if array.ndim != len(axes) or np.transpose(array, axes).shape != shape:
        raise WeightsError(f"{name} in {file} has the shape {array.shape}, which does not fit {shape}.")
    return np.transpose(array, axes)
