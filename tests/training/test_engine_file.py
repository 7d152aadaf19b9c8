"""The converted backbone lies in the cache whole, or is made again."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from noria import models
from noria.inference.runtimes import litert
from noria.training.engine_file import converted_engine, written_engine


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((16, 16, 3), name="image")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    return keras.Model(inputs, features)


def test_the_engine_answers_like_the_network(network: keras.Model, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    answer = litert.open_session(converted_engine(network, tmp_path / "engines").path).run([picture])
    np.testing.assert_allclose(answer, network.predict_on_batch(picture[np.newaxis].astype(np.float32)), rtol=1e-4)


def test_an_intact_engine_is_not_made_again(network: keras.Model, tmp_path: Path) -> None:
    path = converted_engine(network, tmp_path).path
    before = path.stat().st_ino
    assert converted_engine(network, tmp_path).path == path
    assert path.stat().st_ino == before


@pytest.mark.parametrize("harm", ["flipped byte", "cut off", "no seal", "empty seal", "broken seal"])
def test_a_damaged_engine_is_made_again(network: keras.Model, tmp_path: Path, harm: str) -> None:
    path = converted_engine(network, tmp_path).path
    good, seal = path.read_bytes(), path.with_suffix(".json")
    match harm:
        case "flipped byte":
            path.write_bytes(good[:200] + bytes([good[200] ^ 255]) + good[201:])
        case "cut off":
            path.write_bytes(good[: len(good) // 2])
        case "no seal":
            seal.unlink()
        case "empty seal":
            seal.write_bytes(b"")
        case "broken seal":
            seal.write_text("[1, 2]")
    converted_engine(network, tmp_path)
    picture = np.full((16, 16, 3), 100, np.uint8)
    expected = network.predict_on_batch(picture[np.newaxis].astype(np.float32))
    np.testing.assert_allclose(litert.open_session(path).run([picture]), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_the_engine_written_without_keras_computes_what_the_keras_network_does(name: str, tmp_path: Path) -> None:
    side = 96
    engine = written_engine(name, tmp_path, image_size=side, weights="imagenet")
    assert engine is not None
    network = models.find(name).build_backbone(name, image_size=side, weights="imagenet")
    pictures = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), np.uint8)
    pictures[1] = 0
    pictures[2] = 255
    expected = network.predict_on_batch(pictures.astype(np.float32))
    np.testing.assert_allclose(litert.open_session(engine.path).run(list(pictures)), expected, atol=2e-4)


def test_a_written_engine_that_was_damaged_is_written_again(tmp_path: Path) -> None:
    engine = written_engine("efficientnet_lite0", tmp_path, image_size=64, weights="imagenet")
    assert engine is not None
    good = engine.path.read_bytes()
    engine.path.write_bytes(good[:-100])
    assert written_engine("efficientnet_lite0", tmp_path, image_size=64, weights="imagenet") == engine
    assert engine.path.read_bytes() == good


def test_weights_of_ones_own_are_converted_not_written(tmp_path: Path) -> None:
    assert written_engine("efficientnet_lite0", tmp_path, image_size=64, weights="none") is None
    assert written_engine("MobileNetV2", tmp_path, image_size=64, weights="imagenet") is None


def test_openvino_reads_the_written_engine(tmp_path: Path) -> None:
    openvino = pytest.importorskip("noria.inference.runtimes.openvino")
    pytest.importorskip("openvino")
    engine = written_engine("efficientnet_lite0", tmp_path, image_size=64, weights="imagenet")
    assert engine is not None
    pictures = list(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))
    expected = litert.open_session(engine.path).run(pictures)
    np.testing.assert_allclose(openvino.open_session(engine.path).run(pictures), expected, atol=1e-4)
