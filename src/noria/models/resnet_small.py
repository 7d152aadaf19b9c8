"""A small residual network for pictures of up to 64 pixels, as fast as few steps on a plain processor ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from noria.errors import ConfigError, UnknownNameError
from noria.models._card import ModelCard

if TYPE_CHECKING:
    import keras

NAMES = ("resnet_small",)

SMALLEST_IMAGE = 16
LAST_SIDE = 4  # pixels: larger pictures get one more block that halves them
PATCH = 2  # pixels a side, which the stem looks at
STEM = 2 * 3 * PATCH**2  # filters: each way in which patches vary, and its opposite
FLAT = 5e-3  # variance, of pixels from -1 to 1, below which a patch counts as flat: int8 would magnify its rounding
SEEN = 2_000_000  # pixels of training pictures that tell how patches vary
SCALE = 1 / 9  # of the logits, which start too sure otherwise
FASTER = 64.0  # how much the offsets of normalisation learn faster than the rest


class Options(BaseModel):
    """The `model.options`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(64, ge=8, le=512, description="filters of the first block; the others have four times as many")


def card(name: str) -> ModelCard:
    """Return what to know before choosing."""
    if name not in NAMES:
        raise UnknownNameError("model", name, NAMES)
    return ModelCard(
        name=name,
        input="image",
        settings={"height": 32, "width": 32},
        strategy="scratch",
        parameters=None,
        licence="none needed",
        weights_source="the training pictures alone",
        note="Pictures of up to 64 pixels, thousands of each label. More exact than convnet, and slower.",
        url="https://arxiv.org/abs/2404.00498",
        paper="He et al., Deep Residual Learning, 2015; its width, pooling and training after Jordan, 94 % on CIFAR-10 "
        "in 3.29 seconds on a single GPU, 2024",
        training={
            "optimizer": "sgd",
            "momentum": 0.85,
            "batch_size": 256,
            "learning_rate": 0.35,
            "weight_decay": 0.01,
            "schedule": "one_cycle",
            "warmup": 0.2,
            "final_rate": 0.01,
            "label_smoothing": 0.2,
            "epochs": 16,
            "clip_norm": 0.0,
        },
    )


def build_network(name: str, *, image_size: int, num_classes: int, options: Options | None = None) -> keras.Model:
    """Return (batch, side, side, 3) RGB, 0 to 255 -> (batch, num_classes) float32 probabilities.

    Raises:
        ConfigError: `image_size` is smaller than 16.
    """
    import keras
    from keras import layers

    card(name)
    if image_size < SMALLEST_IMAGE:
        raise ConfigError(f"image_size is {image_size}: {name} needs at least {SMALLEST_IMAGE} pixels a side.")
    width = (options or Options()).width
    image = keras.Input((image_size, image_size, 3), name="image", dtype="float32")
    seen = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(image)
    stem = layers.Conv2D(STEM, PATCH, use_bias=False, kernel_initializer="he_normal", trainable=False, name="stem")
    seen = layers.Activation("gelu")(stem(seen))
    side, number = image_size - 1, 0
    while number < 3 or side > LAST_SIDE:
        seen = _block(seen, width if number == 0 else 4 * width)
        side, number = side // 2, number + 1
    pooled = layers.Rescaling(SCALE, name="calm")(layers.GlobalMaxPooling2D()(seen))
    scores = layers.Dense(num_classes, activation="softmax", dtype="float32", name="scores")(pooled)
    network = keras.Model(image, scores, name=name)
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D) and layer.trainable:
            layer.set_weights([_passing_on(layer.get_weights()[0])])
    return network


def begin(network: keras.Model, pictures: NDArray[np.uint8]) -> None:
    """Let the stem see what varies: patches of the training pictures, whitened. It stays so.

    Args:
        pictures: (n, side, side, 3), as many as `seen_first` says.
    """
    scaled = pictures.astype(np.float32) / 127.5 - 1
    patches = np.lib.stride_tricks.sliding_window_view(scaled, (PATCH, PATCH), axis=(1, 2))
    flat = np.moveaxis(patches, 3, -1).reshape(-1, 3 * PATCH**2)  # rows, columns, colours, as a kernel has them
    variances, ways = np.linalg.eigh(flat.T.astype(np.float64) @ flat / len(flat))
    filters = ways / np.sqrt(variances + FLAT)
    kernel = np.concatenate([filters, -filters], axis=1).reshape(PATCH, PATCH, 3, STEM)
    network.get_layer("stem").set_weights([kernel.astype(np.float32)])


def seen_first(image_size: int) -> int:
    """Return how many pictures `begin` needs to see."""
    return int(np.ceil(SEEN / image_size**2))


def paces(network: keras.Model) -> Sequence[tuple[Sequence[keras.Variable], float]]:
    """Return the weights in groups, with the share of the learning rate at which each learns."""
    offsets = [one for one in network.trainable_variables if one.name == "beta"]
    others = [one for one in network.trainable_variables if one.name != "beta"]
    return [(others, 1.0), (offsets, FASTER)]


def _block(seen: Any, width: int) -> Any:
    """Halve the picture right after the first convolution, then add what a second one finds."""
    from keras import layers

    halved = layers.MaxPooling2D()(_convolved(seen, width))
    first = layers.Activation("gelu")(_normalised(halved))
    second = _normalised(_convolved(first, width))
    return layers.Activation("gelu")(layers.Add()([first, second]))


def _convolved(seen: Any, width: int) -> Any:
    from keras import layers

    return layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(seen)


def _normalised(seen: Any) -> Any:
    from keras import layers

    return layers.BatchNormalization(momentum=0.9, scale=False)(seen)


def _passing_on(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the kernel with as many first filters as there are channels passing them on as they are, to begin with.

    Source: Zagoruyko and Komodakis, "DiracNets", 2017.
    """
    height, width, channels, filters = kernel.shape
    same = min(channels, filters)
    kernel[..., :same] = 0
    kernel[height // 2, width // 2, np.arange(same), np.arange(same)] = 1
    return kernel
