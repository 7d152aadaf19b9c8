"""The convolutional network of the tutorials: 3×3 filters, 32, 64, then 128 of them, halving the picture after each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from noria.errors import UnknownNameError
from noria.models._card import ModelCard

if TYPE_CHECKING:
    import keras

NAMES = ("convnet",)

FILTERS = (32, 64, 128)
LAST_SIDE = 8  # pixels: larger pictures are halved until no side is longer


class Options(BaseModel):
    """The `model.options`: what the tutorials add, one after the other, against learning by heart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_norm: bool = Field(True, description="normalise after each convolution and the hidden layer")
    dropout: float = Field(0.5, ge=0, lt=1, description="share of the hidden layer's outputs that is left out")
    convolutions: int = Field(1, ge=1, le=4, description="before each halving")


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
        note="Small pictures, some thousand of each label. With fewer, a frozen network that knows photos is better.",
        url="https://www.tensorflow.org/tutorials/images/cnn",
        paper="LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, 1998",
    )


def build_network(name: str, *, image_size: int, num_classes: int, options: Options | None = None) -> keras.Model:
    """Return (batch, side, side, 3) RGB, 0 to 255 -> (batch, num_classes) float32 probabilities."""
    import keras
    from keras import layers

    card(name)
    chosen = options or Options()
    image = keras.Input((image_size, image_size, 3), name="image", dtype="float32")
    seen = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(image)
    side, number = image_size, 0
    while number < len(FILTERS) or side > LAST_SIDE:
        for _ in range(chosen.convolutions):
            width = FILTERS[min(number, len(FILTERS) - 1)]
            seen = _active(layers.Conv2D(width, 3, padding="same", use_bias=not chosen.batch_norm)(seen), chosen)
        if side > 1:
            seen, side = layers.MaxPooling2D()(seen), side // 2
        number += 1
    hidden = layers.Dense(128, use_bias=not chosen.batch_norm, name="hidden")(layers.Flatten()(seen))
    hidden = layers.Dropout(chosen.dropout)(_active(hidden, chosen))
    scores = layers.Dense(num_classes, activation="softmax", dtype="float32", name="scores")(hidden)
    return keras.Model(image, scores, name=name)


def _active(seen: Any, chosen: Options) -> Any:
    """Normalise, where that is asked for, and rectify. A bias before a normalisation would be taken out by it."""
    from keras import layers

    # Not Keras' momentum of 0.99, which lags behind where an epoch has few steps.
    normalised = layers.BatchNormalization(momentum=0.9)(seen) if chosen.batch_norm else seen
    return layers.ReLU()(normalised)
