"""Batch size auto: as many as fit, found by real steps that leave no trace, and never by running out of memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import noria
from listening import Notes
from noria.artifacts.dataset import Dataset
from noria.config import load_config, resolved
from noria.inputs import image
from noria.training import batch_size, memory
from noria.training.batch_size import most, with_batch_size
from noria.training.feed import Examples, Feed, Training
from noria.training.job import Job
from noria.training.network import Group
from noria.training.settings import ModelSettings, TrainingSettings

COUNT = 2_000


@keras.saving.register_keras_serializable()
class Greedy(keras.layers.Layer):
    """Asks for four terabytes as soon as there are 64 examples."""

    def call(self, x: Any) -> Any:
        wanted = tf.where(tf.shape(x)[0] >= 64, tf.constant(2**40, tf.int64), tf.constant(1, tf.int64))
        return x + tf.reduce_sum(tf.random.uniform(tf.reshape(wanted, [1]))) * 0.0


def job(folder: Path | None = None, size: Any = "auto") -> Job:
    return Job(
        dataset=Dataset("", Path(), "image_classification", (), ()),
        model=ModelSettings(name="convnet"),
        training=TrainingSettings(batch_size=size),
        seed=0,
        open_reader=lambda files: lambda data: np.zeros(1),
        decoder="",
        input=image.Settings(),
        vary=lambda array, _key: array,
        vary_spec="",
        views=0,
        unfinished=folder,
    )


def feed(count: int = COUNT) -> Feed:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(count, 4)).astype(np.float32)
    examples = Examples(inputs, rng.integers(0, 2, count), np.ones(count, np.float32))
    return Feed(Training(examples, 1, seed=0), {}, {}, 4)


def network(*layers: Any) -> keras.Model:
    inputs = keras.Input((4,))
    seen = inputs
    for layer in (keras.layers.Dense(8), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), *layers):
        seen = layer(seen)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(seen))


def found(one: Job, net: keras.Model, count: int = COUNT) -> tuple[int, list[str]]:
    notes = Notes()

    def groups(steps: int) -> list[Group]:
        return [Group(net.trainable_variables, keras.optimizers.Adam())]

    return with_batch_size(one, feed(count), net, groups, notes).train.batch_size, notes.notes


def test_an_epoch_keeps_twenty_steps_where_there_are_examples_enough() -> None:
    assert [most(count) for count in (1, 100, 320, 2_000, 50_000, 10**9)] == [8, 8, 16, 64, 2_048, 65_536]


def test_the_largest_that_fits_is_found_and_the_steps_leave_no_trace() -> None:
    net = network()
    before = [variable.value.numpy() for variable in net.variables]
    size, notes = found(job(), net)
    assert size == 64
    assert notes == ["batch size 64: the largest power of two with 20 steps an epoch"]
    for variable, value in zip(net.variables, before, strict=True):
        np.testing.assert_array_equal(variable.value.numpy(), value)


def test_what_cannot_be_allocated_is_no_crash() -> None:
    size, notes = found(job(), network(Greedy()))
    assert size == 32
    assert notes == ["batch size 32: the memory is full at 64"]


@pytest.mark.skipif(not memory.reset_peak(), reason="the system does not tell the peak of memory")
def test_a_size_is_not_tried_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "SHARE", 1e-6)
    size, notes = found(job(), network())
    assert size == 8
    assert "16 would take about" in notes[0]


def test_a_training_that_goes_on_has_the_size_that_it_began_with(tmp_path: Path) -> None:
    (tmp_path / "batch_size.json").write_text(json.dumps({"batch_size": 16}))
    assert found(job(tmp_path), network()) == (16, [])
    (tmp_path / "batch_size.json").write_text("cut")
    assert found(job(tmp_path), network())[0] == 64
    assert json.loads((tmp_path / "batch_size.json").read_text()) == {"batch_size": 64}


def test_a_number_is_taken_as_it_is() -> None:
    size, notes = found(job(size=7), network())
    assert (size, notes) == (1, []), "the feed's own, which it has from the settings"


def test_a_strategy_without_steps_has_the_usual_number() -> None:
    config = resolved(load_config(training__batch_size="auto"))
    assert config.training.strategy == "frozen"
    assert config.training.batch_size == 128


def test_a_run_says_what_was_found_and_is_the_same_as_with_that_number(photos: Path, tmp_path: Path) -> None:
    small: dict[str, Any] = {
        "data__wrong_labels": False,
        "training__strategy": "scratch",
        "model__name": "convnet",
        "input__height": 32,
        "input__width": 32,
        "training__epochs": 2,
    }
    auto = load_config(**small, training__batch_size="auto")
    run = noria.train(photos, tmp_path / "auto", config=auto)
    assert run.manifest.config["training"]["batch_size"] == 8
    assert "batch_size = 8 " in (run.path / "config.toml").read_text()
    notes = Notes()
    assert noria.train(photos, tmp_path / "auto", config=auto, progress=notes).path == run.path
    assert any("already trained" in note for note in notes.notes)
    told = noria.train(photos, tmp_path / "told", config=load_config(**small, training__batch_size=8))
    assert (told.path / "predictions.csv").read_bytes() == (run.path / "predictions.csv").read_bytes()


def test_a_batch_larger_than_the_set_is_one_batch(photos: Path, tmp_path: Path) -> None:
    config = load_config(
        data__wrong_labels=False, training__strategy="scratch", model__name="convnet", input__height=32,
        input__width=32, training__epochs=1, training__batch_size=65_536,
    )  # fmt: skip
    assert noria.train(photos, tmp_path / "run", config=config).manifest.chosen["epochs_trained"] == 1
