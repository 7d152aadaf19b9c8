"""What every backbone on the shelf promises, its normalisation, its weights files and its fingerprint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from noria import models
from noria.errors import ConfigError, WeightsError
from noria.models import fingerprint

LIGHT = ["efficientnet_lite0", "MobileNetV2", "MobileNetV3Small", "ResNet50"]
SIDE = 64


def _build(name: str, *, weights: str = "none", image_size: int = SIDE) -> keras.Model:
    return models.find(name).build_backbone(name, image_size=image_size, weights=weights)


def _answer(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return np.asarray(model(images, training=False))  # `predict` would trace a graph first: seconds


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.float32)


@pytest.mark.parametrize("name", LIGHT)
def test_a_backbone_keeps_the_contract_and_survives_saving(name: str, images: np.ndarray, tmp_path: Path) -> None:
    model = _build(name)
    features = _answer(model, images)
    assert (model.name, model.inputs[0].name, model.inputs[0].dtype) == (name, "image", "float32")
    assert model.input_shape == (None, SIDE, SIDE, 3)
    assert features.dtype == np.float32 and features.ndim == 2 and features.shape[1] >= 500
    assert model.count_params() == models.card(name).parameters
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.Lambda)]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(_answer(again, images), features, atol=1e-6)
    assert fingerprint(again) == fingerprint(model)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("MobileNet", keras.applications.mobilenet),
        ("MobileNetV2", keras.applications.mobilenet_v2),
        ("ResNet50", keras.applications.resnet),
        ("ResNet50V2", keras.applications.resnet_v2),
        ("DenseNet121", keras.applications.densenet),
        ("VGG16", keras.applications.vgg16),
    ],
)
def test_normalisation_is_what_keras_prescribes(name: str, reference: object, images: np.ndarray) -> None:
    model = _build(name)
    normalised = _answer(keras.Model(model.input, model.get_layer("normalise").output), images)
    np.testing.assert_allclose(normalised, reference.preprocess_input(images.copy()), atol=1e-4)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["EfficientNetV2B0", "MobileNetV3Small"])
def test_networks_that_normalise_by_themselves_are_left_alone(name: str) -> None:
    scalings = [layer for layer in _build(name).layers if isinstance(layer, keras.layers.Rescaling)]
    assert len(scalings) == 1 and scalings[0].name != "normalise"


def test_efficientnet_divides_as_its_downloaded_weights_expect(images: np.ndarray) -> None:
    # With downloaded weights Keras divides by sqrt(deviation) once more, with a weights file it does not.
    model = _build("EfficientNetB0")
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    inside = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    inside.set_weights([mean, deviation**2, np.int32(0)])
    inside.finalize_state()
    normalised = _answer(keras.Model(model.input, inside.output), images)
    np.testing.assert_allclose(normalised, (images / 255 - mean) / deviation / np.sqrt(deviation), atol=1e-4)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5"])
def test_a_weights_file_of_the_bare_network_is_read(suffix: str, tmp_path: Path) -> None:
    bare = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(SIDE, SIDE, 3))
    file = tmp_path / f"mobilenet{suffix}"
    bare.save_weights(file) if suffix == ".weights.h5" else bare.save(file)
    model = _build("MobileNetV2", weights=str(file))
    for ours, theirs in zip(model.weights, bare.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_the_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "lite1.weights.h5"
    _build("efficientnet_lite1").save_weights(file)
    with pytest.raises(WeightsError, match="does not hold the weights of the backbone of efficientnet_lite0"):
        _build("efficientnet_lite0", weights=str(file))


def test_a_weights_file_with_values_that_are_no_numbers_is_refused(tmp_path: Path) -> None:
    model = _build("efficientnet_lite0")
    arrays = model.get_weights()
    arrays[0][0, 0, 0, 0] = np.nan
    model.set_weights(arrays)
    model.save_weights(tmp_path / "nan.weights.h5")
    with pytest.raises(WeightsError, match="1 arrays are missing or not finite"):
        _build("efficientnet_lite0", weights=str(tmp_path / "nan.weights.h5"))


def test_a_missing_a_damaged_and_a_foreign_weights_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'There is no weights file.*Expected "imagenet", "none" or'):
        _build("efficientnet_lite0", weights="imagnet")
    for name, kind, message in (
        ("bad.keras", WeightsError, "not a zip file"),
        ("bad.weights.h5", WeightsError, "does not hold"),
        ("x.pth", ConfigError, "no Keras weights"),
    ):
        (tmp_path / name).write_bytes(b"not weights")
        with pytest.raises(kind, match=message):
            _build("efficientnet_lite0", weights=str(tmp_path / name))


def test_too_small_images_are_refused() -> None:
    with pytest.raises(ConfigError, match="image_size is 64: InceptionV3 needs at least 75"):
        _build("InceptionV3")


def test_a_fingerprint_sees_weights_and_normalisation_and_not_freezing() -> None:
    model = _build("MobileNetV3Small")
    before = fingerprint(model)
    model.trainable = False
    assert fingerprint(model) == before
    other_side = _build("MobileNetV3Small", image_size=96)
    other_side.set_weights(model.get_weights())
    assert fingerprint(other_side) != before
    arrays = model.get_weights()
    arrays[-1][0] += 1e-3
    model.set_weights(arrays)
    assert fingerprint(model) != before


CHILD = """
import json, sys, time
from noria import models
from noria.errors import WeightsError
lite = models.find("efficientnet_lite0").build_backbone("efficientnet_lite0", image_size=64, weights="imagenet")
started = time.monotonic()
try:
    models.find("MobileNetV2").build_backbone("MobileNetV2", image_size=64, weights="imagenet")
except WeightsError as error:
    message = str(error)
print(json.dumps([models.fingerprint(lite), message, time.monotonic() - started]))
"""


def test_without_internet_the_message_gives_address_and_ways_out_and_fingerprints_hold(tmp_path: Path) -> None:
    _build("MobileNetV2")  # so that Keras' counters differ here from those of the child
    here = fingerprint(_build("efficientnet_lite0", weights="imagenet"))
    unreachable = {"https_proxy": "http://127.0.0.1:9", "KERAS_HOME": str(tmp_path), "no_proxy": ""}
    environment = {**os.environ, **unreachable, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, env=environment, timeout=120)
    there, message, seconds = json.loads(child.stdout)  # nothing but our line: Keras' own prints would break it
    assert there == here
    assert "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/" in message
    assert "--model efficientnet_lite0" in message and "--set model.weights=FILE" in message
    assert "_no_top.h5" in message
    assert seconds < 60
