"""Several devices make of a network what one makes of it; a shorter precision leaves a float32 model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import noria
from listening import Notes
from noria.config import load_config
from noria.contracts import Silent
from noria.errors import ConfigError
from noria.training.devices import devices_for, precision_for
from noria.training.replicas import parts
from noria.training.settings import TrainingSettings

CHILD = """
import json, sys
from pathlib import Path
from noria.config import load_config
from noria.contracts import Silent
from noria.quiet import load_tensorflow
load_tensorflow()
import tensorflow as tf
photos, out, count, given = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
if count > 1:
    parts = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)

class Notes(Silent):
    def note(self, text):
        print(text)

import noria
noria.train(photos, out, config=load_config(data=Path(photos), **given), progress=Notes())
"""
# Batches that do not go up in equal parts, a short last one, normalisation, momentum, clipping, averages, weights.
SETTINGS: dict[str, Any] = {
    "model__name": "convnet",
    "model__options__dropout": 0.0,
    "input__height": 16,
    "input__width": 16,
    "data__wrong_labels": False,
    "augment__views": 0,
    "training__epochs": 4,
    "training__patience": 4,
    "training__batch_size": 7,
    "training__optimizer": "sgd",
    "training__learning_rate": 0.001,
    "training__weight_decay": 1e-3,
    "training__class_weights": "balanced",
}


def history(run: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = json.loads((run / "report.json").read_bytes())["history"]
    return found


def weights(run: Path) -> list[np.ndarray[Any, Any]]:
    found: list[np.ndarray[Any, Any]] = keras.saving.load_model(run / "model.keras", compile=False).get_weights()
    return found


def test_several_devices_make_the_model_that_one_makes(photos: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        arguments = [str(photos), str(tmp_path / str(number)), str(number), json.dumps(SETTINGS)]
        done = subprocess.run([sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        assert (f"in {number} parts" in done.stdout.splitlines()[0]) == (number > 1)
    one, several = history(tmp_path / "1"), history(tmp_path / "2")
    assert one["loss"][-1] != one["loss"][0]
    for name, curve in one.items():
        np.testing.assert_allclose(several[name], curve, rtol=1e-3, atol=1e-5, err_msg=name)
    for mine, theirs in zip(weights(tmp_path / "1"), weights(tmp_path / "2"), strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def losses_in_float32(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    run = noria.train(photos, tmp_path_factory.mktemp("runs") / "whole", config=load_config(**SETTINGS))
    return history(run.path)["loss"]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_shorter_precision_learns_and_leaves_a_float32_model(
    precision: str, photos: Path, tmp_path: Path, losses_in_float32: list[float]
) -> None:
    config = load_config(**{**SETTINGS, "training__precision": precision})
    progress = Notes()
    run = noria.train(photos, tmp_path / "run", config=config, progress=progress)
    assert f"in {precision}" in progress.notes[0]
    model = keras.saving.load_model(run.path / "model.keras", compile=False)
    assert {variable.dtype for variable in model.variables} == {"float32"}
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    losses = history(run.path)["loss"]
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(losses, losses_in_float32, rtol=0.1)
    assert not np.allclose(losses, losses_in_float32, rtol=1e-6), "the arithmetic was another one"


@pytest.mark.parametrize(
    ("asked", "capability", "tpu", "expected"),
    [
        ("auto", (0, 0), False, "float32"),
        ("auto", (6, 1), False, "float32"),
        ("auto", (7, 5), False, "float16"),
        ("auto", (9, 0), False, "bfloat16"),
        ("auto", (0, 0), True, "bfloat16"),
        ("float16", (9, 0), False, "float16"),
        ("float32", (0, 0), True, "float32"),
    ],
)
def test_a_shorter_precision_is_taken_where_the_device_gains(
    asked: Any, capability: tuple[int, int], tpu: bool, expected: str
) -> None:
    assert precision_for(asked, capability, tpu=tpu) == expected


def test_a_strategy_without_steps_refuses_a_precision(photos: Path) -> None:
    assert devices_for(TrainingSettings(strategy="frozen"), Silent()).precision == "float32"
    with pytest.raises(ConfigError, match=r"bfloat16.*finetune, scratch.*frozen"):
        noria.train(photos, config=load_config(training__precision="bfloat16"))


@pytest.mark.parametrize("count", [1, 3, 4, 5, 7, 64])
def test_a_batch_is_cut_into_parts_that_together_are_it(count: int) -> None:
    cut = parts(count, 4, range(4))
    of_second = parts(count, 4, range(2, 4))
    assert [list(places) for places, _ in of_second] == [list(places) for places, _ in cut[2:]]
    assert [place for places, counts in cut if counts for place in places] == list(range(count))
    assert max(len(places) for places, _ in cut) - min(len(places) for places, _ in cut) <= 1
    assert all(len(places) for places, _ in cut), "no replica is without an example"
