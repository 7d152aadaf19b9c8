"""Networks that are trained on photos, from nothing and further: what they learn, keep, and go on from when killed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from listening import Killed, Killing, Notes
from noria import api
from noria.artifacts.dataset import Dataset
from noria.artifacts.store import Store
from noria.config import load_config, resolved
from noria.contracts import Silent
from noria.errors import ConfigError, DataError
from noria.evaluation.calibration import apply_temperature
from noria.inference.predictor import Input, Predictor
from noria.jobs import make_job as make_job_of
from noria.models import efficientnet_lite
from noria.training import checkpoint as checkpoints
from noria.training.clock import Clock
from noria.training.feeds import image as image_feed
from noria.training.job import Job, Trained
from noria.training.pixels import Decoding
from noria.training.strategies import finetune, frozen, linear, scratch

SIDE = 32
SMALL = {
    "model__name": "convnet",
    "input__height": SIDE,
    "input__width": SIDE,
    "training__epochs": 4,
    "training__batch_size": 8,
    "training__optimizer": "sgd",
    "training__learning_rate": 0.02,
    "training__schedule": "one_cycle",
    "training__warmup": 0.3,
    "training__weight_decay": 1e-3,
    "training__label_smoothing": 0.1,
    "augment__mixup": 0.2,
    "augment__random_erasing": 0.3,
}


FINETUNED = {
    "model__name": "efficientnet_lite0",
    "training__strategy": "finetune",
    "training__optimizer": "adamw",
    "training__learning_rate": 1e-3,
    "training__epochs": 2,
}


@pytest.fixture(scope="module")
def dataset(photos: Path) -> Dataset:
    return api.check(photos, config=load_config(data__wrong_labels=False))


@pytest.fixture
def make_job(dataset: Dataset) -> Callable[..., Job]:
    """A function: settings -> a job on the photos."""

    def make(folder: Path | None = None, **given: Any) -> Job:
        job, _ = make_job_of(dataset, resolved(load_config(**{**SMALL, **given})), time.monotonic())
        return replace(job, unfinished=folder)

    return make


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "features.sqlite") as opened:
        yield opened


def same(one: Trained, other: Trained) -> bool:
    weights = zip(one.model.get_weights(), other.model.get_weights(), strict=True)
    return one.history == other.history and all(a.tobytes() == b.tobytes() for a, b in weights)


# Few of the large network: making its graphs ready takes most of the time.
@pytest.mark.parametrize(("strategy", "kills"), [(scratch, (1, 3, 5)), (finetune, (5,))])
def test_killed_anywhere_it_ends_as_if_left_alone(
    strategy: Any,
    kills: tuple[int, ...],
    make_job: Callable[..., Job],
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Batch normalisation, dropout, augmentation, momentum, schedule and the best weights: all go on to the bit."""
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    given: dict[str, Any] = FINETUNED if strategy is finetune else {}
    alone = strategy.train(make_job(None, **given), store=store, progress=Silent())
    assert -(-len(make_job().dataset.by_split("train")) // 8) == 4, "kills within an epoch, at its end and after it"
    for after in kills:
        with pytest.raises(Killed):
            strategy.train(make_job(tmp_path / "kept", **given), store=store, progress=Killing(after))
    progress = Killing()
    resumed = strategy.train(make_job(tmp_path / "kept", **given), store=store, progress=progress)
    assert any("goes on with epoch" in note for note in progress.notes)
    assert same(alone, resumed)
    assert alone.chosen == resumed.chosen
    if strategy is finetune:
        assert_trained_on(alone)


def assert_trained_on(tuned: Trained) -> None:
    """The backbone's filters moved, and the statistics of its normalisation did not."""
    before = efficientnet_lite.build_backbone("efficientnet_lite0", image_size=SIDE, weights="imagenet")
    moved = {"filters": 0, "statistics": 0}
    for layer in before.layers:
        kind = "statistics" if isinstance(layer, keras.layers.BatchNormalization) else "filters"
        for old, new in zip(layer.weights, tuned.model.get_layer(layer.name).weights, strict=True):
            moved[kind] += not np.array_equal(old.numpy(), new.numpy())
    assert moved["statistics"] == 0
    assert moved["filters"] > 0 or tuned.chosen["epoch"] == 0
    assert "l2" in tuned.chosen, "the head that it began with is told"


def test_a_network_learns_its_photos_and_the_saved_model_answers_as_it_did(
    make_job: Callable[..., Job], store: Store, tmp_path: Path
) -> None:
    plain = {"augment__views": 0, "augment__mixup": 0, "augment__random_erasing": 0}
    job = make_job(training__epochs=12, training__optimizer="adam", training__learning_rate=3e-3, **plain)
    trained = scratch.train(job, store=store, progress=Silent())
    assert trained.history["accuracy"][-1] > trained.history["accuracy"][0] + 0.2
    assert trained.history["learning_rate"][0] != trained.history["learning_rate"][-1]
    trained.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    pixels = np.stack([job.read(job.dataset.read(one)) for one in job.dataset.by_split("test")])
    expected = apply_temperature(trained.test_scores, trained.temperature)
    np.testing.assert_allclose(loaded.predict(pixels, verbose=0), expected, atol=1e-4)


def test_every_example_is_learnt_from_once_an_epoch_in_an_order_of_its_own(make_job: Callable[..., Job]) -> None:
    plain = {"augment__views": 0, "augment__mixup": 0, "augment__random_erasing": 0}
    feed = image_feed.feed(make_job(**plain), clock=Clock(), progress=Silent())
    first, second = ([batch[0] for batch in feed.train.batches(epoch)] for epoch in (0, 1))
    every = np.sort(feed.train.examples.inputs.reshape(len(feed.train.examples), -1).sum(axis=1))
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(np.concatenate(epoch).reshape(len(every), -1).sum(axis=1)), every)
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    rest = [batch[0] for batch in feed.train.batches(1, start=2)]
    np.testing.assert_array_equal(np.concatenate(rest), np.concatenate(second[2:]))


def test_each_epoch_shows_another_view_and_the_same_seed_the_same(make_job: Callable[..., Job]) -> None:
    def views(epoch: int, **given: Any) -> Any:
        feed = image_feed.feed(make_job(training__batch_size=64, **given), clock=Clock(), progress=Silent())
        [(pixels, labels, _)] = list(feed.train.batches(epoch))
        return pixels[np.lexsort(pixels.reshape(len(pixels), -1).T[:8])], labels

    assert not np.array_equal(views(0)[0], views(1)[0])
    np.testing.assert_array_equal(views(1)[0], views(1)[0])
    assert not np.array_equal(views(1)[0], views(1, seed=1)[0])


@pytest.mark.parametrize("cache", ["disk", "none"])
def test_wherever_decoded_pictures_are_kept_they_are_the_same(
    cache: str, make_job: Callable[..., Job], tmp_path: Path
) -> None:
    feeds = [
        image_feed.feed(make_job(tmp_path / "kept", training__cache=kind), clock=Clock(), progress=Silent())
        for kind in ("memory", cache)
    ]
    for one, other in zip(feeds[0].train.batches(3), feeds[1].train.batches(3), strict=True):
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    kept, others = (one.train.examples.inputs for one in feeds)
    np.testing.assert_array_equal(kept[3:4], others[3:4])  # of a batch that is one of many
    assert isinstance(feeds[1].train.examples.inputs, Decoding) == (cache == "none")


def test_a_picture_that_changed_since_the_check_is_named(
    make_job: Callable[..., Job], dataset: Dataset, photos: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "flowers"
    shutil.copytree(photos, moved)
    job = make_job()
    changed = replace(job, dataset=replace(dataset, root=moved))
    victim = dataset.by_split("train")[3].path
    (moved / victim).write_bytes(b"another")
    with pytest.raises(DataError, match=Path(victim).name):
        image_feed.feed(changed, clock=Clock(), progress=Silent())


def test_minutes_end_a_training_that_is_a_finished_one(make_job: Callable[..., Job], store: Store) -> None:
    job = make_job(training__minutes=0.1, training__epochs=10_000)
    trained = scratch.train(job, store=store, progress=Silent())
    assert 1 <= trained.chosen["epochs_trained"] < 10_000
    assert trained.history["learning_rate"][-1] < 0.02, "the rate falls with the time that is left"
    assert np.isfinite(trained.test_scores).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model__name": "convnet"}, "convnet has no backbone.*scratch"),
        ({"augment__mixup": 0.2}, "mixup.*finetune or scratch"),
    ],
)
def test_the_frozen_strategy_refuses_what_it_cannot_do(
    given: dict[str, Any], said: str, make_job: Callable[..., Job], store: Store
) -> None:
    settings = {"model__name": "efficientnet_lite0", "augment__mixup": 0, "augment__random_erasing": 0, **given}
    with pytest.raises(ConfigError, match=said):
        frozen.train(make_job(**settings), store=store, progress=Silent())


def test_a_strategy_of_texts_says_that_it_is_one(make_job: Callable[..., Job], store: Store) -> None:
    with pytest.raises(ConfigError, match="The strategy linear learns from texts, and efficientnet_lite0 takes other"):
        linear.train(
            make_job(model__name="efficientnet_lite0", training__strategy="linear"), store=store, progress=Silent()
        )


def test_a_frozen_network_says_where_its_weights_come_from(make_job: Callable[..., Job], store: Store) -> None:
    progress = Notes()
    given = {"model__name": "MobileNetV2", "model__weights": "none", "augment__mixup": 0, "augment__random_erasing": 0}
    trained = frozen.train(make_job(**given, training__strategy="frozen"), store=store, progress=progress)
    assert "random" in trained.card["source"]
    assert any("MobileNetV2: weights from nothing: they are random" in note for note in progress.notes)


def test_options_are_those_of_the_model(make_job: Callable[..., Job], store: Store) -> None:
    assert load_config(model__name="convnet").model.options["dropout"] == 0.5
    plain = load_config(model__name="convnet", model__options__batch_norm=False).model
    assert plain.options["batch_norm"] is False
    with pytest.raises(ConfigError, match=r"convnet.*dropuot.*dropout"):
        load_config(model__name="convnet", model__options__dropuot=0.1)
    with pytest.raises(ConfigError, match=r"convnet.*dropout.*number"):
        load_config(model__name="convnet", model__options__dropout="much")
    with pytest.raises(ConfigError, match=r"efficientnet_lite0 has no options.*dropout"):
        load_config(model__options__dropout=0.1)


def test_a_run_of_a_small_network_is_exported_and_answers(photos: Path, tmp_path: Path) -> None:
    config = load_config(**SMALL, data__wrong_labels=False)
    run = api.train(photos, tmp_path / "run", config=config)
    assert run.manifest.strategy == "scratch"
    assert run.manifest.model["source"] == "the training data alone"
    assert "Training pictures, as it saw them" in (run.path / "report.html").read_text(encoding="utf-8")
    history = json.loads((run.path / "report.json").read_bytes())["history"]
    assert {"val_loss_calibrated", "learning_rate"} <= history.keys()
    assert (run.path / "config.toml").read_text(encoding="utf-8").count("options = {") == 1
    again = load_config(run.path / "config.toml")
    assert again.model_dump(mode="json") == run.manifest.config
    bundle = api.export(run, tmp_path / "bundle", leave_out_failing=True)
    files = [str(photos / one.path) for one in Dataset.load(run.dataset).by_split("test")]
    by_engine = [[Predictor(source).answers([Input(one, Path(one)) for one in files])] for source in (run, bundle)]
    for mine, theirs in zip(*(list(answers[0]) for answers in by_engine), strict=True):
        assert mine["confidence"] == pytest.approx(theirs["confidence"], abs=1e-3)
