"""A name of keras.applications and a normalisation -> a backbone, with downloaded weights or with none."""

from __future__ import annotations

import contextlib
import http.client
import io
import math
import re
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
from keras import layers

from noria.errors import WeightsError

STALLED_AFTER = 10.0  # seconds in which a server must answer or send on; a slow download may take longer in all

# ImageNet's statistics as the networks were trained with them: RGB in units of 1, and BGR in units of 255.
MEAN_RGB = (0.485, 0.456, 0.406)
DEVIATION_RGB = (0.229, 0.224, 0.225)
MEAN_BGR = (103.939, 116.779, 123.68)


def without_weights(name: str, normalisation: str, *, image_size: int) -> keras.Model:
    """Return the backbone, randomly initialised."""
    return _build(name, normalisation, image_size=image_size, weights=None)


def with_imagenet_weights(name: str, normalisation: str, *, image_size: int) -> keras.Model:
    """Return the backbone with the weights that Keras holds in its cache or downloads.

    Raises:
        WeightsError: they cannot be downloaded; the message gives the address and what to do instead.
    """
    # With these weights Keras adds the step that it leaves out otherwise.
    built_in = "built_in" if normalisation == "efficientnet" else normalisation
    said = io.StringIO()
    try:
        with _stalled_connections_fail(), contextlib.redirect_stdout(said):
            return _build(name, built_in, image_size=image_size, weights="imagenet")
    except Exception as error:
        # Keras raises a bare Exception where a download fails, and ValueError where its checksum is wrong.
        if type(error) is not Exception and not isinstance(error, OSError | ValueError | http.client.HTTPException):
            raise
        raise _no_weights(name, f"{error} {said.getvalue()}", error) from error


def _build(name: str, normalisation: str, *, image_size: int, weights: str | None) -> keras.Model:
    shape = (image_size, image_size, 3)
    image = keras.Input(shape, name="image", dtype="float32")
    with warnings.catch_warnings():
        # MobileNet warns that it takes the weights of 224 pixels for a size that has none of its own: as it should.
        warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")
        application = getattr(keras.applications, name)(
            include_top=False,
            weights=weights,
            input_tensor=_normalise(image, normalisation),
            input_shape=shape,
            pooling="avg",
        )
    # The application cannot be given our name: it would look for its weights under it.
    return keras.Model(image, application.outputs[0], name=name)


def _normalise(image: Any, normalisation: str) -> Any:
    """Return `image` (RGB, 0 to 255) as the network wants it.

    No layer here has weights, so that files of weights fit with and without it.
    """
    if normalisation == "unit":
        return layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(image)
    if normalisation == "torch":
        scale = [1 / (255 * deviation) for deviation in DEVIATION_RGB]
        offset = [-mean / deviation for mean, deviation in zip(MEAN_RGB, DEVIATION_RGB, strict=True)]
        return layers.Rescaling(scale, offset=offset, name="normalise")(image)
    if normalisation == "caffe":
        # A slice and not keras.ops.flip: as int8, LiteRT answers wrongly after its reversing operation.
        return layers.Rescaling(1.0, offset=[-mean for mean in MEAN_BGR], name="normalise")(image[..., ::-1])
    if normalisation == "efficientnet":
        return _efficientnet_step(image)
    return image


def _efficientnet_step(image: Any) -> Any:
    """Make up for a division by sqrt(deviation) that EfficientNet has inside only when Keras downloads its weights.

    Inside, the network computes (x / 255 - mean) / deviation. Given x / s + 255 mean (1 - 1 / s) in place of x, that is
    (x / 255 - mean) / deviation / s.
    """
    roots = [math.sqrt(deviation) for deviation in DEVIATION_RGB]
    scale = [1 / root for root in roots]
    offset = [255 * mean * (1 - 1 / root) for mean, root in zip(MEAN_RGB, roots, strict=True)]
    return layers.Rescaling(scale, offset=offset, name="normalise")(image)


@contextlib.contextmanager
def _stalled_connections_fail() -> Iterator[None]:
    """Keras opens its connections without a time limit; a silent network would hang for minutes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED_AFTER)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _no_weights(name: str, said: str, error: Exception) -> WeightsError:
    address = re.search(r"https?://\S+", said)
    url = address.group().rstrip(":") if address else "Keras' server"
    file = Path(url).name if address else f"{name}'s 'notop' weights"
    reason = str(error).rpartition(" -- ")[2] or type(error).__name__
    return WeightsError(
        f"The ImageNet weights of {name} could not be downloaded from {url}: {reason}. "
        "Either take a model whose weights come with the installation (--model efficientnet_lite0), "
        f"or download {file} on another machine and give its path (--set model.weights=FILE)."
    )
