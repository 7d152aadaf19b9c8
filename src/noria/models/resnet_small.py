"""A small residual network for pictures of up to 64 pixels, as fast as few steps on a plain processor ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from noria.errors import ConfigError, UnknownNameError
from noria.models._card import ModelCard

if TYPE_CHECKING:
    import keras

NAMES = ("resnet_small",)

SMALLEST_IMAGE = 16
LAST_SIDE = 4  # pixels: larger pictures get one more block that halves them
STEM = 24
SCALE = 1 / 9  # of the logits, which start too sure otherwise


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
            "learning_rate": 0.2,
            "weight_decay": 1e-4,
            "schedule": "one_cycle",
            "warmup": 0.2,
            "final_rate": 0.01,
            "label_smoothing": 0.1,
            "epochs": 15,
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
    seen = layers.Activation("gelu")(_normalised(_convolved(seen, STEM, kernel=2)))
    side, number = image_size - 1, 0
    while number < 3 or side > LAST_SIDE:
        seen = _block(seen, width if number == 0 else 4 * width)
        side, number = side // 2, number + 1
    pooled = layers.Rescaling(SCALE, name="calm")(layers.GlobalMaxPooling2D()(seen))
    scores = layers.Dense(num_classes, activation="softmax", dtype="float32", name="scores")(pooled)
    return keras.Model(image, scores, name=name)


def _block(seen: Any, width: int) -> Any:
    """Halve the picture right after the first convolution, then add what a second one finds."""
    from keras import layers

    halved = layers.MaxPooling2D()(_convolved(seen, width))
    first = layers.Activation("gelu")(_normalised(halved))
    second = _normalised(_convolved(first, width))
    return layers.Activation("gelu")(layers.Add()([first, second]))


def _convolved(seen: Any, width: int, kernel: int = 3) -> Any:
    from keras import layers

    padding = "same" if kernel % 2 else "valid"
    return layers.Conv2D(width, kernel, padding=padding, use_bias=False, kernel_initializer="he_normal")(seen)


def _normalised(seen: Any) -> Any:
    from keras import layers

    return layers.BatchNormalization(momentum=0.9)(seen)
