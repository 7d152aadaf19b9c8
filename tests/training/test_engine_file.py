"""The converted backbone lies in the cache whole, or is made again."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from noria.inference.runtimes import litert
from noria.training.engine_file import engine_file


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((16, 16, 3), name="image")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    return keras.Model(inputs, features)


def test_the_engine_answers_like_the_network(network: keras.Model, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    answer = litert.open_session(engine_file(network, "f1", tmp_path / "engines")).run([picture])
    np.testing.assert_allclose(answer, network.predict_on_batch(picture[np.newaxis].astype(np.float32)), rtol=1e-4)


def test_an_intact_engine_is_not_made_again(network: keras.Model, tmp_path: Path) -> None:
    path = engine_file(network, "f1", tmp_path)
    before = path.stat().st_ino
    assert engine_file(network, "f1", tmp_path) == path
    assert path.stat().st_ino == before


@pytest.mark.parametrize("harm", ["flipped byte", "cut off", "no seal", "empty seal", "broken seal"])
def test_a_damaged_engine_is_made_again(network: keras.Model, tmp_path: Path, harm: str) -> None:
    path = engine_file(network, "f1", tmp_path)
    good, seal = path.read_bytes(), tmp_path / "f1.json"
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
    engine_file(network, "f1", tmp_path)
    picture = np.full((16, 16, 3), 100, np.uint8)
    expected = network.predict_on_batch(picture[np.newaxis].astype(np.float32))
    np.testing.assert_allclose(litert.open_session(path).run([picture]), expected, rtol=1e-4)
