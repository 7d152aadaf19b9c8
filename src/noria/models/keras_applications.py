"""The convolutional networks of keras.applications under their Keras names; ImageNet weights are downloaded by Keras.

Each family expects its own normalisation, and the wrong one trains and fails quietly: the table below holds the right
one, and it is put into the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from noria.errors import ConfigError, UnknownNameError
from noria.models import weights_file
from noria.models._card import ModelCard

if TYPE_CHECKING:
    import keras

# built_in: the network normalises by itself; unit: x / 127.5 - 1; torch: ImageNet's mean and deviation;
# caffe: BGR minus ImageNet's mean; efficientnet: built in but for a last step that Keras leaves out
Normalisation = Literal["built_in", "unit", "torch", "caffe", "efficientnet"]


@dataclass(frozen=True, slots=True)
class _Family:
    normalisation: Normalisation
    licence: str  # of the weights, as Keras' documentation names it
    paper: str
    smallest_image: int
    members: dict[str, tuple[int, int]]  # name -> (side of the images it was trained on, parameters)


_FAMILIES = (
    _Family(
        normalisation="unit",
        licence="Apache-2.0",
        paper="Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017",
        smallest_image=32,
        members={"MobileNet": (224, 3_228_864)},
    ),
    _Family(
        normalisation="unit",
        licence="Apache-2.0",
        paper="Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018",
        smallest_image=32,
        members={"MobileNetV2": (224, 2_257_984)},
    ),
    _Family(
        normalisation="built_in",
        licence="Apache-2.0",
        paper="Howard et al., Searching for MobileNetV3, 2019",
        smallest_image=32,
        members={"MobileNetV3Small": (224, 939_120), "MobileNetV3Large": (224, 2_996_352)},
    ),
    _Family(
        normalisation="efficientnet",
        licence="Apache-2.0",
        paper="Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019",
        smallest_image=32,
        members={
            "EfficientNetB0": (224, 4_049_571),
            "EfficientNetB1": (240, 6_575_239),
            "EfficientNetB2": (260, 7_768_569),
            "EfficientNetB3": (300, 10_783_535),
            "EfficientNetB4": (380, 17_673_823),
        },
    ),
    _Family(
        normalisation="built_in",
        licence="Apache-2.0",
        paper="Tan and Le, EfficientNetV2: Smaller Models and Faster Training, 2021",
        smallest_image=32,
        members={
            "EfficientNetV2B0": (224, 5_919_312),
            "EfficientNetV2B1": (240, 6_931_124),
            "EfficientNetV2B2": (260, 8_769_374),
            "EfficientNetV2B3": (300, 12_930_622),
            "EfficientNetV2S": (384, 20_331_360),
            "EfficientNetV2M": (480, 53_150_388),
        },
    ),
    _Family(
        normalisation="caffe",
        licence="MIT",
        paper="He et al., Deep Residual Learning for Image Recognition, 2015",
        smallest_image=32,
        members={"ResNet50": (224, 23_587_712), "ResNet101": (224, 42_658_176), "ResNet152": (224, 58_370_944)},
    ),
    _Family(
        normalisation="unit",
        licence="BSD-3-Clause",
        paper="He et al., Identity Mappings in Deep Residual Networks, 2016",
        smallest_image=32,
        members={"ResNet50V2": (224, 23_564_800), "ResNet101V2": (224, 42_626_560)},
    ),
    _Family(
        normalisation="built_in",
        licence="MIT",
        paper="Liu et al., A ConvNet for the 2020s, 2022",
        smallest_image=32,
        members={
            "ConvNeXtTiny": (224, 27_820_128),
            "ConvNeXtSmall": (224, 49_454_688),
            "ConvNeXtBase": (224, 87_566_464),
        },
    ),
    _Family(
        normalisation="torch",
        licence="BSD-3-Clause",
        paper="Huang et al., Densely Connected Convolutional Networks, 2016",
        smallest_image=32,
        members={"DenseNet121": (224, 7_037_504), "DenseNet169": (224, 12_642_880), "DenseNet201": (224, 18_321_984)},
    ),
    _Family(
        normalisation="unit",
        licence="MIT",
        paper="Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, 2016",
        smallest_image=71,
        members={"Xception": (299, 20_861_480)},
    ),
    _Family(
        normalisation="unit",
        licence="Apache-2.0",
        paper="Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2015",
        smallest_image=75,
        members={"InceptionV3": (299, 21_802_784)},
    ),
    _Family(
        normalisation="caffe",
        licence="CC-BY-4.0",
        paper="Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014",
        smallest_image=32,
        members={"VGG16": (224, 14_714_688), "VGG19": (224, 20_024_384)},
    ),
)

_FAMILY_OF = {name: family for family in _FAMILIES for name in family.members}

NAMES: tuple[str, ...] = tuple(_FAMILY_OF)


def card(name: str) -> ModelCard:
    """Return what to know about one network before choosing it."""
    family = _family(name)
    image_size, parameters = family.members[name]
    return ModelCard(
        name=name,
        input="image",
        settings={"height": image_size, "width": image_size},
        strategy="frozen",
        parameters=parameters,
        licence=family.licence,
        weights_source="a download by Keras on first use, trained on ImageNet-1k",
        note="Needs internet once, or a weights file.",
        url=f"https://keras.io/api/applications/#{name.lower()}",
        paper=family.paper,
    )


def build_backbone(name: str, *, image_size: int, weights: str) -> keras.Model:
    """Return the network up to its pooled features: (batch, image_size, image_size, 3) -> (batch, D) float32.

    A weights file may be the one that Keras would download ("notop"), or one that `save_weights` wrote.

    Raises:
        ConfigError: `image_size` is smaller than the network can take, or the weights file is missing.
        WeightsError: the weights cannot be downloaded, or the file is of another model.
    """
    from noria.models import _keras_network as network
    from noria.models._local_weights import load_local_weights

    family = _family(name)
    if image_size < family.smallest_image:
        raise ConfigError(f"image_size is {image_size}: {name} needs at least {family.smallest_image} pixels a side.")
    if weights == "imagenet":
        return network.with_imagenet_weights(name, family.normalisation, image_size=image_size)
    model = network.without_weights(name, family.normalisation, image_size=image_size)
    if file := weights_file(name, weights):
        load_local_weights(model, file)
    return model


def write_engine(name: str, *, image_size: int, weights: str) -> bytes | None:
    """Return None: these networks are converted from their Keras model."""
    return None


def _family(name: str) -> _Family:
    if name not in _FAMILY_OF:
        raise UnknownNameError("model", name, NAMES)
    return _FAMILY_OF[name]
