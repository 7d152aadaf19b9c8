"""The networks for small pictures: what they begin with, and what their options change."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from noria.errors import ConfigError
from noria.models import convnet, resnet_small

SIDE = 32


@pytest.fixture(scope="module")
def pictures(photos: Path) -> NDArray[np.uint8]:
    opened = [Image.open(path).convert("RGB").resize((SIDE, SIDE)) for path in sorted(photos.glob("*/[0-9]*.jpg"))]
    return np.stack([np.asarray(one) for one in opened])


def kinds(network: keras.Model, kind: type[keras.layers.Layer]) -> list[keras.layers.Layer]:
    return [layer for layer in network.layers if isinstance(layer, kind)]


def test_convnet_is_the_tutorials_network_by_switches() -> None:
    plain = convnet.build_network(
        "convnet",
        image_size=SIDE,
        num_classes=4,
        options=convnet.Options(batch_norm=False, dropout=0.0, convolutions=2),
    )
    assert [layer.filters for layer in kinds(plain, keras.layers.Conv2D)] == [32, 32, 64, 64, 128, 128]
    assert not kinds(plain, keras.layers.BatchNormalization)
    assert [layer.rate for layer in kinds(plain, keras.layers.Dropout)] == [0.0]
    whole = convnet.build_network("convnet", image_size=SIDE, num_classes=4)
    assert len(kinds(whole, keras.layers.BatchNormalization)) == 4, "the hidden layer is normalised, too"
    assert [layer.rate for layer in kinds(whole, keras.layers.Dropout)] == [0.5]
    assert whole(np.zeros((2, SIDE, SIDE, 3))).shape == (2, 4)


def test_the_stem_of_resnet_small_whitens_patches_of_the_training_pictures(pictures: NDArray[np.uint8]) -> None:
    network = resnet_small.build_network("resnet_small", image_size=SIDE, num_classes=3)
    resnet_small.begin(network, pictures)
    stem = keras.Model(network.input, network.get_layer("stem").output)
    seen = np.asarray(stem(pictures.astype(np.float32))).reshape(-1, resnet_small.STEM).astype(np.float64)
    half = resnet_small.STEM // 2
    np.testing.assert_allclose(seen[:, half:], -seen[:, :half], atol=1e-4)
    together = seen[:, :half].T @ seen[:, :half] / len(seen)
    variances = np.diag(together)
    assert np.abs(together - np.diag(variances)).max() < 1e-3, "ways of varying that have nothing to do with each other"
    assert variances.max() == pytest.approx(1.0, abs=0.05)
    assert variances.max() < 1
    assert variances.min() > 0.001


def test_blocks_of_resnet_small_begin_by_passing_on_what_they_see(pictures: NDArray[np.uint8]) -> None:
    network = resnet_small.build_network("resnet_small", image_size=SIDE, num_classes=3)
    first = next(layer for layer in kinds(network, keras.layers.Conv2D) if layer.name != "stem")
    before, after = (np.asarray(keras.Model(network.input, at)(pictures[:4])) for at in (first.input, first.output))
    np.testing.assert_allclose(after[..., : resnet_small.STEM], before, atol=1e-5)
    assert np.std(after[..., resnet_small.STEM :]) > 0.01


def test_every_weight_of_resnet_small_learns_at_one_pace_and_its_stem_at_none() -> None:
    network = resnet_small.build_network("resnet_small", image_size=SIDE, num_classes=3)
    groups = resnet_small.paces(network)
    assert [share for _, share in groups] == [1.0, 64.0]
    assert sorted(one.path for group, _ in groups for one in group) == sorted(
        one.path for one in network.trainable_variables
    )
    assert {one.path.rpartition("/")[2] for one in groups[1][0]} == {"beta"}
    assert not any(one.path.startswith("stem") for one in network.trainable_variables)


def test_a_picture_that_is_too_small_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 16"):
        resnet_small.build_network("resnet_small", image_size=12, num_classes=3)
