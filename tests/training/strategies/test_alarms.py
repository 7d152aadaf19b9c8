"""What goes wrong in a training is told once, in words; each alarm is provoked on real photos or reviews."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from listening import Killed, Killing
from noria import api
from noria.artifacts.dataset import Dataset
from noria.artifacts.store import Store
from noria.config import load_config
from noria.contracts import Silent
from noria.errors import ConfigError
from noria.training import checkpoint as checkpoints
from noria.training.alarms import Alarms
from noria.training.checkpoint import Checkpoint
from noria.training.clock import Clock
from noria.training.devices import devices_for
from noria.training.feed import Feed
from noria.training.feeds import image as image_feed
from noria.training.job import Job, Trained
from noria.training.loss import Loss
from noria.training.network import Group, Plan, fit
from noria.training.settings import TrainingSettings
from noria.training.strategies import scratch

SIDE = 32
LABELS = ("daisy", "rose", "sunflower")
TEXTS = {"length": 32, "vocabulary": 2_000}


class Listening(Killing):
    """A progress that tells alarms from what else it keeps."""

    @property
    def alarms(self) -> list[str]:
        return [note for note in self.notes if note.startswith("alarm: ")]


@pytest.fixture(scope="module")
def feed(photo_job: Callable[..., Job]) -> Feed:
    return image_feed.feed(photo_job(augment__views=0), clock=Clock(), progress=Silent())


def kinds(trained: Trained) -> set[str]:
    return {alarm["kind"] for alarm in trained.alarms}


def fitted(
    feed: Feed, layers: Sequence[keras.layers.Layer], rate: float, epochs: int = 3, **settings: Any
) -> list[dict[str, Any]]:
    """Train layers on photos, one after the other, and return the alarms."""
    seen = image = keras.Input((SIDE, SIDE, 3))
    for layer in layers:
        seen = layer(seen)
    network = keras.Model(image, keras.layers.Dense(len(LABELS), activation="softmax", name="scores")(seen))
    group = Group(network.trainable_variables, keras.optimizers.SGD(rate))
    plan = Plan(epochs=epochs, patience=epochs, rate=rate, schedule=lambda place: 1.0, loss=Loss())
    told = Listening()
    chosen = TrainingSettings(learning_rate=rate, **settings)
    alarms = Alarms(LABELS, feed.train.examples.labels, chosen, told)
    fit(
        network, [group], feed.train, feed.held_out["validation"], plan,
        checkpoint=Checkpoint(None, told), progress=told, watches=[alarms],
    )  # fmt: skip
    assert len(told.alarms) == len(alarms.raised)
    return alarms.raised


def one(alarms: Sequence[dict[str, Any]], kind: str) -> dict[str, Any]:
    [found] = [alarm for alarm in alarms if alarm["kind"] == kind]
    return found


def test_a_learning_rate_that_is_too_high_is_told_with_a_lower_one(photo_job: Callable[..., Job], store: Store) -> None:
    job = photo_job(
        training__epochs=2, training__optimizer="sgd", training__learning_rate=10, training__clip_norm=0,
        training__ema_steps=0,
    )  # fmt: skip
    alarm = one(scratch.train(job, store=store, progress=Silent()).alarms, "rate_too_high")
    assert "guessing would have 1.1" in alarm["message"]
    assert alarm["remedy"] == "Try --set training.learning_rate=1"


def test_gradients_that_vanish_are_told_with_the_layers_that_learn_nothing(feed: Feed) -> None:
    keras.utils.set_random_seed(1)
    deep = [keras.layers.Dense(32, activation="sigmoid", name=f"dense_{number}") for number in range(12)]
    alarms = fitted(feed, [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), *deep], 0.01)
    alarm = one(alarms, "gradients_vanish")
    assert "“dense_0”" in alarm["message"] and "“dense_11”" not in alarm["message"]
    assert "batch_norm" in alarm["remedy"]


def test_gradients_that_explode_are_told_with_the_layer(feed: Feed) -> None:
    """Weights that are far too large after ones that are far too small: answers are moderate, gradients are not."""
    keras.utils.set_random_seed(1)

    def dense(name: str, deviation: float) -> keras.layers.Layer:
        weights = keras.initializers.RandomNormal(stddev=deviation)
        return keras.layers.Dense(32, activation="relu", name=name, kernel_initializer=weights)

    large = [dense("first", 1e-6), *(dense(f"dense_{number}", 1.5) for number in range(6))]
    alarms = fitted(feed, [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), *large], 1e-12, clip_norm=0)
    alarm = one(alarms, "gradients_explode")
    assert re.search(r"epoch 1: .*most of it in the layer first", alarm["message"])
    assert "training.clip_norm=1" in alarm["remedy"]


def test_a_training_that_stands_still_is_told(make_job: Callable[..., Job], store: Store) -> None:
    job = make_job("textcnn", TEXTS, epochs=3, batch_size=64, learning_rate=1e-7)
    alarms = scratch.train(job, store=store, progress=Silent()).alarms
    alarm = one(alarms, "stands_still")
    assert "learning_rate=1e-06" in alarm["remedy"], "nothing moves: the rate is to be higher"


def test_validation_that_diverges_is_told(make_job: Callable[..., Job], store: Store) -> None:
    job = make_job("bilstm", TEXTS, epochs=12, patience=12, batch_size=32, learning_rate=5e-3, ema_steps=0)
    alarm = one(scratch.train(job, store=store, progress=Silent()).alarms, "validation_diverges")
    assert "by heart" in alarm["message"]


def test_a_label_that_is_never_answered_is_told(make_job: Callable[..., Job], store: Store, reviews: Dataset) -> None:
    """Of the training reviews one in fifty is positive, and half of those of validation."""
    rare = {example.path for example in reviews.by_split("train") if example.label == "positive"}
    kept = set(sorted(rare)[:6])
    examples = tuple(example for example in reviews.examples if example.path not in rare - kept)
    uneven = replace(reviews, examples=examples)
    job = make_job("textcnn", TEXTS, uneven, epochs=3, batch_size=32, learning_rate=1e-3)
    alarm = one(scratch.train(job, store=store, progress=Silent()).alarms, "label_never_answered")
    assert "“positive”, though 75 have it" in alarm["message"]
    assert alarm["remedy"] == "Try --set training.class_weights=balanced"


@pytest.mark.parametrize("name", ["textcnn", "fasttext"])
def test_a_network_that_learns_reviews_raises_none(name: str, make_job: Callable[..., Job], store: Store) -> None:
    job = make_job(name, {"length": 128}, epochs=10, batch_size=32, learning_rate=1e-3)
    trained = scratch.train(job, store=store, progress=Silent())
    assert trained.history["accuracy"][-1] > 0.7
    assert trained.alarms == []


def test_a_network_that_learns_photos_raises_none(photo_job: Callable[..., Job], store: Store) -> None:
    job = photo_job(
        training__epochs=5, training__learning_rate=1e-3, training__ema_steps=0, augment__views=0,
        model__options__batch_norm=False, model__options__dropout=0,
    )  # fmt: skip
    trained = scratch.train(job, store=store, progress=Silent())
    assert trained.history["accuracy"][-1] > 0.5
    assert trained.alarms == []


def test_a_loss_that_is_no_number_is_told_with_layer_and_photo(feed: Feed, photo_job: Callable[..., Job]) -> None:
    """The exponential of the brightest photo alone is more than a float can hold."""
    train = feed.train.examples
    brightness = np.sort(train.inputs.reshape(len(train), -1).mean(axis=1))
    scale = 100 / (brightness[-1] - brightness[-2])  # so that one exponent is 100, and all others 0 at most
    names = [example.path for example in photo_job().dataset.by_split("train")]
    place = int(train.inputs.reshape(len(train), -1).mean(axis=1).argmax())
    brightest = names[place]
    [batch] = [places for step in range(feed.train.steps) if place in (places := feed.train.places(0, step))]
    image = keras.Input((SIDE, SIDE, 3))
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(keras.layers.Reshape((SIDE, SIDE * 3, 1))(image))
    bright = keras.layers.Rescaling(scale, offset=-scale * brightness[-2])(keras.layers.Flatten()(mean))
    powers = keras.layers.Activation("exponential", name="powers")(bright)
    network = keras.Model(image, keras.layers.Dense(3, activation="softmax")(powers))
    group = Group(network.trainable_variables, keras.optimizers.SGD(0.0))
    plan = Plan(epochs=1, patience=1, rate=1e-9, schedule=lambda place: 1.0, loss=Loss())
    with pytest.raises(ConfigError) as raised:
        fit(
            network, [group], feed.train, feed.held_out["validation"], plan,
            checkpoint=Checkpoint(None, Silent()), progress=Silent(), names=names,
        )  # fmt: skip
    assert "The layer powers is the first whose output is no number." in str(raised.value)
    assert f"It happens with {brightest}, 1 of the {len(batch)} in the batch: look there first." in str(raised.value)
    assert all(np.isfinite(weight).all() for weight in network.get_weights()), "what answered can still be looked at"


def test_a_loss_in_float16_that_is_no_number_is_told_with_the_batch(
    photo_job: Callable[..., Job], store: Store
) -> None:
    """There the layer is not looked for."""
    job = photo_job(
        training__precision="float16", training__epochs=2, training__optimizer="sgd", training__learning_rate=1000,
        training__clip_norm=0,
    )  # fmt: skip
    short = replace(job, devices=devices_for(job.training, Silent()))
    with pytest.raises(ConfigError, match=r"learning rate of 1000. The batch: \w+/.*\.jpg, .* and \d more\. Try"):
        scratch.train(short, store=store, progress=Silent())


def test_killed_and_resumed_raises_the_same_alarms_and_none_twice(
    make_job: Callable[..., Job], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    job = make_job("textcnn", TEXTS, epochs=5, batch_size=64, learning_rate=1e-7)
    alone = scratch.train(job, store=store, progress=Silent())
    kept, told = replace(job, unfinished=tmp_path / "kept"), []
    for after in (15, 20, 3):  # of 10 steps in an epoch: within the second, the fourth, the fifth
        listening = Listening(after)
        with pytest.raises(Killed):
            scratch.train(kept, store=store, progress=listening)
        told += listening.alarms
    listening = Listening()
    resumed = scratch.train(kept, store=store, progress=listening)
    assert resumed.alarms == alone.alarms != []
    assert len(told + listening.alarms) == len(alone.alarms)


def test_alarms_stand_in_the_run_and_its_report(photos: Path, tmp_path: Path) -> None:
    config = load_config(
        model__name="convnet", input__height=SIDE, input__width=SIDE, training__epochs=2, training__optimizer="sgd",
        training__learning_rate=1000, training__clip_norm=0, training__ema_steps=0, data__wrong_labels=False,
    )  # fmt: skip
    run = api.train(photos, tmp_path / "run", config=config)
    alarm = one(list(run.manifest.alarms), "rate_too_high")
    page = run.report.read_text(encoding="utf-8")
    assert alarm["message"] in page.partition('id="learning"')[2]
    assert alarm["remedy"] in page
