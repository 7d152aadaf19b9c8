"""Networks from nothing on real reviews: each learns, stops in time, and is saved as it answered."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from listening import Notes
from noria.artifacts.dataset import Dataset
from noria.artifacts.store import Store
from noria.contracts import Silent
from noria.errors import ConfigError
from noria.evaluation.calibration import apply_temperature
from noria.inputs.text import Rows
from noria.training.job import Job, Trained
from noria.training.strategies import pooled, scratch

MakeJob = Callable[..., Job]

LENGTH = 32  # words; enough to learn something from, in seconds
INPUT = {"length": LENGTH, "vocabulary": 2_000}
QUICK = {"epochs": 6, "batch_size": 32, "learning_rate": 3e-3}
NETWORKS = ("bilstm", "fasttext", "textcnn", "transformer")


@pytest.fixture(scope="module")
def trainings() -> dict[str, Trained]:
    return {}


@pytest.fixture(params=NETWORKS)
def trained(request: pytest.FixtureRequest, make_job: MakeJob, store: Store, trainings: dict[str, Trained]) -> Trained:
    name = request.param
    if name not in trainings:
        trainings[name] = scratch.train(make_job(name, INPUT, **QUICK), store=store, progress=Silent())
    return trainings[name]


def rows(job: Job, trained: Trained) -> NDArray[np.int32]:
    read = job.open_reader(trained.input_files)
    return np.stack([read(job.dataset.read(one)) for one in job.dataset.by_split("test")])


def test_a_network_learns_its_training_texts(trained: Trained) -> None:
    assert trained.history["accuracy"][-1] > trained.history["accuracy"][0] + 0.1


def test_some_hundred_reviews_teach_a_small_network_something_about_others(
    make_job: MakeJob, store: Store, reviews: Dataset
) -> None:
    job = make_job("textcnn", {"length": 256}, **{**QUICK, "epochs": 15})
    scores = scratch.train(job, store=store, progress=Silent()).test_scores
    truth = np.array([reviews.label_index[one.label] for one in reviews.by_split("test")])
    assert (scores.argmax(axis=1) == truth).mean() > 0.6


def test_the_saved_model_answers_as_the_scores_say_with_the_temperature_in_it(
    trained: Trained, make_job: MakeJob, tmp_path: Path
) -> None:
    trained.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    expected = apply_temperature(trained.test_scores, trained.temperature)
    answers = loaded.predict(rows(make_job("textcnn", INPUT), trained), verbose=0)
    np.testing.assert_allclose(answers, expected, atol=1e-4)
    weights = sum(weight.nbytes for weight in trained.model.get_weights())
    assert (tmp_path / "model.keras").stat().st_size < 1.3 * weights + 100_000  # no state of the optimiser


def test_the_weights_are_those_of_the_epoch_whose_calibrated_answers_are_best(
    trained: Trained, reviews: Dataset
) -> None:
    losses = trained.history["val_loss_calibrated"]
    assert trained.chosen == {"epoch": int(np.argmin(losses)) + 1, "epochs_trained": len(losses)}
    truth = np.array([reviews.label_index[one.label] for one in reviews.by_split("validation")])
    calibrated = apply_temperature(trained.validation_scores, trained.temperature)
    of_truth = calibrated[np.arange(len(truth)), truth]
    assert -np.log(of_truth).mean() == pytest.approx(min(losses), rel=1e-3)


def test_the_same_seed_trains_the_same_model(make_job: MakeJob, store: Store) -> None:
    job = make_job("fasttext", INPUT, **{**QUICK, "epochs": 2})
    told = Notes()
    first, again = (scratch.train(job, store=store, progress=progress) for progress in (told, Silent()))
    lines = [note for note in told.notes if note.startswith("epoch")]
    assert len(lines) == 2
    for epoch, line in enumerate(lines, 1):
        of_validation = first.history["val_accuracy"][epoch - 1]
        found = re.fullmatch(rf"epoch +{epoch} .* {of_validation:.1%}.* rate 0.003  [\d,]+/s  ([\d,]+) MiB", line)
        assert found and 100 < int(found[1].replace(",", "")) < 20_000
    assert first.history == again.history
    for mine, theirs in zip(first.model.get_weights(), again.model.get_weights(), strict=True):
        assert mine.tobytes() == theirs.tobytes()


def test_training_stops_some_epochs_after_the_best(make_job: MakeJob, store: Store) -> None:
    job = make_job("fasttext", INPUT, **{**QUICK, "epochs": 200, "learning_rate": 3e-2, "patience": 2})
    trained = scratch.train(job, store=store, progress=Silent())
    assert trained.chosen["epochs_trained"] == trained.chosen["epoch"] + 2 < 200


def test_sets_of_ngrams_are_refused(make_job: MakeJob, store: Store) -> None:
    with pytest.raises(ConfigError, match=r"encoding.*'sequence'"):
        scratch.train(make_job("bilstm", {"encoding": "ngrams"}), store=store, progress=Silent())


def test_short_and_long_texts_are_padded_and_cut() -> None:
    ids = Rows(np.arange(1, 8, dtype=np.int32), np.array([0, 2, 2, 7]))
    expected = [[1, 2, 0, 0], [0, 0, 0, 0], [3, 4, 5, 6]]
    np.testing.assert_array_equal(ids.padded(4), expected)


def test_word_vectors_of_others_and_a_linear_head_learn_from_some_hundred_reviews(
    make_job: MakeJob, store: Store, reviews: Dataset
) -> None:
    pytest.importorskip("wordllama")
    job = make_job("static_embeddings")
    trained = pooled.train(job, store=store, progress=Silent())
    truth = np.array([reviews.label_index[one.label] for one in reviews.by_split("test")])
    assert (trained.test_scores.argmax(axis=1) == truth).mean() > 0.65
    expected = apply_temperature(trained.test_scores, trained.temperature)
    np.testing.assert_allclose(trained.model.predict(rows(job, trained), verbose=0), expected, atol=1e-4)
