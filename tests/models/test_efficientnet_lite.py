"""The EfficientNet-Lite family with its real weights, on real photos."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from noria.errors import ConfigError, WeightsError
from noria.models import _efficientnet_lite_network, efficientnet_lite
from noria.models._legacy_torch import read_state_dict

DAISY = 985  # its place among the 1,000 classes of ImageNet
PHOTOS = 60


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    return efficientnet_lite.build_classifier("efficientnet_lite0")


@pytest.fixture(scope="module")
def backbone() -> keras.Model:
    return efficientnet_lite.build_backbone("efficientnet_lite0", image_size=224, weights="imagenet")


@pytest.fixture(scope="module")
def daisies(shared_data: Path) -> np.ndarray:
    photos = sorted((shared_data / "flowers" / "daisy").iterdir())[:PHOTOS]
    resized = [Image.open(photo).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC) for photo in photos]
    return np.stack([np.asarray(image, dtype=np.float32) for image in resized])


def test_daisies_are_recognised(classifier: keras.Model, daisies: np.ndarray) -> None:
    # Measured: 55 of 60 and a mean probability of 0.744. With symmetric padding 53 and 0.713, batch-norm epsilon 1e-5
    # 55 and 0.723, ImageNet mean and deviation 52 and 0.653, x / 255 50 and 0.628, BGR 45 and 0.605, ReLU 40 and 0.445.
    scores = classifier.predict(daisies, verbose=0)
    assert (scores.argmax(axis=1) == DAISY).sum() >= 54
    assert scores[:, DAISY].mean() > 0.735


@pytest.mark.parametrize(
    ("name", "trainable"),
    [("efficientnet_lite0", 4_652_008), ("efficientnet_lite1", 5_416_680), ("efficientnet_lite2", 6_092_072)],
)
def test_every_published_array_is_used_once(name: str, trainable: int) -> None:
    model = efficientnet_lite.build_classifier(name)
    variant = efficientnet_lite._VARIANTS[name]
    arrays = read_state_dict(efficientnet_lite._imagenet_file(variant), sha256=variant.sha256)
    published = [array for key, array in arrays.items() if not key.endswith("num_batches_tracked")]
    assert sum(weight.shape.num_elements() for weight in model.trainable_weights) == trainable
    assert len(published) == len(model.weights)
    # Transposing keeps the sum of the values: as sets, both sides hold the same arrays.
    ours = sorted((weight.numpy().size, weight.numpy().astype(np.float64).sum()) for weight in model.weights)
    theirs = sorted((array.size, array.astype(np.float64).sum()) for array in published)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-7)
    backbone = efficientnet_lite.build_backbone(name, image_size=64, weights="none")
    assert backbone.count_params() == efficientnet_lite.card(name).parameters


def test_the_arrays_of_another_variant_are_refused() -> None:
    lite1 = efficientnet_lite._VARIANTS["efficientnet_lite1"]
    model = efficientnet_lite.build_backbone("efficientnet_lite0", image_size=64, weights="none")
    with pytest.raises(WeightsError, match=r"does not fit|no place for"):
        _efficientnet_lite_network.assign(model, efficientnet_lite._imagenet_file(lite1), sha256=lite1.sha256)


def test_the_backbone_gives_what_the_classifier_classifies(
    classifier: keras.Model, backbone: keras.Model, daisies: np.ndarray
) -> None:
    weight, bias = (array.numpy() for array in classifier.layers[-1].weights)
    logits = np.asarray(backbone(daisies[:4], training=False)) @ weight + bias
    np.testing.assert_array_equal(logits.argmax(1), np.asarray(classifier(daisies[:4], training=False)).argmax(1))


def test_litert_answers_like_keras_with_builtin_operations(backbone: keras.Model, daisies: np.ndarray) -> None:
    function = tf.function(lambda image: backbone(image, training=False), autograph=False)
    traced = function.get_concrete_function(tf.TensorSpec((1, 224, 224, 3), tf.float32, name="image"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = Interpreter(model_content=converter.convert(), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], daisies[:1])
    interpreter.invoke()
    answer = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(answer, backbone(daisies[:1], training=False), atol=1e-3)


def test_the_backbone_exports_to_a_savedmodel(tmp_path: Path) -> None:
    model = efficientnet_lite.build_backbone("efficientnet_lite0", image_size=64, weights="imagenet")
    model.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    image = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(saved.serve(image), model(image, training=False), atol=1e-4)


def test_too_small_images_are_refused() -> None:
    with pytest.raises(ConfigError, match="image_size is 16: efficientnet_lite0 needs at least 32"):
        efficientnet_lite.build_backbone("efficientnet_lite0", image_size=16, weights="none")
